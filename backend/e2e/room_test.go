package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
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
	}
	return fmt.Sprintf("%T", m.Content)
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
		carol.saw(t, "s +bob", "r -bob")
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

// What is wrong with the arguments, or with the time, is found before anything is told or sent.
func TestRoomRefusals(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice := visit(t, srv, dialer, "alice")
		create := func(info zim.RoomInfo, delay time.Duration) error {
			_, err := alice.CreateRoom(ctx, info, &zim.RoomAdvancedConfig{RoomDestroyDelayTime: delay})
			return err
		}
		long := strings.Repeat("x", 129)
		for name, err := range map[string]error{
			"no ID":             create(zim.RoomInfo{}, 0),
			"ID too long":       create(zim.RoomInfo{RoomID: long}, 0),
			"ID with a space":   create(zim.RoomInfo{RoomID: "a room"}, 0),
			"name too long":     create(zim.RoomInfo{RoomID: "r", RoomName: long[:65]}, 0),
			"name that is none": create(zim.RoomInfo{RoomID: "r", RoomName: "\xff"}, 0),
			"negative delay":    create(zim.RoomInfo{RoomID: "r"}, -time.Second),
			"delay too long":    create(zim.RoomInfo{RoomID: "r"}, 3*time.Hour+time.Second),
			"half a second":     create(zim.RoomInfo{RoomID: "r"}, time.Second/2),
			"leaving no ID":     alice.LeaveRoom(ctx, ""),
			"joining no ID":     func() error { _, err := alice.JoinRoom(ctx, ""); return err }(),
			"switch from no ID": func() error {
				_, err := alice.SwitchRoom(ctx, "", zim.RoomInfo{RoomID: "r"}, true, nil)
				return err
			}(),
			"switch to the same": func() error {
				_, err := alice.SwitchRoom(ctx, "r", zim.RoomInfo{RoomID: "r"}, true, nil)
				return err
			}(),
			"a negative count": func() error {
				_, _, err := alice.QueryRoomMemberList(ctx, "r", zim.RoomMemberQueryConfig{Count: -1})
				return err
			}(),
			"no users":     func() error { _, _, err := alice.QueryRoomMembers(ctx, nil, "r"); return err }(),
			"eleven users": func() error { _, _, err := alice.QueryRoomMembers(ctx, make([]string, 11), "r"); return err }(),
			"no such user": func() error { _, _, err := alice.QueryRoomMembers(ctx, []string{"a/b"}, "r"); return err }(),
			"no room":      func() error { _, err := alice.QueryRoomOnlineMemberCount(ctx, ""); return err }(),
			"message to \"\"": func() error {
				_, err := alice.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Room(""), nil)
				return err
			}(),
		} {
			wantCode(t, name, err, zim.ErrCommonParamsInvalid)
		}
		wantCode(t, "leaving a room that does not exist", alice.LeaveRoom(ctx, "r"), zim.ErrRoomLeaveRoomError)
		_, err := alice.LeaveAllRoom(ctx)
		wantCode(t, "leaving no room", err, zim.ErrRoomUserIsNotInTheRoom)
		_, err = alice.SwitchRoom(ctx, "r", zim.RoomInfo{RoomID: "s"}, true, nil)
		wantCode(t, "switching from a room that one is not in", err, zim.ErrRoomUserIsNotInTheRoom)
		_, _, err = alice.QueryRoomMemberList(ctx, "r", zim.RoomMemberQueryConfig{})
		wantCode(t, "querying a room that does not exist", err, zim.ErrRoomTheRoomDoesNotExist)
		_, err = alice.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Room("r"), nil)
		wantCode(t, "a message to a room that does not exist", err, zim.ErrRoomTheRoomDoesNotExist)
		done, cancel := context.WithCancel(ctx)
		cancel()
		_, err = alice.JoinRoom(done, "r")
		wantCode(t, "a context that is over", err, zim.ErrCanceled)
		alice.saw(t)

		// The longest that is right.
		if err := create(zim.RoomInfo{RoomID: long[:128], RoomName: long[:64]}, 3*time.Hour); err != nil {
			t.Error(err)
		}
		alice.saw(t, long[:128]+" 1,4", long[:128]+" 2,0")

		bob := visit(t, srv, dialer, "bob")
		bob.enter(t, "r")
		bob.saw(t, "r 1,6", "r 2,0")
		wantCode(t, "leaving a room that one is not in", alice.LeaveRoom(ctx, "r"), zim.ErrRoomUserIsNotInTheRoom)
		_, _, err = alice.QueryRoomMemberList(ctx, "r", zim.RoomMemberQueryConfig{})
		wantCode(t, "listing a room that one is not in", err, zim.ErrRoomUserIsNotInTheRoom)
		_, _, err = alice.QueryRoomMembers(ctx, []string{"bob"}, "r")
		wantCode(t, "asking for members of a room that one is not in", err, zim.ErrRoomUserIsNotInTheRoom)
		_, err = alice.QueryRoomOnlineMemberCount(ctx, "r")
		wantCode(t, "counting a room that one is not in", err, zim.ErrRoomUserIsNotInTheRoom)
		_, err = bob.JoinRoom(ctx, "r")
		wantCode(t, "joining twice", err, zim.ErrRoomUserIsAlreadyInTheRoom)
		_, err = bob.SwitchRoom(ctx, "r", zim.RoomInfo{RoomID: "absent"}, false, nil)
		wantCode(t, "switching to nowhere", err, zim.ErrRoomTheRoomDoesNotExist)
		_, _, err = bob.QueryRoomMembers(ctx, []string{"alice"}, "r")
		wantCode(t, "asking for nobody who is there", err, zim.ErrRoomTheRoomMembersQueryFailedCompletely)
		bob.saw(t, "absent 1,11", "absent 0,12")
		alice.saw(t)

		// Nobody who is not logged in has rooms.
		if err := alice.Logout(ctx, nil); err != nil {
			t.Error(err)
		}
		_, err = alice.JoinRoom(ctx, "r")
		wantCode(t, "after a logout", err, zim.ErrNetworkUserIsNotLogged)
		wantCode(t, "leaving after a logout", alice.LeaveRoom(ctx, "r"), zim.ErrNetworkUserIsNotLogged)
	})
}

