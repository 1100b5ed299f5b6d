package zim

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zim-go/zim/internal/defect"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A feed follows the user's events, which the service numbers and keeps. It accepts them in order and without holes. Whatever
// goes wrong, a lost connection, a lost push, or a queue that is full, it does the same: it asks for the events behind the
// last one that it accepted.
//
// A ZIM keeps a feed for each user who logged in: a later session goes on where an earlier one stopped.
type feed struct {
	z      *ZIM
	userID string

	mu        sync.Mutex
	session   *session           // guarded by mu; what it tells counts, and that of earlier ones no more
	known     bool               // guarded by mu; epoch and cursor say something
	epoch     uint64             // guarded by mu
	cursor    uint64             // guarded by mu; the last accepted event
	seen      uint64             // guarded by mu; an event that is said to exist
	offlineTo uint64             // guarded by mu; the last event of the time without a connection
	conn      transport.Pipeline // guarded by mu; nil unless connected
	syncing   bool               // guarded by mu; a request is under way on conn
	lagging   bool               // guarded by mu; there was no room for an event
	stalled   int                // guarded by mu; syncs in a row that brought nothing
	withheld  bool               // guarded by mu; it was told that the service keeps events back
	resets    int                // guarded by mu; how many there were since resetting
	resetting time.Time          // guarded by mu; when the first of resets was
	files     *fileServer        // guarded by mu; where the service's files are
	waiters   []waiter           // guarded by mu; who waits for an event
	doubts    map[doubt]bool     // guarded by mu; what may have happened although its call failed

	handled  progress
	chats    *chats    // immutable
	durables *durables // immutable; nil if the app wants none
}

// A waiter is a call that returns only once the event is queued that tells what it has done.
type waiter struct {
	seq  uint64
	done chan struct{}
}

// A progress is how far handlers have come, which the service is told now and then.
type progress struct {
	mu      sync.Mutex
	age     int         // guarded by mu; how often the feed jumped: what was accepted before does not count
	seq     uint64      // guarded by mu
	timer   *time.Timer // guarded by mu
	armed   bool        // guarded by mu
	stopped bool        // guarded by mu
}

func (p *progress) current() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.age
}

const (
	// reportAfter is how long the service waits for news of what was handled. After a crash, that much comes again.
	reportAfter = 200 * time.Millisecond
	// syncLimit is how many events are asked for at once, if there is room for them.
	syncLimit = 500
	// maxRun is how many messages one event brings, and maxRunBytes about how much: less than half of a queue.
	maxRun      = 100
	maxRunBytes = 256 << 10
	// maxStalled is how many syncs that bring nothing are tried before the next heartbeat.
	maxStalled = 3
	// maxResets is how many resets are taken in a resetWindow. Handlers are told of each, and a service may ask for them without end.
	maxResets   = 3
	resetWindow = time.Minute
)

func newFeed(z *ZIM, userID string) *feed {
	f := &feed{z: z, userID: userID, durables: newDurables(z, userID)}
	f.chats = newChats(f)
	f.handled.timer = time.AfterFunc(time.Hour, f.report)
	f.handled.timer.Stop()
	return f
}

// attach makes s the session that counts.
func (f *feed) attach(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session, f.conn, f.syncing = s, nil, false
	// The session before may be over, but not gone: nobody listens to it any more.
	f.release(true)
	f.chats.disconnected()
	f.handled.mu.Lock()
	defer f.handled.mu.Unlock()
	f.handled.stopped = false
	f.durables.attach(s)
}

// report tells the service what was handled.
func (f *feed) report() {
	f.mu.Lock()
	s := f.session
	f.handled.mu.Lock()
	f.handled.armed = false
	f.handled.mu.Unlock()
	f.mu.Unlock()
	s.beat()
}

// forget has the next session start where the service believes the device to be, unless that has begun: s is not the last one any more.
func (f *feed) forget(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session == s {
		f.known = false
		f.chats.forgetAll()
	}
}

// fileServer returns where the service's files are, or nil if it has none.
func (f *feed) fileServer() *fileServer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.files
}

