package e2e_test

import (
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// How far a device has come is kept by a later heartbeat if the store could not keep it when it was news, as on a full disk.
func TestHandledIsKeptLater(t *testing.T) {
	dir := t.TempDir()
	exec := func(sql string) {
		t.Helper()
		conn, err := sqlite.OpenConn(filepath.Join(dir, "zim.db"), sqlite.OpenReadWrite|sqlite.OpenWAL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := sqlitex.ExecuteTransient(conn, sql, nil); err != nil {
			t.Fatal(err)
		}
	}
	hostile(t, zimtest.Options{Dir: dir}, func(t *testing.T, h *host) {
		h.stored = 2
		alice, bob := h.login(t, "alice"), h.login(t, "bob")
		for n := range h.stored {
			alice.ok(textTo("bob", int(n), "hello"))
		}
		handled := &wire.HeartbeatRequest{Handled: &wire.Position{Epoch: h.store.Epoch(), Seq: 2}}
		exec("CREATE TRIGGER full BEFORE UPDATE ON device BEGIN SELECT RAISE(ABORT, 'full'); END")
		bob.ok(handled)
		h.hold(t)() // the store has come so far
		exec("DROP TRIGGER full")
		bob.ok(handled)
		again := loginRequest(h.srv, "bob")
		again.InstanceId = instanceOf("another run")
		if resp := h.dial(t).call(again).GetLogin(); resp.GetPosition().GetSeq() != 2 {
			t.Errorf("another run begins at %v, want 2", resp.GetPosition())
		}
	})
}
