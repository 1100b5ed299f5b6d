package zim

import (
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/zim-go/zim/wire"
)

// Lanes keep the order of conversations to which durable messages go. The service may put a durable message off, which does not end it;
// what was sent behind it could be stored before it then. So a conversation has a lane while it has durable messages: one of them at a time
// is in the outbox, and what follows it, durable or not, waits in the lane. Durable messages are in the outbox only while there is a
// connection. The fields are guarded by the session's mu.
type lanes struct {
	of     map[ConversationRef]*lane
	ready  []*lane     // those whose first message waits to be sent, in no order that matters
	paused time.Time   // the service wants no durable message before
	timer  *time.Timer // for the next one that may be sent
	aging  *time.Timer // for those that are too old; it runs while there are lanes
}

// A lane has either a durable message in the outbox, or one at the head of its queue.
type lane struct {
	to        ConversationRef
	queue     []*outgoing
	sending   *outgoing // the durable message that is in the outbox; nil if there is none
	notBefore time.Time // when the first of the queue may be sent
}

const (
	// agingInterval is how often the age of durable messages is looked at.
	agingInterval = time.Minute
	// maxPutOff is the longest pause before a durable message is sent again, unless the service wants a longer one.
	maxPutOff = time.Minute
)

// route puts o into its lane, or at the end of the outbox if that has none. The caller holds mu, and calls pump then.
func (s *session) route(o *outgoing, now time.Time) {
	l := s.lanes.of[o.message.Conversation]
	if !o.reliable || l == nil && o.durable == nil {
		s.push(o, now)
		return
	}
	if l == nil {
		l = &lane{to: o.message.Conversation}
		if len(s.lanes.of) == 0 {
			s.lanes.aging.Reset(agingInterval)
		}
		s.lanes.of[l.to] = l
		s.lanes.ready = append(s.lanes.ready, l)
	}
	l.queue = append(l.queue, o)
	o.lane = l
	if o.durable == nil {
		o.overdue = time.AfterFunc(s.z.config.ResendWindow, func() { s.tooLate(o) })
	}
}

// leave takes o out of its lane. The caller holds mu.
func (o *outgoing) leave() {
	l := o.lane
	l.queue = slices.DeleteFunc(l.queue, func(other *outgoing) bool { return other == o })
	o.lane = nil
	if o.overdue != nil {
		o.overdue.Stop()
	}
}

// tooLate gives up a message that has waited for durable ones.
func (s *session) tooLate(o *outgoing) {
	s.mu.Lock()
	if o.lane == nil {
		s.mu.Unlock()
		return
	}
	o.leave()
	s.mu.Unlock()
	o.end(outcome{err: o.failure(&Error{Code: ErrNetworkRequestTimeout, Message: "durable messages before it could not be sent in time"})})
}

// startLanes moves durable messages into the outbox that may be sent now. The caller holds mu, and calls pump then.
func (s *session) startLanes() {
	v := &s.lanes
	if s.conn == nil || len(v.ready) == 0 {
		return
	}
	now := time.Now()
	wait := v.paused.Sub(now)
	if wait <= 0 {
		wait = 0
		v.ready = slices.DeleteFunc(v.ready, func(l *lane) bool {
			o, d := l.queue[0], l.notBefore.Sub(now)
			if d <= 0 {
				d = s.z.admitDurable(o, now)
			}
			if d > 0 {
				wait = shorter(wait, d)
				return false
			}
			l.queue, l.sending, o.lane = l.queue[1:], o, nil
			s.push(o, now)
			return true
		})
	}
	if len(v.ready) > 0 {
		v.timer.Reset(wait)
	}
}

// clearLanes ends the lanes, and returns what was in them. The caller holds mu.
func (s *session) clearLanes() []*outgoing {
	var left []*outgoing
	for _, l := range s.lanes.of {
		for len(l.queue) > 0 {
			o := l.queue[0]
			o.leave()
			left = append(left, o)
		}
	}
	clear(s.lanes.of)
	s.lanes.ready = nil
	return left
}

// shorter returns the shorter one of two durations, of which zero is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// admitDurable takes a durable message from the quota of its priority, or returns how long to wait until it tries again. Half of
// the quota is left to those who call SendMessage: they don't wait.
func (z *ZIM) admitDurable(o *outgoing, now time.Time) time.Duration {
	if o.durable.admitted {
		o.durable.admitted = false
		return 0
	}
	l := z.normal
	if o.message.Priority == MessagePriorityHigh {
		l = z.high
	}
	if l.Limit() == rate.Inf {
		return 0
	}
	missing := float64(1+l.Burst()/2) - l.TokensAt(now)
	if missing <= 0 && l.AllowN(now, 1) {
		return 0
	}
	return max(time.Duration(missing/float64(l.Limit())*float64(time.Second)), time.Millisecond)
}

// resume starts what may be started now.
func (s *session) resume() {
	s.mu.Lock()
	s.startLanes()
	s.mu.Unlock()
	s.pump()
}

// advance goes on with a lane whose durable message has ended. The caller holds mu, and calls resume then.
func (s *session) advance(l *lane, now time.Time) {
	l.sending, l.notBefore = nil, time.Time{}
	for len(l.queue) > 0 {
		o := l.queue[0]
		if o.durable != nil {
			s.lanes.ready = append(s.lanes.ready, l)
			return
		}
		o.leave()
		s.push(o, now)
	}
	delete(s.lanes.of, l.to)
	if len(s.lanes.of) == 0 {
		s.lanes.aging.Stop()
	}
}

