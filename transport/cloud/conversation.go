package cloud

import (
	"context"
	"slices"

	"github.com/zim-go/zim/wire"
)

const (
	listLimit   = 500 // conversations that are read at once
	listPages   = 3   // the service has 1000 at most
	maxShown    = 50  // conversations in a page: each costs a request for its last message
	maxMark     = 30
	maxPinned   = 20 // conversations in one request
	maxSilenced = 10
)

// A row is a conversation in the service's list.
type row struct {
	Conversation
	updated int64
}

// conversations reads the user's list, the newest conversation first.
func (s *Service) conversations(ctx context.Context, userID string) (list []row, err error) {
	next := int64(0)
	for range listPages {
		answer, err := s.call(ctx, queryConversationList, "", object{"FromUserId": userID, "Limit": listLimit, "Next": next})
		if err != nil {
			return nil, err
		}
		for _, o := range answer.objects("List") {
			if typ := o.num("ConvType"); typ == peer || typ == group {
				list = append(list, row{Conversation{o.text("ConvId"), typ == group}, o.millis("UpdateTime")})
			}
		}
		if next = answer.num("Next"); next == 0 {
			break
		}
	}
	slices.SortStableFunc(list, func(a, b row) int { return int(min(max(b.updated-a.updated, -1), 1)) })
	return list, nil
}

// queryConversations reads the conversations that are named, or a page of the list.
func (c *conn) queryConversations(ctx context.Context, r *wire.QueryConversationsRequest) (*wire.Response, error) {
	answer := new(wire.Conversations)
	resp := &wire.Response{Body: &wire.Response_Conversations{Conversations: answer}}
	if r.Since != nil {
		return resp, nil // nobody knows what changed while there was no connection
	}
	if f := r.Filter; f != nil && (f.OnlyUnread || len(f.Marks) > 0 || f.Pinned == 1) {
		return nil, unsupported("the service tells neither what is unread, nor what is marked or pinned")
	}
	if len(r.Refs) == 0 && r.Count <= 0 {
		return resp, nil
	}
	rows, err := c.s.conversations(ctx, c.user)
	if err != nil {
		return nil, err
	}
	if len(r.Refs) > 0 {
		rows = named(rows, r.Refs, answer)
	} else {
		rows, answer.More = listed(rows, r)
	}
	for i, row := range rows {
		if i == maxShown {
			answer.Left = append(answer.Left, row.ref())
			continue
		}
		w, err := c.conversation(ctx, row)
		if err != nil {
			return nil, err
		}
		answer.Conversations = append(answer.Conversations, w)
	}
	return resp, nil
}

// named returns the rows of refs, and puts those that have none into answer.
func named(rows []row, refs []*wire.ConversationRef, answer *wire.Conversations) (list []row) {
	for _, ref := range refs {
		w, err := where(ref)
		i := slices.IndexFunc(rows, func(r row) bool { return r.Conversation == w })
		if err != nil || i < 0 {
			answer.Missing = append(answer.Missing, ref)
			continue
		}
		list = append(list, rows[i])
	}
	return list
}

// listed returns the page that r asks for, and reports whether there is more.
func listed(rows []row, r *wire.QueryConversationsRequest) ([]row, bool) {
	rows = slices.DeleteFunc(rows, func(row row) bool {
		typ := row.ref().Type
		return len(r.Filter.GetTypes()) > 0 && !slices.Contains(r.Filter.GetTypes(), typ)
	})
	if after := r.After; after != nil {
		w, _ := where(after.Ref)
		i := slices.IndexFunc(rows, func(row row) bool { return row.Conversation == w })
		if i < 0 { // it was deleted meanwhile
			i = slices.IndexFunc(rows, func(row row) bool { return orderKey(row.updated, 0) < after.OrderKey }) - 1
			if i == -2 {
				i = len(rows) - 1
			}
		}
		rows = rows[i+1:]
	}
	n := min(len(rows), int(r.Count), maxShown)
	return rows[:n], n < len(rows)
}

// conversation adds the last message to a row.
func (c *conn) conversation(ctx context.Context, r row) (*wire.Conversation, error) {
	w := &wire.Conversation{Ref: r.ref(), OrderKey: orderKey(r.updated, 0)}
	page, _, err := c.s.page(ctx, c.user, r.Conversation, 0, 1)
	if err != nil {
		return nil, err
	}
	if len(page) > 0 {
		w.LastMessage = page[0]
	}
	return w, nil
}