// The backend does not trust clients: whatever the SDK refuses, it refuses too.
func TestRoomRequestsThatNoClientSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		conn, err := srv.WebSocket().Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ask := func(req *wire.Request) *wire.Response {
			t.Helper()
			resp, err := conn.RoundTrip(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		ask(&wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{
			AppId: zimtest.AppID, UserId: "mallory", Token: srv.Token("mallory"), InstanceId: make([]byte, 16),
		}}})
		enter := func(req *wire.EnterRoomRequest) *wire.Response {
			t.Helper()
			time.Sleep(time.Second)
			return ask(&wire.Request{Body: &wire.Request_EnterRoom{EnterRoom: req}})
		}
		room := func(id, name string) *wire.RoomInfo { return &wire.RoomInfo{RoomId: id, Name: name} }
		for name, req := range map[string]*wire.EnterRoomRequest{
			"nothing":         {},
			"a bad ID":        {Room: room("a room", "")},
			"a long ID":       {Room: room(strings.Repeat("x", 129), "")},
			"a long name":     {Room: room("r", strings.Repeat("x", 65))},
			"no such mode":    {Room: room("r", ""), Mode: 4},
			"a long delay":    {Room: room("r", ""), DestroyDelay: 10_801},
			"no delay":        {Room: room("r", ""), DestroyDelay: -1},
			"itself to leave": {Room: room("r", ""), Leave: "r"},
			"a bad leave":     {Room: room("r", ""), Leave: "/"},
		} {
			if code := enter(req).GetError().GetCode(); code != 6000001 {
				t.Errorf("%s: code %d", name, code)
			}
		}
		// Nobody comes back into a room, or leaves one, without having been there.
		if code := enter(&wire.EnterRoomRequest{Room: room("r", ""), Mode: wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME}).GetError().GetCode(); code != 6000322 {
			t.Errorf("resuming in no room: code %d", code)
		}
		if code := enter(&wire.EnterRoomRequest{Room: room("r", ""), Leave: "s"}).GetError().GetCode(); code != 6000321 {
			t.Errorf("leaving no room for another: code %d", code)
		}
		alice := visit(t, srv, srv.InProcess(), "alice")
		alice.enter(t, "r")
		alice.say(t, "r", "before")
		if code := enter(&wire.EnterRoomRequest{Room: room("r", ""), Mode: wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME}).GetError().GetCode(); code != 6000321 {
			t.Errorf("resuming in another's room: code %d", code)
		}
		// What was said before the entry is not for those who ask for it.
		enter(&wire.EnterRoomRequest{Room: room("r", "")})
		alice.say(t, "r", "after")
		resp := enter(&wire.EnterRoomRequest{Room: room("r", ""), Mode: wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME, After: -5}).GetEnterRoom()
		if missed := resp.GetMissed(); len(missed) != 1 || missed[0].MessageSeq != 2 || resp.GetLast() != 2 {
			t.Errorf("missed %v of %d", missed, resp.GetLast())
		}
		resp = enter(&wire.EnterRoomRequest{Room: room("r", ""), Mode: wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME, After: 1 << 60}).GetEnterRoom()
		if len(resp.GetMissed()) != 0 {
			t.Errorf("missed %v behind the end", resp.GetMissed())
		}
		query := func(req *wire.QueryRoomMembersRequest) *wire.Response {
			t.Helper()
			return ask(&wire.Request{Body: &wire.Request_QueryRoomMembers{QueryRoomMembers: req}})
		}
		for _, flag := range []string{"x", "1", "1.x", "x.1", "1.-1", "99999999999999999999.1"} {
			if code := query(&wire.QueryRoomMembersRequest{RoomId: "r", Next: flag}).GetError().GetCode(); code != 6000001 {
				t.Errorf("flag %q: code %d", flag, code)
			}
		}
		if list := query(&wire.QueryRoomMembersRequest{RoomId: "r", Next: "0.9223372036854775807"}).GetRoomMembers(); len(list.GetMembers()) != 0 {
			t.Errorf("beyond what may be listed: %v", list)
		}
		if code := query(&wire.QueryRoomMembersRequest{RoomId: "r", UserIds: make([]string, 11)}).GetError().GetCode(); code != 6000001 {
			t.Errorf("eleven users: code %d", code)
		}
		if code := ask(&wire.Request{Body: &wire.Request_LeaveRoom{LeaveRoom: &wire.LeaveRoomRequest{RoomId: "/"}}}).GetError().GetCode(); code != 6000001 {
			t.Errorf("leaving a bad ID: code %d", code)
		}
		if left := ask(&wire.Request{Body: &wire.Request_LeaveRoom{LeaveRoom: &wire.LeaveRoomRequest{}}}).GetLeaveRoom().GetRoomIds(); fmt.Sprint(left) != "[r]" {
			t.Errorf("left %v", left)
		}
		alice.saw(t, "r 1,6", "r 2,0", "r +mallory", "r -mallory")
	})
}

