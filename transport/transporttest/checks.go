package transporttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

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
		a.link.Push(event(n))
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

func refuse(_ *Attachment, _ *wire.Request, reply func(*wire.Response)) {
	reply(proto.CloneOf(refusal))
}

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
	release := sync.OnceFunc(func() { close(free) })
	defer release()
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
	release()
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
			a.link.Push(event(n)) // if it fails, the event will be missed
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
