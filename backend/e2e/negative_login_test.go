package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// issue returns a token for zimtest's app, unless told otherwise.
func issue(t *testing.T, appID uint32, userID string, secret token.Secret, ttl time.Duration, options *token.Options04) string {
	t.Helper()
	tok, err := token.Issue04(appID, userID, secret, ttl, options)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// badTokens are tokens with which alice can't log in, and the codes that she gets. They are made anew: they have times in them.
func badTokens(t *testing.T) map[string]struct {
	token string
	code  int32
} {
	const secret = zimtest.Secret
	good := issue(t, zimtest.AppID, "alice", secret, time.Hour, nil)
	old := issue(t, zimtest.AppID, "alice", secret, time.Hour, &token.Options04{CBC: true})
	ago := func(d time.Duration) *token.Options04 { return &token.Options04{IssuedAt: time.Now().Add(-d)} }
	// flip changes the lowest bits of one character in the middle.
	flip := func(tok string, at int) string {
		c := byte('A')
		if tok[at] == c {
			c = 'B'
		}
		return tok[:at] + string(c) + tok[at+1:]
	}
	return map[string]struct {
		token string
		code  int32
	}{
		"N19/one byte":                {"0", 6000107},
		"N19/prefix alone":            {"04", 6000103},
		"N19/no base64":               {"04!!!!", 6000103},
		"N19/zeros":                   {"04AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 6000103},
		"N19/version 03":              {"03" + good[2:], 6000107},
		"N19/version 05":              {"05" + good[2:], 6000107},
		"N19/long":                    {"04" + strings.Repeat("A", 7000), 6000103},
		"N19/line break":              {good + "\n", 6000103},
		"N20/cut short":               {good[:len(good)-8], 6000103},
		"N20/more behind":             {good + "AAAA", 6000103},
		"N20/one bit, GCM":            {flip(good, len(good)/2), 6000103},
		"N20/one bit, CBC":            {flip(old, len(old)/2), 6000103},
		"N20/expiry, GCM":             {flip(good, 10), 6000103},
		"N24/expiry, CBC":             {flip(old, 10), 6000103},
		"N19/another secret":          {issue(t, zimtest.AppID, "alice", "another secret, it has 32 bytes.", time.Hour, nil), 6000103},
		"N28/another app":             {issue(t, 42, "alice", secret, time.Hour, nil), 6000103},
		"N28/another app, CBC":        {issue(t, 42, "alice", secret, time.Hour, &token.Options04{CBC: true}), 6000103},
		"N27/another user":            {issue(t, zimtest.AppID, "bob", secret, time.Hour, nil), 6000103},
		"N27/upper case":              {issue(t, zimtest.AppID, "Alice", secret, time.Hour, nil), 6000103},
		"N25/expired":                 {issue(t, zimtest.AppID, "alice", secret, time.Hour, ago(time.Hour+61*time.Second)), 6000106},
		"N25/expired long ago":        {issue(t, zimtest.AppID, "alice", secret, time.Hour, ago(1000*time.Hour)), 6000106},
		"N25/good for 29 s":           {issue(t, zimtest.AppID, "alice", secret, 29*time.Second, nil), 6000108},
		"N25/just expired":            {issue(t, zimtest.AppID, "alice", secret, time.Hour, ago(time.Hour+59*time.Second)), 6000108},
		"N26/of the future":           {issue(t, zimtest.AppID, "alice", secret, time.Hour, ago(-61*time.Second)), 6000103},
		"N29/JWT without a signature": {"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.", 6000107},
	}
}

func TestNegativeTokens(t *testing.T) {
	var names []string
	synctest.Test(t, func(t *testing.T) {
		for name := range badTokens(t) {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				test := badTokens(t)[name]
				for transport, dialer := range h.srv.Transports() {
					z := newZIM(t, dialer)
					seen := states(z)
					start := time.Now()
					if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: test.token}); zim.CodeOf(err) != zim.Code(test.code) {
						t.Errorf("%s: got %v, want %d", transport, err, test.code)
					}
					if took := time.Since(start); took != 0 {
						t.Errorf("%s: it took %v", transport, took)
					}
					synctest.Wait()
					if got := z.ConnectionState(); got != zim.ConnectionStateDisconnected || len(*seen) != 2 {
						t.Errorf("%s: got %v after %v, want it disconnected after two states", transport, got, *seen)
					}
				}
				req := loginRequest(h.srv, "alice")
				req.Token = test.token
				c := h.dial(t)
				got := c.call(req).GetError()
				// All that may be forged have one answer.
				if want := (&wire.Error{Code: test.code}); got.GetCode() != test.code || got.GetMessage() != "" || got.RetryAfterMs != 0 {
					t.Errorf("got %v, want %v and nothing more", got, want)
				}
				c.wantStatus(4401)
				if h.registered(t, "alice") {
					t.Error("alice is registered")
				}
				if len(test.token) > 10 && strings.Contains(h.log.String(), test.token[:10]) {
					t.Error("the token is in the log")
				}
			})
		})
	}
	t.Run("N19/empty", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			req := loginRequest(h.srv, "alice")
			req.Token = ""
			c := h.dial(t)
			c.wantRefused(req, 6000103)
			c.wantStatus(4401)
		})
	})
	t.Run("N19/oversized", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			for _, size := range []int{8 << 10, 1 << 20} {
				req := loginRequest(h.srv, "alice")
				req.Token = "04" + strings.Repeat("A", size)
				c := h.dial(t)
				c.send(delimited(c.request(req)))
				c.wantStatus(1009)
			}
			z := newZIM(t, h.srv.InProcess())
			err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04" + strings.Repeat("A", 1<<20)})
			if zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
				t.Errorf("got %v, want %v", err, zim.ErrCommonParamsInvalid)
			}
		})
	})
	t.Run("N25/good for 31 s", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			req := loginRequest(h.srv, "alice")
			req.Token = h.srv.TokenFor("alice", 31*time.Second)
			if resp := h.dial(t).call(req).GetLogin(); resp.GetTokenTtlMs() != 31_000 {
				t.Errorf("got %v, want a login for 31 s", resp)
			}
		})
	})
	t.Run("N27/renewal", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			for name, test := range badTokens(t) {
				if resp := c.call(&wire.RenewTokenRequest{Token: test.token}); resp.GetError().GetCode() != test.code {
					t.Errorf("%s: got %v, want %d", name, resp, test.code)
				}
			}
			if resp := c.call(&wire.HeartbeatRequest{}); resp.GetHeartbeat() == nil {
				t.Errorf("got %v, want a heartbeat: the old token is still good", resp)
			}
		})
	})
}

