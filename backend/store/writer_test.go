package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"zombiezen.com/go/sqlite"

	"github.com/zim-go/zim/backend/store"
)

var errPoison = errors.New("poison")

// A testOp records how it went.
type testOp struct {
	do    func(tx *store.Tx) error
	runs  int
	dones int
	err   error
	told  *sync.WaitGroup
}

func (op *testOp) Do(tx *store.Tx) error {
	op.runs++
	return op.do(tx)
}

func (op *testOp) Done(err error) {
	op.dones++
	op.err = err
	op.told.Done()
}

// together submits operations so that they share a transaction, and waits until all were told.
func together(t *testing.T, s *store.Store, dos ...func(tx *store.Tx) error) []*testOp {
	t.Helper()
	var told sync.WaitGroup
	started, release := make(chan struct{}), make(chan struct{})
	told.Add(1)
	if err := s.Submit(&testOp{told: &told, do: func(*store.Tx) error {
		close(started)
		<-release
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	<-started
	var ops []*testOp
	for _, do := range dos {
		op := &testOp{do: do, told: &told}
		told.Add(1)
		if err := s.Submit(op); err != nil {
			t.Fatal(err)
		}
		ops = append(ops, op)
	}
	close(release)
	told.Wait()
	return ops
}

func sending(n int) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		_, _, _, err := send(tx, "alice", "bob", n, "hello")
		return err
	}
}

func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where transactions take no time, however slow the machine is
		s, err := store.Open(file(t), store.Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		batches := 0
		s.AfterBatch = func() { batches++ }
		const n = 2*store.MaxBatch + 1
		var dos []func(*store.Tx) error
		for i := range n {
			dos = append(dos, sending(i))
		}
		for i, op := range together(t, s, dos...) {
			if op.err != nil || op.runs != 1 || op.dones != 1 {
				t.Errorf("operation %d ran %d times, was told %d times: %v", i, op.runs, op.dones, op.err)
			}
		}
		update(t, s, func(*store.Tx) error { return nil })
		s.Close()
		// One for what held the others up, three for them, one for the last.
		if batches != 5 {
			t.Errorf("got %d transactions, want 5", batches)
		}
	})
}

