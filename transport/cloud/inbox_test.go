package cloud_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/cloud"
	"github.com/zim-go/zim/wire"
)

// What comes while a user's connection is away is there when it is back.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		must(t, s, signed("send_msg", hello(1, "one")), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:one")
		bob.sink.Drop()
		must(t, s, signed("send_msg", hello(2, "two")), http.StatusOK)
		time.Sleep(time.Minute)
		bob.saw(t, "peer alice 2/alice:two")
		time.Sleep(time.Minute)
		if n, bytes := s.Waiting("bob"); n != 0 || bytes != 0 {
			t.Errorf("%d events, %d bytes wait, want none", n, bytes)
		}
	})
}

// What was not handled when a ZIM ended comes to the next one of that user, in order, and what was handled does not.
func TestUnhandledStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		must(t, s, signed("send_msg", hello(1, "one")), http.StatusOK)
		time.Sleep(time.Second)
		zim.On(bob.ZIM, func(ctx context.Context, _ *zim.PeerMessageReceived) { <-ctx.Done() })
		must(t, s, signed("send_msg", hello(2, "two")), http.StatusOK)
		must(t, s, signed("send_msg", hello(3, "three").with("from_user_id", "carol")), http.StatusOK)
		synctest.Wait()
		bob.Destroy()
		must(t, s, signed("send_msg", hello(4, "four")), http.StatusOK)
		arrive(t, s, "bob").saw(t, "peer alice 2/alice:two", "peer carol 3/carol:three", "peer alice 4/alice:four")
	})
}

// Two ZIMs of one user have the same events, which wait for the slower one.
func TestTwoOfOneUser(t *testing.T) {
	for _, first := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
			s := newService()
			fast, slow := arrive(t, s, "bob"), arrive(t, s, "bob")
			if first {
				fast, slow = slow, fast
			}
			zim.On(slow.ZIM, func(ctx context.Context, _ *zim.PeerMessageReceived) { <-ctx.Done() })
			must(t, s, signed("send_msg", hello(1, "hi")), http.StatusOK)
			fast.saw(t, "peer alice 1/alice:hi")
			time.Sleep(time.Second)
			if n, _ := s.Waiting("bob"); n != 1 {
				t.Errorf("%d events wait, want 1", n)
			}
			slow.Destroy()
			if n, _ := s.Waiting("bob"); n != 0 {
				t.Errorf("%d events wait, want none", n)
			}
		})
	}
}

// Who stays away for long has a new feed, and is told that something may be missing. Who never was here has none.
func TestAwayForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		must(t, s, signed("send_msg", hello(1, "one")), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:one")
		if err := bob.Logout(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		must(t, s, signed("send_msg", hello(2, "two")), http.StatusOK)
		must(t, s, signed("send_msg", hello(3, "three").with("conv_id", "stranger")), http.StatusOK)
		if n, _ := s.Waiting("bob"); n != 1 {
			t.Errorf("%d events wait, want 1", n)
		}
		time.Sleep(11 * time.Minute)
		must(t, s, signed("send_msg", hello(4, "four")), http.StatusOK)
		if n, bytes := s.Waiting("bob"); n != 0 || bytes != 0 {
			t.Errorf("%d events, %d bytes wait, want none", n, bytes)
		}
		if got := s.CallbackCounts().Dropped; got != 1 {
			t.Errorf("%d events were dropped, want 1", got)
		}
		if err := bob.Login(t.Context(), "bob", &zim.LoginConfig{Token: "any"}); err != nil {
			t.Fatal(err)
		}
		must(t, s, signed("send_msg", hello(5, "five")), http.StatusOK)
		bob.saw(t, "reset", "peer alice 5/alice:five")

		// The same, if nothing comes meanwhile.
		if err := bob.Logout(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		if err := bob.Login(t.Context(), "bob", &zim.LoginConfig{Token: "any"}); err != nil {
			t.Fatal(err)
		}
		bob.saw(t, "reset")
	})
}

