package zim_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A client is a ZIM on a service that does what the test wants, and what its handlers saw.
type client struct {
	*zim.ZIM
	ft     *faketransport.Transport
	states []string
	texts  []string
	events []string // of other types
}

// with runs a test in a bubble, with a client that has not logged in.
func with(t *testing.T, f func(t *testing.T, c *client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &client{ft: faketransport.New(t)}
		z, err := zim.New(zim.AppConfig{AppID: 1, Transport: c.ft, Limits: zim.Limits{SendRate: -1}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		c.ZIM = z
		zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
			c.states = append(c.states, fmt.Sprintf("%d,%d", e.State, e.Event))
		})
		zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
			for _, m := range e.Messages {
				c.texts = append(c.texts, m.Content.(*zim.TextMessage).Message)
			}
		})
		zim.On(z, func(context.Context, *zim.ConversationSyncStateChanged) {})
		zim.On(z, func(_ context.Context, e zim.Event) { c.events = append(c.events, fmt.Sprintf("%T", e)) })
		f(t, c)
	})
}

func (c *client) login(t *testing.T) {
	t.Helper()
	if err := c.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// equal compares once everything has happened that is going to.
func equal(t *testing.T, what string, got *[]string, want []string) {
	t.Helper()
	synctest.Wait()
	if fmt.Sprint(*got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, *got, want)
	}
}

// Whatever order pushes come in, or don't: each event is handled once, in the order of the feed.
func TestFeedMendsItself(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.Push(faketransport.Text("bob", "1"))
		synctest.Wait()
		c.ft.Store(faketransport.Text("bob", "2")) // its push got lost
		c.ft.Push(faketransport.Text("bob", "3"))
		synctest.Wait()
		equal(t, "after a lost push", &c.texts, []string{"1", "2", "3"})
		c.ft.Store(faketransport.Text("bob", "4"))
		time.Sleep(11 * time.Second) // no push follows: a heartbeat tells
		equal(t, "after a heartbeat", &c.texts, []string{"1", "2", "3", "4"})
		c.ft.PushRaw(&wire.Push{Events: &wire.EventBatch{Epoch: 1, FirstSeq: 2, Events: []*wire.Event{
			faketransport.Text("bob", "2"), faketransport.Text("bob", "3"),
		}}})
		c.ft.Drop()
		c.ft.Store(faketransport.Text("bob", "5"))
		time.Sleep(time.Minute)
		equal(t, "after a repeated push and a lost connection", &c.texts, []string{"1", "2", "3", "4", "5"})
		equal(t, "other events", &c.events, nil)
	})
}

// A service that lost its store is told from one that goes on: one event says so, and what it has then is handled.
func TestServiceLosesItsStore(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.Push(faketransport.Text("bob", "old"))
		synctest.Wait()
		c.ft.Replace()
		c.ft.Store(faketransport.Text("bob", "new"))
		c.ft.Drop()
		time.Sleep(time.Minute)
		equal(t, "texts", &c.texts, []string{"old", "new"})
		equal(t, "other events", &c.events, []string{"*zim.SyncReset"})
	})
}

// N85: a service that claims events that don't exist is asked a few times, and does not keep the client busy.
func TestServiceClaimsTheFuture(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.PushRaw(&wire.Push{Events: &wire.EventBatch{Epoch: 1, FirstSeq: 1 << 63, Events: []*wire.Event{faketransport.Text("bob", "no")}}})
		time.Sleep(time.Minute)
		equal(t, "texts", &c.texts, nil)
		if n := syncs(c.ft); n > 30 {
			t.Errorf("got %d requests in a minute", n)
		}
		c.ft.Push(faketransport.Text("bob", "yes"))
		time.Sleep(time.Minute)
		equal(t, "texts", &c.texts, []string{"yes"})
	})
}

// N86: a service that answers each question with a reset does not keep the client busy.
func TestEndlessResets(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetSync() != nil {
				at := &wire.Position{Epoch: 1}
				return &wire.Response{Body: &wire.Response_Sync{Sync: &wire.SyncResponse{
					Last:   &wire.Position{Epoch: 1, Seq: 5},
					Reset_: &wire.FeedReset{Reason: wire.FeedResetReason_FEED_RESET_REASON_TOO_OLD, Position: at},
				}}}
			}
			if req.GetHeartbeat() != nil {
				return &wire.Response{Body: &wire.Response_Heartbeat{Heartbeat: &wire.HeartbeatResponse{Last: &wire.Position{Epoch: 1, Seq: 5}}}}
			}
			return c.ft.Answer(req)
		})
		c.login(t)
		time.Sleep(time.Minute)
		if n := syncs(c.ft); n == 0 || n > 30 {
			t.Errorf("got %d requests in a minute", n)
		}
	})
}

func syncs(ft *faketransport.Transport) (n int) {
	for _, req := range ft.Requests() {
		if req.GetSync() != nil {
			n++
		}
	}
	return n
}

