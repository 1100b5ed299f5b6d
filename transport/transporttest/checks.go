package transporttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// checks has a check for each sentence of the contract that can be checked.
var checks = []struct {
	name string
	run  func(t testing.TB, connect Connect)
}{
	{"Dial/EndedContext", checkDialEndedContext},
	{"Dial/ContextBoundsOnlyDialing", checkDialContext},
	{"Dial/Concurrent", checkDialConcurrent},
	{"RoundTrip/Concurrent", checkAnswers},
	{"RoundTrip/RefusalIsAnAnswer", checkRefusal},
	{"RoundTrip/UnknownRequest", checkUnknown},
	{"RoundTrip/RequestStays", checkRequestStays},
	{"RoundTrip/ContextEnds", checkCancel},
	{"RoundTrip/LateAnswer", checkLateAnswer},
	{"RoundTrip/BusyService", checkBusyService},
	{"Receive/Order", checkReceiveOrder},
	{"Receive/ContextEnds", checkReceiveContext},
	{"Receive/ServiceCloses", checkServiceCloses},
	{"Close/Unblocks", checkCloseUnblocks},
	{"Close/Idempotent", checkCloseIdempotent},
	{"Close/UnderLoad", checkCloseUnderLoad},
	{"Start/Order", checkStartOrder},
	{"Start/DoesNotWait", checkStartDoesNotWait},
	{"Start/FromDone", checkStartFromDone},
	{"Start/Refusal", checkStartRefusal},
	{"Start/DoneOnClose", checkDoneOnClose},
}

func checkDialEndedContext(t testing.TB, connect Connect) {
	dialer := connect(t, &Service{script: echo})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := make(chan error, 1)
	go func() {
		conn, err := dialer.Dial(ctx)
		if err == nil {
			conn.Close()
		}
		got <- err
	}()
	if err := awaitFor(t, promptly, got, "Dial with a context that ended"); err == nil {
		t.Error("Dial with a context that ended: got no error")
	}
}

func checkDialContext(t testing.TB, connect Connect) {
	dialer := connect(t, &Service{script: echo})
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := dialer.Dial(ctx)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	defer conn.Close()
	pushed := receive(t.Context(), conn)
	cancel()
	select {
	case r := <-pushed:
		t.Fatalf("Receive after the end of the dial's context: got %v, %v, want nothing yet", r.push, r.err)
	case <-time.After(patience):
	}
	login := &wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{AppId: 1, UserId: "alice", Token: "token"}}}
	if resp, err := conn.RoundTrip(t.Context(), login); err != nil || resp.GetLogin() == nil {
		t.Errorf("login after the end of the dial's context: got %v, %v, want a LoginResponse", resp, err)
	}
	conn.Close()
	await(t, pushed, "Receive after Close")
}

func checkDialConcurrent(t testing.TB, connect Connect) {
	dialer := connect(t, &Service{script: func(a *Attachment, req *wire.Request, reply func(*wire.Response)) {
		n := number(req)
		reply(ack(n))
		if err := a.link.Push(event(n)); err != nil {
			t.Errorf("push %d: %v", n, err)
		}
	}})
	const dials = 20
	var all sync.WaitGroup
	for n := range dials {
		all.Go(func() {
			conn, err := dialer.Dial(t.Context())
			if err != nil {
				t.Errorf("Dial: %v", err)
				return
			}
			defer conn.Close()
			login := &wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{AppId: 1, UserId: fmt.Sprint("user", n), Token: "token"}}}
			if resp, err := conn.RoundTrip(t.Context(), login); err != nil || resp.GetLogin() == nil {
				t.Errorf("login: got %v, %v, want a LoginResponse", resp, err)
			}
			if resp, err := conn.RoundTrip(t.Context(), message(n)); !(result{resp, err}).is(n) {
				t.Errorf("got %v, %v, want the answer to message %d", resp, err, n)
			}
			if push, err := conn.Receive(t.Context()); err != nil || push.GetEvents().GetFirstSeq() != uint64(n) {
				t.Errorf("Receive: got %v, %v, want event %d", push, err, n)
			}
		})
	}
	finished(t, &all, "Conns that are used at the same time")
}

// finished waits for goroutines, or stops the test if they don't end.
func finished(t testing.TB, all *sync.WaitGroup, what string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	await(t, done, what)
}

