package backend

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/wire"
)

// Documented events of a room that a user is in no more.
const (
	roomGone      = 3
	roomKickedOut = 8
	roomTakenOver = 10
)

const (
	maxRoomName     = 64
	maxDestroyDelay = 10_800 // seconds
	// Entries and exits of a session, in a second and at once.
	roomMoves     = 10
	roomMoveBurst = 20
)

type roomKey struct {
	app uint32
	id  string
}

// A rooms has the rooms of all apps. They live in memory, and end with the process.
//
// Who is in which room is decided under mu, so that a switch is one step. What happens in one room has its order under that
// room's own mu, which is taken after this one. Neither is held while something is pushed.
type rooms struct {
	server *Server

	mu     sync.Mutex
	all    map[roomKey]*room   // guarded by mu
	counts map[uint32]int      // guarded by mu; rooms by app
	seats  map[userKey][]*seat // guarded by mu; the user's, at most one in a room. The slices are replaced, not changed
	closed bool                // guarded by mu; no timer is started any more
}

// A room is what its members share.
type room struct {
	server *Server       // immutable
	key    roomKey       // immutable
	name   string        // immutable
	delay  time.Duration // immutable; how long it lives on without members

	doom *time.Timer // guarded by rooms.mu; runs while there are no members

	mu      sync.Mutex
	seats   map[string]*seat // written under rooms.mu and mu, read under either; by user
	members []*seat          // the same, in the order of their entries. It is replaced, not changed
	talk    talk             // guarded by mu
}

// A seat is a user's place in a room. It belongs to a run of a client, and outlives a lost connection for a while.
type seat struct {
	room     *room          // immutable
	user     userKey        // immutable
	instance string         // immutable
	info     *wire.UserInfo // immutable; the user as of the entry
	place    int64          // immutable; grows in the order of the members
	since    int64          // immutable; the last message before the entry

	entry int64       // guarded by rooms.mu; the number of the latest entry
	away  *time.Timer // guarded by rooms.mu; until the seat is lost; nil while there is a session

	session atomic.Pointer[session] // written under rooms.mu; nil while the connection is lost
}

func newRooms(s *Server) *rooms {
	return &rooms{server: s, all: make(map[roomKey]*room), counts: make(map[uint32]int), seats: make(map[userKey][]*seat)}
}

// close stops the timers, for good.
func (rs *rooms) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
	for _, r := range rs.all {
		if r.doom != nil {
			r.doom.Stop()
		}
		for _, st := range r.members {
			if st.away != nil {
				st.away.Stop()
			}
		}
	}
}

func checkRoomID(id string) *wire.Error {
	if err := ident.CheckRoomID(id); err != nil {
		return refuse(codeParamsInvalid, "the room ID "+err.Error())
	}
	return nil
}

func notInRoom() *wire.Error { return refuse(codeNotInRoom, "the user is not in the room") }

func noRoom() *wire.Error { return refuse(codeNoRoom, "there is no such room") }

// move counts an entry or an exit of the session.
func (s *session) move() *wire.Error {
	if s.moves.Allow() {
		return nil
	}
	return &wire.Error{Code: codeFrequencyLimit, Message: "too many entries and exits of rooms", RetryAfterMs: 1000}
}

// enterRoom lets the session's user into a room, or back into it.
func (a *attachment) enterRoom(s *session, id uint64, req *wire.EnterRoomRequest) {
	refused := checkEntry(req)
	var who *wire.UserInfo
	if refused == nil && req.Mode != wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME {
		if refused = s.move(); refused == nil {
			who, refused = a.server.memberInfo(s.key)
		}
	}
	var resp *wire.EnterRoomResponse
	if refused == nil {
		resp, refused = a.server.rooms.enter(s, req, who)
	}
	if refused != nil {
		a.refuse(id, refused)
		return
	}
	size := 0
	for i, m := range resp.Missed {
		m = a.server.signedFor(s.key, m)
		if size += len(m.Content) + len(m.ExtendedData); i > 0 && size > maxMissedBytes {
			resp.Missed = resp.Missed[:i]
			break
		}
		resp.Missed[i] = m
	}
	a.link.Reply(id, &wire.Response{Body: &wire.Response_EnterRoom{EnterRoom: resp}})
}

