package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// A visitor is a user with what the handlers for rooms saw.
type visitor struct {
	*zim.ZIM
	mu       sync.Mutex
	seen     []string // all of it, in order
	messages []*zim.Message
	offline  []bool
	dropped  int
}

func visit(t *testing.T, srv *zimtest.Server, dialer transport.Dialer, userID string) *visitor {
	t.Helper()
	z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, Limits: zim.Limits{SendRate: -1}, MaxReconnectDelay: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	v := &visitor{ZIM: z}
	v.watch()
	login(t, srv, z, userID)
	return v
}

func (v *visitor) watch() {
	note := func(format string, args ...any) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.seen = append(v.seen, fmt.Sprintf(format, args...))
	}
	users := func(list []zim.UserInfo) string {
		var ids []string
		for _, u := range list {
			ids = append(ids, u.UserID)
		}
		return strings.Join(ids, " ")
	}
	zim.On(v.ZIM, func(_ context.Context, e *zim.RoomStateChanged) { note("%s %d,%d", e.RoomID, e.State, e.Event) })
	zim.On(v.ZIM, func(_ context.Context, e *zim.RoomMemberJoined) { note("%s +%s", e.RoomID, users(e.MemberList)) })
	zim.On(v.ZIM, func(_ context.Context, e *zim.RoomMemberLeft) { note("%s -%s", e.RoomID, users(e.MemberList)) })
	zim.On(v.ZIM, func(_ context.Context, e *zim.ConnectionStateChanged) {
		if e.State != zim.ConnectionStateConnecting && e.Event != zim.ConnectionEventSuccess || e.State == zim.ConnectionStateDisconnected {
			note("connection %d,%d", e.State, e.Event)
		}
	})
	zim.On(v.ZIM, func(_ context.Context, e *zim.EventsDropped) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.dropped += e.Count
	})
	zim.On(v.ZIM, func(_ context.Context, e *zim.RoomMessageReceived) {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, m := range e.Messages {
			if m.Conversation != zim.Room(e.FromConversationID) {
				panic("a message of another conversation")
			}
			v.messages = append(v.messages, m)
			v.offline = append(v.offline, e.Info.IsOfflineMessage)
		}
	})
}

func text(m *zim.Message) string {
	switch c := m.Content.(type) {
	case *zim.TextMessage:
		return c.Message
	case *zim.BarrageMessage:
		return c.Message
	case *zim.CommandMessage:
		return string(c.Message)
	default:
		return fmt.Sprintf("%T", c)
	}
}

// texts returns what the messages say, with those that were sent while there was no connection in parentheses.
func (v *visitor) texts() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []string
	for i, m := range v.messages {
		if v.offline[i] {
			list = append(list, "("+text(m)+")")
		} else {
			list = append(list, text(m))
		}
	}
	return list
}

// saw checks what came since the last time.
func (v *visitor) saw(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Equal(v.seen, want) {
		t.Errorf("saw %q, want %q", v.seen, want)
	}
	v.seen = nil
}

