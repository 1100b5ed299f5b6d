package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/websocket"
)

// A soak is a crowd that talks for long, while somebody's connection is cut all the time.
type soak struct {
	t       *testing.T
	report  func(figures map[string]any)
	srv     *zimtest.Server
	clients int
	length  time.Duration
	pause   time.Duration // between two messages of one of them
	cuts    time.Duration // between two cuts
	filled  int           // what is said in each room before
	people  []*talker
	over    chan struct{} // closed when nobody starts to say anything any more
	talking sync.WaitGroup

	mu        sync.Mutex
	latencies []time.Duration // guarded by mu; of messages, as many as there is room for
	logins    int             // guarded by mu; after a kick
}

const (
	soakCircle = 10 // how many share a group and a room
	soakKicks  = 40 // one of so many cuts is a kick

	soakSlow = 20 * time.Millisecond // how long one in ten takes to handle what it hears
)

// A talker is one of the crowd. What it says to one conversation is numbered, and it says nothing more there until that is
// acknowledged: so each number must be heard once, after the one before.
type talker struct {
	*zim.ZIM
	soak  *soak
	index int
	said  map[zim.ConversationRef]int

	mu    sync.Mutex
	heard map[string]int // guarded by mu; the last number, by conversation and sender
	wrong []string       // guarded by mu
}

func (s *soak) name(i int) string { return fmt.Sprint("talker", (i+s.clients)%s.clients) }

func (s *soak) join(dialer transport.Dialer) {
	p := &talker{soak: s, index: len(s.people), said: map[zim.ConversationRef]int{}, heard: map[string]int{}}
	p.ZIM = newFastZIM(s.t, dialer)
	zim.On(p.ZIM, func(_ context.Context, e *zim.PeerMessageReceived) { p.hear(e.Messages) })
	zim.On(p.ZIM, func(_ context.Context, e *zim.GroupMessageReceived) { p.hear(e.Messages) })
	zim.On(p.ZIM, func(_ context.Context, e *zim.RoomMessageReceived) { p.hear(e.Messages) })
	zim.On(p.ZIM, func(_ context.Context, e *zim.SyncReset) { p.complain("%+v", e) })
	zim.On(p.ZIM, func(_ context.Context, e *zim.EventsDropped) { p.complain("%+v", e) })
	zim.On(p.ZIM, func(_ context.Context, e *zim.Error) { p.complain("%v", e) })
	s.people = append(s.people, p)
}

func (p *talker) complain(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}

func (p *talker) hear(list []*zim.Message) {
	if p.index%10 == 9 {
		time.Sleep(soakSlow)
	}
	for _, m := range list {
		n, _ := strconv.Atoi(m.Content.(*zim.TextMessage).Message)
		stream := fmt.Sprint(m.Conversation, " ", m.Sender)
		p.mu.Lock()
		last := p.heard[stream]
		p.heard[stream] = n
		p.mu.Unlock()
		// Who was kicked out of a room misses what is said there until it comes back.
		if n <= last || n > last+1 && m.Conversation.Type != zim.ConversationTypeRoom {
			p.complain("after %d of %s came %d", last, stream, n)
		}
	}
}

func (p *talker) circle() string { return fmt.Sprint("circle", p.index/soakCircle) }

// arrive logs in, again after a kick, and enters the room.
func (p *talker) arrive() error {
	s := p.soak
	if p.ConnectionState() == zim.ConnectionStateDisconnected {
		name := s.name(p.index)
		if err := p.Login(s.t.Context(), name, &zim.LoginConfig{Token: s.srv.TokenFor(name, 24*time.Hour)}); err != nil {
			return err
		}
	}
	_, err := p.EnterRoom(s.t.Context(), zim.RoomInfo{RoomID: p.circle()}, nil)
	if errors.Is(err, zim.ErrRoomUserIsAlreadyInTheRoom) {
		return nil
	}
	return err
}

