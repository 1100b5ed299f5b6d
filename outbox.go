package zim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/defect"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// An outgoing message waits in its session's outbox, or in a lane in front of it, until it is acknowledged, refused, or given up.
type outgoing struct {
	op       string
	id       localID
	message  *Message // as attached
	uploaded Content  // with files that the service has; nil if there was nothing to upload
	reliable bool     // waits for lost connections, and is sent again
	shown    bool     // the application has seen message
	earlier  bool     // an earlier send of the message may have stored it
	retry    bool     // there was an earlier send
	durable  *durable // the file that it is in; nil if it is in none

	req  wire.Request
	body wire.Request_SendMessage
	send wire.SendMessageRequest

	out outcome // how it ended, for who has received from ended

	// The fields below are guarded by the session's mu.

	ended      chan struct{} // gets a value when out is there
	prev, next *outgoing     // in the outbox
	waiting    bool          // it is in the outbox
	tries      int           // connections that it was started on
	started    time.Time     // the latest of them
	deadline   time.Time     // when it is given up
	latest     time.Time     // when it is given up, however often the connection is lost
	deserted   bool          // nobody waits for the result

	lane    *lane       // where it waits; nil if it is in the outbox
	overdue *time.Timer // gives it up while it waits there; nil for durable messages
}

// An outcome is how a send ended: acknowledged, or with an error.
type outcome struct {
	ack     *wire.SendMessageResponse
	err     *Error
	message *Message // what became of the message, if the handler for status changes knows

	event uint64 // the event in the user's feed that tells more of it, if there is one
}

// end tells whoever waits for o how the send ended. It is called once.
func (o *outgoing) end(out outcome) {
	o.out = out
	o.ended <- struct{}{}
}

// failure adds to the error of a send that the message may have been stored nevertheless, if it may.
func (o *outgoing) failure(err *Error) *Error {
	if o.tries > 0 || o.earlier {
		return unknown(err)
	}
	return err
}

// request returns the request of this try. It says if an earlier one may have stored the message, whose request may still be in use.
func (o *outgoing) request() *wire.Request {
	if o.tries == 1 && !o.earlier {
		return &o.req
	}
	again := proto.CloneOf(&o.send)
	again.Again = true
	if defect.On(defect.NewIDOnResend) {
		again.LocalMessageId[11] ^= byte(o.tries)
	}
	return &wire.Request{Body: &wire.Request_SendMessage{SendMessage: again}}
}

// refused returns the error for the service's refusal. The service looks for the message before it refuses it with some
// codes; with the others, an earlier try may have stored it.
func (o *outgoing) refused(e *wire.Error) *Error {
	err := refusal("", e)
	if (o.tries > 1 || o.earlier) && !definite(err.Code) {
		return unknown(err)
	}
	return err
}

// An outbox holds the messages that are not acknowledged, in the order of their sends. Its fields are guarded by the
// session's mu.
type outbox struct {
	first, last *outgoing
	next        *outgoing   // the first that was not started on the current connection
	pumping     bool        // somebody is starting messages
	timer       *time.Timer // for the deadline of the first
	doubt       *time.Timer // for the acknowledgment of the first
	doubting    bool        // doubt is set
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
	case s.why != nil && o.durable != nil:
		s.mu.Unlock() // the next session finds it in its file
		return
	case s.why != nil:
		o.end(outcome{err: s.why.failure(o)})
		s.mu.Unlock()
		return
	case s.conn == nil && !o.reliable:
		o.end(outcome{err: o.failure(&Error{Code: ErrNetworkNetworkError, Message: "not connected"})})
		s.mu.Unlock()
		return
	}
	s.route(o, now)
	s.startLanes()
	s.mu.Unlock()
	s.pump()
}

// push puts o at the end of the outbox. The caller holds mu.
func (s *session) push(o *outgoing, now time.Time) {
	o.deadline = now.Add(s.z.config.ResendWindow)
	o.latest = now.Add(2 * s.z.config.ResendWindow)
	s.outbox.push(o)
	if s.outbox.first == o {
		s.armOutbox()
	}
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
		o.started = time.Now()
		s.doubts()
		conn, try, req := s.conn, o.tries, o.request()
		s.mu.Unlock()
		conn.Start(req, func(resp *wire.Response, err error) { s.answered(o, try, resp, err) })
		s.mu.Lock()
	}
	b.pumping = false
}

