package transporttest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/inproc"
	"github.com/zim-go/zim/transport/transporttest"
	"github.com/zim-go/zim/wire"
)

// sound connects a transport that keeps the contract.
func sound(_ testing.TB, service *transporttest.Service) transport.Dialer {
	return inproc.Dialer{Attach: func(peer *inproc.Peer) (inproc.Handler, error) {
		link := transporttest.Link{Push: peer.Push, Close: func() { peer.Close(0, "") }}
		return attached{peer, service.Attach(link)}, nil
	}}
}

// A faulty is a sound Conn with faults: the methods that are set replace its own.
type faulty struct {
	transport.Pipeline
	roundTrip func(context.Context, *wire.Request) (*wire.Response, error)
	receive   func(context.Context) (*wire.Push, error)
	start     func(*wire.Request, func(*wire.Response, error))
	end       func() error
}

func (f *faulty) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	if f.roundTrip != nil && req.GetLogin() == nil {
		return f.roundTrip(ctx, req)
	}
	return f.Pipeline.RoundTrip(ctx, req)
}

func (f *faulty) Receive(ctx context.Context) (*wire.Push, error) {
	if f.receive != nil {
		return f.receive(ctx)
	}
	return f.Pipeline.Receive(ctx)
}

func (f *faulty) Start(req *wire.Request, done func(*wire.Response, error)) {
	if f.start != nil {
		f.start(req, done)
		return
	}
	f.Pipeline.Start(req, done)
}

func (f *faulty) Close() error {
	if f.end != nil {
		return f.end()
	}
	return f.Pipeline.Close()
}

// A dialFunc is a Dialer that dials in its own way, with the help of a sound one.
type dialFunc func(ctx context.Context, dialer transport.Dialer) (transport.Conn, error)

type faultyDialer struct {
	dialer transport.Dialer
	dial   dialFunc
}

func (d faultyDialer) Dial(ctx context.Context) (transport.Conn, error) { return d.dial(ctx, d.dialer) }

// with returns a dialFunc whose Conns have the faults that breakIt puts in.
func with(breakIt func(f *faulty)) dialFunc {
	return func(ctx context.Context, dialer transport.Dialer) (transport.Conn, error) {
		conn, err := dialer.Dial(ctx)
		if err != nil {
			return nil, err
		}
		f := &faulty{Pipeline: conn.(transport.Pipeline)}
		breakIt(f)
		return f, nil
	}
}

// A recorder is a TB that takes note of failures instead of failing.
type recorder struct {
	testing.TB

	mu       sync.Mutex
	failures []string // guarded by mu
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

// failuresOf runs a check in a bubble and returns what it found.
func failuresOf(t *testing.T, check string, connect transporttest.Connect) []string {
	t.Helper()
	r := new(recorder)
	synctest.Test(t, func(t *testing.T) {
		r.TB = t
		var running sync.WaitGroup
		running.Go(func() { transporttest.Check(r, check, connect) })
		running.Wait()
	})
	return r.failures
}

// Each check finds the faults that it is there for.
func TestBrokenTransports(t *testing.T) {
	found := make(map[string]bool)
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			connect := func(tb testing.TB, service *transporttest.Service) transport.Dialer {
				return faultyDialer{sound(tb, service), b.dial()}
			}
			for _, check := range b.checks {
				found[check] = true
				if !slices.Contains(transporttest.Checks(), check) {
					t.Errorf("there is no check %s", check)
				}
				failures := failuresOf(t, check, connect)
				if len(failures) == 0 {
					t.Errorf("%s found nothing", check)
					continue
				}
				t.Logf("%s: %s", check, failures[0])
			}
		})
	}
	for _, check := range transporttest.Checks() {
		if !found[check] {
			t.Errorf("no broken transport is meant for %s", check)
		}
	}
}

func TestSoundTransport(t *testing.T) { transporttest.TestConn(t, sound) }

// A transport that can't start requests is none the worse for it.
func TestPlainConn(t *testing.T) {
	transporttest.TestConn(t, func(tb testing.TB, service *transporttest.Service) transport.Dialer {
		return faultyDialer{sound(tb, service), func(ctx context.Context, dialer transport.Dialer) (transport.Conn, error) {
			conn, err := dialer.Dial(ctx)
			return struct{ transport.Conn }{conn}, err
		}}
	})
}

// A goroutine that stays behind crashes the bubble, which takes a process of its own to be seen.
func TestGoroutineStays(t *testing.T) {
	const env = "ZIM_TEST_GOROUTINE_STAYS"
	if os.Getenv(env) != "" {
		transporttest.TestConn(t, func(tb testing.TB, service *transporttest.Service) transport.Dialer {
			return faultyDialer{sound(tb, service), with(func(f *faulty) {
				f.end = func() error {
					go func() { <-make(chan int) }()
					return f.Pipeline.Close()
				}
			})}
		})
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestGoroutineStays$/^Close$/^Unblocks$")
	cmd.Env = append(os.Environ(), env+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "blocked goroutines remain") {
		t.Errorf("got %v and the output\n%s\nwant a bubble whose goroutines remain", err, out)
	}
}