func checkAnswers(t testing.TB, connect Connect) {
	const requests = 300
	// The later a request is sent, the sooner it is answered.
	conn, _ := attach(t, connect, func(_ *Attachment, req *wire.Request, reply func(*wire.Response)) {
		n := number(req)
		time.AfterFunc(time.Duration(requests-n)*time.Millisecond, func() { reply(ack(n)) })
	})
	var results []<-chan result
	for n := range requests {
		results = append(results, roundTrip(t.Context(), conn, n))
	}
	for n, got := range results {
		if r := await(t, got, "an answer"); !r.is(n) {
			t.Errorf("got %v, %v, want the answer to message %d", r.resp, r.err, n)
		}
	}
}

var refusal = &wire.Response{Error: &wire.Error{Code: 6000204, Message: "no such user", RetryAfterMs: 1000}}

func refuse(_ *Attachment, _ *wire.Request, reply func(*wire.Response)) { reply(proto.CloneOf(refusal)) }

func checkRefusal(t testing.TB, connect Connect) {
	conn, _ := attach(t, connect, refuse)
	if r := await(t, roundTrip(t.Context(), conn, 1), "a refusal"); r.err != nil || r.resp.GetError().GetCode() != refusal.Error.Code {
		t.Errorf("got %v, %v, want a response with the error %v", r.resp, r.err, refusal.Error)
	}
}

func checkUnknown(t testing.TB, connect Connect) {
	conn, _ := attach(t, connect, echo)
	got := make(chan result, 1)
	go func() {
		resp, err := conn.RoundTrip(t.Context(), new(wire.Request))
		got <- result{resp, err}
	}()
	r := await(t, got, "the answer to an unknown request")
	if r.err == nil && r.resp.GetError() == nil || r.err != nil && !errors.Is(r.err, errors.ErrUnsupported) {
		t.Errorf("got %v, %v, want a refusal or errors.ErrUnsupported", r.resp, r.err)
	}
	if r := await(t, roundTrip(t.Context(), conn, 1), "the next answer"); !r.is(1) {
		t.Errorf("the next request: got %v, %v, want its answer", r.resp, r.err)
	}
}

func checkRequestStays(t testing.TB, connect Connect) {
	conn, _ := attach(t, connect, echo)
	req := message(1)
	for range 2 {
		if resp, err := conn.RoundTrip(t.Context(), req); !(result{resp, err}).is(1) {
			t.Errorf("got %v, %v, want the answer to message 1", resp, err)
		}
		if !proto.Equal(req, message(1)) {
			t.Errorf("the request became %v", req)
		}
	}
}

// hold returns a script that keeps the answers to messages below limit for later, and the answers.
func hold(limit int) (script, <-chan func()) {
	held := make(chan func(), limit)
	return func(_ *Attachment, req *wire.Request, reply func(*wire.Response)) {
		n := number(req)
		if n < limit {
			held <- func() { reply(ack(n)) }
			return
		}
		reply(ack(n))
	}, held
}

func checkCancel(t testing.TB, connect Connect) {
	script, held := hold(2)
	conn, _ := attach(t, connect, script)
	ctx, cancel := context.WithCancel(t.Context())
	ended, other := roundTrip(ctx, conn, 0), roundTrip(t.Context(), conn, 1)
	pushed := receive(t.Context(), conn)
	answers := []func(){await(t, held, "a request"), await(t, held, "a request")}
	cancel()
	if r := awaitFor(t, promptly, ended, "RoundTrip after its context ended"); r.err == nil {
		t.Errorf("RoundTrip whose context ended: got %v, want an error", r.resp)
	}
	if r := awaitFor(t, promptly, roundTrip(ctx, conn, 2), "RoundTrip with a context that ended"); r.err == nil {
		t.Errorf("RoundTrip with a context that ended: got %v, want an error", r.resp)
	}
	deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// The message is one of those that are held.
	if r := awaitFor(t, 10*time.Second+promptly, roundTrip(deadline, conn, 0), "RoundTrip with a deadline"); r.err == nil {
		t.Errorf("RoundTrip with a deadline: got %v, want an error", r.resp)
	}
	for _, answer := range answers {
		answer()
	}
	if r := await(t, other, "another request's answer"); !r.is(1) {
		t.Errorf("another request: got %v, %v, want its answer", r.resp, r.err)
	}
	select {
	case r := <-pushed:
		t.Errorf("Receive: got %v, %v, want nothing yet", r.push, r.err)
	default:
	}
}