// How many rooms there may be, in all and for a user, and how many users in one.
func TestRoomLimits(t *testing.T) {
	options := &zimtest.Options{App: func(a *backend.App) { a.Limits.Rooms, a.Limits.RoomMembers = 7, 2 }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice, bob, carol := visit(t, srv, dialer, "alice"), visit(t, srv, dialer, "bob"), visit(t, srv, dialer, "carol")
		for i := range 5 {
			alice.enter(t, fmt.Sprint("a", i))
		}
		_, err := alice.EnterRoom(ctx, zim.RoomInfo{RoomID: "a5"}, nil)
		wantCode(t, "a sixth room", err, zim.ErrRoomTheNumberOfJoinedRoomsHasReachedLimit)
		// A switch does not need another one.
		if _, err = alice.SwitchRoom(ctx, "a0", zim.RoomInfo{RoomID: "a6"}, true, nil); err != nil {
			t.Error(err)
		}
		bob.enter(t, "b0")
		bob.enter(t, "b1")
		_, err = bob.CreateRoom(ctx, zim.RoomInfo{RoomID: "b2"}, nil)
		wantCode(t, "an eighth room", err, zim.ErrRoomTheNumberOfExistingRoomsHasReachedLimit)
		_, err = bob.SwitchRoom(ctx, "b0", zim.RoomInfo{RoomID: "b2"}, true, nil)
		wantCode(t, "switching to an eighth room", err, zim.ErrRoomTheNumberOfExistingRoomsHasReachedLimit)
		carol.enter(t, "b0")
		_, err = alice.SwitchRoom(ctx, "a6", zim.RoomInfo{RoomID: "b0"}, false, nil)
		wantCode(t, "a third user", err, zim.ErrRoomJoinRoomError)
		synctest.Wait()
		alice.mu.Lock()
		alice.seen = alice.seen[len(alice.seen)-6:]
		alice.mu.Unlock()
		alice.saw(t, "a5 0,7", "a6 1,11", "a6 2,0", "a0 0,0", "b0 1,11", "b0 0,12")
		if err := bob.LeaveRoom(ctx, "b1"); err != nil {
			t.Error(err)
		}
		bob.enter(t, "b2")
	})
}

// While a room is being entered, nobody enters it a second time.
func TestRoomIsConnecting(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		held := &holdingDialer{Dialer: dialer}
		alice := visit(t, srv, held, "alice")
		release := held.hold()
		entered := make(chan error)
		go func() {
			_, err := alice.EnterRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil)
			entered <- err
		}()
		synctest.Wait()
		_, err := alice.JoinRoom(ctx, "r")
		wantCode(t, "joining meanwhile", err, zim.ErrRoomTheRoomIsConnecting)
		wantCode(t, "leaving meanwhile", alice.LeaveRoom(ctx, "r"), zim.ErrRoomTheRoomIsConnecting)
		_, err = alice.SwitchRoom(ctx, "r", zim.RoomInfo{RoomID: "s"}, true, nil)
		wantCode(t, "switching meanwhile", err, zim.ErrRoomTheRoomIsConnecting)
		alice.saw(t, "r 1,6")
		release()
		if err := <-entered; err != nil {
			t.Error(err)
		}
		alice.saw(t, "r 2,0")
	})
}

// A holdingDialer can hold back the answers to those who enter rooms.
type holdingDialer struct {
	transport.Dialer
	mu   sync.Mutex
	held chan struct{}
}

func (d *holdingDialer) hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := make(chan struct{})
	d.held = held
	return func() { close(held) }
}

func (d *holdingDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &holdingConn{c.(transport.Pipeline), d}, nil
}

type holdingConn struct {
	transport.Pipeline
	d *holdingDialer
}

func (c *holdingConn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	resp, err := c.Pipeline.RoundTrip(ctx, req)
	c.d.mu.Lock()
	held := c.d.held
	c.d.mu.Unlock()
	if req.GetEnterRoom() != nil && held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return resp, err
}

// What happens in a room before the answer is there comes behind it.
func TestRoomEventsComeBehindTheEntry(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		held := &holdingDialer{Dialer: dialer}
		alice, bob, carol := visit(t, srv, dialer, "alice"), visit(t, srv, held, "bob"), visit(t, srv, dialer, "carol")
		alice.enter(t, "r")
		alice.say(t, "r", "before")
		release := held.hold()
		entered := make(chan error)
		go func() {
			_, err := bob.JoinRoom(ctx, "r")
			entered <- err
		}()
		synctest.Wait()
		alice.say(t, "r", "hello")
		carol.enter(t, "r")
		if _, err := alice.SendMessage(ctx, &zim.BarrageMessage{Message: "whee"}, zim.Room("r"), nil); err != nil {
			t.Error(err)
		}
		if _, err := srv.Backend().KickRoomMembers(zimtest.AppID, "r", "bob"); err != nil {
			t.Error(err)
		}
		bob.saw(t, "r 1,6")
		bob.heard(t)
		release()
		if err := <-entered; err != nil {
			t.Error(err)
		}
		bob.saw(t, "r 2,0", "r +carol", "r 0,8")
		bob.heard(t, "hello", "whee")
	})
}

// When nobody knows whether a room was entered, the user is not in it, for nobody.
func TestRoomEntryOfUnknownOutcome(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		held := &holdingDialer{Dialer: dialer}
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, held, "bob")
		alice.enter(t, "r")
		alice.saw(t, "r 1,6", "r 2,0")
		release := held.hold()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := bob.JoinRoom(ctx, "r")
		wantCode(t, "a join that was given up", err, zim.ErrCanceled)
		bob.saw(t, "r 1,6", "r 0,7")
		alice.saw(t, "r +bob", "r -bob")

		// The connection breaks before the answer comes.
		failed := make(chan error)
		go func() {
			_, err := bob.JoinRoom(t.Context(), "r")
			failed <- err
		}()
		synctest.Wait()
		srv.Cut("bob")
		time.Sleep(5 * time.Second)
		alice.saw(t, "r +bob")
		wantCode(t, "a join without an answer", <-failed, zim.ErrNetworkRequestTimeout)
		time.Sleep(time.Minute)
		alice.saw(t, "r -bob")
		bob.saw(t, "r 1,6", "connection 3,3", "r 0,7")

		// Trying again at once is right.
		release()
		bob.enter(t, "r")
		time.Sleep(time.Minute)
		alice.saw(t, "r +bob")
		bob.saw(t, "r 1,6", "r 2,0")
	})
}

