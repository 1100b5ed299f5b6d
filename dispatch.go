package zim

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zim-go/zim/internal/defect"
)

// On sets the handler for events of type E, in place of any earlier one. It may be called at any time; events that arrived
// while there was no handler are not repeated, so that handlers are best set before Login.
//
// Handlers run one at a time, in the order in which things happened, on a goroutine of z's own. They may take their time
// and call any method of z. ctx ends when z is destroyed. With E = [Event], the handler gets every event that has no
// handler of its own. A handler must return: after one that ends its goroutine, as [testing.T.FailNow] does, no handler runs any more.
//
// On panics if handler is nil: see [Off].
func On[E Event](z *ZIM, handler func(ctx context.Context, event E)) {
	if handler == nil {
		panic("zim: On with a nil handler")
	}
	z.dispatch.set(kindOf[E](), func(ctx context.Context, e Event) { handler(ctx, e.(E)) })
}

// Off removes the handler for events of type E, if there is one. The handler may still be running when Off returns.
func Off[E Event](z *ZIM) { z.dispatch.set(kindOf[E](), nil) }

// kindOf calls event on a nil pointer: the methods don't look at their receiver.
func kindOf[E Event]() eventKind {
	var zero E
	if any(zero) == nil {
		return kindAny
	}
	return zero.event()
}

// maxQueuedBytes bounds what the content of queued events may take.
const maxQueuedBytes = 4 << 20

// slowHandler is how long a handler may run before a warning is logged.
const slowHandler = 5 * time.Second

// A dispatcher runs the handlers. Its goroutine exists only while there are events.
type dispatcher struct {
	ctx    context.Context
	cancel context.CancelFunc
	start  func()       // immutable; run, as a value that need not be made for each start
	limit  int          // immutable; how many messages and other events may be queued
	log    *slog.Logger // immutable

	handled atomic.Uint64 // a bit for each kind that has a handler: every message asks, and must not wait for mu

	mu       sync.Mutex
	handlers [kindCount]func(context.Context, Event) // guarded by mu
	queue    []queued                                // guarded by mu
	count    int                                     // guarded by mu; what the queued events count
	bytes    int                                     // guarded by mu; what they hold
	running  bool                                    // guarded by mu
	over     bool                                    // guarded by mu; destroyed
	half     []func()                                // guarded by mu; called once, when the queue is half empty
	dropped  int                                     // guarded by mu; events that had no room and can't be repeated
}

// A queued event, and what is to be told when it was handled.
type queued struct {
	event Event   // nil if nobody needs to know, but the feed
	more  []Event // what belongs to it
	count int
	bytes int

	before func() // is called before the handlers; nil: nothing is
	after  func() // is called after the handlers; nil: nothing is

	feed *feed // is told when the event was handled; nil if it is none of a feed
	age  int
	seq  uint64
}

func newDispatcher(limit int, log *slog.Logger) *dispatcher {
	ctx, cancel := context.WithCancel(context.Background())
	d := &dispatcher{ctx: ctx, cancel: cancel, limit: limit, log: log}
	d.start = d.run
	return d
}

func (d *dispatcher) set(kind eventKind, h func(context.Context, Event)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handlers[kind] = h
	if h != nil {
		d.handled.Or(1 << kind)
	} else {
		d.handled.And(^uint64(1 << kind))
	}
}

// wants reports whether somebody handles events of a kind. It saves making events that nobody wants.
func (d *dispatcher) wants(kind eventKind) bool {
	return d.handled.Load()&(1<<kind|1<<kindAny) != 0
}

// push queues an event that must not be missed and can't be repeated. There are few of them.
func (d *dispatcher) push(e Event) { d.pushQueued(queued{event: e, count: 1}) }

func (d *dispatcher) pushQueued(q queued) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(q)
}

// tryPush queues an event if there is room. One that is larger than half of the queue is taken when the queue is half empty: see
// whenHalf.
func (d *dispatcher) tryPush(q queued) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.isHalf() && (d.count+q.count > d.limit || d.bytes+q.bytes > maxQueuedBytes) {
		return false
	}
	d.add(q)
	return true
}

