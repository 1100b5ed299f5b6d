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
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/websocket"
)

// states collects how a ZIM's connection went.
func states(z *zim.ZIM) *[]string {
	list := new([]string)
	zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
		*list = append(*list, fmt.Sprintf("%d,%d", e.State, e.Event))
	})
	return list
}

func wantStates(t *testing.T, got *[]string, want ...string) {
	t.Helper()
	synctest.Wait()
	if fmt.Sprint(*got) != fmt.Sprint(want) {
		t.Errorf("states %v, want %v", *got, want)
	}
}

// A login elsewhere evicts the first device for good, also if that has no connection at the moment.
func TestKickedByAnotherDevice(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		first, second := newZIM(t, dialer), newZIM(t, dialer)
		seen := states(first)
		login(t, srv, first, "alice")
		login(t, srv, second, "alice")
		wantStates(t, seen, "1,1", "2,0", "0,4")
		if err := first.RenewToken(t.Context(), srv.Token("alice")); zim.CodeOf(err) != zim.ErrNetworkUserIsNotLogged {
			t.Errorf("a call after the kick: %v", err)
		}
		if err := first.Logout(t.Context(), nil); err != nil {
			t.Errorf("Logout after the kick: %v", err)
		}
		time.Sleep(time.Hour / 2)
		wantStates(t, seen, "1,1", "2,0", "0,4")
		if got := second.ConnectionState(); got != zim.ConnectionStateConnected {
			t.Errorf("the second device is %v", got)
		}

		// The kicked device may log in again, and kicks the other.
		other := states(second)
		login(t, srv, first, "alice")
		wantStates(t, other, "0,4")
	})
}

func TestKickedWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		away := &gatedDialer{Dialer: srv.WebSocket()}
		first, second := newZIM(t, away), newZIM(t, srv.WebSocket())
		seen := states(first)
		login(t, srv, first, "alice")
		away.shut(true)
		srv.Cut("alice")
		wantStates(t, seen, "1,1", "2,0", "3,3")
		login(t, srv, second, "alice")
		srv.Restart() // the backend remembers who was evicted
		away.shut(false)
		time.Sleep(2 * time.Minute)
		wantStates(t, seen, "1,1", "2,0", "3,3", "0,4")
	})
}

// A gatedDialer can be told to reach nobody.
type gatedDialer struct {
	transport.Dialer
	mu     sync.Mutex
	closed bool
}

func (d *gatedDialer) shut(closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = closed
}

func (d *gatedDialer) Dial(ctx context.Context) (transport.Conn, error) {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return nil, errors.New("no network")
	}
	return d.Dialer.Dial(ctx)
}

// A lost connection comes back by itself, and a restart of the backend is no more than that.
func TestReconnect(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := newZIM(t, dialer), newZIM(t, dialer)
		seen, in := states(bob), newInbox(bob)
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")
		srv.Cut("bob")
		time.Sleep(time.Minute)
		wantStates(t, seen, "1,1", "2,0", "3,3", "2,0")
		srv.Restart()
		time.Sleep(time.Minute)
		wantStates(t, seen, "1,1", "2,0", "3,3", "2,0", "3,3", "2,0")
		if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "still there?"}, zim.Peer("bob"), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := in.texts(); len(got) != 1 {
			t.Errorf("bob got %v", got)
		}
	})
}

// TokenWillExpire comes 30 seconds ahead, once; a new token postpones the end, and without one the session is over on
// time.
func TestTokenExpiry(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		z := newZIM(t, dialer)
		start := time.Now()
		var warned, ended []time.Duration
		zim.On(z, func(ctx context.Context, e *zim.TokenWillExpire) {
			warned = append(warned, time.Since(start))
			if e.Remaining != 30*time.Second {
				t.Errorf("remaining %v", e.Remaining)
			}
			if len(warned) == 1 {
				if err := z.RenewToken(ctx, srv.TokenFor("alice", 10*time.Minute)); err != nil {
					t.Error(err)
				}
			}
		})
		zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
			if e.State == zim.ConnectionStateDisconnected {
				ended = append(ended, time.Since(start))
				if e.Event != zim.ConnectionEventTokenExpired {
					t.Errorf("ended with %v", e.Event)
				}
			}
		})
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.TokenFor("alice", 5*time.Minute)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		srv.Cut("alice") // another connection does not bring another warning
		time.Sleep(time.Hour)
		synctest.Wait()
		// Tokens have whole seconds.
		near := func(got []time.Duration, want ...time.Duration) bool {
			return slices.EqualFunc(got, want, func(g, w time.Duration) bool { return g <= w && g > w-2*time.Second })
		}
		if !near(warned, 4*time.Minute+30*time.Second, 14*time.Minute) || !near(ended, 14*time.Minute+30*time.Second) {
			t.Errorf("warned after %v, ended after %v", warned, ended)
		}
		if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "late"}, zim.Peer("bob"), nil); zim.CodeOf(err) != zim.ErrNetworkUserIsNotLogged {
			t.Errorf("a send after the end: %v", err)
		}
		login(t, srv, z, "alice")
	})
}