// One operation that fails does no harm to those in the same transaction, and leaves no hole in the numbers.
func TestPoison(t *testing.T) {
	for name, poison := range map[string]func(tx *store.Tx) error{
		"at once": func(*store.Tx) error { return errPoison },
		"after it wrote": func(tx *store.Tx) error {
			for i := range 3 {
				if _, _, _, err := send(tx, "alice", "bob", 1000+i, "poison"); err != nil {
					return err
				}
			}
			if _, err := tx.Register(app, "mallory", ""); err != nil {
				return err
			}
			return errPoison
		},
		"in a new conversation": func(tx *store.Tx) error {
			if _, _, _, err := send(tx, "alice", "carol", 1000, "poison"); err != nil {
				return err
			}
			return errPoison
		},
		"in SQL": func(tx *store.Tx) error {
			if err := tx.Exec("INSERT INTO event (place, kind, ref, time) VALUES (1, 1, 1, 1)"); err != nil {
				return err
			}
			if err := tx.Exec("INSERT INTO event (place, kind, ref, time) VALUES (1, 1, 1, 1)"); err != nil {
				return fmt.Errorf("%w: %w", errPoison, err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			s := open(t, path)
			update(t, s, sending(0))
			ops := together(t, s, sending(1), sending(2), poison, sending(3), poison, sending(4))
			for i, op := range ops {
				var want error
				if i == 2 || i == 4 {
					want = errPoison
				}
				if !errors.Is(op.err, want) || op.dones != 1 {
					t.Errorf("operation %d was told %d times: got %v, want %v", i, op.dones, op.err, want)
				}
			}
			update(t, s, sending(5))
			wantGapless(t, events(t, s, "bob", 0), 6)
			s.Close()
			s = open(t, path)
			update(t, s, sending(6))
			wantGapless(t, events(t, s, "bob", 0), 7)
			if list := events(t, s, "carol", 0); len(list) != 0 {
				t.Errorf("carol got %+v", list)
			}
			view(t, s, func(tx *store.Tx) error {
				u, err := tx.User(app, "mallory")
				if u != nil {
					t.Error("mallory is registered")
				}
				return err
			})
			// A conversation and a user whose making was undone can be made again.
			update(t, s, func(tx *store.Tx) error {
				m, _, _, err := send(tx, "alice", "carol", 1, "hello")
				if m.Seq() != 1 {
					t.Errorf("the first message to carol has number %d", m.Seq())
				}
				return err
			})
		})
	}
}

// An undoer is an operation with effects outside of the transaction.
type undoer struct {
	testOp
	undone int
}

func (op *undoer) Undo() { op.undone++ }

// What was not done is not undone: an operation that comes behind one that fails has nothing to take back.
func TestUndoFollowsDo(t *testing.T) {
	s := open(t, file(t))
	var told sync.WaitGroup
	first := &undoer{testOp: testOp{told: &told, do: sending(1)}}
	last := &undoer{testOp: testOp{told: &told, do: sending(2)}}
	told.Add(3)
	// They are submitted while a transaction runs, to share the next one.
	update(t, s, func(*store.Tx) error {
		for _, op := range []store.Op{first, &testOp{told: &told, do: func(*store.Tx) error { return errPoison }}, last} {
			if err := s.Submit(op); err != nil {
				return err
			}
		}
		return nil
	})
	told.Wait()
	if first.runs != 2 || first.undone != 1 {
		t.Errorf("before the failure: done %d times and undone %d times, want 2 and 1", first.runs, first.undone)
	}
	if last.runs != 1 || last.undone != 0 {
		t.Errorf("behind the failure: done %d times and undone %d times, want 1 and 0", last.runs, last.undone)
	}
}

// A full disk refuses what doesn't fit, and nothing else: reading goes on, and so does writing once there is space.
func TestDiskFull(t *testing.T) {
	path := file(t)
	s := open(t, path)
	update(t, s, func(tx *store.Tx) error {
		pages, err := tx.Int("PRAGMA page_count")
		if err != nil {
			return err
		}
		return tx.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages+20))
	})
	large := func(n int) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			_, _, _, err := send(tx, "alice", "bob", n, string(make([]byte, 3000)))
			return err
		}
	}
	n := 0
	var full error
	for ; full == nil; n++ {
		if n > 1000 {
			t.Fatal("the disk does not become full")
		}
		full = s.Update(large(n))
	}
	if !errors.Is(full, store.ErrFull) {
		t.Fatalf("got %v, want %v", full, store.ErrFull)
	}
	stored := n - 1
	wantGapless(t, events(t, s, "bob", 0), stored)
	for i, op := range together(t, s, large(n), large(n+1), func(*store.Tx) error { return nil }) {
		if want := i < 2; errors.Is(op.err, store.ErrFull) != want {
			t.Errorf("operation %d while the disk is full: %v", i, op.err)
		}
	}
	wantGapless(t, events(t, s, "bob", 0), stored)
	select {
	case <-s.Failed():
		t.Fatalf("the store gave up: %v", s.Err())
	default:
	}
	update(t, s, func(tx *store.Tx) error { return tx.Exec("PRAGMA max_page_count = 1000000") })
	for range 10 {
		update(t, s, large(n-1)) // the one that was refused, and its retries
		n++
	}
	wantGapless(t, events(t, s, "bob", 0), stored+10)
	s.Close()
	wantGapless(t, events(t, open(t, path), "bob", 0), stored+10)
}

// After a write or a sync failed, nobody knows what is on the disk: nothing is done any more, and everybody is told.
func TestFailedDisk(t *testing.T) {
	for _, code := range []sqlite.ResultCode{sqlite.ResultIOErr, sqlite.ResultIOErrFsync, sqlite.ResultCorrupt} {
		t.Run(code.String(), func(t *testing.T) {
			path := file(t)
			s := open(t, path)
			update(t, s, sending(0))
			ops := together(t, s,
				func(*store.Tx) error { return code.ToError() },
				sending(1),
				sending(2))
			for i, op := range ops {
				if !errors.Is(op.err, store.ErrFailed) || op.dones != 1 {
					t.Errorf("operation %d was told %d times: got %v, want %v", i, op.dones, op.err, store.ErrFailed)
				}
			}
			<-s.Failed()
			if err := s.Err(); !errors.Is(err, store.ErrFailed) {
				t.Errorf("Err: got %v, want %v", err, store.ErrFailed)
			}
			if err := s.Update(sending(3)); !errors.Is(err, store.ErrFailed) {
				t.Errorf("Update: got %v, want %v", err, store.ErrFailed)
			}
			for range 20 {
				if err := s.View(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrFailed) {
					t.Errorf("View: got %v, want %v", err, store.ErrFailed)
				}
			}
			s.Close()
			wantGapless(t, events(t, open(t, path), "bob", 0), 1)
		})
	}
}

