package backend

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

const (
	// What a room keeps for members who come back or were too slow: the last messages, up to a number and a size.
	keptMessages = 500
	keptBytes    = 1 << 20
	// What is told of it at once. The client asks again.
	maxMissed      = 100
	maxMissedBytes = 256 << 10
	// What may wait to be pushed. Beyond it, what may get lost does, and the rest is refused.
	maxRoomWaiting = 4096
	maxRoomBytes   = 4 << 20
	// How many members one push tells of.
	maxRoomChange = 100
)

// A talk is what is said in a room, as far as it is kept, and what is to be pushed.
//
// What happens in a room is queued in one order, with those who were in the room at that moment. A goroutine, which exists
// only while something is queued, pushes it to them, so that all see the same order, and no member waits for the pushes of
// another one's message. Server.work counts it, so that Shutdown waits for it; it ends because a Link never waits.
type talk struct {
	last int64   // the number of the last message
	kept []*said // without holes up to last
	size int     // of what is kept
	ids  map[saidKey]*said

	queue      []delivery
	waiting    int  // bytes in queue
	delivering bool // the goroutine exists
}

// A said is a message that is kept. Its fields are immutable: it may be on its way to many.
type said struct {
	key     saidKey
	sum     []byte // the hash of what was asked for
	message *wire.Message
}

type saidKey struct {
	user    string
	localID string
}

// A delivery is a push, and to whom it goes.
type delivery struct {
	push   *wire.Push
	to     []*seat
	except *seat
	size   int
	// later are those who entered while the push waited: who they are is in it, and each gets what stands behind it.
	later []*seat
}

func (m *said) bytes() int { return len(m.message.Content) + len(m.message.ExtendedData) + 200 }

// keep keeps a message, and drops the oldest ones that there is no room for.
func (t *talk) keep(m *said) {
	if t.ids == nil {
		t.ids = make(map[saidKey]*said)
	}
	t.kept = append(t.kept, m)
	t.ids[m.key] = m
	t.size += m.bytes()
	for len(t.kept) > keptMessages || t.size > keptBytes {
		oldest := t.kept[0]
		t.kept[0] = nil
		t.kept = t.kept[1:]
		t.size -= oldest.bytes()
		delete(t.ids, oldest.key)
	}
}

// clear drops what is kept. The numbers go on.
func (t *talk) clear() { t.kept, t.ids, t.size = nil, nil, 0 }

// behind returns kept messages behind a number, as many as one answer has room for.
func (t *talk) behind(after int64) []*wire.Message {
	var list []*wire.Message
	size := 0
	first := t.last - int64(len(t.kept)) + 1
	for _, m := range t.kept[min(max(after+1-first, 0), int64(len(t.kept))):] {
		if size += m.bytes(); len(list) == maxMissed || len(list) > 0 && size > maxMissedBytes {
			break
		}
		list = append(list, m.message)
	}
	return list
}

// sendToRoom takes a message for a room. Its content was checked.
func (a *attachment) sendToRoom(sd sending) {
	req := sd.req
	refused := checkRoomID(req.ConversationId)
	if refused == nil && req.Type == msgtype.Combine && sd.excess == nil {
		var err error
		if refused, err = a.combineForRoom(&sd); err != nil {
			a.storeFailed(sd.id, err)
			return
		}
	}
	var m *wire.Message
	if refused == nil {
		m, refused = a.server.rooms.say(&sd)
	}
	if refused != nil {
		a.refuseSend(&sd, refused)
		return
	}
	ack := &wire.SendMessageResponse{MessageId: m.MessageId, MessageSeq: m.MessageSeq, OrderKey: m.OrderKey, TimestampMs: m.TimestampMs}
	sd.made(ack, a.server, m.Content, m.ExtendedData)
	a.link.Reply(sd.id, &wire.Response{Body: &wire.Response_SendMessage{SendMessage: ack}})
}

func (rs *rooms) say(sd *sending) (*wire.Message, *wire.Error) {
	s, req := sd.s, sd.req
	if refused := s.fence(); refused != nil {
		return nil, refused
	}
	rs.mu.Lock()
	r := rs.all[roomKey{s.key.app, req.ConversationId}]
	rs.mu.Unlock()
	if r == nil {
		return nil, noRoom()
	}
	return r.say(sd)
}

// say queues a message, and keeps it unless it may get lost.
func (r *room) say(sd *sending) (*wire.Message, *wire.Error) {
	s, req, excess := sd.s, sd.req, sd.excess
	reliable := !transient(req.Type)
	key := saidKey{s.key.id, string(req.LocalMessageId)}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &r.talk
	if r.seats == nil {
		return nil, noRoom()
	}
	from := r.seats[s.key.id]
	if !s.server && (from == nil || from.instance != s.instance) {
		return nil, notInRoom()
	}
	if s.server && !s.unaware {
		from = nil // is told, too
	}
	if m := t.ids[key]; reliable && m != nil {
		if !bytes.Equal(m.sum, sd.sum) {
			return nil, refuse(codeIdempotency, "the local message ID was used for another message")
		}
		return m.message, nil
	}
	full := len(t.queue) >= maxRoomWaiting || t.waiting >= maxRoomBytes
	if full && reliable {
		excess = tooMany()
	}
	if excess != nil {
		return nil, excess
	}
	m := &wire.Message{
		MessageId:        r.server.store.NextID(),
		TimestampMs:      time.Now().UnixMilli(),
		ConversationType: store.ConversationRoom,
		ConversationId:   r.key.id,
		SenderUserId:     s.key.id,
		Type:             req.Type,
		Content:          req.Content,
		ExtendedData:     req.ExtendedData,
		Priority:         req.Priority,
		MentionedUserIds: unique(req.MentionedUserIds),
		IsMentionAll:     req.IsMentionAll,
		IsServerMessage:  s.server,
	}
	m.OrderKey = m.MessageId
	if reliable {
		t.last++
		m.MessageSeq = t.last
		t.keep(&said{key: key, sum: sd.sum, message: m})
		r.server.callRoomMessage(r.key.app, m, s.said)
	}
	if !full && (len(r.members) > 1 || s.server) {
		push := &wire.Push{Transient: []*wire.Message{m}}
		r.post(delivery{push: push, to: r.members, except: from, size: len(m.Content) + len(m.ExtendedData)})
	}
	return m, nil
}