// await waits until the event is queued, and what follows from it for conversations. If handlers are too slow, or the
// connection is gone, that may take for ever: then nobody waits. Nor does anybody wait for longer than a service may take to answer.
func (f *feed) await(ctx context.Context, seq uint64) {
	f.mu.Lock()
	if seq > f.cursor && f.conn != nil && !f.lagging && f.known {
		w := waiter{seq, make(chan struct{})}
		f.waiters = append(f.waiters, w)
		f.seen = max(f.seen, seq)
		f.mu.Unlock()
		patiently(ctx, w.done)
		f.mu.Lock()
	}
	lagging := f.lagging
	f.mu.Unlock()
	if !lagging {
		f.chats.settle(ctx)
	}
}

// patiently waits until done, until ctx ends, or for as long as a service may take to answer.
func patiently(ctx context.Context, done <-chan struct{}) {
	timer := time.NewTimer(callTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// release lets go those who wait for events that were accepted, or everybody. The caller holds mu.
func (f *feed) release(all bool) {
	f.waiters = slices.DeleteFunc(f.waiters, func(w waiter) bool {
		if all || w.seq <= f.cursor {
			close(w.done)
			return true
		}
		return false
	})
}

// stop ends the reports of s.
func (f *feed) stop(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session != s {
		return
	}
	f.conn = nil // that of s closes in its own time, and nobody is to wait for it
	f.release(true)
	f.chats.disconnected()
	f.handled.mu.Lock()
	defer f.handled.mu.Unlock()
	f.handled.stopped, f.handled.armed = true, false
	f.handled.timer.Stop()
}

// position returns the last accepted event, or nil if there was none.
func (f *feed) position() *wire.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		return nil
	}
	return &wire.Position{Epoch: f.epoch, Seq: f.cursor}
}

func (f *feed) handledPosition() *wire.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		return nil
	}
	f.handled.mu.Lock()
	defer f.handled.mu.Unlock()
	return &wire.Position{Epoch: f.epoch, Seq: f.handled.seq}
}

// handledTo takes note that the handler of an event returned, which was accepted when the feed had that age.
func (f *feed) handledTo(age int, seq uint64) {
	p := &f.handled
	p.mu.Lock()
	defer p.mu.Unlock()
	if age != p.age {
		return
	}
	p.seq = max(p.seq, seq)
	if !p.armed && !p.stopped {
		p.armed = true
		p.timer.Reset(reportAfter)
	}
}

// connected starts where the login says.
func (f *feed) connected(s *session, conn transport.Pipeline, files *fileServer, login *wire.LoginResponse) {
	f.mu.Lock()
	if f.session != s {
		f.mu.Unlock()
		return
	}
	if login.Reset_ != nil {
		f.reset(login.Reset_)
	}
	if !f.known {
		f.jump(login.Position, login.Position.GetSeq())
	}
	f.conn, f.files, f.syncing, f.stalled = conn, files, false, 0
	f.seen = max(f.cursor, login.GetLast().GetSeq())
	f.offlineTo = f.seen
	if defect.On(defect.RecoveredTwice) {
		f.handled.mu.Lock()
		f.cursor = f.handled.seq
		f.handled.mu.Unlock()
	}
	since := &wire.Position{Epoch: f.epoch, Seq: f.cursor}
	f.mu.Unlock()
	f.chats.connected(conn, since)
	f.pull()
}

func (f *feed) disconnected(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session == s {
		f.conn = nil
		f.release(true)
		f.chats.disconnected()
	}
}

// jump goes on behind p, where handled counts as handled. The caller holds mu.
func (f *feed) jump(p *wire.Position, handled uint64) {
	f.known, f.epoch, f.cursor = true, p.GetEpoch(), p.GetSeq()
	f.handled.mu.Lock()
	f.handled.age++
	f.handled.seq = handled
	f.handled.mu.Unlock()
}

