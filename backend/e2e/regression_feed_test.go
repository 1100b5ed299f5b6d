package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/websocket"
	"github.com/zim-go/zim/wire"
)

// What is handled after a second login counts: the next run does not get it again.
func TestHandledAfterRelogin(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		bob, first := newZIM(t, dialer), newZIM(t, dialer)
		release := make(chan struct{})
		zim.On(first, func(context.Context, *zim.PeerMessageReceived) { <-release })
		in := newInbox(first)
		login(t, srv, bob, "bob")
		login(t, srv, first, "alice")
		for i := range 5 {
			if _, err := bob.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i)}, zim.Peer("alice"), nil); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		srv.Kick("alice")
		synctest.Wait()
		login(t, srv, first, "alice")
		close(release)
		time.Sleep(time.Minute)
		if got, want := fmt.Sprint(in.texts()), "[0 1 2 3 4]"; got != want {
			t.Errorf("the first run got %v, want %v", got, want)
		}
		first.Destroy()
		second := newZIM(t, dialer)
		in = newInbox(second)
		login(t, srv, second, "alice")
		time.Sleep(time.Minute)
		if got := in.texts(); len(got) != 0 {
			t.Errorf("the second run got %v, want nothing", got)
		}
	})
}

// What is handled of a store that was replaced says nothing of the new one: a crash loses none of its messages.
func TestHandledOfReplacedStore(t *testing.T) {
	for _, name := range []string{"inproc", "websocket"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := zimtest.NewServer(t, nil), zimtest.NewServer(t, nil)
				send := func(from *zim.ZIM, text string) {
					t.Helper()
					if _, err := from.SendMessage(t.Context(), &zim.TextMessage{Message: text}, zim.Peer("alice"), nil); err != nil {
						t.Fatal(err)
					}
				}
				dialer := &gatedDialer{Dialer: one.Transports()[name]}
				first := newZIM(t, dialer)
				releaseOld, releaseNew := make(chan struct{}), make(chan struct{})
				handled := 0
				zim.On(first, func(_ context.Context, e *zim.PeerMessageReceived) {
					if strings.HasPrefix(e.Messages[0].Content.(*zim.TextMessage).Message, "new") {
						<-releaseNew
						return
					}
					<-releaseOld
					handled += len(e.Messages)
				})
				login(t, one, first, "alice")
				bob := one.Login(t, "bob")
				for i := range 8 {
					send(bob, fmt.Sprint("old ", i))
				}
				synctest.Wait()
				two.Register("alice")
				bob = two.Login(t, "bob")
				for i := range 3 {
					send(bob, fmt.Sprint("new ", i))
				}
				dialer.Dialer = two.Transports()[name]
				one.Cut("alice")
				time.Sleep(5 * time.Second)
				close(releaseOld)
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if handled != 8 {
					t.Errorf("handled %d old messages, want 8", handled)
				}
				first.Destroy()
				close(releaseNew)
				second := newZIM(t, dialer)
				in := newInbox(second)
				login(t, two, second, "alice")
				time.Sleep(time.Minute)
				if got, want := fmt.Sprint(in.texts()), "[new 0 new 1 new 2]"; got != want {
					t.Errorf("the second run got %v, want %v", got, want)
				}
			})
		})
	}
}

// However close together they come, a later login evicts the earlier one.
func TestLoginsInOneTransaction(t *testing.T) {
	hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
		for user, dialer := range h.srv.Transports() {
			zims := []*zim.ZIM{newZIM(t, dialer), newZIM(t, dialer)}
			release := h.hold(t)
			for _, z := range zims {
				// The first may see its eviction before its login.
				go z.Login(t.Context(), user, &zim.LoginConfig{Token: h.srv.Token(user)})
				synctest.Wait()
			}
			release()
			synctest.Wait()
			for i, want := range []zim.ConnectionState{zim.ConnectionStateDisconnected, zim.ConnectionStateConnected} {
				if got := zims[i].ConnectionState(); got != want {
					t.Errorf("%s, login %d: got %v, want %v", user, i, got, want)
				}
			}
		}
	})
}