// A lost connection that comes back in time keeps the seat, and what was said meanwhile comes, in order and once.
func TestRoomReconnect(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		gate := &gatedDialer{Dialer: dialer}
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, gate, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		alice.saw(t, "r 1,6", "r 2,0", "r +bob")
		bob.saw(t, "r 1,6", "r 2,0")
		alice.say(t, "r", "hello")
		bob.say(t, "r", "hi")
		alice.say(t, "r", "still there?")
		bob.heard(t, "hello", "still there?")
		gate.shut(true)
		srv.Cut("bob")
		bob.saw(t, "connection 3,3", "r 1,1")
		_, err := bob.JoinRoom(t.Context(), "r")
		wantCode(t, "joining meanwhile", err, zim.ErrRoomTheRoomIsConnecting)
		if n, err := alice.QueryRoomOnlineMemberCount(t.Context(), "r"); n != 1 || err != nil {
			t.Errorf("%d members online, %v", n, err)
		}
		var want []string
		for i := range 250 { // more than one answer holds
			alice.say(t, "r", fmt.Sprint(i))
			want = append(want, fmt.Sprintf("(%d)", i))
		}
		if _, err := alice.SendMessage(t.Context(), &zim.BarrageMessage{Message: "lost"}, zim.Room("r"), nil); err != nil {
			t.Error(err)
		}
		time.Sleep(25 * time.Second)
		gate.shut(false)
		time.Sleep(2 * time.Second)
		bob.saw(t, "r 1,1", "r 2,0")
		bob.heard(t, want...)
		alice.saw(t)
		alice.say(t, "r", "welcome back")
		bob.heard(t, "welcome back")
		time.Sleep(time.Hour / 2)
		bob.heard(t)
		bob.saw(t)
		alice.saw(t)
		if n, err := alice.QueryRoomOnlineMemberCount(t.Context(), "r"); n != 2 || err != nil {
			t.Errorf("%d members online, %v", n, err)
		}
	})
}

// A seat is kept for 30 seconds.
func TestRoomSeatLost(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		gate := &gatedDialer{Dialer: dialer}
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, gate, "bob")
		bob.enter(t, "own")
		alice.enter(t, "r")
		bob.enter(t, "r")
		alice.saw(t, "r 1,6", "r 2,0", "r +bob")
		bob.saw(t, "own 1,6", "own 2,0", "r 1,6", "r 2,0")
		gate.shut(true)
		srv.Cut("bob")
		time.Sleep(29 * time.Second)
		alice.saw(t)
		// A room whose members are away lives on.
		_, err := alice.CreateRoom(t.Context(), zim.RoomInfo{RoomID: "own"}, nil)
		wantCode(t, "creating a room whose member is away", err, zim.ErrRoomTheRoomAlreadyExists)
		time.Sleep(2 * time.Second)
		alice.saw(t, "own 1,4", "own 0,5", "r -bob")
		gate.shut(false)
		time.Sleep(time.Minute)
		bob.saw(t, "connection 3,3", "own 1,1", "r 1,1", "own 1,1", "r 1,1", "own 0,3", "r 0,9")
		time.Sleep(time.Hour / 2)
		bob.saw(t) // nobody re-enters by itself
		bob.enter(t, "r")
		alice.saw(t, "r +bob")
	})
}

// A restart of the backend ends all rooms.
func TestRoomsAfterARestart(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice := visit(t, srv, dialer, "alice")
		alice.enter(t, "r")
		srv.Restart()
		time.Sleep(time.Minute)
		alice.saw(t, "r 1,6", "r 2,0", "connection 3,3", "r 1,1", "r 1,1", "r 0,3")
		alice.enter(t, "r")
	})
}