// reset goes on where the service says, and reports that it does. Beyond maxResets it stays where it is: what asks for events then asks in
// vain, until the window is over. The caller holds mu.
func (f *feed) reset(r *wire.FeedReset) bool {
	if now := time.Now(); f.resets == 0 || now.Sub(f.resetting) >= resetWindow {
		f.resets, f.resetting = 0, now
	}
	if f.resets++; f.resets > maxResets {
		if f.resets == maxResets+1 {
			f.fault("the service resets the feed again and again")
		}
		return false
	}
	// What is left out counts as handled once the handler was told so: if the program ends before, the next run is told.
	handled := uint64(0)
	if defect.On(defect.ResetUntold) {
		handled = r.Position.GetSeq()
	}
	f.jump(r.Position, handled)
	if defect.On(defect.EpochAdopted) {
		return true
	}
	reason := "the service could not go on where this device stopped"
	switch r.Reason {
	case wire.FeedResetReason_FEED_RESET_REASON_EPOCH:
		reason = "the service's store was replaced"
	case wire.FeedResetReason_FEED_RESET_REASON_TOO_OLD:
		reason = "the events are no longer kept"
	case wire.FeedResetReason_FEED_RESET_REASON_FUTURE:
		reason = "the service does not have the events that this device has seen"
	}
	f.z.log.Warn("zim: feed reset", "user", f.userID, "reason", reason)
	f.z.dispatch.pushQueued(queued{event: &SyncReset{Reason: reason}, count: 1, feed: f, age: f.handled.current(), seq: f.cursor})
	return true
}

// fault tells that the service does what makes no sense.
func (f *feed) fault(what string) {
	f.z.log.Warn("zim: no events can be had", "user", f.userID, "reason", what)
	f.z.dispatch.push(&Error{Code: ErrNetworkRspProtoParseError, Message: what})
}

// reached takes note of the last event that exists.
func (f *feed) reached(last *wire.Position) {
	if last == nil {
		return
	}
	f.mu.Lock()
	if last.Epoch != f.epoch {
		f.seen = max(f.seen, f.cursor+1) // asking brings the reset
	} else {
		f.seen = max(f.seen, last.Seq)
	}
	f.stalled = 0
	f.mu.Unlock()
	f.pull()
}

// pull asks for the events behind the cursor, if there are any and nothing speaks against it.
func (f *feed) pull() {
	f.mu.Lock()
	if f.conn == nil || f.syncing || f.lagging || f.cursor >= f.seen || f.stalled >= maxStalled {
		// Without a request, what was said to exist is here, or it does not exist.
		f.release(!f.syncing && (f.lagging || f.stalled >= maxStalled || f.cursor >= f.seen))
		lagging := f.lagging
		f.mu.Unlock()
		if !lagging { // else conversations would be told before the messages that changed them
			f.chats.refresh()
		}
		return
	}
	f.release(false)
	f.syncing = true
	conn, seen := f.conn, f.seen
	req := &wire.SyncRequest{After: &wire.Position{Epoch: f.epoch, Seq: f.cursor}, Limit: int32(min(syncLimit, max(f.z.dispatch.room(), 1)))}
	f.mu.Unlock()
	conn.Start(&wire.Request{Body: &wire.Request_Sync{Sync: req}}, func(resp *wire.Response, err error) {
		f.synced(conn, seen, resp, err)
	})
}

// synced takes the answer to a pull.
func (f *feed) synced(conn transport.Pipeline, seen uint64, resp *wire.Response, err error) {
	f.mu.Lock()
	if f.conn != conn {
		f.mu.Unlock()
		return
	}
	f.syncing = false
	if err == nil && resp.Error != nil {
		f.stalled = maxStalled // the next heartbeat tries again
		f.release(true)
		s := f.session
		f.mu.Unlock()
		if !s.ended(resp.Error) {
			f.z.dispatch.push(refusal("", resp.Error))
		}
		return
	}
	if err != nil {
		f.release(true)
		f.mu.Unlock()
		return // the connection broke: the next one starts over
	}
	sync := resp.GetSync()
	if r := sync.GetReset_(); r != nil && !f.reset(r) {
		f.stalled = maxStalled
		f.release(true)
		f.mu.Unlock()
		return
	}
	before := f.cursor
	if f.seen == seen {
		f.seen = sync.GetLast().GetSeq()
	}
	f.take(sync.GetEvents())
	switch {
	case f.cursor != before || f.lagging:
		f.stalled, f.withheld = 0, false
	default:
		f.stalled++
		if f.stalled == maxStalled && f.cursor < f.seen && !f.withheld {
			f.withheld = true
			f.fault("the service says that there are events, and does not give them")
		}
	}
	f.mu.Unlock()
	f.pull()
}

