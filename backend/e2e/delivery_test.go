package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// An inbox collects what a user receives.
type inbox struct {
	mu       sync.Mutex
	messages []*zim.Message
	offline  []bool
}

func newInbox(z *zim.ZIM) *inbox {
	in := new(inbox)
	zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
		in.mu.Lock()
		defer in.mu.Unlock()
		for _, m := range e.Messages {
			in.messages = append(in.messages, m)
			in.offline = append(in.offline, e.Info.IsOfflineMessage)
		}
	})
	return in
}

func (in *inbox) texts() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var list []string
	for _, m := range in.messages {
		list = append(list, m.Content.(*zim.TextMessage).Message)
	}
	return list
}

// unlimited lets clients send as fast as they can.
func unlimited(a *backend.App) { a.Limits.SendRate = -1 }

func newFastZIM(t *testing.T, dialer transport.Dialer) *zim.ZIM {
	t.Helper()
	z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	return z
}

// Messages that are sent while the connection is away wait for it, and arrive in the order in which they were sent.
func TestSendsWaitForTheConnection(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := newZIM(t, dialer), newZIM(t, dialer)
		in := newInbox(bob)
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")
		srv.Stop()
		synctest.Wait()
		if got := alice.ConnectionState(); got != zim.ConnectionStateReconnecting {
			t.Fatalf("state %v", got)
		}
		var want []string
		var wg sync.WaitGroup
		for i := range 10 {
			text := fmt.Sprint("message ", i)
			want = append(want, text)
			wg.Go(func() {
				if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: text}, zim.Peer("bob"), nil); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // the next one comes after this one
		}
		time.Sleep(5 * time.Second)
		srv.Start()
		wg.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := in.texts(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("bob got %v, want %v", got, want)
		}
	})
}

// What waits longer than the window fails, and says whether it may have been stored.
func TestSendsGiveUp(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice := newZIM(t, dialer)
		srv.Register("bob")
		login(t, srv, alice, "alice")
		srv.Stop()
		synctest.Wait()
		start := time.Now()
		m, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil)
		if !errors.Is(err, zim.ErrNetworkNetworkError) || errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("got %v, want a refusal for want of a network", err)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("it took %v, want 30s", took)
		}
		if m == nil || m.SentStatus != zim.MessageSentStatusFailed {
			t.Fatalf("got %+v, want a failed message", m)
		}
		if _, err := alice.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("now")}, zim.Peer("bob"), nil); !errors.Is(err, zim.ErrNetworkNetworkError) {
			t.Errorf("a command without a connection: %v", err)
		}

		srv.Start()
		time.Sleep(time.Minute)
		again, err := alice.SendMessage(t.Context(), m.Content, m.Conversation, &zim.MessageSendConfig{Retry: m})
		if err != nil {
			t.Fatal(err)
		}
		if again.LocalID != m.LocalID || again.Seq != 1 {
			t.Errorf("the retry became %+v", again)
		}
		if _, err := alice.SendMessage(t.Context(), m.Content, m.Conversation, &zim.MessageSendConfig{Retry: again}); zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
			t.Errorf("retry of a message that did not fail: %v", err)
		}
		twice, err := alice.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m})
		if err != nil || twice.ID != again.ID || twice.Seq != 1 {
			t.Errorf("a second retry became %+v, %v, want the first one's", twice, err)
		}
	})
}

// A user who was away gets what came meanwhile, once, marked as such; a new run of the same device goes on where the last
// one stopped.
func TestOfflineBacklog(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice := newFastZIM(t, dialer)
		login(t, srv, alice, "alice")
		send := func(text string) {
			t.Helper()
			time.Sleep(time.Second)
			if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: text}, zim.Peer("bob"), nil); err != nil {
				t.Fatal(err)
			}
		}
		srv.Register("bob")
		send("before the first login")

		first := newZIM(t, dialer)
		in := newInbox(first)
		login(t, srv, first, "bob")
		send("online")
		time.Sleep(time.Second)
		if got := fmt.Sprint(in.texts(), in.offline); got != "[before the first login online] [true false]" {
			t.Errorf("first run got %v", got)
		}
		first.Destroy()
		for i := range 150 {
			send(fmt.Sprint("away ", i))
		}

		second := newZIM(t, dialer)
		in = newInbox(second)
		login(t, srv, second, "bob")
		synctest.Wait()
		texts := in.texts()
		if len(texts) != 150 || texts[0] != "away 0" || texts[149] != "away 149" {
			t.Errorf("second run got %d messages: %v", len(texts), texts)
		}
		for i, offline := range in.offline {
			if !offline {
				t.Errorf("message %d is not marked as offline", i)
			}
		}
		if err := second.Logout(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		third := newZIM(t, dialer)
		in = newInbox(third)
		login(t, srv, third, "bob")
		synctest.Wait()
		if got := in.texts(); len(got) != 0 {
			t.Errorf("third run got %v again", got)
		}
	})
}

// A handler that blocks for a minute while a thousand messages a second come loses none of them, and keeps the connection.
func TestSlowHandler(t *testing.T) {
	perSecond, seconds := 1000, 60
	if raceEnabled {
		perSecond = 100 // the same minute, with fewer messages in it
	}
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := newFastZIM(t, dialer), newZIM(t, dialer)
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
		var states []zim.ConnectionState
		zim.On(bob, func(_ context.Context, e *zim.ConnectionStateChanged) { states = append(states, e.State) })
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")
		synctest.Wait()
		for range seconds {
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					for range perSecond / 10 {
						if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Second)
		}
		close(release)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := next-1, int64(perSecond*seconds); got != want {
			t.Errorf("handled %d messages, want %d", got, want)
		}
		if len(states) != 2 {
			t.Errorf("states %v: the connection was not kept", states)
		}
	})
}

