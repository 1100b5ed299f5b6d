package store

import (
	"sync"
	"time"
)

// A pace is how fast the writing goroutine works, and what it works on.
type pace struct {
	mu    sync.Mutex
	began time.Time     // guarded by mu; of the transaction that is running; zero if none is
	taken int           // guarded by mu; operations that are out of the queue, and not told
	each  time.Duration // guarded by mu; what an operation took of late
}

// steady is how many operations it takes to change half of what is known of the pace: one that is slow says little of the next.
const steady = 16

func (p *pace) begin(taken int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.taken = time.Now(), taken
}

// end takes note of a transaction of n operations. commit is how long it took to make it durable. Unless more operations waited than it had
// room for, that does not count: it takes as long for many operations as it did for these.
func (p *pace) end(n int, full bool, commit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := time.Since(p.began)
	if !full {
		took -= commit
	}
	each := min(took/time.Duration(n), maxDoing) // a pause of the whole process says nothing of the next ones
	p.each += (each - p.each) * time.Duration(n) / time.Duration(n+steady)
	p.began, p.taken = time.Time{}, p.taken-n
}

// Delay returns for how long an operation that is submitted now is likely to wait until it is durable, and how much of the room for
// operations that wait is filled, from 0 to 1: when all is, Submit waits.
func (s *Store) Delay() (wait time.Duration, filled float64) {
	queued := len(s.ops)
	p := &s.pace
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = time.Duration(queued+p.taken) * p.each
	if !p.began.IsZero() {
		wait = max(wait, time.Since(p.began)) // the transaction may be much slower than those before
	}
	return wait, float64(queued) / maxWaiting
}