// accept takes events that were pushed.
func (f *feed) accept(s *session, batch *wire.EventBatch) {
	f.mu.Lock()
	if f.session != s {
		f.mu.Unlock()
		return
	}
	f.take(batch)
	f.mu.Unlock()
	f.pull()
}

// take accepts what follows the cursor, as far as there is room. What it leaves is pulled later. The caller holds mu.
func (f *feed) take(batch *wire.EventBatch) {
	events := batch.GetEvents()
	if len(events) == 0 || !f.known {
		return
	}
	if batch.Epoch != f.epoch {
		f.seen = max(f.seen, f.cursor+1)
		return
	}
	first := batch.FirstSeq
	f.seen = max(f.seen, first+uint64(len(events))-1)
	if defect.On(defect.GapAccepted) && first > f.cursor+1 {
		f.cursor = first - 1
	}
	if f.lagging || first > f.cursor+1 {
		return
	}
	if behind := f.cursor + 1 - first; behind >= uint64(len(events)) {
		return
	} else if behind > 0 {
		events = events[behind:]
	}
	d := f.z.dispatch
	for len(events) > 0 {
		q := f.nextRun(events)
		if !d.tryPush(q) && !defect.On(defect.DropInsteadOfPull) {
			if f.lagging = d.whenHalf(f.resume); !f.lagging {
				continue // handlers caught up just now
			}
			f.release(true)
			f.z.log.Warn("zim: handlers are slow, events wait at the service", "user", f.userID)
			return
		}
		events = events[q.seq-f.cursor:]
		f.cursor = q.seq
	}
}

func (f *feed) resume() {
	f.mu.Lock()
	f.lagging = false
	f.mu.Unlock()
	f.pull()
}

// nextRun makes what the handlers get of the first of events and those that belong to it. The caller holds mu.
func (f *feed) nextRun(events []*wire.Event) queued {
	q := queued{feed: f, age: f.handled.current(), seq: f.cursor + 1, count: 1}
	offline := f.cursor+1 <= f.offlineTo
	if !plain(events[0]) {
		f.translate(&q, events[0], offline)
		return q
	}
	first := events[0].Message
	if f.sentHere(first.LocalMessageId) {
		return q // nothing new
	}
	limit := min(maxRun, max(f.z.dispatch.room(), 1))
	a := new(arrival)
	messages := a.one[:0]
	for _, ev := range events {
		seq := f.cursor + 1 + uint64(len(messages))
		m := ev.Message
		if !plain(ev) || f.sentHere(m.LocalMessageId) || len(messages) == limit || q.bytes > maxRunBytes || m.ConversationId != first.ConversationId ||
			m.ConversationType != first.ConversationType || (seq <= f.offlineTo) != offline {
			break
		}
		messages = append(messages, message(m, f.userID, f.files))
		q.bytes += len(m.Content) + len(m.ExtendedData)
		q.seq = seq
	}
	to := messages[0].Conversation
	q.event, q.count = a.of(to, messages, MessageReceivedInfo{IsOfflineMessage: offline}), len(messages)
	f.chats.touch(to)
	return q
}

// sentHere reports whether a message with that local ID was sent by this ZIM. The ID is empty in messages of others.
func (f *feed) sentHere(id []byte) bool { return f.z.sentHere(id) || f.durables.sentHere(id) }

// plain reports whether an event is that a message came, and nothing else.
func plain(e *wire.Event) bool { return e.Message != nil && e.RepliedCount == nil }
