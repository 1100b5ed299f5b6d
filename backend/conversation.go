package backend

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

const (
	maxConversationPage     = 500
	defaultConversationPage = 100
	maxListed               = 1000 // conversations that are in a user's list: the newest
	maxNamed                = 100  // conversations that are named in one request
	maxMark                 = 60
	maxMarkedConversations  = 1000
	maxMentions             = 100 // that a conversation tells of: the last ones
	maxFilter               = 100 // values in a filter
)

// The documented statuses.
const notify, doNotDisturb = 1, 2

// The documented filters.
const onlyPinned, onlyUnpinned = 1, 2

// listed returns the conversations in the user's list, in its order.
func (r *reader) listed() ([]*store.Member, error) {
	list, err := r.Conversations(r.self)
	list = slices.DeleteFunc(list, func(m *store.Member) bool { return !m.Listed() })
	slices.SortFunc(list, func(a, b *store.Member) int { return cmp.Compare(b.OrderKey, a.OrderKey) })
	if len(list) > maxListed {
		list = list[:maxListed]
	}
	slices.SortStableFunc(list, func(a, b *store.Member) int {
		switch x, y := a.Pinned != 0, b.Pinned != 0; {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	return list, err
}

// checkFilter bounds a filter: each of its values is held against each conversation.
func checkFilter(f *wire.ConversationFilter) *wire.Error {
	if len(f.GetMarks()) > maxFilter || len(f.GetTypes()) > maxFilter {
		return refuse(codeParamsInvalid, fmt.Sprintf("a filter has up to %d marks and types", maxFilter))
	}
	return nil
}

// passes reports whether a filter lets a conversation through.
func passes(f *wire.ConversationFilter, m *store.Member) bool {
	if f == nil {
		return true
	}
	marked := len(f.Marks) == 0
	for _, mark := range f.Marks {
		switch mark {
		case -1:
			marked = marked || len(m.Marks) > 0
		case 0:
			marked = marked || len(m.Marks) == 0
		default:
			marked = marked || mark > 0 && mark <= maxMark && slices.Contains(m.Marks, byte(mark))
		}
	}
	return marked &&
		(len(f.Types) == 0 || slices.Contains(f.Types, m.Conversation.Type)) &&
		(!f.OnlyUnread || m.Unread > 0) &&
		(f.Pinned != onlyPinned || m.Pinned != 0) &&
		(f.Pinned != onlyUnpinned || m.Pinned == 0)
}

// totalUnread adds up what is unread in the conversations that are not muted.
func totalUnread(list []*store.Member, f *wire.ConversationFilter) (n int64) {
	for _, m := range list {
		if m.Listed() && !m.Muted && passes(f, m) {
			n += m.Unread
		}
	}
	return n
}

// describe makes what the user sees of a conversation.
func (r *reader) describe(m *store.Member) (*wire.Conversation, error) {
	c := m.Conversation
	w := &wire.Conversation{
		Ref:                refOf(c, r.self.UserID),
		NotificationStatus: notify,
		UnreadCount:        m.Unread,
		ReadSeq:            int64(m.Seen),
		OrderKey:           m.OrderKey,
		PinnedTimeMs:       m.Pinned,
	}
	if m.Muted {
		w.NotificationStatus = doNotDisturb
	}
	for _, mark := range m.Marks {
		w.Marks = append(w.Marks, int32(mark))
	}
	if c.Type == store.ConversationPeer {
		u, err := r.User(c.App, w.Ref.Id)
		if err != nil {
			return nil, err
		}
		w.Name = u.Name
	} else {
		g, err := r.GroupOf(c)
		if err != nil {
			return nil, err
		}
		w.Name, w.AvatarUrl, w.IsDisabled = g.Name, g.Avatar, g.Dismissed || !m.In()
	}
	last, err := r.Messages(m, 1, maxSeq, true, 1, 1)
	if err != nil {
		return nil, err
	}
	if len(last) > 0 {
		if w.LastMessage, err = r.render(last[0]); err != nil {
			return nil, err
		}
	}
	mentions, err := r.Mentions(m, maxMentions)
	for _, n := range mentions {
		typ := int32(mentionedMe)
		if n.All {
			typ = mentionedAll
			if n.Me {
				typ = mentionedBoth
			}
		}
		w.Mentions = append(w.Mentions, &wire.Mention{MessageId: n.ID, MessageSeq: n.Seq, FromUserId: n.Sender, Type: typ})
	}
	return w, err
}

// The documented types of mentions.
const mentionedMe, mentionedAll, mentionedBoth = 1, 2, 3

// queryConversations reads the user's conversations.
func (a *attachment) queryConversations(s *session, id uint64, req *wire.QueryConversationsRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		if len(req.Refs) > maxNamed {
			return nil, refuse(codeParamsInvalid, fmt.Sprintf("up to %d conversations are named at once", maxNamed)), nil
		}
		if refused := checkFilter(req.Filter); refused != nil {
			return nil, refused, nil
		}
		resp := new(wire.Conversations)
		list, refused, err := r.chosen(req, resp)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		size := 0
		for i, m := range list {
			if size > maxPageBytes {
				resp.More = true
				if req.Since != nil {
					resp.Left = refsOf(list[i:], r.self.UserID)
				}
				break
			}
			w, err := r.describe(m)
			if err != nil {
				return nil, nil, err
			}
			size += proto.Size(w) // what it quotes and mentions may be more than what it says
			resp.Conversations = append(resp.Conversations, w)
		}
		if req.Total {
			all, err := r.Conversations(r.self)
			if err != nil {
				return nil, nil, err
			}
			resp.TotalUnread = totalUnread(all, nil)
		}
		return &wire.Response{Body: &wire.Response_Conversations{Conversations: resp}}, nil, nil
	})
}

func refsOf(list []*store.Member, userID string) []*wire.ConversationRef {
	refs := make([]*wire.ConversationRef, len(list))
	for i, m := range list {
		refs[i] = refOf(m.Conversation, userID)
	}
	return refs
}

// chosen returns the conversations that are asked for. Those that are not in the list go to resp.Missing.
func (r *reader) chosen(req *wire.QueryConversationsRequest, resp *wire.Conversations) (list []*store.Member, refused *wire.Error, err error) {
	switch {
	case len(req.Refs) > 0:
		for _, ref := range req.Refs {
			m, refused, err := r.conversation(ref)
			if err != nil {
				return nil, nil, err
			}
			if refused != nil || m == nil || !m.Listed() {
				resp.Missing = append(resp.Missing, ref)
			} else {
				list = append(list, m)
			}
		}
		return list, nil, nil
	case req.Since != nil:
		if req.Since.Epoch != r.server.store.Epoch() || req.Since.Seq > maxSeq {
			return nil, nil, nil // a reset is on its way
		}
		touched, err := r.Touched(r.self, uint32(req.Since.Seq))
		if err != nil {
			return nil, nil, err
		}
		// The client asks for the others when their events come.
		touched = touched[:min(len(touched), maxTouched)]
		for _, c := range touched {
			m, err := r.Member(c, r.self.ID)
			if err != nil {
				return nil, nil, err
			}
			if m == nil || !m.Listed() {
				resp.Missing = append(resp.Missing, refOf(c, r.self.UserID))
			} else {
				list = append(list, m)
			}
		}
		return list, nil, nil
	case !req.Total || req.Count != 0 || req.After != nil:
		list, more, err := r.conversationPage(req)
		resp.More = more
		return list, nil, err
	}
	return nil, nil, nil // only the total is wanted
}

func (r *reader) conversationPage(req *wire.QueryConversationsRequest) (page []*store.Member, more bool, err error) {
	list, err := r.listed()
	limit := defaultConversationPage
	if req.Count > 0 {
		limit = min(int(req.Count), maxConversationPage)
	}
	for _, m := range list {
		if !passes(req.Filter, m) || req.After != nil && !behind(m, req.After) {
			continue
		}
		if len(page) == limit {
			return page, true, err
		}
		page = append(page, m)
	}
	return page, false, err
}

// behind reports whether a conversation comes after a place in the list. Places need not be taken any more: order keys are
// all different.
func behind(m *store.Member, p *wire.ConversationPlace) bool {
	if pinned := m.Pinned != 0; pinned != p.IsPinned {
		return !pinned
	}
	return m.OrderKey < p.OrderKey
}

func (a *attachment) queryTotalUnread(s *session, id uint64, req *wire.QueryTotalUnreadRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		if refused := checkFilter(req.Filter); refused != nil {
			return nil, refused, nil
		}
		list, err := r.Conversations(r.self)
		return &wire.Response{Body: &wire.Response_TotalUnread{TotalUnread: &wire.TotalUnread{Count: totalUnread(list, req.Filter)}}}, nil, err
	})
}

