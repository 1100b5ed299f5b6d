package zimtest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/internal/roundtrip"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A faultConn is a connection with two lanes, on which frames take their time, and where they may be lost.
type faultConn struct {
	faults *Faults
	link   string
	inner  transport.Conn
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	up     *lane      // requests, to the service
	down   *lane      // answers and pushes
	pauses *rand.Rand // of receive
	run    sync.WaitGroup
	pushes chan struct{} // holds one token while pushes may be there

	mu      sync.Mutex
	last    uint64                                 // guarded by mu
	pending map[uint64]func(*wire.Response, error) // guarded by mu; nil once the connection is over
	arrived []*wire.Push                           // guarded by mu
	bytes   int                                    // guarded by mu; that have passed, in both directions
	cutAt   int                                    // guarded by mu; after so many bytes the connection breaks; 0 is never
}

func newFaultConn(f *Faults, link string, dice *rand.Rand, inner transport.Conn) *faultConn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &faultConn{
		faults:  f,
		link:    link,
		inner:   inner,
		ctx:     ctx,
		cancel:  cancel,
		pushes:  make(chan struct{}, 1),
		pending: make(map[uint64]func(*wire.Response, error)),
	}
	if every := f.current().CutEvery; every > 0 {
		c.cutAt = 1 + int(dice.ExpFloat64()*float64(every))
	}
	c.up = newLane(c, "request", rand.New(rand.NewPCG(dice.Uint64(), 1)))
	c.down = newLane(c, "answer or push", rand.New(rand.NewPCG(dice.Uint64(), 2)))
	c.pauses = rand.New(rand.NewPCG(dice.Uint64(), 3))
	c.run.Go(c.up.run)
	c.run.Go(c.down.run)
	c.run.Go(c.receive)
	return c
}

// Files implements [transport.FileServer].
func (c *faultConn) Files() (*http.Client, *url.URL) {
	if s, ok := c.inner.(transport.FileServer); ok {
		return s.Files()
	}
	return nil, nil
}

// Start implements [transport.Pipeline].
func (c *faultConn) Start(req *wire.Request, done func(*wire.Response, error)) { c.start(req, done) }

func (c *faultConn) start(req *wire.Request, done func(*wire.Response, error)) uint64 {
	c.mu.Lock()
	if c.pending == nil {
		c.mu.Unlock()
		done(nil, transport.ErrClosed)
		return 0
	}
	c.last++
	id := c.last
	c.pending[id] = done
	c.mu.Unlock()
	m := req.GetSendMessage()
	// Nobody recognizes commands and barrages that come twice.
	twice := m != nil && m.Type != msgtype.Command && m.Type != msgtype.Barrage
	c.up.add(frame{size: proto.Size(req), twice: twice, arrive: func(ctx context.Context) {
		c.request(ctx, req, func(resp *wire.Response, err error) {
			if err != nil {
				c.over() // what the inner connection's end means for its requests, it means for all
				return
			}
			resp = proto.CloneOf(resp) // it is only lent
			c.down.add(frame{size: proto.Size(resp), arrive: func(context.Context) {
				if done := c.take(id); done != nil {
					done(resp, nil)
				}
			}})
		})
	}})
	return id
}

// over tells the client that the inner connection ended, behind what came before.
func (c *faultConn) over() {
	c.down.add(frame{size: 1, arrive: func(context.Context) { c.fail() }})
}

// request hands a request to the inner connection. It waits for the answer only if that can't do several at a time.
func (c *faultConn) request(ctx context.Context, req *wire.Request, done func(*wire.Response, error)) {
	if p, ok := c.inner.(transport.Pipeline); ok {
		p.Start(req, done)
		return
	}
	done(c.inner.RoundTrip(ctx, req))
}

func (c *faultConn) take(id uint64) func(*wire.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := c.pending[id]
	delete(c.pending, id)
	return done
}

// RoundTrip implements [transport.Conn].
func (c *faultConn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	return roundtrip.Wait(ctx, func(done func(*wire.Response, error)) uint64 { return c.start(req, done) }, c.take)
}

// receive takes what the service pushes.
func (c *faultConn) receive() {
	for {
		push, err := c.inner.Receive(c.ctx)
		if err != nil {
			c.over()
			return
		}
		c.down.add(frame{size: proto.Size(push), twice: push.Events != nil, arrive: func(context.Context) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.arrived = append(c.arrived, push)
			c.wake()
		}})
		if p := c.faults.current(); c.pauses.Float64() < p.SlowReader {
			pause := time.Duration(c.pauses.Int64N(int64(p.MaxStall) + 1))
			c.faults.note(c.link, "slow reader", fmt.Sprint(" for ", pause))
			select {
			case <-time.After(pause):
			case <-c.ctx.Done():
			}
		}
	}
}

func (c *faultConn) wake() {
	select {
	case c.pushes <- struct{}{}:
	default:
	}
}

