package transporttest_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

var errBroken = errors.New("broken")

// broken are transports with one fault each, and the checks that must find it.
var broken = []struct {
	name   string
	checks []string
	dial   func() dialFunc
}{
	{"Dial ignores its context", []string{"Dial/EndedContext"}, func() dialFunc {
		return func(ctx context.Context, dialer transport.Dialer) (transport.Conn, error) {
			return dialer.Dial(context.WithoutCancel(ctx))
		}
	}},
	{"the Conn ends with the dial's context", []string{"Dial/ContextBoundsOnlyDialing"}, func() dialFunc {
		return func(ctx context.Context, dialer transport.Dialer) (transport.Conn, error) {
			conn, err := dialer.Dial(ctx)
			if err == nil {
				context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		}
	}},
	{"all dials get one Conn", []string{"Dial/Concurrent"}, func() dialFunc {
		var once sync.Once
		var conn transport.Conn
		var err error
		return func(ctx context.Context, dialer transport.Dialer) (transport.Conn, error) {
			once.Do(func() { conn, err = dialer.Dial(ctx) })
			return conn, err
		}
	}},
	{"answers are mixed up", []string{"RoundTrip/Concurrent", "RoundTrip/LateAnswer"}, func() dialFunc {
		return with(func(f *faulty) {
			answers := make(chan *wire.Response, 1000)
			f.roundTrip = func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
				f.Pipeline.Start(req, func(resp *wire.Response, _ error) { answers <- resp })
				select {
				case resp := <-answers: // whose it may be
					return resp, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
		})
	}},
	{"a refusal is an error", []string{"RoundTrip/RefusalIsAnAnswer", "RoundTrip/UnknownRequest", "Start/Refusal"}, func() dialFunc {
		return with(func(f *faulty) {
			f.roundTrip = func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
				resp, err := f.Pipeline.RoundTrip(ctx, req)
				if resp.GetError() != nil {
					return nil, errBroken
				}
				return resp, err
			}
			f.start = func(req *wire.Request, done func(*wire.Response, error)) {
				f.Pipeline.Start(req, func(*wire.Response, error) { done(nil, errBroken) })
			}
		})
	}},
	{"the request is changed", []string{"RoundTrip/RequestStays"}, func() dialFunc {
		return with(func(f *faulty) {
			f.roundTrip = func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
				defer func() { req.GetSendMessage().LocalMessageId = nil }()
				return f.Pipeline.RoundTrip(ctx, req)
			}
		})
	}},
	{"RoundTrip ignores its context", []string{"RoundTrip/ContextEnds", "RoundTrip/LateAnswer", "RoundTrip/BusyService"}, func() dialFunc {
		return with(func(f *faulty) {
			f.roundTrip = func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
				return f.Pipeline.RoundTrip(context.WithoutCancel(ctx), req)
			}
		})
	}},
	{"a request's context ends the Conn", []string{"RoundTrip/ContextEnds"}, func() dialFunc {
		return with(func(f *faulty) {
			f.roundTrip = func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
				defer context.AfterFunc(ctx, func() { f.Pipeline.Close() })()
				return f.Pipeline.RoundTrip(ctx, req)
			}
		})
	}},
	{"pushes change places", []string{"Receive/Order"}, func() dialFunc {
		return with(func(f *faulty) {
			var second *wire.Push
			f.receive = func(ctx context.Context) (*wire.Push, error) {
				if p := second; p != nil {
					second = nil
					return p, nil
				}
				p, err := f.Pipeline.Receive(ctx)
				if err != nil {
					return nil, err
				}
				second = p
				return f.Pipeline.Receive(ctx)
			}
		})
	}},
	{"a push is lost now and then", []string{"Receive/Order"}, func() dialFunc {
		return with(func(f *faulty) {
			n := 0
			f.receive = func(ctx context.Context) (*wire.Push, error) {
				if n++; n%100 == 0 {
					f.Pipeline.Receive(ctx)
				}
				return f.Pipeline.Receive(ctx)
			}
		})
	}},
	{"Receive ignores its context", []string{"Receive/ContextEnds"}, func() dialFunc {
		return with(func(f *faulty) {
			f.receive = func(ctx context.Context) (*wire.Push, error) {
				return f.Pipeline.Receive(context.WithoutCancel(ctx))
			}
		})
	}},
	{"the end has another error", []string{"Receive/ServiceCloses", "Close/Unblocks", "Close/Idempotent"}, func() dialFunc {
		return with(func(f *faulty) {
			f.receive = func(ctx context.Context) (*wire.Push, error) {
				p, err := f.Pipeline.Receive(ctx)
				if err != nil {
					err = io.EOF
				}
				return p, err
			}
		})
	}},
	{"a finished Conn comes back", []string{"Receive/ServiceCloses"}, func() dialFunc {
		return with(func(f *faulty) {
			n := 0
			f.receive = func(ctx context.Context) (*wire.Push, error) {
				p, err := f.Pipeline.Receive(ctx)
				if n++; err != nil && n > 1 {
					return new(wire.Push), nil
				}
				return p, err
			}
		})
	}},
	{"Close leaves RoundTrip alone", []string{"Receive/ServiceCloses", "Close/Unblocks", "Close/UnderLoad"}, func() dialFunc {
		return with(func(f *faulty) {
			f.roundTrip = func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
				resp, err := f.Pipeline.RoundTrip(ctx, req)
				if err != nil && ctx.Err() == nil {
					<-ctx.Done() // the test's
				}
				return resp, err
			}
		})
	}},
	{"Close leaves Receive alone", []string{"Close/Unblocks"}, func() dialFunc {
		return with(func(f *faulty) {
			f.receive = func(ctx context.Context) (*wire.Push, error) {
				p, err := f.Pipeline.Receive(ctx)
				if err != nil {
					<-ctx.Done()
				}
				return p, err
			}
		})
	}},
	{"a second Close waits", []string{"Close/Idempotent"}, func() dialFunc {
		return with(func(f *faulty) {
			var mu sync.Mutex
			closed := false
			f.end = func() error {
				mu.Lock()
				again := closed
				closed = true
				mu.Unlock()
				if again {
					time.Sleep(time.Hour) // for good would crash the bubble
				}
				return f.Pipeline.Close()
			}
		})
	}},
	{"an interrupted request has another error", []string{"Close/UnderLoad", "Close/Unblocks"}, func() dialFunc {
		return with(func(f *faulty) {
			f.roundTrip = func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
				resp, err := f.Pipeline.RoundTrip(ctx, req)
				if err != nil {
					err = errBroken
				}
				return resp, err
			}
		})
	}},
	{"Start overtakes", []string{"Start/Order"}, func() dialFunc {
		return with(func(f *faulty) {
			n := 0
			f.start = func(req *wire.Request, done func(*wire.Response, error)) {
				if n++; n%10 == 0 {
					time.AfterFunc(time.Millisecond, func() { f.Pipeline.Start(req, done) })
					return
				}
				f.Pipeline.Start(req, done)
			}
		})
	}},
	{"Start waits", []string{"Start/DoesNotWait"}, func() dialFunc {
		return with(func(f *faulty) {
			f.start = func(req *wire.Request, done func(*wire.Response, error)) {
				done(f.Pipeline.RoundTrip(context.Background(), req))
			}
		})
	}},
	{"done may not start requests", []string{"Start/FromDone"}, func() dialFunc {
		return with(func(f *faulty) {
			turn, over := make(chan struct{}, 1), make(chan struct{})
			f.end = func() error {
				close(over)
				return f.Pipeline.Close()
			}
			f.start = func(req *wire.Request, done func(*wire.Response, error)) {
				select {
				case turn <- struct{}{}:
				case <-over:
				}
				f.Pipeline.Start(req, func(resp *wire.Response, err error) {
					done(resp, err)
					select {
					case <-turn:
					case <-over:
					}
				})
			}
		})
	}},
	{"done is called twice", []string{"Start/Order", "Close/UnderLoad", "Start/DoneOnClose"}, func() dialFunc {
		return with(func(f *faulty) {
			f.start = func(req *wire.Request, done func(*wire.Response, error)) {
				f.Pipeline.Start(req, func(resp *wire.Response, err error) {
					done(resp, err)
					done(resp, err)
				})
			}
		})
	}},
	{"done is not called on Close", []string{"Start/DoneOnClose", "Close/Idempotent"}, func() dialFunc {
		return with(func(f *faulty) {
			f.start = func(req *wire.Request, done func(*wire.Response, error)) {
				f.Pipeline.Start(req, func(resp *wire.Response, err error) {
					if err == nil {
						done(resp, err)
					}
				})
			}
		})
	}},
}
