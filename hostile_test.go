package zim_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coder "github.com/coder/websocket"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/internal/wsstream"
	"github.com/zim-go/zim/transport/websocket"
	"github.com/zim-go/zim/wire"
)

// What a hostile service may do to the SDK: N83 to N90. Those of the frames below are tested with the WebSocket, and those of files with
// their transfer.

// faults returns what the errors say that come as events.
func (c *client) faults() *[]string {
	list := new([]string)
	zim.On(c.ZIM, func(_ context.Context, e *zim.Error) { *list = append(*list, e.Message) })
	return list
}

// N84: an acknowledgment counts for the message that waits for it, once.
func TestStrayAcknowledgments(t *testing.T) {
	ack := func(seq int64) *wire.Response {
		return &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{MessageId: seq, MessageSeq: seq}}}
	}
	synctest.Test(t, func(t *testing.T) {
		client := memnet.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream, err := wsstream.Accept(w, r, coder.AcceptOptions{}, mux.ToServer.Message, 0)
			if err != nil {
				t.Error(err)
				return
			}
			peer := mux.NewPeer(stream)
			peer.Serve(func(id uint64, req *wire.Request) {
				if req.GetLogin() != nil {
					peer.Trust()
					peer.Reply(id, &wire.Response{Body: &wire.Response_Login{Login: &wire.LoginResponse{TokenTtlMs: 3_600_000}}})
				}
				if req.GetSendMessage() == nil {
					return
				}
				for _, stray := range []uint64{0, id + 1, id + 1000, math.MaxUint64} { // of requests that there are not
					peer.Reply(stray, ack(66))
				}
				peer.Reply(id, ack(int64(id)))
				peer.Reply(id, ack(77)) // again, and with another number
				peer.Reply(id, &wire.Response{Error: &wire.Error{Code: 6000001}})
			})
		}))
		z, err := zim.New(zim.AppConfig{AppID: 1, Transport: websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: client}})
		if err != nil {
			t.Fatal(err)
		}
		defer z.Destroy()
		told := map[string]int{}
		zim.On(z, func(_ context.Context, e *zim.MessageSentStatusChanged) {
			for _, info := range e.Infos {
				told[fmt.Sprintf("%s %v %d", info.Message.Content.(*zim.TextMessage).Message, info.Status, info.Message.Seq)]++
			}
		})
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			m, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i)}, zim.Peer("bob"), nil)
			if err != nil || m.Seq == 66 || m.Seq == 77 {
				t.Fatalf("message %d: got %+v, %v", i, m, err)
			}
			synctest.Wait()
			if got := told[fmt.Sprintf("%d %v %d", i, zim.MessageSentStatusSuccess, m.Seq)]; got != 1 || len(told) != i+1 {
				t.Errorf("message %d: its status was told as %v", i, told)
			}
		}
	})
}

// N85: events at the end of the numbers are not taken for those that come next; who insists on them is asked now and then, and one error
// says so.
func TestEventsThatAreWithheld(t *testing.T) {
	for _, seq := range []uint64{2, 1 << 63, math.MaxUint64} {
		t.Run(fmt.Sprint(seq), func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				faults := c.faults()
				claim := func(req *wire.Request) *wire.Response {
					last := &wire.Position{Epoch: 1, Seq: seq}
					switch {
					case req.GetSync() != nil:
						return &wire.Response{Body: &wire.Response_Sync{Sync: &wire.SyncResponse{
							Last: last, Events: &wire.EventBatch{Epoch: 1, FirstSeq: seq, Events: []*wire.Event{faketransport.Text("bob", "no")}},
						}}}
					case req.GetHeartbeat() != nil:
						return &wire.Response{Body: &wire.Response_Heartbeat{Heartbeat: &wire.HeartbeatResponse{Last: last}}}
					}
					return c.ft.Answer(req)
				}
				c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response { return claim(req) })
				c.login(t)
				c.ft.PushRaw(&wire.Push{Events: &wire.EventBatch{Epoch: 1, FirstSeq: seq, Events: []*wire.Event{faketransport.Text("bob", "no")}}})
				time.Sleep(5 * time.Minute)
				equal(t, "texts", &c.texts, nil)
				equal(t, "faults", faults, []string{"the service says that there are events, and does not give them"})
				if n := syncs(c.ft); n > 5*6*3+3 {
					t.Errorf("got %d requests in 5 minutes", n)
				}
				c.ft.OnRequest(nil)
				c.ft.Push(faketransport.Text("bob", "yes"))
				equal(t, "texts of a service that has come to its senses", &c.texts, []string{"yes"})
			})
		})
	}
}

