package store

import (
	"sync"
	"time"
)

// A pace is how fast the writing goroutine works, and what it works on.
type pace struct {
	mu    sync.Mutex
	began time.Time     // guarded by mu; of the transaction that is running; zero if none is
	since time.Time     // guarded by mu; when the oldest operation that is not told was submitted, if a transaction is running
	seen  time.Time     // guarded by mu; when its age was asked for last
	age   time.Duration // guarded by mu; of the transaction, as far as somebody was there to ask
	taken int           // guarded by mu; operations that are out of the queue, and not told
	each  time.Duration // guarded by mu; what an operation took of late
}

// steady is how many operations it takes to change half of what is known of the pace: one that is slow says little of the next.
const steady = 16

// maxFaster is how much faster than they can be done operations are taken to come, at most. When they do, one that comes now has to wait as
// many times as long as the oldest has waited already. More than that is not believed: the pace is that of the operations before, and
// after a few that were slow, those that wait may all be fast.
const maxFaster = 4

// maxUnseen is how much a transaction ages between two questions, at most.
const maxUnseen = 150 * time.Millisecond

// begin takes note of a transaction. taken is how many operations are out of the queue, the oldest of which was submitted at since.
func (p *pace) begin(taken int, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.taken, p.since = time.Now(), taken, since
	p.seen, p.age = p.began, 0
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
	if !p.began.IsZero() {
		now := time.Now()
		wait = min(time.Duration(queued+p.taken)*p.each, maxFaster*now.Sub(p.since))
		// The transaction may be much slower than those before. But if nobody has asked for long, it may be that the process stood still.
		p.age += min(now.Sub(p.seen), maxUnseen)
		p.seen = now
		wait = max(wait, p.age)
	}
	return wait, float64(queued) / maxWaiting
}