// answered takes what became of one try to send o. It is called by the connection.
func (s *session) answered(o *outgoing, try int, resp *wire.Response, err error) {
	var out outcome
	switch {
	case err == nil && resp.Error != nil:
		// Below, where tries can be read.
	case err == nil && resp.GetSendMessage() != nil:
		out.ack, out.event = resp.GetSendMessage(), resp.EventSeq
		if to := o.message.Conversation; to.Type == ConversationTypeRoom {
			s.rooms.acknowledged(to.ID, out.ack.MessageSeq)
		}
	case err == nil:
		out.err = unknown(&Error{Code: ErrNetworkRspProtoParseError, Message: "the answer has no acknowledgment"})
	case errors.Is(err, errors.ErrUnsupported):
		out.err = &Error{Code: ErrCommonUnsupportedRequest, Err: err}
	case errors.Is(err, transport.ErrOutcomeUnknown):
		// Another try could store it twice. Only who sent it can decide that.
		out.err = unknown(&Error{Code: ErrCommonIMServerDisconnect, Err: err})
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
	if err == nil && resp.Error != nil {
		out.err = o.refused(resp.Error)
	}
	if o.durable != nil {
		s.answeredDurable(o, out, resp.GetError())
		if err == nil && resp.Error != nil {
			s.ended(resp.Error)
		}
		return
	}
	s.outbox.remove(o)
	deserted := o.deserted
	s.mu.Unlock()
	if err == nil && resp.Error != nil {
		s.ended(resp.Error)
	}
	if !deserted {
		// Here, so that what the connection brings next is told after it.
		out.message, out.err = o.settled(out, s.filesOf(out.ack))
		s.tellStatus(out.message, out.err)
		out.ack = nil // it is only lent
		o.end(out)
		return
	}
	if out.err == nil {
		m := new(*o.message)
		m.stored(out.ack, s.filesOf(out.ack))
		s.tellStatus(m, nil)
		if o.storable() { // its conversation was told that it failed
			s.feed.chats.touch(m.Conversation)
			s.feed.chats.refresh()
		}
	}
}

// filesOf returns where the files of an acknowledged message are. Most have none, and need not wait for the feed.
func (s *session) filesOf(ack *wire.SendMessageResponse) *fileServer {
	if ack.GetContent() == nil && ack.GetRepliedInfo() == nil {
		return nil
	}
	return s.feed.fileServer()
}

// abandon gives up waiting for o because ctx ended.
func (s *session) abandon(o *outgoing, ctx context.Context) outcome {
	s.mu.Lock()
	if o.lane != nil {
		o.leave()
		s.mu.Unlock()
		return outcome{err: o.failure(canceled("", ctx))}
	}
	if !o.waiting {
		s.mu.Unlock()
		<-o.ended // it is there, or about to be
		return o.out
	}
	if o.tries == 0 {
		s.outbox.remove(o)
		s.mu.Unlock()
		return outcome{err: o.failure(canceled("", ctx))}
	}
	defer s.mu.Unlock()
	out := outcome{err: unknown(canceled("", ctx))}
	// An acknowledgment that still comes is told after this.
	out.message, out.err = o.settled(out, nil)
	s.tellStatus(out.message, out.err)
	o.deserted = true
	if s.conn == nil {
		s.outbox.remove(o)
	}
	return out
}

// adopt takes over the message with that ID whose caller gave up waiting, while its answer may still come. It returns nil
// if there is none in the outbox, and reports busy if somebody waits for it, or if it is to become durable: then nobody waits.
func (s *session) adopt(id localID, durable bool) (o *outgoing, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o := s.outbox.first; o != nil; o = o.next {
		if o.id == id {
			if !o.deserted || durable {
				return nil, true
			}
			o.deserted, o.earlier = false, true
			o.ended = make(chan struct{}, 1)
			return o, false
		}
	}
	for _, l := range s.lanes.of {
		if slices.ContainsFunc(l.queue, func(o *outgoing) bool { return o.id == id }) {
			return nil, true
		}
	}
	return nil, false
}

// rewindOutbox prepares the outbox for a lost connection: what nobody waits for, or what is sent once only, is not sent
// again, and the rest gets another window to be sent on the next connection, but no more than two in all. Durable messages go back into
// their lanes. The caller holds mu.
func (s *session) rewindOutbox() {
	b := &s.outbox
	deadline := time.Now().Add(s.z.config.ResendWindow)
	for o := b.first; o != nil; {
		next := o.next
		switch {
		case o.deserted:
			b.remove(o)
		case o.durable != nil:
			s.putBack(o)
		case !o.reliable:
			b.remove(o)
			o.end(outcome{err: o.failure(&Error{Code: ErrCommonIMServerDisconnect, Message: "the connection was lost"})})
		case deadline.Before(o.latest):
			o.deadline = deadline
		default:
			o.deadline = o.latest
		}
		o = next
	}
	b.next = b.first
	b.doubting = false
	b.doubt.Stop()
	s.armOutbox()
}

// armOutbox sets the timer to the deadline of the first message; the others' are later. The caller holds mu.
func (s *session) armOutbox() {
	b := &s.outbox
	if b.first != nil {
		b.timer.Reset(time.Until(b.first.deadline))
	}
}

// doubts has doubt called if acknowledgments are due, and it isn't going to be. The caller holds mu.
func (s *session) doubts() {
	if b := &s.outbox; !b.doubting && b.first != b.next {
		b.doubting = true
		b.doubt.Reset(answerTimeout)
	}
}

// doubt looks whether the first acknowledgment is late. Then a heartbeat finds out at once whether the connection is dead; its answer brings
// the next doubts.
func (s *session) doubt() {
	b := &s.outbox
	s.mu.Lock()
	b.doubting = false
	if s.conn == nil || b.first == b.next || s.awaiting {
		s.mu.Unlock()
		return
	}
	left := answerTimeout - time.Since(b.first.started)
	if left > 0 {
		b.doubting = true
		b.doubt.Reset(left)
	}
	s.mu.Unlock()
	if left <= 0 {
		s.beat()
	}
}

// expire gives up the messages whose deadline is over.
func (s *session) expire() {
	var late []*outgoing
	s.mu.Lock()
	for o := s.outbox.first; o != nil && time.Until(o.deadline) <= 0; o = s.outbox.first {
		if o.durable != nil {
			s.putOff(o, new(wire.Error))
			continue
		}
		s.outbox.remove(o)
		late = append(late, o)
	}
	s.armOutbox()
	connected := s.conn != nil
	s.mu.Unlock()
	s.resume()
	for _, o := range late {
		err := &Error{Code: ErrNetworkNetworkError, Message: "the connection did not come back in time"}
		if connected {
			err = &Error{Code: ErrNetworkRequestTimeout}
		}
		if !o.deserted {
			o.end(outcome{err: o.failure(err)})
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