// changeConversations changes what only the user has of conversations.
func (a *attachment) changeConversations(s *session, id uint64, req *wire.ChangeConversationsRequest) {
	if refused := checkChange(req); refused != nil {
		a.refuse(id, refused)
		return
	}
	a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		members, resp, refused, err := c.named(req)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		if refused, err = c.checkPins(members, req); refused != nil || err != nil {
			return nil, refused, err
		}
		e := new(wire.Event)
		for _, m := range members {
			if !c.alterMember(m, req) {
				continue
			}
			if err := c.PutMember(m); err != nil {
				return nil, nil, err
			}
			e.Conversations = append(e.Conversations, refOf(m.Conversation, c.self.UserID))
		}
		place := int64(0)
		if len(members) == 1 {
			place = members[0].Conversation.Place(1)
		}
		if len(req.Refs) == 0 {
			if _, ok := req.Change.(*wire.ChangeConversationsRequest_Delete); ok {
				e.ConversationsDeleted = &wire.ConversationsDeleted{Count: int64(len(e.Conversations))}
			}
		}
		if _, ok := req.Change.(*wire.ChangeConversationsRequest_Mark); ok {
			if err := c.boundMarked(e); err != nil {
				return nil, nil, err
			}
		}
		if len(e.Conversations) > 0 || e.ConversationsDeleted != nil {
			err = c.tellTouched(place, e)
		}
		return &wire.Response{Body: &wire.Response_ChangeConversations{ChangeConversations: resp}}, nil, err
	})
}