func checkLateAnswer(t testing.TB, connect Connect) {
	const requests = 100
	script, held := hold(requests)
	conn, _ := attach(t, connect, script)
	ctx, cancel := context.WithCancel(t.Context())
	var given []<-chan result
	for n := range requests {
		given = append(given, roundTrip(ctx, conn, n))
	}
	var answers []func()
	for range requests {
		answers = append(answers, await(t, held, "a request"))
	}
	cancel()
	for _, got := range given {
		awaitFor(t, promptly, got, "RoundTrip after its context ended")
	}
	for i, answer := range answers {
		n := requests + i
		got := roundTrip(t.Context(), conn, n)
		answer()
		if r := await(t, got, "an answer"); !r.is(n) {
			t.Errorf("after a late answer: got %v, %v, want the answer to message %d", r.resp, r.err, n)
		}
	}
}

// While the service is busy with one request, the Conn must not be.
func checkBusyService(t testing.TB, connect Connect) {
	free := make(chan struct{})
	conn, _ := attach(t, connect, func(_ *Attachment, req *wire.Request, reply func(*wire.Response)) {
		<-free
		reply(ack(number(req)))
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for n := range 2 {
		if r := awaitFor(t, time.Second+promptly, roundTrip(ctx, conn, n), "RoundTrip after its context ended"); r.err == nil {
			t.Errorf("got %v, want an error", r.resp)
		}
	}
	close(free)
	if r := await(t, roundTrip(t.Context(), conn, 2), "an answer"); !r.is(2) {
		t.Errorf("once the service is free: got %v, %v, want the answer to message 2", r.resp, r.err)
	}
}

func checkReceiveOrder(t testing.TB, connect Connect) {
	const events = 500
	conn, a := attach(t, connect, echo)
	var pushing sync.WaitGroup
	pushing.Go(func() {
		for n := range events {
			if err := a.link.Push(event(n)); err != nil {
				t.Errorf("push %d: %v", n, err)
			}
		}
	})
	answers := roundTrip(t.Context(), conn, 1)
	for n := range events {
		r := await(t, receive(t.Context(), conn), "a push")
		if r.err != nil || r.push.GetEvents().GetFirstSeq() != uint64(n) {
			t.Fatalf("Receive: got %v, %v, want event %d", r.push, r.err, n)
		}
	}
	pushing.Wait()
	if r := await(t, answers, "an answer among pushes"); !r.is(1) {
		t.Errorf("got %v, %v, want the answer to message 1", r.resp, r.err)
	}
}

func checkReceiveContext(t testing.TB, connect Connect) {
	conn, _ := attach(t, connect, echo)
	ctx, cancel := context.WithCancel(t.Context())
	got := receive(ctx, conn)
	cancel()
	if r := awaitFor(t, promptly, got, "Receive after its context ended"); r.err == nil {
		t.Errorf("Receive whose context ended: got %v, want an error", r.push)
	}
}

// checkOver checks that conn is finished.
func checkOver(t testing.TB, conn transport.Conn) {
	t.Helper()
	for range 2 {
		if r := awaitFor(t, promptly, receive(t.Context(), conn), "Receive on a finished Conn"); !errors.Is(r.err, transport.ErrClosed) {
			t.Errorf("Receive on a finished Conn: got %v, %v, want transport.ErrClosed", r.push, r.err)
		}
		if r := awaitFor(t, promptly, roundTrip(t.Context(), conn, 1), "RoundTrip on a finished Conn"); !errors.Is(r.err, transport.ErrClosed) {
			t.Errorf("RoundTrip on a finished Conn: got %v, %v, want transport.ErrClosed", r.resp, r.err)
		}
		if p, ok := conn.(transport.Pipeline); ok {
			got := make(chan result, 10)
			p.Start(message(1), func(resp *wire.Response, err error) { got <- result{resp, err} })
			if r := awaitFor(t, promptly, got, "done on a finished Conn"); !errors.Is(r.err, transport.ErrClosed) {
				t.Errorf("Start on a finished Conn: got %v, %v, want transport.ErrClosed", r.resp, r.err)
			}
		}
	}
}

func checkServiceCloses(t testing.TB, connect Connect) {
	script, held := hold(1)
	conn, a := attach(t, connect, script)
	waiting, pushed := roundTrip(t.Context(), conn, 0), receive(t.Context(), conn)
	await(t, held, "a request")
	a.link.Close()
	if r := await(t, pushed, "Receive after the service closed"); !errors.Is(r.err, transport.ErrClosed) {
		t.Errorf("Receive after the service closed: got %v, %v, want transport.ErrClosed", r.push, r.err)
	}
	if r := await(t, waiting, "RoundTrip after the service closed"); !errors.Is(r.err, transport.ErrClosed) {
		t.Errorf("RoundTrip after the service closed: got %v, %v, want transport.ErrClosed", r.resp, r.err)
	}
	checkOver(t, conn)
}

func checkCloseUnblocks(t testing.TB, connect Connect) {
	script, held := hold(1)
	conn, _ := attach(t, connect, script)
	waiting, pushed := roundTrip(t.Context(), conn, 0), receive(t.Context(), conn)
	answer := await(t, held, "a request")
	closeConn(t, conn)
	if r := awaitFor(t, promptly, waiting, "RoundTrip after Close"); !errors.Is(r.err, transport.ErrClosed) {
		t.Errorf("RoundTrip after Close: got %v, %v, want transport.ErrClosed", r.resp, r.err)
	}
	if r := awaitFor(t, promptly, pushed, "Receive after Close"); !errors.Is(r.err, transport.ErrClosed) {
		t.Errorf("Receive after Close: got %v, %v, want transport.ErrClosed", r.push, r.err)
	}
	answer() // to nobody
	checkOver(t, conn)
}

func closeConn(t testing.TB, conn transport.Conn) {
	t.Helper()
	closed := make(chan error, 1)
	go func() { closed <- conn.Close() }()
	awaitFor(t, promptly, closed, "Close")
}

func checkCloseIdempotent(t testing.TB, connect Connect) {
	conn, _ := attach(t, connect, echo)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { conn.Close() })
	}
	finished(t, &all, "concurrent calls of Close")
	closeConn(t, conn)
	checkOver(t, conn)
}

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