// The disk may fail while operations are tried alone: those that come after are told, and not tried.
func TestFailedDiskAlone(t *testing.T) {
	path := file(t)
	s := open(t, path)
	update(t, s, sending(0))
	runs := 0
	ops := together(t, s,
		sending(1),
		func(*store.Tx) error {
			if runs++; runs == 1 {
				return errPoison
			}
			return sqlite.ResultIOErrFsync.ToError()
		},
		sending(2))
	for i, op := range ops {
		var want error
		if i > 0 {
			want = store.ErrFailed
		}
		if !errors.Is(op.err, want) || op.dones != 1 {
			t.Errorf("operation %d was told %d times: got %v, want %v", i, op.dones, op.err, want)
		}
	}
	s.Close()
	wantGapless(t, events(t, open(t, path), "bob", 0), 2)
}

// Those who submit while the store closes all learn what became of it, and it is true.
func TestSubmitDuringClose(t *testing.T) {
	const writers = 8
	for range 20 {
		path := file(t)
		s := open(t, path)
		var next, stored atomic.Int64
		var running, begun sync.WaitGroup
		begun.Add(writers)
		for range writers {
			running.Go(func() {
				begun.Done()
				for {
					err := s.Update(sending(int(next.Add(1))))
					switch {
					case err == nil:
						stored.Add(1)
					case errors.Is(err, store.ErrClosed):
						return
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		begun.Wait()
		s.Close()
		running.Wait()
		wantGapless(t, events(t, open(t, path), "bob", 0), int(stored.Load()))
	}
}

// What was submitted before Close is written.
func TestCloseWrites(t *testing.T) {
	path := file(t)
	s := open(t, path)
	var told sync.WaitGroup
	var ops []*testOp
	for i := range 1000 {
		op := &testOp{do: sending(i), told: &told}
		told.Add(1)
		if err := s.Submit(op); err != nil {
			t.Fatal(err)
		}
		ops = append(ops, op)
	}
	s.Close()
	told.Wait()
	for i, op := range ops {
		if op.err != nil {
			t.Errorf("operation %d: %v", i, op.err)
		}
	}
	wantGapless(t, events(t, open(t, path), "bob", 0), 1000)
}

// A view sees one state from its beginning to its end, and writing goes on meanwhile.
func TestViewIsASnapshot(t *testing.T) {
	s := open(t, file(t))
	update(t, s, sending(0))
	view(t, s, func(tx *store.Tx) error {
		u, err := tx.User(app, "bob")
		if err != nil {
			return err
		}
		for range 3 {
			_, last, err := tx.Feed(u)
			if err != nil {
				return err
			}
			if last != 1 {
				t.Errorf("got %d, want 1", last)
			}
			update(t, s, sending(int(s.NextID())))
		}
		return nil
	})
	wantGapless(t, events(t, s, "bob", 0), 4)
	boom := errors.New("boom")
	for range 10 { // a view that fails leaves nothing behind
		if err := s.View(t.Context(), func(*store.Tx) error { return boom }); err != boom {
			t.Errorf("got %v, want %v", err, boom)
		}
	}
	update(t, s, sending(1))
	wantGapless(t, events(t, s, "bob", 0), 5)
}

// Close waits for views.
func TestCloseDuringView(t *testing.T) {
	s := open(t, file(t))
	update(t, s, sending(0))
	closed := make(chan struct{})
	view(t, s, func(tx *store.Tx) error {
		go func() {
			defer close(closed)
			s.Close()
		}()
		<-s.Failed()
		u, err := tx.User(app, "bob")
		if u == nil {
			t.Error("bob is not there any more")
		}
		select {
		case <-closed:
			t.Error("Close did not wait")
		default:
		}
		return err
	})
	<-closed
}

func TestViewsDuringWrites(t *testing.T) {
	s := open(t, file(t))
	update(t, s, sending(0))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 6 {
		readers.Go(func() {
			for before := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				list := events(t, s, "bob", 0)
				if len(list) < before {
					t.Errorf("got %d events after %d", len(list), before)
				}
				before = len(list)
				wantGapless(t, list, before)
			}
		})
	}
	for i := range 300 {
		update(t, s, sending(i))
	}
	close(done)
	readers.Wait()
}