func checkChange(req *wire.ChangeConversationsRequest) *wire.Error {
	all := len(req.Refs) == 0
	if len(req.Refs) > maxNamed {
		return refuse(codeParamsInvalid, fmt.Sprintf("up to %d conversations are changed at once", maxNamed))
	}
	switch ch := req.Change.(type) {
	case *wire.ChangeConversationsRequest_ClearUnread, *wire.ChangeConversationsRequest_Delete:
		return nil
	case *wire.ChangeConversationsRequest_NotificationStatus:
		if ch.NotificationStatus != notify && ch.NotificationStatus != doNotDisturb {
			return refuse(codeParamsInvalid, "there is no such notification status")
		}
	case *wire.ChangeConversationsRequest_Mark:
		if m := ch.Mark.GetMark(); m < 1 || m > maxMark {
			return refuse(codeParamsInvalid, fmt.Sprintf("marks are 1 to %d", maxMark))
		}
	case nil:
		return refuse(codeUnsupported, "the server does not know this change")
	}
	if all {
		return refuse(codeParamsInvalid, "the conversation is missing")
	}
	return nil
}

// named returns the conversations that are to be changed. One that is not there is refused, if it is alone.
func (c *change) named(req *wire.ChangeConversationsRequest) (members []*store.Member, resp *wire.ChangeConversationsResponse, refused *wire.Error, err error) {
	resp = new(wire.ChangeConversationsResponse)
	if len(req.Refs) == 0 {
		members, err = c.Conversations(c.self)
		members = slices.DeleteFunc(members, func(m *store.Member) bool { return !m.Listed() })
		return members, resp, nil, err
	}
	_, marks := req.Change.(*wire.ChangeConversationsRequest_Mark)
	seen := make(map[int64]bool)
	for _, ref := range req.Refs {
		m, missing, err := c.conversation(ref)
		if err != nil {
			return nil, nil, nil, err
		}
		if missing == nil && (m == nil || !m.Listed()) {
			missing = refuse(codeNoConversation, "there is no such conversation")
		}
		if missing == nil && marks && !m.In() {
			missing = refuse(codeNotInGroup, "the user is not in the group")
		}
		if missing != nil {
			refused = missing
			resp.Failed = append(resp.Failed, ref)
		} else if !seen[m.Conversation.ID] {
			seen[m.Conversation.ID] = true
			members = append(members, m)
		}
	}
	if len(members) > 0 {
		refused = nil
	}
	return members, resp, refused, nil
}

