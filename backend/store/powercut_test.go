//go:build unix

package store_test

import (
	"slices"
	"testing"

	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/backend/store"
)

// cutFigures is what the power cuts of a test came to.
type cutFigures struct {
	cuts, kills int
	due, lost   int          // deeds that were acknowledged before the cut
	kinds       map[kind]int // of those that were due, and there
	// how often SQLite's log was moved into the file, and begun anew
	checkpoints, restarts int
}

// A power cut loses nothing that was acknowledged, whatever becomes of what was not synced, and leaves a file that is whole: transactions
// are there from the first to some last one, and none in part.
func TestPowerCuts(t *testing.T) {
	report := tier.Begin(t, "power cuts")
	got := powerCuts(t, "", tier.Pick(200, 20_000)/slow)
	if got.lost > 0 {
		t.Errorf("%d of %d acknowledged operations were lost", got.lost, got.due)
	}
	if worlds := got.cuts / 45; got.checkpoints < 2*worlds || got.restarts < 2*worlds {
		t.Errorf("in %d worlds, there were %d checkpoints, and the log was begun %d times", worlds, got.checkpoints, got.restarts)
	}
	for _, k := range kinds {
		if got.kinds[k] < got.cuts {
			t.Errorf("of the kind %q, %d acknowledged operations were there after %d cuts", k, got.kinds[k], got.cuts)
		}
	}
	report(map[string]any{
		"kinds": got.kinds, "cuts": got.cuts, "kills": got.kills, "acked": got.due, "lost": got.lost, "checkpoints": got.checkpoints, "restarts": got.restarts,
	})
}

// The test above finds what is lost: with a commit that does not wait for the disk, there is something.
func TestPowerCutsFindLoss(t *testing.T) {
	report := tier.Begin(t, "power cuts without waiting")
	got := powerCuts(t, "NORMAL", tier.Pick(30, 1000)/slow)
	if got.lost == 0 {
		t.Errorf("none of %d acknowledged operations was lost, although nobody waited for the disk", got.due)
	}
	report(map[string]any{"cuts": got.cuts, "acked": got.due, "lost": got.lost})
}

// powerCuts does cuts power cuts. Each world has three lives: a store is opened, works and is closed. The power is cut at many points of
// that, each time from the beginning; then the next life begins after one of the cuts, after a kill or after the close.
func powerCuts(t *testing.T, synchronous string, cuts int) (sum cutFigures) {
	dir := t.TempDir()
	sum.kinds = make(map[kind]int)
	for seed := uint64(1); sum.cuts < cuts && !t.Failed(); seed++ {
		w := newWorld(t, dir, seed)
		w.synchronous = synchronous
		var log []record
		for life := 0; life < 3 && !t.Failed(); life++ {
			from := len(log)
			w.checkpoint = []int{6, 25, 80, 0}[w.rng.IntN(4)]
			w.live(log, 12)
			log = w.disk.log
			for _, r := range log[from:] {
				switch {
				case r.what == synced && r.name == "zim.db":
					sum.checkpoints++
				case r.what == wrote && r.name == "zim.db-wal" && r.at == 0:
					sum.restarts++
				}
			}
			for range 15 {
				at := from + w.rng.IntN(len(log)-from+1)
				due := w.due(at)
				n := w.check(afterCut(w.rng, log[:at]), at)
				sum.cuts++
				sum.due += due
				sum.lost += max(0, due-n)
				for _, d := range w.done[:min(due, n)] {
					sum.kinds[d.kind]++
				}
			}
			at := from + w.rng.IntN(len(log)-from+1)
			switch w.rng.IntN(3) {
			case 0: // the power is cut
				files := afterCut(w.rng, log[:at])
				w.done = w.done[:w.check(files, at)]
				log = logOf(files)
				for _, d := range w.done {
					d.begun, d.acked = 0, 0
				}
			case 1: // the process is killed
				sum.kills++
				log = w.kill(log, at)
			}
			if t.Failed() {
				t.Logf("world %d, life %d", seed, life)
			}
		}
	}
	return sum
}

