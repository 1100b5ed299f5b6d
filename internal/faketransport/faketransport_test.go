package faketransport_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/transporttest"
	"github.com/zim-go/zim/wire"
)

// A perDial is a Dialer with a fake for each Conn, which the conformance suite scripts.
type perDial struct {
	tb      testing.TB
	service *transporttest.Service
}

func (d perDial) Dial(ctx context.Context) (transport.Conn, error) {
	ft := faketransport.New(d.tb)
	conn, err := ft.Dial(ctx)
	if err != nil {
		return nil, err
	}
	a := d.service.Attach(transporttest.Link{
		Push: func(push *wire.Push) error {
			ft.PushRaw(push)
			return nil
		},
		Close: ft.Drop,
	})
	ft.OnRequest(func(c *faketransport.Conn, req *wire.Request) *wire.Response {
		a.Handle(req, func(resp *wire.Response) { c.Reply(req, resp) })
		return nil
	})
	return conn, nil
}

func TestConn(t *testing.T) {
	transporttest.TestConn(t, func(tb testing.TB, service *transporttest.Service) transport.Dialer {
		return perDial{tb, service}
	})
}

func login(position *wire.Position) *wire.Request {
	return &wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{UserId: "alice", Position: position}}}
}

func sending(id, to string) *wire.Request {
	m := &wire.SendMessageRequest{LocalMessageId: []byte(id), ConversationId: to}
	return &wire.Request{Body: &wire.Request_SendMessage{SendMessage: m}}
}

func syncing(epoch, after uint64, limit int32) *wire.Request {
	req := &wire.SyncRequest{After: &wire.Position{Epoch: epoch, Seq: after}, Limit: limit}
	return &wire.Request{Body: &wire.Request_Sync{Sync: req}}
}

// dial returns a Conn that is logged in, and what asks on it.
func dial(t *testing.T, ft *faketransport.Transport) (transport.Conn, func(*wire.Request) *wire.Response) {
	t.Helper()
	conn, err := ft.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ask := func(req *wire.Request) *wire.Response {
		t.Helper()
		resp, err := conn.RoundTrip(t.Context(), req)
		if err != nil {
			t.Fatalf("%v: %v", req, err)
		}
		return resp
	}
	if resp := ask(login(nil)); resp.GetLogin() == nil {
		t.Fatalf("login: got %v", resp)
	}
	return conn, ask
}

func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft := faketransport.New(t)
		ft.Store(faketransport.Text("bob", "1"), faketransport.Text("bob", "2"), faketransport.Text("bob", "3"))
		_, ask := dial(t, ft)

		l := ask(login(&wire.Position{Epoch: 1, Seq: 2})).GetLogin()
		if l.TokenTtlMs != 3_600_000 || l.Position.Seq != 2 || l.Last.Epoch != 1 || l.Last.Seq != 3 || l.Reset_ != nil {
			t.Errorf("login: got %v", l)
		}
		for i, want := range []struct {
			req     *wire.Request
			id, seq int64
		}{
			{sending("a", "bob"), 1, 1},
			{sending("b", "carol"), 2, 1},
			{sending("c", "bob"), 3, 2},
			{sending("a", "bob"), 1, 1}, // again
		} {
			if ack := ask(want.req).GetSendMessage(); ack.GetMessageId() != want.id || ack.GetMessageSeq() != want.seq {
				t.Errorf("send %d: got %v, want ID %d and seq %d", i, ack, want.id, want.seq)
			}
		}
		if h := ask(&wire.Request{Body: &wire.Request_Heartbeat{Heartbeat: new(wire.HeartbeatRequest)}}).GetHeartbeat(); h.GetLast().GetSeq() != 3 {
			t.Errorf("heartbeat: got %v, want the last event 3", h)
		}
		if r := ask(&wire.Request{Body: &wire.Request_RenewToken{RenewToken: new(wire.RenewTokenRequest)}}).GetRenewToken(); r.GetTokenTtlMs() == 0 {
			t.Errorf("renewal: got %v", r)
		}
		if r := ask(&wire.Request{Body: &wire.Request_Logout{Logout: new(wire.LogoutRequest)}}); r.GetLogout() == nil {
			t.Errorf("logout: got %v", r)
		}
		if r := ask(new(wire.Request)); r.GetError() == nil {
			t.Errorf("unknown request: got %v", r)
		}
		if r, s := len(ft.Requests()), len(ft.Sends()); r != 10 || s != 4 || len(ft.Logins()) != 2 || ft.Dials() != 1 {
			t.Errorf("got %d requests, %d messages, %d logins and %d dials, want 10, 4, 2 and 1", r, s, len(ft.Logins()), ft.Dials())
		}
	})
}