// N86: a service that resets the feed without end is followed three times in a minute, wherever it says so, and one error a minute says
// that there is more.
func TestResetsAreCounted(t *testing.T) {
	reset := func(seq uint64) *wire.FeedReset { return &wire.FeedReset{Position: &wire.Position{Epoch: 1, Seq: seq}} }
	for name, hostile := range map[string]func(c *client, n uint64, conn *faketransport.Conn, req *wire.Request) *wire.Response{
		"each further on": func(c *client, n uint64, _ *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetSync() == nil {
				return c.ft.Answer(req)
			}
			return &wire.Response{Body: &wire.Response_Sync{Sync: &wire.SyncResponse{Last: &wire.Position{Epoch: 1, Seq: n + 5}, Reset_: reset(n)}}}
		},
		"with events": func(c *client, n uint64, _ *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetSync() == nil {
				return c.ft.Answer(req)
			}
			return &wire.Response{Body: &wire.Response_Sync{Sync: &wire.SyncResponse{
				Last: &wire.Position{Epoch: 1, Seq: 5}, Reset_: reset(0),
				Events: &wire.EventBatch{Epoch: 1, FirstSeq: 1, Events: []*wire.Event{faketransport.Text("bob", "again")}},
			}}}
		},
		"and another epoch each time": func(c *client, n uint64, _ *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetSync() == nil {
				return c.ft.Answer(req)
			}
			return &wire.Response{Body: &wire.Response_Sync{Sync: &wire.SyncResponse{
				Last: &wire.Position{Epoch: n, Seq: 1}, Reset_: &wire.FeedReset{Position: &wire.Position{Epoch: n}},
			}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				faults := c.faults()
				n := uint64(0)
				c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
					if n++; n > 10_000 { // or else the test would not end
						return nil
					}
					return hostile(c, n, conn, req)
				})
				c.login(t)
				c.ft.Push(faketransport.Text("bob", "1"))
				c.ft.PushRaw(&wire.Push{Events: &wire.EventBatch{Epoch: 1, FirstSeq: 100, Events: []*wire.Event{faketransport.Text("bob", "100")}}})
				time.Sleep(10*time.Minute - time.Second)
				synctest.Wait()
				if got := strings.Count(strings.Join(c.events, " "), "SyncReset"); got == 0 || got > 3*10 {
					t.Errorf("%d resets were told in 10 minutes", got)
				}
				if len(*faults) == 0 || len(*faults) > 10+1 {
					t.Errorf("%d errors were told in 10 minutes", len(*faults))
				}
				if got := syncs(c.ft); got > 10*20 {
					t.Errorf("got %d requests in 10 minutes", got)
				}
			})
		})
	}
	t.Run("with each login", func(t *testing.T) {
		with(t, func(t *testing.T, c *client) {
			faults := c.faults()
			n := uint64(0)
			c.ft.OnLogin(func(req *wire.LoginRequest) *wire.Response {
				resp := c.ft.AcceptLogin(req)
				n++
				resp.GetLogin().Reset_ = reset(n)
				return resp
			})
			c.login(t)
			for range 60 * 10 {
				c.ft.Drop()
				time.Sleep(time.Second)
			}
			synctest.Wait()
			if got := strings.Count(strings.Join(c.events, " "), "SyncReset"); got == 0 || got > 3*11 {
				t.Errorf("%d resets were told in 10 minutes of %d logins", got, n)
			}
			if len(*faults) == 0 || len(*faults) > 10+1 {
				t.Errorf("%d errors were told in 10 minutes", len(*faults))
			}
		})
	})
}

// N88: nor does a service make the SDK itself wait for ever, with whatever it refuses.
func TestReconnectingWaitsMinutesAtMost(t *testing.T) {
	for _, ms := range []int64{315_360_000_000, math.MaxInt64, -1, math.MinInt64} {
		t.Run(fmt.Sprint(ms), func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				c.login(t)
				c.ft.OnLogin(func(*wire.LoginRequest) *wire.Response {
					return &wire.Response{Error: &wire.Error{Code: 6000005, RetryAfterMs: ms}}
				})
				c.ft.Drop()
				time.Sleep(12 * time.Minute)
				if got := len(c.ft.Logins()); got < 3 || got > 200 {
					t.Errorf("got %d logins in 12 minutes", got)
				}
				c.ft.OnLogin(nil)
				time.Sleep(6 * time.Minute)
				equal(t, "states", &c.states, []string{"1,1", "2,0", "3,3", "2,0"})
			})
		})
	}
}

// Nor is a number that is too large for a time taken for a time: a token that is good for ever does not end at once.
func TestTokenForEver(t *testing.T) {
	for _, ms := range []int64{math.MaxInt64, math.MaxInt64/1_000_000 + 1, 1 << 62} {
		t.Run(fmt.Sprint(ms), func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				c.ft.OnLogin(func(req *wire.LoginRequest) *wire.Response {
					resp := c.ft.AcceptLogin(req)
					resp.GetLogin().TokenTtlMs, resp.GetLogin().HeartbeatIntervalMs = ms, ms
					return resp
				})
				c.login(t)
				time.Sleep(24 * time.Hour)
				equal(t, "states", &c.states, []string{"1,1", "2,0"})
				equal(t, "events", &c.events, nil)
			})
		})
	}
}

// N89: every way to say that a session is over, all at the same time, makes one transition.
func TestSessionIsOverInEveryWay(t *testing.T) {
	over := &wire.Response{Error: &wire.Error{Code: 6000121, SessionEnd: new(wire.SessionEnd)}}
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			for i := range 100 {
				conn.Push(&wire.Push{SessionEnd: &wire.SessionEnd{Reason: wire.SessionEndReason(i % 5)}})
			}
			return over
		})
		c.ft.OnLogin(func(*wire.LoginRequest) *wire.Response { return over })
		results := make(chan error, 20)
		for range cap(results) / 2 {
			go func() { results <- c.RenewToken(t.Context(), "04") }()
			go func() {
				_, err := c.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
				results <- err
			}()
		}
		for range cap(results) {
			if err := <-results; !errors.Is(err, zim.ErrNetworkUserIsNotLogged) {
				t.Errorf("got %v", err)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(c.states) != 3 || !strings.HasPrefix(c.states[2], "0,") {
			t.Errorf("got the states %v, want one transition to Disconnected", c.states)
		}
		if got := c.ft.Dials(); got != 1 {
			t.Errorf("got %d dials", got)
		}
	})
}
