//go:build linux

package trust_test

import (
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// A proxy passes bytes on, and spoils connections as it is told. Which ones, where and how follows from its seed and what is open.
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup
	closed   chan struct{}

	mu     sync.Mutex
	rnd    *rand.Rand     // guarded by mu
	links  map[*link]int  // guarded by mu; in the order in which they came
	n      int            // guarded by mu; how many came
	counts map[string]int // guarded by mu; faults by their names
}

func newProxy(t *testing.T, target string, seed uint64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{
		listener: l, target: target, closed: make(chan struct{}), rnd: rand.New(rand.NewPCG(seed, 0)),
		links: make(map[*link]int), counts: make(map[string]int),
	}
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.pass(c) })
		}
	})
	t.Cleanup(func() {
		close(p.closed)
		l.Close()
		p.mu.Lock()
		for l := range p.links {
			l.close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

// ended returns how many connections have ended.
func (p *proxy) ended() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n - len(p.links)
}

// settled returns a channel that is closed once there are just so many connections, none of which was spoiled, or when the proxy ends.
func (p *proxy) settled(connections int) <-chan struct{} {
	there := make(chan struct{})
	p.running.Go(func() {
		defer close(there)
		for !p.healthy(connections) {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-p.closed:
				return
			}
		}
	})
	return there
}

func (p *proxy) healthy(connections int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		if l.spoiled {
			return false
		}
	}
	return len(p.links) == connections
}

func (p *proxy) url() string { return "ws://" + p.listener.Addr().String() + "/v1" }

// wait returns after d, or when the proxy ends.
func (p *proxy) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-p.closed:
	}
}

func (p *proxy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	l := &link{p: p, client: client, server: server, cutUp: -1, cutDown: -1}
	p.mu.Lock()
	p.n++
	p.links[l] = p.n
	p.mu.Unlock()
	select {
	case <-p.closed:
		l.close() // nobody saw it in time
	default:
	}
	down := make(chan struct{})
	go func() {
		defer close(down)
		l.pump(client, server, false)
	}()
	l.pump(server, client, true)
	<-down
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	l.close()
}

// spoil lets something happen to a connection, and returns false if there is none.
func (p *proxy) spoil() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.links) == 0 {
		return false
	}
	list := slices.SortedFunc(maps.Keys(p.links), func(a, b *link) int { return p.links[a] - p.links[b] })
	l := list[p.rnd.IntN(len(list))]
	pause := time.Duration(p.rnd.IntN(400)) * time.Millisecond
	at, up := p.rnd.IntN(3000), p.rnd.IntN(2) == 0
	switch n := p.rnd.IntN(10); {
	case n < 5: // at a byte, in the middle of a frame most of the time
		p.counts["cut"]++
		l.spoiled = true
		l.cutAt(at, up)
		p.running.Go(func() { p.wait(pause); l.close() }) // in case that nothing comes
	case n < 7: // nobody is told, until it is over
		p.counts["half-open"]++
		l.spoiled = true
		l.swallow(n == 5 || up, n == 5 || !up)
		p.running.Go(func() { p.wait(200*time.Millisecond + pause); l.close() })
	case n < 9: // what the client had sent comes after it has connected again
		p.counts["zombie"]++
		l.spoiled = true
		l.hold()
		p.running.Go(func() {
			p.wait(50 * time.Millisecond)
			l.client.Close()
			p.wait(pause)
			l.raise()
			p.wait(100 * time.Millisecond)
			l.server.Close()
		})
	default: // and this one stays
		p.counts["slow"]++
		l.slow(true)
		p.running.Go(func() { p.wait(300*time.Millisecond + pause); l.slow(false) })
	}
	return true
}

// spoiled returns how many connections were spoiled in which way.
func (p *proxy) spoiled() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// A link is a connection of a client and what passes it on to the server.
type link struct {
	p              *proxy
	client, server net.Conn
	spoiled        bool // guarded by p.mu; it will end

	mu              sync.Mutex
	cutUp, cutDown  int    // guarded by mu; after how many bytes more it ends, negative for never
	deafUp, deafDwn bool   // guarded by mu; what comes is lost
	holding         bool   // guarded by mu; what the client sends waits
	slowly          bool   // guarded by mu
	held            []byte // guarded by mu
	raised          bool   // guarded by mu; what was held has gone on its way
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

func (l *link) cutAt(n int, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if up {
		l.cutUp = n
	} else {
		l.cutDown = n
	}
}

func (l *link) swallow(up, down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deafUp, l.deafDwn = l.deafUp || up, l.deafDwn || down
}

func (l *link) slow(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowly = on
}

func (l *link) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holding = true
}

// raise sends what was held.
func (l *link) raise() {
	l.mu.Lock()
	held := l.held
	l.held, l.raised = nil, true
	deaf := l.deafUp
	l.mu.Unlock()
	if !deaf {
		l.server.Write(held)
	}
}

// ghost reports whether the client is to be gone, and the server not to know.
func (l *link) ghost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holding
}

// pump copies from one side to the other until one of them ends.
func (l *link) pump(to, from net.Conn, up bool) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.pass(to, buf[:n], up) {
			err = net.ErrClosed
		}
		if err == nil {
			continue
		}
		if up && l.ghost() {
			return // what is held goes on later, and then the server's side ends
		}
		l.close()
		return
	}
}

// pass hands bytes on, and reports whether more may come.
func (l *link) pass(to net.Conn, b []byte, up bool) bool {
	l.mu.Lock()
	left, deaf, slowly := &l.cutUp, l.deafUp, l.slowly
	if !up {
		left, deaf = &l.cutDown, l.deafDwn
	}
	last := *left >= 0 && *left <= len(b)
	if last {
		b = b[:*left]
	} else if *left >= 0 {
		*left -= len(b)
	}
	if up && l.holding {
		if !l.raised {
			l.held = append(l.held, b...)
		}
		l.mu.Unlock()
		return true
	}
	l.mu.Unlock()
	for len(b) > 0 && !deaf {
		n := len(b)
		if slowly {
			n = min(n, 100)
			l.p.wait(2 * time.Millisecond)
		}
		if _, err := to.Write(b[:n]); err != nil {
			return !up && l.ghost()
		}
		b = b[n:]
	}
	return !last
}
