package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/websocket"
)

// A cable is a network between a client and the backend that can stop to carry bytes, without a word, in either direction.
type cable struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu       sync.Mutex
	up, down bool      // guarded by mu; what is swallowed: to the backend, to the client
	last     time.Time // guarded by mu; when something reached the backend
	draining sync.WaitGroup
}

func newCable(srv *zimtest.Server) *cable {
	return &cable{dial: srv.Client().Transport.(*http.Transport).DialContext}
}

// dialer returns a transport over the cable, and what ends it.
func (c *cable) dialer() (transport.Dialer, func()) {
	rt := &http.Transport{DialContext: c.dialContext}
	return websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: &http.Client{Transport: rt}}, rt.CloseIdleConnections
}

func (c *cable) dialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if up, down := c.swallows(); up || down {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	conn, err := c.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &cableConn{Conn: conn, c: c}, nil
}

func (c *cable) swallow(up, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up, c.down = up, down
}

func (c *cable) swallows() (up, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up, c.down
}

// lastByte returns when something reached the backend.
func (c *cable) lastByte() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// reaches reports whether the backend gets what is sent now.
func (c *cable) reaches() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.up {
		c.last = time.Now()
	}
	return !c.up
}

// A cableConn is the client's end of a connection.
type cableConn struct {
	net.Conn
	c *cable
}

func (c *cableConn) Write(p []byte) (int, error) {
	if !c.c.reaches() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *cableConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if _, down := c.c.swallows(); !down || err != nil {
			return n, err
		}
	}
}

// Close is not seen by the backend if it is swallowed; what the backend sends then still goes nowhere.
func (c *cableConn) Close() error {
	if c.c.reaches() {
		return c.Conn.Close()
	}
	c.SetReadDeadline(time.Unix(1, 0)) // whoever reads learns of it
	c.c.draining.Go(func() {
		buf := make([]byte, 4<<10)
		for {
			c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := c.Conn.Read(buf); err != nil {
				c.Conn.Close()
				return
			}
		}
	})
	return nil
}

// However the moment falls, and whichever directions are dead: the client finds out within 16 seconds, within 11 if it sends something, the
// backend takes it for offline at most 36 seconds after it heard of it last, and what was sent arrives once.
func TestHalfOpenLinks(t *testing.T) {
	report := tier.Begin(t, "half-open")
	const idleBound, sendingBound, offlineBound = 16 * time.Second, 11 * time.Second, 36 * time.Second
	var idle, sending, offline []time.Duration
	directions := []struct{ up, down bool }{{true, true}, {true, false}, {false, true}}
	n := tier.Pick(12, 100)
	for seed := range n {
		for _, d := range directions {
			for _, sends := range []bool{false, true} {
				name := fmt.Sprintf("seed %d, up %v, down %v, sends %v", seed, d.up, d.down, sends)
				found, away := halfOpen(t, name, uint64(seed), d.up, d.down, sends)
				if offline = append(offline, away); sends {
					sending = append(sending, found)
				} else {
					idle = append(idle, found)
				}
			}
		}
	}
	if got := slices.Max(idle); got > idleBound {
		t.Errorf("an idle client took %v, want at most %v", got, idleBound)
	}
	if got := slices.Max(sending); got > sendingBound {
		t.Errorf("a client with a message under way took %v, want at most %v", got, sendingBound)
	}
	if got := slices.Max(offline); got > offlineBound {
		t.Errorf("the backend took %v, want at most %v", got, offlineBound)
	}
	report(map[string]any{
		"repetitions": n, "links": len(offline), "idle_max_s": slices.Max(idle).Seconds(), "sending_max_s": slices.Max(sending).Seconds(),
		"offline_max_s": slices.Max(offline).Seconds(),
	})
}

// halfOpen returns how long the client took to find out, and how long the backend after it had heard of the client last.
func halfOpen(t *testing.T, name string, seed uint64, up, down, sends bool) (found, away time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 12))
		srv := zimtest.NewServer(t, nil)
		c := newCable(srv)
		dialer, done := c.dialer()
		t.Cleanup(func() { done(); c.draining.Wait() })
		alice, bob := newZIM(t, dialer), newZIM(t, srv.InProcess())
		in := newInbox(bob)
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")
		lost := make(chan time.Time, 1)
		zim.On(alice, func(_ context.Context, e *zim.ConnectionStateChanged) {
			if e.State == zim.ConnectionStateReconnecting {
				lost <- time.Now()
			}
		})
		time.Sleep(time.Duration(random.Int64N(int64(25 * time.Second))))
		synctest.Wait()
		start := time.Now()
		c.swallow(up, down)
		sent := make(chan error, 1)
		if sends {
			go func() {
				_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "into the void"}, zim.Peer("bob"), nil)
				sent <- err
			}()
		} else {
			sent <- nil
		}
		found = (<-lost).Sub(start)
		for srv.Backend().UserOnline(zimtest.AppID, "alice") && time.Since(start) < time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		away = time.Since(c.lastByte())
		c.swallow(false, false)
		err := <-sent
		// The backend took more than the half minute for which messages wait: then the outcome may be unknown, and only then.
		if err != nil && !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("%s: %v", name, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(in.texts()); got > 1 || sends && got == 0 && err == nil {
			t.Errorf("%s: %v, and bob got %d messages", name, err, got)
		}
		if got := alice.ConnectionState(); got != zim.ConnectionStateConnected {
			t.Errorf("%s: in the end it is %v", name, got)
		}
	})
	return found, away
}