// say says the next number, however often that takes.
func (p *talker) say(to zim.ConversationRef) {
	s := p.soak
	p.said[to]++
	config := new(zim.MessageSendConfig)
	content := zim.Content(&zim.TextMessage{Message: fmt.Sprint(p.said[to])})
	start := time.Now()
	for try := 0; ; try++ {
		m, err := p.SendMessage(s.t.Context(), content, to, config)
		if err == nil {
			break
		}
		if try == 1000 {
			p.complain("message %d to %v: %v", p.said[to], to, err)
			return
		}
		if m != nil {
			config.Retry = m
		}
		pause := 100 * time.Millisecond
		if e, ok := errors.AsType[*zim.Error](err); ok {
			pause = max(pause, e.RetryAfter)
		}
		time.Sleep(pause)
		// Whatever it was: it is no mistake to be logged in, and in the room.
		if p.ConnectionState() == zim.ConnectionStateDisconnected || to.Type == zim.ConversationTypeRoom {
			p.arrive()
		}
	}
	s.mu.Lock()
	if len(s.latencies) < cap(s.latencies) {
		s.latencies = append(s.latencies, time.Since(start))
	}
	s.mu.Unlock()
}

// talk is a talker's goroutine.
func (p *talker) talk() {
	s := p.soak
	tick := time.NewTicker(s.pause)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-s.over:
			return
		}
		if p.ConnectionState() == zim.ConnectionStateDisconnected {
			if p.arrive() == nil {
				s.mu.Lock()
				s.logins++
				s.mu.Unlock()
			}
		}
		switch n % 4 {
		case 0, 2:
			p.say(zim.Peer(s.name(p.index + 1)))
		case 1:
			p.say(zim.Group(p.circle()))
		case 3:
			p.say(zim.Room(p.circle()))
		}
	}
}

// A sample is what the process takes at one moment.
type sample struct {
	at         time.Duration
	goroutines int
	heap, rss  int // bytes
}

func sampled(start time.Time) sample {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := sample{at: time.Since(start), goroutines: runtime.NumGoroutine(), heap: int(m.HeapAlloc)}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(b)); len(fields) > 1 {
			pages, _ := strconv.Atoi(fields[1])
			s.rss = pages * os.Getpagesize()
		}
	}
	return s
}