func (v *visitor) heard(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := v.texts(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.messages, v.offline = nil, nil
}

func (v *visitor) say(t *testing.T, room, text string) {
	t.Helper()
	if _, err := v.SendMessage(t.Context(), &zim.TextMessage{Message: text}, zim.Room(room), nil); err != nil {
		t.Fatalf("saying %q: %v", text, err)
	}
}

func (v *visitor) enter(t *testing.T, room string) {
	t.Helper()
	if _, err := v.EnterRoom(t.Context(), zim.RoomInfo{RoomID: room}, nil); err != nil {
		t.Fatalf("entering %s: %v", room, err)
	}
}

func wantCode(t *testing.T, what string, err error, want zim.Code) {
	t.Helper()
	if zim.CodeOf(err) != want {
		t.Errorf("%s: got %v, want code %d", what, err, want)
	}
}

// freely lets clients send as fast as they can, and users be in many rooms.
func freely(a *backend.App) {
	a.Limits.SendRate = -1
	a.Limits.RoomsPerUser = -1
	a.Limits.Rooms = -1
	a.Limits.LoginRate = -1
}

// Every way into a room, out of it and from one to another, as the caller and the others see it.
func TestRoomLifecycle(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice, bob, carol := visit(t, srv, dialer, "alice"), visit(t, srv, dialer, "bob"), visit(t, srv, dialer, "carol")

		full, err := alice.CreateRoom(ctx, zim.RoomInfo{RoomID: "r", RoomName: "the room"}, nil)
		if err != nil || full.BaseInfo != (zim.RoomInfo{RoomID: "r", RoomName: "the room"}) {
			t.Errorf("CreateRoom: %+v, %v", full, err)
		}
		alice.saw(t, "r 1,4", "r 2,0")
		_, err = bob.CreateRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil)
		wantCode(t, "creating a room that exists", err, zim.ErrRoomTheRoomAlreadyExists)
		bob.saw(t, "r 1,4", "r 0,5")

		full, err = bob.JoinRoom(ctx, "r")
		if err != nil || full.BaseInfo.RoomName != "the room" {
			t.Errorf("JoinRoom: %+v, %v", full, err)
		}
		bob.saw(t, "r 1,6", "r 2,0")
		alice.saw(t, "r +bob")
		_, err = bob.JoinRoom(ctx, "absent")
		wantCode(t, "joining a room that does not exist", err, zim.ErrRoomTheRoomDoesNotExist)
		bob.saw(t, "absent 1,6", "absent 0,7")

		// The name of who makes the room counts, and nobody else's.
		full, err = carol.EnterRoom(ctx, zim.RoomInfo{RoomID: "r", RoomName: "another name"}, &zim.RoomAdvancedConfig{RoomDestroyDelayTime: time.Hour})
		if err != nil || full.BaseInfo.RoomName != "the room" {
			t.Errorf("EnterRoom: %+v, %v", full, err)
		}
		carol.saw(t, "r 1,6", "r 2,0")
		alice.saw(t, "r +carol")
		bob.saw(t, "r +carol")
		full, err = carol.EnterRoom(ctx, zim.RoomInfo{RoomID: "s", RoomName: "side room"}, nil)
		if err != nil || full.BaseInfo.RoomName != "side room" {
			t.Errorf("EnterRoom: %+v, %v", full, err)
		}
		carol.saw(t, "s 1,6", "s 2,0")

		// A failed switch changes nothing.
		_, err = bob.SwitchRoom(ctx, "r", zim.RoomInfo{RoomID: "absent"}, false, nil)
		wantCode(t, "switching to a room that does not exist", err, zim.ErrRoomTheRoomDoesNotExist)
		bob.saw(t, "absent 1,11", "absent 0,12")
		alice.saw(t)
		full, err = bob.SwitchRoom(ctx, "r", zim.RoomInfo{RoomID: "s"}, false, nil)
		if err != nil || full.BaseInfo.RoomName != "side room" {
			t.Errorf("SwitchRoom: %+v, %v", full, err)
		}
		bob.saw(t, "s 1,11", "s 2,0", "r 0,0")
		alice.saw(t, "r -bob")
		synctest.Wait()
		slices.Sort(carol.seen) // between two rooms there is no order
		carol.saw(t, "r -bob", "s +bob")
		full, err = bob.SwitchRoom(ctx, "s", zim.RoomInfo{RoomID: "n", RoomName: "new"}, true, nil)
		if err != nil || full.BaseInfo.RoomName != "new" {
			t.Errorf("SwitchRoom: %+v, %v", full, err)
		}
		bob.saw(t, "n 1,11", "n 2,0", "s 0,0")
		carol.saw(t, "s -bob")

		if err := carol.LeaveRoom(ctx, "r"); err != nil {
			t.Error(err)
		}
		carol.saw(t, "r 0,0")
		alice.saw(t, "r -carol")
		carol.enter(t, "r")
		carol.saw(t, "r 1,6", "r 2,0")
		alice.saw(t, "r +carol")
		left, err := carol.LeaveAllRoom(ctx)
		if err != nil || fmt.Sprint(left) != "[s r]" {
			t.Errorf("LeaveAllRoom: %v, %v", left, err)
		}
		carol.saw(t, "s 0,0", "r 0,0")
		alice.saw(t, "r -carol")

		// Rooms without members are gone.
		if err := bob.LeaveRoom(ctx, "n"); err != nil {
			t.Error(err)
		}
		bob.saw(t, "n 0,0")
		_, err = bob.JoinRoom(ctx, "n")
		wantCode(t, "joining a room that was left", err, zim.ErrRoomTheRoomDoesNotExist)
		bob.saw(t, "n 1,6", "n 0,7")
	})
}

