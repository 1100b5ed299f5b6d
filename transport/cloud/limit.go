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
	lim *rate.Limiter

	mu    sync.Mutex
	used  time.Time // guarded by mu; when it last was
	shut  time.Time // guarded by mu; nothing goes before
	users int       // guarded by limits.mu
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
		b = new(bucket)
		b.lim = rate.NewLimiter(k.action.rate, 1)
		switch {
		case k.key != "":
			b.lim = rate.NewLimiter(k.action.perKey, 1)
		case k.action.counted != "":
			b.lim = rate.NewLimiter(k.action.rate, int(k.action.rate)) // a full request must fit
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
		if b.users == 0 && now.Sub(b.used) > 2*time.Second && now.After(b.shut) {
			delete(l.buckets, k)
		}
		b.mu.Unlock()
	}
}

// wait waits until a request may be sent that counts n times. It fails with errLimited or with ctx's error; then nothing was used up.
func (l *limits) wait(ctx context.Context, a *action, key string, n int) error {
	for _, k := range bucketsOf(a, key) {
		b := l.take(k)
		err := b.wait(ctx, n)
		l.giveBack(b)
		if err != nil {
			return err
		}
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

// bucketsOf returns what limits an action, the app's bucket last, so that who waits for a group takes nothing from the others.
func bucketsOf(a *action, key string) []bucketKey {
	if key == "" || a.perKey == 0 {
		return []bucketKey{{a, ""}}
	}
	return []bucketKey{{a, key}, {a, ""}}
}

func (b *bucket) wait(ctx context.Context, n int) error {
	for {
		if err := b.lim.WaitN(ctx, n); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errLimited
		}
		b.mu.Lock()
		now := time.Now()
		pause := b.shut.Sub(now)
		b.used = now
		b.mu.Unlock()
		if pause <= 0 {
			return nil
		}
		// Whoever waited for this turn takes another one afterwards, or all would go at once.
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// sleep waits for d. It fails at once with errLimited if ctx does not allow as much.
func sleep(ctx context.Context, d time.Duration) error {
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
