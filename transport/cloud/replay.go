package cloud

import (
	"slices"
	"sync"
	"time"
)

// A recent remembers values by key for a time, and not more than a number of them.
type recent[K comparable, V any] struct {
	keep   time.Duration
	limit  int
	values map[K]V
	order  []aged[K] // the oldest first
}

type aged[K comparable] struct {
	key K
	at  time.Time
}

func newRecent[K comparable, V any](keep time.Duration, limit int) *recent[K, V] {
	return &recent[K, V]{keep: keep, limit: limit, values: make(map[K]V)}
}

// expire forgets what is too old, and reports whether there is room for one more.
func (r *recent[K, V]) expire(now time.Time) bool {
	for len(r.order) > 0 && now.Sub(r.order[0].at) >= r.keep {
		r.forgetOldest()
	}
	return len(r.order) < r.limit
}

func (r *recent[K, V]) forgetOldest() {
	delete(r.values, r.order[0].key)
	r.order = r.order[1:]
}

// add remembers a value whose key is not there. There must be room.
func (r *recent[K, V]) add(key K, v V, now time.Time) {
	r.values[key] = v
	r.order = append(r.order, aged[K]{key, now})
}

// push remembers a value whose key is not there, in place of the oldest if there is no room.
func (r *recent[K, V]) push(key K, v V, now time.Time) {
	if !r.expire(now) {
		r.forgetOldest()
	}
	r.add(key, v, now)
}

// remove forgets a key.
func (r *recent[K, V]) remove(key K) {
	delete(r.values, key)
	r.order = slices.DeleteFunc(r.order, func(a aged[K]) bool { return a.key == key })
}

func (r *recent[K, V]) has(key K, now time.Time) bool {
	r.expire(now)
	_, ok := r.values[key]
	return ok
}

const (
	// replayKeep is longer than the window in which a timestamp is good, at both of its sides.
	replayKeep = 15 * time.Minute
	// maxReplays is about 290 callbacks a second, and up to 60 MB.
	maxReplays = 1 << 18
	// maxKeptAnswer is how much of an answer is remembered. A longer one is made again.
	maxKeptAnswer = 1 << 10
)

// replays remembers the callbacks by their digests. A signature says nothing of the body, so that the first body that comes with
// it is the one that it stands for.
type replays struct {
	mu  sync.Mutex
	all *recent[digest, *replay] // guarded by mu; nil until the first
}

// A replay is what is known of one digest.
type replay struct {
	body    [32]byte      // immutable; its SHA-256
	running chan struct{} // guarded by replays.mu; closed when it is no more; nil unless somebody runs it
	taken   bool          // guarded by replays.mu
	answer  []byte        // guarded by replays.mu; of one that was taken
	alarmed bool          // guarded by replays.mu; another body was told of
}

// What is to become of a callback.
type replayState int

const (
	replayRun    replayState = iota // it is the caller's: end must be called
	replayWait                      // somebody else runs it
	replayTaken                     // it was answered already
	replayForged                    // the signature came with another body
	replayFull                      // no room: nothing is known
)

// begin says what is to become of a callback. tell is true for the first of those that are forged.
func (rs *replays) begin(d digest, body [32]byte, now time.Time) (state replayState, answer []byte, running <-chan struct{}, tell bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.all == nil {
		rs.all = newRecent[digest, *replay](replayKeep, maxReplays)
	}
	room := rs.all.expire(now)
	r := rs.all.values[d]
	switch {
	case r == nil && !room:
		return replayFull, nil, nil, false
	case r == nil:
		r = &replay{body: body}
		rs.all.add(d, r, now)
	case r.body != body:
		tell = !r.alarmed
		r.alarmed = true
		return replayForged, nil, nil, tell
	case r.running != nil:
		return replayWait, nil, r.running, false
	case r.taken:
		return replayTaken, r.answer, nil, false
	}
	r.running = make(chan struct{})
	return replayRun, nil, nil, false
}

// mark takes note that the one that runs was taken, and unmark that it was not after all.
func (rs *replays) mark(d digest, answer []byte) { rs.set(d, true, answer) }
func (rs *replays) unmark(d digest)              { rs.set(d, false, nil) }

func (rs *replays) set(d digest, taken bool, answer []byte) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.all.values[d]; r != nil {
		r.taken, r.answer = taken, answer
	}
}

// end takes note that a run ended. One that was not taken may come again.
func (rs *replays) end(d digest) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.all.values[d]
	if r == nil || r.running == nil {
		return // it took longer than replayKeep, and nobody waits for what came again meanwhile
	}
	close(r.running)
	r.running = nil
}
