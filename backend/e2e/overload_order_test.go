package e2e_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// The later the store is, the more is refused: first what matters least. Everything that was refused is not stored, everything that
// was taken is, and what keeps a session is never refused.
func TestOverloadOrder(t *testing.T) {
	options := zimtest.Options{
		App:    func(a *backend.App) { boundless(a); a.Devices = backend.MultiDevice },
		Config: func(c *backend.Config) { c.MaxDelay = 500 * time.Millisecond },
	}
	hostile(t, options, func(t *testing.T, h *host) {
		alice := h.login(t, "alice")
		alice.ok(&wire.EnterRoomRequest{Room: &wire.RoomInfo{RoomId: "r"}})
		stored := alice.ok(textTo("bob", 1, "before")).GetSendMessage()
		h.stored = 1
		n := 1
		fresh := func(typ int32, toType int32, to string) *wire.SendMessageRequest {
			n++
			m := textTo(to, n, "text")
			m.Type, m.ConversationType = typ, toType
			return m
		}
		// In the order in which they are refused. Those that wait for the store are answered later.
		type kind struct {
			name  string
			waits bool
			make  func() any
		}
		kinds := []kind{
			{"barrage", false, func() any { return fresh(20, 1, "r") }},
			{"command", false, func() any { return fresh(2, 0, "bob") }},
			{"query", false, func() any { return &wire.QueryConversationsRequest{Count: 10} }},
			{"login", true, func() any { return loginRequest(h.srv, "erin") }},
			{"message", true, func() any { return fresh(1, 0, "bob") }},
		}
		type waiting struct {
			name   string
			answer chan *wire.Response
		}
		var taken []waiting
		var asking sync.WaitGroup
		try := func(k kind, sender *rawConn) (refused bool) {
			t.Helper()
			conn, login := alice, k.name == "login"
			switch {
			case login:
				conn = h.dial(t)
			case k.waits:
				conn = sender
			}
			answer := make(chan *wire.Response, 1)
			asking.Go(func() { answer <- conn.call(k.make()) })
			synctest.Wait()
			if len(answer) == 0 && k.waits {
				taken = append(taken, waiting{k.name, answer})
				return false
			}
			e := (<-answer).GetError()
			if e == nil {
				return false
			}
			if e.Code != 6000005 || e.RetryAfterMs < 1000 || e.RetryAfterMs > 2000 {
				t.Errorf("a %s was refused with %v", k.name, e)
			}
			if login {
				conn.wantStatus(1013)
			}
			return true
		}
		steps := []struct {
			at      time.Duration
			refused int // how many of the kinds
		}{{140, 0}, {160, 1}, {220, 1}, {230, 2}, {290, 2}, {310, 3}, {390, 3}, {410, 4}, {490, 4}, {510, 5}}
		var senders []*rawConn
		for i := range steps {
			senders = append(senders, h.login(t, fmt.Sprint("sender", i)))
		}
		release := h.hold(t)
		start := time.Now()
		for i, step := range steps {
			time.Sleep(step.at*time.Millisecond - time.Since(start))
			var got []string
			for _, k := range kinds {
				if try(k, senders[i]) {
					got = append(got, k.name)
				}
			}
			var want []string
			for _, k := range kinds[:step.refused] {
				want = append(want, k.name)
			}
			if !slices.Equal(got, want) {
				t.Errorf("when the store is %d ms late, refused are %q, want %q", step.at, got, want)
			}
		}
		for _, change := range []any{
			&wire.RevokeMessageRequest{Message: messageRef(peerRef("bob"), 1)},
			&wire.CreateGroupRequest{Group: &wire.GroupInfo{GroupId: "g"}, UserIds: []string{"bob"}},
			fresh(1, 1, "r"),
		} {
			alice.wantRefused(change, 6000005)
		}

		// What keeps a session, and what may have been stored.
		alice.ok(&wire.HeartbeatRequest{})
		alice.ok(&wire.SyncRequest{After: &wire.Position{Epoch: h.store.Epoch()}})
		alice.ok(&wire.RenewTokenRequest{Token: h.srv.Token("alice")})
		alice.ok(&wire.LeaveRoomRequest{RoomId: "r"})
		back := h.dial(t)
		resume := loginRequest(h.srv, "frank")
		resume.Resume = true
		resumed := back.request(resume)
		back.send(delimited(resumed))
		again := textTo("bob", 1, "before")
		again.Again = true
		known := alice.request(again)
		alice.send(delimited(known))
		never := fresh(1, 0, "bob")
		never.Again = true
		unknown := alice.request(never)
		alice.send(delimited(unknown))
		leaving := alice.request(&wire.LogoutRequest{})
		alice.send(delimited(leaving))
		synctest.Wait()

		release()
		for _, w := range taken {
			resp := <-w.answer
			if resp == nil || resp.Error != nil {
				t.Errorf("a %s that was taken was answered with %v", w.name, resp)
			}
			if w.name == "message" {
				h.stored++
			}
		}
		if resp := alice.answer(known.Id); resp.GetSendMessage().GetMessageId() != stored.MessageId {
			t.Errorf("a message that was stored before was answered with %v", resp)
		}
		if e := alice.answer(unknown.Id).GetError(); e.GetCode() != 6000005 || e.RetryAfterMs == 0 {
			t.Errorf("a message that was not stored before was answered with %v", e)
		}
		if resp := alice.answer(leaving.Id); resp.GetLogout() == nil {
			t.Errorf("a logout was answered with %v", resp)
		}
		if resp := back.answer(resumed.Id); resp.GetLogin() == nil {
			t.Errorf("a session that came back was answered with %v", resp)
		}

		alice = h.login(t, "alice")
		alice.ok(&wire.EnterRoomRequest{Room: &wire.RoomInfo{RoomId: "r"}})
		for _, k := range kinds {
			if try(k, alice) {
				t.Errorf("a %s was refused although there was nothing to do", k.name)
			}
		}
		asking.Wait()
		h.stored++
	})
}

