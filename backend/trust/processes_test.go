//go:build linux

package trust_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/backend/zimtest"
)

const (
	senders  = 4           // in this process; the runner is in one of its own
	clients  = senders + 3 // with the reader, the runner and the catcher
	inFlight = 8
	ahead    = 100 // how many sends may end before the plan has taken note of them
	group    = "all"
)

// Real processes, real sockets and a real disk: messages to users and to a group, while connections are cut, half-open, slow or come back from
// the dead; the server is killed with -9, frozen, and stopped by writes that fail; its disk fills up; and clients are killed. What was
// acknowledged is there, once and in order; every reader gets it, across runs of its program at least once; and each send ends
// as acknowledged, refused or unknown, which another try resolves. Durable messages survive the process that sends them, and are acknowledged.
func TestProcesses(t *testing.T) {
	began, report := time.Now(), tier.Begin(t, "processes")
	s := newStorm(t, tier.Pick(5_000, 50_000))
	s.report = report
	s.login()
	s.runner.count = s.total * 15 / 100
	s.startCatcher()
	s.startRunner()
	s.startSenders()
	s.runPlan(map[string]planned{
		"spoiled link": {tier.Pick(70, 800), s.spoil},
		"kill":         {tier.Pick(3, 30), func() { s.srv.kill(); s.srv.start(t) }},
		"freeze":       {tier.Pick(1, 8), s.freeze},
		"disk full":    {tier.Pick(1, 4), s.fillDisk},
		"write error":  {tier.Pick(1, 3), s.failWrites},
		"sender dies":  {tier.Pick(1, 6), s.killRunner},
		"catcher dies": {tier.Pick(1, 6), s.killCatcher},
	})
	s.workers.Wait()
	s.resolve()
	s.collect()
	s.judge(began)
}

// A storm is one run of the suite.
type storm struct {
	t       *testing.T
	report  func(figures map[string]any)
	seed    uint64
	rnd     *rand.Rand // of the goroutine that runs the plan
	total   int
	h       zimtest.History
	disk    *disk // nil where none can be had
	srv     *zimd
	proxy   *proxy
	zims    map[string]*zim.ZIM // of the users in this process
	arrived *arrivals
	workers sync.WaitGroup
	ended   chan struct{} // one for each send that ended
	n       int           // how many of them the plan has seen

	runner  runner
	catcher *process

	done   map[string]int   // what of the plan was done
	full   chan struct{}    // the disk was said to be full
	caught map[int64]bool   // by the catcher; of the goroutine that hears it
	want   map[string]int64 // the last number that a reader is to get, by inbox
	resets atomic.Int64     // events that tell of a loss
	again  atomic.Int64     // what the catcher got more than once

	mu       sync.Mutex
	outcomes map[string]int // guarded by mu
	unknown  []*zim.Message // guarded by mu; of senders in this process
}

func newStorm(t *testing.T, total int) *storm {
	t.Helper()
	s := &storm{
		t: t, seed: rand.Uint64(), total: total, zims: make(map[string]*zim.ZIM), arrived: newArrivals(), ended: make(chan struct{}, ahead),
		outcomes: make(map[string]int), done: make(map[string]int), full: make(chan struct{}, 1), caught: make(map[int64]bool),
		want: make(map[string]int64),
	}
	if v := os.Getenv("ZIM_SEED"); v != "" {
		var err error
		if s.seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("ZIM_SEED: %v", err)
		}
	}
	s.rnd = rand.New(rand.NewPCG(s.seed, 1))
	t.Cleanup(s.workers.Wait)
	s.disk = newDisk(t)
	dir := t.TempDir()
	if s.disk != nil {
		dir = s.disk.dir
	}
	s.srv = newZimd(t, dir)
	s.proxy = newProxy(t, s.srv.address, s.seed)
	return s
}

func sender(i int) string { return "sender" + strconv.Itoa(i) }

