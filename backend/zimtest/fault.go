package zimtest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/zim-go/zim/transport"
)

// A FaultProfile says how bad a network is. The zero value is a perfect one. Shares are between 0 and 1.
type FaultProfile struct {
	// MinDelay and MaxDelay bound how long each frame and each dial takes; frames in one direction stay in order.
	MinDelay, MaxDelay time.Duration
	// CutEvery is after how many bytes a connection breaks, on average: in the middle of a frame, in either direction. 0 is never.
	CutEvery int
	// HalfOpen is the share of the breaks that nobody is told of: from then on one direction, or both, loses everything.
	HalfOpen float64
	// Zombie is the share of the other breaks after which the requests that were under way still reach the service, up to MaxStall later:
	// perhaps after what the client has sent on its next connection.
	Zombie float64
	// Duplicate is the share of frames that arrive twice. Only what is to be recognized is doubled: messages but commands and barrages, and events.
	Duplicate float64
	// Stall is the share of frames before which the connection stands still, for up to MaxStall.
	Stall float64
	// SlowReader is the share of pushes after which the client reads nothing, for up to MaxStall.
	SlowReader float64
	MaxStall   time.Duration
	// Refuse is the share of dials that fail at once, and Hang that of dials that get no answer.
	Refuse, Hang float64
}

// delay returns how long the next frame takes, or the next dial.
func (p *FaultProfile) delay(dice *rand.Rand) time.Duration {
	if p.MaxDelay <= p.MinDelay {
		return p.MinDelay
	}
	return p.MinDelay + time.Duration(dice.Int64N(int64(p.MaxDelay-p.MinDelay)+1))
}

// BadNetwork is a profile with some of everything.
func BadNetwork() FaultProfile {
	return FaultProfile{
		MinDelay:   time.Millisecond,
		MaxDelay:   200 * time.Millisecond,
		CutEvery:   3_000,
		HalfOpen:   0.2,
		Zombie:     0.3,
		Duplicate:  0.05,
		Stall:      0.01,
		SlowReader: 0.02,
		MaxStall:   20 * time.Second,
		Refuse:     0.1,
		Hang:       0.05,
	}
}

// Faults spoil connections. What goes wrong follows from a seed, the names of the dialers, and what is sent: with the same of these, the
// same happens again. Its methods may be called concurrently.
type Faults struct {
	tb      testing.TB
	seed    uint64
	profile FaultProfile
	began   time.Time
	ghosts  sync.WaitGroup // what still runs of connections that broke

	mu     sync.Mutex
	healed bool           // guarded by mu
	dials  map[string]int // guarded by mu; how often each dialer has dialed
	counts map[string]int // guarded by mu
	trace  []string       // guarded by mu
}

// Deterministic makes what follows in a bubble of testing/synctest the same each time: until the test ends, the process runs on one processor,
// what it takes for random follows from the seed, and the directories of t.TempDir are in memory, where the system has files there (/dev/shm). It
// is called before the first of those is made, and the test must not be parallel. With the same Faults, the same program then does the same, to the
// nanosecond of the bubble's time, but for what the Go runtime decides by chance or by real time:
//
//   - which timers of the same nanosecond come first, and which case of a select if several are ready;
//   - the order of a map;
//   - that another goroutine runs if one takes 10 milliseconds, or a call of the operating system is not back at once: files elsewhere
//     than in memory, and the network.
//
// A program that lets none of them decide anything is the same in each run. With the race detector, none is.
func Deterministic(t *testing.T, seed uint64) {
	cryptotest.SetGlobalRandom(t, seed)
	procs := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	// While one goroutine waits for a disk, others run: how fast the disk is would decide.
	if dir, err := os.MkdirTemp(memory, "zimtest"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		t.Setenv("GOTMPDIR", dir) // where TempDir makes them
	}
}

// memory is where Linux has files that are on no disk.
const memory = "/dev/shm"

// NewFaults makes Faults with a profile. If the seed is 0, it is the one in the environment variable ZIM_SEED, or else a random one. A test
// that fails says which it was.
func NewFaults(tb testing.TB, seed uint64, profile FaultProfile) *Faults {
	tb.Helper()
	if s := os.Getenv("ZIM_SEED"); seed == 0 && s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			tb.Fatalf("zimtest: ZIM_SEED: %v", err)
		}
	}
	for seed == 0 {
		seed = rand.Uint64()
	}
	f := &Faults{tb: tb, seed: seed, profile: profile, began: time.Now(), dials: make(map[string]int), counts: make(map[string]int)}
	tb.Cleanup(func() {
		f.ghosts.Wait()
		if tb.Failed() {
			tb.Logf("zimtest: the faults had the seed %d: ZIM_SEED=%d has them again", seed, seed)
		}
	})
	return f
}

// Seed returns the seed.
func (f *Faults) Seed() uint64 { return f.seed }

// Heal ends the faults: from now on the network is perfect, but for connections that are half-open already, which the two ends have to find.
func (f *Faults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.healed = true
}

// Counts returns how often each fault has happened: "cut", "half-open", "zombie", "duplicate", "stall", "slow reader", "refused", "hang".
func (f *Faults) Counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}

// Trace returns what went wrong: an entry a fault, in the order of time.
func (f *Faults) Trace() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.trace)
}

// note takes down a fault.
func (f *Faults) note(link, fault, detail string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[fault]++
	f.trace = append(f.trace, fmt.Sprintf("%v %s: %s%s", time.Since(f.began), link, fault, detail))
}

// current returns the profile that holds now.
func (f *Faults) current() *FaultProfile {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.healed {
		return &FaultProfile{}
	}
	return &f.profile
}

// Dialer returns d with faults. The name tells its connections from those of other dialers: each has faults of its own.
func (f *Faults) Dialer(name string, d transport.Dialer) transport.Dialer {
	return &faultDialer{faults: f, name: name, inner: d}
}

type faultDialer struct {
	faults *Faults
	name   string
	inner  transport.Dialer
}

var errRefused = errors.New("zimtest: connection refused")

// Dial implements [transport.Dialer].
func (d *faultDialer) Dial(ctx context.Context) (transport.Conn, error) {
	f := d.faults
	f.mu.Lock()
	f.dials[d.name]++
	link := fmt.Sprint(d.name, "#", f.dials[d.name])
	f.mu.Unlock()
	h := fnv.New64a()
	h.Write([]byte(link))
	dice := rand.New(rand.NewPCG(f.seed, h.Sum64()))
	p := f.current()
	switch x := dice.Float64(); {
	case x < p.Refuse:
		f.note(link, "refused", "")
		return nil, errRefused
	case x < p.Refuse+p.Hang:
		f.note(link, "hang", "")
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if delay := p.delay(dice); delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	inner, err := d.inner.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return newFaultConn(f, link, dice, inner), nil
}
