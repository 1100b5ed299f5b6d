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

// So is who says in each of many heartbeats that another event was handled: how far that came is kept once for many of them.
func TestNegativeHeartbeatFlood(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless, StoreCost: 100 * time.Microsecond}, func(t *testing.T, h *host) {
		h.stored = 1000
		alice, bob := h.login(t, "alice"), h.login(t, "bob")
		for n := range h.stored {
			alice.ok(textTo("bob", int(n), "hello"))
		}
		for n := range h.stored {
			at := &wire.Position{Epoch: h.store.Epoch(), Seq: uint64(n) + 1}
			bob.send(delimited(bob.request(&wire.HeartbeatRequest{Handled: at})))
		}
		bob.ok(&wire.HeartbeatRequest{}) // all that was before it has been taken
		start := time.Now()
		alice.ok(commandTo("bob", 1000, []byte("x")))
		h.stored++
		alice.ok(textTo("bob", 1001, "hello"))
		if took := time.Since(start); took > 10*time.Millisecond {
			t.Errorf("a message of somebody else took %v", took)
		}
		bob.ok(&wire.HeartbeatRequest{Handled: &wire.Position{Epoch: h.store.Epoch(), Seq: 1000}})
		h.hold(t)() // the store has come so far
		again := loginRequest(h.srv, "bob")
		again.InstanceId = instanceOf("another run")
		if resp := h.dial(t).call(again).GetLogin(); resp.GetPosition().GetSeq() != 1000 {
			t.Errorf("another run begins at %v, want 1000", resp.GetPosition())
		}
	})
}