// N89: however often a service says that a session is over, it ends once, and nothing is dialed any more.
func TestSessionEndsOnce(t *testing.T) {
	for reason, event := range map[wire.SessionEndReason]string{
		wire.SessionEndReason_SESSION_END_REASON_KICKED_OUT:    "0,4",
		wire.SessionEndReason_SESSION_END_REASON_TOKEN_EXPIRED: "0,5",
		wire.SessionEndReason_SESSION_END_REASON_UNREGISTERED:  "0,6",
	} {
		t.Run(event, func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				c.login(t)
				for range 100 {
					c.ft.PushRaw(&wire.Push{SessionEnd: &wire.SessionEnd{Reason: reason}})
				}
				time.Sleep(time.Hour)
				equal(t, "states", &c.states, []string{"1,1", "2,0", event})
				if got := c.ft.Dials(); got != 1 {
					t.Errorf("got %d dials, want 1", got)
				}
			})
		})
	}
}

// N88: what a service asks for is bounded: nobody waits for ten years, or into the past.
func TestRetryAfterIsBounded(t *testing.T) {
	for ms, want := range map[int64]time.Duration{
		315_360_000_000: 5 * time.Minute, 1 << 62: 5 * time.Minute, -1: 0, -1 << 62: 0, math.MinInt64/1_000_000 - 1: 0, 1500: 1500 * time.Millisecond,
	} {
		t.Run(fmt.Sprint(ms), func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
					if req.GetSendMessage() != nil {
						return &wire.Response{Error: &wire.Error{Code: 6000005, Message: "slow down", RetryAfterMs: ms}}
					}
					return c.ft.Answer(req)
				})
				c.login(t)
				_, err := c.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
				e, ok := errors.AsType[*zim.Error](err)
				if !ok || e.Code != zim.ErrCommonTriggerServerFrequencyLimit || e.RetryAfter != want || e.Message != "slow down" {
					t.Errorf("got %v", err)
				}
				if errors.Is(err, zim.ErrOutcomeUnknown) {
					t.Errorf("a refusal is no unknown outcome: %v", err)
				}
			})
		})
	}
}

// An answer that makes no sense leaves the outcome unknown, and a request without an answer times out.
func TestSendWithoutAcknowledgment(t *testing.T) {
	for name, test := range map[string]struct {
		answer *wire.Response
		code   zim.Code
		took   time.Duration
	}{
		"another answer": {&wire.Response{Body: &wire.Response_Logout{}}, zim.ErrNetworkRspProtoParseError, 0},
		"empty answer":   {&wire.Response{}, zim.ErrNetworkRspProtoParseError, 0},
		"no answer":      {nil, zim.ErrNetworkRequestTimeout, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
					if req.GetSendMessage() != nil {
						return test.answer
					}
					return c.ft.Answer(req)
				})
				c.login(t)
				start := time.Now()
				m, err := c.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
				if zim.CodeOf(err) != test.code || !errors.Is(err, zim.ErrOutcomeUnknown) || m == nil {
					t.Errorf("got %v, %v, want code %d and an unknown outcome", m, err, test.code)
				}
				if took := time.Since(start); took != test.took {
					t.Errorf("it took %v, want %v", took, test.took)
				}
			})
		})
	}
}

// Calls that need a connection say so at once when there is none, and those under way learn that it broke.
func TestCallsWithoutConnection(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetRenewToken() != nil {
				c.ft.Refuse(errors.New("no network"))
				conn.Drop()
				return nil
			}
			return c.ft.Answer(req)
		})
		if err := c.RenewToken(t.Context(), "04"); zim.CodeOf(err) != zim.ErrCommonIMServerDisconnect || !errors.Is(err, transport.ErrClosed) {
			t.Errorf("under way: %v", err)
		}
		synctest.Wait()
		if err := c.RenewToken(t.Context(), "04"); zim.CodeOf(err) != zim.ErrNetworkNetworkError {
			t.Errorf("without a connection: %v", err)
		}
		if err := c.Login(t.Context(), "bob", &zim.LoginConfig{Token: "04"}); zim.CodeOf(err) != zim.ErrNetworkUserHasAlreadyLogged {
			t.Errorf("another login: %v", err)
		}
		time.Sleep(time.Minute)
		if err := c.Login(t.Context(), "bob", &zim.LoginConfig{Token: "04"}); zim.CodeOf(err) != zim.ErrNetworkUserOffline {
			t.Errorf("another login after a minute: %v", err)
		}
		if err := c.Logout(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
}

// A refused token ends the Login with its code and the state that belongs to it.
func TestRefusedLogin(t *testing.T) {
	for code, event := range map[zim.Code]string{
		zim.ErrNetworkTokenInvalid: "0,1", zim.ErrNetworkTokenVersionError: "0,1", zim.ErrNetworkTokenTimeIsTooShort: "0,1",
		zim.ErrCommonInvalidAppID: "0,1", zim.ErrNetworkCommonError: "0,1", zim.ErrCommonExceedDAULimit: "0,1", zim.ErrNetworkTokenExpired: "0,5",
	} {
		t.Run(code.String(), func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				c.ft.OnLogin(func(*wire.LoginRequest) *wire.Response { return &wire.Response{Error: &wire.Error{Code: int32(code)}} })
				if err := c.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); !errors.Is(err, code) {
					t.Errorf("got %v", err)
				}
				time.Sleep(time.Hour)
				equal(t, "states", &c.states, []string{"1,1", event})
				if got := c.ft.Dials(); got != 1 {
					t.Errorf("got %d dials, want 1", got)
				}
			})
		})
	}
}