func checkEntry(req *wire.EnterRoomRequest) *wire.Error {
	room := req.GetRoom()
	if refused := checkRoomID(room.GetRoomId()); refused != nil {
		return refused
	}
	if req.Leave != "" {
		if refused := checkRoomID(req.Leave); refused != nil {
			return refused
		}
	}
	switch {
	case req.Mode < wire.EnterRoomMode_ENTER_ROOM_MODE_UNSPECIFIED || req.Mode > wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME:
		return refuse(codeParamsInvalid, "there is no such way to enter a room")
	case req.Leave == room.GetRoomId():
		return refuse(codeParamsInvalid, "the rooms to leave and to enter are the same")
	case len(room.GetName()) > maxRoomName:
		return tooLarge("room name", len(room.GetName()), maxRoomName)
	case !utf8.ValidString(room.GetName()):
		return refuse(codeParamsInvalid, "the room name is not valid UTF-8")
	case req.DestroyDelay < 0 || req.DestroyDelay > maxDestroyDelay:
		return refuse(codeParamsInvalid, fmt.Sprintf("the destroy delay must be 0 to %d seconds", maxDestroyDelay))
	}
	return nil
}

// memberInfo returns what other members see of a user.
func (s *Server) memberInfo(key userKey) (*wire.UserInfo, *wire.Error) {
	info := &wire.UserInfo{UserId: key.id}
	err := s.store.View(context.Background(), func(tx *store.Tx) error {
		u, err := tx.User(key.app, key.id)
		if u != nil {
			info.Name = u.Name
		}
		return err
	})
	if err != nil {
		s.log.Error("backend: reading a user", "app", key.app, "err", err)
		return nil, refuse(codeDatabaseError, "the user can't be looked up")
	}
	return info, nil
}

// own returns the seat of the session's run of the client in a room, or nil. The caller holds mu.
func (rs *rooms) own(s *session, r *room) *seat {
	if r == nil {
		return nil
	}
	if st := r.seats[s.key.id]; st != nil && st.instance == s.instance {
		return st
	}
	return nil
}

func (rs *rooms) enter(s *session, req *wire.EnterRoomRequest, who *wire.UserInfo) (*wire.EnterRoomResponse, *wire.Error) {
	key := roomKey{s.key.app, req.Room.RoomId}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if refused := s.fence(); refused != nil {
		return nil, refused
	}
	if rs.closed {
		return nil, refuse(codeServerError, "the server is going away")
	}
	r := rs.all[key]
	own := rs.own(s, r)
	switch mode := req.Mode; {
	case mode == wire.EnterRoomMode_ENTER_ROOM_MODE_CREATE && r != nil:
		return nil, refuse(codeRoomExists, "the room exists already")
	case mode == wire.EnterRoomMode_ENTER_ROOM_MODE_JOIN && r == nil:
		return nil, noRoom()
	case mode == wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME && r == nil:
		return nil, noRoom()
	case mode == wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME && own == nil:
		return nil, notInRoom()
	case mode == wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME:
		r.mu.Lock()
		defer r.mu.Unlock()
		own.attach(s)
		resp := own.welcome()
		resp.Missed = r.talk.behind(max(req.After, own.since))
		return resp, nil
	}
	var from *seat
	if req.Leave != "" {
		if from = rs.own(s, rs.all[roomKey{key.app, req.Leave}]); from == nil {
			return nil, refuse(codeNotInRoom, "the user is not in the room to leave")
		}
	}
	if own == nil {
		if refused := rs.admit(s, r, from); refused != nil {
			return nil, refused
		}
	}
	if r == nil {
		r = rs.add(key, req, s.key.id)
	}
	resp := rs.seat(s, r, own, who)
	if from != nil {
		rs.take(from.room, []*seat{from}, 0)
	}
	return resp, nil
}