// combineForRoom keeps what a message for a room combines.
func (a *attachment) combineForRoom(sd *sending) (*wire.Error, error) {
	op := &combineOp{sendOp: sendOp{a: a, sending: *sd}, done: make(chan error, 1)}
	op.change.s = sd.s
	if err := a.server.store.Submit(op); err != nil {
		return nil, err
	}
	// The client's next message waits, or it would be faster.
	if err := <-op.done; err != nil {
		return nil, err
	}
	if op.refused == nil {
		sd.req.Content = op.message.Content
	}
	return op.refused, nil
}

type combineOp struct {
	sendOp
	done chan error
}

func (op *combineOp) Do(tx *store.Tx) error {
	c := &op.change
	op.message.Content = op.req.Content
	if op.refused = c.s.fence(); op.refused != nil {
		return nil
	}
	sender, err := tx.User(c.s.key.app, c.s.key.id)
	if err != nil {
		return err
	}
	c.reader, c.now = reader{Tx: tx, server: op.a.server, app: c.s.app, self: sender}, time.Now().UnixMilli()
	e := new(extras)
	if err := op.combine(e); op.refused != nil || err != nil {
		return err
	}
	return c.AddCombined(e.id, e.combine)
}

func (op *combineOp) Done(err error) { op.done <- err }

// post queues a push, together with the one before it if both tell of members. The caller holds mu.
func (r *room) post(d delivery) {
	t := &r.talk
	if len(d.to) == 0 {
		return
	}
	if n := len(t.queue); n > 0 && t.queue[n-1].merge(&d) {
		return
	}
	t.queue = append(t.queue, d)
	t.waiting += d.size
	if !t.delivering {
		t.delivering = true
		r.server.work.Go(r.deliver)
	}
}

// merge adds what d tells to an earlier delivery, if both tell of members who came, or of members who left.
func (d *delivery) merge(next *delivery) bool {
	a, b := d.push.Room, next.push.Room
	switch {
	case a == nil || b == nil:
	case len(a.Joined) > 0 && len(b.Joined) > 0 && len(a.Joined) < maxRoomChange:
		a.Joined, a.Number = append(a.Joined, b.Joined...), b.Number
		d.later = append(d.later, next.later...)
		return true
	case len(a.Left) > 0 && len(b.Left) > 0 && len(a.Left)+len(b.Left) <= maxRoomChange:
		a.Left, a.Number = append(a.Left, b.Left...), b.Number
		d.to = next.to // who left in between is not interested
		return true
	}
	return false
}

// deliver pushes until nothing waits.
func (r *room) deliver() {
	t := &r.talk
	for {
		r.mu.Lock()
		batch := t.queue
		t.queue, t.waiting = nil, 0
		t.delivering = len(batch) > 0
		r.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for i := range batch {
			batch[i].deliver()
		}
	}
}

func (d *delivery) deliver() {
	for _, st := range d.to {
		if st != d.except {
			st.push(d.push)
		}
	}
	for i, st := range d.later {
		if c := d.push.Room; i+1 < len(c.Joined) {
			st.push(&wire.Push{Room: &wire.RoomChange{RoomId: c.RoomId, Number: c.Number, Joined: c.Joined[i+1:]}})
		}
	}
}

// push pushes to the seat's user, if there is a connection. What a client is too slow for is dropped.
func (st *seat) push(p *wire.Push) {
	s := st.session.Load()
	if s == nil {
		return
	}
	if len(p.Transient) > 0 {
		if m := p.Transient[0]; hasFiles(m.Type) {
			p = &wire.Push{Transient: []*wire.Message{st.room.server.signedFor(s.key, m)}}
		}
	}
	if s.link.Push(p) == nil {
		return
	}
	switch {
	case p.Room.GetEnded() != 0:
		// It must not be missed. On another connection, the client asks what became of the room.
		s.link.Close(statusTryLater, "the client reads too slowly")
	case len(p.Transient) > 0 && p.Transient[0].MessageSeq != 0:
		s.missed.Store(true)
	}
}

// signedFor returns a message with URLs of its files that are good for one user.
func (s *Server) signedFor(user userKey, m *wire.Message) *wire.Message {
	if s.config.Media == nil || !hasFiles(m.Type) {
		return m
	}
	m = proto.CloneOf(m)
	m.Content = s.sign(user, m.Type, m.Content)
	return m
}

// remind shows a client that was too slow the last message of each room again, so that it finds the hole.
func (rs *rooms) remind(s *session) {
	if !s.missed.Swap(false) {
		return
	}
	var last []*seat
	rs.mu.Lock()
	for _, st := range rs.seats[s.key] {
		if st.session.Load() == s {
			last = append(last, st)
		}
	}
	rs.mu.Unlock()
	for _, st := range last {
		r := st.room
		r.mu.Lock()
		var m *wire.Message
		if n := len(r.talk.kept); n > 0 {
			m = r.talk.kept[n-1].message
		}
		r.mu.Unlock()
		if m != nil {
			st.push(&wire.Push{Transient: []*wire.Message{m}})
		}
	}
}
