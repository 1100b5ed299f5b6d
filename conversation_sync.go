package zim

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// chats tell how a user's conversations change. The service alone knows what is unread, mentioned, or last: after an event that
// touched a conversation, chats ask for the conversation as it is now, if somebody handles such events, and for many at once
// if many were touched. What they remember of conversations only tells what is new of them.
type chats struct {
	feed *feed

	mu      sync.Mutex
	conn    transport.Pipeline                         // guarded by mu; nil unless connected
	known   map[ConversationRef]*Conversation          // guarded by mu
	dirty   map[ConversationRef]bool                   // guarded by mu; touched, and not asked for yet
	asking  bool                                       // guarded by mu; a request is under way on conn
	asked   []ConversationRef                          // guarded by mu; what it asks for
	lagging bool                                       // guarded by mu; there was no room for an event
	untold  map[ConversationRef]ConversationChangeInfo // guarded by mu; of those that only this device has, what there was no room for
	total   int64                                      // guarded by mu; what was told last
	told    bool                                       // guarded by mu; total was told since the last login
	waiters []*settling                                // guarded by mu
	drafts  map[ConversationRef]string                 // guarded by mu
}

// A settling is a call that waits until what was touched before it was told.
type settling struct {
	answers int // that are still to come
	done    chan struct{}
}

// maxKnown is how many conversations are remembered before all are forgotten, and maxAsked how many are asked for at once.
const maxKnown, maxAsked = 5000, 100

func newChats(f *feed) *chats {
	c := &chats{feed: f, drafts: make(map[ConversationRef]string)}
	c.clear()
	return c
}

// load reads what the local store has.
func (c *chats) load() {
	drafts := c.feed.drafts()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drafts = drafts
}

func (c *chats) clear() {
	c.known, c.dirty, c.asked = make(map[ConversationRef]*Conversation), make(map[ConversationRef]bool), nil
	c.untold = make(map[ConversationRef]ConversationChangeInfo)
}

// again takes note that what was asked for was not answered. The caller holds mu.
func (c *chats) again() {
	for _, ref := range c.asked {
		c.dirty[ref] = true
	}
	c.asked = nil
}

// underWay reports whether the conversation may be in an answer that is from before what is happening. The caller holds mu.
func (c *chats) underWay(ref ConversationRef) bool {
	return c.asking && (len(c.asked) == 0 || slices.Contains(c.asked, ref))
}

func (c *chats) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
}

func (c *chats) wants() (conversations, total bool) {
	d := c.feed.z.dispatch
	return d.wants(kindConversationChanged), d.wants(kindConversationTotalUnreadMessageCountUpdated)
}

// touch takes note that a conversation may have changed.
func (c *chats) touch(ref ConversationRef) {
	if conversations, total := c.wants(); !conversations && !total || ref.Type == ConversationTypeRoom {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty[ref] = true
}

// drop forgets conversations that were deleted together, which one event tells, and asks which of them are back.
func (c *chats) drop(refs []*wire.ConversationRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range refs {
		ref := conversationRef(w)
		delete(c.known, ref)
		c.dirty[ref] = true
	}
	// Of a message that this device has sent since, there may be word already, which the event takes back.
	for ref, v := range c.known {
		if !v.local {
			delete(c.known, ref)
			c.dirty[ref] = true
		}
	}
	// The total has changed.
	c.dirty[ConversationRef{}] = true
}

// connected asks for what changed behind a position, and for the total, before anything else happens on conn.
func (c *chats) connected(conn transport.Pipeline, since *wire.Position) {
	conversations, total := c.wants()
	syncs := c.feed.z.dispatch.wants(kindConversationSyncStateChanged)
	c.mu.Lock()
	c.conn, c.asking, c.told = conn, conversations || total || syncs, false
	c.again()
	asking := c.asking
	c.mu.Unlock()
	if asking {
		req := &wire.QueryConversationsRequest{Since: since, Total: true}
		conn.Start(&wire.Request{Body: &wire.Request_QueryConversations{QueryConversations: req}}, func(resp *wire.Response, err error) {
			c.answered(conn, resp, err, true)
		})
	}
}

func (c *chats) disconnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.asking = nil, false
	c.again()
	c.release()
}

// release lets go those who wait. The caller holds mu.
func (c *chats) release() {
	for _, w := range c.waiters {
		close(w.done)
	}
	c.waiters = nil
}

// arrived counts an answer for those who wait. The caller holds mu.
func (c *chats) arrived() {
	c.waiters = slices.DeleteFunc(c.waiters, func(w *settling) bool {
		if w.answers--; w.answers == 0 {
			close(w.done)
		}
		return w.answers == 0
	})
}

