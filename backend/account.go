package backend

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/wire"
)

// An Account is what the app's server may know of a user.
type Account struct {
	UserID string
	Name   string // up to 256 bytes; may be empty
	Exists bool
	Online bool // see [Server.UserOnline]
	// LoggedIn says that a run of a client has logged in, and has neither logged out nor been kicked out since.
	LoggedIn bool
}

func checkAccounts(list []Account) error {
	for _, a := range list {
		if err := ident.CheckUserID(a.UserID); err != nil {
			return fmt.Errorf("backend: a user ID %w", err)
		}
		if len(a.Name) > maxUserName || !utf8.ValidString(a.Name) {
			return fmt.Errorf("backend: a user's name is text of up to %d bytes", maxUserName)
		}
	}
	return nil
}

// Enroll makes users who have not logged in yet. Those who exist stay as they are; they are returned.
func (s *Server) Enroll(app uint32, list []Account) (existing []string, err error) {
	if s.apps[app] == nil {
		return nil, fmt.Errorf("backend: there is no app %d", app)
	}
	if err := checkAccounts(list); err != nil {
		return nil, err
	}
	err = s.store.Update(func(tx *store.Tx) error {
		existing = nil // of an earlier try
		for _, a := range list {
			u, err := tx.User(app, a.UserID)
			if err != nil {
				return err
			}
			if u != nil {
				existing = append(existing, a.UserID)
			} else if _, err := tx.Register(app, a.UserID, a.Name); err != nil {
				return err
			}
		}
		return nil
	})
	return existing, err
}

// Rename gives users other names. Those who don't exist are returned; an empty name leaves the user's.
func (s *Server) Rename(app uint32, list []Account) (unknown []string, err error) {
	if err := checkAccounts(list); err != nil {
		return nil, err
	}
	err = s.store.Update(func(tx *store.Tx) error {
		unknown = nil // of an earlier try
		for _, a := range list {
			u, err := tx.User(app, a.UserID)
			if err != nil {
				return err
			}
			if u == nil {
				unknown = append(unknown, a.UserID)
			} else if _, err := tx.Register(app, a.UserID, a.Name); err != nil {
				return err
			}
		}
		return nil
	})
	return unknown, err
}

// Accounts looks users up. The list has one for each ID, in the same order.
func (s *Server) Accounts(ctx context.Context, app uint32, userIDs ...string) ([]Account, error) {
	list := make([]Account, len(userIDs))
	err := s.store.View(ctx, func(tx *store.Tx) error {
		for i, id := range userIDs {
			list[i] = Account{UserID: id}
			u, err := tx.User(app, id)
			if err != nil {
				return err
			}
			if u == nil {
				continue
			}
			logins, err := tx.Logins(u)
			if err != nil {
				return err
			}
			list[i].Name, list[i].Exists = u.Name, true
			for _, l := range logins {
				list[i].LoggedIn = list[i].LoggedIn || !l.Evicted
			}
		}
		return nil
	})
	for i := range list {
		list[i].Online = s.UserOnline(app, list[i].UserID)
	}
	return list, err
}

// Groups lists the groups of an app, in the order in which they were made: up to limit of them behind a place, which is zero for the first
// ones. next is the place of the next ones, or zero. total is how many there are.
func (s *Server) Groups(ctx context.Context, app uint32, after int64, limit int) (list []*wire.GroupInfo, next, total int64, err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		found, err := tx.GroupsOf(app, after, int64(limit)+1)
		if err != nil {
			return err
		}
		if len(found) > limit {
			found = found[:limit]
			next = found[limit-1].Conversation.ID
		}
		for _, g := range found {
			list = append(list, wireGroup(g, nil))
		}
		total, err = tx.CountGroups(app)
		return err
	})
	return list, next, total, err
}

// A RoomMember is a user who is in a room.
type RoomMember struct {
	UserID, Name string
	// Place grows in the order in which the members entered.
	Place int64
}

// CreateRoom makes a room that nobody is in. Without members, it lives on for delay, which is up to three hours in whole seconds; if that is
// zero, until somebody was in it and the last one has left. It fails with [ErrRoomExists], with [ErrTooManyRooms] if the app has as many
// rooms as it may, and with [ErrDraining] after Shutdown.
func (s *Server) CreateRoom(app uint32, roomID, name string, delay time.Duration) error {
	info := &wire.RoomInfo{RoomId: roomID, Name: name}
	req := &wire.EnterRoomRequest{Room: info, DestroyDelay: int32(delay / time.Second)}
	if refused := checkEntry(req); refused != nil {
		return fmt.Errorf("backend: %s", refused.Message)
	}
	a := s.apps[app]
	if a == nil {
		return fmt.Errorf("backend: there is no app %d", app)
	}
	rs := s.rooms
	rs.mu.Lock()
	defer rs.mu.Unlock()
	key := roomKey{app, roomID}
	switch {
	case rs.closed:
		return ErrDraining
	case rs.all[key] != nil:
		return ErrRoomExists
	case a.Limits.Rooms >= 0 && rs.counts[app] >= a.Limits.Rooms:
		return ErrTooManyRooms
	}
	if r := rs.add(key, req, ""); r.delay > 0 {
		rs.schedule(r)
	}
	return nil
}

// RoomMembers lists who is in a room, in the order of their entries. It fails with [ErrNoRoom] if the room does not exist.
func (s *Server) RoomMembers(app uint32, roomID string) ([]RoomMember, error) {
	rs := s.rooms
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.all[roomKey{app, roomID}]
	if r == nil {
		return nil, ErrNoRoom
	}
	list := make([]RoomMember, len(r.members))
	for i, st := range r.members {
		list[i] = RoomMember{UserID: st.user.id, Name: st.info.Name, Place: st.place}
	}
	return list, nil
}
