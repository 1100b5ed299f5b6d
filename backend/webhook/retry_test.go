package webhook_test

import (
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/backend/zimtest"
)

func logTo(w io.Writer) func(*webhook.Config) {
	return func(c *webhook.Config) { c.Logger = slog.New(slog.NewTextHandler(w, nil)) }
}

func registered(srv *zimtest.Server, userID string) zim.ConversationRef {
	srv.Register(userID)
	return zim.Peer(userID)
}

// messages leaves all other events out.
func messages(c *webhook.Config) {
	c.Apps[0].URLs = webhook.To(zimtest.CallbackURL, webhook.SendMsg)
}

func refuse(w http.ResponseWriter, _ *http.Request, _ callback) {
	w.WriteHeader(http.StatusServiceUnavailable)
}

// G18: what is not taken is tried again 2, 4, 8, 16 and 32 seconds after the try before, then kept for a week, in which it can be replayed.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		rc := &receiver{answer: func(w http.ResponseWriter, r *http.Request, c callback) {
			if down.Load() {
				refuse(w, r, c)
			}
		}}
		srv := start(t, rc, zimtest.Options{Webhook: messages})
		alice, bob := srv.Login(t, "alice"), registered(srv, "bob")
		down.Store(true)
		begun := time.Now()
		send(t, alice, bob, "one")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for i, want := range []time.Duration{0, 2, 6, 14, 30, 62} {
			if i >= len(rc.came) {
				t.Fatalf("%d tries", len(rc.came))
			}
			if got := rc.came[i].Sub(begun); got.Round(100*time.Millisecond) != want*time.Second {
				t.Errorf("try %d after %v, want %v", i, got, want*time.Second)
			}
			if c := rc.got[i]; c.text("signature") != rc.got[0].text("signature") {
				t.Errorf("try %d has another signature", i)
			}
		}
		if len(rc.came) != 6 {
			t.Errorf("%d tries, want 6", len(rc.came))
		}
		dead, err := srv.Callbacks().Dead(t.Context(), zimtest.AppID, 0, 10)
		if err != nil || len(dead) != 1 || dead[0].Event != "send_msg" || dead[0].Tries != 6 {
			t.Fatalf("given up are %v, %v", dead, err)
		}
		down.Store(false)
		first := rc.all("")[0]
		time.Sleep(6 * 24 * time.Hour)
		if n, err := srv.Callbacks().Replay(zimtest.AppID); n != 1 || err != nil {
			t.Fatalf("replayed %d, %v", n, err)
		}
		time.Sleep(time.Second)
		if list := rc.all(""); len(list) != 7 || list[6].text("nonce") != first.text("nonce") || list[6].text("msg_id") != first.text("msg_id") {
			t.Errorf("%d tries after the replay", len(list))
		}
		if n, err := srv.Callbacks().Replay(0); n != 0 || err != nil {
			t.Errorf("replayed %d more, %v", n, err)
		}

		down.Store(true)
		send(t, srv.Login(t, "carol"), bob, "two") // the token of the other one has expired
		time.Sleep(8 * 24 * time.Hour)
		if dead, err := srv.Callbacks().Dead(t.Context(), zimtest.AppID, 0, 10); err != nil || len(dead) != 0 {
			t.Errorf("after more than a week, there are %v, %v", dead, err)
		}
	})
}

// A restart goes on where it was, and what happened while nobody took it is not lost.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		rc := &receiver{answer: func(w http.ResponseWriter, r *http.Request, c callback) {
			if down.Load() {
				refuse(w, r, c)
			}
		}}
		srv := start(t, rc, zimtest.Options{Webhook: messages})
		alice, bob := srv.Login(t, "alice"), registered(srv, "bob")
		send(t, alice, bob, "one")
		time.Sleep(3 * time.Second)
		srv.Stop()
		time.Sleep(10 * time.Minute)
		down.Store(false)
		rc.told("")
		srv.Start()
		same(t, rc.told("", "event", "msg_body"), "send_msg one")
		time.Sleep(time.Minute)
		same(t, rc.told(""))
	})
}

// An endpoint that hangs costs itself its turn, and nobody else; and it is asked no more than so many times at once.
func TestSlowEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := &receiver{answer: func(w http.ResponseWriter, r *http.Request, _ callback) {
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
			}
		}}
		srv := start(t, rc, zimtest.Options{Webhook: func(c *webhook.Config) {
			c.Concurrency = 3
			c.Apps[0].URLs = map[string]string{webhook.SendMsg: "http://localhost/slow", webhook.GroupCreate: zimtest.CallbackURL}
		}})
		alice, bob := srv.Login(t, "alice"), registered(srv, "bob")
		for range 20 {
			send(t, alice, bob, "hi")
			time.Sleep(100 * time.Millisecond)
		}
		_, err := alice.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g"}, nil, nil)
		must(t, err)
		time.Sleep(time.Second)
		if got := len(rc.all("group_create")); got != 1 {
			t.Errorf("the other endpoint was told %d times", got)
		}
		if got := len(rc.all("send_msg")); got != 3 {
			t.Errorf("the endpoint that hangs was asked %d times, want 3", got)
		}
		time.Sleep(10 * time.Second)
		if got := len(rc.all("send_msg")); got != 6 {
			t.Errorf("after the timeout, it was asked %d times, want 6", got)
		}
	})
}
