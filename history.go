package zim

import (
	"context"
	"iter"
	"slices"

	"github.com/zim-go/zim/wire"
)

// MessageQueryConfig asks for a page of a conversation's messages.
type MessageQueryConfig struct {
	// NextMessage is where the page before ended: with Reverse its first message, else its last one. Nil begins at the end of the
	// conversation with Reverse, else at its beginning.
	NextMessage *Message
	// Count is how many are wanted, up to 100. Zero means 30.
	Count int
	// Reverse goes from new messages to old ones. A page is in the order of the messages nevertheless, the oldest first.
	Reverse bool
	// Mode says whether the service is asked, or only this device's store.
	Mode MessageQueryMode
}

// QueryHistoryMessage returns a page of a conversation's messages, without those that the user has deleted, and with what stands in
// the place of revoked ones. An empty page is the end. For all of them, see [ZIM.HistoryMessages]. Of rooms, nothing is kept.
//
// Messages that only this device has are in it, too: see [ZIM.InsertMessageToLocalDB]. It fails with [ErrGroupUserIsNotInTheGroup] and
// [ErrGroupGroupDoesNotExist] for a group that the user never was in, with [ErrNetworkNetworkError] without a connection, and with the
// codes of any call. (Documented in the chapter on history.)
func (z *ZIM) QueryHistoryMessage(ctx context.Context, c ConversationRef, config MessageQueryConfig) ([]*Message, error) {
	list, _, err := z.historyPage(ctx, "QueryHistoryMessage", c, config)
	return list, err
}

// HistoryMessages yields all of a conversation's messages, from new to old ones with [MessageOrderDescending], else from old to new
// ones, and gets page after page. A page that fails ends the sequence with its error.
func (z *ZIM) HistoryMessages(ctx context.Context, c ConversationRef, order MessageOrder) iter.Seq2[*Message, error] {
	config := MessageQueryConfig{Count: maxPage, Reverse: order == MessageOrderDescending}
	return paginate(ctx, config, func(config MessageQueryConfig) (list []*Message, next MessageQueryConfig, more bool, err error) {
		list, more, err = z.historyPage(ctx, "HistoryMessages", c, config)
		next = config
		if len(list) > 0 {
			if next.NextMessage = list[len(list)-1]; config.Reverse {
				next.NextMessage = list[0]
				slices.Reverse(list)
			}
		}
		return list, next, more && len(list) > 0, err
	})
}

func (z *ZIM) historyPage(ctx context.Context, op string, c ConversationRef, config MessageQueryConfig) ([]*Message, bool, error) {
	s, e := z.active(op)
	if e != nil {
		return nil, false, e
	}
	if config.Count < 0 {
		return nil, false, invalid(op, "the count is %d", config.Count)
	}
	count := min(config.Count, maxPage)
	if count == 0 {
		count = 30
	}
	var list []*Message
	more := false
	if config.Mode != MessageQueryModeOnlyLocal {
		req := &wire.QueryMessagesRequest{Conversation: c.wire(), Newer: !config.Reverse, Count: int32(count)}
		if next := config.NextMessage; next != nil {
			if req.After = next.Seq; next.Seq == 0 {
				req.AfterOrderKey = next.OrderKey // only this device has it
			}
		}
		resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryMessages{QueryMessages: req}})
		if err != nil {
			return nil, false, err
		}
		list, more = s.feed.messages(resp.GetMessages()), resp.GetMessages().GetNext() != 0
	}
	return s.feed.withLocal(op, c, list, more, count, config)
}

// messages makes messages of w, with what this device has of them.
func (f *feed) messages(w *wire.Messages) []*Message { return f.localize(f.decode(w)) }

func (f *feed) decode(w *wire.Messages) []*Message {
	files := f.fileServer()
	list := make([]*Message, 0, len(w.GetMessages()))
	for _, m := range w.GetMessages() {
		list = append(list, message(m, f.userID, files))
	}
	return list
}

// QueryMessages returns the messages of a conversation with some numbers (Message.Seq), up to 10, as far as there are such that the user can
// see. It fails as [ZIM.QueryHistoryMessage].
func (z *ZIM) QueryMessages(ctx context.Context, c ConversationRef, messageSeqs []int64) ([]*Message, error) {
	const op = "QueryMessages"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	if n := len(messageSeqs); n == 0 || n > maxNumbered {
		return nil, invalid(op, "there are %d numbers, it may be 1 to %d", n, maxNumbered)
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryMessages{
		QueryMessages: &wire.QueryMessagesRequest{Conversation: c.wire(), Seqs: messageSeqs},
	}})
	if err != nil {
		return nil, err
	}
	return s.feed.messages(resp.GetMessages()), nil
}