// One device of a user is in a room: a second one takes its place, and nobody else notices.
func TestRoomOnASecondDevice(t *testing.T) {
	options := &zimtest.Options{App: func(a *backend.App) { a.Devices = backend.MultiDevice }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice, phone, desk := visit(t, srv, dialer, "alice"), visit(t, srv, dialer, "bob"), visit(t, srv, dialer, "bob")
		phone.enter(t, "r")
		alice.enter(t, "r")
		wantCode(t, "leaving from the device that is not inside", desk.LeaveRoom(ctx, "r"), zim.ErrRoomUserIsNotInTheRoom)
		_, err := desk.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Room("r"), nil)
		wantCode(t, "a message from the device that is not inside", err, zim.ErrRoomUserIsNotInTheRoom)
		phone.saw(t, "r 1,6", "r 2,0", "r +alice")
		alice.saw(t, "r 1,6", "r 2,0")
		desk.enter(t, "r")
		phone.saw(t, "r 0,10")
		desk.saw(t, "r 1,6", "r 2,0")
		alice.say(t, "r", "hello")
		desk.heard(t, "hello")
		phone.heard(t)
		if members, _, err := alice.QueryRoomMemberList(ctx, "r", zim.RoomMemberQueryConfig{}); err != nil || len(members) != 2 || members[0].UserID != "bob" {
			t.Errorf("members %v, %v", members, err)
		}
		if err := phone.Logout(ctx, nil); err != nil {
			t.Error(err)
		}
		alice.saw(t)
		if err := desk.LeaveRoom(ctx, "r"); err != nil {
			t.Error(err)
		}
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

// The members of a room, page by page, in the order of their entries.
func TestRoomMembers(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		const users = 250
		var last *visitor
		var want []string
		var zims []*visitor
		for i := range users {
			last = &visitor{ZIM: newZIM(t, dialer)}
			zims = append(zims, last)
			id := fmt.Sprintf("user%03d", i)
			want = append(want, id)
			if err := last.Login(ctx, id, &zim.LoginConfig{Token: srv.Token(id), UserName: "name of " + id}); err != nil {
				t.Fatal(err)
			}
			last.enter(t, "r")
		}
		var got []string
		for u, err := range last.RoomMembers(ctx, "r") {
			if err != nil {
				t.Fatal(err)
			}
			if u.UserName != "name of "+u.UserID {
				t.Errorf("%s is %q", u.UserID, u.UserName)
			}
			got = append(got, u.UserID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %d members: %v", len(got), got)
		}
		page, next, err := last.QueryRoomMemberList(ctx, "r", zim.RoomMemberQueryConfig{Count: 3})
		if err != nil || len(page) != 3 || next == "" {
			t.Errorf("a page of %d, next %q, %v", len(page), next, err)
		}
		// Who leaves between two pages is no reason to skip somebody.
		if err := zims[2].LeaveRoom(ctx, "r"); err != nil {
			t.Error(err)
		}
		page, _, err = last.QueryRoomMemberList(ctx, "r", zim.RoomMemberQueryConfig{Count: 1000, NextFlag: next})
		if err != nil || len(page) != 100 || page[0].UserID != "user003" {
			t.Errorf("a page of %d, %v", len(page), err)
		}
		members, failed, err := last.QueryRoomMembers(ctx, []string{"user001", "user002", "nobody", "user249"}, "r")
		if err != nil || len(members) != 2 || members[0].UserID != "user001" || members[1].UserID != "user249" {
			t.Errorf("members %v, %v", members, err)
		}
		if want := []zim.ErrorUserInfo{{UserID: "user002", Reason: zim.ErrRoomUserIsNotInTheRoom}, {UserID: "nobody", Reason: zim.ErrRoomUserIsNotInTheRoom}}; !slices.Equal(failed, want) {
			t.Errorf("failed %v", failed)
		}
		if n, err := last.QueryRoomOnlineMemberCount(ctx, "r"); n != users-1 || err != nil {
			t.Errorf("%d members online, %v", n, err)
		}
		for _, err := range zims[2].RoomMembers(ctx, "r") {
			wantCode(t, "listing from outside", err, zim.ErrRoomUserIsNotInTheRoom)
		}
	})
}

// A listing ends after 500 members.
func TestRoomMembersBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		var last *zim.ZIM
		for i := range 510 {
			last = srv.Login(t, fmt.Sprint("user", i))
			if _, err := last.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "r"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for _, err := range last.RoomMembers(t.Context(), "r") {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		if n != 500 {
			t.Errorf("listed %d members", n)
		}
	})
}

// All members see the messages of a room in the same order, each sender's own in the order in which it sent them.
func TestRoomMessageOrder(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		const senders, each = 8, 50
		var all []*visitor
		for i := range senders {
			v := visit(t, srv, dialer, fmt.Sprint("user", i))
			v.enter(t, "r")
			all = append(all, v)
		}
		watcher := visit(t, srv, dialer, "watcher")
		watcher.enter(t, "r")
		sent := make([]map[int64]string, senders)
		var wg sync.WaitGroup
		for i, v := range all {
			sent[i] = make(map[int64]string)
			wg.Go(func() {
				for n := range each {
					m, err := v.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i, " ", n)}, zim.Room("r"), nil)
					if err != nil {
						t.Error(err)
						return
					}
					sent[i][m.Seq] = m.ID
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if len(watcher.messages) != senders*each {
			t.Fatalf("the watcher got %d messages", len(watcher.messages))
		}
		next := make([]int, senders)
		for i, m := range watcher.messages {
			var from, n int
			fmt.Sscan(text(m), &from, &n)
			if m.Seq != int64(i+1) || m.Sender != fmt.Sprint("user", from) || n != next[from] || sent[from][m.Seq] != m.ID {
				t.Fatalf("message %d is %+v", i, m)
			}
			next[from]++
		}
		for i, v := range all {
			want := slices.DeleteFunc(slices.Clone(watcher.messages), func(m *zim.Message) bool { return m.Sender == fmt.Sprint("user", i) })
			same := func(a, b *zim.Message) bool { return a.ID == b.ID && a.Seq == b.Seq && a.OrderKey == b.OrderKey }
			if !slices.EqualFunc(v.messages, want, same) {
				t.Errorf("user %d got %d messages, not those of the watcher", i, len(v.messages))
			}
		}
	})
}

