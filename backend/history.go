package backend

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

const (
	maxPage      = 100
	defaultPage  = 30
	maxNumbered  = 10  // messages that are asked for by their numbers
	maxDeleted   = 100 // messages that are deleted together
	maxPageBytes = 256 << 10
)

// pageSize returns how many things a page has if count were asked for.
func pageSize(count int32, standard int) int {
	if count <= 0 {
		return standard
	}
	return min(int(count), maxPage)
}

func messagesResponse(list []*wire.Message, next int64) *wire.Response {
	return &wire.Response{Body: &wire.Response_Messages{Messages: &wire.Messages{Messages: list, Next: next}}}
}

// queryMessages reads a conversation.
func (a *attachment) queryMessages(s *session, id uint64, req *wire.QueryMessagesRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		if len(req.Seqs) > maxNumbered {
			return nil, refuse(codeParamsInvalid, "too many messages at once"), nil
		}
		if req.Conversation.GetType() == store.ConversationRoom && len(req.Seqs) == 0 {
			return messagesResponse(nil, 0), nil, nil // of rooms, nothing is kept
		}
		m, refused, err := r.conversation(req.Conversation)
		if refused != nil || err != nil || m == nil {
			return messagesResponse(nil, 0), refused, err
		}
		if len(req.Seqs) > 0 {
			list, err := r.numbered(m, req.Seqs)
			if err == nil && fitting(list) < len(list) {
				return nil, refuse(codeParamsInvalid, "the messages are too large to be asked for together"), nil
			}
			return messagesResponse(list, 0), nil, err
		}
		list, next, err := r.page(m, req)
		return messagesResponse(list, next), nil, err
	})
}

// numbered returns those of the messages with some numbers that the member sees.
func (r *reader) numbered(m *store.Member, seqs []int64) ([]*wire.Message, error) {
	var list []*store.Message
	slices.Sort(seqs)
	for _, seq := range slices.Compact(seqs) {
		msg, err := r.seen(m, seq)
		if err != nil {
			return nil, err
		}
		if msg != nil {
			list = append(list, msg)
		}
	}
	return r.renderAll(list)
}

// page returns a page of the conversation, and what it is to be asked for next.
func (r *reader) page(m *store.Member, req *wire.QueryMessagesRequest) (list []*wire.Message, next int64, err error) {
	after := uint32(min(max(req.After, 0), maxSeq))
	if req.AfterOrderKey > 0 {
		// The numbers have no gaps, and order keys grow with them.
		if after, err = r.SeqAt(m, req.AfterOrderKey); err != nil {
			return nil, 0, err
		}
		if req.Newer {
			after-- // zero if all are newer
		}
	}
	from, to := uint32(1), uint32(maxSeq)
	switch {
	case req.Newer && after == maxSeq, !req.Newer && after == 1:
		return nil, 0, nil
	case req.Newer:
		from = after + 1
	case after > 0:
		to = after - 1
	}
	// One more than fit tells whether there is a next page.
	limit := pageSize(req.Count, defaultPage)
	found, err := r.Messages(m, from, to, !req.Newer, limit+1, maxPageBytes)
	if err != nil || len(found) == 0 {
		return nil, 0, err
	}
	full := len(found) <= limit && found[len(found)-1].Seq() != int64(m.Last) && found[len(found)-1].Seq() != int64(m.First())
	if len(found) > limit {
		found = found[:limit]
		full = true
	}
	if list, err = r.renderAll(found); err != nil {
		return nil, 0, err
	}
	if n := fitting(list); n < len(list) {
		list = list[:n]
		full = true
	}
	if full {
		next = list[len(list)-1].MessageSeq
	}
	if !req.Newer {
		slices.Reverse(list)
	}
	return list, next, nil
}

// queryCombine reads what a combine message combines. Whoever knows its ID was shown it.
func (a *attachment) queryCombine(s *session, id uint64, req *wire.QueryCombineMessageRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		combine := req.CombineId
		if combine == "" {
			m, _, refused, err := r.message(req.Message)
			if refused != nil || err != nil {
				return nil, refused, err
			}
			content := new(wire.CombineContent)
			if m.Type != msgtype.Combine || proto.Unmarshal(m.Content, content) != nil {
				return nil, refuse(codeParamsInvalid, "that is no combine message"), nil
			}
			combine = content.CombineId
		}
		copies, more, err := r.Combined(combine, req.Next, maxPageBytes)
		if err == nil && len(copies) == 0 {
			return nil, refuse(codeTargetNotExist, "there is no such combine message"), nil
		}
		var list []*wire.Message
		for _, b := range copies {
			m := new(wire.Message)
			if err := proto.Unmarshal(b, m); err != nil {
				return nil, nil, err
			}
			m.Content = r.signed(m.Type, m.Content)
			list = append(list, m)
		}
		if n := fitting(list); n < len(list) {
			list = list[:n]
			more = true
		}
		next := int64(0)
		if more {
			next = req.Next + int64(len(list))
		}
		return messagesResponse(list, next), nil, err
	})
}

