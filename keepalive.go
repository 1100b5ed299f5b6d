package zim

import (
	"errors"
	"time"

	"github.com/zim-go/zim/wire"
)

// maxTTL bounds how long a token is good, lest a service that means for ever is understood as no time at all.
const maxTTL = 100 * 365 * 24 * time.Hour

// setExpiry sets the timers for the token's end in so many milliseconds. The caller holds mu.
func (s *session) setExpiry(ms int64) {
	s.warning.Stop()
	s.expiry.Stop()
	s.expires = time.Time{}
	if ms == 0 {
		return
	}
	ttl := time.Duration(min(max(ms, 0), int64(maxTTL/time.Millisecond))) * time.Millisecond
	s.expires = time.Now().Add(ttl)
	s.expiry.Reset(ttl)
	if !s.warned {
		s.warning.Reset(max(ttl-expiryWarning, 0))
	}
}

// expireToken ends the session, unless a RenewToken came in between.
func (s *session) expireToken() {
	s.mu.Lock()
	renewed := s.expires.IsZero() || time.Until(s.expires) > 0
	s.mu.Unlock()
	if !renewed {
		s.end(tokenExpired)
	}
}

func (s *session) warn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A RenewToken may have come in between.
	if s.why != nil || s.warned || s.expires.IsZero() || time.Until(s.expires) > expiryWarning {
		return
	}
	s.warned = true
	s.z.dispatch.push(&TokenWillExpire{Remaining: max(time.Until(s.expires), 0).Round(time.Second)})
}

// beat sends a heartbeat. It finds a connection that is dead but does not say so, and events whose push got lost.
func (s *session) beat() {
	s.mu.Lock()
	conn := s.conn
	if conn == nil {
		s.mu.Unlock()
		return
	}
	s.heartbeat.Reset(s.interval)
	if !s.awaiting {
		// The first that is not answered counts, however many follow it.
		s.awaiting = true
		s.dead.Reset(answerTimeout)
	}
	s.mu.Unlock()
	req := &wire.Request{Body: &wire.Request_Heartbeat{Heartbeat: &wire.HeartbeatRequest{Handled: s.feed.handledPosition()}}}
	conn.Start(req, func(resp *wire.Response, err error) {
		unsupported := errors.Is(err, errors.ErrUnsupported)
		if err != nil && !unsupported {
			return
		}
		s.mu.Lock()
		if s.conn == conn {
			s.awaiting = false
			s.dead.Stop()
			s.doubts()
			if unsupported {
				s.heartbeat.Stop() // the transport finds out by itself
			}
		}
		s.mu.Unlock()
		if resp.GetError() != nil {
			s.ended(resp.Error)
			return
		}
		s.feed.reached(resp.GetHeartbeat().GetLast())
		s.rooms.resume()
	})
}

// drop closes a connection on which a heartbeat got no answer.
func (s *session) drop() {
	if conn := s.connection(); conn != nil {
		s.z.log.Warn("zim: no answer to a heartbeat", "user", s.userID)
		conn.Close()
	}
}
