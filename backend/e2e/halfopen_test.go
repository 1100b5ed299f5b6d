package e2e_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A frozenDialer makes connections that can stop to carry anything, without a word.
type frozenDialer struct {
	transport.Dialer
	frozen atomic.Bool
}

func (d *frozenDialer) Dial(ctx context.Context) (transport.Conn, error) {
	if d.frozen.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &frozenConn{c.(transport.Pipeline), d}, nil
}

type frozenConn struct {
	transport.Pipeline
	d *frozenDialer
}

func (c *frozenConn) Start(req *wire.Request, done func(*wire.Response, error)) {
	if !c.d.frozen.Load() {
		c.Pipeline.Start(req, done)
	}
}

// A connection that is dead without saying so is found within 16 seconds, also while much is handled; what was sent on it
// is sent again on the next one.
func TestHalfOpenConnection(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		frozen := &frozenDialer{Dialer: dialer}
		alice, bob := newZIM(t, frozen), newZIM(t, dialer)
		in := newInbox(bob)
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")
		lost := make(chan time.Time, 1)
		zim.On(alice, func(_ context.Context, e *zim.ConnectionStateChanged) {
			if e.State == zim.ConnectionStateReconnecting {
				lost <- time.Now()
			}
		})
		// Handlers that return all the time report that, too, and must not put off the discovery.
		zim.On(alice, func(context.Context, *zim.PeerMessageReceived) { time.Sleep(300 * time.Millisecond) })
		for range 10 {
			if _, err := bob.SendMessage(t.Context(), &zim.TextMessage{Message: "busy"}, zim.Peer("alice"), nil); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		frozen.frozen.Store(true)
		sent := make(chan error, 1)
		go func() {
			_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "into the void"}, zim.Peer("bob"), nil)
			sent <- err
		}()
		if took := (<-lost).Sub(start); took > 16*time.Second {
			t.Errorf("it took %v", took)
		}
		frozen.frozen.Store(false)
		if err := <-sent; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := in.texts(); len(got) != 1 {
			t.Errorf("bob got %v", got)
		}
	})
}

// The backend takes a client that it does not hear of for offline after 35 seconds.
func TestSilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		conn, err := srv.WebSocket().Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		resp, err := conn.RoundTrip(t.Context(), &wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{
			AppId: zimtest.AppID, UserId: "alice", Token: srv.Token("alice"), InstanceId: make([]byte, 16),
		}}})
		if err != nil || resp.Error != nil {
			t.Fatal(err, resp)
		}
		time.Sleep(34 * time.Second)
		if !srv.Backend().UserOnline(zimtest.AppID, "alice") {
			t.Error("offline after 34 s")
		}
		time.Sleep(2 * time.Second)
		if srv.Backend().UserOnline(zimtest.AppID, "alice") {
			t.Error("online after 36 s")
		}
	})
}
