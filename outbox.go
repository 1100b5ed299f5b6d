package zim

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// An outgoing message waits in its session's outbox until it is acknowledged, refused, or given up.
type outgoing struct {
	id       localID
	message  *Message // as attached
	reliable bool     // waits for lost connections, and is sent again
	result   chan outcome
	shown    bool // the application has seen message

	req  wire.Request
	body wire.Request_SendMessage
	send wire.SendMessageRequest

	// The fields below are guarded by the session's mu.

	prev, next *outgoing // in the outbox
	waiting    bool      // it is in the outbox
	tries      int       // connections that it was started on
	deadline   time.Time // when it is given up
	deserted   bool      // nobody waits for the result
}

// An outcome is how a send ended: acknowledged, or with an error.
type outcome struct {
	ack *wire.SendMessageResponse
	err *Error
}

// An outbox holds the messages that are not acknowledged, in the order of their sends. Its fields are guarded by the
// session's mu.
type outbox struct {
	first, last *outgoing
	next        *outgoing   // the first that was not started on the current connection
	pumping     bool        // somebody is starting messages
	timer       *time.Timer // for the deadline of the first
}

func (b *outbox) push(o *outgoing) {
	o.waiting, o.prev = true, b.last
	if b.last == nil {
		b.first = o
	} else {
		b.last.next = o
	}
	b.last = o
	if b.next == nil {
		b.next = o
	}
}

func (b *outbox) remove(o *outgoing) {
	if b.next == o {
		b.next = o.next
	}
	if o.prev == nil {
		b.first = o.next
	} else {
		o.prev.next = o.next
	}
	if o.next == nil {
		b.last = o.prev
	} else {
		o.next.prev = o.prev
	}
	o.waiting, o.prev, o.next = false, nil, nil
	if b.first == nil {
		b.timer.Stop()
	}
}

// enqueue puts o behind the messages that wait, and starts what can be started.
func (s *session) enqueue(o *outgoing, now time.Time) {
	s.mu.Lock()
	switch {
	case s.why != nil:
		err := s.why.failure(o)
		s.mu.Unlock()
		o.result <- outcome{err: err}
		return
	case s.conn == nil && !o.reliable:
		s.mu.Unlock()
		o.result <- outcome{err: &Error{Code: ErrNetworkNetworkError, Message: "not connected"}}
		return
	}
	b := &s.outbox
	o.deadline = now.Add(s.z.config.ResendWindow)
	b.push(o)
	if b.first == o {
		s.armOutbox()
	}
	s.mu.Unlock()
	s.pump()
}

// pump starts messages on the current connection in their order. One goroutine at a time does it, for all.
func (s *session) pump() {
	b := &s.outbox
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.pumping {
		return
	}
	b.pumping = true
	for s.conn != nil && b.next != nil {
		o := b.next
		b.next = o.next
		o.tries++
		conn, try := s.conn, o.tries
		s.mu.Unlock()
		conn.Start(&o.req, func(resp *wire.Response, err error) { s.answered(o, try, resp, err) })
		s.mu.Lock()
	}
	b.pumping = false
}

// answered takes what became of one try to send o. It is called by the connection.
func (s *session) answered(o *outgoing, try int, resp *wire.Response, err error) {
	var out outcome
	switch {
	case err == nil && resp.Error != nil:
		out.err = refusal("", resp.Error)
	case err == nil && resp.GetSendMessage() != nil:
		out.ack = resp.GetSendMessage()
	case err == nil:
		out.err = unknown(&Error{Code: ErrNetworkRspProtoParseError, Message: "the answer has no acknowledgment"})
	case errors.Is(err, errors.ErrUnsupported):
		out.err = &Error{Code: ErrCommonUnsupportedRequest, Err: err}
	case o.reliable:
		// The connection broke. The message stays where it is and is sent again on the next one.
		return
	default:
		out.err = unknown(&Error{Code: ErrCommonIMServerDisconnect, Err: err})
	}
	s.mu.Lock()
	if !o.waiting || try != o.tries {
		s.mu.Unlock()
		return
	}
	s.outbox.remove(o)
	deserted := o.deserted
	s.mu.Unlock()
	if err == nil && resp.Error != nil {
		s.ended(resp.Error)
	}
	if !deserted {
		o.result <- out
		return
	}
	if out.err == nil {
		o.shown = true
		m, _ := o.settled("SendMessage", out)
		s.tellStatus(m, nil)
	}
}

// abandon gives up waiting for o because ctx ended.
func (s *session) abandon(o *outgoing, ctx context.Context) outcome {
	s.mu.Lock()
	if !o.waiting {
		s.mu.Unlock()
		return <-o.result // it is there, or about to be
	}
	if o.tries == 0 {
		s.outbox.remove(o)
		s.mu.Unlock()
		return outcome{err: canceled("", ctx)}
	}
	o.deserted = true
	if s.conn == nil {
		s.outbox.remove(o)
	}
	s.mu.Unlock()
	return outcome{err: unknown(canceled("", ctx))}
}

// queued reports whether a message with that ID is in the outbox.
func (s *session) queued(id localID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o := s.outbox.first; o != nil; o = o.next {
		if o.id == id {
			return true
		}
	}
	return false
}

// rewindOutbox prepares the outbox for a lost connection: what nobody waits for is not sent again, and the rest gets the
// whole window to be sent on the next connection. The caller holds mu.
func (s *session) rewindOutbox() {
	b := &s.outbox
	deadline := time.Now().Add(s.z.config.ResendWindow)
	for o := b.first; o != nil; {
		next := o.next
		if o.deserted {
			b.remove(o)
		} else if o.reliable {
			o.deadline = deadline
		}
		o = next
	}
	b.next = b.first
	s.armOutbox()
}

// armOutbox sets the timer to the deadline of the first message; the others' are later. The caller holds mu.
func (s *session) armOutbox() {
	b := &s.outbox
	if b.first != nil {
		b.timer.Reset(time.Until(b.first.deadline))
	}
}

// expire gives up the messages whose deadline is over.
func (s *session) expire() {
	var late []*outgoing
	s.mu.Lock()
	for o := s.outbox.first; o != nil && time.Until(o.deadline) <= 0; o = s.outbox.first {
		s.outbox.remove(o)
		late = append(late, o)
	}
	s.armOutbox()
	connected := s.conn != nil
	s.mu.Unlock()
	for _, o := range late {
		err := &Error{Code: ErrNetworkNetworkError, Message: "the connection did not come back in time"}
		if connected {
			err = &Error{Code: ErrNetworkRequestTimeout}
		}
		if o.tries > 0 {
			unknown(err)
		}
		if !o.deserted {
			o.result <- outcome{err: err}
		}
	}
}

// A serial is a Pipeline for Conns that can't start requests: it performs them one at a time, on a goroutine that exists
// only while there are some. Close of the Conn ends it.
type serial struct {
	transport.Conn
	mu    sync.Mutex
	queue []func() // guarded by mu
	busy  bool     // guarded by mu; the goroutine exists
}

func pipeline(conn transport.Conn) transport.Pipeline {
	if p, ok := conn.(transport.Pipeline); ok {
		return p
	}
	return &serial{Conn: conn}
}

func (p *serial) Start(req *wire.Request, done func(*wire.Response, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, func() { done(p.RoundTrip(context.Background(), req)) })
	if !p.busy {
		p.busy = true
		go p.run()
	}
}

func (p *serial) run() {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.busy = false
			p.mu.Unlock()
			return
		}
		f := p.queue[0]
		p.queue = p.queue[1:]
		p.mu.Unlock()
		f()
	}
}
