package transporttest

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A tally counts the calls of each request's done.
type tally struct {
	results chan result // of the first calls
	calls   []atomic.Int32
}

func newTally(requests int) *tally {
	return &tally{make(chan result, requests), make([]atomic.Int32, requests)}
}

// start starts message(n), whose answer must be right if there is one.
func (y *tally) start(t testing.TB, conn transport.Pipeline, n int) {
	conn.Start(message(n), func(resp *wire.Response, err error) {
		r := result{resp, err}
		if y.calls[n].Add(1) > 1 {
			t.Errorf("done of message %d was called again, with %v, %v", n, resp, err)
			return
		}
		if err == nil && !r.is(n) {
			t.Errorf("done: got %v, want the answer to message %d", resp, n)
		}
		y.results <- r
	})
}

// attachPipeline is attach for checks that are not for other Conns.
func attachPipeline(t testing.TB, connect Connect, script script) transport.Pipeline {
	t.Helper()
	conn, _ := attach(t, connect, script)
	p, ok := conn.(transport.Pipeline)
	if !ok {
		t.Skipf("%T is no transport.Pipeline", conn)
	}
	return p
}

func checkStartOrder(t testing.TB, connect Connect) {
	const requests = 1000
	order := make(chan int, requests)
	p := attachPipeline(t, connect, func(_ *Attachment, req *wire.Request, reply func(*wire.Response)) {
		n := number(req)
		order <- n
		reply(ack(n))
	})
	y := newTally(requests)
	for n := range requests {
		y.start(t, p, n)
	}
	for want := range requests {
		if got := await(t, order, "a request"); got != want {
			t.Fatalf("the service got message %d, want %d", got, want)
		}
		if r := await(t, y.results, "done"); r.err != nil {
			t.Errorf("done: got %v", r.err)
		}
	}
}

func checkStartDoesNotWait(t testing.TB, connect Connect) {
	const requests = 1000
	free := make(chan struct{})
	p := attachPipeline(t, connect, func(_ *Attachment, req *wire.Request, reply func(*wire.Response)) {
		<-free
		reply(ack(number(req)))
	})
	defer close(free)
	y := newTally(requests)
	started := make(chan struct{})
	go func() {
		for n := range requests {
			y.start(t, p, n)
		}
		close(started)
	}()
	awaitFor(t, promptly, started, "Start while the service is busy")
}

func checkStartFromDone(t testing.TB, connect Connect) {
	const requests = 1000
	p := attachPipeline(t, connect, echo)
	over := make(chan result, 1)
	var next func(n int)
	next = func(n int) {
		p.Start(message(n), func(resp *wire.Response, err error) {
			if r := (result{resp, err}); n == requests || !r.is(n) {
				over <- r
				return
			}
			next(n + 1)
		})
	}
	// Whoever starts the first must not be kept until the last.
	returned := make(chan struct{})
	go func() {
		next(1)
		close(returned)
	}()
	await(t, returned, "Start")
	if r := await(t, over, "the last answer"); !r.is(requests) {
		t.Errorf("got %v, %v, want the answer to message %d", r.resp, r.err, requests)
	}
}

func checkStartRefusal(t testing.TB, connect Connect) {
	p := attachPipeline(t, connect, refuse)
	got := make(chan result, 1)
	p.Start(message(1), func(resp *wire.Response, err error) { got <- result{resp, err} })
	if r := await(t, got, "a refusal"); r.err != nil || r.resp.GetError().GetCode() != refusal.Error.Code {
		t.Errorf("got %v, %v, want a response with the error %v", r.resp, r.err, refusal.Error)
	}
}

func checkDoneOnClose(t testing.TB, connect Connect) {
	const requests = 100
	script, held := hold(requests)
	p := attachPipeline(t, connect, script)
	y := newTally(requests)
	for n := range requests {
		y.start(t, p, n)
	}
	var answers []func()
	for range requests {
		answers = append(answers, await(t, held, "a request"))
	}
	closeConn(t, p)
	for range requests {
		if r := awaitFor(t, promptly, y.results, "done after Close"); !errors.Is(r.err, transport.ErrClosed) {
			t.Errorf("done after Close: got %v, %v, want transport.ErrClosed", r.resp, r.err)
		}
	}
	for _, answer := range answers {
		answer() // to nobody
	}
	time.Sleep(patience) // in the bubble; the tally fails if done is called again
}