// Large events fill a queue before many do, and all users' queues together have a bound, too.
func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		large := strings.Repeat("x", 200<<10)
		var users []string
		for i := range 20 {
			users = append(users, "user"+strconv.Itoa(i))
			arrive(t, s, users[i]).Destroy()
		}
		id := 0
		fill := func(users ...string) int {
			for n := 0; ; n++ {
				var list []object
				for _, userID := range users {
					id++
					list = append(list, object{"UserId": userID, "MsgId": strconv.Itoa(id)})
				}
				if send(s, signed("send_msg", hello(1, large).with("conv_id", "").with("user_list", list))).Code != http.StatusOK {
					return n
				}
			}
		}
		if n := fill(users[0]); n != 20 { // 4 MiB
			t.Errorf("%d messages were taken for one user, want 20", n)
		}
		if n := fill(users[1:]...); n != 16 { // of 19 users each
			t.Errorf("%d messages were taken for each user, want 16", n)
		}
		if _, bytes := s.Waiting(users[0]); bytes > 64<<20 || bytes < 60<<20 {
			t.Errorf("%d bytes wait, want nearly 64 MiB", bytes)
		}
	})
}

// A position that can't be served is answered with one that can, and why.
func TestPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		conn, err := (&cloud.Sink{Service: s}).Dial(t.Context())
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
		sync := func(epoch, seq uint64, limit int32) *wire.SyncResponse {
			t.Helper()
			return ask(&wire.Request{Body: &wire.Request_Sync{Sync: &wire.SyncRequest{After: &wire.Position{Epoch: epoch, Seq: seq},
				Limit: limit}}}).GetSync()
		}
		epoch := ask(&wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{UserId: "bob"}}}).GetLogin().Position.Epoch
		for i := range 10 {
			must(t, s, signed("send_msg", hello(i+1, "x")), http.StatusOK)
		}
		if got := sync(epoch, 3, 2); got.Events.FirstSeq != 4 || len(got.Events.Events) != 2 || got.Last.Seq != 10 || got.Reset_ != nil {
			t.Errorf("got %v, want events 4 and 5 of 10", got)
		}
		ask(&wire.Request{Body: &wire.Request_Heartbeat{Heartbeat: &wire.HeartbeatRequest{Handled: &wire.Position{Epoch: epoch, Seq: 4}}}})
		for _, nonsense := range []*wire.Position{nil, {Epoch: epoch, Seq: 2}, {Epoch: epoch, Seq: 1 << 63}, {Epoch: epoch + 2, Seq: 9}} {
			ask(&wire.Request{Body: &wire.Request_Heartbeat{Heartbeat: &wire.HeartbeatRequest{Handled: nonsense}}})
		}
		for _, c := range []struct {
			epoch, seq uint64
			reason     wire.FeedResetReason
			at         uint64
		}{
			{epoch, 3, wire.FeedResetReason_FEED_RESET_REASON_TOO_OLD, 4},
			{epoch, 11, wire.FeedResetReason_FEED_RESET_REASON_FUTURE, 10},
			{epoch + 2, 5, wire.FeedResetReason_FEED_RESET_REASON_EPOCH, 4},
		} {
			got := sync(c.epoch, c.seq, 0)
			if got.Reset_.GetReason() != c.reason || got.Reset_.GetPosition().GetSeq() != c.at || len(got.GetEvents().GetEvents()) != int(10-c.at) {
				t.Errorf("%d behind %d: got %v, want %v at %d", c.seq, c.epoch, got, c.reason, c.at)
			}
		}
		push, err := conn.Receive(t.Context())
		if err != nil || push.Events.FirstSeq != 5 || len(push.Events.Events) != 6 {
			t.Errorf("got %v, %v, want events 5 to 10", push, err)
		}
		// What was asked for and handled before it is pushed is pushed no more.
		must(t, s, signed("send_msg", hello(11, "x")), http.StatusOK)
		ask(&wire.Request{Body: &wire.Request_Heartbeat{Heartbeat: &wire.HeartbeatRequest{Handled: &wire.Position{Epoch: epoch, Seq: 11}}}})
		idle, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := conn.Receive(idle); err != context.DeadlineExceeded {
			t.Errorf("got %v, want that time is over", err)
		}
		must(t, s, signed("send_msg", hello(12, "x")), http.StatusOK)
		if push, err = conn.Receive(t.Context()); err != nil || push.Events.FirstSeq != 12 || len(push.Events.Events) != 1 {
			t.Errorf("got %v, %v, want event 12", push, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := conn.Receive(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v, want that time is over", err)
		}
		conn.Close()
		if _, err := conn.Receive(t.Context()); err != transport.ErrClosed {
			t.Errorf("got %v, want that the Conn is closed", err)
		}
	})
}