// Every call may be made from every handler.
func TestCallsFromHandlers(t *testing.T) {
	calls := map[string]func(ctx context.Context, z *zim.ZIM, srv *zimtest.Server){
		"SendMessage": func(ctx context.Context, z *zim.ZIM, _ *zimtest.Server) {
			z.SendMessage(ctx, &zim.TextMessage{Message: "from a handler"}, zim.Peer("carol"), nil)
		},
		"Login": func(ctx context.Context, z *zim.ZIM, srv *zimtest.Server) {
			z.Login(ctx, "bob", &zim.LoginConfig{Token: srv.Token("bob")})
		},
		"RenewToken": func(ctx context.Context, z *zim.ZIM, srv *zimtest.Server) { z.RenewToken(ctx, srv.Token("bob")) },
		"Logout":     func(ctx context.Context, z *zim.ZIM, _ *zimtest.Server) { z.Logout(ctx, nil) },
		"Destroy":    func(_ context.Context, z *zim.ZIM, _ *zimtest.Server) { z.Destroy() },
		"On and Off": func(_ context.Context, z *zim.ZIM, _ *zimtest.Server) {
			zim.Off[*zim.PeerMessageReceived](z)
			zim.On(z, func(context.Context, zim.Event) {})
		},
	}
	handlers := map[string]func(z *zim.ZIM, call func(context.Context)){
		"ConnectionStateChanged": func(z *zim.ZIM, call func(context.Context)) {
			zim.On(z, func(ctx context.Context, _ *zim.ConnectionStateChanged) { call(ctx) })
		},
		"TokenWillExpire": func(z *zim.ZIM, call func(context.Context)) {
			zim.On(z, func(ctx context.Context, _ *zim.TokenWillExpire) { call(ctx) })
		},
		"PeerMessageReceived": func(z *zim.ZIM, call func(context.Context)) {
			zim.On(z, func(ctx context.Context, _ *zim.PeerMessageReceived) { call(ctx) })
		},
		"MessageSentStatusChanged": func(z *zim.ZIM, call func(context.Context)) {
			zim.On(z, func(ctx context.Context, _ *zim.MessageSentStatusChanged) { call(ctx) })
		},
		"Event": func(z *zim.ZIM, call func(context.Context)) {
			zim.On(z, func(ctx context.Context, _ zim.Event) { call(ctx) })
		},
	}
	for handler, on := range handlers {
		for name, call := range calls {
			t.Run(handler+"/"+name, func(t *testing.T) {
				onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
					alice, bob := newFastZIM(t, dialer), newFastZIM(t, dialer)
					srv.Register("carol")
					login(t, srv, alice, "alice")
					called := 0
					on(bob, func(ctx context.Context) {
						if called++; called <= 20 {
							call(ctx, bob, srv)
						}
					})
					bob.Login(t.Context(), "bob", &zim.LoginConfig{Token: srv.TokenFor("bob", time.Minute)})
					srv.Register("bob")
					if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil); err != nil {
						t.Error(err)
					}
					bob.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("carol"), nil)
					time.Sleep(10 * time.Second)
					srv.Cut("bob")
					time.Sleep(2 * time.Minute)
					bob.Destroy()
					if called == 0 {
						t.Error("the handler was not called")
					}
				})
			})
		}
	}
}

// Destroy does not wait for the network, and whoever waits for it learns why.
func TestDestroyDuringDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZIM(t, hangingDialer{})
		result := make(chan error, 1)
		go func() { result <- z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}) }()
		synctest.Wait()
		start := time.Now()
		z.Destroy()
		if err := <-result; zim.CodeOf(err) != zim.ErrCommonNotInit {
			t.Errorf("Login: %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestLogoutDuringDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZIM(t, hangingDialer{})
		seen := states(z)
		result := make(chan error, 1)
		go func() { result <- z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}) }()
		synctest.Wait()
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); zim.CodeOf(err) != zim.ErrNetworkUserHasAlreadyLogged {
			t.Errorf("a second Login: %v", err)
		}
		if err := z.Logout(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if err := <-result; zim.CodeOf(err) != zim.ErrNetworkUserHasAlreadyLoggedOut {
			t.Errorf("Login: %v", err)
		}
		wantStates(t, seen, "1,1", "0,0")
	})
}

