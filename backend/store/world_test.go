//go:build unix

package store_test

import (
	"encoding/binary"
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
}

// A deed is a message or the edit of one.
type deed struct {
	from, to string
	id       int // the client ID
	text     string
	edits    *deed // the message, or nil
	place    int64

	begun, acked int // how long the log of the disk was
	batch        int // the same for those of one transaction
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
	begun bool
}

func (j *job) Do(tx *store.Tx) error {
	if !j.begun && j.first != nil {
		j.first()
	}
	j.begun = true
	return j.do(tx)
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

// send is a new message.
func (w *world) send() *job {
	d := &deed{from: w.user(), to: w.user(), text: w.text()}
	for d.to == d.from {
		d.to = w.user()
	}
	d.id = w.ids
	return w.job(d, func(tx *store.Tx) error {
		m, again, _, err := send(tx, d.from, d.to, d.id, d.text)
		if err != nil {
			return err
		}
		if again {
			w.t.Errorf("message %d was there before it was sent", d.id)
		}
		d.place = m.Place
		return nil
	})
}

// edit changes a message, and tells the receiver.
func (w *world) edit(of *deed) *job {
	d := &deed{from: of.from, to: of.to, edits: of, text: w.text()}
	return w.job(d, func(tx *store.Tx) error {
		m, err := tx.MessageAt(of.place)
		if err != nil {
			return err
		}
		m.Content = []byte(d.text)
		if err := tx.UpdateMessage(m); err != nil {
			return err
		}
		to, err := tx.User(app, d.to)
		if err != nil {
			return err
		}
		_, err = tx.AppendEvent(to, store.EventOther, of.place, m.Time, m.Content)
		return err
	})
}

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
		m, again, same, err := send(tx, d.from, d.to, d.id, d.text)
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
		if d.acked == never && d.edits == nil {
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

func (w *world) any() *job {
	var old *deed
	if len(w.done) > 0 {
		if old = w.done[w.rng.IntN(len(w.done))]; old.edits != nil {
			old = old.edits
		}
	}
	switch n := w.rng.IntN(20); {
	case n < 2 && old != nil:
		return w.again(old)
	case n < 5 && old != nil:
		return w.edit(old)
	case n < 6:
		return w.poison()
	}
	return w.send()
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

// A state is what users see.
type state map[string][]string

// after is the state after the first n deeds.
func (w *world) after(n int) state {
	text := make(map[*deed]string)
	for _, d := range w.done[:n] {
		if d.edits != nil {
			text[d.edits] = d.text
		} else {
			text[d] = d.text
		}
	}
	st := make(state)
	seqs := make(map[string]int64) // of the last message of each conversation
	for _, d := range w.done[:n] {
		if d.edits != nil {
			st[d.to] = append(st[d.to], editLine(uint32(len(st[d.to])+1), d.text))
			continue
		}
		pair := min(d.from, d.to) + max(d.from, d.to)
		seqs[pair]++
		st[d.to] = append(st[d.to], messageLine(uint32(len(st[d.to])+1), d.from, d.id, seqs[pair], text[d]))
	}
	return st
}

func editLine(seq uint32, text string) string { return fmt.Sprintf("%d: edit %s", seq, text) }

func messageLine(seq uint32, from string, id int, number int64, text string) string {
	return fmt.Sprintf("%d: %s sent %d as number %d: %s", seq, from, id, number, text)
}

// read returns the state of a store, and how many of the deeds are in it.
func (w *world) read(s *store.Store) (st state, n int) {
	w.t.Helper()
	messages, edits := make(map[int]int), make(map[string]int)
	for i, d := range w.done {
		if d.edits != nil {
			edits[d.text] = i + 1
		} else {
			messages[d.id] = i + 1
		}
	}
	st = make(state)
	for _, user := range users {
		for _, e := range events(w.t, s, user, 0) {
			if e.Kind == store.EventOther {
				st[user] = append(st[user], editLine(e.Seq, string(e.Data)))
				n = max(n, edits[string(e.Data)])
				continue
			}
			m := e.Message
			id := int(binary.BigEndian.Uint64(m.ClientID[8:]))
			st[user] = append(st[user], messageLine(e.Seq, m.Sender.UserID, id, m.Seq(), string(m.Content)))
			n = max(n, messages[id])
		}
	}
	return st, n
}

// want reports how two states differ, each user's feed where it begins to.
func (w *world) want(what string, got, want state) {
	w.t.Helper()
	for _, user := range users {
		g, x := got[user], want[user]
		for i := range max(len(g), len(x)) {
			var have, wanted string
			if i < len(g) {
				have = g[i]
			}
			if i < len(x) {
				wanted = x[i]
			}
			if have != wanted {
				w.t.Errorf("%s: the feed of %s, %d events of %d: got %q, want %q", what, user, len(g), len(x), short(have), short(wanted))
				break
			}
		}
	}
}

func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