// drop counts an event that had no room and can't be repeated. One event tells of all that were dropped in a row.
func (d *dispatcher) drop(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dropped += min(n, math.MaxInt32-d.dropped) // whatever a service says
	if !d.running && !d.over {
		d.running = true
		go d.start()
	}
}

// room returns how many messages can be queued.
func (d *dispatcher) room() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count > 0 && d.bytes >= maxQueuedBytes {
		return 0
	}
	return max(d.limit-d.count, 0)
}

// whenHalf has f called once the queue is half empty. It reports false if the queue is half empty now: then f is not called.
func (d *dispatcher) whenHalf(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isHalf() {
		return false
	}
	d.half = append(d.half, f)
	return true
}

func (d *dispatcher) isHalf() bool { return d.count <= d.limit/2 && d.bytes <= maxQueuedBytes/2 }

func (d *dispatcher) add(q queued) {
	if d.over {
		return
	}
	d.queue = append(d.queue, q)
	d.count += q.count
	d.bytes += q.bytes
	if !d.running {
		d.running = true
		go d.start()
	}
}

// maxIdleQueue is how many events an idle dispatcher keeps room for.
const maxIdleQueue = 8

// run handles events until there are none.
func (d *dispatcher) run() {
	var batch []queued
	for {
		d.mu.Lock()
		if d.over || len(d.queue) == 0 && d.dropped == 0 {
			d.running = false
			if cap(batch) <= maxIdleQueue {
				d.queue = batch[:0]
			} else {
				d.queue = nil
			}
			d.mu.Unlock()
			return
		}
		batch, d.queue = d.queue, batch[:0]
		if d.dropped > 0 {
			batch = append(batch, queued{event: &EventsDropped{Count: d.dropped}})
			d.dropped = 0
		}
		d.mu.Unlock()
		start := time.Now()
		for i := range batch {
			if !d.handle(&batch[i]) {
				break
			}
			end := time.Now()
			if took := end.Sub(start); took > slowHandler && batch[i].event != nil {
				d.log.Warn("zim: slow handler", "event", batch[i].event.event(), "took", took)
			}
			start = end
		}
		clear(batch)
	}
}

// handle runs the handlers of a queued event. It reports whether there may be a next one.
func (d *dispatcher) handle(q *queued) bool {
	if q.before != nil {
		q.before()
	}
	if q.feed != nil {
		if defect.On(defect.CursorBeforeHandler) {
			q.feed.handledTo(q.age, q.seq)
		}
		q.feed.keepEvent(q.event)
	}
	if !d.call(q.event) {
		return false
	}
	for _, e := range q.more {
		q.feed.keepEvent(e)
		if !d.call(e) {
			return false
		}
	}
	d.mu.Lock()
	d.count -= q.count
	d.bytes -= q.bytes
	var half []func()
	if d.half != nil && d.isHalf() {
		half, d.half = d.half, nil
	}
	d.mu.Unlock()
	if q.feed != nil {
		q.feed.handledTo(q.age, q.seq)
	}
	if q.after != nil {
		q.after()
	}
	for _, f := range half {
		f()
	}
	return true
}

// call runs the handler of an event, if there is one. It reports false once the dispatcher is destroyed.
func (d *dispatcher) call(e Event) bool {
	d.mu.Lock()
	if d.over {
		d.mu.Unlock()
		return false
	}
	var h func(context.Context, Event)
	if e != nil {
		if h = d.handlers[e.event()]; h == nil {
			h = d.handlers[kindAny]
		}
	}
	d.mu.Unlock()
	if h != nil {
		h(d.ctx, e)
	}
	return true
}

// destroy drops what is queued. No handler starts any more once it returned.
func (d *dispatcher) destroy() {
	d.mu.Lock()
	d.over = true
	d.queue, d.half = nil, nil
	d.mu.Unlock()
	d.cancel()
}
