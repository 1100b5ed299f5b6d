package backend

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zim-go/zim/wire"
)

const (
	maxRoomPage   = 100
	maxRoomListed = 500 // in all pages together
	maxRoomUsers  = 10  // that are asked for by their IDs
	maxRoomKicked = 50
)

// Why a Server can do nothing to a room.
var (
	ErrNoRoom       = errors.New("backend: there is no such room")
	ErrRoomExists   = errors.New("backend: the room exists already")
	ErrTooManyRooms = errors.New("backend: the app has as many rooms as it may")
)

// queryRoomMembers answers who is in a room that the session's user is in.
func (a *attachment) queryRoomMembers(s *session, id uint64, req *wire.QueryRoomMembersRequest) {
	if !s.queries.Allow() {
		a.refuse(id, tooMany())
		return
	}
	resp, refused := a.server.rooms.query(s, req)
	if refused != nil {
		a.refuse(id, refused)
		return
	}
	a.link.Reply(id, &wire.Response{Body: &wire.Response_RoomMembers{RoomMembers: resp}})
}

func (rs *rooms) query(s *session, req *wire.QueryRoomMembersRequest) (*wire.RoomMembers, *wire.Error) {
	if refused := checkRoomID(req.RoomId); refused != nil {
		return nil, refused
	}
	if len(req.UserIds) > maxRoomUsers || req.Count < 0 {
		return nil, refuse(codeParamsInvalid, fmt.Sprintf("one asks for up to %d users, or for a page", maxRoomUsers))
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.all[roomKey{s.key.app, req.RoomId}]
	switch {
	case r == nil:
		return nil, noRoom()
	case rs.own(s, r) == nil:
		return nil, notInRoom()
	case req.OnlyCount:
		resp := new(wire.RoomMembers)
		for _, st := range r.members {
			if st.session.Load() != nil {
				resp.Count++
			}
		}
		return resp, nil
	case len(req.UserIds) > 0:
		resp := new(wire.RoomMembers)
		for _, user := range req.UserIds {
			if st := r.seats[user]; st != nil {
				resp.Members = append(resp.Members, st.info)
			} else {
				resp.Failed = append(resp.Failed, &wire.UserError{UserId: user, Reason: codeNotInRoom})
			}
		}
		if len(resp.Members) == 0 {
			return nil, refuse(codeNoneInRoom, "none of the users is in the room")
		}
		return resp, nil
	}
	return r.page(req.Next, int(req.Count))
}

// page answers with members in the order of their entries. A cursor has the place of the last one, and how many came before
// it. The caller holds rooms.mu.
func (r *room) page(cursor string, count int) (*wire.RoomMembers, *wire.Error) {
	var place, listed int64
	if cursor != "" {
		at, n, ok := strings.Cut(cursor, ".")
		var err error
		if place, err = strconv.ParseInt(at, 10, 64); err == nil && ok {
			listed, err = strconv.ParseInt(n, 10, 64)
		}
		if err != nil || !ok || listed < 0 {
			return nil, refuse(codeParamsInvalid, "the next flag is none of the service's")
		}
	}
	if count == 0 {
		count = maxRoomPage
	}
	count = max(min(count, maxRoomPage, maxRoomListed-int(min(listed, maxRoomListed))), 0)
	start, _ := slices.BinarySearchFunc(r.members, place, func(st *seat, place int64) int {
		if st.place <= place {
			return -1
		}
		return 1
	})
	rest := r.members[start:]
	n := min(count, len(rest))
	resp := new(wire.RoomMembers)
	for _, st := range rest[:n] {
		resp.Members = append(resp.Members, st.info)
	}
	if listed += int64(n); n > 0 && n < len(rest) && listed < maxRoomListed {
		resp.Next = fmt.Sprint(rest[n-1].place, ".", listed)
	}
	return resp, nil
}

// KickRoomMembers takes up to 50 users out of a room. It returns those who were not in it. It fails with [ErrNoRoom] if the
// room does not exist, and with [ErrDraining] after Shutdown.
func (s *Server) KickRoomMembers(app uint32, roomID string, userIDs ...string) (absent []string, err error) {
	if len(userIDs) > maxRoomKicked {
		return nil, fmt.Errorf("backend: %d users to kick, the limit is %d", len(userIDs), maxRoomKicked)
	}
	rs := s.rooms
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.all[roomKey{app, roomID}]
	if rs.closed {
		return nil, ErrDraining
	}
	if r == nil {
		return nil, ErrNoRoom
	}
	var seats []*seat
	for _, id := range userIDs {
		if st := r.seats[id]; st == nil {
			absent = append(absent, id)
		} else if !slices.Contains(seats, st) {
			seats = append(seats, st)
		}
	}
	if len(seats) > 0 {
		rs.take(r, seats, roomKickedOut)
	}
	return absent, nil
}

// DestroyRoom ends a room, whoever is in it. It fails with [ErrNoRoom] if the room does not exist, and with [ErrDraining] after
// Shutdown.
func (s *Server) DestroyRoom(app uint32, roomID string) error {
	rs := s.rooms
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.all[roomKey{app, roomID}]
	if rs.closed {
		return ErrDraining
	}
	if r == nil {
		return ErrNoRoom
	}
	if r.doom != nil {
		r.doom.Stop()
		r.doom = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, st := range r.members {
		rs.forget(st)
	}
	r.post(delivery{push: r.change(&wire.RoomChange{Ended: roomGone}), to: r.members})
	users := seated(r.members)
	r.members, r.seats = nil, nil
	r.talk.clear()
	rs.delete(r, users...)
	return nil
}
