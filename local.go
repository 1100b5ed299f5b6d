package zim

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// A LocalStore keeps what only this device has of a user's conversations: drafts, local extended data, messages that were inserted, and
// copies of messages to search in. Its methods may be called concurrently, and take their time. What they are given, and what
// they return, is not changed.
type LocalStore interface {
	// PutMessage keeps a message of a user. One with the same LocalKey is replaced.
	PutMessage(userID string, m *Message) error
	// Messages returns what was kept of a conversation, the oldest first.
	Messages(userID string, c ConversationRef) ([]*Message, error)
	// DeleteMessages forgets messages of a conversation, all if there are no keys.
	DeleteMessages(userID string, c ConversationRef, keys []string) error
	// PutDraft keeps the draft of a conversation, or forgets it if it is empty.
	PutDraft(userID string, c ConversationRef, draft string) error
	// Draft returns it, empty if there is none.
	Draft(userID string, c ConversationRef) (string, error)
	// Conversations returns those of which something is kept, in any order.
	Conversations(userID string) ([]ConversationRef, error)
	// Clear forgets a user.
	Clear(userID string) error
}

// LocalKey returns what names a message on this device: the service's ID or, if it has none, the local one.
func (m *Message) LocalKey() string {
	if m.ID != "" {
		return m.ID
	}
	return m.LocalID
}

// A MemoryStore is a [LocalStore] that lives as long as the program. The zero value is ready to use.
type MemoryStore struct {
	// MaxMessages is how many messages of a conversation are kept, the newest. Zero means 1000.
	MaxMessages int

	mu    sync.Mutex
	users map[string]map[ConversationRef]*memoryConversation // guarded by mu
}

type memoryConversation struct {
	draft    string
	messages []*Message // by their order keys
}

// conversation returns what is kept of a conversation. The caller holds mu.
func (s *MemoryStore) conversation(userID string, c ConversationRef) *memoryConversation {
	if s.users == nil {
		s.users = make(map[string]map[ConversationRef]*memoryConversation)
	}
	if s.users[userID] == nil {
		s.users[userID] = make(map[ConversationRef]*memoryConversation)
	}
	v := s.users[userID][c]
	if v == nil {
		v = new(memoryConversation)
		s.users[userID][c] = v
	}
	return v
}

// PutMessage implements [LocalStore].
func (s *MemoryStore) PutMessage(userID string, m *Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.conversation(userID, m.Conversation)
	list := slices.DeleteFunc(slices.Clone(v.messages), func(old *Message) bool { return old.LocalKey() == m.LocalKey() })
	i, _ := slices.BinarySearchFunc(list, m, func(a, b *Message) int { return cmp.Compare(a.OrderKey, b.OrderKey) })
	v.messages = slices.Insert(list, i, m)
	limit := s.MaxMessages
	if limit <= 0 {
		limit = 1000
	}
	if n := len(v.messages) - limit; n > 0 {
		v.messages = v.messages[n:]
	}
	return nil
}

// Messages implements [LocalStore].
func (s *MemoryStore) Messages(userID string, c ConversationRef) ([]*Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.users[userID][c]; v != nil {
		return v.messages, nil
	}
	return nil, nil
}

// DeleteMessages implements [LocalStore].
func (s *MemoryStore) DeleteMessages(userID string, c ConversationRef, keys []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.users[userID][c]; v != nil {
		v.messages = slices.DeleteFunc(slices.Clone(v.messages), func(m *Message) bool {
			return len(keys) == 0 || slices.Contains(keys, m.LocalKey())
		})
	}
	return nil
}

// PutDraft implements [LocalStore].
func (s *MemoryStore) PutDraft(userID string, c ConversationRef, draft string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conversation(userID, c).draft = draft
	return nil
}

// Draft implements [LocalStore].
func (s *MemoryStore) Draft(userID string, c ConversationRef) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.users[userID][c]; v != nil {
		return v.draft, nil
	}
	return "", nil
}

// Conversations implements [LocalStore].
func (s *MemoryStore) Conversations(userID string) ([]ConversationRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []ConversationRef
	for c, v := range s.users[userID] {
		if v.draft != "" || len(v.messages) > 0 {
			list = append(list, c)
		}
	}
	return list, nil
}

// Clear implements [LocalStore].
func (s *MemoryStore) Clear(userID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, userID)
	return nil
}

// localFailed reports a fault of the local store that no call can report.
func (z *ZIM) localFailed(code Code, err error) { z.dispatch.push(&Error{Code: code, Err: err}) }

// drafts returns the drafts that the local store has of a user.
func (f *feed) drafts() map[ConversationRef]string {
	drafts := make(map[ConversationRef]string)
	list, err := f.z.local.Conversations(f.userID)
	for _, c := range list {
		if err != nil {
			break
		}
		var draft string
		if draft, err = f.z.local.Draft(f.userID, c); draft != "" {
			drafts[c] = draft
		}
	}
	if err != nil {
		f.z.localFailed(ErrDatabaseSeleteDatabaseError, err)
	}
	return drafts
}