// login makes the users of this process, and the group.
func (s *storm) login() {
	s.t.Helper()
	users := []string{"reader"}
	for i := range senders {
		users = append(users, sender(i))
	}
	for _, user := range users {
		z, err := newClient(s.proxy.url(), user, "")
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(z.Destroy)
		s.zims[user] = z
		got := func(messages []*zim.Message) {
			s.h.Received(user, messages...)
			for _, m := range messages {
				s.arrived.tell(user, m.Conversation.ID, m.Seq)
			}
		}
		zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) { got(e.Messages) })
		zim.On(z, func(_ context.Context, e *zim.GroupMessageReceived) { got(e.Messages) })
		zim.On(z, func(context.Context, *zim.SyncReset) { s.resets.Add(1) })
		zim.On(z, func(context.Context, *zim.EventsDropped) { s.resets.Add(1) })
		if err := logIn(s.t.Context(), z, user); err != nil {
			s.t.Fatal(err)
		}
	}
	owner := s.zims[users[0]]
	if _, err := owner.CreateGroup(s.t.Context(), zim.GroupInfo{GroupID: group}, users[1:], nil); err != nil {
		s.t.Fatal(err)
	}
}

// startSenders lets the senders of this process send all that the runner doesn't, several messages at a time each.
func (s *storm) startSenders() {
	var next atomic.Int64
	count := int64(s.total - s.runner.count)
	for i := range senders {
		z := s.zims[sender(i)]
		for worker := range inFlight {
			rnd := rand.New(rand.NewPCG(s.seed, uint64(100+i*inFlight+worker)))
			s.workers.Go(func() {
				for n := next.Add(1); n <= count; n = next.Add(1) {
					s.send(z, sender(i), rnd, fmt.Sprint(sender(i), "/", n))
					s.tellEnd()
				}
			})
		}
	}
}

// tellEnd tells the plan that a send ended, and waits if it has not taken note of many others.
func (s *storm) tellEnd() {
	select {
	case s.ended <- struct{}{}:
	case <-s.t.Context().Done(): // the test failed
	}
}

func (s *storm) send(z *zim.ZIM, user string, rnd *rand.Rand, text string) {
	to := zim.Peer("reader")
	if rnd.IntN(5) == 0 {
		to = zim.Group(group)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	hasty := rnd.IntN(50) == 0
	if hasty {
		ctx, cancel = context.WithTimeout(s.t.Context(), time.Duration(rnd.IntN(5000))*time.Microsecond)
	}
	defer cancel()
	m, err := s.h.Send(ctx, z, &zim.TextMessage{Message: text}, to, nil)
	for zim.CodeOf(err) == zim.ErrCommonTriggerServerFrequencyLimit && !errors.Is(err, zim.ErrOutcomeUnknown) {
		// A disk that takes a second for a sync is more than the server waits for.
		s.count("asked to wait")
		e, _ := errors.AsType[*zim.Error](err)
		select {
		case <-time.After(e.RetryAfter):
		case <-ctx.Done():
		}
		m, err = s.h.Send(ctx, z, &zim.TextMessage{Message: text}, to, nil)
	}
	switch {
	case err == nil:
		s.count("acknowledged")
	case errors.Is(err, zim.ErrOutcomeUnknown):
		s.count(outcomeUnknown)
		s.mu.Lock()
		s.unknown = append(s.unknown, m)
		s.mu.Unlock()
	case zim.CodeOf(err) == zim.ErrCommonIMDatabaseError:
		s.count(outcomeRefused)
	case hasty:
		s.count("not sent")
	default:
		s.t.Errorf("a send failed: %v", err)
	}
	if zim.CodeOf(err) == zim.ErrCommonIMDatabaseError {
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
	if rnd.IntN(100) == 0 {
		// It may find no connection.
		if _, err := s.h.QueryHistory(ctx, user, z, to, zim.MessageQueryConfig{Reverse: true, Count: 20}); err == nil {
			s.count("queries")
		}
	}
}

func (s *storm) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[what]++
}

// A planned is a fault, and how often it comes.
type planned struct {
	times int
	do    func()
}

// runPlan does what is planned, spread over the messages and not over the time, and returns when all messages have ended.
func (s *storm) runPlan(plan map[string]planned) {
	type step struct {
		at   int
		name string
	}
	var steps []step
	for name, p := range plan {
		for i := range p.times {
			at := s.total * (i + 1) / (p.times + 1)
			steps = append(steps, step{at, name})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.name, b.name)) })
	for s.n < s.total {
		for len(steps) > 0 && steps[0].at <= s.n && !s.t.Failed() {
			plan[steps[0].name].do()
			s.done[steps[0].name]++
			steps = steps[1:]
		}
		s.watch(1, nil, nil)
	}
	if len(steps) > 0 {
		s.t.Errorf("%d faults of the plan were left when all messages had ended", len(steps))
	}
}

