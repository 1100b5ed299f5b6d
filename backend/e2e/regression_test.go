package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// A session ends with its token also if its connection was lost and found again shortly before.
func TestTokenEndsAfterReconnect(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		z := newZIM(t, dialer)
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.TokenFor("alice", time.Minute)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second)
		srv.Cut("alice")
		time.Sleep(10 * time.Second)
		if got := z.ConnectionState(); got != zim.ConnectionStateConnected {
			t.Errorf("10 s before the end: %v", got)
		}
		time.Sleep(11 * time.Second)
		if got := z.ConnectionState(); got != zim.ConnectionStateDisconnected {
			t.Errorf("after the end: %v", got)
		}
	})
}

// What waits for a slow handler is not received again when its user comes back after another one.
func TestUsersTakeTurns(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		z, bob := newZIM(t, dialer), newFastZIM(t, dialer)
		in := newInbox(z)
		release := make(chan struct{})
		zim.On(z, func(context.Context, *zim.ConnectionStateChanged) { <-release })
		login(t, srv, bob, "bob")
		login(t, srv, z, "alice")
		for i := range 3 {
			if _, err := bob.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i)}, zim.Peer("alice"), nil); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for _, user := range []string{"carol", "alice"} {
			if err := z.Logout(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			login(t, srv, z, user)
		}
		close(release)
		time.Sleep(time.Minute)
		if got := fmt.Sprint(in.texts()); got != "[0 1 2]" {
			t.Errorf("got %v", got)
		}
		z.Destroy()
		next := newZIM(t, dialer)
		in = newInbox(next)
		login(t, srv, next, "alice")
		synctest.Wait()
		if got := in.texts(); len(got) != 0 {
			t.Errorf("the next run got %v again", got)
		}
	})
}

// A device does not receive what it sent itself.
func TestNoEchoOfOwnMessages(t *testing.T) {
	options := &zimtest.Options{App: func(a *backend.App) { a.Devices = backend.MultiDevice }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		z := newZIM(t, dialer)
		in := newInbox(z)
		login(t, srv, z, "alice")
		for range 3 {
			if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil); err != nil {
				t.Fatal(err)
			}
			srv.Cut("alice")
			time.Sleep(time.Minute)
		}
		if got := in.texts(); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
}

// A bot that restarts often is one device, and evicts nobody who is there.
func TestRestartsAreNoDevices(t *testing.T) {
	options := &zimtest.Options{App: func(a *backend.App) { a.Devices = backend.MultiDevice }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		desk := newZIM(t, dialer)
		login(t, srv, desk, "alice")
		for range 25 {
			bot := newZIM(t, dialer)
			login(t, srv, bot, "alice")
			bot.Destroy()
			time.Sleep(time.Minute)
		}
		if got := desk.ConnectionState(); got != zim.ConnectionStateConnected {
			t.Errorf("the desk is %v", got)
		}
	})
}

// Many large messages at once are no more than a receiver takes at once.
func TestLargeMessages(t *testing.T) {
	const size, messages = 32 << 10, 60
	options := &zimtest.Options{App: func(a *backend.App) {
		unlimited(a)
		a.Limits.TextSize = size
	}}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, Limits: zim.Limits{SendRate: -1, TextSize: size}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(alice.Destroy)
		bob := newZIM(t, dialer)
		in, seen := newInbox(bob), states(bob)
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")
		var wg sync.WaitGroup
		for range messages {
			wg.Go(func() {
				if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: strings.Repeat("x", size)}, zim.Peer("bob"), nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		if got := len(in.texts()); got != messages {
			t.Errorf("got %d messages, want %d", got, messages)
		}
		wantStates(t, seen, "1,1", "2,0")
	})
}

// Two devices that log in at the same moment are two devices all the same: one of them is evicted.
func TestSimultaneousLogins(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		const devices = 5
		var zims []*zim.ZIM
		var wg sync.WaitGroup
		for range devices {
			z := newZIM(t, dialer)
			zims = append(zims, z)
			// One of those that are evicted at once may see that instead of its login.
			wg.Go(func() { z.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.Token("alice")}) })
		}
		wg.Wait()
		synctest.Wait()
		online := 0
		for _, z := range zims {
			if z.ConnectionState() == zim.ConnectionStateConnected {
				online++
			}
		}
		if online != 1 {
			t.Errorf("%d devices are online, want 1", online)
		}
	})
}

// Who is kicked is not online any more, whatever becomes of the connection.
func TestKickedIsOffline(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		z := newZIM(t, dialer)
		login(t, srv, z, "alice")
		srv.Kick("alice")
		if srv.Backend().UserOnline(zimtest.AppID, "alice") {
			t.Error("still online")
		}
	})
}
