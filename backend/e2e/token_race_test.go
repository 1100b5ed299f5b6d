package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A tokenRace is a user whose token is renewed, whose connection is lost, and who logs out, at any time. As a transport, it takes note of
// the tokens that the backend gets, and takes its time.
type tokenRace struct {
	transport.Dialer
	t    *testing.T
	name string // of the case
	user string
	srv  *zimtest.Server
	z    *zim.ZIM

	mu      sync.Mutex
	random  *rand.Rand           // guarded by mu
	down    bool                 // guarded by mu; nobody is reached
	order   map[string]int       // guarded by mu; of the tokens that the backend has accepted
	expires map[string]time.Time // guarded by mu; at the earliest
	newest  string               // guarded by mu; of the tokens whose call has returned without an error
	warned  int                  // guarded by mu; how often TokenWillExpire came
	expired int                  // guarded by mu; how often a session ended for its token
}

func (r *tokenRace) upTo(d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.random.Int64N(int64(d)))
}

func (r *tokenRace) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// token returns a new one, good for between 31 and 90 seconds.
func (r *tokenRace) token() string {
	ttl := 31*time.Second + r.upTo(time.Minute).Truncate(time.Second)
	tok := r.srv.TokenFor(r.user, ttl)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expires[tok] = time.Now().Add(ttl - time.Second) // tokens count in seconds
	return tok
}

func (r *tokenRace) Dial(ctx context.Context) (transport.Conn, error) {
	r.mu.Lock()
	down := r.down
	r.mu.Unlock()
	if down {
		return nil, errors.New("no network")
	}
	conn, err := r.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &tokenConn{Pipeline: conn.(transport.Pipeline), r: r}, nil
}

type tokenConn struct {
	transport.Pipeline
	r        *tokenRace
	renewing int // guarded by r.mu; requests without an answer
}

func (c *tokenConn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	r := c.r
	login, tok := req.GetLogin(), req.GetRenewToken().GetToken()
	if login != nil {
		r.loggingIn(login)
		tok = login.Token
	}
	if tok == "" {
		return c.Pipeline.RoundTrip(ctx, req)
	}
	if login == nil {
		c.renews(1)
		defer c.renews(-1)
	}
	time.Sleep(r.upTo(300 * time.Millisecond))
	resp, err := c.Pipeline.RoundTrip(ctx, req)
	if err == nil && resp.Error == nil {
		r.accepted(tok)
	}
	time.Sleep(r.upTo(300 * time.Millisecond))
	return resp, err
}

func (r *tokenRace) loggingIn(login *wire.LoginRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if login.Resume && r.order[login.Token] < r.order[r.newest] {
		r.t.Errorf("%s: reconnects with token %d after %d was adopted", r.name, r.order[login.Token], r.order[r.newest])
	}
}

func (c *tokenConn) renews(n int) {
	r := c.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.renewing += n; c.renewing > 1 {
		r.t.Errorf("%s: %d tokens are being renewed at once", r.name, c.renewing)
	}
}

func (r *tokenRace) accepted(tok string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.order[tok] == 0 {
		r.order[tok] = len(r.order) + 1
	}
}

// adopted takes note that the call with the token returned without an error.
func (r *tokenRace) adopted(tok string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.order[tok] == 0 {
		r.t.Errorf("%s: a token was adopted that the backend has not accepted", r.name)
	}
	if r.order[tok] > r.order[r.newest] {
		r.newest = tok
	}
}

func (r *tokenRace) renew() {
	tok := r.token()
	if r.z.RenewToken(r.t.Context(), tok) == nil {
		r.adopted(tok)
	}
}

func (r *tokenRace) login() {
	tok := r.token()
	if r.z.Login(r.t.Context(), r.user, &zim.LoginConfig{Token: tok}) == nil {
		r.adopted(tok)
	}
}