// Who sends and receives in turn has no hole to ask about.
func TestRoomMessagesNeedNoQuestions(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		asking := &askingDialer{Dialer: dialer}
		alice, bob := visit(t, srv, asking, "alice"), visit(t, srv, asking, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		var wg sync.WaitGroup
		for _, v := range []*visitor{alice, bob} {
			wg.Go(func() {
				for range 100 {
					v.say(t, "r", "hello")
					if v == bob {
						v.say(t, "r", "again")
					}
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		time.Sleep(time.Minute)
		if len(alice.messages) != 200 || len(bob.messages) != 100 {
			t.Errorf("alice got %d messages, bob %d", len(alice.messages), len(bob.messages))
		}
		if n := asking.asked.Load(); n != 0 {
			t.Errorf("%d questions", n)
		}
	})
}

// An askingDialer counts the questions about missed messages of rooms.
type askingDialer struct {
	transport.Dialer
	asked atomic.Int64
}

func (d *askingDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &askingConn{c.(transport.Pipeline), d}, nil
}

type askingConn struct {
	transport.Pipeline
	d *askingDialer
}

func (c *askingConn) Start(req *wire.Request, done func(*wire.Response, error)) {
	if req.GetEnterRoom() != nil {
		c.d.asked.Add(1)
	}
	c.Pipeline.Start(req, done)
}

// Commands and barrages have no number, and barrages no rate limit.
func TestRoomTransientMessages(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice := &visitor{ZIM: newZIM(t, dialer)} // with the documented rates
		alice.watch()
		login(t, srv, alice.ZIM, "alice")
		bob := visit(t, srv, dialer, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		for i := range 500 {
			m, err := alice.SendMessage(ctx, &zim.BarrageMessage{Message: fmt.Sprint(i)}, zim.Room("r"), nil)
			if err != nil || m.Seq != 0 || m.ID == "" {
				t.Fatalf("barrage %d: %+v, %v", i, m, err)
			}
		}
		m, err := alice.SendMessage(ctx, &zim.CommandMessage{Message: []byte("now")}, zim.Room("r"), nil)
		if err != nil || m.Seq != 0 || m.ID == "" {
			t.Errorf("command: %+v, %v", m, err)
		}
		synctest.Wait()
		if n := len(bob.messages); n != 501 || bob.messages[499].Content.(*zim.BarrageMessage).Message != "499" || bob.messages[500].ID != m.ID || bob.dropped != 0 {
			t.Errorf("bob got %d messages, and missed %d", n, bob.dropped)
		}
		for range 20 {
			_, err = alice.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Room("r"), nil)
		}
		wantCode(t, "twenty texts at once", err, zim.ErrCommonTriggerSDKFrequencyLimit)
	})
}

// Messages of a room come from those who are in it, and go to those who are in it.
func TestRoomMessagesOfOutsiders(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, dialer, "bob")
		alice.enter(t, "r")
		for _, content := range []zim.Content{&zim.TextMessage{Message: "x"}, &zim.BarrageMessage{Message: "x"}, &zim.CommandMessage{Message: []byte("x")}} {
			m, err := bob.SendMessage(ctx, content, zim.Room("r"), nil)
			wantCode(t, "a message from outside", err, zim.ErrRoomUserIsNotInTheRoom)
			if m == nil || m.SentStatus != zim.MessageSentStatusFailed || errors.Is(err, zim.ErrOutcomeUnknown) {
				t.Errorf("got %+v, %v", m, err)
			}
		}
		alice.say(t, "r", "alone")
		bob.enter(t, "r")
		bob.say(t, "r", "one")
		if err := bob.LeaveRoom(ctx, "r"); err != nil {
			t.Error(err)
		}
		_, err := bob.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Room("r"), nil)
		wantCode(t, "a message after leaving", err, zim.ErrRoomUserIsNotInTheRoom)
		alice.say(t, "r", "gone?")
		bob.heard(t)
		alice.heard(t, "one")
		bob.enter(t, "r")
		alice.say(t, "r", "again")
		bob.heard(t, "again")
	})
}

// A message that is sent again is the same one, and no other message can have its ID.
func TestRoomMessageRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		bob := visit(t, srv, srv.InProcess(), "bob")
		bob.enter(t, "r")
		conn, err := srv.WebSocket().Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ask := func(req *wire.Request) *wire.Response {
			t.Helper()
			resp, err := conn.RoundTrip(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		ask(&wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{
			AppId: zimtest.AppID, UserId: "alice", Token: srv.Token("alice"), InstanceId: make([]byte, 16),
		}}})
		ask(&wire.Request{Body: &wire.Request_EnterRoom{EnterRoom: &wire.EnterRoomRequest{Room: &wire.RoomInfo{RoomId: "r"}}}})
		send := func(id byte, content string) *wire.Response {
			t.Helper()
			return ask(&wire.Request{Body: &wire.Request_SendMessage{SendMessage: &wire.SendMessageRequest{
				LocalMessageId: append(make([]byte, 15), id), ConversationType: 1, ConversationId: "r", Type: 1,
				Content: append([]byte{0x0a, byte(len(content))}, content...),
			}}})
		}
		first := send(1, "one").GetSendMessage()
		if first.GetMessageSeq() != 1 || first.GetMessageId() == 0 {
			t.Fatalf("the first answer is %v", first)
		}
		second := send(2, "two").GetSendMessage()
		if again := send(1, "one").GetSendMessage(); again.String() != first.String() {
			t.Errorf("the second answer is %v, the first was %v", again, first)
		}
		if code := send(2, "three").GetError().GetCode(); code != int32(zim.ErrIdempotencyMismatch) {
			t.Errorf("another message with the same ID: code %d", code)
		}
		if again := send(2, "two").GetSendMessage(); again.String() != second.String() {
			t.Errorf("the last answer is %v, the first was %v", again, second)
		}
		bob.heard(t, "one", "two")
	})
}

// A receiver that is too slow for what the backend pushes, or whose handlers are, gets all messages nevertheless, in order and
// once, also if nothing is said afterwards.
func TestRoomSlowReceiver(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		for _, lost := range []int{1, 2, 30} {
			deaf := &deafDialer{Dialer: dialer}
			alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, deaf, "bob")
			room := fmt.Sprint("r", lost)
			alice.enter(t, room)
			bob.enter(t, room)
			var want []string
			say := func(text string) {
				t.Helper()
				alice.say(t, room, text)
				want = append(want, text)
			}
			say("first")
			synctest.Wait()
			deaf.skip(lost)
			for i := range lost {
				say(fmt.Sprint(i))
			}
			synctest.Wait()
			say("last")
			bob.heard(t, want...)
			bob.Destroy()
			alice.Destroy()
		}
	})
}

// A deafDialer can lose messages that were pushed.
type deafDialer struct {
	transport.Dialer
	mu    sync.Mutex
	count int
}

func (d *deafDialer) skip(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count = n
}

func (d *deafDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &deafConn{c.(transport.Pipeline), d}, nil
}