// A store that is fast may have more waiting than it has room for before anything waits long. Then, too, there is room for what keeps a
// session.
func TestOverloadOfTheQueue(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		alice := h.login(t, "alice")
		stored := alice.ok(textTo("bob", 1, "before")).GetSendMessage()
		release := h.hold(t)
		var filling sync.WaitGroup
		fill := func(until float64) {
			for _, filled := h.store.Delay(); filled < until; _, filled = h.store.Delay() {
				filling.Add(1)
				if err := h.store.Submit(fillOp{&filling}); err != nil {
					t.Fatal(err)
				}
			}
		}
		fill(0.26)
		alice.ok(commandTo("bob", 2, []byte("x")))
		fill(0.41)
		alice.wantRefused(commandTo("bob", 3, []byte("x")), 6000005)
		alice.ok(&wire.QueryConversationsRequest{Count: 10})
		fill(0.55)
		alice.wantRefused(&wire.QueryConversationsRequest{Count: 10}, 6000005)
		fill(0.91)
		alice.wantRefused(textTo("bob", 4, "now"), 6000005)
		h.dial(t).wantRefused(loginRequest(h.srv, "erin"), 6000005)
		again := textTo("bob", 1, "before")
		again.Again = true
		known := alice.request(again)
		alice.send(delimited(known))
		alice.ok(&wire.HeartbeatRequest{Handled: &wire.Position{Epoch: h.store.Epoch(), Seq: 1}})
		release()
		filling.Wait()
		if resp := alice.answer(known.Id); resp.GetSendMessage().GetMessageId() != stored.MessageId {
			t.Errorf("a message that was stored before was answered with %v", resp)
		}
		synctest.Wait()
		alice.ok(textTo("bob", 5, "after"))
		h.stored = 2
	})
}

// A fillOp takes room in the store's queue.
type fillOp struct{ waiting *sync.WaitGroup }

func (fillOp) Do(*store.Tx) error { return nil }
func (op fillOp) Done(error)      { op.waiting.Done() }