// keep has the local store keep messages, if it is to keep what the service has, too.
func (f *feed) keep(list ...*Message) {
	if !f.z.keeps {
		return
	}
	for _, m := range list {
		if m.Seq == 0 || m.Conversation.Type == ConversationTypeRoom {
			continue
		}
		if err := f.z.local.PutMessage(f.userID, m); err != nil {
			f.z.localFailed(ErrDatabaseModifyDatabaseError, err)
			return
		}
	}
}

// keepEvent has the local store keep what an event brings.
func (f *feed) keepEvent(e Event) {
	if !f.z.keeps {
		return
	}
	switch e := e.(type) {
	case *PeerMessageReceived:
		f.keep(e.Messages...)
	case *GroupMessageReceived:
		f.keep(e.Messages...)
	case *MessageEdited:
		f.localize(e.MessageList) // or what this device has of them would be lost
	case *MessageRevokeReceived:
		f.localize(e.MessageList)
	case *MessageDeleted:
		all := e.MessageDeleteType == MessageDeleteTypeAllConversationMessagesDeleted
		if all != (e.Conversation == ConversationRef{}) || e.MessageDeleteType == MessageDeleteTypeMessageListDeleted && len(e.MessageList) == 0 {
			return // it does not say what
		}
		if err := f.deleteLocal(e.Conversation, e.MessageList); err != nil {
			f.z.localFailed(ErrDatabaseDeleteDatabaseError, err)
		}
	}
}

// keepFailed keeps a message that could not be sent in the history of this device, or takes it out once it was sent.
func (f *feed) keepFailed(m *Message, failed, before bool) {
	var err error
	if failed {
		err = f.z.local.PutMessage(f.userID, m)
	} else if before {
		err = f.z.local.DeleteMessages(f.userID, m.Conversation, []string{m.LocalID})
	}
	if err != nil {
		f.z.localFailed(ErrDatabaseModifyDatabaseError, err)
	}
}

// localize adds to messages of one conversation what only this device has of them.
func (f *feed) localize(list []*Message) []*Message {
	if len(list) == 0 {
		return list
	}
	kept, err := f.z.local.Messages(f.userID, list[0].Conversation)
	if err != nil {
		f.z.localFailed(ErrDatabaseSeleteDatabaseError, err)
	}
	extended := make(map[string]string)
	for _, m := range kept {
		if m.LocalExtendedData != "" {
			extended[m.LocalKey()] = m.LocalExtendedData
		}
	}
	for _, m := range list {
		m.LocalExtendedData = extended[m.LocalKey()]
	}
	f.keep(list...)
	return list
}

// withLocal adds to a page of history what only this device has between its ends. If the local store alone is asked, it is the page.
func (f *feed) withLocal(op string, c ConversationRef, page []*Message, more bool, count int, config MessageQueryConfig) ([]*Message, bool, error) {
	kept, err := f.z.local.Messages(f.userID, c)
	if err != nil {
		return nil, false, &Error{Op: op, Code: ErrDatabaseSeleteDatabaseError, Err: err}
	}
	var low, high int64 = 0, 1<<63 - 1
	if next := config.NextMessage; next != nil && config.Reverse {
		high = next.OrderKey - 1
	} else if next != nil {
		low = next.OrderKey + 1
	}
	if more && len(page) > 0 {
		if config.Reverse {
			low = page[0].OrderKey
		} else {
			high = page[len(page)-1].OrderKey
		}
	}
	there := make(map[string]bool)
	for _, m := range page {
		there[m.LocalID] = true
	}
	for _, m := range kept {
		if m.ID == "" && m.LocalID != "" && there[m.LocalID] {
			continue // it seemed to have failed, and was stored
		}
		if low <= m.OrderKey && m.OrderKey <= high && (m.ID == "" || config.Mode == MessageQueryModeOnlyLocal) {
			page = append(page, m)
		}
	}
	slices.SortStableFunc(page, func(a, b *Message) int { return cmp.Compare(a.OrderKey, b.OrderKey) })
	if n := len(page); n > count {
		more = true
		if config.Reverse {
			page = page[n-count:]
		} else {
			page = page[:count]
		}
	}
	return page, more, nil
}

// deleteLocal forgets messages on this device: all of a conversation if list is nil, all of all conversations if there is none.
func (f *feed) deleteLocal(c ConversationRef, list []*Message) error {
	refs := []ConversationRef{c}
	if c == (ConversationRef{}) {
		var err error
		if refs, err = f.z.local.Conversations(f.userID); err != nil {
			return err
		}
	}
	var keys []string
	for _, m := range list {
		keys = append(keys, m.LocalKey())
	}
	for _, ref := range refs {
		if err := f.z.local.DeleteMessages(f.userID, ref, keys); err != nil {
			return err
		}
	}
	return nil
}