// named returns the conversations that refs name, or all of the user's if there are none.
func (c *conn) named(ctx context.Context, refs ...*wire.ConversationRef) (list []Conversation, err error) {
	for _, ref := range refs {
		w, err := where(ref)
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	if len(refs) > 0 {
		return list, nil
	}
	rows, err := c.s.conversations(ctx, c.user)
	for _, row := range rows {
		list = append(list, row.Conversation)
	}
	return list, err
}

// changeConversations changes what only the user has of conversations.
func (c *conn) changeConversations(ctx context.Context, r *wire.ChangeConversationsRequest) (*wire.Response, error) {
	list, err := c.named(ctx, r.Refs...)
	if err != nil {
		return nil, err
	}
	var failed []*wire.ConversationRef
	switch change := r.Change.(type) {
	case *wire.ChangeConversationsRequest_Pin:
		err = c.pin(ctx, list, change.Pin)
	case *wire.ChangeConversationsRequest_NotificationStatus:
		err = c.silence(ctx, list, change.NotificationStatus == 2)
	case *wire.ChangeConversationsRequest_Mark:
		failed, err = c.mark(ctx, list, change.Mark)
	case *wire.ChangeConversationsRequest_ClearUnread:
		err = c.each(ctx, clearConversationUnread, list)
	case *wire.ChangeConversationsRequest_Delete:
		err = c.each(ctx, deleteConv, list)
	default:
		err = unsupported("the service has no such change")
	}
	if err != nil {
		return nil, err
	}
	return &wire.Response{Body: &wire.Response_ChangeConversations{ChangeConversations: &wire.ChangeConversationsResponse{Failed: failed}}}, nil
}

// each performs an action for one conversation after the other. Some may be done when it fails.
func (c *conn) each(ctx context.Context, a *action, list []Conversation) error {
	for _, w := range list {
		ref := w.ref()
		if _, err := c.s.call(ctx, a, "", object{"FromUserId": c.user, "ConvId": ref.Id, "ConvType": ref.Type}); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) pin(ctx context.Context, list []Conversation, pin bool) error {
	typ := 0
	if pin {
		typ = 1
	}
	for part := range slices.Chunk(list, maxPinned) {
		refs := []object{}
		for _, w := range part {
			ref := w.ref()
			refs = append(refs, object{"ConvId": ref.Id, "ConvType": ref.Type})
		}
		answer, err := c.s.call(ctx, convPinned, "", object{"FromUserId": c.user, "ConvList": refs, "PinnedType": typ})
		if err := firstFailure(convPinned, answer, err); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) silence(ctx context.Context, list []Conversation, enable bool) error {
	for _, typ := range []int32{peer, group} {
		var ids []string
		for _, w := range list {
			if w.Group == (typ == group) {
				ids = append(ids, w.ID)
			}
		}
		for part := range slices.Chunk(ids, maxSilenced) {
			answer, err := c.s.call(ctx, silenceConvNotification, "", object{"FromUserId": c.user, "ConvType": typ, "ConvIds": part, "Enable": enable})
			if err := firstFailure(silenceConvNotification, answer, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// firstFailure is the error of a call that is about some conversations, unless all that failed is as good as done.
func firstFailure(a *action, answer object, err error) error {
	failed, err := batch(answer, err, "ErrorList")
	for _, f := range failed {
		if c, known := codes[f.Code]; !known || c.zim != 0 {
			return &Error{Action: a.name, Code: f.Code, RequestID: answer.text("RequestId")}
		}
	}
	return err
}

func (c *conn) mark(ctx context.Context, list []Conversation, m *wire.ConversationMark) ([]*wire.ConversationRef, error) {
	if m.GetMark() < 1 || m.GetMark() > maxMark {
		return nil, refused{code: codeInvalid, why: "the service has marks 1 to 30"}
	}
	peers, groups := object{}, object{}
	for _, w := range list {
		content := object{"MarkContent": m.Mark}
		if w.Group {
			groups[w.ID] = content
		} else {
			peers[w.ID] = content
		}
	}
	entries := []object{}
	for key, set := range map[string]object{"SetMarkC2c": peers, "SetMarkGroup": groups} {
		if len(set) > 0 {
			entries = append(entries, object{"UserId": c.user, "Action": m.Enable, key: set})
		}
	}
	answer, err := c.s.call(ctx, setConvMark, "", object{"FromUserId": c.user, "ConvMarkInfoList": entries})
	if err != nil {
		return nil, err
	}
	var failed []*wire.ConversationRef
	for _, user := range answer.objects("FailList") {
		if n := user.num("SubCode"); n != 0 {
			return nil, &Error{Action: setConvMark.name, Code: n, RequestID: answer.text("RequestId")}
		}
		for _, f := range user.objects("FailList") {
			failed = append(failed, &wire.ConversationRef{Type: f.small("ConvType"), Id: f.text("ConvId")})
		}
	}
	return failed, nil
}

// readConversation says that the newest messages of a conversation were read: the service has no receipt for a whole conversation.
func (c *conn) readConversation(ctx context.Context, r *wire.ReadConversationRequest) (*wire.Response, error) {
	w, err := where(r.Conversation)
	if err != nil {
		return nil, err
	}
	page, _, err := c.s.page(ctx, c.user, w, 0, 30)
	if err != nil {
		return nil, err
	}
	var seqs []int64
	for _, m := range page {
		if m.SenderUserId != c.user {
			seqs = append(seqs, m.MessageSeq)
		}
	}
	if err := c.read(ctx, w, seqs); err != nil {
		return nil, err
	}
	return new(wire.Response), nil
}