// alterMember makes the change to one conversation, and reports whether it is one.
func (c *change) alterMember(m *store.Member, req *wire.ChangeConversationsRequest) (changed bool) {
	switch ch := req.Change.(type) {
	case *wire.ChangeConversationsRequest_Pin:
		if changed = ch.Pin != (m.Pinned != 0); !changed {
			break
		}
		if m.Pinned = 0; ch.Pin {
			m.Pinned = c.now
		}
	case *wire.ChangeConversationsRequest_NotificationStatus:
		muted := ch.NotificationStatus == doNotDisturb
		changed = m.Muted != muted
		m.Muted = muted
	case *wire.ChangeConversationsRequest_Mark:
		mark := byte(ch.Mark.Mark)
		i, found := slices.BinarySearch(m.Marks, mark)
		if changed = found != ch.Mark.Enable; !changed {
			break
		}
		if found {
			m.Marks = slices.Delete(m.Marks, i, i+1)
		} else {
			m.Marks = slices.Insert(m.Marks, i, mark)
		}
		if m.Marked = c.now; len(m.Marks) == 0 {
			m.Marked = 0
		}
	case *wire.ChangeConversationsRequest_ClearUnread:
		changed = m.Unread != 0 || m.Seen != m.Last
		m.Read()
	case *wire.ChangeConversationsRequest_Delete:
		changed = true
		m.Hides = m.Last
		m.Read()
	}
	return changed
}

// checkPins refuses to pin more conversations than a user may.
func (c *change) checkPins(members []*store.Member, req *wire.ChangeConversationsRequest) (*wire.Error, error) {
	if ch, ok := req.Change.(*wire.ChangeConversationsRequest_Pin); !ok || !ch.Pin {
		return nil, nil
	}
	more := 0
	for _, m := range members {
		if m.Pinned == 0 {
			more++
		}
	}
	n, err := c.CountPinned(c.self)
	if err != nil || more == 0 || int(n)+more <= c.app.Limits.PinnedConversations {
		return nil, err
	}
	return refuse(codeTooManyPinned, fmt.Sprintf("%d conversations are pinned already", n)), nil
}

// boundMarked takes the marks off the conversations that were marked first, if there are too many.
func (c *change) boundMarked(e *wire.Event) error {
	if n, err := c.CountMarked(c.self); err != nil || n <= maxMarkedConversations {
		return err
	}
	list, err := c.Conversations(c.self)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(m *store.Member) bool { return m.Marked == 0 })
	slices.SortFunc(list, func(a, b *store.Member) int { return cmp.Compare(b.Marked, a.Marked) })
	for _, m := range list[min(len(list), maxMarkedConversations):] {
		m.Marks, m.Marked = nil, 0
		if err := c.PutMember(m); err != nil {
			return err
		}
		e.Conversations = append(e.Conversations, refOf(m.Conversation, c.self.UserID))
	}
	return nil
}