// queryReplied reads the tree of replies that a message is in.
func (a *attachment) queryReplied(s *session, id uint64, req *wire.QueryRepliedMessagesRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		if req.Count > maxPage || req.Count < 0 {
			return nil, refuse(codeParamsInvalid, "a page has up to 100 messages"), nil
		}
		m, member, refused, err := r.message(req.Message)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		w, err := r.render(m)
		if err != nil {
			return nil, nil, err
		}
		root := m.Place
		if w.RepliedInfo != nil {
			root = m.Conversation.Place(w.RepliedInfo.RootSeq)
		}
		resp := new(wire.RepliedMessages)
		if err := r.root(resp, member, root); err != nil {
			return nil, nil, err
		}
		list, next, err := r.replies(member, root, req)
		resp.Messages, resp.Next = list, next
		return &wire.Response{Body: &wire.Response_RepliedMessages{RepliedMessages: resp}}, nil, err
	})
}

// root tells of the root of a tree what the member may know of it.
func (r *reader) root(resp *wire.RepliedMessages, m *store.Member, place int64) error {
	root, err := r.MessageAt(place)
	if err != nil {
		return err
	}
	if root == nil || root.Seq() <= int64(m.Joined) {
		resp.RootState = repliedNotFound
		return nil
	}
	if resp.Root, err = r.render(root); err != nil {
		return err
	}
	resp.RootRepliedCount, resp.RootSenderUserId, resp.RootSentTimeMs = resp.Root.RootRepliedCount, root.Sender.UserID, root.Time
	seen, err := r.seen(m, root.Seq())
	if seen == nil {
		resp.Root, resp.RootState = nil, repliedDeleted
	}
	return err
}

func (r *reader) replies(m *store.Member, root int64, req *wire.QueryRepliedMessagesRequest) (list []*wire.Message, next int64, err error) {
	limit := pageSize(req.Count, defaultPage)
	found, err := r.Replies(root, m.Conversation.Place(min(max(req.Next, 0), maxSeq)), int64(limit)+1)
	for i, p := range found {
		if err != nil {
			break
		}
		if i == limit {
			next = int64(uint32(found[i-1]))
			break
		}
		var msg *store.Message
		if msg, err = r.seen(m, int64(uint32(p))); msg != nil {
			var w *wire.Message
			w, err = r.render(msg)
			list = append(list, w)
		}
	}
	if n := fitting(list); n < len(list) {
		list = list[:n]
		next = list[n-1].MessageSeq
	}
	return list, next, err
}

// The documented kinds of deletions.
const deletedMessages, deletedConversation, deletedAll = 0, 1, 2

// deleteMessages hides messages from the user.
func (a *attachment) deleteMessages(s *session, id uint64, req *wire.DeleteMessagesRequest) {
	a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		if req.Conversation == nil {
			return new(wire.Response), nil, c.deleteAll()
		}
		m, refused, err := c.conversation(req.Conversation)
		if refused != nil || err != nil || m == nil {
			return new(wire.Response), refused, err
		}
		if len(req.Seqs) > maxDeleted {
			return nil, refuse(codeParamsInvalid, "up to 100 messages are deleted at once"), nil
		}
		deleted := &wire.MessagesDeleted{Type: deletedConversation, Conversation: req.Conversation}
		e := &wire.Event{Deleted: deleted}
		if len(req.Seqs) == 0 {
			m.Cleared = m.Last
			m.Read()
		} else if refused, err := c.hide(m, req.Seqs, e); refused != nil || err != nil || len(deleted.Messages) == 0 {
			return new(wire.Response), refused, err
		}
		if err := c.PutMember(m); err != nil {
			return nil, nil, err
		}
		return new(wire.Response), nil, c.tell(c.self, m.Conversation.Place(1), e)
	})
}

// hide deletes messages for a member. Those that are not there are passed over.
func (c *change) hide(m *store.Member, seqs []int64, e *wire.Event) (*wire.Error, error) {
	var list []*store.Message
	for _, seq := range seqs {
		msg, err := c.seen(m, seq)
		if err != nil {
			return nil, err
		}
		if msg == nil || slices.ContainsFunc(list, func(other *store.Message) bool { return other.Place == msg.Place }) {
			continue
		}
		if msg.Type == msgtype.Tips {
			return refuse(codeParamsInvalid, "tips can't be deleted one by one"), nil
		}
		list = append(list, msg)
	}
	e.Deleted.Type = deletedMessages
	for _, msg := range list {
		if err := c.Hide(m.User, msg.Place); err != nil {
			return nil, err
		}
		if msg.Sender.ID != m.User && msg.Flags&store.FlagCounts != 0 && msg.Flags&store.FlagRevoked == 0 && msg.Seq() > int64(m.Seen) {
			m.Forget(1)
		}
		e.Deleted.Messages = append(e.Deleted.Messages, at(msg.Place))
		left := maxQuoting - len(e.Replied)
		if left <= 0 {
			continue
		}
		quoting, err := c.RepliesTo(msg.Place, int64(left))
		if err != nil {
			return nil, err
		}
		e.Replied = append(e.Replied, places(quoting)...)
	}
	return nil, nil
}

// deleteAll hides all messages of all conversations from the user.
func (c *change) deleteAll() error {
	list, err := c.Conversations(c.self)
	if err != nil {
		return err
	}
	e := &wire.Event{Deleted: &wire.MessagesDeleted{Type: deletedAll}}
	for _, m := range list {
		if m.Cleared == m.Last {
			continue
		}
		m.Cleared = m.Last
		m.Read()
		if err := c.PutMember(m); err != nil {
			return err
		}
		e.Conversations = append(e.Conversations, refOf(m.Conversation, c.self.UserID))
	}
	return c.tellTouched(0, e)
}