// SetConversationDraft keeps a draft of up to 8 KB with a conversation, on this device. Empty forgets it. A conversation that is not
// there is made, on this device. It fails with [ErrDatabaseModifyDatabaseError] if the local store does.
func (z *ZIM) SetConversationDraft(ctx context.Context, c ConversationRef, draft string) error {
	const op = "SetConversationDraft"
	s, e := z.active(op)
	if e != nil {
		return e
	}
	if e := checkText(op, "draft", draft, maxDraft); e != nil {
		return e
	}
	if c.ID == "" || c.Type != ConversationTypePeer && c.Type != ConversationTypeGroup {
		return invalid(op, "drafts are for conversations with users and groups")
	}
	if err := z.local.PutDraft(s.userID, c, draft); err != nil {
		return &Error{Op: op, Code: ErrDatabaseModifyDatabaseError, Err: err}
	}
	s.feed.chats.alter(c, func(v *Conversation, drafts map[ConversationRef]string) {
		v.Draft = draft
		if drafts[c] = draft; draft == "" {
			delete(drafts, c)
		}
	})
	return nil
}

// InsertMessageToLocalDB puts a message at the end of a conversation that only this device has. It is in the history here, and
// nowhere else; unread counts stay as they are. Commands, tips and revoked messages can't be inserted.
func (z *ZIM) InsertMessageToLocalDB(ctx context.Context, content Content, c ConversationRef, senderUserID string) (*Message, error) {
	const op = "InsertMessageToLocalDB"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	switch content.(type) {
	case nil, *CommandMessage, *TipsMessage, *RevokeMessage:
		return nil, invalid(op, "a %T can't be inserted", content)
	default:
	}
	if e := checkUserID(op, "sender", senderUserID); e != nil {
		return nil, e
	}
	if c.ID == "" || c.Type < ConversationTypePeer || c.Type > ConversationTypeGroup {
		return nil, invalid(op, "there is no such conversation")
	}
	now := time.Now()
	m := &Message{
		LocalID: z.newLocalID(now).String(), OrderKey: s.feed.chats.newest(c, orderKeyAt(now)), Sender: senderUserID, Conversation: c,
		Direction: MessageDirectionReceive, SentStatus: MessageSentStatusSuccess, Time: now, Priority: MessagePriorityLow,
		Content: content, IsUserInserted: true,
	}
	if senderUserID == s.userID {
		m.Direction = MessageDirectionSend
	}
	if err := z.local.PutMessage(s.userID, m); err != nil {
		return nil, &Error{Op: op, Code: ErrDatabaseModifyDatabaseError, Err: err}
	}
	if c.Type != ConversationTypeRoom {
		s.feed.chats.alter(c, func(v *Conversation, _ map[ConversationRef]string) { v.LastMessage, v.OrderKey = m, m.OrderKey })
	}
	return m, nil
}

// UpdateMessageLocalExtendedData keeps up to 128 KB with a message, on this device, and returns the message with it.
func (z *ZIM) UpdateMessageLocalExtendedData(ctx context.Context, localExtendedData string, m *Message) (*Message, error) {
	const op = "UpdateMessageLocalExtendedData"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	if m == nil || m.LocalKey() == "" {
		return nil, invalid(op, "the message is nil, or has no ID")
	}
	if e := checkText(op, "local extended data", localExtendedData, maxLocalData); e != nil {
		return nil, e
	}
	with := new(*m)
	with.LocalExtendedData = localExtendedData
	if err := z.local.PutMessage(s.userID, with); err != nil {
		return nil, &Error{Op: op, Code: ErrDatabaseModifyDatabaseError, Err: err}
	}
	return with, nil
}

// alter changes what this device alone has of a conversation, and tells it. A conversation that is not there is made.
func (c *chats) alter(ref ConversationRef, change func(v *Conversation, drafts map[ConversationRef]string)) {
	c.mu.Lock()
	event := ConversationEventUpdated
	v := new(Conversation)
	conversations, _ := c.wants()
	if old := c.known[ref]; old != nil {
		*v = *old
	} else {
		event = ConversationEventAdded
		*v = Conversation{ConversationID: ref.ID, Type: ref.Type, NotificationStatus: ConversationNotificationStatusNotify, local: true}
		v.OrderKey = orderKeyAt(time.Now())
	}
	change(v, c.drafts)
	if event == ConversationEventAdded && conversations && v.LastMessage == nil {
		c.dirty[ref] = true // perhaps the service has more of it
	}
	c.known[ref] = v
	if conversations {
		c.push(&ConversationChanged{InfoList: []ConversationChangeInfo{{Event: event, Conversation: v}}})
	}
	c.mu.Unlock()
	c.refresh()
}

// local returns a conversation that only this device has, or nil.
func (c *chats) local(ref ConversationRef) *Conversation {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.known[ref]; v != nil && v.local {
		return v
	}
	return nil
}
