package cloud_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/transport/cloud"
)

var question = object{
	"request_id": "q", "from_user_id": "alice", "conv_id": "g", "conv_type": 2, "msg_id": "5", "payload": "p", "msg_type": 200,
	"sub_msg_type": 3, "msg_body": "secret words",
}

// OnModeration decides before a message is sent.
func TestModeration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		asked := 0
		s.OnModeration = func(_ context.Context, m *cloud.Moderation) cloud.Verdict {
			asked++
			want := cloud.Moderation{
				RequestID: "q", FromUserID: "alice", ConversationType: 2, ConversationID: "g", MessageID: "5", MessageType: 200, SubMsgType: 3,
				Body: "secret words", ExtendedData: "p",
			}
			if *m != want {
				t.Errorf("got %+v, want %+v", *m, want)
			}
			return cloud.Verdict{Decision: cloud.DecisionRefuse, Reason: "no", NewExtendedData: "x", NewBody: "y"}
		}
		o := signed("before_send_msg", question)
		for range 2 {
			if w := send(s, o); w.Code != http.StatusOK || w.Body.String() != `{"result":3,"reason":"no","new_payload":"x","new_msg_body":"y"}` {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		}
		if asked != 1 {
			t.Errorf("it was asked %d times, want once", asked)
		}
		must(t, s, signed("before_send_msg", question.with("msg_type", "x")), http.StatusBadRequest)
	})
}

// The answer is in time whatever the handler does, and says what the app wants for that case.
func TestUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		log := logTo(s)
		s.DefaultVerdict = cloud.Verdict{Decision: cloud.DecisionSend}
		ask := func(what string) {
			t.Helper()
			start := time.Now()
			w := send(s, signed("before_send_msg", question))
			if w.Code != http.StatusOK || w.Body.String() != `{"result":1}` || time.Since(start) > 2*time.Second {
				t.Errorf("%s: got %d %s after %v, want the default in 2s", what, w.Code, w.Body, time.Since(start))
			}
		}
		ask("no handler")
		s.OnModeration = func(_ context.Context, m *cloud.Moderation) cloud.Verdict { panic(m.Body) }
		ask("a panic")
		if got := log.String(); !strings.Contains(got, "panicked") || strings.Contains(got, "secret words") {
			t.Errorf("got %q, want that it panicked, and not why", got)
		}
		s.OnModeration = func(ctx context.Context, _ *cloud.Moderation) cloud.Verdict {
			<-ctx.Done()
			time.Sleep(time.Hour)
			return cloud.Verdict{}
		}
		var all sync.WaitGroup
		for range 256 {
			all.Go(func() { ask("a slow handler") })
		}
		all.Wait()
		start := time.Now()
		ask("too many")
		if time.Since(start) != 0 {
			t.Error("it waited, although there was no room for a handler")
		}
		if got := s.CallbackCounts().Undecided; got != 258 {
			t.Errorf("got %d undecided, want 258", got)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v, want that handlers run", err)
		}
		must(t, s, signed("room_destroy", nobody), http.StatusServiceUnavailable)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got < time.Hour-2*time.Second {
			t.Errorf("Shutdown waited %v, want until the handlers returned", got)
		}
	})
}

// N67: the same question that comes while it is considered waits for the answer.
func TestSameQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		asked := 0
		s.OnModeration = func(context.Context, *cloud.Moderation) cloud.Verdict {
			asked++
			time.Sleep(time.Second)
			return cloud.Verdict{Decision: cloud.DecisionSwallow}
		}
		o := signed("before_send_msg", question)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if w := send(s, o); w.Body.String() != `{"result":2}` {
					t.Errorf("got %d %s, want what the handler decided", w.Code, w.Body)
				}
			})
		}
		all.Wait()
		if asked != 1 {
			t.Errorf("it was asked %d times, want once", asked)
		}

		// Who waits no longer is not waited for.
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		o = signed("before_send_msg", question)
		all.Go(func() { send(s, o) })
		synctest.Wait()
		r := httptest.NewRequest(http.MethodPost, "/callback", strings.NewReader(o.json())).WithContext(ctx)
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable {
			t.Errorf("got %d, want 503", w.Code)
		}
		all.Wait()
	})
}

// A question whose connection breaks is not answered by it: when the service asks again, it gets what the handler says, and not what there is
// without, nor what a handler said that was told to stop.
func TestBrokenQuestion(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context) bool{
		"the handler goes on": func(context.Context) bool { time.Sleep(500 * time.Millisecond); return true },
		"the handler stops": func(ctx context.Context) bool {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(500 * time.Millisecond):
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
				s := newService()
				s.OnModeration = func(ctx context.Context, _ *cloud.Moderation) cloud.Verdict {
					if !wait(ctx) {
						return cloud.Verdict{}
					}
					return cloud.Verdict{Decision: cloud.DecisionRefuse}
				}
				o := signed("before_send_msg", question)
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/callback", strings.NewReader(o.json())).WithContext(ctx))
				if w.Code != http.StatusServiceUnavailable {
					t.Errorf("the broken one got %d %s", w.Code, w.Body)
				}
				if w := send(s, o); w.Code != http.StatusOK || w.Body.String() != `{"result":3}` {
					t.Errorf("the second one got %d %s", w.Code, w.Body)
				}
				time.Sleep(time.Second)
			})
		})
	}
}
