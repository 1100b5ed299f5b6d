// Package inproc reaches a backend in the same process: requests are function calls, and nothing is encoded.
package inproc

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/roundtrip"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A Dialer attaches to a backend by calling it. It implements [transport.Dialer]; its Conns implement
// [transport.Pipeline] and [transport.FileServer].
type Dialer struct {
	// Attach is called for each attachment. It returns what handles the requests, which answers through peer, or an error if
	// the backend takes nobody now. Required.
	Attach func(peer *Peer) (Handler, error)

	// Files serves the backend's files; nil if there are none. Each request has a goroutine of its own, which ends when the
	// handler returns. Neither Close nor the request waits for that: the end of the request's context ends the handler's, and
	// whoever owns the handler can wait. If a client reads the body of an answer to its end, the handler has returned.
	//
	// Bodies are streamed both ways. An answer arrives when the handler writes to its body, flushes it, or returns. A handler
	// that panics ends the process, unless it is with [http.ErrAbortHandler], which breaks the answer off. Connections can't
	// be hijacked, and there are neither trailers nor informational answers.
	Files http.Handler
}

// A Handler is the backend's part of an attachment. Its methods are called one after the other.
type Handler interface {
	// Handle takes a request, in the order of the requests. The answer may come later.
	Handle(id uint64, req *wire.Request)
	// Detached is called once, at last, when the attachment ended.
	Detached()
}

// Dial implements [transport.Dialer].
func (d Dialer) Dial(ctx context.Context) (transport.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &conn{
		closed:  make(chan struct{}),
		arrived: make(chan struct{}, 1),
		pending: make(map[uint64]func(*wire.Response, error)),
	}
	if d.Files != nil {
		c.files = &http.Client{Transport: caller{d.Files}}
	}
	h, err := d.Attach(&Peer{c})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.handler = h
	over := c.pending == nil
	c.mu.Unlock()
	if over {
		// The backend knows the peer since before Attach returned, and has closed it.
		h.Detached()
	}
	return c, nil
}

// waiting is how many pushes an attachment holds for a client that does not receive.
const waiting = 4096

type conn struct {
	closed  chan struct{}
	arrived chan struct{} // holds one token while pushes may be there
	files   *http.Client  // nil if there are none

	mu      sync.Mutex
	handler Handler                                // guarded by mu; nil until Attach returned
	last    uint64                                 // guarded by mu
	pending map[uint64]func(*wire.Response, error) // guarded by mu; nil once closed
	pushes  []*wire.Push                           // guarded by mu
	calls   []call                                 // guarded by mu; for the handler
	calling bool                                   // guarded by mu; a goroutine is calling the handler
}

type call struct {
	id  uint64
	req *wire.Request
}

var (
	_ transport.Pipeline   = (*conn)(nil)
	_ transport.FileServer = (*conn)(nil)
)

// Files implements [transport.FileServer].
func (c *conn) Files() (*http.Client, *url.URL) {
	if c.files == nil {
		return nil, nil
	}
	return c.files, &url.URL{Scheme: "http", Host: "in-process", Path: "/"}
}

func (c *conn) Start(req *wire.Request, done func(*wire.Response, error)) { c.start(req, done) }

func (c *conn) start(req *wire.Request, done func(*wire.Response, error)) uint64 {
	req = proto.CloneOf(req)
	c.mu.Lock()
	if c.pending == nil {
		c.mu.Unlock()
		done(nil, transport.ErrClosed)
		return 0
	}
	c.last++
	id := c.last
	c.pending[id] = done
	c.calls = append(c.calls, call{id, req})
	if !c.calling {
		c.calling = true
		go c.handle()
	}
	c.mu.Unlock()
	return id
}

// handle calls the handler until no request waits. It has a goroutine of its own, because those who start requests must
// not wait, however long the backend takes. Close does not wait for it either: it is the backend that can, for Detached.
func (c *conn) handle() {
	c.mu.Lock()
	h := c.handler
	for len(c.calls) > 0 {
		next := c.calls[0]
		c.calls = c.calls[1:]
		c.mu.Unlock()
		h.Handle(next.id, next.req)
		c.mu.Lock()
	}
	c.calling, c.calls = false, nil
	over := c.pending == nil
	c.mu.Unlock()
	if over {
		h.Detached()
	}
}

func (c *conn) take(id uint64) func(*wire.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := c.pending[id]
	delete(c.pending, id)
	return done
}

func (c *conn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	return roundtrip.Wait(ctx, func(done func(*wire.Response, error)) uint64 { return c.start(req, done) }, c.take)
}

func (c *conn) Receive(ctx context.Context) (*wire.Push, error) {
	for {
		c.mu.Lock()
		if len(c.pushes) > 0 {
			p := c.pushes[0]
			c.pushes[0] = nil
			c.pushes = c.pushes[1:]
			c.mu.Unlock()
			return p, nil
		}
		over := c.pending == nil
		c.mu.Unlock()
		if over {
			return nil, transport.ErrClosed
		}
		select {
		case <-c.arrived:
		case <-c.closed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *conn) Close() error {
	c.end()
	return nil
}

// end finishes the attachment. Pushes that arrived can still be received.
func (c *conn) end() {
	c.mu.Lock()
	pending, handler, calling := c.pending, c.handler, c.calling
	c.pending, c.calls = nil, nil
	c.mu.Unlock()
	if pending == nil {
		return
	}
	close(c.closed)
	for _, id := range slices.Sorted(maps.Keys(pending)) {
		pending[id](nil, transport.ErrClosed)
	}
	if handler != nil && !calling {
		handler.Detached()
	}
}

// A Peer is the backend's end of an attachment.
type Peer struct{ c *conn }

// Reply answers the request with that id. resp may be changed afterwards.
func (p *Peer) Reply(id uint64, resp *wire.Response) error {
	if done := p.c.take(id); done != nil {
		done(proto.CloneOf(resp), nil)
	}
	return nil
}

// Push sends push. It may be changed afterwards. It fails if the client has too much to receive.
func (p *Peer) Push(push *wire.Push) error {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil || len(c.pushes) >= waiting {
		return transport.ErrClosed
	}
	c.pushes = append(c.pushes, proto.CloneOf(push))
	select {
	case c.arrived <- struct{}{}:
	default:
	}
	return nil
}

// Close ends the attachment. The status is for transports that can tell it.
func (p *Peer) Close(int, string) { p.c.end() }

// Trust does nothing: there is no other process to be trusted.
func (p *Peer) Trust() {}
