package zimtest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everywhere runs a test in a bubble and without one. settle waits until nothing happens any more.
func everywhere(t *testing.T, f func(t *testing.T, settle func(done func() bool))) {
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f(t, func(func() bool) {
				time.Sleep(time.Minute)
				synctest.Wait()
			})
		})
	})
	t.Run("real time", func(t *testing.T) {
		f(t, func(done func() bool) {
			deadline := time.After(30 * time.Second)
			for !done() {
				select {
				case <-deadline:
					t.Fatal("it did not happen within 30 s")
				case <-time.After(time.Millisecond):
				}
			}
		})
	})
}

// newZIM returns a ZIM over a transport, and the changes of its connection.
func newZIM(t *testing.T, srv *zimtest.Server, name string) (z *zim.ZIM, changes func() []string) {
	t.Helper()
	z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: srv.Transports()[name]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	var mu sync.Mutex
	var list []string
	zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, fmt.Sprintf("%d,%d", e.State, e.Event))
	})
	return z, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

func TestNewServer(t *testing.T) {
	everywhere(t, func(t *testing.T, settle func(func() bool)) {
		srv := zimtest.NewServer(t, nil)
		alice := srv.Login(t, "alice")
		srv.Register("bob", "carol")
		for _, to := range []string{"bob", "carol"} {
			if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer(to), nil); err != nil {
				t.Errorf("to %s: %v", to, err)
			}
		}
		if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("dave"), nil); zim.CodeOf(err) != zim.ErrMessageTargetDoesNotExist {
			t.Errorf("to somebody who was not registered: got %v, want %v", err, zim.ErrMessageTargetDoesNotExist)
		}
		// Two servers in a test don't know of each other.
		other := zimtest.NewServer(t, nil)
		if _, err := other.Login(t, "alice").SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil); zim.CodeOf(err) != zim.ErrMessageTargetDoesNotExist {
			t.Errorf("on another server: got %v, want %v", err, zim.ErrMessageTargetDoesNotExist)
		}
	})
}

func TestOptions(t *testing.T) {
	everywhere(t, func(t *testing.T, settle func(func() bool)) {
		srv := zimtest.NewServer(t, &zimtest.Options{
			App:    func(a *backend.App) { a.Devices = backend.MultiDevice },
			Config: func(c *backend.Config) { c.Grace = time.Millisecond },
		})
		first, second := srv.Login(t, "alice"), srv.Login(t, "alice")
		settle(func() bool { return true })
		for i, z := range []*zim.ZIM{first, second} {
			if got := z.ConnectionState(); got != zim.ConnectionStateConnected {
				t.Errorf("device %d is %v, want it connected", i, got)
			}
			z.Destroy()
		}
		settle(func() bool { return !srv.Backend().UserOnline(zimtest.AppID, "alice") })
		if srv.Backend().UserOnline(zimtest.AppID, "alice") {
			t.Error("alice is online beyond the grace of a millisecond")
		}
	})
}

func TestCut(t *testing.T) {
	everywhere(t, func(t *testing.T, settle func(func() bool)) {
		srv := zimtest.NewServer(t, nil)
		for name := range srv.Transports() {
			z, changes := newZIM(t, srv, name)
			if n := srv.Cut(name); n != 0 {
				t.Errorf("%s: cut %d connections before the login, want 0", name, n)
			}
			if err := z.Login(t.Context(), name, &zim.LoginConfig{Token: srv.Token(name)}); err != nil {
				t.Fatal(err)
			}
			if n := srv.Cut(name); n != 1 {
				t.Errorf("%s: cut %d connections, want 1", name, n)
			}
			settle(func() bool { return len(changes()) >= 4 })
			if got, want := changes(), []string{"1,1", "2,0", "3,3", "2,0"}; !slices.Equal(got, want) {
				t.Errorf("%s: got the states %v, want %v", name, got, want)
			}
		}
	})
}

func TestKick(t *testing.T) {
	everywhere(t, func(t *testing.T, settle func(func() bool)) {
		srv := zimtest.NewServer(t, nil)
		srv.Kick("nobody")
		for name := range srv.Transports() {
			z, changes := newZIM(t, srv, name)
			if err := z.Login(t.Context(), name, &zim.LoginConfig{Token: srv.Token(name)}); err != nil {
				t.Fatal(err)
			}
			srv.Kick(name)
			settle(func() bool { return len(changes()) >= 3 })
			if got, want := changes(), []string{"1,1", "2,0", "0,4"}; !slices.Equal(got, want) {
				t.Errorf("%s: got the states %v, want %v", name, got, want)
			}
			if err := z.Login(t.Context(), name, &zim.LoginConfig{Token: srv.Token(name)}); err != nil {
				t.Errorf("%s: a login after the kick: %v", name, err)
			}
		}
	})
}

func TestRestart(t *testing.T) {
	everywhere(t, func(t *testing.T, settle func(func() bool)) {
		srv := zimtest.NewServer(t, nil)
		for name := range srv.Transports() {
			z, changes := newZIM(t, srv, name)
			if err := z.Login(t.Context(), name, &zim.LoginConfig{Token: srv.Token(name)}); err != nil {
				t.Fatal(err)
			}
			srv.Register("bob")
			for i, stop := range []func(){func() {}, srv.Restart, func() { srv.Stop(); srv.Start() }} {
				before := srv.Backend()
				stop()
				settle(func() bool { return len(changes()) >= 2+2*i })
				if after := srv.Backend(); (after != before) != (i > 0) {
					t.Errorf("%s: is the backend another one: %v", name, after != before)
				}
				m, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil)
				if err != nil {
					t.Fatal(err)
				}
				if m.Seq != int64(i+1) {
					t.Errorf("%s: got message %d, want %d: what was stored stays", name, m.Seq, i+1)
				}
			}
		}
	})
}

func TestStop(t *testing.T) {
	everywhere(t, func(t *testing.T, settle func(func() bool)) {
		srv := zimtest.NewServer(t, nil)
		srv.Stop()
		if b := srv.Backend(); b != nil {
			t.Errorf("got the backend %v, want none", b)
		}
		for name, dialer := range srv.Transports() {
			if conn, err := dialer.Dial(t.Context()); err == nil {
				conn.Close()
				t.Errorf("%s: dialing succeeded", name)
			}
		}
		if n := srv.Cut("alice"); n != 0 {
			t.Errorf("cut %d connections, want 0", n)
		}
		srv.Start()
		srv.Login(t, "alice")
	})
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		z, changes := newZIM(t, srv, "inproc")
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.TokenFor("alice", time.Minute)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := changes(), []string{"1,1", "2,0", "0,5"}; !slices.Equal(got, want) {
			t.Errorf("got the states %v, want %v", got, want)
		}
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.Token("bob")}); zim.CodeOf(err) != zim.ErrNetworkTokenInvalid {
			t.Errorf("with bob's token: got %v, want %v", err, zim.ErrNetworkTokenInvalid)
		}
	})
}
