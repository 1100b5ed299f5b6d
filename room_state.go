package zim

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A rooms knows which rooms a session's user is in, on this device, and how far the messages of each have come.
//
// Messages of rooms are in no feed. But those that are not to be missed have numbers, and the service keeps the last ones of
// a room, so that whatever goes wrong ends in the same question, as in a feed: what is behind the last message that I have?
// To ask is to come back into the room, which is also what a lost connection needs.
type rooms struct {
	session *session // immutable

	mu     sync.Mutex
	byID   map[string]*room   // guarded by mu
	conn   transport.Pipeline // guarded by mu; nil unless connected
	over   bool               // guarded by mu; the session is
	undone []string           // guarded by mu; rooms that may have been entered although the call failed, to be left
	full   bool               // guarded by mu; there was no room for messages
}

// A room is one that the user is in, or is about to be in. Its fields are guarded by the mu of its rooms.
type room struct {
	id    string    // immutable
	state RoomState // what was told last
	phase roomPhase
	fail  RoomEvent // what tells that entering failed

	entry   int64          // the number of the entry: what has a smaller one happened before
	last    int64          // the last message that was accepted
	seen    int64          // a message that is said to exist
	offline int64          // the last message of the time without a connection
	sent    map[int64]bool // messages behind last that this user sent
	asking  bool           // for what is behind last; a request is under way on conn

	early []*wire.Push // what came while the answer was not there yet
}

// A roomPhase is what a room waits for.
type roomPhase int

const (
	roomInside   roomPhase = iota // nothing, or a connection
	roomEntering                  // the answer to the call that enters it
	roomResuming                  // the answer whether the user is still in it
	roomUndoing                   // the answer to a leave that nobody called for
)

// maxEarly is how much a room holds back until it is entered.
const maxEarly = 256

// tell changes the state and tells it. The caller holds mu.
func (r *rooms) tell(m *room, state RoomState, event RoomEvent, err error) {
	m.state = state
	extended := "{}"
	var e *Error
	if errors.As(err, &e) {
		message := e.Message
		if message == "" {
			message = e.Code.String()
		}
		b, _ := json.Marshal(map[string]any{"code": int(e.Code), "message": message})
		extended = string(b)
	}
	r.session.z.dispatch.push(&RoomStateChanged{RoomID: m.id, State: state, Event: event, ExtendedData: extended})
}

// list returns the rooms in the order of their entries. The caller holds mu.
func (r *rooms) list() []*room {
	var list []*room
	for _, m := range r.byID {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *room) int { return cmp.Or(cmp.Compare(a.entry, b.entry), cmp.Compare(a.id, b.id)) })
	return list
}

// begin makes a room that is about to be entered.
func (r *rooms) begin(id string, call *roomCall) (*room, *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return nil, &Error{Op: call.op, Code: ErrNetworkUserIsNotLogged}
	}
	if call.from != "" {
		switch from := r.byID[call.from]; {
		case from == nil:
			return nil, &Error{Op: call.op, Code: ErrRoomUserIsNotInTheRoom}
		case from.state != RoomStateConnected:
			return nil, &Error{Op: call.op, Code: ErrRoomTheRoomIsConnecting, Message: call.from}
		}
	}
	switch m := r.byID[id]; {
	case m == nil:
	case m.state == RoomStateConnected:
		return nil, &Error{Op: call.op, Code: ErrRoomUserIsAlreadyInTheRoom}
	default:
		return nil, &Error{Op: call.op, Code: ErrRoomTheRoomIsConnecting}
	}
	m := &room{id: id, phase: roomEntering, fail: call.failed, sent: make(map[int64]bool)}
	if r.byID == nil {
		r.byID = make(map[string]*room)
	}
	r.byID[id] = m
	r.undone = slices.DeleteFunc(r.undone, func(other string) bool { return other == id })
	r.tell(m, RoomStateConnecting, call.start, nil)
	return m, nil
}

// entered takes note that a room was entered.
func (r *rooms) entered(m *room, call *roomCall, resp *wire.EnterRoomResponse) *Error {
	r.mu.Lock()
	if r.byID[m.id] != m {
		r.mu.Unlock()
		return &Error{Op: call.op, Code: ErrNetworkUserIsNotLogged}
	}
	m.phase, m.entry = roomInside, resp.GetEntry()
	m.last, m.seen, m.offline = resp.GetLast(), resp.GetLast(), resp.GetLast()
	r.tell(m, RoomStateConnected, RoomEventSuccess, nil)
	if from := r.byID[call.from]; from != nil {
		r.remove(from, RoomEventSuccess, nil)
	}
	r.replay(m)
	r.mu.Unlock()
	r.pull(m)
	return nil
}