func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft := faketransport.New(t)
		conn, ask := dial(t, ft)
		ft.Push(faketransport.Text("bob", "1"), faketransport.Text("bob", "2"))
		ft.Store(faketransport.Text("bob", "3"))
		ft.Push(faketransport.Text("bob", "4"))
		for _, want := range []struct{ first, n int }{{1, 2}, {4, 1}} {
			push, err := conn.Receive(t.Context())
			if b := push.GetEvents(); err != nil || b.Epoch != 1 || b.FirstSeq != uint64(want.first) || len(b.Events) != want.n {
				t.Errorf("got %v, %v, want %d events from %d", push, err, want.n, want.first)
			}
		}
		for _, test := range []struct {
			epoch, after uint64
			limit        int32
			first, n     int
			reset        wire.FeedResetReason
		}{
			{1, 0, 0, 1, 4, 0},
			{1, 0, 3, 1, 3, 0},
			{1, 3, 3, 4, 1, 0},
			{1, 4, 3, 0, 0, 0},
			{1, 5, 3, 0, 0, wire.FeedResetReason_FEED_RESET_REASON_FUTURE},
			{9, 2, 0, 1, 4, wire.FeedResetReason_FEED_RESET_REASON_EPOCH},
		} {
			got := ask(syncing(test.epoch, test.after, test.limit)).GetSync()
			if got.GetEvents().GetFirstSeq() != uint64(test.first) || len(got.GetEvents().GetEvents()) != test.n ||
				got.GetLast().GetSeq() != 4 || got.GetReset_().GetReason() != test.reset {
				t.Errorf("after %d of epoch %d: got %v", test.after, test.epoch, got)
			}
		}
		ft.Replace()
		if l := ask(login(&wire.Position{Epoch: 1, Seq: 4})).GetLogin(); l.GetReset_() == nil || l.Last.Epoch != 2 || l.Position.Seq != 0 {
			t.Errorf("login with the position of another epoch: got %v", l)
		}
	})
}

func TestDialing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft := faketransport.New(t)
		down := errors.New("down")
		ft.Refuse(down)
		if _, err := ft.Dial(t.Context()); err != down {
			t.Errorf("Refuse: got %v, want %v", err, down)
		}
		ft.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		if _, err := ft.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("Hang: got %v after %v, want context.DeadlineExceeded after 1h", err, time.Since(start))
		}
		ft.Accept()
		dial(t, ft)
		if got := ft.Dials(); got != 3 {
			t.Errorf("got %d dials, want 3", got)
		}
	})
}

func TestSilenceAndDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft := faketransport.New(t)
		first, _ := dial(t, ft)
		ft.Silence()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		ft.Push(faketransport.Text("bob", "1"))
		if push, err := first.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Receive in silence: got %v, %v, want nothing", push, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if resp, err := first.RoundTrip(ctx, sending("a", "bob")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("RoundTrip in silence: got %v, %v, want nothing", resp, err)
		}
		if len(ft.Sends()) != 1 {
			t.Errorf("got %d messages, want 1: what is sent into the silence is recorded", len(ft.Sends()))
		}

		second, ask := dial(t, ft)
		if resp := ask(sending("a", "bob")); resp.GetSendMessage() == nil {
			t.Errorf("a new connection: got %v, want an answer", resp)
		}
		ft.PushRaw(&wire.Push{SessionEnd: new(wire.SessionEnd)})
		if push, err := second.Receive(t.Context()); push.GetSessionEnd() == nil {
			t.Errorf("a new connection: got %v, %v, want the push", push, err)
		}
		ft.Drop()
		for _, conn := range []transport.Conn{first, second} {
			if push, err := conn.Receive(t.Context()); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("Receive after Drop: got %v, %v, want transport.ErrClosed", push, err)
			}
		}
		synctest.Wait()
		if got := len(ft.Conns()); got != 0 {
			t.Errorf("got %d connections after Drop, want none", got)
		}
	})
}

func TestScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft := faketransport.New(t)
		ft.OnLogin(func(*wire.LoginRequest) *wire.Response { return &wire.Response{Error: &wire.Error{Code: 6000103}} })
		refused, err := ft.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer refused.Close()
		if resp, err := refused.RoundTrip(t.Context(), login(nil)); resp.GetError().GetCode() != 6000103 {
			t.Errorf("login: got %v, %v, want the refusal", resp, err)
		}
		ft.PushRaw(&wire.Push{SessionEnd: new(wire.SessionEnd)}) // not to those who were refused
		ft.OnLogin(nil)

		conn, ask := dial(t, ft)
		var mu sync.Mutex
		var held []func()
		ft.OnRequest(func(c *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetSendMessage().GetConversationId() != "later" {
				return ft.Answer(req)
			}
			mu.Lock()
			defer mu.Unlock()
			held = append(held, func() { c.Reply(req, ft.Answer(req)) })
			return nil
		})
		got := make(chan *wire.Response, 1)
		conn.(transport.Pipeline).Start(sending("a", "later"), func(resp *wire.Response, _ error) { got <- resp })
		if resp := ask(sending("b", "now")); resp.GetSendMessage().GetMessageId() != 1 {
			t.Errorf("got %v, want the first ID", resp)
		}
		held[0]()
		held[0]() // once is enough
		if resp := <-got; resp.GetSendMessage().GetMessageId() != 2 {
			t.Errorf("got %v, want the second ID", resp)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if push, err := refused.Receive(ctx); err == nil {
			t.Errorf("a refused client got %v", push)
		}
	})
}

// A recorder is a TB whose cleanup and failures are taken note of.
type recorder struct {
	testing.TB
	cleanups []func()
	failed   bool
}

func (r *recorder) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestConnsMustBeClosed(t *testing.T) {
	for _, closed := range []bool{true, false} {
		r := &recorder{TB: t}
		ft := faketransport.New(r)
		conn, err := ft.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ft.Drop() // does not count
		if closed {
			conn.Close()
			conn.Close()
		}
		for _, f := range r.cleanups {
			f()
		}
		if r.failed == closed {
			t.Errorf("closed: %v, and the test failed: %v", closed, r.failed)
		}
	}
}