// settle waits until what was touched so far was told, unless that can take for ever.
func (c *chats) settle(ctx context.Context) {
	c.refresh()
	c.mu.Lock()
	if c.conn == nil || c.lagging || !c.asking {
		c.mu.Unlock()
		return
	}
	// What is touched from now on does not count, however much it is.
	w := &settling{answers: 1 + (len(c.dirty)+maxAsked-1)/maxAsked, done: make(chan struct{})}
	c.waiters = append(c.waiters, w)
	c.mu.Unlock()
	patiently(ctx, w.done)
}

// refresh asks for the conversations that were touched.
func (c *chats) refresh() {
	c.mu.Lock()
	if c.conn == nil || c.asking || c.lagging || len(c.dirty) == 0 {
		if !c.asking {
			c.release()
		}
		c.mu.Unlock()
		return
	}
	_, total := c.wants()
	req := &wire.QueryConversationsRequest{Total: total}
	for ref := range c.dirty {
		if len(req.Refs) == maxAsked {
			break
		}
		delete(c.dirty, ref)
		c.asked = append(c.asked, ref)
		if ref.ID != "" {
			req.Refs = append(req.Refs, ref.wire())
		}
	}
	if len(req.Refs) == 0 && !total {
		c.asked = nil
		c.release()
		c.mu.Unlock()
		return
	}
	c.asking = true
	conn := c.conn
	c.mu.Unlock()
	conn.Start(&wire.Request{Body: &wire.Request_QueryConversations{QueryConversations: req}}, func(resp *wire.Response, err error) {
		c.answered(conn, resp, err, false)
	})
}

// answered takes the answer to a request for conversations.
func (c *chats) answered(conn transport.Pipeline, resp *wire.Response, err error, syncing bool) {
	files := c.feed.fileServer()
	c.mu.Lock()
	if c.conn != conn {
		c.mu.Unlock()
		return
	}
	c.asking = false
	list := resp.GetConversations()
	failed := err != nil || list == nil
	d := c.feed.z.dispatch
	tellTotal := func() {
		if _, total := c.wants(); !failed && total && (!c.told || c.total != list.TotalUnread) {
			c.total, c.told = list.TotalUnread, true
			d.push(&ConversationTotalUnreadMessageCountUpdated{TotalUnreadMessageCount: int(c.total)})
		}
	}
	if syncing {
		tellTotal()
		d.push(&ConversationSyncStateChanged{State: ConversationSyncStateStarted})
	}
	stuck := failed
	if failed {
		c.again()
	} else {
		stuck = !c.changed(list, files, syncing)
		tellTotal()
	}
	if syncing {
		state := ConversationSyncStateFinished
		if failed {
			state = ConversationSyncStateFailed
		}
		d.push(&ConversationSyncStateChanged{State: state})
	}
	c.arrived()
	if stuck {
		c.release() // the next heartbeat, or the next connection, tries again
	}
	c.mu.Unlock()
	if !stuck {
		c.refresh()
	}
}

// changed tells what is new of conversations. It reports false if the answer says nothing of what was asked for, so that asking again
// at once would not help. The caller holds mu.
func (c *chats) changed(list *wire.Conversations, files *fileServer, syncing bool) bool {
	conversations, _ := c.wants()
	if len(c.known) > maxKnown {
		clear(c.known)
	}
	e := new(ConversationChanged)
	tell := func(event ConversationEvent, v *Conversation) {
		e.InfoList = append(e.InfoList, ConversationChangeInfo{Event: event, Conversation: v})
	}
	answered := make(map[ConversationRef]bool)
	for _, w := range list.Conversations {
		v := c.conversation(w, files)
		ref := v.Ref()
		answered[ref] = true
		old := c.known[ref]
		c.known[ref] = v
		switch {
		case old == nil:
			tell(ConversationEventAdded, v)
		case v.IsDisabled && !old.IsDisabled:
			tell(ConversationEventDisabled, v)
		default:
			tell(ConversationEventUpdated, v)
		}
	}
	for _, w := range list.Missing {
		ref := conversationRef(w)
		answered[ref] = true
		if old := c.known[ref]; old != nil && !old.local {
			delete(c.known, ref)
			tell(ConversationEventDeleted, old)
		}
	}
	if syncing {
		for _, w := range list.Left {
			c.dirty[conversationRef(w)] = true
		}
	}
	useful := len(c.asked) == 0
	for _, ref := range c.asked {
		if answered[ref] || ref.ID == "" {
			useful = true
		} else {
			c.dirty[ref] = true // the answer had no room for it
		}
	}
	c.asked = nil
	if conversations && len(e.InfoList) > 0 {
		c.push(e)
	}
	return useful
}

// push queues an event, or has its conversations asked for again later. The caller holds mu.
func (c *chats) push(e *ConversationChanged) {
	d := c.feed.z.dispatch
	for !c.lagging {
		if d.tryPush(queued{event: e, count: len(e.InfoList), bytes: 512 * len(e.InfoList)}) {
			return
		}
		c.lagging = d.whenHalf(c.resume) // if not, handlers caught up just now
	}
	c.release()
	for _, info := range e.InfoList {
		c.later(info)
	}
}

