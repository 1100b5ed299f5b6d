package store_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/backend/store"
)

// costly opens a store that takes some time for each operation.
func costly(t *testing.T, cost time.Duration) *store.Store {
	t.Helper()
	s, err := store.Open(file(t), store.Options{Relaxed: true, Cost: cost})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// burst submits n operations, and returns a function that waits until all were told, and the store has taken note of how long they took.
func burst(t *testing.T, s *store.Store, n int) (wait func()) {
	t.Helper()
	var told sync.WaitGroup
	told.Add(n)
	for range n {
		if err := s.Submit(&testOp{told: &told, do: func(*store.Tx) error { return nil }}); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	return func() {
		told.Wait()
		synctest.Wait()
	}
}

// The store knows how long an operation is going to wait: once it knows its pace, to a transaction, and at once when a transaction takes
// longer than any before.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := costly(t, 5*time.Millisecond)
		burst(t, s, 200)()
		if wait, filled := s.Delay(); wait != 0 || filled != 0 {
			t.Errorf("with nothing to do, the wait is %v and %v of the queue is filled", wait, filled)
		}
		for _, n := range []int{100, 200, 300} {
			done := burst(t, s, n)
			time.Sleep(time.Duration(n) * 2 * time.Millisecond)
			synctest.Wait()
			wait, _ := s.Delay()
			start := time.Now()
			done()
			if took := time.Since(start); wait < took*99/100 || wait > took+60*time.Millisecond {
				t.Errorf("for %d operations, the wait was said to be %v, and was %v", n, wait, took)
			}
		}
		stuck := make(chan error)
		go func() {
			stuck <- s.Update(func(*store.Tx) error {
				time.Sleep(3 * time.Second)
				return nil
			})
		}()
		// If nobody asks, it may be that the process stood still: that says nothing of the operation.
		time.Sleep(time.Second)
		if wait, _ := s.Delay(); wait != 150*time.Millisecond {
			t.Errorf("after a second in which nobody asked, the wait is %v", wait)
		}
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			s.Delay()
		}
		if wait, _ := s.Delay(); wait != 1150*time.Millisecond {
			t.Errorf("after another second of one operation, the wait is %v", wait)
		}
		done := burst(t, s, store.MaxWaiting/2)
		if _, filled := s.Delay(); filled != 0.5 {
			t.Errorf("%v of the queue is filled, want half", filled)
		}
		if err := <-stuck; err != nil {
			t.Error(err)
		}
		done()
	})
}

// A few slow operations say little of those behind them: these are not late yet, and once they are done, the slow ones are forgotten.
func TestDelayAfterSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := costly(t, time.Millisecond)
		burst(t, s, 200)()
		for range 5 {
			update(t, s, func(*store.Tx) error {
				time.Sleep(10 * time.Second)
				return nil
			})
		}
		synctest.Wait()
		done := burst(t, s, 300)
		time.Sleep(40 * time.Millisecond)
		if wait, _ := s.Delay(); wait > 160*time.Millisecond {
			t.Errorf("40ms after 300 operations of 1ms came, and behind five of 10s, the wait is said to be %v", wait)
		}
		done()
		done = burst(t, s, 200)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if wait, _ := s.Delay(); wait < 90*time.Millisecond || wait > 160*time.Millisecond {
			t.Errorf("later, with 100 of 1ms left, it is said to be %v", wait)
		}
		done()
	})
}

// A transaction takes operations for 50 ms, so that those in it need not wait for all that there are.
func TestTransactionsAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := costly(t, 10*time.Millisecond)
		var batches []time.Duration
		last := time.Now()
		s.AfterBatch = func() {
			batches = append(batches, time.Since(last))
			last = time.Now()
		}
		burst(t, s, 100)()
		s.Close()
		if len(batches) < 20 {
			t.Errorf("there were %d transactions: %v", len(batches), batches)
		}
		for _, took := range batches {
			if took > 60*time.Millisecond {
				t.Errorf("a transaction took %v", took)
			}
		}
	})
}
