package cloud_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/cloud"
)

// A clock that is wrong is corrected once, and stays corrected.
func TestClock(t *testing.T) {
	for _, skew := range []time.Duration{time.Hour, -3 * time.Hour} {
		with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
			g.skew = skew
			for range 2 {
				if err := s.DestroyRoom(t.Context(), "r"); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(g.requests("DestroyRoom")); n != 3 {
				t.Errorf("%d requests, want 3: one with the wrong clock", n)
			}
		})
	}
}

// A service that never accepts the clock is not asked without end.
func TestClockThatIsNeverRight(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		g.on("DestroyRoom", failure(100000004))
		err := s.DestroyRoom(t.Context(), "r")
		e, ok := errors.AsType[*cloud.Error](err)
		if !ok || e.Code != 100000004 || zim.Code(e.ZIMCode()) != zim.ErrNetworkTokenInvalid {
			t.Errorf("got %v", err)
		}
		if n := len(g.requests("DestroyRoom")); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
}

// However many calls there are at once, the rate of their action holds in any second, and those of a group or room hold for each.
func TestRates(t *testing.T) {
	tests := []struct {
		action string
		calls  int
		most   int // in a second
		call   func(ctx context.Context, s *cloud.Service) error
	}{
		{"DeleteAllFriends", 1000, 20, func(ctx context.Context, s *cloud.Service) error { return s.DeleteAllFriends(ctx, "u", true) }},
		{"QueryAppGroupList", 20, 1, func(ctx context.Context, s *cloud.Service) error {
			_, _, err := s.Groups(ctx, 0)
			return err
		}},
	}
	for _, test := range tests {
		t.Run(test.action, func(t *testing.T) {
			with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
				g.on(test.action, always(answer{"FetchEnd": 1}))
				var calls sync.WaitGroup
				start := time.Now()
				for range test.calls {
					calls.Go(func() {
						if err := test.call(t.Context(), s); err != nil {
							t.Error(err)
						}
					})
				}
				calls.Wait()
				list := g.requests(test.action)
				if len(list) != test.calls {
					t.Fatalf("%d requests, want %d", len(list), test.calls)
				}
				for i := test.most; i < len(list); i++ {
					if d := list[i].at.Sub(list[i-test.most].at); d < time.Second-time.Millisecond {
						t.Fatalf("more than %d requests in %v", test.most, d)
					}
				}
				if took, most := time.Since(start), time.Duration(test.calls/test.most+1)*time.Second*20/19; took > most {
					t.Errorf("it took %v, want less than %v", took, most)
				}
			})
		})
	}
}

// What concerns one group waits for that group, and no other.
func TestRatePerGroup(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		start := time.Now()
		for _, id := range []string{"a", "b", "c"} {
			if _, err := z.InviteUsersIntoGroup(t.Context(), []string{"bob"}, id); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took >= 500*time.Millisecond {
			t.Errorf("three groups took %v", took)
		}
		if _, err := z.InviteUsersIntoGroup(t.Context(), []string{"bob"}, "a"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Second || took > 2*time.Second {
			t.Errorf("the second of a group came after %v, want a second", took)
		}
	})
}

// What is asked for by numbers counts by them.
func TestRateOfNumberedMessages(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		start := time.Now()
		for range 4 {
			if _, err := z.QueryMessages(t.Context(), zim.Peer("bob"), []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < time.Second || took > 1200*time.Millisecond {
			t.Errorf("40 messages took %v, want a second after the first 19, and a little more", took)
		}
	})
}

// Nothing that nobody may know is in the log.
func TestLog(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		var log strings.Builder
		s.Logger = slog.New(slog.NewTextHandler(&log, nil))
		g.onRaw("DeleteAllFriends", func(http.ResponseWriter) { panic(http.ErrAbortHandler) })
		g.on("SendMessageToAllUsers", failure(660300005))
		s.DeleteAllFriends(t.Context(), "u", true)
		s.SendTextToAllUsers(t.Context(), "u", "what nobody else may read")
		if n := strings.Count(log.String(), "an action is repeated"); n != 4 {
			t.Errorf("%d lines, want 4", n)
		}
		quiet(t, errors.New(log.String()))
		if strings.Contains(log.String(), "may read") {
			t.Error("the log has the text of a message")
		}
	})
}

// When others use up the quota, everything of that kind pauses for a second; sends are repeated, too: nothing was done.
func TestForeignLoad(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		refused := false
		g.on("SendPeerMessage", func(a args) answer {
			if !refused {
				refused = true
				return answer{"Code": 660300005}
			}
			return sent(a)
		})
		var sends sync.WaitGroup
		for range 5 {
			sends.Go(func() {
				if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil); err != nil {
					t.Error(err)
				}
			})
		}
		sends.Wait()
		list := g.requests("SendPeerMessage")
		if len(list) != 6 {
			t.Fatalf("%d requests, want 6", len(list))
		}
		if d := list[1].at.Sub(list[0].at); d < time.Second {
			t.Errorf("the next request came after %v", d)
		}
	})
}

