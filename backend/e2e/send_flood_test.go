package e2e_test

import (
	"testing"
	"time"

	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// Who sends faster than the limits allow is refused at once, and takes none of the time that there is for others.
func TestNegativeSendFlood(t *testing.T) {
	hostile(t, zimtest.Options{StoreCost: 100 * time.Microsecond}, func(t *testing.T, h *host) {
		alice, mallory := h.login(t, "alice"), h.login(t, "mallory")
		for i := range 400 { // until she has sent what may be sent at once
			mallory.call(textTo("bob", i, "flood"))
		}
		for i := range 10 {
			for n := range 1000 {
				mallory.send(delimited(mallory.request(textTo("bob", 400+1000*i+n, "flood"))))
			}
			mallory.ok(&wire.HeartbeatRequest{}) // all that was before it has been taken
			start := time.Now()
			alice.ok(textTo("bob", i, "hello"))
			if took := time.Since(start); took > 10*time.Millisecond {
				t.Errorf("a message of somebody else took %v", took)
			}
		}
		// A few of the flood's are within the rate.
		if h.stored = h.last(t, "bob"); h.stored > 330 {
			t.Errorf("%d messages are stored, want about 310 of one and 10 of the other", h.stored)
		}
	})
}