// A connection that is dead from its beginning is found like any other, although the one before was dead, too.
func TestOneDeadConnectionAfterTheOther(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		for dials := 2; dials < 5; dials++ {
			c.ft.Silence()
			start := time.Now()
			for c.ft.Dials() < dials && time.Since(start) < time.Minute {
				time.Sleep(100 * time.Millisecond)
			}
			synctest.Wait()
			if took := time.Since(start); took > 21*time.Second {
				t.Fatalf("dead connection %d was replaced after %v", dials-1, took)
			}
		}
	})
}

// A service that takes logins and hangs up at once is asked less and less often.
func TestConnectionsThatBreakAtOnce(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		for range 3000 {
			c.ft.Drop()
			time.Sleep(200 * time.Millisecond)
		}
		if n := c.ft.Dials(); n < 20 || n > 60 {
			t.Errorf("got %d connections in ten minutes", n)
		}
	})
}

// A token without an end that comes at the moment in which the one before is to be warned of is not warned of.
func TestWarningOfTheTokenBefore(t *testing.T) {
	for range 50 { // as which of the two comes first is up to chance
		with(t, func(t *testing.T, c *client) {
			const ttl = time.Minute
			warn := time.Now().Add(ttl - 30*time.Second)
			c.ft.OnLogin(func(*wire.LoginRequest) *wire.Response {
				return &wire.Response{Body: &wire.Response_Login{Login: &wire.LoginResponse{TokenTtlMs: ttl.Milliseconds()}}}
			})
			c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
				if req.GetRenewToken() == nil {
					return c.ft.Answer(req)
				}
				forever := &wire.Response{Body: &wire.Response_RenewToken{RenewToken: new(wire.RenewTokenResponse)}}
				time.AfterFunc(time.Until(warn), func() { conn.Reply(req, forever) })
				return nil
			})
			zim.On(c.ZIM, func(_ context.Context, e *zim.TokenWillExpire) {
				if e.Remaining != 30*time.Second {
					t.Errorf("warned of a token that is good for %v", e.Remaining)
				}
			})
			c.login(t)
			time.Sleep(25 * time.Second)
			if err := c.RenewToken(t.Context(), "04"); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		})
	}
}

// A lingering transport takes its time to close a connection.
type lingering struct {
	*faketransport.Transport
	close time.Duration // of connections that are dialed from now on
}

func (l *lingering) Dial(ctx context.Context) (transport.Conn, error) {
	conn, err := l.Transport.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return lingeringConn{conn.(transport.Pipeline), l.close}, nil
}

type lingeringConn struct {
	transport.Pipeline
	close time.Duration
}

func (c lingeringConn) Close() error {
	time.Sleep(c.close)
	return c.Pipeline.Close()
}

// A handler that logs in again before a Logout that forgets what there was is through gets the events of its own session.
func TestLoginDuringClearingLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &client{ft: faketransport.New(t)}
		z, err := zim.New(zim.AppConfig{AppID: 1, Transport: &lingering{c.ft, time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		c.ZIM = z
		zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
			for _, m := range e.Messages {
				c.texts = append(c.texts, said(m))
			}
		})
		c.login(t)
		zim.On(z, func(ctx context.Context, e *zim.ConnectionStateChanged) {
			if e.State == zim.ConnectionStateDisconnected {
				zim.Off[*zim.ConnectionStateChanged](z)
				c.login(t)
			}
		})
		c.ft.Push(faketransport.Text("bob", "1"))
		synctest.Wait()
		if err := z.Logout(t.Context(), &zim.LogoutConfig{IsClearDB: true}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		c.ft.Push(faketransport.Text("bob", "2"))
		time.Sleep(time.Minute)
		equal(t, "texts", &c.texts, []string{"1", "2"})
	})
}

// Destroy also waits for a session that is over and was followed by another one before it was gone.
func TestDestroyWaitsForEachSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft := faketransport.New(t)
		service := &lingering{ft, time.Second}
		z, err := zim.New(zim.AppConfig{AppID: 1, Transport: service})
		if err != nil {
			t.Fatal(err)
		}
		login := func() {
			if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); err != nil {
				t.Error(err)
			}
		}
		login()
		ft.PushRaw(&wire.Push{SessionEnd: new(wire.SessionEnd)})
		synctest.Wait()
		service.close = 0
		login()
		z.Destroy()
		if n := len(ft.Conns()); n > 0 {
			t.Errorf("got %d connections that are open after Destroy, want none", n)
		}
	})
}