// A call that can't have its turn in time is not made, and says so at once.
func TestNoTimeForTheTurn(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		z.InviteUsersIntoGroup(ctx, []string{"bob"}, "a")
		start := time.Now()
		_, err := z.InviteUsersIntoGroup(ctx, []string{"bob"}, "a")
		var e *zim.Error
		if !errors.As(err, &e) || e.Code != zim.ErrCommonTriggerServerFrequencyLimit || e.RetryAfter != time.Second || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		g.want("InviteUsersIntoGroup")
	})
}

// What reads is repeated a few times. What makes something is not, unless it is known that nothing was done.
func TestRepeating(t *testing.T) {
	tests := []struct {
		name    string
		code    int64
		queries int // requests for a query
		sends   int // requests for what can't be repeated
		unknown bool
	}{
		{"busy", 1, 3, 1, true},
		{"generic", 660000001, 3, 1, true},
		{"logic", 660000003, 3, 1, true},
		{"gateway", 100000015, 3, 1, true},
		{"undocumented", 123, 3, 1, true},
		{"rate", 660300005, 3, 3, false},
		{"overload", 7, 3, 3, false},
		{"gateway that could not look up", 100000010, 3, 1, false},
		{"input", 660000002, 1, 1, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
				g.on("DeleteAllFriends", failure(test.code))
				g.on("SendMessageToAllUsers", failure(test.code))
				if err := s.DeleteAllFriends(t.Context(), "u", true); err == nil || errors.Is(err, transport.ErrOutcomeUnknown) {
					t.Errorf("of what can be repeated: %v", err)
				}
				err := s.SendTextToAllUsers(t.Context(), "u", "x")
				if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Code != test.code || e.RequestID != "4711" || errors.Is(err, transport.ErrOutcomeUnknown) != test.unknown {
					t.Errorf("of what can't: %v", err)
				}
				if n := len(g.requests("DeleteAllFriends")); n != test.queries {
					t.Errorf("%d requests of what can be repeated, want %d", n, test.queries)
				}
				if n := len(g.requests("SendMessageToAllUsers")); n != test.sends {
					t.Errorf("%d requests of what can't, want %d", n, test.sends)
				}
			})
		})
	}
}

// Answers that are none, of whatever HTTP status, are no answer: the outcome of a send is unknown then.
func TestBadAnswers(t *testing.T) {
	tests := map[string]func(http.ResponseWriter){
		"HTML":      func(w http.ResponseWriter) { w.WriteHeader(502); io.WriteString(w, "<html>") },
		"no code":   func(w http.ResponseWriter) { io.WriteString(w, "{}") },
		"bad code":  func(w http.ResponseWriter) { io.WriteString(w, `{"Code":"x"}`) },
		"null code": func(w http.ResponseWriter) { io.WriteString(w, `{"Code":null}`) },
		"case":      func(w http.ResponseWriter) { io.WriteString(w, `{"code":0}`) },
		"list":      func(w http.ResponseWriter) { io.WriteString(w, `[]`) },
		"more":      func(w http.ResponseWriter) { io.WriteString(w, `{"Code":0}{"Code":0}`) },
		"too large": func(w http.ResponseWriter) { io.WriteString(w, `{"Code":0,"x":"`+strings.Repeat("x", 1<<20)+`"}`) },
		"redirect":  func(w http.ResponseWriter) { w.Header().Set("Location", "http://elsewhere/"); w.WriteHeader(302) },
		"broken":    func(w http.ResponseWriter) { io.WriteString(w, `{"Code"`); panic(http.ErrAbortHandler) },
		"silent":    func(w http.ResponseWriter) { time.Sleep(time.Minute) },
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
				g.onRaw("SendMessageToAllUsers", f)
				g.onRaw("DeleteAllFriends", f)
				if err := s.SendTextToAllUsers(t.Context(), "u", "x"); !errors.Is(err, transport.ErrOutcomeUnknown) {
					t.Errorf("a send: %v", err)
				} else {
					quiet(t, err)
				}
				if err := s.DeleteAllFriends(t.Context(), "u", true); err == nil || errors.Is(err, transport.ErrOutcomeUnknown) {
					t.Errorf("what can be repeated: %v", err)
				}
				if n, m := len(g.requests("SendMessageToAllUsers")), len(g.requests("DeleteAllFriends")); n != 1 || m != 3 {
					t.Errorf("%d and %d requests, want 1 and 3", n, m)
				}
				time.Sleep(time.Minute) // until the handler is through
			})
		})
	}
}

