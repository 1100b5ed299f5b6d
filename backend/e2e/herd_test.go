package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A narrowGateway is a service that takes only so many logins in a second, and sometimes none.
type narrowGateway struct {
	mu       sync.Mutex
	capacity int             // guarded by mu; logins in a second
	away     bool            // guarded by mu; nobody is reached
	attempts []time.Duration // guarded by mu; when clients tried, since start
	start    time.Time       // guarded by mu
	since    time.Time       // guarded by mu; when the second began
	taken    int             // guarded by mu; in that second
	conns    map[*herdConn]bool
}

// change changes the capacity, and cuts everybody if there is none.
func (g *narrowGateway) change(capacity int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.capacity, g.away, g.taken, g.attempts = capacity, capacity == 0, 0, nil
	g.start, g.since = time.Now(), time.Now()
	if g.away {
		for c := range g.conns {
			close(c.cut)
		}
		clear(g.conns)
	}
}

var errTooMany = errors.New("too many logins")

// admit takes a login, or refuses it as a gateway does that has too many.
func (g *narrowGateway) admit() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.attempts = append(g.attempts, now.Sub(g.start))
	if s := now.Sub(g.since); s >= time.Second {
		g.since, g.taken = g.since.Add(s.Truncate(time.Second)), 0
	}
	if g.away || g.taken >= g.capacity {
		return errTooMany
	}
	g.taken++
	return nil
}

// peak returns how many attempts there were in the worst second since the last change.
func (g *narrowGateway) peak() (most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.Sort(g.attempts)
	first := 0
	for i, at := range g.attempts {
		for at-g.attempts[first] >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// A herdClient dials for one client, and counts how often.
type herdClient struct {
	g        *narrowGateway
	attempts int // since the connection was lost; read when all is quiet
}

func (c *herdClient) Dial(context.Context) (transport.Conn, error) {
	c.attempts++
	if err := c.g.admit(); err != nil {
		return nil, err
	}
	conn := &herdConn{g: c.g, cut: make(chan struct{}), closed: make(chan struct{})}
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	c.g.conns[conn] = true
	return conn, nil
}

// A herdConn is a connection that carries nothing but logins and heartbeats.
type herdConn struct {
	g           *narrowGateway
	cut, closed chan struct{}
	once        sync.Once
}

func (c *herdConn) Start(req *wire.Request, done func(*wire.Response, error)) {
	done(c.RoundTrip(context.Background(), req))
}

func (c *herdConn) RoundTrip(_ context.Context, req *wire.Request) (*wire.Response, error) {
	if req.GetLogin() != nil {
		return &wire.Response{Body: &wire.Response_Login{Login: &wire.LoginResponse{Position: new(wire.Position), HeartbeatIntervalMs: 60_000}}}, nil
	}
	return &wire.Response{Body: &wire.Response_Heartbeat{Heartbeat: new(wire.HeartbeatResponse)}}, nil
}

func (c *herdConn) Receive(ctx context.Context) (*wire.Push, error) {
	select {
	case <-c.cut:
	case <-c.closed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return nil, transport.ErrClosed
}

func (c *herdConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	delete(c.g.conns, c)
	return nil
}

// When a gateway that is away for 10 seconds comes back, with room for a tenth of its clients in a second, they do not come all at once, none
// tries too often, and they are back soon.
func TestHerd(t *testing.T) {
	report := tier.Begin(t, "herd")
	const maxPeak, maxTime, maxAttempts = 20, 45 * time.Second, 8 // percent of the clients in a second; for 99 % of them; of each
	n := tier.Pick(1000, 10_000)
	var figures map[string]any
	synctest.Test(t, func(t *testing.T) {
		g := &narrowGateway{conns: make(map[*herdConn]bool)}
		g.change(n)
		clients := make([]*herdClient, n)
		back := make([]time.Duration, n)
		for i := range clients {
			clients[i] = &herdClient{g: g}
			z := newZIM(t, clients[i])
			if err := z.Login(t.Context(), fmt.Sprint("user", i), &zim.LoginConfig{Token: "04"}); err != nil {
				t.Fatal(err)
			}
			zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
				if e.State == zim.ConnectionStateConnected {
					g.mu.Lock()
					back[i] = time.Since(g.start)
					g.mu.Unlock()
				}
			})
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for _, c := range clients {
			c.attempts = 0
		}
		g.change(0)
		time.Sleep(10 * time.Second)
		g.change(n / 10)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		slices.Sort(back)
		peak, p99 := g.peak()*100/n, back[n*99/100]
		attempts := slices.MaxFunc(clients, func(a, b *herdClient) int { return a.attempts - b.attempts }).attempts
		total := 0
		for _, c := range clients {
			total += c.attempts
		}
		if back[0] <= 0 || peak > maxPeak || p99 > maxTime || attempts > maxAttempts {
			t.Errorf("the first is back after %v, a peak of %d %% in a second, 99 %% within %v, up to %d attempts; want at most %d %%, %v, %d",
				back[0], peak, p99, attempts, maxPeak, maxTime, maxAttempts)
		}
		figures = map[string]any{
			"clients": n, "peak_percent": peak, "p99_s": p99.Seconds(), "last_s": back[n-1].Seconds(), "median_s": back[n/2].Seconds(),
			"max_attempts": attempts, "mean_attempts": float64(total) / float64(n),
		}
	})
	report(figures)
}
