package mux

import (
	"errors"
	"sync"

	"github.com/zim-go/zim/wire"
)

// Peer is the backend's end of a stream.
type Peer struct {
	stream Stream
	out    batch
	mu     sync.Mutex
	limits Limits // guarded by mu
	closed bool   // guarded by mu
}

// How many bytes may wait for a client that reads slowly. A push that is refused beyond maxPushes is in the client's feed; the rest
// of maxWaiting is for answers, so that a client which reads again after a flood of pushes keeps its connection.
const (
	maxPushes  = 512 << 10
	maxWaiting = 1 << 20
)

// NewPeer makes a Peer of stream, which it owns from now on. Serve must be called.
func NewPeer(stream Stream) *Peer {
	p := &Peer{stream: stream, limits: PreLogin}
	p.out = batch{stream: stream, message: ToServer.Message, failed: func(err error) {
		p.out.stop(err)
		p.stream.Close(0, "")
	}}
	return p
}

// Serve reads requests and calls handle for each, one after the other, until the stream ends. It returns why, once the
// Peer's goroutines have ended.
func (p *Peer) Serve(handle func(id uint64, req *wire.Request)) error {
	var f wire.Frame
	visit := func(f *wire.Frame) error {
		if f.Request == nil {
			return ErrMalformed
		}
		req := f.Request
		f.Request = nil
		handle(f.Id, req)
		return nil
	}
	use := func(msg []byte) error {
		p.mu.Lock()
		limits := p.limits
		p.mu.Unlock()
		return eachFrame(msg, limits, &f, nil, visit)
	}
	var err error
	for err == nil {
		err = p.stream.ReadMessage(use)
	}
	switch {
	case errors.Is(err, ErrMalformed):
		p.Close(StatusProtocolError, "malformed frame")
	case errors.Is(err, ErrText):
		p.Close(StatusUnsupportedData, "binary messages only")
	default:
		p.Close(0, "")
	}
	p.out.writers.Wait()
	return err
}

// The WebSocket statuses for bytes that make no sense, for a message that is text, and for a client that reads too slowly.
const (
	StatusProtocolError   = 1002
	StatusUnsupportedData = 1003
	StatusTryLater        = 1013
)

// Trust raises the limits: the client has logged in.
func (p *Peer) Trust() {
	p.mu.Lock()
	p.limits = ToServer
	p.mu.Unlock()
	if s, ok := p.stream.(interface{ SetReadLimit(int) }); ok {
		s.SetReadLimit(ToServer.Message)
	}
}

// Reply answers the request with that id. resp may be changed afterwards.
func (p *Peer) Reply(id uint64, resp *wire.Response) error {
	f := frames.Get().(*wire.Frame)
	f.Id, f.Response = id, resp
	err := p.out.add(f, maxWaiting)
	f.Id, f.Response = 0, nil
	frames.Put(f)
	if errors.Is(err, ErrSlow) {
		// Unlike a push, an answer is missed for good. On another connection the client asks again.
		p.Close(StatusTryLater, "the client reads too slowly")
	}
	return err
}

// Push sends push. It may be changed afterwards.
func (p *Peer) Push(push *wire.Push) error {
	f := frames.Get().(*wire.Frame)
	f.Push = push
	err := p.out.add(f, maxPushes)
	f.Push = nil
	frames.Put(f)
	return err
}

// Close ends the stream with a status, once what waits was written. It does not wait for that.
func (p *Peer) Close(status int, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.out.finish(func() { p.stream.Close(status, reason) })
}
