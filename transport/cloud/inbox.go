package cloud

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

const (
	// What waits for one user, and for all. A callback for a user who has no room is to be sent again.
	maxWaiting      = 1024
	maxWaitingBytes = 4 << 20
	maxTotalBytes   = 64 << 20
	// maxPassing is how many pushes that are not in a feed wait for one Conn. What comes then is dropped.
	maxPassing = 1024

	// A batch, pushed or asked for.
	maxBatch      = 500
	maxBatchBytes = 256 << 10

	// keepAway is for how long events are kept for a user without a Conn.
	keepAway = 10 * time.Minute
	// Repetitions are known for that long, unless there are more.
	keepKeys  = 15 * time.Minute
	maxKeys   = 8192    // for a user
	maxPassed = 1 << 16 // for rooms
)

// An inbox has a feed for each user who logged in here, which the callbacks fill. What is in it stays until its handlers returned, or until
// the user has been away for keepAway.
type inbox struct {
	mu     sync.Mutex
	boxes  map[string]*box             // guarded by mu; by user
	groups map[string]map[*box]bool    // guarded by mu; who is told of a group
	rooms  map[string]map[*stream]bool // guarded by mu
	passed *recent[key, struct{}]      // guarded by mu; what was passed on about rooms
	bytes  int                         // guarded by mu; of all boxes
	swept  time.Time                   // guarded by mu
	number int64                       // guarded by mu; of the last change in a room
	counts *counts

	replays replays
	log     *inboxLog // immutable once the inbox is in use; nil if it is in memory only
}

// A box is the feed of one user. Its fields are guarded by inbox.mu.
type box struct {
	userID  string
	epoch   uint64 // immutable; random, so that positions in an earlier box are not taken for this one's
	done    uint64 // the last event whose handlers returned, in all of the user's ZIMs
	last    uint64 // the last event
	events  []waiting
	pending int // events behind the last one that wait for the disk
	bytes   int
	streams []*stream
	left    time.Time // when there was a stream for the last time
	keys    *recent[key, struct{}]
	groups  map[string]bool
}

type waiting struct {
	event *wire.Event
	bytes int
}

// A stream is what one Conn gets of a box. Its fields are guarded by inbox.mu, but for those that never change.
type stream struct {
	in      *inbox // immutable
	box     *box   // immutable
	done    uint64 // the last event whose handlers returned in this ZIM
	sent    uint64
	passing []*wire.Push
	rooms   map[string]bool
	wake    chan struct{} // immutable; has room for one
	closed  chan struct{} // immutable
	over    bool
}

// A key names something that callbacks tell of, so that it is known when they tell it again.
type key [16]byte

