// Package mux makes requests, responses and pushes out of a stream of messages, for transports that have bytes: a Conn at
// the client's end and a Peer at the backend's.
//
// A message of the stream holds one or more frames, each behind its length as a varint. Whoever finds the stream busy adds
// a frame to the message that goes next.
package mux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/roundtrip"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A Stream carries messages of bytes.
type Stream interface {
	// ReadMessage waits for a message and calls use with it. The message is valid only until use returns. It fails with
	// [ErrText] if the message is of the wrong kind. It is called by one goroutine.
	ReadMessage(use func(msg []byte) error) error
	// WriteMessage writes a message. It fails after a time that the stream knows, and the stream is of no use then. It is
	// called by one goroutine at a time.
	WriteMessage(msg []byte) error
	// Close tells the other side why, if status isn't zero and that takes no long time, and ends the stream. It may be called
	// more than once, and while the other methods run: they fail.
	Close(status int, reason string) error
}

// ErrText is what a stream reports that tells text from bytes and got text.
var ErrText = errors.New("mux: text message")

// waiting is how many pushes a Conn holds for Receive before it stops reading.
const waiting = 64

// Conn is the client's end. It implements [transport.Pipeline].
type Conn struct {
	stream  Stream
	out     batch
	limit   int             // most bytes of requests that may wait, immutable
	pushes  chan *wire.Push // closed by the reading goroutine at its end
	closing chan struct{}
	read    sync.WaitGroup

	mu      sync.Mutex
	last    uint64                                 // guarded by mu
	pending map[uint64]func(*wire.Response, error) // guarded by mu; nil once the Conn is finished
	err     error                                  // guarded by mu; why it is finished
}

var _ transport.Pipeline = (*Conn)(nil)

// New makes a Conn of stream, which it owns from now on. Close must be called.
func New(stream Stream) *Conn {
	c := &Conn{
		stream:  stream,
		limit:   64 << 20,
		pushes:  make(chan *wire.Push, waiting),
		closing: make(chan struct{}),
		pending: make(map[uint64]func(*wire.Response, error)),
	}
	c.out = batch{stream: stream, message: ToServer.Message, failed: c.fail}
	c.read.Go(c.readFrames)
	return c
}

func (c *Conn) readFrames() {
	defer close(c.pushes)
	var f wire.Frame
	var ack acknowledgment
	visit := func(f *wire.Frame) error {
		switch {
		case f.Response != nil:
			if done := c.take(f.Id); done != nil {
				done(f.Response, nil)
			}
		case f.Push != nil:
			select {
			case c.pushes <- f.Push:
			case <-c.closing:
				return transport.ErrClosed
			}
		}
		return nil
	}
	use := func(msg []byte) error { return eachFrame(msg, ToClient, &f, &ack, visit) }
	for {
		err := c.stream.ReadMessage(use)
		if errors.Is(err, ErrMalformed) || errors.Is(err, ErrText) {
			err = fmt.Errorf("%w: %w", transport.ErrProtocol, err)
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// fail finishes the Conn: nothing more is written, and what waits for an answer gets err.
func (c *Conn) fail(err error) {
	if c.finish(fmt.Errorf("%w: %w", transport.ErrClosed, err)) {
		c.stream.Close(0, "")
	}
}

func (c *Conn) finish(err error) bool {
	c.mu.Lock()
	pending := c.pending
	first := pending != nil
	if first {
		c.pending, c.err = nil, err
		close(c.closing)
	}
	c.mu.Unlock()
	c.out.stop(err)
	for _, id := range slices.Sorted(maps.Keys(pending)) {
		pending[id](nil, err)
	}
	return first
}

func (c *Conn) take(id uint64) func(*wire.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := c.pending[id]
	delete(c.pending, id)
	return done
}

var frames = sync.Pool{New: func() any { return new(wire.Frame) }}

// Start implements [transport.Pipeline].
func (c *Conn) Start(req *wire.Request, done func(*wire.Response, error)) { c.start(req, done) }

func (c *Conn) start(req *wire.Request, done func(*wire.Response, error)) (id uint64) {
	c.mu.Lock()
	if c.pending == nil {
		err := c.err
		c.mu.Unlock()
		done(nil, err)
		return 0
	}
	c.last++
	id = c.last
	c.pending[id] = done
	c.mu.Unlock()
	f := frames.Get().(*wire.Frame)
	f.Id, f.Request = id, req
	err := c.out.add(f, c.limit)
	f.Id, f.Request = 0, nil
	frames.Put(f)
	if errors.Is(err, ErrSlow) {
		// To leave this request out and take later ones would break their order.
		c.fail(err)
	}
	if err != nil {
		if done := c.take(id); done != nil {
			done(nil, err)
		}
	}
	return id
}

// RoundTrip implements [transport.Conn].
func (c *Conn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	return roundtrip.Wait(ctx, func(done func(*wire.Response, error)) uint64 {
		return c.start(req, func(resp *wire.Response, err error) {
			if resp.GetSendMessage() != nil {
				resp = proto.CloneOf(resp) // it is only lent
			}
			done(resp, err)
		})
	}, c.take)
}

// Receive implements [transport.Conn].
func (c *Conn) Receive(ctx context.Context) (*wire.Push, error) {
	select {
	case p, ok := <-c.pushes:
		if !ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			return nil, c.err
		}
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close implements [transport.Conn].
func (c *Conn) Close() error {
	c.finish(transport.ErrClosed)
	c.stream.Close(0, "")
	c.read.Wait()
	c.out.writers.Wait()
	return nil
}