// failed takes note that a room was not entered. If nobody knows, it is left.
func (r *rooms) failed(m *room, call *roomCall, err error) {
	switch CodeOf(err) {
	case ErrCanceled, ErrNetworkRequestTimeout, ErrCommonIMServerDisconnect:
		// The service sees it ahead of the next attempt, which can't begin before the room is removed.
		r.undo(m)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[m.id] == m {
		r.remove(m, call.failed, err)
	}
}

// undo leaves a room that m did not enter as far as its caller knows.
func (r *rooms) undo(m *room) {
	r.mu.Lock()
	conn := r.conn
	if conn == nil {
		r.undone = append(r.undone, m.id)
		if m.phase == roomUndoing {
			delete(r.byID, m.id)
		}
	}
	r.mu.Unlock()
	if conn == nil {
		return
	}
	conn.Start(leaveRequest(m.id), func(resp *wire.Response, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		current := r.byID[m.id]
		if current == m && m.phase == roomUndoing {
			delete(r.byID, m.id)
		}
		if (err != nil || Code(resp.GetError().GetCode()) == ErrCommonTriggerServerFrequencyLimit) && (current == nil || current == m) && !r.over {
			r.undone = append(r.undone, m.id)
		}
	})
}

// settle leaves what is still to be left. Meanwhile, nobody may enter it.
func (r *rooms) settle() {
	r.mu.Lock()
	var list []*room
	if r.conn != nil && !r.over {
		for _, id := range r.undone {
			if r.byID[id] == nil {
				m := &room{id: id, phase: roomUndoing, state: RoomStateConnecting}
				r.byID[id] = m
				list = append(list, m)
			}
		}
		r.undone = nil
	}
	r.mu.Unlock()
	for _, m := range list {
		r.undo(m)
	}
}

// find returns the room that is to be left, or nil if the session knows of none.
func (r *rooms) find(op, id string) (*room, *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.byID[id]
	if m != nil && (m.phase == roomEntering || m.phase == roomUndoing) {
		return nil, &Error{Op: op, Code: ErrRoomTheRoomIsConnecting}
	}
	return m, nil
}

// inside returns the rooms that the user is in.
func (r *rooms) inside() []*room {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(r.list(), func(m *room) bool { return m.phase == roomEntering || m.phase == roomUndoing })
}

// left takes note that a room was left. It reports whether the user was in it until then.
func (r *rooms) left(m *room) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m == nil || r.byID[m.id] != m {
		return false
	}
	r.remove(m, RoomEventSuccess, nil)
	return true
}

// remove takes a room away and tells why. The caller holds mu.
func (r *rooms) remove(m *room, event RoomEvent, err error) {
	delete(r.byID, m.id)
	r.tell(m, RoomStateDisconnected, event, err)
}

// interrupted takes note of a lost connection. The session's mu is held.
func (r *rooms) interrupted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = nil
	for _, m := range r.list() {
		if m.phase == roomInside || m.phase == roomResuming {
			m.phase, m.asking, m.early = roomInside, false, nil
			r.tell(m, RoomStateConnecting, RoomEventNetworkInterrupted, nil)
		}
	}
}

// connected takes note of a new connection. The session's mu is held.
func (r *rooms) connected(conn transport.Pipeline) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = conn
	for _, m := range r.list() {
		if m.phase == roomInside {
			m.phase = roomResuming
			r.tell(m, RoomStateConnecting, RoomEventNetworkInterrupted, nil)
		}
	}
}

// end takes note that the session is over. The session's mu is held.
func (r *rooms) end(e *ending) {
	event := RoomEventNetworkDisconnected
	if e.event == ConnectionEventSuccess {
		event = RoomEventSuccess
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.list() {
		switch {
		case e.silent || m.phase == roomUndoing:
		case m.phase == roomEntering:
			r.tell(m, RoomStateDisconnected, m.fail, nil)
		default:
			r.tell(m, RoomStateDisconnected, event, nil)
		}
	}
	r.byID, r.undone, r.conn, r.over = nil, nil, nil, true
}

// resume asks for each room what is to be asked: whether the user is still in it, or what there was no room for.
func (r *rooms) resume() {
	r.mu.Lock()
	list := r.list()
	r.mu.Unlock()
	for _, m := range list {
		r.pull(m)
	}
	r.settle()
}
