package cloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// errLimited is the error of a request that would have had to wait for its turn for longer than its context allows. It was not sent.
var errLimited = errors.New("cloud: the rate limit leaves no room for the request in the time that it has")

// margin is how much of a documented rate is used. The rest is for the network: what is sent evenly comes unevenly, by up to 50 ms.
const margin = 0.95

// day is what the service counts some actions in.
const day = 24 * time.Hour

// errDay is the error of a request that would be one too many for the day.
var errDay = errors.New("cloud: it was done as often as the service allows in 24 hours")

// penalty is how long nothing is sent when the service says that there is too much: others draw on the same quota.
const penalty = time.Second

// limits holds requests back to the rates of their actions.
type limits struct {
	mu      sync.Mutex
	buckets map[bucketKey]*bucket // guarded by mu
}

// A bucketKey names what a rate is about: an action of the whole app, or for one group or room.
type bucketKey struct {
	action *action
	key    string
}

type bucket struct {
	lim   *rate.Limiter
	daily int // how many a day allows; 0: any number

	mu    sync.Mutex
	used  time.Time   // guarded by mu; when it last was
	shut  time.Time   // guarded by mu; nothing goes before
	today []time.Time // guarded by mu; if a day allows so many only: when they were
	users int         // guarded by limits.mu
}

// maxBuckets is from when on buckets are looked through for those that nobody needs.
const maxBuckets = 1000

// take returns a bucket, which must be given back.
func (l *limits) take(k bucketKey) *bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[k]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			l.sweep()
		}
		b = &bucket{lim: rate.NewLimiter(margin*k.action.rate, 1), daily: k.action.perDay}
		switch {
		case k.key != "":
			b.lim, b.daily = rate.NewLimiter(margin*k.action.perKey, 1), 0
		case k.action.counted != "":
			b.lim = rate.NewLimiter(margin*k.action.rate, maxSeqs) // a full request must fit
		}
		if l.buckets == nil {
			l.buckets = make(map[bucketKey]*bucket)
		}
		l.buckets[k] = b
	}
	b.users++
	return b
}

func (l *limits) giveBack(b *bucket) {
	l.mu.Lock()
	b.users--
	l.mu.Unlock()
}

// sweep forgets the buckets that are as good as new. The caller holds mu.
func (l *limits) sweep() {
	now := time.Now()
	for k, b := range l.buckets {
		b.mu.Lock()
		if b.users == 0 && now.Sub(b.used) > 2*time.Second && now.After(b.shut) && len(b.today) == 0 {
			delete(l.buckets, k)
		}
		b.mu.Unlock()
	}
}

// wait waits until a request may be sent that counts n times. It fails with errLimited, errDay or ctx's error; then nothing was used up.
func (l *limits) wait(ctx context.Context, a *action, key string, n int) error {
	undo := func() {}
	for _, k := range bucketsOf(a, key) {
		b := l.take(k)
		undoThis, err := b.wait(ctx, n)
		l.giveBack(b)
		if err != nil {
			undo()
			return err
		}
		undo = undoThis
	}
	return nil
}

// empty has nothing sent for a second: by the whole app, or for one group or room if that is what the service complained of.
func (l *limits) empty(a *action, key string, whole bool) {
	list := bucketsOf(a, key)
	k := list[0]
	if whole {
		k = list[len(list)-1]
	}
	b := l.take(k)
	b.mu.Lock()
	b.shut = time.Now().Add(penalty)
	b.mu.Unlock()
	l.giveBack(b)
}

// uncount takes back that a request counted for the day: it did nothing.
func (l *limits) uncount(a *action, key string) {
	for _, k := range bucketsOf(a, key) {
		b := l.take(k)
		b.mu.Lock()
		if n := len(b.today); n > 0 {
			b.today = b.today[:n-1]
		}
		b.mu.Unlock()
		l.giveBack(b)
	}
}

// bucketsOf returns what limits an action, the app's bucket last, so that who waits for a group takes nothing from the others.
func bucketsOf(a *action, key string) []bucketKey {
	if key == "" || a.perKey == 0 {
		return []bucketKey{{a, ""}}
	}
	return []bucketKey{{a, key}, {a, ""}}
}

// wait waits for the bucket's turn. undo gives it back, unless the next one has been given since.
func (b *bucket) wait(ctx context.Context, n int) (undo func(), err error) {
	for {
		turn, at, err := b.reserve(ctx, n)
		if err != nil {
			return nil, err
		}
		if err := sleep(ctx, time.Until(at)); err != nil {
			turn.Cancel()
			return nil, err
		}
		undo = func() { turn.CancelAt(at) }
		b.mu.Lock()
		now := time.Now()
		pause, over := b.shut.Sub(now), n > 0 && b.dayIsOver(now)
		if b.used = now; pause <= 0 && !over && n > 0 && b.daily > 0 {
			b.today = append(b.today, now)
		}
		b.mu.Unlock()
		switch {
		case over:
			undo()
			return nil, errDay
		case pause <= 0:
			return undo, nil
		}
		undo()
		// Whoever waited for this turn takes another one afterwards, or all would go at once.
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// reserve takes the next turn, if it is in time.
func (b *bucket) reserve(ctx context.Context, n int) (*rate.Reservation, time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if n > 0 && b.dayIsOver(now) {
		return nil, now, errDay
	}
	turn := b.lim.ReserveN(now, n)
	at := now.Add(turn.DelayFrom(now))
	if deadline, ok := ctx.Deadline(); !turn.OK() || ok && deadline.Before(at) && ctx.Err() == nil {
		turn.CancelAt(now) // under mu, so that it is still the last one
		return nil, now, errLimited
	}
	return turn, at, nil
}

// dayIsOver reports whether the day's number is used up. The caller holds mu.
func (b *bucket) dayIsOver(now time.Time) bool {
	for len(b.today) > 0 && now.Sub(b.today[0]) >= day {
		b.today = b.today[1:]
	}
	return b.daily > 0 && len(b.today) >= b.daily
}

// sleep waits for d. It fails at once with errLimited if ctx does not allow as much.
func sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil || d <= 0 {
		return ctx.Err()
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return errLimited
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
