package zim

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/wire"
)

// translate makes what the handlers get of an event that is more than a message, in the order in which they get it. Of what this
// ZIM did itself, its call has told. The caller holds f.mu.
func (f *feed) translate(q *queued, e *wire.Event, offline bool) {
	own := string(e.Origin) == string(f.z.run[:4])
	tell := func(event Event) {
		if q.event == nil {
			q.event = event
		} else {
			q.more = append(q.more, event)
		}
	}
	touch := func(w *wire.ConversationRef) { f.chats.touch(conversationRef(w)) }
	get := func(w *wire.Message) *Message {
		m := message(w, f.userID, f.files)
		f.chats.touch(m.Conversation)
		return m
	}
	q.bytes = proto.Size(e)
	if w := e.Message; w != nil && !f.sentHere(w.LocalMessageId) {
		m := get(w)
		tell(received(m, MessageReceivedInfo{IsOfflineMessage: offline}))
	}
	if e.Revoked != nil {
		if m := get(e.Revoked); !own || f.doubts[doubtOf(m, true)] {
			tell(&MessageRevokeReceived{MessageList: []*Message{m}})
		}
	}
	if e.Edited != nil {
		if m := get(e.Edited); !own || f.doubts[doubtOf(m, false)] {
			tell(&MessageEdited{MessageList: []*Message{m}})
		}
	}
	if r := e.Reaction; r.GetMessage() != nil {
		tell(reactionsChanged(r, get(r.Message)))
	}
	if len(e.Pins) > 0 {
		pins := &MessagePinStatusChanged{}
		for _, p := range e.Pins {
			if p.Message != nil {
				pins.Infos = append(pins.Infos, MessagePinStatusChangeInfo{PinStatus: MessagePinStatus(p.Status), Message: get(p.Message)})
			}
		}
		tell(pins)
	}
	if d := e.Deleted; d != nil {
		deleted := &MessageDeleted{MessageDeleteType: MessageDeleteType(d.Type), Conversation: conversationRef(d.Conversation)}
		for _, w := range d.Messages {
			deleted.MessageList = append(deleted.MessageList, get(w))
		}
		if d.Conversation != nil {
			touch(d.Conversation)
		}
		if !own || deleted.MessageDeleteType == MessageDeleteTypeAllConversationMessagesDeleted {
			tell(deleted)
		}
	}
	if len(e.Replied) > 0 {
		replied := &MessageRepliedInfoChanged{}
		for _, w := range e.Replied {
			replied.MessageList = append(replied.MessageList, get(w))
		}
		tell(replied)
	}
	if c := e.RepliedCount; c != nil {
		tell(&MessageRepliedCountChanged{Infos: []MessageRootRepliedCountInfo{{
			MessageID: strconv.FormatInt(c.MessageId, 10), Conversation: conversationRef(c.Conversation), Count: c.Count,
		}}})
	}
	if len(e.Receipts) > 0 {
		changed := &MessageReceiptChanged{}
		for _, r := range e.Receipts {
			changed.Infos = append(changed.Infos, receiptInfo(r))
			touch(r.Conversation)
		}
		if !own || !changed.Infos[0].IsSelfOperated {
			tell(changed)
		}
	}
	if r := e.ConversationReceipt; r != nil {
		touch(r.Conversation)
		if !own || !r.IsSelfOperated {
			tell(&ConversationMessageReceiptChanged{Infos: []MessageReceiptInfo{receiptInfo(r)}})
		}
	}
	if g := e.Group; g != nil {
		for _, event := range groupChanged(g) {
			tell(event)
		}
		f.chats.touch(Group(g.GetGroup().GetGroupId()))
	}
	if d := e.ConversationsDeleted; d != nil {
		tell(&ConversationsAllDeleted{Count: int(d.Count)})
		f.chats.drop(e.Conversations)
	} else {
		for _, ref := range e.Conversations {
			touch(ref)
		}
	}
	q.count += len(q.more)
}

// A doubt is about an edit or a revocation whose call ended before the service had answered: if there is an event of it, it has to be told.
type doubt struct {
	conversation ConversationRef
	seq          int64
	revoked      bool
}

// maxDoubts is how many are remembered before all are forgotten.
const maxDoubts = 100

func doubtOf(m *Message, revoked bool) doubt { return doubt{m.Conversation, m.Seq, revoked} }

// doubt takes note of how the call ended, and passes its error on.
func (f *feed) doubt(m *Message, revoked bool, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch CodeOf(err) {
	case ErrCanceled, ErrNetworkRequestTimeout, ErrCommonIMServerDisconnect, ErrNetworkUserHasAlreadyLoggedOut:
		if f.doubts == nil || len(f.doubts) >= maxDoubts {
			f.doubts = make(map[doubt]bool)
		}
		f.doubts[doubtOf(m, revoked)] = true
	default:
		delete(f.doubts, doubtOf(m, revoked))
	}
	return err
}

// An arrival is an event for messages that came, and room for a list of one in the same piece of memory: most come alone.
type arrival struct {
	event PeerMessageReceived
	one   [1]*Message
}

// received returns the event for a message that came.
func received(m *Message, info MessageReceivedInfo) Event {
	a := new(arrival)
	return a.of(m.Conversation, append(a.one[:0], m), info)
}

// of returns the event for messages that came.
func (a *arrival) of(from ConversationRef, messages []*Message, info MessageReceivedInfo) Event {
	a.event = PeerMessageReceived{FromConversationID: from.ID, Messages: messages, Info: info}
	if from.Type == ConversationTypeGroup {
		return (*GroupMessageReceived)(&a.event)
	}
	return &a.event
}
