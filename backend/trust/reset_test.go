package trust_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
)

// The service no longer has what a device missed, and the program crashes before its handler was told so: the next run is told.
func TestCrashBeforeSyncReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var st *store.Store
		srv := zimtest.NewServer(t, &zimtest.Options{Config: func(c *backend.Config) { st = c.Store }})
		alice := srv.Login(t, "alice")
		var told []string
		run := func(slow time.Duration) *zim.ZIM {
			z, err := zim.New(srv.Config())
			if err != nil {
				t.Fatal(err)
			}
			zim.On(z, func(ctx context.Context, e *zim.PeerMessageReceived) {
				select {
				case <-time.After(slow):
					told = append(told, says(e.Messages[0]))
				case <-ctx.Done():
				}
			})
			zim.On(z, func(context.Context, *zim.SyncReset) { told = append(told, "reset") })
			if err := z.Login(t.Context(), "bob", &zim.LoginConfig{Token: srv.Token("bob")}); err != nil {
				t.Fatal(err)
			}
			return z
		}
		send := func(n int) {
			if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(n)}, zim.Peer("bob"), nil); err != nil {
				t.Fatal(err)
			}
		}
		bob := run(time.Hour)
		send(1)
		synctest.Wait() // the handler has it, and takes its time
		if err := bob.Logout(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		send(2)
		send(3)
		time.Sleep(time.Second)
		if err := st.Prune(0); err != nil {
			t.Fatal(err)
		}
		if err := bob.Login(t.Context(), "bob", &zim.LoginConfig{Token: srv.Token("bob")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // for heartbeats
		bob.Destroy()
		if len(told) != 0 {
			t.Fatalf("the handlers of the first run got %q, want nothing", told)
		}
		defer run(0).Destroy()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(told) == 0 || told[0] != "reset" {
			t.Errorf("the next run was told %q, want a reset", told)
		}
	})
}
