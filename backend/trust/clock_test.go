package trust_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
)

// The clock of the service goes back by two days between two runs: each bubble begins in the year 2000. Nothing of the order, the
// identities and what was missed depends on it.
func TestClockGoesBack(t *testing.T) {
	dir := t.TempDir()
	var history zimtest.History
	var ids []int64
	sent := 0
	run := func(work func(alice, bob *zim.ZIM, send func(n int))) {
		synctest.Test(t, func(t *testing.T) {
			srv := zimtest.NewServer(t, &zimtest.Options{Dir: dir})
			alice, bob := login(t, srv, "alice", &history), login(t, srv, "bob", &history)
			work(alice, bob, func(n int) {
				for range n {
					sent++
					m, err := history.Send(t.Context(), alice, &zim.TextMessage{Message: fmt.Sprint(sent)}, zim.Peer("bob"), nil)
					if err != nil {
						t.Fatal(err)
					}
					id, err := strconv.ParseInt(m.ID, 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					ids = append(ids, id)
					time.Sleep(time.Second)
				}
			})
			synctest.Wait()
		})
	}
	run(func(_, bob *zim.ZIM, send func(int)) {
		send(20)
		time.Sleep(48 * time.Hour)
		send(20)
		if err := bob.Logout(context.Background(), nil); err != nil {
			t.Error(err)
		}
		send(20) // which bob gets in the next run
	})
	history.Restarted("bob")
	run(func(alice, _ *zim.ZIM, send func(int)) {
		send(20)
		synctest.Wait()
		if err := history.Collect(context.Background(), "alice", alice, zim.Peer("bob")); err != nil {
			t.Error(err)
		}
	})
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 80 {
		t.Errorf("the IDs of messages are not in their order: %d", ids)
	}
	for _, v := range append(history.Check(), history.Delivered("bob", zim.Peer("alice"))...) {
		t.Error(v)
	}
}

// The clock of a client goes back by two days between two runs of the program. A durable message of the first one, which seems to be of the
// future, is sent by the second.
func TestClientClockGoesBack(t *testing.T) {
	dir, outbox := t.TempDir(), t.TempDir()
	run := func(work func(srv *zimtest.Server, alice *zim.ZIM)) {
		synctest.Test(t, func(t *testing.T) {
			srv := zimtest.NewServer(t, &zimtest.Options{Dir: dir})
			srv.Register("bob")
			config := srv.Config()
			config.OutboxDir = outbox
			alice, err := zim.New(config)
			if err != nil {
				t.Fatal(err)
			}
			defer alice.Destroy()
			work(srv, alice)
		})
	}
	logIn := func(srv *zimtest.Server, alice *zim.ZIM) {
		if err := alice.Login(context.Background(), "alice", &zim.LoginConfig{Token: srv.TokenFor("alice", 100*time.Hour)}); err != nil {
			t.Error(err)
		}
	}
	run(func(srv *zimtest.Server, alice *zim.ZIM) {
		time.Sleep(48 * time.Hour)
		logIn(srv, alice)
		srv.Stop()
		if _, err := alice.SendMessage(context.Background(), &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), &zim.MessageSendConfig{Durable: true}); err != nil {
			t.Error(err)
		}
	})
	var told []zim.MessageSentStatusChangeInfo
	run(func(srv *zimtest.Server, alice *zim.ZIM) {
		zim.On(alice, func(_ context.Context, e *zim.MessageSentStatusChanged) { told = append(told, e.Infos...) })
		logIn(srv, alice)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(told) != 1 || told[0].Err != nil || told[0].Message.ID == "" {
			t.Errorf("got %+v, want one message that was sent", told)
		}
	})
}

// login returns a ZIM that keeps what it receives.
func login(t *testing.T, srv *zimtest.Server, user string, history *zimtest.History) *zim.ZIM {
	t.Helper()
	z, err := zim.New(srv.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) { history.Received(user, e.Messages...) })
	if err := z.Login(t.Context(), user, &zim.LoginConfig{Token: srv.TokenFor(user, 100*time.Hour)}); err != nil {
		t.Fatal(err)
	}
	return z
}
