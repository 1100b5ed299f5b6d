//go:build unix

package store_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zim-go/zim/backend/store"
)

// A world is what is known of a store that lives through power cuts: what was done, in the order in which it was committed.
type world struct {
	t           *testing.T
	rng         *rand.Rand
	dir         string
	synchronous string // if not empty, instead of the store's own
	checkpoint  int    // if not 0: pages in the log before it is moved into the file, instead of the store's own

	disk  *disk
	mu    sync.Mutex // held while a job is told: when a store stops, two goroutines may do that
	done  []*deed
	ids   int // client IDs and texts that were used
	lives int // of the store
	// blame, if set, reports whether the disk is to blame for an error. If unsure is set as well, what failed may be there nevertheless.
	blame  func(error) bool
	unsure bool
	// stopped tells that nothing may be acknowledged any more.
	stopped bool
	undone  bool // the transaction of the last job that was done was given up before its commit
}

const never = math.MaxInt

func newWorld(t *testing.T, dir string, seed uint64) *world {
	return &world{t: t, rng: rand.New(rand.NewPCG(seed, 0)), dir: dir}
}

// A job is an operation of a test, and what is to become of the world when it was told.
type job struct {
	w     *world
	do    func(tx *store.Tx) error
	first func()
	told  func(err error)
	group *sync.WaitGroup
	begun bool // in a transaction that may have been committed
}

func (j *job) Do(tx *store.Tx) error {
	if !j.begun && j.first != nil {
		j.first()
	}
	j.begun = true
	err := j.do(tx)
	j.w.undone = err != nil
	return err
}

// Undo is called after the commit failed, too: then nobody knows.
func (j *job) Undo() {
	if j.w.undone {
		j.begun = false
	}
}

func (j *job) Done(err error) {
	j.w.mu.Lock()
	if err == nil && j.w.stopped {
		j.w.t.Error("something was acknowledged after the store had stopped")
	}
	j.told(err)
	j.w.mu.Unlock()
	j.group.Done()
}

// text is different each time. Some of it takes more than one page.
func (w *world) text() string {
	w.ids++
	size := w.rng.IntN(200)
	if w.rng.IntN(12) == 0 {
		size = w.rng.IntN(12_000)
	}
	return fmt.Sprintf("%d%s", w.ids, strings.Repeat(".", size))
}

var users = []string{"a", "b", "c", "d"}

func (w *world) user() string { return users[w.rng.IntN(len(users))] }

func (w *world) job(d *deed, do func(tx *store.Tx) error) *job {
	d.acked = never
	j := &job{w: w, do: do, first: func() { d.begun = w.disk.now() }}
	j.told = func(err error) {
		switch {
		case err == nil:
			d.acked = w.disk.now()
			d.batch = w.lives<<32 | d.acked
			w.done = append(w.done, d)
		case !w.blamed(err):
			w.t.Errorf("deed %q: %v", short(d.text), err)
		case w.unsure && j.begun:
			d.batch = -1
			w.done = append(w.done, d)
		}
	}
	return j
}

func (w *world) blamed(err error) bool { return w.blame != nil && w.blame(err) }

// again sends a message that is there: its sender did not see the acknowledgment, or pretends so.
func (w *world) again(d *deed) *job {
	return &job{w: w, do: func(tx *store.Tx) error {
		m, again, same, err := d.put(tx)
		if err == nil && (!again || !same || m.Place != d.place) {
			w.t.Errorf("message %d again: got place %d, %v, %v, want %d, true, true", d.id, m.Place, again, same, d.place)
		}
		return err
	}, told: func(err error) {
		if err == nil {
			d.acked = min(d.acked, w.disk.now())
		} else if !w.blamed(err) {
			w.t.Errorf("message %d again: %v", d.id, err)
		}
	}}
}

// poison writes, and then fails.
func (w *world) poison() *job {
	id, text := w.ids+1, w.text()
	return &job{w: w, do: func(tx *store.Tx) error {
		if _, _, _, err := send(tx, "a", "b", id, text); err != nil {
			return err
		}
		return errPoison
	}, told: func(err error) {
		if err != errPoison && !w.blamed(err) {
			w.t.Errorf("poison: got %v, want %v", err, errPoison)
		}
	}}
}

// together submits jobs so that they share a transaction, and waits until all were told.
func (w *world) together(s *store.Store, jobs ...*job) {
	var group sync.WaitGroup
	started, release := make(chan struct{}), make(chan struct{})
	start := sync.OnceFunc(func() { close(started) })
	hold := &job{w: w, group: &group, do: func(*store.Tx) error {
		start()
		<-release
		return nil
	}, told: func(error) { start() }}
	submit := func(j *job) {
		j.group = &group
		group.Add(1)
		if err := s.Submit(j); err != nil {
			j.Done(err)
		}
	}
	submit(hold)
	<-started
	for _, j := range jobs {
		submit(j)
	}
	close(release)
	group.Wait()
}

// open opens the store on the world's disk.
func (w *world) open() (*store.Store, error) {
	s, err := store.Open(w.disk.path(), store.Options{})
	if err == nil {
		err = w.tune(s)
		if err != nil {
			s.Close()
		}
	}
	return s, err
}

// tune sets what the test wants otherwise than the store has it.
func (w *world) tune(s *store.Store) error {
	return s.Update(func(tx *store.Tx) error {
		if w.checkpoint > 0 {
			tx.CheckpointAt(w.checkpoint)
		}
		if w.synchronous == "" {
			return nil
		}
		return outside(tx, "PRAGMA synchronous = "+w.synchronous)
	})
}

// outside runs SQL on the writing connection where there is no transaction.
func outside(tx *store.Tx, sql string) error {
	for _, sql := range []string{"COMMIT", sql, "BEGIN IMMEDIATE"} {
		if err := tx.Exec(sql); err != nil {
			return err
		}
	}
	return nil
}

// live mounts a disk with what log tells, and does some work on it. Then it closes the store, and what was done is in w.disk.log.
func (w *world) live(log []record, batches int) {
	w.lives++
	w.disk = mount(w.t, w.dir, log)
	defer w.disk.unmount(w.t)
	s, err := w.open()
	if err != nil {
		w.t.Fatal(err)
	}
	w.resend(s)
	w.work(s, batches)
	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// resend does what senders do who wait for an acknowledgment.
func (w *world) resend(s *store.Store) {
	var jobs []*job
	for _, d := range w.done {
		if d.acked == never && d.kind == message {
			jobs = append(jobs, w.again(d))
		}
	}
	if len(jobs) > 0 {
		w.together(s, jobs...)
	}
}

func (w *world) work(s *store.Store, batches int) {
	for range batches {
		var jobs []*job
		for range []int{1, 1, 1, 2, 3, 6, 20}[w.rng.IntN(7)] {
			jobs = append(jobs, w.any())
		}
		w.together(s, jobs...)
	}
}

// due returns how many deeds must be there if the power is cut when the log is so long.
func (w *world) due(at int) int {
	for i, d := range slices.Backward(w.done) {
		if d.acked <= at {
			return i + 1
		}
	}
	return 0
}