// watch waits until one of two things has happened, or so many more messages have ended, and reports whether something has happened.
func (s *storm) watch(messages int, happened, other <-chan struct{}) bool {
	s.t.Helper()
	for end := min(s.n+messages, s.total); s.n < end; {
		select {
		case <-happened:
			return true
		case <-other:
			return true
		case <-s.ended:
			s.n++
		case <-time.After(3 * time.Minute):
			s.t.Fatalf("no message ended for three minutes, after %d of them", s.n)
		}
	}
	return false
}

// spoil spoils a connection, once there is one.
func (s *storm) spoil() {
	for range 1000 {
		if s.proxy.spoil() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	s.t.Error("nobody was connected for ten seconds")
}

// freezes says how long freezes of the long tier last, one after the other, and whose they are; zero is a second or so.
var freezes = []struct {
	client bool
	d      time.Duration
}{
	{false, 0}, {true, 0},
	{false, 12 * time.Second}, {true, 12 * time.Second},
	{false, 20 * time.Second}, {true, 20 * time.Second},
	{false, 40 * time.Second}, {true, 40 * time.Second},
}

// freeze freezes the server or the catcher. If that lasts, the other side takes the connection for dead: clients after 11 seconds with a message
// under way and 16 without, the server after 36.
func (s *storm) freeze() {
	f := freezes[s.done["freeze"]%len(freezes)]
	victim := s.srv.cmd
	if f.client {
		victim = s.catcher.cmd
	}
	if f.d == 0 {
		freeze(s.t, victim, time.Second+time.Duration(s.rnd.IntN(tier.Pick(500, 2000)))*time.Millisecond)
		return
	}
	s.settle() // else, whoever is frozen may have no connection, and others lose theirs for another reason
	n := s.proxy.ended()
	freeze(s.t, victim, f.d)
	n = s.proxy.ended() - n
	s.done["links given up in freezes"] += n
	if n == 0 && (!f.client || f.d > 36*time.Second) {
		s.t.Errorf("nobody gave up a connection while the other side was frozen for %v", f.d)
	}
}

// settle waits until all clients are connected, none of the connections is about to end, and messages are under way.
func (s *storm) settle() {
	s.t.Helper()
	select { // takes no note of messages that end: the senders wait
	case <-s.proxy.settled(clients):
	case <-time.After(time.Minute):
		s.t.Error("not all clients were connected within a minute")
	}
	s.watch(2*ahead, nil, nil)
}

// fillDisk fills the disk until somebody is told, and then makes room.
func (s *storm) fillDisk() {
	if s.disk == nil {
		s.failWrites() // the next best thing; the report says that there was no disk
		return
	}
	// A server that begins anew has no log yet, and needs room for one at once.
	s.srv.stop(s.t)
	s.srv.start(s.t)
	// Who can't log in any more is not told; and the runner, whose durable messages wait for better times, tells nobody.
	s.settle()
	select {
	case <-s.full:
	default:
	}
	if err := s.disk.fill(64 << 10); err != nil {
		s.t.Error(err)
	}
	if !s.watch(s.total/10, s.full, s.srv.exited) {
		s.t.Errorf("nobody was told of the full disk for %d messages", s.total/10)
	}
	if err := s.disk.empty(); err != nil {
		s.t.Fatal(err)
	}
	if !s.srv.running() {
		s.done["exits of a full disk"]++
		s.srv.start(s.t)
	}
}

// failWrites lets the server's writes fail, at a byte in the middle of one if it comes to that. It must end rather than go on.
func (s *storm) failWrites() {
	var size int64
	if info, err := os.Stat(s.srv.db() + "-wal"); err == nil {
		size = info.Size()
	}
	if err := s.srv.failWrites(size + int64(s.rnd.IntN(32<<10))); err != nil {
		s.t.Fatal(err)
	}
	if !s.watch(s.total/25, s.srv.exited, nil) {
		// It writes to the beginning of the log again.
		if err := s.srv.failWrites(0); err != nil {
			s.t.Fatal(err)
		}
		if !s.watch(s.total/25, s.srv.exited, nil) {
			s.srv.cmd.Process.Signal(syscall.SIGQUIT) // it says where it is
			<-s.srv.exited
			s.t.Errorf("the server went on without being able to write:\n%s", strings.Join(s.srv.log, "\n"))
		}
	}
	if code := s.srv.cmd.ProcessState.ExitCode(); code != 1 {
		s.t.Errorf("the server ended with the status %d after a write failed, want 1", code)
	}
	s.srv.start(s.t)
}
