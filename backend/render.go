package backend

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

// someUsers is how many users are named with a reaction.
const someUsers = 5

// render makes what the user sees of a message.
func (r *reader) render(m *store.Message) (*wire.Message, error) {
	c := m.Conversation
	w := &wire.Message{
		MessageId:        m.ID,
		MessageSeq:       m.Seq(),
		OrderKey:         m.ID,
		TimestampMs:      m.Time,
		ConversationType: c.Type,
		ConversationId:   c.Name(r.self.UserID),
		Type:             m.Type,
		Content:          m.Content,
		ExtendedData:     m.Extended,
		Priority:         m.Priority,
	}
	own := m.Sender.ID == r.self.ID
	if own || c.Type != store.ConversationPeer {
		w.SenderUserId = m.Sender.UserID
	}
	if own {
		w.LocalMessageId = m.ClientID
	}
	if m.More != nil {
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(m.More, w); err != nil {
			return nil, err
		}
	}
	var err error
	if m.Flags&store.FlagReceipt != 0 {
		var receipt *wire.Receipt
		if receipt, err = r.receipt(m); err != nil {
			return nil, err
		}
		w.ReceiptStatus = receipt.Status
	}
	if m.Flags&store.FlagReactions != 0 {
		if w.Reactions, err = r.reactions(m.Place); err != nil {
			return nil, err
		}
	}
	if info := w.RepliedInfo; info != nil {
		if err := r.quote(c, info); err != nil {
			return nil, err
		}
		info.Content = r.signed(info.Type, info.Content)
	}
	w.Content = r.signed(m.Type, m.Content)
	return w, nil
}

// The documented states of what a reply quotes.
const repliedNormal, repliedDeleted, repliedNotFound = 0, 1, 2

// quote fills in what the message says now that a reply quotes, and whether the user sees it.
func (r *reader) quote(c *store.Conversation, info *wire.RepliedInfo) error {
	source, err := r.MessageAt(c.Place(info.MessageSeq))
	if source == nil || err != nil {
		info.State = repliedNotFound
		return err
	}
	info.Type, info.Content = source.Type, source.Content
	m, err := r.Member(c, r.self.ID)
	if err != nil {
		return err
	}
	if m == nil || source.Seq() <= int64(m.Joined) {
		info.State = repliedNotFound
		return nil
	}
	sees, err := r.sees(m, source.Seq())
	if info.State = repliedNormal; !sees {
		info.State = repliedDeleted
	}
	return err
}

func (r *reader) reactions(at int64) ([]*wire.Reaction, error) {
	list, err := r.Reactions(at)
	reactions := make([]*wire.Reaction, len(list))
	for i, e := range list {
		reactions[i] = &wire.Reaction{Type: e.Type, TotalCount: e.Users, SumCount: e.Sum, IsSelfIncluded: e.Self, UserIds: e.Some}
	}
	return reactions, err
}

// renderAt is render for the message at a place. It returns nil if there is none.
func (r *reader) renderAt(place int64) (*wire.Message, error) {
	m, err := r.MessageAt(place)
	if m == nil || err != nil {
		return nil, err
	}
	return r.render(m)
}

// renderAll renders messages.
func (r *reader) renderAll(list []*store.Message) ([]*wire.Message, error) {
	messages := make([]*wire.Message, 0, len(list))
	for _, m := range list {
		w, err := r.render(m)
		if err != nil {
			return nil, err
		}
		messages = append(messages, w)
	}
	return messages, nil
}

// visibleAt is renderAt for what the user sees.
func (r *reader) visibleAt(place int64) (*wire.Message, error) {
	m, err := r.MessageAt(place)
	if m == nil || err != nil {
		return nil, err
	}
	member, err := r.Member(m.Conversation, r.self.ID)
	if member == nil || err != nil {
		return nil, err
	}
	if sees, err := r.sees(member, m.Seq()); !sees || err != nil {
		return nil, err
	}
	return r.render(m)
}