// A kick reaches also the login just before it.
func TestKickRightAfterLogin(t *testing.T) {
	hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
		for user, dialer := range h.srv.Transports() {
			z := newZIM(t, dialer)
			release := h.hold(t)
			go z.Login(t.Context(), user, &zim.LoginConfig{Token: h.srv.Token(user)})
			synctest.Wait()
			go h.srv.Kick(user)
			synctest.Wait()
			release()
			synctest.Wait()
			if got, want := z.ConnectionState(), zim.ConnectionStateDisconnected; got != want {
				t.Errorf("%s: got %v, want %v", user, got, want)
			}
			if h.srv.Backend().UserOnline(zimtest.AppID, user) {
				t.Errorf("%s: got online, want offline", user)
			}
		}
	})
}

// Another login does not bring another quota of messages.
func TestSendRateAcrossLogins(t *testing.T) {
	onEach(t, &zimtest.Options{App: func(a *backend.App) { a.Limits.SendBurst = 10 }}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		alice := newFastZIM(t, dialer)
		passed := 0
		for range 3 {
			login(t, srv, alice, "alice")
			for range 15 {
				_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
				if err == nil {
					passed++
				} else if zim.CodeOf(err) != zim.ErrCommonTriggerServerFrequencyLimit {
					t.Errorf("got %v, want %v", err, zim.ErrCommonTriggerServerFrequencyLimit)
				}
			}
			if err := alice.Logout(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		if passed != 10 {
			t.Errorf("got %d messages through, want 10", passed)
		}
	})
}

// Sends that are refused for their rate cost nothing: a second later there is a whole second's worth again.
func TestRefusedSendsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		srv.Register("bob")
		alice := newZIM(t, srv.InProcess())
		login(t, srv, alice, "alice")
		var passed atomic.Int64
		send := func() {
			_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
			var e *zim.Error
			switch {
			case err == nil:
				passed.Add(1)
			case !errors.As(err, &e) || e.Code != zim.ErrCommonTriggerSDKFrequencyLimit || e.RetryAfter > time.Second:
				t.Errorf("got %v, want %v for at most a second", err, zim.ErrCommonTriggerSDKFrequencyLimit)
			}
		}
		for range 2 {
			passed.Store(0)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					for range 50 {
						send()
					}
				})
			}
			wg.Wait()
			if got := passed.Load(); got != 10 {
				t.Errorf("got %d messages through, want 10", got)
			}
			time.Sleep(time.Second)
		}
	})
}

// A valve stops what a client receives from its network, without breaking the connection.
type valve struct {
	mu   sync.Mutex
	cond *sync.Cond
	shut bool
}

type valveConn struct {
	net.Conn
	v *valve
}

func (c *valveConn) Read(b []byte) (int, error) {
	c.v.mu.Lock()
	for c.v.shut {
		c.v.cond.Wait()
	}
	c.v.mu.Unlock()
	return c.Conn.Read(b)
}

func (v *valve) set(shut bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut = shut
	v.cond.Broadcast()
}

// newValve returns a valve and the dialer of connections that have it.
func newValve(t *testing.T, srv *zimtest.Server) (*valve, transport.Dialer) {
	v := new(valve)
	v.cond = sync.NewCond(&v.mu)
	listener := memnet.Listen()
	web := &http.Server{Handler: srv, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		web.Serve(listener)
	}()
	tr := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := listener.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &valveConn{c, v}, nil
	}}
	t.Cleanup(func() {
		v.set(false)
		tr.CloseIdleConnections()
		web.Close()
		<-served
	})
	return v, websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: &http.Client{Transport: tr}}
}

// Whatever gets lost on the way to a client that can't keep up, it gets every message in the end, once and in order.
func TestCongestedReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, &zimtest.Options{App: unlimited})
		v, dialer := newValve(t, srv)
		alice := newFastZIM(t, srv.InProcess())
		bob, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, EventBuffer: 10})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(bob.Destroy)
		release := make(chan struct{})
		var next int64 = 1
		zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) {
			<-release
			for _, m := range e.Messages {
				if m.Seq != next {
					t.Errorf("got message %d, want %d", m.Seq, next)
				}
				next = m.Seq + 1
			}
		})
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")
		send := func(n, size int) {
			t.Helper()
			for range n {
				if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: strings.Repeat("x", size)}, zim.Peer("bob"), nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		send(20, 10) // more than bob's queue holds
		synctest.Wait()
		v.set(true)
		send(900, 2000) // more than the backend keeps for a connection
		close(release)  // bob asks for what is behind
		time.Sleep(100 * time.Millisecond)
		v.set(false)
		time.Sleep(time.Minute)
		send(5, 10)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := next - 1; got != 925 {
			t.Errorf("got %d messages, want 925", got)
		}
	})
}

