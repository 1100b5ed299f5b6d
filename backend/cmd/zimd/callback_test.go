//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/websocket"
)

// zimd tells the app's server what happens. What nobody took is told again after a replay.
func TestCallbacks(t *testing.T) {
	var mu sync.Mutex
	var got []string // guarded by mu
	var down atomic.Bool
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c struct{ Event, Msg_body, AppID, Signature string }
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil || c.AppID != "1" || len(c.Signature) != 40 {
			t.Errorf("%v, app %q, signature %q", err, c.AppID, c.Signature)
		}
		mu.Lock()
		got = append(got, c.Event+" "+c.Msg_body)
		mu.Unlock()
		if down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer hook.Close()
	told := func(what string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(strings.Join(got, "\n"), what)
		}
	}
	const secret = "callback secret, 32 bytes of it."
	db := filepath.Join(t.TempDir(), "zim.db")
	env := []string{"ZIM_APP_SECRET=" + testSecret.Reveal(), "ZIM_CALLBACK_SECRET=" + secret}
	args := []string{"serve", "--dev", "--listen=127.0.0.1:0", "--db=" + db, "--callback-url=" + hook.URL + "/hook", "--callback-events=send_msg,group_create"}
	p := start(t, env, args...)
	export := regexp.MustCompile(`(?m)^export ZIM_URL=(\S+) ZIM_APP_ID=1 ZIM_USER='alice' ZIM_TOKEN=(\S+)$`)
	var line []string
	until(t, func() bool {
		line = export.FindStringSubmatch(p.stdout.String())
		return line != nil
	})
	z, _ := connect(t, 1, websocket.Dialer{URL: line[1]})
	if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: line[2]}); err != nil {
		t.Fatal(err)
	}
	if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "one"}, zim.Peer("bob"), nil); err != nil {
		t.Fatal(err)
	}
	until(t, told("send_msg one"))
	if told("user_action")() {
		t.Error("told of an event that was not asked for")
	}
	down.Store(true)
	if _, err := z.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	until(t, told("group_create"))
	p.Process.Signal(syscall.SIGTERM)
	if status := p.exit(t); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	for _, word := range []string{secret, "/hook", "one"} {
		if strings.Contains(strings.ReplaceAll(p.stderr.String(), "none", ""), word) {
			t.Errorf("the log has %q", word)
		}
	}

	// It was not given up yet: there is nothing to replay, and it comes again by itself.
	r := start(t, nil, "callbacks", "replay", "--db="+db)
	if status := r.exit(t); status != 0 || !strings.HasPrefix(r.stdout.String(), "0 callbacks") {
		t.Errorf("replay: status %d, %s%s", status, r.stdout.String(), r.stderr.String())
	}
	mu.Lock()
	got = nil
	mu.Unlock()
	down.Store(false)
	p = start(t, env, args...)
	until(t, told("group_create"))
	p.Process.Signal(syscall.SIGTERM)
	p.exit(t)
}