// fill returns e with the messages for which it has places. Of those that are gone, or that the user does not see, it says nothing:
// but what came is told before what became of it, and what was deleted was seen.
func (r *reader) fill(e *wire.Event) (*wire.Event, error) {
	e = proto.CloneOf(e)
	var err error
	get := func(m *wire.Message, render func(place int64) (*wire.Message, error)) *wire.Message {
		if m == nil || err != nil {
			return nil
		}
		var w *wire.Message
		w, err = render(m.OrderKey)
		return w
	}
	e.Message, e.Revoked, e.Edited = get(e.Message, r.renderAt), get(e.Revoked, r.visibleAt), get(e.Edited, r.visibleAt)
	if e.Reaction != nil {
		e.Reaction.Message = get(e.Reaction.Message, r.visibleAt)
	}
	for _, p := range e.Pins {
		user, time := p.Message.PinnedUserId, p.Message.PinnedTimeMs
		if p.Message = get(p.Message, r.visibleAt); p.Message != nil {
			p.Message.PinnedUserId, p.Message.PinnedTimeMs = user, time
		}
	}
	e.Pins = slices.DeleteFunc(e.Pins, func(p *wire.PinChange) bool { return p.Message == nil })
	room := maxEventBytes
	all := func(list []*wire.Message, render func(place int64) (*wire.Message, error), beyond func(m *wire.Message) *wire.Message) []*wire.Message {
		for i := range list {
			if room <= 0 && beyond == nil {
				list[i] = nil
			} else {
				list[i] = get(list[i], render)
			}
			if list[i] == nil {
				continue
			}
			if n := proto.Size(list[i]); n <= room {
				room -= n
			} else if beyond != nil {
				list[i] = beyond(list[i])
			} else {
				list[i], room = nil, 0 // no more of these
			}
		}
		return slices.DeleteFunc(list, func(m *wire.Message) bool { return m == nil })
	}
	if e.Deleted != nil {
		e.Deleted.Messages = all(e.Deleted.Messages, r.renderAt, nameOf)
	}
	e.Replied = all(e.Replied, r.visibleAt, nil)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// maxEventBytes is how large messages may be that an event brings beside its first one: what a client accepts at once has room for a
// page of events and the last one of them. Of what is larger, it tells only which messages they are, or not even that.
const maxEventBytes = 128 << 10

// nameOf returns which message it is, without what it says.
func nameOf(m *wire.Message) *wire.Message {
	return &wire.Message{
		MessageId: m.MessageId, MessageSeq: m.MessageSeq, OrderKey: m.OrderKey, TimestampMs: m.TimestampMs, LocalMessageId: m.LocalMessageId,
		ConversationType: m.ConversationType, ConversationId: m.ConversationId, SenderUserId: m.SenderUserId, Type: m.Type, Priority: m.Priority,
	}
}

// fitting returns how many of the first messages of a list fit into an answer: at least one.
func fitting(list []*wire.Message) int {
	size := 0
	for i, m := range list {
		if size += proto.Size(m); size > maxPageBytes && i > 0 {
			return i
		}
	}
	return len(list)
}

// event makes what the user sees of an event.
func (r *reader) event(e *store.Event) (*wire.Event, error) {
	switch {
	case e.Kind == store.EventMessage && e.Message != nil:
		m, err := r.render(e.Message)
		return &wire.Event{Message: m}, err
	case e.Kind == store.EventOther:
		w := new(wire.Event)
		if err := proto.Unmarshal(e.Data, w); err != nil {
			return nil, err
		}
		return r.fill(w)
	}
	return new(wire.Event), nil
}

// receipt returns how far a message was read: for its sender by the others, and for the others by the user.
func (r *reader) receipt(m *store.Message) (*wire.Receipt, error) {
	c := m.Conversation
	receipt := &wire.Receipt{
		Status:       receiptProcessing,
		MessageId:    m.ID,
		MessageSeq:   m.Seq(),
		Conversation: refOf(c, r.self.UserID),
	}
	if m.Sender.ID != r.self.ID {
		at, err := r.ReadAt(m.Place, r.self.ID)
		if err != nil {
			return nil, err
		}
		receipt.ReadTimeMs = at
		if at == 0 && c.Type == store.ConversationPeer {
			member, err := r.Member(c, r.self.ID)
			if err != nil {
				return nil, err
			}
			if int64(member.Receipt) >= m.Seq() {
				receipt.Status = receiptDone
			}
		} else if at != 0 {
			receipt.Status = receiptDone
		}
		return receipt, nil
	}
	n, last, err := r.Readers(m)
	if err != nil {
		return nil, err
	}
	receipt.ReadCount = n
	if c.Type == store.ConversationGroup {
		if receipt.UnreadCount, err = r.Waiting(m, n); err != nil {
			return nil, err
		}
	} else if receipt.UnreadCount = 1 - n; n == 0 {
		other, err := r.User(c.App, c.Name(r.self.UserID))
		if err != nil {
			return nil, err
		}
		member, err := r.Member(c, other.ID)
		if err != nil {
			return nil, err
		}
		if int64(member.Receipt) >= m.Seq() {
			receipt.ReadCount, receipt.UnreadCount = 1, 0
		}
	}
	if receipt.ReadCount > 0 && receipt.UnreadCount == 0 {
		receipt.Status, receipt.ReadTimeMs = receiptDone, last
	}
	return receipt, nil
}

// The documented statuses of receipts.
const receiptNone, receiptProcessing, receiptDone = 0, 1, 2