func TestNegativeLogin(t *testing.T) {
	t.Run("unknown app", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			for name, dialer := range h.srv.Transports() {
				z, err := zim.New(zim.AppConfig{AppID: 42, Transport: dialer})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(z.Destroy)
				if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: h.srv.Token("alice")}); zim.CodeOf(err) != zim.ErrCommonInvalidAppID {
					t.Errorf("%s: got %v, want %v", name, err, zim.ErrCommonInvalidAppID)
				}
			}
			for _, app := range []uint32{0, 42, 4_294_967_295} {
				req := loginRequest(h.srv, "alice")
				req.AppId = app
				c := h.dial(t)
				c.wantRefused(req, 6000003)
				c.wantStatus(4401)
			}
		})
	})
	t.Run("second login on a connection", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			c := h.login(t, "alice")
			c.wantRefused(loginRequest(h.srv, "alice"), 6000111)
			c.wantRefused(loginRequest(h.srv, "mallory"), 6000111)
			bad := loginRequest(h.srv, "alice")
			bad.Token = "04"
			c.wantRefused(bad, 6000111)
			if resp := c.call(textTo("bob", 0, "hello")); resp.GetSendMessage() == nil {
				t.Errorf("got %v, want an acknowledgment: the session stays", resp)
			}
			if e := h.events(t, "bob")[0]; e.Message.Sender.UserID != "alice" {
				t.Errorf("the sender is %s, want alice", e.Message.Sender.UserID)
			}
			if h.registered(t, "mallory") {
				t.Error("mallory is registered")
			}
		})
	})
	t.Run("too many logins of a user", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			for range 10 {
				h.login(t, "alice")
			}
			c := h.dial(t)
			resp := c.call(loginRequest(h.srv, "alice"))
			if e := resp.GetError(); e.GetCode() != 6000005 || e.GetRetryAfterMs() <= 0 {
				t.Errorf("got %v, want the error 6000005 with a time", resp)
			}
			c.wantStatus(4401)
			h.login(t, "erin")
			time.Sleep(time.Second)
			h.login(t, "alice")
		})
	})
	// Somebody who doesn't have a good token can't use up the logins of a user.
	t.Run("bad logins don't count for the user", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			for i := range 50 {
				req := loginRequest(h.srv, "alice")
				req.Token = "04"
				c, _ := h.open(t, fmt.Sprint("192.0.2.", 100+i%10))
				c.wantRefused(req, 6000103)
			}
			h.login(t, "alice")
		})
	})
	t.Run("N34/flood of bad tokens", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			bad := loginRequest(h.srv, "alice")
			bad.Token = issue(t, zimtest.AppID, "alice", "another secret, it has 32 bytes.", time.Hour, nil)
			got := map[int]int{}
			for range 100 {
				c, resp := h.open(t, "198.51.100.7")
				if resp.StatusCode != 101 {
					if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
						t.Errorf("got %s with Retry-After %q, want 503 with one", resp.Status, resp.Header.Get("Retry-After"))
					}
					got[resp.StatusCode]++
					continue
				}
				c.call(bad)
				for c.next() != nil {
				}
				got[c.status]++
				synctest.Wait()
				h.login(t, fmt.Sprint("user", got[c.status])) // from another address
				time.Sleep(10 * time.Millisecond)
			}
			if got[4401] < 10 || got[4401] > 15 || got[4429]+got[503] != 100-got[4401] || got[503] == 0 {
				t.Errorf("got %v, want 4401 for about 10, and 4429 or 503 for the others", got)
			}
			log := h.log.String()
			if n := strings.Count(log, "login refused"); n != got[4401]+got[4429] {
				t.Errorf("the log has %d lines for %d logins", n, got[4401]+got[4429])
			}
			if strings.Contains(log, bad.Token[:20]) {
				t.Error("the token is in the log")
			}
			time.Sleep(2 * time.Second)
			if _, resp := h.open(t, "198.51.100.7"); resp.StatusCode != 101 {
				t.Errorf("got %s two seconds later, want 101", resp.Status)
			}
		})
	})
	t.Run("N34/many bad tokens in a message", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.dial(t)
			bad := loginRequest(h.srv, "alice")
			bad.Token = "04"
			var frames []*wire.Frame
			for range 50 {
				frames = append(frames, c.request(bad))
			}
			c.send(delimited(append(frames, c.request(loginRequest(h.srv, "alice")))...))
			answers := 0
			for c.next() != nil {
				answers++
			}
			if answers != 1 || c.status != 4401 || h.registered(t, "alice") {
				t.Errorf("got %d answers and status %d, alice registered %v, want 1, 4401, false", answers, c.status, h.registered(t, "alice"))
			}
		})
	})
}