// run lets the crowd talk, and checks that everybody heard everything, once and in order, and that nothing grew.
func (s *soak) run(dialers ...transport.Dialer) {
	t := s.t
	s.over = make(chan struct{})
	before := runtime.NumGoroutine()
	for i := range s.clients {
		s.join(dialers[i%len(dialers)])
		if err := s.people[i].arrive(); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < s.clients; i += soakCircle {
		var others []string
		for j := i + 1; j < min(i+soakCircle, s.clients); j++ {
			others = append(others, s.name(j))
		}
		p := s.people[i]
		info := zim.GroupInfo{GroupID: p.circle()}
		if _, err := p.CreateGroup(t.Context(), info, others, nil); err != nil {
			t.Fatal(err)
		}
	}
	// What a room keeps would grow otherwise.
	for i := 0; i < s.clients; i += soakCircle {
		s.talking.Go(func() {
			for range s.filled {
				s.people[i].say(zim.Room(s.people[i].circle()))
			}
		})
	}
	s.talking.Wait()
	s.latencies = make([]time.Duration, 0, s.clients*int(s.length/s.pause))
	for _, p := range s.people {
		s.talking.Go(p.talk)
	}
	start := time.Now()
	cuts, kicks := 0, 0
	var samples []sample
	for n := 0; time.Since(start) < s.length; n++ {
		victim := s.name(rand.IntN(s.clients))
		if n%soakKicks == soakKicks-1 {
			s.srv.Kick(victim)
			kicks++
		} else {
			cuts += s.srv.Cut(victim)
		}
		if time.Since(start) >= s.length*time.Duration(len(samples))/20 {
			samples = append(samples, sampled(start))
		}
		time.Sleep(s.cuts)
	}
	close(s.over)
	s.talking.Wait()
	for _, p := range s.people {
		if err := p.arrive(); err != nil && zim.CodeOf(err) != zim.ErrNetworkNetworkError {
			t.Errorf("in the end, %s can't come back: %v", s.name(p.index), err)
		}
	}
	lost := s.settle()
	end := sampled(start)

	repeated := 0
	for i, p := range s.people {
		for _, w := range p.wrong {
			repeated++
			t.Errorf("%s: %s", s.name(i), w)
		}
	}
	if lost > 0 {
		t.Errorf("%d messages were never heard", lost)
	}
	// Three for a connection at the backend, and six for a client.
	each := float64(end.goroutines-before) / float64(s.clients)
	if each > 9 {
		t.Errorf("in the end, there were %.1f goroutines for a client and its connection, want 9", each)
	}
	middle, late := mean(samples[8:12]), mean(samples[len(samples)-4:])
	if grown := late.heap - middle.heap; grown > middle.heap/20+1<<20 {
		t.Errorf("the heap grew from %d to %d in half of the time", middle.heap, late.heap)
	}
	// The store's pages in memory, of which there may be 48 MiB, are still getting more.
	if tier.Long() && late.rss > middle.rss*11/10+32<<20 {
		t.Errorf("the process grew from %d to %d bytes in half of the time", middle.rss, late.rss)
	}
	slices.Sort(s.latencies)
	at := func(percent int) float64 {
		return float64(s.latencies[(len(s.latencies)-1)*percent/100].Microseconds()) / 1000
	}
	messages := 0
	for _, p := range s.people {
		for _, n := range p.said {
			messages += n
		}
	}
	s.report(map[string]any{
		"clients": s.clients, "seconds": s.length.Seconds(), "messages": messages, "cuts": cuts, "kicks": kicks, "logins": s.logins, "lost": lost,
		"doubled_or_reordered": repeated, "goroutines_each": each, "heap_middle": middle.heap, "heap_late": late.heap,
		"rss_middle": middle.rss, "rss_late": late.rss, "ack_p50_ms": at(50), "ack_p99_ms": at(99),
	})
}

func mean(list []sample) (m sample) {
	for _, s := range list {
		m.heap += s.heap / len(list)
		m.rss += s.rss / len(list)
	}
	return m
}

// settle waits until everything was heard, for two minutes, and returns how much was not.
func (s *soak) settle() (lost int) {
	missing := func() (n int) {
		for i, p := range s.people {
			for to, said := range p.said {
				switch to.Type {
				case zim.ConversationTypePeer:
					next := s.people[(i+1)%s.clients]
					n += said - next.last(zim.Peer(s.name(i)), s.name(i))
				case zim.ConversationTypeGroup:
					first := i / soakCircle * soakCircle
					for j := first; j < min(first+soakCircle, s.clients); j++ {
						if j != i {
							n += said - s.people[j].last(to, s.name(i))
						}
					}
				}
			}
		}
		return n
	}
	for range 120 {
		if lost = missing(); lost == 0 {
			break
		}
		time.Sleep(time.Second)
	}
	time.Sleep(5 * time.Second) // what comes once too often
	return lost
}

func (p *talker) last(c zim.ConversationRef, sender string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard[fmt.Sprint(c, " ", sender)]
}

func soakApp(a *backend.App) {
	boundless(a)
	a.Limits.Rooms, a.Limits.LoginRate = -1, -1
}

// A crowd that talks for long, while somebody's connection is cut all the time and now and then somebody is kicked out: nothing is lost, doubled or
// reordered, and nothing grows. The long tier does that over real connections, in real time, with a cut every 50 ms.
func TestSoak(t *testing.T) {
	report := tier.Begin(t, "soak")
	options := &zimtest.Options{App: soakApp, Config: func(c *backend.Config) { c.MaxPreLoginPerAddress = 1000 }}
	if tier.Long() {
		srv := zimtest.NewServer(t, options)
		web := httptest.NewServer(srv)
		t.Cleanup(web.Close)
		s := &soak{t: t, srv: srv, report: report, clients: 500, length: 10 * time.Minute, pause: 2 * time.Second, cuts: 50 * time.Millisecond, filled: 500}
		s.run(websocket.Dialer{URL: "ws" + strings.TrimPrefix(web.URL, "http") + "/v1"})
		return
	}
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, options)
		s := &soak{t: t, srv: srv, report: report, clients: 30, length: 5 * time.Minute, pause: time.Second, cuts: 250 * time.Millisecond}
		s.run(srv.InProcess(), srv.WebSocket())
	})
}
