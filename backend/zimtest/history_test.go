package zimtest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
)

// The history of what a real backend does, while connections break and it restarts: no promise is broken, and nothing is missing.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		users := []string{"alice", "bob"}
		rnd := rand.New(rand.NewPCG(1, 2))
		var h zimtest.History
		zims := make(map[string]*zim.ZIM)
		for _, u := range users {
			z := srv.Login(t, u)
			zims[u] = z
			zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) { h.Received(u, e.Messages...) })
		}
		var sends sync.WaitGroup
		answered := 0
		for n := range 200 {
			i := rnd.IntN(2)
			z, to := zims[users[i]], zim.Peer(users[1-i])
			sends.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if n%7 == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
				}
				defer cancel()
				var content zim.Content = &zim.TextMessage{Message: fmt.Sprint("message ", n)}
				if n%10 == 0 {
					content = &zim.CommandMessage{Message: fmt.Append(nil, "ring ", n)}
				}
				m, err := h.Send(ctx, z, content, to, nil)
				if m != nil && err != nil && n%2 == 0 {
					h.Send(t.Context(), z, m.Content, to, &zim.MessageSendConfig{Retry: m})
				}
			})
			switch n % 50 {
			case 20:
				srv.Cut(users[i])
			case 40:
				srv.Restart()
			}
			if _, err := h.QueryHistory(t.Context(), users[i], z, to, zim.MessageQueryConfig{Reverse: true, Count: 5}); err == nil {
				answered++
			}
			time.Sleep(200 * time.Millisecond)
		}
		sends.Wait()
		if answered < 100 {
			t.Errorf("%d queries were answered, want at least 100", answered)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for i, u := range users {
			if err := h.Collect(t.Context(), u, zims[u], zim.Peer(users[1-i])); err != nil {
				t.Fatal(err)
			}
		}
		for i, u := range users {
			for _, v := range slices.Concat(h.Check(), h.Delivered(u, zim.Peer(users[1-i]))) {
				t.Error(v)
			}
		}
	})
}