// An evicted run of a client does not come back by itself, and nothing of it is stored after the other login.
func TestNegativeKicked(t *testing.T) {
	other := func(srv *zimtest.Server) *wire.LoginRequest {
		req := loginRequest(srv, "alice")
		req.InstanceId, req.Platform = instanceOf("another device"), 3
		return req
	}
	t.Run("N45/resume", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			first, second := h.login(t, "alice"), h.dial(t)
			second.call(other(h.srv))
			first.wantStatus(4409)
			if n := len(first.pushes); n != 1 || first.pushes[0].SessionEnd.GetReason() != wire.SessionEndReason_SESSION_END_REASON_KICKED_OUT ||
				first.pushes[0].SessionEnd.Platform != 3 {
				t.Errorf("got the pushes %v, want the end of the session", first.pushes)
			}
			for range 3 {
				back := loginRequest(h.srv, "alice")
				back.Resume = true
				c := h.dial(t)
				resp := c.call(back)
				if e := resp.GetError(); e.GetCode() != 6000121 || e.GetSessionEnd().GetReason() != wire.SessionEndReason_SESSION_END_REASON_KICKED_OUT {
					t.Errorf("got %v, want the error 6000121 and the end of the session", resp)
				}
				c.wantStatus(4409)
			}
			if resp := second.call(&wire.HeartbeatRequest{}); resp.GetHeartbeat() == nil {
				t.Errorf("got %v, want a heartbeat of the second device", resp)
			}
			// A new login is another matter.
			h.login(t, "alice")
			second.wantStatus(4409)
		})
	})
	t.Run("N45/frames after the kick", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			first, bob := h.login(t, "alice"), h.login(t, "bob")
			first.call(textTo("bob", 0, "lawful"))
			h.dial(t).call(other(h.srv))
			synctest.Wait()
			for range 3 {
				command := textTo("bob", 2, "late")
				command.Type = 2
				first.send(delimited(
					first.request(textTo("bob", 1, "late")),
					first.request(command),
					first.request(&wire.RenewTokenRequest{Token: h.srv.Token("alice")}),
					first.request(&wire.SyncRequest{After: &wire.Position{Epoch: h.store.Epoch()}}),
					first.request(&wire.LogoutRequest{}),
					first.request(loginRequest(h.srv, "alice")),
				))
				synctest.Wait()
				time.Sleep(time.Second)
			}
			for f := first.next(); f != nil; f = first.next() {
				if r := f.Response; r != nil && r.GetError().GetCode() != 6000121 {
					t.Errorf("got %v, want the error 6000121", f)
				}
			}
			if first.status != 4409 {
				t.Errorf("got status %d, want 4409", first.status)
			}
			bob.call(&wire.HeartbeatRequest{})
			if len(bob.pushes) != 1 {
				t.Errorf("bob got %v, want the one message", bob.pushes)
			}
			if !h.srv.Backend().UserOnline(zimtest.AppID, "alice") {
				t.Error("alice is not online although her other device is")
			}
		})
	})
	// What is in the same transaction behind the login is not stored either; what is in front of it is.
	t.Run("N45/in the transaction of the kick", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			first, second := h.login(t, "alice"), h.dial(t)
			release := h.hold(t)
			first.send(delimited(first.request(textTo("bob", 0, "in time"))))
			synctest.Wait()
			second.send(delimited(second.request(other(h.srv))))
			synctest.Wait()
			first.send(delimited(first.request(textTo("bob", 1, "late"))))
			synctest.Wait()
			release()
			if resp := first.answer(2); resp.GetSendMessage().GetMessageSeq() != 1 {
				t.Errorf("got %v, want message 1", resp)
			}
			if resp := first.answer(3); resp != nil && resp.GetError().GetCode() != 6000121 {
				t.Errorf("got %v, want the error 6000121 or none", resp)
			}
			first.wantStatus(4409)
		})
	})
	t.Run("N45/frames after the logout", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c, bob := h.login(t, "alice"), h.login(t, "bob")
			command := textTo("bob", 1, "late")
			command.Type = 2
			c.send(delimited(c.request(&wire.LogoutRequest{}), c.request(textTo("bob", 0, "late")), c.request(command)))
			c.wantStatus(1000)
			bob.call(&wire.HeartbeatRequest{})
			if len(bob.pushes) != 0 {
				t.Errorf("bob got %v", bob.pushes)
			}
		})
	})
	t.Run("N45/frames of a connection that was replaced", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			first := h.login(t, "alice")
			back := loginRequest(h.srv, "alice")
			back.Resume = true
			second := h.dial(t)
			if resp := second.call(back); resp.GetLogin() == nil {
				t.Fatalf("got %v, want a login", resp)
			}
			first.send(delimited(first.request(textTo("bob", 0, "late"))))
			first.wantStatus(4410)
			if len(first.pushes) != 0 {
				t.Errorf("got %v, want no end of the session: it goes on elsewhere", first.pushes)
			}
			if resp := second.call(&wire.HeartbeatRequest{}); resp.GetHeartbeat() == nil {
				t.Errorf("got %v, want a heartbeat", resp)
			}
		})
	})
	t.Run("by an administrator", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			h.srv.Kick("alice")
			c.send(delimited(c.request(textTo("bob", 0, "late"))))
			c.wantStatus(4409)
			back := loginRequest(h.srv, "alice")
			back.Resume = true
			h.dial(t).wantRefused(back, 6000121)
		})
	})
}