// later takes note of what there was no room for. The caller holds mu.
func (c *chats) later(info ConversationChangeInfo) {
	ref := info.Conversation.Ref()
	if before, ok := c.untold[ref]; ok && before.Event == ConversationEventAdded && info.Event != ConversationEventDeleted {
		info.Event = ConversationEventAdded
	}
	switch {
	case info.Conversation.local:
		if len(c.untold) < maxKnown {
			c.untold[ref] = info // the service can't repeat it
		}
		return
	case info.Event == ConversationEventAdded:
		delete(c.known, ref)
	case info.Event == ConversationEventDeleted:
		c.known[ref] = info.Conversation
	}
	c.dirty[ref] = true
}

func (c *chats) resume() {
	c.mu.Lock()
	c.lagging = false
	if len(c.untold) > 0 {
		e := new(ConversationChanged)
		for _, info := range c.untold {
			e.InfoList = append(e.InfoList, info)
		}
		clear(c.untold)
		c.push(e)
	}
	c.mu.Unlock()
	c.refresh()
}

// sending tells that a message of the user's is on its way. It reports whether somebody was told.
func (c *chats) sending(m *Message) bool {
	if conversations, _ := c.wants(); !conversations {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastIs(m)
	return true
}

// lastIs makes m the last message of its conversation and tells it. The caller holds mu.
func (c *chats) lastIs(m *Message) {
	event := ConversationEventUpdated
	v := new(Conversation)
	if old := c.known[m.Conversation]; old != nil {
		*v = *old
	} else {
		event = ConversationEventAdded
		*v = Conversation{
			ConversationID: m.Conversation.ID, Type: m.Conversation.Type, NotificationStatus: ConversationNotificationStatusNotify, local: true,
			Draft: c.drafts[m.Conversation],
		}
	}
	v.LastMessage = m
	if v.OrderKey = m.OrderKey; v.OrderKey == 0 {
		v.OrderKey = orderKeyAt(m.Time)
	}
	c.known[m.Conversation] = v
	c.push(&ConversationChanged{InfoList: []ConversationChangeInfo{{Event: event, Conversation: v}}})
}

// orderKeyAt returns about the order key that a service gives to a message at that time.
func orderKeyAt(t time.Time) int64 { return t.UnixMilli() << 20 }

// sent tells what became of a message of the user's, and returns once it is told.
func (c *chats) sent(ctx context.Context, m *Message, err *Error) {
	conversations, _ := c.wants()
	if !conversations {
		return
	}
	c.mu.Lock()
	old := c.known[m.Conversation]
	switch {
	case err != nil:
		c.lastIs(m)
		switch err.Code {
		case ErrMessageTargetDoesNotExist, ErrGroupUserIsNotInTheGroup, ErrGroupGroupDoesNotExist:
			v := new(*c.known[m.Conversation])
			v.IsDisabled = true
			c.known[m.Conversation] = v
			c.push(&ConversationChanged{InfoList: []ConversationChangeInfo{{Event: ConversationEventDisabled, Conversation: v}}})
		}
	case old != nil && !old.local && (old.LastMessage == nil || old.LastMessage.OrderKey <= m.OrderKey || old.LastMessage.LocalID == m.LocalID):
		c.lastIs(m)
		if c.underWay(m.Conversation) {
			c.dirty[m.Conversation] = true
		}
	default:
		c.dirty[m.Conversation] = true
		c.mu.Unlock()
		c.settle(ctx)
		return
	}
	c.mu.Unlock()
	c.refresh()
}

// queried makes conversations of w, and remembers them, so that later events tell of updates.
func (c *chats) queried(w *wire.Conversations) []*Conversation {
	files := c.feed.fileServer()
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*Conversation
	for _, w := range w.GetConversations() {
		v := c.conversation(w, files)
		c.known[v.Ref()] = v
		list = append(list, v)
	}
	return list
}

// newest returns an order key behind the last message of a conversation, as far as it is known, and not before a time.
func (c *chats) newest(ref ConversationRef, key int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.known[ref]; v != nil {
		return max(v.OrderKey+1, key)
	}
	return key
}

// forget forgets a conversation if only this device has it, or in any case. It reports whether only this device had it.
func (c *chats) forget(ref ConversationRef, always bool) bool {
	conversations, _ := c.wants()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.known[ref]
	if v == nil || !v.local && !always {
		return false
	}
	delete(c.known, ref)
	if conversations {
		c.push(&ConversationChanged{InfoList: []ConversationChangeInfo{{Event: ConversationEventDeleted, Conversation: v}}})
	}
	return v.local
}

// count returns how many conversations this device knows of.
func (c *chats) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.known)
}