// QueryCombineMessageDetail returns the combine message m with what it combines in its MessageList. Combine messages among
// those need another call each. It fails with [ErrMessageTargetDoesNotExist] if the service does not know m.
func (z *ZIM) QueryCombineMessageDetail(ctx context.Context, m *Message) (*Message, error) {
	const op = "QueryCombineMessageDetail"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	req := new(wire.QueryCombineMessageRequest)
	c, ok := m.combined()
	switch {
	case ok && c.CombineID != "":
		req.CombineId = c.CombineID
	case m != nil && m.Seq != 0:
		req.Message = wireMessageRef(m)
		c = new(CombineMessage)
	default:
		return nil, invalid(op, "the message is no combine message that was sent")
	}
	list := []*Message{}
	for {
		resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryCombineMessage{QueryCombineMessage: req}})
		if err != nil {
			return nil, err
		}
		// They are copies, in the words of who combined them: this device's store has no place for them.
		page := s.feed.decode(resp.GetMessages())
		list = append(list, page...)
		if req.Next = resp.GetMessages().GetNext(); req.Next == 0 || len(page) == 0 || len(list) >= maxCombined {
			break
		}
	}
	full, content := new(*m), new(*c)
	content.MessageList = list
	full.Content = content
	return full, nil
}

func (m *Message) combined() (*CombineMessage, bool) {
	if m == nil {
		return nil, false
	}
	c, ok := m.Content.(*CombineMessage)
	return c, ok
}

// MessageDeleteConfig refines the deletion of messages.
type MessageDeleteConfig struct {
	// KeepServerMessage deletes only what this device's store has. (The documented isAlsoDeleteServerMessage, the other way
	// round.)
	KeepServerMessage bool
}

// MessageDeleted tells this user's devices that messages were deleted for the user, on another device or, for all
// conversations together, on this one. Others still have them.
type MessageDeleted struct {
	MessageDeleteType MessageDeleteType
	Conversation      ConversationRef // the zero value if it is about all conversations
	MessageList       []*Message      // for MessageDeleteTypeMessageListDeleted
}

func (*MessageDeleted) event() eventKind { return kindMessageDeleted }

// DeleteMessages deletes up to 100 messages of a conversation with a user or a group, for this user, on all devices. Others keep
// them. Messages that are not there are passed over; tips can't be deleted one by one. A nil config means the zero MessageDeleteConfig.
func (z *ZIM) DeleteMessages(ctx context.Context, c ConversationRef, messageList []*Message, config *MessageDeleteConfig) error {
	const op = "DeleteMessages"
	if n := len(messageList); n == 0 || n > maxDeleted {
		return invalid(op, "there are %d messages, it may be 1 to %d", n, maxDeleted)
	}
	req := &wire.DeleteMessagesRequest{Conversation: c.wire()}
	for i, m := range messageList {
		if m == nil || m.Conversation != c {
			return invalid(op, "message %d is nil, or of another conversation", i)
		}
		if m.SentStatus == MessageSentStatusSending {
			return invalid(op, "message %d is being sent", i)
		}
		if m.Seq != 0 {
			req.Seqs = append(req.Seqs, m.Seq)
		}
	}
	return z.deleteMessages(ctx, op, c, messageList, req, config)
}

// DeleteAllMessage is [ZIM.DeleteMessages] for all messages of a conversation, which stays.
func (z *ZIM) DeleteAllMessage(ctx context.Context, c ConversationRef, config *MessageDeleteConfig) error {
	return z.deleteMessages(ctx, "DeleteAllMessage", c, nil, &wire.DeleteMessagesRequest{Conversation: c.wire()}, config)
}

// DeleteAllConversationMessages is [ZIM.DeleteMessages] for all messages of all conversations, which stay.
func (z *ZIM) DeleteAllConversationMessages(ctx context.Context, config *MessageDeleteConfig) error {
	return z.deleteMessages(ctx, "DeleteAllConversationMessages", ConversationRef{}, nil, new(wire.DeleteMessagesRequest), config)
}

func (z *ZIM) deleteMessages(ctx context.Context, op string, c ConversationRef, list []*Message, req *wire.DeleteMessagesRequest, config *MessageDeleteConfig) error {
	s, e := z.active(op)
	if e != nil {
		return e
	}
	if c.Type == ConversationTypeRoom {
		return invalid(op, "of rooms, no messages are kept")
	}
	keep := config != nil && config.KeepServerMessage
	if !keep && (list == nil || len(req.Seqs) > 0) {
		if _, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_DeleteMessages{DeleteMessages: req}}); err != nil {
			return err
		}
	}
	if err := s.feed.deleteLocal(c, list); err != nil {
		return &Error{Op: op, Code: ErrDatabaseDeleteDatabaseError, Err: err}
	}
	return nil
}
