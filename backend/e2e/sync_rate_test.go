package e2e_test

import (
	"testing"
	"time"

	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// Who asks for the same events again and again is slowed down, to 100 requests or 5 000 events in a second, and is not refused. Others are not
// slowed down, and what else goes over the connection waits for no longer than a request.
func TestNegativeSyncLoop(t *testing.T) {
	for name, test := range map[string]struct {
		events int
		rate   float64
	}{
		"nothing":   {0, 100},
		"full page": {500, 100.0 / 11},
	} {
		t.Run(name, func(t *testing.T) {
			hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
				mallory, alice := h.login(t, "mallory"), h.login(t, "alice")
				for i := range test.events {
					alice.ok(textTo("mallory", i+1, "x"))
				}
				if took := synced(h, alice, 100, 0); took != 0 {
					t.Errorf("a hundred requests of another user took %v", took)
				}
				synced(h, mallory, 400/(1+test.events/50), test.events) // what may be asked for at once
				const n = 50
				want := time.Duration(n / test.rate * float64(time.Second))
				if took := synced(h, mallory, n, test.events); took < want*95/100 || took > want*105/100 {
					t.Errorf("%d requests took %v, want %v", n, took, want)
				}
				f := mallory.request(&wire.SyncRequest{After: &wire.Position{Epoch: h.store.Epoch()}})
				mallory.send(delimited(f))
				start := time.Now()
				mallory.ok(&wire.HeartbeatRequest{})
				if took := time.Since(start); took > 200*time.Millisecond {
					t.Errorf("a heartbeat took %v", took)
				}
			})
		})
	}
}

// synced asks for events n times, of which there must be some, and returns how long that took.
func synced(h *host, c *rawConn, n, events int) time.Duration {
	c.t.Helper()
	start := time.Now()
	for range n {
		resp := c.ok(&wire.SyncRequest{After: &wire.Position{Epoch: h.store.Epoch()}})
		if got := len(resp.GetSync().GetEvents().GetEvents()); got != events {
			c.t.Fatalf("got %d events, want %d", got, events)
		}
	}
	return time.Since(start)
}