// hold keeps the store busy until release is called: what is submitted meanwhile shares a transaction.
func (h *host) hold(t *testing.T) (release func()) {
	t.Helper()
	held, done := make(chan struct{}), make(chan error)
	go func() {
		done <- h.store.Update(func(*store.Tx) error {
			<-held
			return nil
		})
	}()
	synctest.Wait()
	return func() {
		close(held)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// N46: a session ends when its token does, to the second, and nothing of it is stored afterwards.
func TestNegativeExpiry(t *testing.T) {
	shortLogin := func(srv *zimtest.Server) *wire.LoginRequest {
		req := loginRequest(srv, "alice")
		req.Token = srv.TokenFor("alice", time.Minute)
		return req
	}
	// wantEnd checks that the session ends in that time.
	wantEnd := func(t *testing.T, c *rawConn, want time.Duration) {
		t.Helper()
		start := time.Now()
		c.wantStatus(4401)
		if took := time.Since(start); took != want {
			t.Errorf("ended after %v, want %v", took, want)
		}
		if n := len(c.pushes); n == 0 || c.pushes[n-1].SessionEnd.GetReason() != wire.SessionEndReason_SESSION_END_REASON_TOKEN_EXPIRED {
			t.Errorf("got the pushes %v, want the end of the session", c.pushes)
		}
	}
	t.Run("N46/without a renewal", func(t *testing.T) {
		hostile(t, zimtest.Options{Config: patient}, func(t *testing.T, h *host) {
			c := h.dial(t)
			if resp := c.call(shortLogin(h.srv)); resp.GetLogin().GetTokenTtlMs() != 60_000 {
				t.Errorf("got %v, want a login for a minute", resp)
			}
			wantEnd(t, c, time.Minute)
		})
	})
	t.Run("N46/frames afterwards", func(t *testing.T) {
		hostile(t, zimtest.Options{Config: patient}, func(t *testing.T, h *host) {
			h.stored = 1
			c := h.dial(t)
			c.call(shortLogin(h.srv))
			c.call(textTo("bob", 0, "in time"))
			time.Sleep(time.Minute)
			synctest.Wait()
			c.send(delimited(c.request(textTo("bob", 1, "late")), c.request(&wire.RenewTokenRequest{Token: h.srv.Token("alice")}), c.request(textTo("bob", 2, "late"))))
			for id := c.id - 2; id <= c.id; id++ {
				if resp := c.answer(id); resp != nil && resp.GetError().GetCode() != 6000121 {
					t.Errorf("got %v, want the error 6000121", resp)
				}
			}
			if c.status != 4401 {
				t.Errorf("got status %d, want 4401", c.status)
			}
		})
	})
	t.Run("N46/with the transaction", func(t *testing.T) {
		hostile(t, zimtest.Options{Config: patient}, func(t *testing.T, h *host) {
			c := h.dial(t)
			c.call(shortLogin(h.srv))
			release := h.hold(t)
			c.send(delimited(c.request(textTo("bob", 0, "submitted in time, committed late"))))
			time.Sleep(time.Minute)
			synctest.Wait()
			release()
			c.wantStatus(4401)
		})
	})
	t.Run("N46/after a renewal", func(t *testing.T) {
		hostile(t, zimtest.Options{Config: patient}, func(t *testing.T, h *host) {
			c := h.dial(t)
			c.call(shortLogin(h.srv))
			time.Sleep(50 * time.Second)
			c.wantRefused(&wire.RenewTokenRequest{Token: h.srv.TokenFor("alice", 20*time.Second)}, 6000108)
			resp := c.call(&wire.RenewTokenRequest{Token: h.srv.TokenFor("alice", 100*time.Second)})
			if resp.GetRenewToken().GetTokenTtlMs() != 100_000 {
				t.Errorf("got %v, want a renewal for 100 s", resp)
			}
			wantEnd(t, c, 100*time.Second)
		})
	})
	t.Run("N46/after a resume in the last 30 s", func(t *testing.T) {
		hostile(t, zimtest.Options{Config: patient}, func(t *testing.T, h *host) {
			req := shortLogin(h.srv)
			first := h.dial(t)
			first.call(req)
			time.Sleep(45 * time.Second)
			first.conn.Close()
			req.Resume = true
			c := h.dial(t)
			if resp := c.call(req); resp.GetLogin().GetTokenTtlMs() != 15_000 {
				t.Errorf("got %v, want a login for 15 s", resp)
			}
			wantEnd(t, c, 15*time.Second)
		})
	})
	t.Run("N46/resume with a token that expired", func(t *testing.T) {
		for _, late := range []time.Duration{0, time.Second, 59 * time.Second, 61 * time.Second, 30 * time.Minute} {
			t.Run(late.String(), func(t *testing.T) {
				hostile(t, zimtest.Options{Config: patient}, func(t *testing.T, h *host) {
					req := shortLogin(h.srv)
					h.dial(t).call(req)
					time.Sleep(time.Minute + late)
					req.Resume = true
					c := h.dial(t)
					if resp := c.call(req); resp.GetError().GetCode() != 6000106 {
						t.Errorf("got %v, want the error 6000106", resp)
					}
				})
			})
		}
	})
	t.Run("N46/SDK", func(t *testing.T) {
		onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
			for name, cut := range map[string]time.Duration{"kept": time.Hour, "cut early": 10 * time.Second, "cut late": 45 * time.Second} {
				z := newZIM(t, dialer)
				var ended time.Duration
				start := time.Now()
				last := ""
				zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
					last = fmt.Sprintf("%d,%d", e.State, e.Event)
					if e.State == zim.ConnectionStateDisconnected {
						ended = time.Since(start)
					}
				})
				if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.TokenFor("alice", time.Minute)}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(min(cut, 2*time.Minute))
				srv.Cut("alice")
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				// What is left of the token is told in milliseconds.
				if last != "0,5" || ended.Round(2*time.Millisecond) != time.Minute {
					t.Errorf("%s: ended with %v after %v, want 0,5 after 1m", name, last, ended)
				}
				if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "late"}, zim.Peer("bob"), nil); zim.CodeOf(err) != zim.ErrNetworkUserIsNotLogged {
					t.Errorf("%s: a send afterwards: got %v, want %v", name, err, zim.ErrNetworkUserIsNotLogged)
				}
				z.Destroy()
			}
		})
	})
}

// patient lets clients be silent: raw ones send no heartbeats.
func patient(c *backend.Config) { c.OfflineAfter = time.Hour }

// A client that is gone before its login is committed is not there afterwards.
func TestGoneDuringLogin(t *testing.T) {
	hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
		for name, dialer := range h.srv.Transports() {
			conn, err := dialer.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			release := h.hold(t)
			ctx, cancel := context.WithCancel(t.Context())
			go conn.RoundTrip(ctx, &wire.Request{Body: &wire.Request_Login{Login: loginRequest(h.srv, "alice")}})
			synctest.Wait()
			cancel()
			conn.Close()
			synctest.Wait()
			release()
			time.Sleep(time.Minute)
			if h.srv.Backend().UserOnline(zimtest.AppID, "alice") {
				t.Errorf("%s: alice is online a minute later", name)
			}
			if n := h.srv.Cut("alice"); n != 0 {
				t.Errorf("%s: alice has %d connections", name, n)
			}
		}
	})
}