// Commands are for those who are there: they are not stored, and there is no backlog of them.
func TestCommands(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := newZIM(t, dialer), newZIM(t, dialer)
		login(t, srv, alice, "alice")
		srv.Register("bob")
		if m, err := alice.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("nobody hears")}, zim.Peer("bob"), nil); err != nil || m.Seq != 0 || m.ID == "" {
			t.Errorf("to a user who is away: %+v, %v", m, err)
		}
		if _, err := alice.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("x")}, zim.Peer("nobody"), nil); zim.CodeOf(err) != zim.ErrMessageTargetDoesNotExist {
			t.Errorf("to a user who does not exist: %v", err)
		}
		in := newInbox(bob)
		login(t, srv, bob, "bob")
		if _, err := alice.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte{0, 1, 255}}, zim.Peer("bob"), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(in.messages) != 1 || string(in.messages[0].Content.(*zim.CommandMessage).Message) != "\x00\x01\xff" || in.offline[0] {
			t.Errorf("bob got %+v", in.messages)
		}
	})
}

// A custom message arrives as it was sent, to the last field.
func TestCustomMessage(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := newZIM(t, dialer), newZIM(t, dialer)
		in := newInbox(bob)
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")
		want := zim.CustomMessage{Message: "{}", SubType: 200, SearchedContent: "poll"}
		sent, err := alice.SendMessage(t.Context(), &want, zim.Peer("bob"), &zim.MessageSendConfig{Priority: zim.MessagePriorityHigh})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(in.messages) != 1 || *in.messages[0].Content.(*zim.CustomMessage) != want || in.messages[0].Priority != zim.MessagePriorityHigh {
			t.Errorf("bob got %+v", in.messages)
		}
		if !in.messages[0].Time.Equal(sent.Time) || in.messages[0].OrderKey != sent.OrderKey {
			t.Errorf("bob got %+v, alice sent %+v", in.messages[0], sent)
		}
	})
}

// Devices of one user see what was sent from another one.
func TestOtherDevices(t *testing.T) {
	options := &zimtest.Options{App: func(a *backend.App) { a.Devices = backend.MultiDevice }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		phone, desk, bob := newZIM(t, dialer), newZIM(t, dialer), newZIM(t, dialer)
		in, at := newInbox(bob), newInbox(desk)
		login(t, srv, phone, "alice")
		login(t, srv, desk, "alice")
		login(t, srv, bob, "bob")
		sent, err := phone.SendMessage(t.Context(), &zim.TextMessage{Message: "from the phone"}, zim.Peer("bob"), nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(in.messages) != 1 || in.messages[0].LocalID != "" {
			t.Errorf("bob got %+v", in.messages)
		}
		if len(at.messages) != 1 {
			t.Fatalf("the desk got %+v", at.messages)
		}
		m := at.messages[0]
		if m.Direction != zim.MessageDirectionSend || m.Sender != "alice" || m.Conversation != zim.Peer("bob") || m.LocalID != sent.LocalID {
			t.Errorf("the desk got %+v", m)
		}
	})
}

// A send whose context ends is reported as unknown if it was on its way, and corrected when its acknowledgment comes.
func TestCanceledSend(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice := newZIM(t, dialer)
		srv.Register("bob")
		login(t, srv, alice, "alice")
		srv.Stop()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m, err := alice.SendMessage(ctx, &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, zim.ErrOutcomeUnknown) || zim.CodeOf(err) != zim.ErrCanceled {
			t.Errorf("got %v, want canceled and not sent", err)
		}
		if m == nil {
			t.Error("the message did not come with the error")
		}
		srv.Start()
		time.Sleep(time.Minute)
		bob := newZIM(t, dialer)
		in := newInbox(bob)
		login(t, srv, bob, "bob")
		synctest.Wait()
		if got := in.texts(); len(got) != 0 {
			t.Errorf("bob got %v although the send was canceled", got)
		}
	})
}

// A positionDialer keeps the feed position of the last login.
type positionDialer struct {
	transport.Dialer
	last atomic.Uint64
}

func (d *positionDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &positionConn{c.(transport.Pipeline), d}, nil
}

type positionConn struct {
	transport.Pipeline
	d *positionDialer
}

func (c *positionConn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	if l := req.GetLogin(); l != nil {
		c.d.last.Store(l.GetPosition().GetSeq())
	}
	return c.Pipeline.RoundTrip(ctx, req)
}

// However much comes while a handler blocks, the client takes no more than its queue holds; the rest stays at the
// backend.
func TestQueueBound(t *testing.T) {
	for _, bound := range []int{1, 10, 1024} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := zimtest.NewServer(t, &zimtest.Options{App: unlimited})
				alice := newFastZIM(t, srv.InProcess())
				login(t, srv, alice, "alice")
				dialer := &positionDialer{Dialer: srv.WebSocket()}
				bob, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, EventBuffer: bound})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(bob.Destroy)
				in := newInbox(bob)
				release := make(chan struct{})
				zim.On(bob, func(context.Context, *zim.ConnectionStateChanged) { <-release })
				login(t, srv, bob, "bob")
				const messages = 3000
				for range messages {
					if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil); err != nil {
						t.Fatal(err)
					}
				}
				srv.Cut("bob")
				time.Sleep(time.Minute)
				if got := dialer.last.Load(); got > uint64(bound) {
					t.Errorf("the client had taken %d messages, its queue holds %d", got, bound)
				}
				close(release)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := len(in.texts()); got != messages {
					t.Errorf("got %d messages, want %d", got, messages)
				}
			})
		})
	}
}