// What the checkers have nothing to say about, they pass over: files, edited and revoked messages, and those of the service.
func TestHistoryOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
		var h zimtest.History
		zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) { h.Received("bob", e.Messages...) })
		zim.On(bob, func(_ context.Context, e *zim.BroadcastMessageReceived) { h.Received("bob", e.Message) })
		attached := 0
		config := &zim.MessageSendConfig{Notification: zim.MessageSendNotification{OnMessageAttached: func(*zim.Message) { attached++ }}}
		var sent []*zim.Message
		for _, content := range []zim.Content{
			&zim.TextMessage{Message: "one"},
			&zim.FileMessage{File: zim.File{Name: "a.txt", URL: "https://files.example.com/a.txt"}},
			&zim.TextMessage{Message: "three"},
			&zim.CustomMessage{Message: "four", SubType: 4},
		} {
			m, err := h.Send(t.Context(), alice, content, zim.Peer("bob"), config)
			if err != nil {
				t.Fatal(err)
			}
			sent = append(sent, m)
		}
		if _, err := h.Send(t.Context(), alice, nil, zim.Peer("bob"), nil); err == nil {
			t.Error("nothing was sent, without an error")
		}
		if attached != len(sent) {
			t.Errorf("OnMessageAttached was called %d times, want %d", attached, len(sent))
		}
		srv.Broadcast("carol", &zim.TextMessage{Message: "to all"})
		if _, err := alice.EditMessage(t.Context(), sent[0], zim.MessageEditConfig{Content: &zim.TextMessage{Message: "1"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.RevokeMessage(t.Context(), sent[2], nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, u := range []string{"alice", "bob"} {
			z, to := alice, zim.Peer("bob")
			if u == "bob" {
				z, to = bob, zim.Peer("alice")
			}
			if _, err := h.QueryHistory(t.Context(), u+"/phone", z, to, zim.MessageQueryConfig{}); err != nil {
				t.Fatal(err)
			}
			if err := h.Collect(t.Context(), u, z, to); err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range slices.Concat(h.Check(), h.Delivered("bob", zim.Peer("alice"))) {
			t.Error(v)
		}
		if v := h.Delivered("carol", zim.Peer("alice")); len(v) != 1 {
			t.Errorf("got %v of a conversation that nobody told of, want one violation", v)
		}
		if v := h.Delivered("bob/phone", zim.Peer("alice")); len(v) != len(sent) {
			t.Errorf("got %v for a device that got nothing, want %d violations", v, len(sent))
		}
		if err := h.Collect(t.Context(), "alice", alice, zim.Peer("bob")); err != nil {
			t.Fatal(err)
		}
		alice.Destroy()
		if err := h.Collect(t.Context(), "alice", alice, zim.Peer("bob")); err == nil {
			t.Error("Collect on a ZIM that is gone succeeded")
		}
	})
}

// Rooms are only for who is there: those who were away have missed messages, and a room that is made anew counts anew.
func TestHistoryOfRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
		var h zimtest.History
		got := 0
		zim.On(bob, func(_ context.Context, e *zim.RoomMessageReceived) {
			got += len(e.Messages)
			h.Received("bob", e.Messages...)
		})
		enter := func(z *zim.ZIM) {
			t.Helper()
			if _, err := z.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "r"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		leave := func(z *zim.ZIM) {
			t.Helper()
			if err := z.LeaveRoom(t.Context(), "r"); err != nil {
				t.Fatal(err)
			}
		}
		send := func(text string) {
			t.Helper()
			if _, err := h.Send(t.Context(), alice, &zim.TextMessage{Message: text}, zim.Room("r"), nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		enter(alice)
		enter(bob)
		send("one")
		leave(bob)
		send("two, without bob")
		enter(bob)
		send("three")
		leave(bob)
		leave(alice)
		time.Sleep(10 * time.Minute)
		enter(alice)
		enter(bob)
		send("one, of a new room")
		if got != 3 {
			t.Errorf("bob got %d messages, want 3", got)
		}
		for _, v := range h.Check() {
			t.Error(v)
		}
		// But none comes twice.
		h.Received("carol", &zim.Message{ID: "7", Seq: 1, Sender: "alice", Conversation: zim.Room("r"), Content: &zim.TextMessage{Message: "one"}})
		h.Received("carol", &zim.Message{ID: "7", Seq: 1, Sender: "alice", Conversation: zim.Room("r"), Content: &zim.TextMessage{Message: "one"}})
		if v := h.AtMostOnce(); len(v) != 1 {
			t.Errorf("got %v for a message that came twice, want one violation", v)
		}
	})
}

// A page of history begins or ends at what only this device has: of the numbers there, it says nothing.
func TestHistoryOfOneDevice(t *testing.T) {
	to := zim.Peer("bob")
	message := func(seq int64) *zim.Message {
		return &zim.Message{
			ID: fmt.Sprint(seq), Seq: seq, LocalID: fmt.Sprintf("%06d-00000001", seq), Sender: "alice", Conversation: to, Content: &zim.TextMessage{Message: fmt.Sprint(seq)},
		}
	}
	note := &zim.Message{LocalID: "note", Sender: "alice", Conversation: to, Content: &zim.TextMessage{Message: "note"}, IsUserInserted: true}
	for name, test := range map[string]struct {
		config zim.MessageQueryConfig
		page   []*zim.Message
	}{
		"a page of what only the device has": {zim.MessageQueryConfig{Count: 1, Reverse: true}, []*zim.Message{note}},
		"behind what only the device has":    {zim.MessageQueryConfig{NextMessage: note}, []*zim.Message{message(2), message(3)}},
		"the device alone was asked":         {zim.MessageQueryConfig{Mode: zim.MessageQueryModeOnlyLocal}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var h zimtest.History
			var log []*zim.Message
			for seq := range int64(3) {
				m := message(seq + 1)
				h.Invoked(m.Content, to).Ended(m, nil)
				log = append(log, m)
			}
			h.Asked("alice", to).Answered(test.config, test.page)
			h.Stored("alice", to, log)
			for _, v := range h.Check() {
				t.Error(v)
			}
		})
	}
}

// A durable message is the outbox's once it was sent: what becomes of it is not known then.
func TestHistoryOfDurableMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		srv.Register("bob")
		config := srv.Config()
		config.OutboxDir = t.TempDir()
		alice, err := zim.New(config)
		if err != nil {
			t.Fatal(err)
		}
		defer alice.Destroy()
		if err := alice.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.Token("alice")}); err != nil {
			t.Fatal(err)
		}
		var h zimtest.History
		for n := range 3 {
			if _, err := h.Send(t.Context(), alice, &zim.TextMessage{Message: fmt.Sprint(n)}, zim.Peer("bob"), &zim.MessageSendConfig{Durable: true}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if err := h.Collect(t.Context(), "alice", alice, zim.Peer("bob")); err != nil {
			t.Fatal(err)
		}
		for _, v := range h.Check() {
			t.Error(v)
		}
	})
}
