package cloud

import (
	"cmp"
	"context"
	"slices"

	"github.com/zim-go/zim/wire"
)

const (
	maxPage   = 100 // messages
	maxWalk   = 10  // pages that are read to find where to go on
	maxSeqs   = 19  // messages that are asked for by their numbers. The service takes 20, of which the network gets one: see margin
	deleted   = 1   // what stands in IsEmpty
	maxCursor = 100 // conversations whose place in history is kept
)

// cursors has where the history of conversations goes on, by the oldest message that was read. The service's own cursors say nothing of messages.
type cursors map[Conversation]struct{ oldest, next int64 }

// page reads a page of history, the newest message first. next is where the next page begins, zero at the end.
func (s *Service) page(ctx context.Context, userID string, w Conversation, at int64, count int) (list []*wire.Message, next int64, err error) {
	args := w.target(userID)
	if w.Group {
		delete(args, "FromUserId") // a group's history is the same for all
	}
	args["Limit"], args["Next"] = count, at
	answer, err := s.call(ctx, w.pick(queryPeerMsg, queryGroupMsg), "", args)
	if err != nil {
		return nil, 0, err
	}
	for _, o := range answer.objects("List") {
		if o.num("IsEmpty") == 0 {
			list = append(list, historic(o, userID, w))
		}
	}
	return list, answer.num("Next"), nil
}

// historic makes a message of one in history, as userID sees it.
func historic(o object, userID string, w Conversation) *wire.Message {
	ref := w.ref()
	m := &wire.Message{
		MessageId: o.num("MsgId"), MessageSeq: o.num("MsgSeq"), TimestampMs: o.millis("MsgTime"),
		ConversationType: ref.Type, ConversationId: ref.Id, SenderUserId: o.text("Sender"), Type: o.small("MsgType"),
	}
	m.OrderKey = orderKey(m.TimestampMs, m.MessageSeq)
	extended, id := unwrap(o.text("Payload"))
	if m.ExtendedData = extended; m.SenderUserId == userID {
		m.LocalMessageId = id
	}
	m.Content = decodeHistoric(m.Type, o.small("SubMsgType"), o.text("MsgBody"))
	return m
}

// queryMessages reads messages by their numbers, or a page that goes from new ones to old ones.
func (c *conn) queryMessages(ctx context.Context, r *wire.QueryMessagesRequest) (*wire.Response, error) {
	w, err := where(r.Conversation)
	if err != nil {
		return nil, err
	}
	if len(r.Seqs) > 0 {
		list, err := c.numbered(ctx, w, r.Seqs)
		if err != nil {
			return nil, err
		}
		return messages(list, 0), nil
	}
	if r.Newer {
		return nil, unsupported("history goes from new messages to old ones: ask in reverse")
	}
	count := int(min(max(r.Count, 1), maxPage))
	list, more, err := c.older(ctx, w, r, count)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return messages(nil, 0), nil
	}
	slices.Reverse(list)
	if !more {
		return messages(list, 0), nil
	}
	return messages(list, cmp.Or(list[0].MessageSeq, 1)), nil
}

// older reads up to count messages behind the one that r names, the newest first, and reports whether there may be more.
func (c *conn) older(ctx context.Context, w Conversation, r *wire.QueryMessagesRequest, count int) (list []*wire.Message, more bool, err error) {
	c.mu.Lock()
	known, ok := c.cursors[w]
	c.mu.Unlock()
	at, size := int64(0), count
	behind := func(m *wire.Message) bool { return true }
	switch {
	case r.After != 0 && ok && known.oldest == r.After:
		at = known.next
	case r.After != 0:
		size = maxPage
		behind = func(m *wire.Message) bool { return m.MessageSeq < r.After }
	case r.AfterOrderKey != 0:
		size = maxPage
		behind = func(m *wire.Message) bool { return m.OrderKey < r.AfterOrderKey }
	}
	for range maxWalk {
		page, next, err := c.s.page(ctx, c.user, w, at, size)
		if err != nil {
			return nil, false, err
		}
		at = next
		for _, m := range page {
			if behind(m) {
				list = append(list, m)
			}
		}
		if len(list) > count {
			return list[:count], true, nil // where it goes on has no cursor
		}
		if len(list) > 0 || next == 0 {
			if len(list) > 0 && next != 0 {
				c.keep(w, list[len(list)-1].MessageSeq, next)
			}
			return list, next != 0, nil
		}
	}
	return nil, false, unsupported("the place in history is too far from the newest message")
}

func (c *conn) keep(w Conversation, oldest, next int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cursors == nil || len(c.cursors) >= maxCursor {
		c.cursors = make(cursors)
	}
	c.cursors[w] = struct{ oldest, next int64 }{oldest, next}
}

// numbered reads messages by their numbers, in their order. What the user has deleted is left out.
func (c *conn) numbered(ctx context.Context, w Conversation, seqs []int64) (list []*wire.Message, err error) {
	if len(seqs) > maxSeqs {
		return nil, refused{code: codeInvalid, why: "more than 19 messages are asked for by their numbers"}
	}
	ref := w.ref()
	answer, err := c.s.call(ctx, queryMessagesByMsgSeq, "", object{"FromUserId": c.user, "ConvId": ref.Id, "ConvType": ref.Type, "MsgSeqList": seqs})
	if err != nil {
		return nil, err
	}
	for _, o := range answer.objects("MessageList") {
		if o.num("IsEmpty") != deleted && o.num("MsgSeq") != 0 {
			list = append(list, historic(o, c.user, w))
		}
	}
	slices.SortFunc(list, func(a, b *wire.Message) int { return cmp.Compare(a.MessageSeq, b.MessageSeq) })
	return list, nil
}

func messages(list []*wire.Message, next int64) *wire.Response {
	return &wire.Response{Body: &wire.Response_Messages{Messages: &wire.Messages{Messages: list, Next: next}}}
}