// Receive implements [transport.Conn].
func (c *faultConn) Receive(ctx context.Context) (*wire.Push, error) {
	for {
		c.mu.Lock()
		if len(c.arrived) > 0 {
			push := c.arrived[0]
			c.arrived = c.arrived[1:]
			c.mu.Unlock()
			return push, nil
		}
		over := c.pending == nil
		c.mu.Unlock()
		if over {
			return nil, transport.ErrClosed
		}
		select {
		case <-c.pushes:
		case <-c.ctx.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close implements [transport.Conn].
func (c *faultConn) Close() error {
	c.fail()
	c.run.Wait()
	return nil
}

// fail ends the connection, as the client sees it, and the inner one unless a ghost has that.
func (c *faultConn) fail() {
	if c.end() {
		c.hangUp(c.inner.Close)
	}
}

// hangUp ends the inner connection, which may wait for whoever calls this.
func (c *faultConn) hangUp(do func() error) {
	c.faults.ghosts.Go(func() {
		c.run.Wait()
		do()
	})
}

// end fails what the client waits for. It reports whether it is the first to do so.
func (c *faultConn) end() bool {
	c.mu.Lock()
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	if pending == nil {
		return false
	}
	c.cancel()
	for _, id := range slices.Sorted(maps.Keys(pending)) {
		pending[id](nil, transport.ErrClosed)
	}
	return true
}

// pass counts a frame's bytes. It reports whether the connection breaks in the middle of it.
func (c *faultConn) pass(size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.bytes
	c.bytes += size
	return c.cutAt > 0 && before < c.cutAt && c.bytes >= c.cutAt && c.faults.current().CutEvery > 0
}

// A frame is something on a lane.
type frame struct {
	size   int
	twice  bool // it may arrive twice
	arrive func(context.Context)
	due    time.Time
}

// A lane carries frames in one direction.
type lane struct {
	conn   *faultConn
	what   string
	dice   *rand.Rand
	come   chan struct{} // holds one token while frames may wait
	mu     sync.Mutex
	frames []frame   // guarded by mu
	due    time.Time // guarded by mu; of the last frame
	deaf   bool      // guarded by mu; everything is lost
}

func newLane(c *faultConn, what string, dice *rand.Rand) *lane {
	return &lane{conn: c, what: what, dice: dice, come: make(chan struct{}, 1)}
}

// upTo returns a random time. The caller holds mu.
func (l *lane) upTo(d time.Duration) time.Duration { return time.Duration(l.dice.Int64N(int64(d) + 1)) }

// add puts a frame on the lane, and decides what becomes of it.
func (l *lane) add(f frame) {
	c, p := l.conn, l.conn.faults.current()
	l.mu.Lock()
	if l.deaf || c.ctx.Err() != nil {
		l.mu.Unlock()
		return
	}
	if c.pass(f.size) {
		l.deaf = true
		kind, both := l.dice.Float64(), l.dice.Float64() < 0.5
		late, zombie := l.upTo(p.MaxStall), l.dice.Float64() < p.Zombie
		l.mu.Unlock()
		l.broke(kind < p.HalfOpen, both, zombie, late)
		return
	}
	defer l.mu.Unlock()
	delay := p.delay(l.dice)
	if stall := l.dice.Float64() < p.Stall; stall {
		still := l.upTo(p.MaxStall)
		c.faults.note(c.link, "stall", fmt.Sprintf(" of %v before a %s", still, l.what))
		delay += still
	}
	f.due = time.Now().Add(delay)
	if f.due.Before(l.due) {
		f.due = l.due
	}
	l.due = f.due
	l.frames = append(l.frames, f)
	if f.twice && l.dice.Float64() < p.Duplicate {
		c.faults.note(c.link, "duplicate", " of a "+l.what)
		l.frames = append(l.frames, f)
	}
	select {
	case l.come <- struct{}{}:
	default:
	}
}

// broke is what happens to a connection that breaks in the middle of a frame of this lane.
func (l *lane) broke(halfOpen, both, zombie bool, late time.Duration) {
	c := l.conn
	at := fmt.Sprintf(" in a %s", l.what)
	switch {
	case halfOpen:
		if both {
			at += ", both ways"
			for _, other := range []*lane{c.up, c.down} {
				if other != l {
					other.mu.Lock()
					other.deaf, other.frames = true, nil
					other.mu.Unlock()
				}
			}
		}
		c.faults.note(c.link, "half-open", at)
	case zombie && c.end():
		c.faults.note(c.link, "zombie", fmt.Sprint(at, ", for ", late))
		c.hangUp(func() error {
			time.Sleep(late)
			c.up.mu.Lock()
			frames := c.up.frames
			c.up.frames = nil
			c.up.mu.Unlock()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			for _, f := range frames {
				f.arrive(ctx)
			}
			return c.inner.Close()
		})
	default:
		c.faults.note(c.link, "cut", at)
		c.fail()
	}
}

// run lets frames arrive when they are due, until the connection ends.
func (l *lane) run() {
	for {
		l.mu.Lock()
		var wait time.Duration
		var f frame
		some := len(l.frames) > 0
		if some {
			f = l.frames[0]
			if wait = time.Until(f.due); wait <= 0 {
				l.frames = l.frames[1:]
			}
		}
		l.mu.Unlock()
		switch {
		case !some:
			select {
			case <-l.come:
			case <-l.conn.ctx.Done():
				return
			}
		case wait > 0:
			select {
			case <-time.After(wait):
			case <-l.conn.ctx.Done():
				return
			}
		default:
			f.arrive(l.conn.ctx)
		}
		if l.conn.ctx.Err() != nil {
			return
		}
	}
}
