package transporttest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

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