// add makes a room. operator is empty if it was none of the users. The caller holds mu.
func (rs *rooms) add(key roomKey, req *wire.EnterRoomRequest, operator string) *room {
	r := &room{
		server: rs.server,
		key:    key,
		name:   req.Room.Name,
		delay:  time.Duration(req.DestroyDelay) * time.Second,
		seats:  make(map[string]*seat),
	}
	rs.all[key] = r
	rs.counts[key.app]++
	r.call(webhook.RoomCreate, operator, webhook.Fields{"room_name": r.name, "attributes": []string{}})
	return r
}

// schedule ends a room without members once its delay is over. The caller holds mu.
func (rs *rooms) schedule(r *room) {
	var doom *time.Timer
	doom = time.AfterFunc(r.delay, func() {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		if r.doom == doom && !rs.closed {
			rs.delete(r)
		}
	})
	r.doom = doom
}

// admit holds an entry against the limits. The caller holds mu.
func (rs *rooms) admit(s *session, r *room, from *seat) *wire.Error {
	limits := &s.app.Limits
	entered := len(rs.seats[s.key])
	if from != nil {
		entered--
	}
	switch {
	case r != nil && r.seats[s.key.id] != nil:
		return nil // from another device, which makes room
	case r == nil && limits.Rooms >= 0 && rs.counts[s.key.app] >= limits.Rooms:
		return refuse(codeTooManyRooms, "the app has as many rooms as it may")
	case limits.RoomsPerUser >= 0 && entered >= limits.RoomsPerUser:
		return refuse(codeTooManyEntered, "the user is in as many rooms as one may")
	case r != nil && limits.RoomMembers >= 0 && len(r.members) >= limits.RoomMembers:
		return refuse(codeRoomFull, "the room is full")
	}
	return nil
}

// seat gives the session's user a seat in r, in place of one on another device. own is the seat that it has already, because
// the answer to an earlier request was lost. The caller holds mu.
func (rs *rooms) seat(s *session, r *room, own *seat, who *wire.UserInfo) *wire.EnterRoomResponse {
	r.mu.Lock()
	defer r.mu.Unlock()
	if own == nil {
		own = &seat{room: r, user: s.key, instance: s.instance, info: who, since: r.talk.last, place: rs.server.store.NextID()}
		rs.sit(r, own)
	}
	own.entry = rs.server.store.NextID()
	own.attach(s)
	return own.welcome()
}

// sit puts a seat into r. The caller holds mu and r's mu.
func (rs *rooms) sit(r *room, st *seat) {
	old := r.seats[st.user.id]
	r.seats[st.user.id] = st
	if old != nil {
		// For the others, the user stays.
		st.place = old.place
		r.members = slices.Clone(r.members)
		r.members[slices.Index(r.members, old)] = st
		rs.forget(old)
		r.post(delivery{push: r.change(&wire.RoomChange{Ended: roomTakenOver}), to: []*seat{old}})
	} else {
		if r.doom != nil {
			r.doom.Stop()
			r.doom = nil
		}
		r.post(delivery{push: r.change(&wire.RoomChange{Joined: []*wire.UserInfo{st.info}}), to: r.members, later: []*seat{st}})
		r.members = append(slices.Clip(r.members), st)
		r.call(webhook.RoomEnter, st.user.id, webhook.Fields{})
	}
	rs.seats[st.user] = append(slices.Clip(rs.seats[st.user]), st)
}

// change names and numbers what happened. The caller holds the room's mu.
func (r *room) change(c *wire.RoomChange) *wire.Push {
	c.RoomId, c.Number = r.key.id, r.server.store.NextID()
	return &wire.Push{Room: c}
}

// attach makes s the session that the seat's user is reached by. The caller holds rooms.mu.
func (st *seat) attach(s *session) {
	if st.away != nil {
		st.away.Stop()
		st.away = nil
	}
	st.session.Store(s)
}

// welcome answers an entry. The caller holds rooms.mu and the room's mu.
func (st *seat) welcome() *wire.EnterRoomResponse {
	r := st.room
	return &wire.EnterRoomResponse{
		Room:  &wire.RoomInfo{RoomId: r.key.id, Name: r.name},
		Last:  r.talk.last,
		Entry: st.entry,
	}
}

