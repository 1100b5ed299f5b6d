//go:build unix

package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/backend/store"
)

// Nobody is told that something is stored before it was written and then synced.
func TestAckFollowsSync(t *testing.T) {
	report := tier.Begin(t, "acknowledgments after syncs")
	acks := tier.Pick(1000, 10_000)
	early := earlyAcks(t, "", acks)
	if early > 0 {
		t.Errorf("%d of %d acknowledgments came before the sync", early, acks)
	}
	relaxed := earlyAcks(t, "NORMAL", 500)
	if relaxed < 400 {
		t.Errorf("where nobody waits for the disk, only %d of 500 acknowledgments were found to come before the sync", relaxed)
	}
	report(map[string]any{"acks": acks, "early": early, "early of 500 without waiting": relaxed})
}

// earlyAcks lets several senders send n messages, and returns how many were acknowledged before a sync of the log that came after the last
// write.
func earlyAcks(t *testing.T, synchronous string, n int) (early int) {
	w := newWorld(t, t.TempDir(), 1)
	w.synchronous = synchronous
	w.disk = mount(t, w.dir, nil)
	defer w.disk.unmount(t)
	s, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	const senders = 8
	type span struct{ begun, acked int }
	spans := make([]span, n) // by client ID
	var sending sync.WaitGroup
	for from := range senders {
		sending.Go(func() {
			for id := from; id < n; id += senders {
				var told sync.WaitGroup
				told.Add(1)
				err := s.Submit(&job{w: w, group: &told, first: func() { spans[id].begun = w.disk.now() }, do: func(tx *store.Tx) error {
					_, _, _, err := send(tx, users[from%4], users[(from+1)%4], id, fmt.Sprint(id))
					return err
				}, told: func(err error) {
					spans[id].acked = w.disk.now()
					if err != nil {
						t.Error(err)
					}
				}})
				if err != nil {
					t.Error(err)
					return
				}
				told.Wait()
			}
		})
	}
	sending.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	written, synced := lastInLog(w.disk.log)
	for id, m := range spans {
		if written[m.acked] <= m.begun {
			t.Errorf("message %d was acknowledged, and nothing was written", id)
		}
		if synced[m.acked] < written[m.acked] {
			early++
		}
	}
	return early
}

// lastInLog returns, for each length of the log, when the last write to SQLite's log was, and the last sync of it.
func lastInLog(log []record) (writes, syncs []int) {
	writes, syncs = make([]int, len(log)+1), make([]int, len(log)+1)
	for i, r := range log {
		writes[i+1], syncs[i+1] = writes[i], syncs[i]
		if r.name != "zim.db-wal" {
			continue
		}
		switch r.what {
		case wrote:
			writes[i+1] = i + 1
		case synced:
			syncs[i+1] = i + 1
		}
	}
	return writes, syncs
}

// A fault lets calls of one kind fail, from the k-th on, n of them.
type fault struct {
	what  what
	name  string // of the file, or empty
	k, n  int
	code  int32
	seen  int
	fired int // how many failed
	at    int // how long the log was when the last one failed
}

// next is a disk's fail.
func (f *fault) next(r record, length int) int32 {
	if r.what != f.what || f.name != "" && r.name != f.name {
		return sqlite3.SQLITE_OK
	}
	f.seen++
	if f.seen <= f.k || f.seen > f.k+f.n {
		return sqlite3.SQLITE_OK
	}
	f.fired++
	f.at = length
	return f.code
}

// calls returns how many calls of a kind a life makes in which nothing fails.
func calls(t *testing.T, dir string, seed uint64, kind what) int {
	w := newWorld(t, dir, seed)
	w.checkpoint = 6
	w.live(nil, faultBatches)
	n := 0
	for _, r := range w.disk.log {
		if r.what == kind {
			n++
		}
	}
	return n
}

const faultBatches = 8

// sweep lets a call of a kind fail in a world: in some worlds each, or in the short tier some in one.
func sweep(t *testing.T, dir string, kind what, do func(w *world, k int)) {
	for seed := range uint64(tier.Pick(1, 2)) {
		n := calls(t, dir, seed, kind)
		for k := 0; k < n && !t.Failed(); k += max(1, n/max(2, tier.Pick(4, n)/slow)) {
			w := newWorld(t, dir, seed)
			w.checkpoint = 6
			do(w, k)
			if t.Failed() {
				t.Logf("world %d, call %d", seed, k)
			}
		}
	}
}

// When the disk is full, what does not fit is refused. The store goes on reading, and goes on writing once there is room.
func TestDiskErrorsFull(t *testing.T) {
	report := tier.Begin(t, "full disks")
	dir := t.TempDir()
	runs, refused, unopened := 0, 0, 0
	sweep(t, dir, wrote, func(w *world, k int) {
		w.blame = func(err error) bool {
			refused++
			return errors.Is(err, store.ErrFull)
		}
		w.disk = mount(t, dir, nil)
		defer w.disk.unmount(t)
		f := &fault{what: wrote, k: k, n: 1 + w.rng.IntN(30), code: sqlite3.SQLITE_FULL}
		w.disk.failWith(f.next)
		s, err := w.open()
		if err != nil {
			unopened++
			w.disk.failWith(nil)
			if s, err = w.open(); err != nil {
				t.Fatalf("write %d: once there was room: %v", k, err)
			}
		}
		for range faultBatches {
			w.work(s, 1)
			got, _ := w.state(s)
			w.want(fmt.Sprintf("write %d of a full disk", k), got, w.after(len(w.done)))
		}
		w.disk.failWith(nil)
		w.blame = nil
		w.together(s, w.send())
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if f.fired == 0 {
			t.Errorf("write %d did not come", k)
		}
		w.cut(w.disk.log, 0)
		w.cut(w.disk.log, len(w.disk.log))
		runs++
	})
	if refused < runs/2 {
		t.Errorf("%d operations were refused in %d runs", refused, runs)
	}
	report(map[string]any{"runs": runs, "refused": refused, "not opened": unopened})
}

