package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

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