func keyOf(parts ...string) key {
	h := sha256.New()
	for _, p := range parts {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return key(h.Sum(nil))
}

func newInbox(c *counts) *inbox {
	return &inbox{
		boxes: make(map[string]*box), groups: make(map[string]map[*box]bool), rooms: make(map[string]map[*stream]bool),
		passed: newRecent[key, struct{}](keepKeys, maxPassed), counts: c,
	}
}

// attach makes a stream of userID's events: one per Conn, once it has logged in. From the first one on, the user's events are kept.
//
// If there is a log, a new box is on the disk when attach returns. If it can't be, that is told, and it comes there with whatever can be
// next.
func (in *inbox) attach(userID string) *stream {
	in.mu.Lock()
	in.sweep(time.Now())
	b := in.boxes[userID]
	var written *bundle
	if b == nil {
		var random [8]byte
		rand.Read(random[:])
		b = in.newBox(userID, binary.BigEndian.Uint64(random[:])|1) // zero would look unset
		in.note(b, record{kind: recordUser, n: b.epoch})
		if in.log != nil && !in.log.open.empty() {
			written = in.log.open
		}
	}
	// What is there already is asked for: positions tells of it.
	st := &stream{
		in: in, box: b, done: b.done, sent: b.last, rooms: make(map[string]bool), wake: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	b.streams = append(b.streams, st)
	in.mu.Unlock()
	if written != nil {
		if err := in.commit(written); err != nil {
			in.log.tell(err)
		}
	}
	return st
}

// The caller holds mu.
func (in *inbox) newBox(userID string, epoch uint64) *box {
	b := &box{userID: userID, epoch: epoch, keys: newRecent[key, struct{}](keepKeys, maxKeys), groups: make(map[string]bool)}
	in.boxes[userID] = b
	return b
}

// sweep forgets those who have been away for long. The caller holds mu.
func (in *inbox) sweep(now time.Time) {
	if now.Sub(in.swept) < time.Minute {
		return
	}
	in.swept = now
	for _, b := range in.boxes {
		if len(b.streams) > 0 || b.pending > 0 || now.Sub(b.left) < keepAway {
			continue
		}
		in.counts.dropped.Add(int64(len(b.events)))
		in.note(b, record{kind: recordGone})
		in.remove(b)
	}
}

// The caller holds mu.
func (in *inbox) remove(b *box) {
	in.bytes -= b.bytes
	delete(in.boxes, b.userID)
	for id := range b.groups {
		in.part(b, id)
	}
}

// followGroups says that the user is in these groups, and so gets what callbacks tell of them. Callbacks say who is in a group only when that
// changes: a Conn tells what it has found out at its login, and what its user does later.
func (st *stream) followGroups(ids ...string) {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	if st.over {
		return // the user may have no feed any more
	}
	for _, id := range ids {
		st.in.follow(st.box, id)
	}
}

// The caller holds mu.
func (in *inbox) follow(b *box, groupID string) {
	if !b.groups[groupID] {
		in.note(b, record{kind: recordFollow, id: groupID})
		in.join(b, groupID)
	}
}

// The caller holds mu.
func (in *inbox) unfollow(b *box, groupID string) {
	if b.groups[groupID] {
		in.note(b, record{kind: recordUnfollow, id: groupID})
		in.part(b, groupID)
	}
}

// The caller holds mu.
func (in *inbox) join(b *box, groupID string) {
	b.groups[groupID] = true
	if in.groups[groupID] == nil {
		in.groups[groupID] = make(map[*box]bool)
	}
	in.groups[groupID][b] = true
}

// leaveGroup is the opposite of followGroups.
func (st *stream) leaveGroup(id string) {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	st.in.unfollow(st.box, id)
}

// The caller holds mu.
func (in *inbox) part(b *box, groupID string) {
	delete(b.groups, groupID)
	if delete(in.groups[groupID], b); len(in.groups[groupID]) == 0 {
		delete(in.groups, groupID)
	}
}

// enterRoom says that this Conn is to get what happens in a room, until leaveRoom, the room's end, or its own. Conns of the same user are
// in rooms apart from each other. The number of its entry, in wire.EnterRoomResponse, is zero.
func (st *stream) enterRoom(id string) {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	if st.over {
		return
	}
	st.rooms[id] = true
	if st.in.rooms[id] == nil {
		st.in.rooms[id] = make(map[*stream]bool)
	}
	st.in.rooms[id][st] = true
}

// leaveRoom is the opposite of enterRoom. An empty ID stands for all rooms. It returns those that were left, or would have been.
func (st *stream) leaveRoom(id string) []string {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	ids := []string{id}
	if id == "" {
		ids = slices.Sorted(maps.Keys(st.rooms))
	}
	for _, id := range ids {
		st.in.quit(st, id)
	}
	return ids
}

// The caller holds mu.
func (in *inbox) quit(st *stream, roomID string) {
	delete(st.rooms, roomID)
	if delete(in.rooms[roomID], st); len(in.rooms[roomID]) == 0 {
		delete(in.rooms, roomID)
	}
}

// A result is what became of an event that was put into a box.
type result int

const (
	putDone result = iota
	putAgain
	putFull
)

// costOf is what it costs to keep an event.
func costOf(e *wire.Event) int { return proto.Size(e) + 64 }

// put appends an event that is known by keys, unless the first of them says that it came before. If there is a log, the event has its number, and is
// there once the open bundle is written. The caller holds mu.
func (in *inbox) put(b *box, keys []key, e *wire.Event, now time.Time) result {
	if b.keys.has(keys[0], now) {
		return putAgain
	}
	w := waiting{e, costOf(e)}
	if len(b.events)+b.pending >= maxWaiting || b.bytes+w.bytes > maxWaitingBytes || in.bytes+w.bytes > maxTotalBytes {
		return putFull
	}
	if in.log != nil && !in.log.put(b, keys, w, now) {
		return putFull
	}
	for _, k := range keys {
		b.keys.push(k, struct{}{}, now)
	}
	b.bytes += w.bytes
	in.bytes += w.bytes
	if in.log == nil {
		b.deliver(w)
	}
	return putDone
}

// deliver makes an event one that is there. The caller holds mu.
func (b *box) deliver(w waiting) {
	b.last++
	b.events = append(b.events, w)
	for _, st := range b.streams {
		st.signal()
	}
}

// pass leaves a push that is in no feed. The caller holds mu.
func (st *stream) pass(p *wire.Push) {
	if len(st.passing) >= maxPassing && p.Room.GetEnded() == 0 { // a room ends once
		st.in.counts.dropped.Add(1)
		return
	}
	st.passing = append(st.passing, p)
	st.signal()
}

func (st *stream) signal() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

func (b *box) position(seq uint64) *wire.Position { return &wire.Position{Epoch: b.epoch, Seq: seq} }

// positions returns where the user's handled events end, which is where a client starts that has no position of its own, and the last event.
func (st *stream) positions() (at, last *wire.Position) {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	return st.box.position(st.box.done), st.box.position(st.box.last)
}

// reset returns nil if the events behind p can be had, and else why not and where to go on. It is for the position in a LoginRequest, which may be nil.
func (st *stream) reset(p *wire.Position) *wire.FeedReset {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	return st.box.reset(p)
}

// The caller holds mu.
func (b *box) reset(p *wire.Position) *wire.FeedReset {
	first := b.last - uint64(len(b.events)) // the event before the first one that is kept
	switch {
	case p == nil:
		return nil
	case p.Epoch != b.epoch:
		return &wire.FeedReset{Reason: wire.FeedResetReason_FEED_RESET_REASON_EPOCH, Position: b.position(first)}
	case p.Seq > b.last:
		return &wire.FeedReset{Reason: wire.FeedResetReason_FEED_RESET_REASON_FUTURE, Position: b.position(b.last)}
	case p.Seq < first:
		return &wire.FeedReset{Reason: wire.FeedResetReason_FEED_RESET_REASON_TOO_OLD, Position: b.position(first)}
	}
	return nil
}

// sync answers a request for the events behind a position.
func (st *stream) sync(req *wire.SyncRequest) *wire.Response {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	b := st.box
	after := req.GetAfter()
	if after == nil {
		after = b.position(b.done)
	}
	resp := &wire.SyncResponse{Last: b.position(b.last), Reset_: b.reset(after)}
	if resp.Reset_ != nil {
		after = resp.Reset_.Position
	}
	limit := maxBatch
	if n := int(req.GetLimit()); n > 0 {
		limit = min(n, maxBatch)
	}
	resp.Events = b.batch(after.Seq, limit)
	return &wire.Response{Body: &wire.Response_Sync{Sync: resp}}
}

// batch returns events behind seq, or nil if there are none. The caller holds mu.
func (b *box) batch(seq uint64, limit int) *wire.EventBatch {
	seq = max(seq, b.last-uint64(len(b.events)))
	list := b.events[uint64(len(b.events))-(b.last-seq):]
	batch := &wire.EventBatch{Epoch: b.epoch, FirstSeq: seq + 1}
	bytes := 0
	for _, w := range list[:min(len(list), limit)] {
		if bytes += w.bytes; bytes > maxBatchBytes && len(batch.Events) > 0 {
			break
		}
		batch.Events = append(batch.Events, w.event)
	}
	if len(batch.Events) == 0 {
		return nil
	}
	return batch
}

// handled takes note that the handlers of the events up to p returned, and returns the last event. What all of the user's ZIMs have handled is
// forgotten. A position of which this box knows nothing says nothing.
func (st *stream) handled(p *wire.Position) (last *wire.Position) {
	in, b := st.in, st.box
	in.mu.Lock()
	defer in.mu.Unlock()
	if p.GetEpoch() == b.epoch && p.GetSeq() <= b.last && !st.over {
		st.done = max(st.done, p.GetSeq())
		in.forget(b)
	}
	return b.position(b.last)
}

// forget lets go of what all streams have handled. The caller holds mu.
func (in *inbox) forget(b *box) {
	all := b.last
	for _, st := range b.streams {
		all = min(all, st.done)
	}
	if len(b.streams) == 0 || all <= b.done {
		return
	}
	in.note(b, record{kind: recordDone, n: all})
	in.trim(b, all)
}

// trim lets go of the events up to one. The caller holds mu.
func (in *inbox) trim(b *box, done uint64) {
	b.done = done
	n := uint64(len(b.events)) - (b.last - b.done)
	for _, w := range b.events[:n] {
		b.bytes -= w.bytes
		in.bytes -= w.bytes
	}
	b.events = slices.Delete(b.events, 0, int(n))
}

// receive waits for the next push, for transport.Conn's Receive.
func (st *stream) receive(ctx context.Context) (*wire.Push, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if p, err := st.next(); p != nil || err != nil {
			return p, err
		}
		select {
		case <-st.wake:
		case <-st.closed:
		case <-ctx.Done():
		}
	}
}

// next returns what can be pushed now, or nil.
func (st *stream) next() (*wire.Push, error) {
	st.in.mu.Lock()
	defer st.in.mu.Unlock()
	if st.over {
		return nil, transport.ErrClosed
	}
	p := new(wire.Push)
	st.sent = max(st.sent, st.box.last-uint64(len(st.box.events))) // the client may have asked for events before they were pushed
	if st.sent < st.box.last {
		p.Events = st.box.batch(st.sent, maxBatch)
		st.sent = p.Events.GetFirstSeq() + uint64(len(p.Events.GetEvents())) - 1
	}
	if len(st.passing) > 0 {
		p.Transient, p.Room = st.passing[0].Transient, st.passing[0].Room
		st.passing = slices.Delete(st.passing, 0, 1)
	}
	if p.Events == nil && p.Transient == nil && p.Room == nil {
		return nil, nil
	}
	return p, nil
}

// close ends the stream, and the waiting of receive. It may be called again.
func (st *stream) close() {
	in, b := st.in, st.box
	in.mu.Lock()
	defer in.mu.Unlock()
	if st.over {
		return
	}
	st.over = true
	close(st.closed)
	for id := range st.rooms {
		in.quit(st, id)
	}
	b.streams = slices.DeleteFunc(b.streams, func(other *stream) bool { return other == st })
	b.left = time.Now()
	in.forget(b)
}