// An answer of another HTTP status counts if it is one.
func TestStatusDoesNotMatter(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		g.onRaw("DestroyRoom", func(w http.ResponseWriter) { w.WriteHeader(500); io.WriteString(w, `{"Code":"660300001"}`) })
		err := s.DestroyRoom(t.Context(), "r")
		if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Code != 660300001 {
			t.Errorf("got %v", err)
		}
	})
}

// quiet checks that an error tells nothing that nobody may know.
func quiet(t *testing.T, err error) {
	t.Helper()
	for _, s := range []string{secret, "Signature", "http://", "Timestamp", "elsewhere"} {
		if strings.Contains(err.Error(), s) {
			t.Errorf("the error has %q: %v", s, err)
		}
	}
}

// A send that never got a connection was not sent, and is tried again.
func TestNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries int
		rt := &http.Transport{DialContext: dialer(func() { tries++ })}
		s := &cloud.Service{AppID: appID, ServerSecret: secret, BaseURL: "http://gateway/", HTTPClient: &http.Client{Transport: rt}}
		err := s.SendTextToAllUsers(t.Context(), "u", "x")
		if err == nil || errors.Is(err, transport.ErrOutcomeUnknown) || tries != 3 {
			t.Errorf("after %d tries: %v", tries, err)
		}
		quiet(t, err)
	})
}

func TestContextEnds(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		silent := func(http.ResponseWriter) { time.Sleep(time.Minute) }
		g.onRaw("SendMessageToAllUsers", silent)
		g.onRaw("DeleteAllFriends", silent)
		for name, call := range map[string]func(context.Context) error{
			"a send":               func(ctx context.Context) error { return s.SendTextToAllUsers(ctx, "u", "x") },
			"what can be repeated": func(ctx context.Context) error { return s.DeleteAllFriends(ctx, "u", true) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start := time.Now()
			err := call(ctx)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second || errors.Is(err, transport.ErrOutcomeUnknown) != (name == "a send") {
				t.Errorf("%s: after %v: %v", name, time.Since(start), err)
			}
		}
		time.Sleep(time.Minute)
	})
}

func TestMisconfigured(t *testing.T) {
	for _, s := range []*cloud.Service{
		{}, {AppID: 1}, {ServerSecret: "x"}, {AppID: 1, ServerSecret: "x", BaseURL: "file:///x"}, {AppID: 1, ServerSecret: "x", BaseURL: "http://u:p@h/"},
		{AppID: 1, ServerSecret: "x", Region: "a/b@c"},
	} {
		if _, err := s.Dial(t.Context()); !errors.Is(err, transport.ErrMisconfigured) {
			t.Errorf("%+v: %v", s.BaseURL, err)
		}
	}
}

// A clock that is set right in the middle of it does not make the tries endless.
func TestTriesEnd(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		var n atomic.Int32
		g.on("SendMessageToAllUsers", func(args) answer {
			if n.Add(1) == 3 {
				return answer{"Code": 100000004}
			}
			return answer{"Code": 660300005}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		err := s.SendTextToAllUsers(ctx, "u", "x")
		if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Code != 660300005 || n.Load() != 4 {
			t.Errorf("%d requests, %v", n.Load(), err)
		}
	})
}

// What never reached the service, or was refused there because of the rate, does not use the day's broadcasts up.
func TestDayOfNothing(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		good, down := s.HTTPClient, true
		s.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if down {
				return nil, errors.New("no network")
			}
			return good.Transport.(*http.Transport).DialContext(ctx, network, addr)
		}}}
		defer s.HTTPClient.CloseIdleConnections()
		for range 40 {
			if err := s.SendTextToAllUsers(t.Context(), "u", "x"); err == nil {
				t.Error("it was sent")
			}
		}
		down = false
		var n atomic.Int32
		g.on("SendMessageToAllUsers", func(args) answer {
			if n.Add(1) <= 120 {
				return answer{"Code": 660300005}
			}
			return answer{"Code": 0}
		})
		for range 40 {
			if err := s.SendTextToAllUsers(t.Context(), "u", "x"); err == nil {
				t.Error("it was sent")
			}
		}
		for i := range 100 {
			if err := s.SendTextToAllUsers(t.Context(), "u", "x"); err != nil {
				t.Fatalf("broadcast %d of the day: %v", i, err)
			}
		}
		if err := s.SendTextToAllUsers(t.Context(), "u", "x"); err == nil {
			t.Error("there were 101 on one day")
		}
	})
}
