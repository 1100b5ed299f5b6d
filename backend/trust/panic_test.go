package trust_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
)

// A handler that panics ends the program, as any panic does: nobody hides it. What it was told comes again in the next run. The first run has a
// process of its own.
func TestHandlerPanics(t *testing.T) {
	const dirVar = "ZIM_TRUST_PANIC"
	first := os.Getenv(dirVar)
	dir := first
	if first == "" {
		dir = t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^TestHandlerPanics$")
		cmd.Env = append(os.Environ(), dirVar+"="+dir)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "panic: a bug") {
			t.Fatalf("got %v and the output\n%s\nwant the handler's panic", err, out)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, &zimtest.Options{Dir: dir})
		bob, err := zim.New(srv.Config())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(bob.Destroy)
		got := make(chan string, 1)
		zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) {
			if first != "" {
				panic("a bug")
			}
			got <- says(e.Messages[0])
		})
		if err := bob.Login(t.Context(), "bob", &zim.LoginConfig{Token: srv.Token("bob")}); err != nil {
			t.Fatal(err)
		}
		if first != "" {
			if _, err := srv.Login(t, "alice").SendMessage(t.Context(), &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), nil); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case text := <-got:
			if text != "hi" {
				t.Errorf("the next run got %q", text)
			}
		case <-time.After(time.Minute):
			t.Error("the next run got nothing")
		}
	})
}
