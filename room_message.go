package zim

import (
	"math"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// message takes a message that was pushed.
func (r *rooms) message(w *wire.Message) {
	r.mu.Lock()
	m := r.byID[w.ConversationId]
	if m != nil && !r.hold(m, &wire.Push{Transient: []*wire.Message{w}}) {
		r.accept(m, w)
	}
	r.mu.Unlock()
	if m != nil {
		r.pull(m)
	}
}

// change takes what was pushed about a room.
func (r *rooms) change(w *wire.RoomChange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.byID[w.RoomId]; m != nil && !r.hold(m, &wire.Push{Room: w}) {
		r.apply(m, w)
	}
}

// hold keeps what came before the answer that it belongs behind. The caller holds mu.
func (r *rooms) hold(m *room, p *wire.Push) bool {
	n := len(m.early)
	switch ended := p.Room.GetEnded() != 0; {
	case m.phase == roomInside:
		return false
	case n > 0 && m.early[n-1].Room.GetEnded() != 0:
		// Nothing counts behind that.
	case n < maxEarly || ended:
		m.early = append(m.early, p)
	case len(p.Transient) > 0 && p.Transient[0].MessageSeq != 0:
		m.seen = max(m.seen, p.Transient[0].MessageSeq)
	default:
		r.session.z.dispatch.drop(1)
	}
	return true
}

// replay takes what was held back. The caller holds mu.
func (r *rooms) replay(m *room) {
	early := m.early
	m.early = nil
	for _, p := range early {
		switch {
		case r.byID[m.id] != m:
			return
		case p.Room != nil:
			r.apply(m, p.Room)
		default:
			r.accept(m, p.Transient[0])
		}
	}
}

// apply tells what happened in a room. The caller holds mu.
func (r *rooms) apply(m *room, w *wire.RoomChange) {
	if w.Number <= m.entry {
		return // it was about an earlier stay
	}
	if w.Ended != 0 {
		r.remove(m, RoomEvent(w.Ended), nil)
		return
	}
	if len(w.Joined) > 0 {
		r.offer(queued{event: &RoomMemberJoined{RoomID: m.id, MemberList: userInfos(w.Joined)}, count: 1})
	}
	if len(w.Left) > 0 {
		r.offer(queued{event: &RoomMemberLeft{RoomID: m.id, MemberList: userInfos(w.Left)}, count: 1})
	}
}

// offer queues an event that may get lost.
func (r *rooms) offer(q queued) {
	if !r.session.z.dispatch.tryPush(q) {
		r.session.z.dispatch.drop(1)
	}
}

// accept takes a message, if it is the next one or one without a number. The caller holds mu.
func (r *rooms) accept(m *room, w *wire.Message) {
	if w.MessageId <= m.entry {
		return
	}
	if w.MessageSeq == 0 {
		r.offer(r.received(m, []*wire.Message{w}, false))
		return
	}
	m.seen = max(m.seen, w.MessageSeq)
	if w.MessageSeq != m.last+1 {
		return
	}
	if r.own(w) || r.session.z.dispatch.tryPush(r.received(m, []*wire.Message{w}, false)) {
		m.advance(w.MessageSeq)
	}
}

// own reports whether this device sent a message: a user is in a room on one device.
func (r *rooms) own(w *wire.Message) bool { return w.SenderUserId == r.session.userID }

// advance takes note that all messages up to seq were accepted, and those behind it that this user sent.
func (m *room) advance(seq int64) {
	m.last = seq
	if len(m.sent) == 0 {
		return
	}
	for m.sent[m.last+1] {
		m.last++
	}
	for n := range m.sent {
		if n <= m.last {
			delete(m.sent, n)
		}
	}
}

// acknowledged takes note of a message that this user sent: nobody pushes it.
func (r *rooms) acknowledged(roomID string, seq int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.byID[roomID]
	if m == nil || m.phase == roomEntering || m.phase == roomUndoing || seq <= m.last {
		return
	}
	m.sent[seq] = true
	m.advance(m.last)
}

func (r *rooms) received(m *room, list []*wire.Message, offline bool) queued {
	files := r.session.feed.fileServer()
	e := &RoomMessageReceived{FromConversationID: m.id, Info: MessageReceivedInfo{IsOfflineMessage: offline}}
	q := queued{event: e, count: len(list)}
	for _, w := range list {
		e.Messages = append(e.Messages, message(w, r.session.userID, files))
		q.bytes += len(w.Content) + len(w.ExtendedData)
	}
	return q
}

// pull asks for the messages behind the last one, or whether the user is still in the room, unless something speaks against it.
func (r *rooms) pull(m *room) {
	r.mu.Lock()
	conn := r.conn
	missing := m.phase == roomInside && m.last < m.seen
	if m.phase != roomResuming && !missing || m.asking || conn == nil || r.byID[m.id] != m {
		r.mu.Unlock()
		return
	}
	if missing && !r.full {
		r.full = r.session.z.dispatch.whenHalf(r.again)
	}
	if missing && r.full {
		r.mu.Unlock()
		return
	}
	m.asking = true
	seen := m.seen
	req := &wire.EnterRoomRequest{Room: &wire.RoomInfo{RoomId: m.id}, Mode: wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME, After: m.last}
	r.mu.Unlock()
	conn.Start(&wire.Request{Body: &wire.Request_EnterRoom{EnterRoom: req}}, func(resp *wire.Response, err error) {
		r.resumed(m, conn, seen, resp, err)
	})
}

// again asks for what there was no room for.
func (r *rooms) again() {
	r.mu.Lock()
	r.full = false
	r.mu.Unlock()
	r.resume()
}

// resumed takes the answer to a pull. seen is what was said to exist when it was asked.
func (r *rooms) resumed(m *room, conn transport.Pipeline, seen int64, resp *wire.Response, err error) {
	if err == nil && resp.Error != nil && r.session.ended(resp.Error) {
		return
	}
	r.mu.Lock()
	if r.conn != conn || r.byID[m.id] != m {
		r.mu.Unlock()
		return
	}
	m.asking = false
	if err != nil {
		r.mu.Unlock()
		return // the connection broke: the next one starts over
	}
	if resp.Error != nil {
		r.refused(m, resp.Error)
		r.mu.Unlock()
		r.settle()
		return
	}
	room := resp.GetEnterRoom()
	if m.phase == roomResuming {
		m.phase, m.offline = roomInside, room.GetLast()
		r.tell(m, RoomStateConnected, RoomEventSuccess, nil)
	}
	if m.seen == seen {
		m.seen = room.GetLast()
	}
	before := m.last
	if r.catchUp(m, room) && m.last == before {
		m.seen = before // asking again would bring nothing either
	}
	r.replay(m)
	r.mu.Unlock()
	r.pull(m)
}

// refused handles a refused resumption. The caller holds mu.
func (r *rooms) refused(m *room, e *wire.Error) {
	err := refusal("", e)
	switch {
	case err.Code == ErrRoomUserIsNotInTheRoom:
		r.remove(m, RoomEventConnectTimeout, err)
	case err.Code == ErrRoomTheRoomDoesNotExist:
		r.remove(m, RoomEventRoomNotExist, err)
	case m.phase == roomResuming:
		r.remove(m, RoomEventNetworkDisconnected, err)
		r.undone = append(r.undone, m.id)
	}
	// Else there is another chance with the next message, or heartbeat.
}

// catchUp takes missed messages. It reports whether there was room for all. The caller holds mu.
func (r *rooms) catchUp(m *room, room *wire.EnterRoomResponse) bool {
	d := r.session.z.dispatch
	missed := room.GetMissed()
	for len(missed) > 0 {
		first := missed[0]
		if first.MessageSeq <= m.last {
			missed = missed[1:]
			continue
		}
		if r.own(first) {
			r.skip(m, first.MessageSeq)
			m.advance(first.MessageSeq)
			missed = missed[1:]
			continue
		}
		n := r.run(m, missed)
		if !d.tryPush(r.received(m, missed[:n], first.MessageSeq <= m.offline)) {
			return false
		}
		r.skip(m, first.MessageSeq)
		m.advance(missed[n-1].MessageSeq)
		missed = missed[n:]
	}
	if len(room.GetMissed()) == 0 && room.GetLast() > m.last {
		r.skip(m, room.GetLast()+1)
		m.advance(room.GetLast())
	}
	return true
}

// run returns how many messages at the beginning of list make one event.
func (r *rooms) run(m *room, list []*wire.Message) int {
	limit, size := min(maxRun, max(r.session.z.dispatch.room(), 1)), 0
	for i, w := range list {
		if i == limit || size > maxRunBytes || r.own(w) || w.MessageSeq != list[0].MessageSeq+int64(i) || (w.MessageSeq <= m.offline) != (list[0].MessageSeq <= m.offline) {
			return i
		}
		size += len(w.Content) + len(w.ExtendedData)
	}
	return len(list)
}

// skip tells of messages between the last one and seq: the service does not keep them any more. The caller holds mu.
func (r *rooms) skip(m *room, seq int64) {
	if n := seq - m.last - 1; n > 0 {
		r.session.z.log.Warn("zim: messages of a room are no longer kept", "user", r.session.userID, "count", n)
		r.session.z.dispatch.drop(int(min(n, math.MaxInt32)))
	}
}