// What a killed process left is not on the disk, although it can be read; and if a sync failed, it does not come there by another sync. Nobody
// is told that it is stored before it is.
func TestPowerCutsAfterKill(t *testing.T) {
	report := tier.Begin(t, "power cuts after a kill")
	w := newWorld(t, t.TempDir(), 1)
	w.live(nil, tier.Pick(6, 100))
	log, done := w.disk.log, w.done
	acked := make([]int, len(done))
	for i, d := range done {
		acked[i] = d.acked
	}
	kills := 0
	for at, r := range log {
		// Before its sync, a transaction is complete.
		if r.what != synced || r.name != "zim.db-wal" {
			continue
		}
		for _, failed := range []bool{false, true} {
			w.done = slices.Clone(done)
			for i, d := range done {
				d.acked = acked[i]
			}
			due := w.due(at)
			left := w.kill(log, at)
			if len(w.done) == due {
				continue
			}
			kills++
			if failed {
				left = append(left, record{what: syncFailed, name: r.name, file: r.file})
			}
			w.disk = mount(t, w.dir, left)
			s, err := w.open()
			if err != nil {
				t.Fatal(err)
			}
			w.resend(s)
			end := w.disk.now()
			s.Close()
			w.disk.unmount(t)
			w.cut(w.disk.log[:end], end)
			w.cut(w.disk.log, end)
		}
	}
	if kills == 0 {
		t.Error("no kill came between a commit and its sync")
	}
	report(map[string]any{"kills": kills})
}

// kill ends the process when the log was so long: what it wrote is there, and nobody knows what is on the disk.
func (w *world) kill(log []record, at int) []record {
	w.t.Helper()
	log = log[:at:at]
	w.done = w.done[:w.check(everything(log), at)]
	for _, d := range w.done {
		if d.acked > at {
			d.acked = never
		}
	}
	return log
}

// check opens the files that are there after a cut when the log was so long, and returns how many deeds are there.
func (w *world) check(files map[string][]byte, at int) int {
	w.t.Helper()
	d := mount(w.t, w.dir, logOf(files))
	defer d.unmount(w.t)
	if w.rng.IntN(2) == 0 { // what processes shared means nothing after a cut
		junk := make([]byte, 32<<10)
		for i := range junk {
			junk[i] = byte(w.rng.Uint32())
		}
		writeFiles(w.t, d.dir, map[string][]byte{"zim.db-shm": junk})
	}
	s, err := store.Open(d.path(), store.Options{})
	if err != nil {
		w.t.Fatalf("cut at %d: %v", at, err)
	}
	view(w.t, s, func(tx *store.Tx) error {
		result, err := tx.Text("PRAGMA integrity_check")
		if err == nil && result != "ok" {
			w.t.Errorf("cut at %d: %s", at, result)
		}
		return err
	})
	got, n := w.state(s)
	for n > 0 && n < len(w.done) && w.done[n].batch == w.done[n-1].batch {
		n++
	}
	want := w.after(n)
	w.want("after the cut", got, want)
	if n > 0 && w.done[n-1].begun > at {
		w.t.Errorf("cut at %d: deed %d, which began at %d, is there", at, n-1, w.done[n-1].begun)
	}
	w.goOn(s, n)
	if err := s.Close(); err != nil {
		w.t.Error(err)
	}
	return n
}

// goOn sends a message that must be there again, and a new one.
func (w *world) goOn(s *store.Store, n int) {
	w.t.Helper()
	last := int64(0)
	for _, d := range w.done[:n] {
		if d.kind == message && d.conversation() == "ab" {
			last = max(last, int64(uint32(d.place)))
		}
	}
	update(w.t, s, func(tx *store.Tx) error {
		if n > 0 {
			if d := w.done[w.rng.IntN(n)]; d.kind == message {
				m, again, same, err := d.put(tx)
				if err != nil || !again || !same || m.Place != d.place {
					w.t.Errorf("message %d again: got place %d, %v, %v, want %d, true, true: %v", d.id, m.Place, again, same, d.place, err)
				}
			}
		}
		m, again, _, err := send(tx, "a", "b", never, "after the cut")
		if err == nil && (again || m.Seq() != last+1) {
			w.t.Errorf("a new message got number %d, %v, want %d, false", m.Seq(), again, last+1)
		}
		return err
	})
}