// forget takes a seat out of what is known of its user. The caller holds mu.
func (rs *rooms) forget(st *seat) {
	if st.away != nil {
		st.away.Stop()
		st.away = nil
	}
	rest := slices.DeleteFunc(slices.Clone(rs.seats[st.user]), func(other *seat) bool { return other == st })
	if len(rest) == 0 {
		delete(rs.seats, st.user)
	} else {
		rs.seats[st.user] = rest
	}
}

// take takes members out of a room. They are told why unless ended is zero: then they know. The caller holds mu.
func (rs *rooms) take(r *room, seats []*seat, ended int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := make([]*wire.UserInfo, len(seats))
	for i, st := range seats {
		rs.forget(st)
		delete(r.seats, st.user.id)
		left[i] = st.info
	}
	r.members = slices.DeleteFunc(slices.Clone(r.members), func(st *seat) bool { return slices.Contains(seats, st) })
	if !rs.closed {
		r.post(delivery{push: r.change(&wire.RoomChange{Left: left}), to: r.members})
		r.callExit(seats, ended)
	}
	if ended != 0 {
		r.post(delivery{push: r.change(&wire.RoomChange{Ended: ended}), to: seats})
	}
	if len(r.members) > 0 {
		return
	}
	r.talk.clear() // nobody may see what was said before
	if r.delay == 0 || rs.closed {
		rs.delete(r)
		return
	}
	rs.schedule(r)
}

// delete ends a room. users are those who were in it until then. The caller holds mu.
func (rs *rooms) delete(r *room, users ...string) {
	delete(rs.all, r.key)
	if rs.counts[r.key.app]--; rs.counts[r.key.app] == 0 {
		delete(rs.counts, r.key.app)
	}
	if users = append([]string{}, users...); !rs.closed {
		r.call(webhook.RoomDestroy, "", webhook.Fields{"user_ids": users})
	}
}

// gone takes note that a session is there no more. If its client may come back, its seats are kept for a while.
func (rs *rooms) gone(s *session, status OnlineStatus) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return
	}
	for _, st := range rs.seats[s.key] {
		if st.session.Load() != s {
			continue
		}
		st.session.Store(nil)
		if status != StatusOnline {
			rs.take(st.room, []*seat{st}, 0)
			continue
		}
		var away *time.Timer
		away = time.AfterFunc(rs.server.config.RoomRetention, func() {
			rs.mu.Lock()
			defer rs.mu.Unlock()
			if st.away == away && !rs.closed {
				rs.take(st.room, []*seat{st}, 0)
			}
		})
		st.away = away
	}
}

// dismiss takes the seats of a user's runs that can't come back.
func (rs *rooms) dismiss(user userKey, over func(instance string) bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, st := range rs.seats[user] {
		if over(st.instance) {
			rs.take(st.room, []*seat{st}, 0)
		}
	}
}

// leaveRoom lets the session's user out of a room, or out of all that were entered on this device.
func (a *attachment) leaveRoom(s *session, id uint64, req *wire.LeaveRoomRequest) {
	var refused *wire.Error
	if req.RoomId != "" {
		refused = checkRoomID(req.RoomId)
	}
	if refused == nil {
		refused = s.move()
	}
	var left []string
	if refused == nil {
		left, refused = a.server.rooms.leave(s, req.RoomId)
	}
	if refused != nil {
		a.refuse(id, refused)
		return
	}
	a.link.Reply(id, &wire.Response{Body: &wire.Response_LeaveRoom{LeaveRoom: &wire.LeaveRoomResponse{RoomIds: left}}})
}

func (rs *rooms) leave(s *session, roomID string) (left []string, refused *wire.Error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if refused := s.fence(); refused != nil {
		return nil, refused
	}
	for _, st := range rs.seats[s.key] {
		if st.instance == s.instance && (roomID == "" || roomID == st.room.key.id) {
			rs.take(st.room, []*seat{st}, 0)
			left = append(left, st.room.key.id)
		}
	}
	switch {
	case len(left) > 0:
		return left, nil
	case roomID != "" && rs.all[roomKey{s.key.app, roomID}] == nil:
		return nil, refuse(codeCannotLeave, "there is no such room")
	}
	return nil, notInRoom()
}