// A logout leaves all rooms, and a Destroy does so when the seats are kept no longer.
func TestRoomsEndWithTheSession(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, dialer, "bob")
		alice.enter(t, "r")
		bob.enter(t, "s")
		bob.enter(t, "r")
		alice.saw(t, "r 1,6", "r 2,0", "r +bob")
		bob.saw(t, "s 1,6", "s 2,0", "r 1,6", "r 2,0")
		if err := bob.Logout(ctx, nil); err != nil {
			t.Error(err)
		}
		bob.saw(t, "connection 0,0", "s 0,0", "r 0,0")
		alice.saw(t, "r -bob")

		// The next login starts with none.
		login(t, srv, bob.ZIM, "bob")
		if _, err := bob.LeaveAllRoom(ctx); zim.CodeOf(err) != zim.ErrRoomUserIsNotInTheRoom {
			t.Errorf("LeaveAllRoom after a login: %v", err)
		}
		bob.enter(t, "r")
		bob.saw(t, "r 1,6", "r 2,0")
		alice.saw(t, "r +bob")

		srv.Kick("bob")
		bob.saw(t, "connection 0,4", "r 0,2")
		alice.saw(t, "r -bob")

		login(t, srv, bob.ZIM, "bob")
		bob.enter(t, "r")
		bob.saw(t, "r 1,6", "r 2,0")
		alice.saw(t, "r +bob")
		bob.Destroy()
		time.Sleep(29 * time.Second)
		bob.saw(t)
		alice.saw(t)
		time.Sleep(2 * time.Second)
		alice.saw(t, "r -bob")
	})
}

// A logout that the service did not hear of ends with the next login of the same ZIM.
func TestRoomsOfAnUnheardLogout(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		gate := &gatedDialer{Dialer: dialer}
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, gate, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		alice.saw(t, "r 1,6", "r 2,0", "r +bob")
		gate.shut(true)
		srv.Cut("bob")
		synctest.Wait()
		if err := bob.Logout(t.Context(), nil); err != nil {
			t.Error(err)
		}
		alice.saw(t)
		gate.shut(false)
		login(t, srv, bob.ZIM, "bob")
		alice.saw(t, "r -bob")
	})
}

// A token that expires takes the user out of the rooms, and so does a login elsewhere.
func TestRoomsOfAnEvictedUser(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice := visit(t, srv, dialer, "alice")
		alice.enter(t, "r")
		bob := &visitor{ZIM: newZIM(t, dialer)}
		bob.watch()
		if err := bob.Login(t.Context(), "bob", &zim.LoginConfig{Token: srv.TokenFor("bob", time.Minute)}); err != nil {
			t.Fatal(err)
		}
		bob.enter(t, "r")
		alice.saw(t, "r 1,6", "r 2,0", "r +bob")
		time.Sleep(2 * time.Minute)
		bob.saw(t, "r 1,6", "r 2,0", "connection 0,5", "r 0,2")
		alice.saw(t, "r -bob")

		login(t, srv, bob.ZIM, "bob")
		bob.enter(t, "r")
		other := visit(t, srv, dialer, "bob")
		bob.saw(t, "r 1,6", "r 2,0", "connection 0,4", "r 0,2")
		other.saw(t)
		alice.saw(t, "r +bob", "r -bob")

		// One that is not here does not keep its place either.
		other.enter(t, "r")
		other.Destroy()
		alice.saw(t, "r +bob")
		visit(t, srv, dialer, "bob")
		alice.saw(t, "r -bob")
	})
}

// A room outlives its last member for as long as its maker said.
func TestRoomDestroyDelay(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, dialer, "bob")
		info := zim.RoomInfo{RoomID: "r", RoomName: "the room"}
		if _, err := alice.CreateRoom(ctx, info, &zim.RoomAdvancedConfig{RoomDestroyDelayTime: time.Minute}); err != nil {
			t.Fatal(err)
		}
		alice.say(t, "r", "what was")
		leave := func() {
			t.Helper()
			if err := alice.LeaveRoom(ctx, "r"); err != nil {
				t.Fatal(err)
			}
		}
		leave()
		time.Sleep(59 * time.Second)
		_, err := bob.CreateRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil)
		wantCode(t, "creating a room that lives on", err, zim.ErrRoomTheRoomAlreadyExists)
		full, err := alice.JoinRoom(ctx, "r") // revives it
		if err != nil || full.BaseInfo != info {
			t.Errorf("JoinRoom: %+v, %v", full, err)
		}
		time.Sleep(time.Hour / 4)
		alice.saw(t, "r 1,4", "r 2,0", "r 0,0", "r 1,6", "r 2,0")
		alice.heard(t)
		leave()
		time.Sleep(59 * time.Second)
		if full, err := bob.EnterRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil); err != nil || full.BaseInfo != info {
			t.Errorf("EnterRoom: %+v, %v", full, err)
		}
		if err := bob.LeaveRoom(ctx, "r"); err != nil {
			t.Error(err)
		}
		time.Sleep(61 * time.Second)
		_, err = bob.JoinRoom(ctx, "r")
		wantCode(t, "joining a room that is over", err, zim.ErrRoomTheRoomDoesNotExist)
	})
}
