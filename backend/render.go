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
		hidden, err := r.Hidden(r.self.ID, c.Place(info.MessageSeq))
		if err != nil {
			return nil, err
		}
		if hidden {
			info.State = repliedDeleted
		}
		info.Content = r.signed(info.Type, info.Content)
	}
	w.Content = r.signed(m.Type, m.Content)
	return w, nil
}

// The documented states of what a reply quotes.
const repliedNormal, repliedDeleted, repliedNotFound = 0, 1, 2

func (r *reader) reactions(at int64) ([]*wire.Reaction, error) {
	list, err := r.Reactions(at, r.self.ID, someUsers)
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

// fill returns e with the messages for which it has places. Of those that are gone, it says nothing.
func (r *reader) fill(e *wire.Event) (*wire.Event, error) {
	e = proto.CloneOf(e)
	var err error
	get := func(m *wire.Message) *wire.Message {
		if m == nil || err != nil {
			return nil
		}
		var w *wire.Message
		w, err = r.renderAt(m.OrderKey)
		return w
	}
	e.Message, e.Revoked, e.Edited = get(e.Message), get(e.Revoked), get(e.Edited)
	if e.Reaction != nil {
		e.Reaction.Message = get(e.Reaction.Message)
	}
	for _, p := range e.Pins {
		user, time := p.Message.PinnedUserId, p.Message.PinnedTimeMs
		if p.Message = get(p.Message); p.Message != nil {
			p.Message.PinnedUserId, p.Message.PinnedTimeMs = user, time
		}
	}
	all := func(list []*wire.Message) []*wire.Message {
		for i := range list {
			list[i] = get(list[i])
		}
		return slices.DeleteFunc(list, func(m *wire.Message) bool { return m == nil })
	}
	e.Replied = all(e.Replied)
	if e.Deleted != nil {
		e.Deleted.Messages = all(e.Deleted.Messages)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
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
	n, last, err := r.Readers(m.Place)
	if err != nil {
		return nil, err
	}
	receipt.ReadCount = n
	if c.Type == store.ConversationGroup {
		if receipt.UnreadCount, err = r.Waiting(m); err != nil {
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