// A Login gives up after 30 seconds, or when its context ends.
func TestLoginTimeout(t *testing.T) {
	tests := map[string]struct {
		dialer transport.Dialer
		limit  time.Duration
		code   zim.Code
		event  string
		took   time.Duration
	}{
		"no answer":  {hangingDialer{}, time.Hour, zim.ErrNetworkRequestTimeout, "0,2", 30 * time.Second},
		"no network": {&gatedDialer{closed: true}, time.Hour, zim.ErrNetworkNetworkError, "0,3", 30 * time.Second},
		"deadline":   {hangingDialer{}, 3 * time.Second, zim.ErrCanceled, "0,2", 3 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := newZIM(t, test.dialer)
				seen := states(z)
				ctx, cancel := context.WithTimeout(t.Context(), test.limit)
				defer cancel()
				start := time.Now()
				err := z.Login(ctx, "alice", &zim.LoginConfig{Token: "04"})
				if zim.CodeOf(err) != test.code {
					t.Errorf("got %v, want %v", err, test.code)
				}
				if took := time.Since(start); took != test.took {
					t.Errorf("it took %v, want %v", took, test.took)
				}
				wantStates(t, seen, "1,1", test.event)
			})
		})
	}
}

// A dialer that can never work is no reason to try for 30 seconds.
func TestMisconfiguredDialer(t *testing.T) {
	for name, dialer := range map[string]transport.Dialer{
		"plaintext": websocket.Dialer{URL: "ws://im.example.com/v1"},
		"scheme":    websocket.Dialer{URL: "https://im.example.com/v1"},
		"no URL":    websocket.Dialer{},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := newZIM(t, dialer)
				seen, start := states(z), time.Now()
				err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"})
				if !errors.Is(err, transport.ErrMisconfigured) || zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("it took %v", took)
				}
				wantStates(t, seen, "1,1", "0,3")
			})
		})
	}
}

// A hangingDialer never gets through.
type hangingDialer struct{}

func (hangingDialer) Dial(ctx context.Context) (transport.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A thousand times in and out leave nothing behind: the bubble would not end.
func TestManyLogins(t *testing.T) {
	options := &zimtest.Options{App: func(a *backend.App) { a.Limits.LoginRate = -1 }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		z := newZIM(t, dialer)
		seen := states(z)
		for i := range 1000 {
			login(t, srv, z, "alice")
			if err := z.Logout(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			// The backend closes the connection after the goodbye, which is no loss.
			synctest.Wait()
			if got := fmt.Sprint(*seen); got != "[1,1 2,0 0,0]" {
				t.Fatalf("round %d: states %v", i, got)
			}
			*seen = (*seen)[:0]
		}
	})
}

// Hundreds of ZIMs in one process are as many independent users.
func TestManyZIMs(t *testing.T) {
	const users = 300
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		zims, inboxes := make([]*zim.ZIM, users), make([]*inbox, users)
		for i := range zims {
			zims[i] = newZIM(t, dialer)
			inboxes[i] = newInbox(zims[i])
			login(t, srv, zims[i], fmt.Sprint("user", i))
		}
		var wg sync.WaitGroup
		for i, z := range zims {
			wg.Go(func() {
				for _, step := range []int{1, 7, 100} {
					to := zim.Peer(fmt.Sprint("user", (i+step)%users))
					if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i)}, to, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		zims[0].Destroy()
		time.Sleep(time.Minute)
		for i, in := range inboxes[1:] {
			if got := len(in.texts()); got != 3 {
				t.Errorf("user %d got %d messages, want 3", i+1, got)
			}
			if got := zims[i+1].ConnectionState(); got != zim.ConnectionStateConnected {
				t.Errorf("user %d is %v", i+1, got)
			}
		}
	})
}

// The backend takes a user for online until 30 seconds after a Destroy, and no longer than a Logout takes.
func TestPresence(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		online := func() bool { return srv.Backend().UserOnline(zimtest.AppID, "alice") }
		z := newZIM(t, dialer)
		login(t, srv, z, "alice")
		if !online() {
			t.Error("not online after the login")
		}
		z.Destroy()
		time.Sleep(29 * time.Second)
		if !online() {
			t.Error("not online 29 s after Destroy")
		}
		time.Sleep(2 * time.Second)
		if online() {
			t.Error("online 31 s after Destroy")
		}
		z = newZIM(t, dialer)
		login(t, srv, z, "alice")
		if err := z.Logout(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if online() {
			t.Error("online after Logout")
		}
	})
}

// The documented singleton can be made once, until it is destroyed.
func TestSingleton(t *testing.T) {
	config := zim.AppConfig{AppID: 1, Transport: hangingDialer{}}
	if zim.GetInstance() != nil {
		t.Fatal("there is an instance before Create")
	}
	z, err := zim.Create(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zim.Create(config); !errors.Is(err, zim.ErrAlreadyCreated) {
		t.Errorf("a second Create: %v", err)
	}
	if zim.GetInstance() != z {
		t.Error("GetInstance returns something else")
	}
	z.Destroy()
	z.Destroy()
	if zim.GetInstance() != nil {
		t.Error("there is an instance after Destroy")
	}
	if z, err = zim.Create(config); err != nil {
		t.Fatal(err)
	}
	z.Destroy()
}
