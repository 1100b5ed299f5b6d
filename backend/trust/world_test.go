package trust_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
)

const (
	users    = 3
	messages = 24 // a user
)

// A world is one run of the simulation.
type world struct {
	t       *testing.T
	srv     *zimtest.Server
	faults  *zimtest.Faults
	history zimtest.History
	began   time.Time
	group   zim.ConversationRef
	room    zim.ConversationRef
	forgets bool              // the service forgets what was missed, now and then
	prunes  atomic.Int64      // how often it did
	store   *store.Store      // of the backend as it is now
	final   map[string]string // what each message says in the end, by ID; of the goroutine that judges
	people  []*person
	over    chan struct{} // closed when nothing new is to go wrong

	mu    sync.Mutex
	total totals   // guarded by mu
	diary []string // guarded by mu
}

// play plays one seed, and returns what happened.
func play(t *testing.T, seed uint64, total totals) []string {
	zimtest.Deterministic(t, seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	w := &world{t: t, total: total, began: time.Now(), over: make(chan struct{}), group: zim.Group("g"), room: zim.Room("r"), final: make(map[string]string)}
	w.forgets = dice.IntN(4) == 0
	w.srv = zimtest.NewServer(t, &zimtest.Options{App: func(a *backend.App) {
		if dice.IntN(3) == 0 {
			a.Devices = backend.MultiDevice
		}
	}, Config: func(c *backend.Config) { w.store = c.Store }})
	profile := zimtest.BadNetwork()
	if dice.IntN(4) == 0 {
		profile.CutEvery, profile.MaxDelay = 500, 2*time.Second
	}
	w.faults = zimtest.NewFaults(t, seed, profile)
	w.settle()
	for i := range users {
		p := &person{world: w, name: fmt.Sprint("user", i), dice: rand.New(rand.NewPCG(seed, uint64(i+1))), logins: rand.New(rand.NewPCG(seed, uint64(i+101))), down: make(chan struct{}, 1)}
		p.outbox, p.owned = filepath.Join(w.t.TempDir(), "outbox"), make(map[string]*zimtest.Sending)
		p.fates, p.mirror = make(map[string]*fate), newMirror()
		p.dial = w.srv.InProcess()
		if dice.IntN(2) == 0 {
			p.dial = w.srv.WebSocket()
		}
		w.people = append(w.people, p)
		p.begin()
	}
	var acting, chaos sync.WaitGroup
	for _, p := range w.people {
		chaos.Go(p.supervise)
		acting.Go(p.write)
	}
	chaos.Go(func() { w.disturb(dice) })
	acting.Wait()
	close(w.over)
	chaos.Wait()

	// The quiet phase: everything must come to rest.
	w.faults.Heal()
	for _, then := range []func(*person){(*person).comeBack, (*person).comeBack, (*person).resolve} {
		for _, p := range w.people {
			p.comeBack() // again: who was still connected may learn only now that the session is over
			then(p)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	}
	for _, p := range w.people {
		p.comeBack()
	}
	w.judge()
	for _, p := range w.people {
		p.zim().Destroy()
	}
	synctest.Wait()
	for name, n := range w.faults.Counts() {
		if name == "refused" {
			name = "refused dial"
		}
		total[name] += n
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return inOrder(append(w.diary, w.faults.Trace()...))
}

// inOrder sorts a diary by time. What happened in the same nanosecond has no order.
func inOrder(diary []string) []string {
	at := make(map[string]time.Duration)
	for _, line := range diary {
		first, _, _ := strings.Cut(line, " ")
		at[line], _ = time.ParseDuration(first) // what begins in another way comes first
	}
	slices.SortFunc(diary, func(a, b string) int { return cmp.Or(cmp.Compare(at[a], at[b]), strings.Compare(a, b)) })
	return diary
}

// settle makes users and the group, before anything goes wrong.
func (w *world) settle() {
	var names []string
	for i := range users {
		names = append(names, fmt.Sprint("user", i))
	}
	w.srv.Register(names...)
	// A device that the service has never seen gets nothing of what came before; these are known.
	for _, name := range names {
		z := w.rival(name, "phone")
		if err := z.Login(context.Background(), name, &zim.LoginConfig{Token: w.srv.Token(name)}); err != nil {
			w.t.Fatal(err)
		}
		z.Destroy()
	}
	founder := w.srv.Login(w.t, "founder")
	if _, err := founder.CreateGroup(context.Background(), zim.GroupInfo{GroupID: w.group.ID}, names, nil); err != nil {
		w.t.Fatal(err)
	}
	founder.Destroy()
}

// note takes down what happened.
func (w *world) note(name, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total[name]++
	w.diary = append(w.diary, fmt.Sprintf("%v %s %s", time.Since(w.began), name, fmt.Sprintf(format, args...)))
}

// judge holds what happened against what is promised.
func (w *world) judge() {
	ctx := context.Background()
	for _, p := range w.people {
		talks := []zim.ConversationRef{w.group}
		for _, other := range w.people {
			if other != p {
				talks = append(talks, zim.Peer(other.name))
			}
		}
		for _, c := range talks {
			var list []*zim.Message
			for m, err := range p.zim().HistoryMessages(ctx, c, zim.MessageOrderAscending) {
				if err != nil {
					w.t.Errorf("%s can't read the history of %v: %v", p.name, c, err)
					break
				}
				list = append(list, m)
			}
			w.history.Stored(p.name, c, list)
			w.compare(p, list)
		}
	}
	for _, v := range w.history.Check() {
		w.t.Error(v)
	}
	for _, p := range w.people {
		if p.resets > 0 {
			continue // not all of it came, which was told
		}
		for _, other := range w.people {
			if other != p {
				for _, v := range w.history.Delivered(p.name, zim.Peer(other.name)) {
					w.t.Error(v)
				}
			}
		}
		for _, v := range w.history.Delivered(p.name, w.group) {
			w.t.Error(v)
		}
	}
}

// until sleeps, but no longer than until the disturbances are over. It reports whether they go on.
func (w *world) until(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-w.over:
		return false
	}
}

// rival returns a ZIM of a user on another device, without faults.
func (w *world) rival(user, device string) *zim.ZIM {
	z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: w.srv.InProcess(), DeviceID: device})
	if err != nil {
		w.t.Error(err)
	}
	return z
}