type deafConn struct {
	transport.Pipeline
	d *deafDialer
}

func (c *deafConn) Receive(ctx context.Context) (*wire.Push, error) {
	for {
		p, err := c.Pipeline.Receive(ctx)
		c.d.mu.Lock()
		lose := len(p.GetTransient()) > 0 && c.d.count > 0
		if lose {
			c.d.count--
		}
		c.d.mu.Unlock()
		if !lose {
			return p, err
		}
	}
}

// Handlers that are too slow for the messages of a room lose barrages, and nothing else that the room still keeps.
func TestRoomSlowHandler(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice := visit(t, srv, dialer, "alice")
		z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, EventBuffer: 16})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		bob := &visitor{ZIM: z}
		bob.watch()
		login(t, srv, z, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		synctest.Wait()
		release := make(chan struct{})
		zim.On(z, func(context.Context, *zim.RoomMemberJoined) { <-release })
		carol := visit(t, srv, dialer, "carol")
		carol.enter(t, "r")
		var want []string
		say := func(n int) {
			t.Helper()
			for range n {
				text := fmt.Sprint(len(want))
				alice.say(t, "r", text)
				want = append(want, text)
			}
		}
		say(300)
		for range 5 {
			if _, err := alice.SendMessage(ctx, &zim.BarrageMessage{Message: "lost"}, zim.Room("r"), nil); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
		say(100)
		synctest.Wait()
		close(release)
		time.Sleep(15 * time.Second) // a heartbeat finds that there is room
		bob.mu.Lock()
		if bob.dropped != 5 {
			t.Errorf("%d events were dropped, want the 5 barrages", bob.dropped)
		}
		bob.mu.Unlock()
		bob.heard(t, want...)

		// Beyond what the room keeps, the loss is told.
		release = make(chan struct{})
		zim.On(z, func(context.Context, *zim.RoomMemberLeft) { <-release })
		if err := carol.LeaveRoom(ctx, "r"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		want, bob.dropped = nil, 0
		say(1000)
		synctest.Wait()
		close(release)
		time.Sleep(15 * time.Second)
		bob.mu.Lock()
		lost := bob.dropped
		bob.mu.Unlock()
		kept := len(want) - lost
		if lost == 0 || kept < 500 {
			t.Errorf("%d of %d messages were lost", lost, len(want))
		}
		got := bob.texts()
		if len(got) != kept || !slices.Equal(got[:16-1], want[:16-1]) || !slices.Equal(got[len(got)-500:], want[500:]) {
			t.Errorf("%d messages came, %d were lost", len(got), lost)
		}
	})
}

// A client that does not read is told of the last message again, with a heartbeat, until it has it.
func TestRoomClientThatDoesNotRead(t *testing.T) {
	options := &zimtest.Options{App: freely, Config: func(c *backend.Config) { c.OfflineAfter = time.Hour }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		blocked := &blockedDialer{Dialer: dialer}
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, blocked, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		synctest.Wait()
		open := blocked.block()
		// More than an attachment or a socket holds.
		large := strings.Repeat("x", 2000)
		for range 5000 {
			if _, err := alice.SendMessage(ctx, &zim.CommandMessage{Message: []byte(large)}, zim.Room("r"), nil); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
			alice.say(t, "r", want[i])
		}
		synctest.Wait()
		open()
		time.Sleep(time.Minute)
		got := slices.DeleteFunc(bob.texts(), func(text string) bool { return text == large })
		if !slices.Equal(got, want) {
			t.Errorf("heard %q", got)
		}
		bob.saw(t, "r 1,6", "r 2,0")
	})
}

// A blockedDialer can keep clients from reading what is pushed, and the connection from being read.
type blockedDialer struct {
	transport.Dialer
	mu   sync.Mutex
	shut chan struct{}
}

func (d *blockedDialer) block() (open func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	shut := make(chan struct{})
	d.shut = shut
	return func() { close(shut) }
}

func (d *blockedDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &blockedConn{c.(transport.Pipeline), d}, nil
}

type blockedConn struct {
	transport.Pipeline
	d *blockedDialer
}

func (c *blockedConn) Receive(ctx context.Context) (*wire.Push, error) {
	p, err := c.Pipeline.Receive(ctx)
	c.d.mu.Lock()
	shut := c.d.shut
	c.d.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
		}
	}
	return p, err
}

// Who enters and leaves in a storm is held back, and nobody else is.
func TestRoomStorm(t *testing.T) {
	onEach(t, &zimtest.Options{App: freely}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, dialer, "bob")
		storm := func() (passed int, refused error) {
			for i := range 40 {
				_, err := alice.EnterRoom(ctx, zim.RoomInfo{RoomID: fmt.Sprint("r", i)}, nil)
				if err == nil {
					err = alice.LeaveRoom(ctx, fmt.Sprint("r", i))
				}
				if err != nil {
					return passed, err
				}
				passed++
			}
			return passed, nil
		}
		passed, err := storm()
		wantCode(t, "a storm", err, zim.ErrCommonTriggerServerFrequencyLimit)
		var e *zim.Error
		if passed != 10 || !errors.As(err, &e) || e.RetryAfter != time.Second {
			t.Errorf("%d entries and exits passed, then %v", passed, err)
		}
		bob.enter(t, "r")
		time.Sleep(time.Second)
		if passed, _ := storm(); passed != 5 {
			t.Errorf("%d passed a second later, want 5", passed)
		}
	})
}