// putBack takes a durable message out of the outbox that has not ended, to be sent again. The caller holds mu.
func (s *session) putBack(o *outgoing) *lane {
	l := s.lanes.of[o.message.Conversation]
	s.outbox.remove(o)
	l.queue = slices.Insert(l.queue, 0, o)
	l.sending, o.lane = nil, l
	s.lanes.ready = slices.Insert(s.lanes.ready, 0, l)
	return l
}

// putOff has a durable message sent again later, because of what became of a try. The caller holds mu.
func (s *session) putOff(o *outgoing, e *wire.Error) {
	l := s.putBack(o)
	err := refusal("", e)
	delay := max(min(time.Second<<min(o.durable.refusals, 10), maxPutOff), err.RetryAfter)
	delay += upTo(delay / 4)
	o.durable.refusals++
	if until := time.Now().Add(delay); err.RetryAfter > 0 || err.Code == ErrCommonTriggerServerFrequencyLimit || err.Code == ErrCommonSwitchServerError {
		s.lanes.paused = until // it would say so to any message
	} else {
		l.notBefore = until
	}
}

// putsOff reports whether a refusal says nothing of the message: the service, or the session, has a difficulty that passes.
func putsOff(e *wire.Error) bool {
	if e.SessionEnd != nil || e.RetryAfterMs > 0 {
		return true
	}
	switch Code(e.Code) {
	case ErrCommonTriggerServerFrequencyLimit, ErrCommonSwitchServerError, ErrCommonIMServerError, ErrCommonIMDatabaseError,
		ErrCommonIMServerDisconnect, ErrCommonUnactivatedIMServer, ErrNetworkServerError, ErrNetworkNetworkError, ErrNetworkRequestTimeout,
		ErrNetworkTokenInvalid, ErrNetworkTokenExpired, ErrNetworkTokenVersionError, ErrNetworkTokenTimeIsTooShort,
		ErrNetworkUserIsNotLogged, ErrNetworkUserHasAlreadyLoggedOut, ErrMessageServerError:
		return true
	default:
		return false
	}
}

// answeredDurable takes what became of a try to send a durable message. The caller holds mu, which answeredDurable gives back.
func (s *session) answeredDurable(o *outgoing, out outcome, refused *wire.Error) {
	switch {
	case refused != nil && putsOff(refused):
		s.putOff(o, refused)
	case out.err != nil && out.err.Code == ErrNetworkRspProtoParseError:
		s.putOff(o, new(wire.Error)) // the next answer may be one
	default:
		s.outbox.remove(o)
		s.feed.durables.end(o)
		s.mu.Unlock()
		s.tellDurable(o, out) // before the next one of the conversation can end
		s.mu.Lock()
		if l := s.lanes.of[o.message.Conversation]; l != nil && l.sending == o {
			s.advance(l, time.Now())
		}
	}
	s.mu.Unlock()
	s.resume()
}

// giveUpOld ends the durable messages that are too old.
func (s *session) giveUpOld() {
	s.mu.Lock()
	now := time.Now()
	var old []*outgoing
	var held []*lane
	tooOld := func(o *outgoing) bool {
		if o.durable == nil || now.Sub(o.durable.created) < maxDurableAge {
			return false
		}
		old = append(old, o)
		s.feed.durables.end(o)
		return true
	}
	for _, l := range s.lanes.of {
		before, o := len(old), l.sending
		if o != nil && !o.waiting {
			continue // it has ended, and its lane goes on once that is told
		}
		if o != nil && tooOld(o) {
			s.outbox.remove(o)
			o = nil
		}
		l.queue = slices.DeleteFunc(l.queue, tooOld)
		if len(old) > before && o == nil {
			l.sending = old[before] // nothing of the lane is started before they are told
			held = append(held, l)
		}
	}
	s.lanes.ready = slices.DeleteFunc(s.lanes.ready, func(l *lane) bool { return l.sending != nil })
	if len(s.lanes.of) > 0 {
		s.lanes.aging.Reset(agingInterval)
	}
	s.mu.Unlock()
	slices.SortFunc(old, func(a, b *outgoing) int { return strings.Compare(a.durable.name, b.durable.name) }) // as they were sent
	for _, o := range old {
		err := &Error{Code: ErrNetworkRequestTimeout, Message: "the service did not take the message in " + maxDurableAge.String()}
		s.tellDurable(o, outcome{err: o.failure(err)})
	}
	s.mu.Lock()
	for _, l := range held {
		if s.lanes.of[l.to] == l { // else the session has ended meanwhile
			s.advance(l, now)
		}
	}
	s.mu.Unlock()
	s.resume()
}

// tellDurable tells how a durable message ended, and has its file removed then.
func (s *session) tellDurable(o *outgoing, out outcome) {
	m, err := o.settled(out, s.filesOf(out.ack))
	q := queued{count: 1}
	if s.z.dispatch.wants(kindMessageSentStatusChanged) {
		q.event = statusChanged(m, err)
	}
	q.before = func() {
		s.feed.keepFailed(m, err != nil, o.retry)
		s.feed.keep(m)
	}
	q.after = func() { s.feed.durables.drop(o) }
	s.z.dispatch.pushQueued(q)
	if err != nil {
		s.feed.chats.sent(context.Background(), m, err) // after an error it does not wait
		return
	}
	s.feed.chats.touch(m.Conversation)
	s.feed.chats.refresh()
}
