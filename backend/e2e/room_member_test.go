package e2e_test

import (
	"context"
	"errors"
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