// Who receives much while he sends learns that his message was stored.
func TestCongestedSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, &zimtest.Options{App: unlimited})
		v, dialer := newValve(t, srv)
		alice, bob := newFastZIM(t, srv.InProcess()), newZIM(t, dialer)
		in := newInbox(alice)
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")
		v.set(true)
		for range 900 {
			if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: strings.Repeat("x", 2000)}, zim.Peer("bob"), nil); err != nil {
				t.Fatal(err)
			}
		}
		time.AfterFunc(time.Second, func() { v.set(false) })
		if _, err := bob.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("alice"), nil); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		synctest.Wait()
		if got, want := fmt.Sprint(in.texts()), "[hello]"; got != want {
			t.Errorf("alice got %v, want %v", got, want)
		}
	})
}

// A sendDialer hands the messages that are sent to a function, which may take them.
type sendDialer struct {
	transport.Dialer
	send func(conn transport.Pipeline, req *wire.Request, done func(*wire.Response, error)) (taken bool)
}

func (d *sendDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &sendConn{c.(transport.Pipeline), d}, nil
}

type sendConn struct {
	transport.Pipeline
	d *sendDialer
}

func (c *sendConn) Start(req *wire.Request, done func(*wire.Response, error)) {
	if req.GetSendMessage() == nil || !c.d.send(c.Pipeline, req, done) {
		c.Pipeline.Start(req, done)
	}
}

// A retry without a network does not make a message unsent that may be stored; and one that comes through stores no other.
func TestRetryOfUnknownStaysUnknown(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		first := true
		alice := newZIM(t, &sendDialer{dialer, func(conn transport.Pipeline, req *wire.Request, done func(*wire.Response, error)) bool {
			if !first {
				return false
			}
			first = false
			conn.RoundTrip(context.Background(), req)
			go srv.Stop()
			done(nil, transport.ErrClosed)
			return true
		}})
		login(t, srv, alice, "alice")
		m, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
		for range 2 {
			if m == nil || !errors.Is(err, zim.ErrOutcomeUnknown) {
				t.Fatalf("got %v, %v, want a message and %v", m, err, zim.ErrOutcomeUnknown)
			}
			m, err = alice.SendMessage(t.Context(), nil, zim.Peer("bob"), &zim.MessageSendConfig{Retry: m})
		}
		if m == nil || !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Fatalf("got %v, %v, want a message and %v", m, err, zim.ErrOutcomeUnknown)
		}
		srv.Start()
		time.Sleep(time.Minute)
		if m, err = alice.SendMessage(t.Context(), nil, zim.Peer("bob"), &zim.MessageSendConfig{Retry: m}); err != nil || m.Seq != 1 {
			t.Errorf("got %+v, %v, want message 1", m, err)
		}
		bob := newZIM(t, dialer)
		in := newInbox(bob)
		login(t, srv, bob, "bob")
		synctest.Wait()
		if got, want := fmt.Sprint(in.texts()), "[x]"; got != want {
			t.Errorf("bob got %v, want %v", got, want)
		}
	})
}

// A session that is over when a message is sent again does not mean that the message was not stored before.
func TestSessionEndsBetweenTries(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		tries := 0
		alice := newZIM(t, &sendDialer{dialer, func(conn transport.Pipeline, req *wire.Request, done func(*wire.Response, error)) bool {
			if tries++; tries == 1 {
				conn.RoundTrip(context.Background(), req)
				go conn.Close()
				done(nil, transport.ErrClosed)
				return true
			}
			done(&wire.Response{Error: &wire.Error{
				Code: 6000121, SessionEnd: &wire.SessionEnd{Reason: wire.SessionEndReason_SESSION_END_REASON_KICKED_OUT},
			}}, nil)
			return true
		}})
		login(t, srv, alice, "alice")
		if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil); !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("got %v, want %v", err, zim.ErrOutcomeUnknown)
		}
		if tries != 2 {
			t.Errorf("got %d tries, want 2", tries)
		}
		if got, want := alice.ConnectionState(), zim.ConnectionStateDisconnected; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// wantCommands checks how many commands came.