func (r *tokenRace) changed(e *zim.ConnectionStateChanged) {
	if e.Event != zim.ConnectionEventTokenExpired {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expired++
	if left := time.Until(r.expires[r.newest]); left > time.Millisecond { // what the backend tells is cut to that
		r.t.Errorf("%s: the token expired %v too early", r.name, left)
	}
}

// run does some thirty things, one after the other or at once.
func (r *tokenRace) run() {
	var calls sync.WaitGroup
	zim.On(r.z, func(_ context.Context, e *zim.ConnectionStateChanged) { r.changed(e) })
	zim.On(r.z, func(context.Context, *zim.TokenWillExpire) {
		r.mu.Lock()
		r.warned++
		r.mu.Unlock()
		if r.upTo(10) > 0 {
			calls.Go(r.renew)
		}
	})
	for range 30 {
		if r.z.ConnectionState() == zim.ConnectionStateDisconnected {
			r.login()
		}
		switch r.upTo(8) {
		case 0:
			calls.Go(r.renew)
			calls.Go(r.renew)
			calls.Go(r.renew)
		case 1:
			calls.Go(r.renew)
			time.Sleep(r.upTo(600 * time.Millisecond))
			r.srv.Cut(r.user)
		case 2:
			calls.Go(r.renew)
			calls.Go(func() { r.z.Logout(r.t.Context(), nil) })
		case 3:
			r.setDown(true)
			r.srv.Cut(r.user)
			time.Sleep(r.upTo(40 * time.Second))
			r.setDown(false)
		case 4:
			r.mu.Lock()
			end := r.expires[r.newest]
			r.mu.Unlock()
			time.Sleep(time.Until(end)) // renewed at the last moment
			calls.Go(r.renew)
		case 5:
			calls.Go(r.renew)
		default:
			time.Sleep(r.upTo(30 * time.Second))
		}
		time.Sleep(r.upTo(2 * time.Second))
	}
	calls.Wait()
	r.setDown(false)
	r.z.Destroy()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.warned > len(r.order) {
		r.t.Errorf("%s: %d warnings for %d tokens", r.name, r.warned, len(r.order))
	}
}

// However renewals, lost connections, logouts and expiry meet: no older token is used after a newer one was adopted, one is renewed at a
// time, and no session ends for its token before that has expired.
func TestTokenRaces(t *testing.T) {
	report := tier.Begin(t, "token races")
	const batch = 50 // cases for a backend
	n, tokens, warned, expired := tier.Pick(100, 10_000), 0, 0, 0
	for first := 0; first < n; first += batch {
		synctest.Test(t, func(t *testing.T) {
			srv := zimtest.NewServer(t, &zimtest.Options{App: func(a *backend.App) { a.Limits.LoginRate = -1 }})
			for seed := first; seed < first+batch; seed++ {
				r := &tokenRace{
					Dialer: srv.InProcess(), t: t, name: fmt.Sprint("seed ", seed), user: fmt.Sprint("user", seed), srv: srv,
					random: rand.New(rand.NewPCG(uint64(seed), 16)), order: make(map[string]int), expires: make(map[string]time.Time),
				}
				r.z = newZIM(t, r)
				r.run()
				tokens, warned, expired = tokens+len(r.order), warned+r.warned, expired+r.expired
			}
		})
		if t.Failed() {
			break
		}
	}
	if expired == 0 || warned == 0 {
		t.Errorf("%d warnings, and %d sessions ended for their token: this tests nothing", warned, expired)
	}
	report(map[string]any{"interleavings": n, "tokens": tokens, "warnings": warned, "expired": expired})
}

// A token that is renewed in the moment in which the old one expires is taken or it is not, and both sides agree.
func TestRenewalAtExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, &zimtest.Options{App: func(a *backend.App) { a.Limits.LoginRate = -1 }})
		renewed := 0
		for i := range 300 {
			const ttl = 31 * time.Second
			z, user := newZIM(t, srv.InProcess()), fmt.Sprint("user", i)
			seen := states(z)
			time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // tokens count in seconds
			next := srv.TokenFor(user, 2*ttl)
			if err := z.Login(t.Context(), user, &zim.LoginConfig{Token: srv.TokenFor(user, ttl)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(ttl - time.Duration(i%2)) // or a nanosecond before
			err := z.RenewToken(t.Context(), next)
			time.Sleep(ttl / 2)
			if err == nil {
				renewed++
				wantStates(t, seen, "1,1", "2,0")
			} else {
				wantStates(t, seen, "1,1", "2,0", "0,5")
			}
			z.Destroy()
		}
		if renewed < 150 {
			t.Errorf("got %d of 300 in time, want those of a nanosecond before", renewed)
		}
	})
}