// A server can put users out of a room, and end it.
func TestRoomServerMethods(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx, b := t.Context(), srv.Backend()
		var all []*visitor
		for _, id := range []string{"alice", "bob", "carol", "dave"} {
			v := visit(t, srv, dialer, id)
			v.enter(t, "r")
			all = append(all, v)
		}
		synctest.Wait()
		for _, v := range all {
			v.seen = nil
		}
		alice, bob, carol, dave := all[0], all[1], all[2], all[3]
		absent, err := b.KickRoomMembers(zimtest.AppID, "r", "carol", "nobody", "bob", "bob")
		if err != nil || fmt.Sprint(absent) != "[nobody]" {
			t.Errorf("KickRoomMembers: %v, %v", absent, err)
		}
		alice.saw(t, "r -carol bob")
		bob.saw(t, "r 0,8")
		carol.saw(t, "r 0,8")
		dave.saw(t, "r -carol bob")
		_, err = bob.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Room("r"), nil)
		wantCode(t, "a message after the kick", err, zim.ErrRoomUserIsNotInTheRoom)
		bob.enter(t, "r")
		bob.saw(t, "r 1,6", "r 2,0")
		alice.saw(t, "r +bob")
		if _, err := b.KickRoomMembers(zimtest.AppID, "absent", "bob"); !errors.Is(err, backend.ErrNoRoom) {
			t.Errorf("a kick from no room: %v", err)
		}
		if _, err := b.KickRoomMembers(zimtest.AppID, "r", make([]string, 51)...); err == nil {
			t.Error("51 users were kicked")
		}
		if err := b.DestroyRoom(zimtest.AppID, "r"); err != nil {
			t.Error(err)
		}
		alice.saw(t, "r 0,3")
		bob.saw(t, "r 0,3")
		if err := b.DestroyRoom(zimtest.AppID, "r"); !errors.Is(err, backend.ErrNoRoom) {
			t.Errorf("destroying no room: %v", err)
		}
		_, err = alice.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Room("r"), nil)
		wantCode(t, "a message after the end", err, zim.ErrRoomTheRoomDoesNotExist)

		// The next room of that name is another one.
		alice.enter(t, "r")
		bob.enter(t, "r")
		alice.say(t, "r", "fresh")
		bob.heard(t, "fresh")
		if m := len(carol.messages); m != 0 {
			t.Errorf("carol got %d messages", m)
		}
	})
}

// Of many who enter a room together, each is told of those behind it, and of nobody else.
func TestRoomRush(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		var all []*visitor
		for i := range 50 {
			all = append(all, visit(t, srv, dialer, fmt.Sprint("user", i)))
		}
		var wg sync.WaitGroup
		for _, v := range all {
			wg.Go(func() { v.enter(t, "r") })
		}
		wg.Wait()
		synctest.Wait()
		place := make(map[string]int)
		var order []string
		for u, err := range all[0].RoomMembers(t.Context(), "r") {
			if err != nil {
				t.Fatal(err)
			}
			place[u.UserID] = len(order)
			order = append(order, u.UserID)
		}
		for i, v := range all {
			var got []string
			for _, seen := range v.seen[2:] {
				got = append(got, strings.Fields(strings.TrimPrefix(seen, "r +"))...)
			}
			if want := order[place[fmt.Sprint("user", i)]+1:]; !slices.Equal(got, want) {
				t.Errorf("user %d was told of %v, want %v", i, got, want)
			}
		}
		// They leave together, too.
		for _, v := range all {
			v.seen = nil
		}
		for _, v := range all[1:] {
			wg.Go(func() {
				if err := v.LeaveRoom(t.Context(), "r"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		left := make(map[string]bool)
		for _, seen := range all[0].seen {
			for _, id := range strings.Fields(strings.TrimPrefix(seen, "r -")) {
				if left[id] {
					t.Errorf("%s left twice", id)
				}
				left[id] = true
			}
		}
		if len(left) != len(all)-1 {
			t.Errorf("%d left", len(left))
		}
	})
}

// Many who come and go at once see a consistent picture, and leave nothing behind.
func TestRoomTurmoil(t *testing.T) {
	options := &zimtest.Options{App: freely}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		watcher := visit(t, srv, dialer, "watcher")
		watcher.enter(t, "r")
		watcher.saw(t, "r 1,6", "r 2,0")
		present := make(map[string]bool)
		zim.On(watcher.ZIM, func(_ context.Context, e *zim.RoomMemberJoined) {
			for _, u := range e.MemberList {
				if present[u.UserID] {
					t.Errorf("%s joined twice", u.UserID)
				}
				present[u.UserID] = true
			}
		})
		zim.On(watcher.ZIM, func(_ context.Context, e *zim.RoomMemberLeft) {
			for _, u := range e.MemberList {
				if !present[u.UserID] {
					t.Errorf("%s left without having joined", u.UserID)
				}
				delete(present, u.UserID)
			}
		})
		var wg sync.WaitGroup
		for i := range 20 {
			v := visit(t, srv, dialer, fmt.Sprint("user", i))
			wg.Go(func() {
				for range 5 {
					v.EnterRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil)
					v.SendMessage(ctx, &zim.TextMessage{Message: "hello"}, zim.Room("r"), nil)
					v.SwitchRoom(ctx, "r", zim.RoomInfo{RoomID: "s"}, true, nil)
					v.LeaveAllRoom(ctx)
					if i%5 == 0 {
						srv.Cut(fmt.Sprint("user", i))
						time.Sleep(2 * time.Second)
					}
				}
				v.EnterRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil)
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		var ids []string
		for u, err := range watcher.RoomMembers(ctx, "r") {
			if err != nil {
				t.Fatal(err)
			}
			if u.UserID != "watcher" {
				ids = append(ids, u.UserID)
				if !present[u.UserID] {
					t.Errorf("nobody told of %s", u.UserID)
				}
			}
		}
		if len(ids) != len(present) {
			t.Errorf("%d members, and %d that joined and did not leave", len(ids), len(present))
		}
		for i, m := range watcher.messages {
			if m.Seq != int64(i+1) {
				t.Fatalf("message %d has number %d", i+1, m.Seq)
			}
		}
	})
}