func (in *inbox) wantCommands(t *testing.T, want int) {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	got := 0
	for _, m := range in.messages {
		if m.Content.Type() == zim.MessageTypeCommand {
			got++
		}
	}
	if got != want {
		t.Errorf("got %d commands, want %d", got, want)
	}
}

// A command that could not be sent while there was a connection is not sent on the next one.
func TestCommandDoesNotWait(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		blocked := make(chan struct{})
		first := true // what is sent is started by one goroutine at a time
		alice := newZIM(t, &sendDialer{dialer, func(transport.Pipeline, *wire.Request, func(*wire.Response, error)) bool {
			if first {
				first = false
				<-blocked
			}
			return false
		}})
		bob := newZIM(t, dialer)
		in := newInbox(bob)
		login(t, srv, bob, "bob")
		login(t, srv, alice, "alice")
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "text"}, zim.Peer("bob"), nil); err != nil {
				t.Errorf("the text: got %v, want no error", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			_, err := alice.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("command")}, zim.Peer("bob"), nil)
			if zim.CodeOf(err) != zim.ErrCommonIMServerDisconnect || errors.Is(err, zim.ErrOutcomeUnknown) {
				t.Errorf("the command: got %v, want %v", err, zim.ErrCommonIMServerDisconnect)
			}
		})
		synctest.Wait()
		srv.Restart()
		time.Sleep(10 * time.Second) // alice is back
		close(blocked)
		wg.Wait()
		time.Sleep(time.Minute)
		in.wantCommands(t, 0)
	})
}

// A plainDialer makes connections that perform one request at a time, and the first send loses its answer.
type plainDialer struct {
	transport.Dialer
	lost func() // called when the first message was sent
}

func (d *plainDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &plainConn{c, d}, nil
}

type plainConn struct {
	transport.Conn
	d *plainDialer
}

func (c *plainConn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	resp, err := c.Conn.RoundTrip(ctx, req)
	if lost := c.d.lost; lost != nil && req.GetSendMessage() != nil {
		c.d.lost = nil
		lost()
		return nil, transport.ErrClosed
	}
	return resp, err
}

// A command whose answer got lost is not sent again, also if the connection is back before that is known.
func TestCommandComesOnce(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := newZIM(t, &plainDialer{dialer, func() {
			srv.Cut("alice")
			time.Sleep(2 * time.Second)
		}}), newZIM(t, dialer)
		in := newInbox(bob)
		login(t, srv, bob, "bob")
		login(t, srv, alice, "alice")
		_, err := alice.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("x")}, zim.Peer("bob"), nil)
		if !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("got %v, want %v", err, zim.ErrOutcomeUnknown)
		}
		time.Sleep(time.Minute)
		in.wantCommands(t, 1)
	})
}

// A message that no backend would read is refused at once, and the next one does not suffer for it.
func TestUnreadableMessageIsRefused(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		counting := &countingDialer{Dialer: dialer}
		alice := newZIM(t, counting)
		seen := states(alice)
		login(t, srv, alice, "alice")
		attached, start := 0, time.Now()
		config := &zim.MessageSendConfig{Notification: zim.MessageSendNotification{OnMessageAttached: func(*zim.Message) { attached++ }}}
		m, err := alice.SendMessage(t.Context(), &zim.UnknownMessage{Kind: 99, Data: make([]byte, 70<<10)}, zim.Peer("bob"), config)
		if m != nil || zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
			t.Errorf("got %v, %v, want %v", m, err, zim.ErrCommonParamsInvalid)
		}
		if took := time.Since(start); took != 0 || attached != 0 || counting.sent.Load() != 0 {
			t.Errorf("took %v, attached %d times, sent %d times, want nothing of it", took, attached, counting.sent.Load())
		}
		if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "next"}, zim.Peer("bob"), nil); err != nil {
			t.Errorf("the next message: got %v, want no error", err)
		}
		wantStates(t, seen, "1,1", "2,0")
	})
}