// After a write or a sync failed, whether in a commit or a checkpoint, nothing is committed or acknowledged any more. What was acknowledged
// before is there when the file is opened anew, although the disk says that all is well now.
func TestDiskErrors(t *testing.T) {
	for name, f := range map[string]fault{
		"a write":      {what: wrote, n: 1, code: sqlite3.SQLITE_IOERR_WRITE},
		"a sync":       {what: synced, n: 1, code: sqlite3.SQLITE_IOERR_FSYNC},
		"all writes":   {what: wrote, n: never / 2, code: sqlite3.SQLITE_IOERR_WRITE},
		"all syncs":    {what: synced, n: never / 2, code: sqlite3.SQLITE_IOERR_FSYNC},
		"a truncation": {what: truncated, n: 1, code: sqlite3.SQLITE_IOERR_TRUNCATE},
	} {
		t.Run(name, func(t *testing.T) {
			report := tier.Begin(t, "failing disks: "+name)
			dir := t.TempDir()
			runs, failed, unopened := 0, 0, 0
			sweep(t, dir, f.what, func(w *world, k int) {
				f := f
				f.k = k
				switch opened, stopped := w.failing(&f); {
				case !opened:
					unopened++
				case stopped:
					failed++
				}
				if f.fired == 0 {
					t.Errorf("call %d did not come", k)
				}
				end := len(w.disk.log)
				w.cut(w.disk.log, min(f.at, end))
				w.cut(w.disk.log, end)
				// The next process finds the file as this one left it, or as it was somewhere on the way.
				w.blame, w.unsure, w.stopped = nil, false, false
				at := end
				if w.rng.IntN(2) == 0 {
					at = min(f.at+1, end)
					at += w.rng.IntN(end - at + 1)
				}
				w.live(w.kill(w.disk.log, at), 3)
				w.cut(w.disk.log, at)
				w.cut(w.disk.log, min(at+20, len(w.disk.log)))
				runs++
			})
			report(map[string]any{"runs": runs, "stopped": failed, "not opened": unopened})
		})
	}
}

// A full disk takes nothing away: a store that was killed can be opened and read.
func TestOpenOnFullDisk(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1)
	w.live(nil, 10)
	left := w.kill(w.disk.log, len(w.disk.log)*2/3)
	w.disk = mount(t, w.dir, left)
	defer w.disk.unmount(t)
	f := &fault{what: wrote, n: never, code: sqlite3.SQLITE_FULL}
	w.disk.failWith(f.next)
	s, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, _ := w.state(s)
	w.want("a full disk", got, w.after(len(w.done)))
	w.blame = func(err error) bool { return errors.Is(err, store.ErrFull) }
	before := len(w.done)
	w.together(s, w.send())
	if len(w.done) > before {
		t.Error("something was stored on a full disk")
	}
	w.disk.failWith(nil)
	w.blame = nil
	w.together(s, w.send())
}

// A checkpoint that fails stops the store like a commit that fails: otherwise nobody would know, until the log has filled the disk.
func TestFailedCheckpoint(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1)
	w.checkpoint = 6
	f := &fault{what: synced, name: "zim.db", k: 2, n: 1, code: sqlite3.SQLITE_IOERR_FSYNC} // two are for making the file
	if _, stopped := w.failing(f); !stopped {
		t.Error("the store did not stop")
	}
	end := len(w.disk.log)
	w.cut(w.disk.log[:f.at+1], f.at+1)
	w.cut(w.disk.log, end)
}

// failing lives with a fault. It returns whether the store could be opened, and whether it stopped.
func (w *world) failing(f *fault) (opened, stopped bool) {
	w.t.Helper()
	w.lives++
	w.disk = mount(w.t, w.dir, nil)
	defer w.disk.unmount(w.t)
	w.disk.failWith(f.next)
	w.unsure = true
	w.blame = func(err error) bool {
		w.stopped = errors.Is(err, store.ErrFailed)
		return w.stopped
	}
	s, err := w.open()
	if err != nil {
		return false, false
	}
	w.work(s, faultBatches)
	w.together(s) // now what comes after the last transaction is over, too
	w.disk.mu.Lock()
	fired := f.fired > 0
	w.disk.mu.Unlock()
	select {
	case <-s.Failed():
		stopped = true
		if err := s.View(w.t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrFailed) {
			w.t.Errorf("call %d: View: got %v, want %v", f.k, err, store.ErrFailed)
		}
	default:
		if fired {
			w.t.Errorf("call %d failed, and the store went on", f.k)
		}
	}
	s.Close()
	if stopped {
		for _, r := range w.disk.log[f.at:] {
			if r.what == wrote && r.name == "zim.db-wal" {
				w.t.Errorf("call %d: something was still written after it failed", f.k)
				break
			}
		}
	}
	return true, stopped
}

// cut cuts the power at some point from a length of the log on.
func (w *world) cut(log []record, from int) {
	w.t.Helper()
	at := from + w.rng.IntN(len(log)-from+1)
	if n, due := w.check(afterCut(w.rng, log[:at]), at), w.due(at); n < due {
		w.t.Errorf("cut at %d of %d: %d of %d acknowledged operations are lost", at, len(log), due-n, due)
	}
}