func checkCloseUnderLoad(t testing.TB, connect Connect) {
	const requests = 50
	for round := range 20 {
		var handled atomic.Int32
		enough := make(chan struct{})
		conn, a := attach(t, connect, func(a *Attachment, req *wire.Request, reply func(*wire.Response)) {
			n := number(req)
			reply(ack(n))
			a.link.Push(event(n))
			if handled.Add(1) == int32(1+round*2) {
				close(enough)
			}
		})
		var all sync.WaitGroup
		all.Go(func() {
			for {
				if _, err := conn.Receive(t.Context()); err != nil {
					return
				}
			}
		})
		y := newTally(requests)
		p, pipeline := conn.(transport.Pipeline)
		for n := range requests {
			all.Go(func() {
				if resp, err := conn.RoundTrip(t.Context(), message(n)); !(result{resp, err}).is(n) && !errors.Is(err, transport.ErrClosed) {
					t.Errorf("got %v, %v, want the answer to message %d or transport.ErrClosed", resp, err, n)
				}
			})
			if pipeline {
				all.Go(func() { y.start(t, p, n) })
			}
		}
		await(t, enough, "the requests")
		if round%2 == 0 {
			closeConn(t, conn)
		} else {
			a.link.Close()
		}
		finished(t, &all, "the methods of a closed Conn")
		for range requests {
			if !pipeline {
				break
			}
			if r := await(t, y.results, "done after Close"); r.err != nil && !errors.Is(r.err, transport.ErrClosed) {
				t.Errorf("done after Close: got %v, want transport.ErrClosed", r.err)
			}
		}
		closeConn(t, conn)
	}
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
	y := newTally(requests)
	var starting sync.WaitGroup
	starting.Go(func() {
		for n := range requests {
			y.start(t, p, n)
		}
	})
	started := make(chan struct{})
	go func() {
		starting.Wait()
		close(started)
	}()
	defer close(free)
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
