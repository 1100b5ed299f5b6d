package zim

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/zim-go/zim/internal/defect"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

const (
	attemptTimeout = 10 * time.Second // for dialing and logging in once
	loginTimeout   = 30 * time.Second // for all attempts of a Login together
	firstDelay     = 500 * time.Millisecond
	stable         = 60 * time.Second // how long a connection must last until its loss counts as the first one
	answerTimeout  = 5 * time.Second  // for a heartbeat, and for a message until a heartbeat asks
	expiryWarning  = 30 * time.Second
)

// A session is one login's life. Its goroutine, run, dials, logs in, receives, and does so again after a loss; it is the
// only one that brings a connection in or takes it away. Whoever finds a reason ends the session.
//
// ARCHITECTURE.md has the order of the locks. None is held while calling a transport or a handler, or while waiting.
type session struct {
	z        *ZIM
	userID   string // immutable
	config   LoginConfig
	ctx      context.Context // ends with the session
	cancel   context.CancelFunc
	running  sync.WaitGroup // run
	loggedIn chan *Error    // gets one value: how the Login went
	renewing chan struct{}  // holds a value while the token is being renewed
	feed     *feed
	rooms    rooms

	mu        sync.Mutex
	state     ConnectionState                     // guarded by mu
	token     string                              // guarded by mu
	renewals  int                                 // guarded by mu; of the token
	conn      transport.Pipeline                  // guarded by mu; nil unless connected
	why       *ending                             // guarded by mu; nil while the session lives
	lost      time.Time                           // guarded by mu; when the connection was lost
	leaving   bool                                // guarded by mu; Logout is saying goodbye, and ends the session itself
	outbox    outbox                              // guarded by mu
	lanes     lanes                               // guarded by mu
	uploads   map[localID]context.CancelCauseFunc // guarded by mu; what ends the uploads of a message
	warned    bool                                // guarded by mu; TokenWillExpire came for this token
	expires   time.Time                           // guarded by mu; zero if the token has no end
	warning   *time.Timer                         // guarded by mu
	expiry    *time.Timer                         // guarded by mu
	heartbeat *time.Timer                         // guarded by mu
	dead      *time.Timer                         // guarded by mu; for the answer to a heartbeat
	awaiting  bool                                // guarded by mu; a heartbeat is not answered yet
	interval  time.Duration                       // guarded by mu; between heartbeats
}

// An ending is why a session is over.
type ending struct {
	event  ConnectionEvent
	code   Code // of calls under way
	detail map[string]any
	silent bool // no event tells it
}

// failure is the error of a send that the ending interrupts.
func (e *ending) failure(o *outgoing) *Error { return o.failure(&Error{Code: e.code}) }

func (z *ZIM) newSession(userID string, config LoginConfig) *session {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{
		z:        z,
		userID:   userID,
		config:   config,
		ctx:      ctx,
		cancel:   cancel,
		loggedIn: make(chan *Error, 1),
		renewing: make(chan struct{}, 1),
		token:    config.Token,
		interval: 10 * time.Second,
		uploads:  make(map[localID]context.CancelCauseFunc),
	}
	if defect.On(defect.OlderToken) {
		s.renewing = make(chan struct{}, 100)
	}
	s.rooms.session = s
	stopped := func(f func()) *time.Timer {
		t := time.AfterFunc(time.Hour, f)
		t.Stop()
		return t
	}
	s.outbox.timer = stopped(s.expire)
	s.outbox.doubt = stopped(s.doubt)
	s.lanes = lanes{of: make(map[ConversationRef]*lane), timer: stopped(s.resume), aging: stopped(s.giveUpOld)}
	s.warning = stopped(s.warn)
	s.expiry = stopped(s.expireToken)
	s.heartbeat = stopped(s.beat)
	s.dead = stopped(s.drop)
	return s
}

var tokenExpired = ending{event: ConnectionEventTokenExpired, code: ErrNetworkUserIsNotLogged}

// over returns why the session is over, or nil.
func (s *session) over() *ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// established reports whether the session lives and its Login succeeded.
func (s *session) established() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == ConnectionStateConnected || s.state == ConnectionStateReconnecting
}

func (s *session) connection() transport.Pipeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

// become changes the state and tells it. The caller holds mu, so that events come in the order of the changes.
func (s *session) become(state ConnectionState, event ConnectionEvent, detail map[string]any) {
	s.state = state
	extended := "{}"
	if len(detail) > 0 {
		b, _ := json.Marshal(detail)
		extended = string(b)
	}
	s.z.dispatch.push(&ConnectionStateChanged{State: state, Event: event, ExtendedData: extended})
}

// end ends the session, once: what is under way fails, and run ends.
func (s *session) end(e ending) {
	s.mu.Lock()
	if s.why != nil {
		s.mu.Unlock()
		return
	}
	s.why = &e
	s.conn = nil
	var left []*outgoing
	for o := s.outbox.first; o != nil; o = s.outbox.first {
		s.outbox.remove(o)
		left = append(left, o)
	}
	left = append(left, s.clearLanes()...)
	for _, t := range []*time.Timer{s.outbox.timer, s.outbox.doubt, s.lanes.timer, s.lanes.aging, s.warning, s.expiry, s.heartbeat, s.dead} {
		t.Stop()
	}
	if e.silent {
		s.state = ConnectionStateDisconnected
	} else {
		s.become(ConnectionStateDisconnected, e.event, e.detail)
	}
	s.rooms.end(&e)
	s.mu.Unlock()
	s.feed.stop(s)
	s.cancel()
	for _, o := range left {
		if !o.deserted && o.durable == nil { // those that are durable wait for the next session
			o.end(outcome{err: e.failure(o)})
		}
	}
}

// ended ends the session if the service's refusal says that it is over.
func (s *session) ended(e *wire.Error) bool {
	if e.SessionEnd == nil {
		return false
	}
	s.end(endingOf(e.SessionEnd))
	return true
}

func endingOf(w *wire.SessionEnd) ending {
	e := ending{code: ErrNetworkUserIsNotLogged}
	switch w.Reason {
	case wire.SessionEndReason_SESSION_END_REASON_TOKEN_EXPIRED:
		e.event = ConnectionEventTokenExpired
	case wire.SessionEndReason_SESSION_END_REASON_UNREGISTERED:
		e.event = ConnectionEventUnregistered
	default:
		e.event = ConnectionEventKickedOut
		if w.Platform != 0 {
			e.detail = map[string]any{"platform": w.Platform}
		}
	}
	return e
}

// run is the session's goroutine.
func (s *session) run() {
	defer s.z.sessions.Done()
	defer s.running.Done()
	s.feed.chats.load()
	defer s.feed.durables.close(s)
	if err := s.feed.durables.open(s); err != nil {
		s.fail(err, ConnectionEventActiveLogin)
		return
	}
	// The Login's attempts share a deadline. Once it succeeded, there is no end.
	login, cancel := context.WithTimeout(s.ctx, loginTimeout)
	defer cancel()
	ctx, first := login, true
	for attempt := 0; ; attempt++ {
		conn, refused, err := s.connect(ctx, !first)
		var hint time.Duration
		switch {
		case s.over() != nil:
			if conn != nil {
				conn.Close()
				s.feed.disconnected(s)
			}
			return
		case conn != nil:
			ctx, first = s.ctx, false
			since := time.Now()
			s.receive(conn)
			conn.Close()
			if !s.disconnected() {
				return
			}
			if time.Since(since) >= stable || defect.On(defect.BackoffReset) {
				attempt = 0
			}
		case refused != nil:
			if s.refused(refused, first) {
				return
			}
			hint = refusal("", refused).RetryAfter
		case errors.Is(err, errors.ErrUnsupported):
			s.fail(&Error{Code: ErrCommonUnsupportedRequest, Err: err}, ConnectionEventLoginInterrupted)
			return
		case errors.Is(err, transport.ErrMisconfigured):
			s.fail(&Error{Code: ErrCommonParamsInvalid, Err: err}, ConnectionEventLoginInterrupted)
			return
		}
		delay := hint + s.delay(attempt)
		if err != nil {
			s.z.log.Warn("zim: connecting failed", "user", s.userID, "attempt", attempt+1, "wait", delay, "err", err)
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			if s.ctx.Err() == nil {
				s.timedOut(err)
			}
			return
		}
	}
}

// timedOut ends the session because no attempt to log in succeeded in time. err is the last one's.
func (s *session) timedOut(err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		s.fail(&Error{Code: ErrNetworkRequestTimeout, Err: err}, ConnectionEventLoginTimeout)
		return
	}
	s.fail(&Error{Code: ErrNetworkNetworkError, Err: err}, ConnectionEventLoginInterrupted)
}

// delay returns how long to wait after an attempt: a part of a bound that triples, by chance, so that clients that lost their connection
// together come back one by one; but an eighth at least, so that no client tries all the time.
func (s *session) delay(attempt int) time.Duration {
	bound := firstDelay
	for range min(attempt, 10) {
		bound *= 3
	}
	bound = min(bound, s.z.config.MaxReconnectDelay)
	s.mu.Lock()
	if s.outbox.first != nil {
		bound = min(bound, s.z.config.ResendWindow/3) // or what waits could be given up although the service is back
	}
	s.mu.Unlock()
	if defect.On(defect.NoJitter) {
		return bound
	}
	return bound/8 + upTo(bound-bound/8)
}

// upTo returns a random duration between nothing and d. It is of crypto/rand, whose source tests can set.
func upTo(d time.Duration) time.Duration {
	var b [8]byte
	rand.Read(b[:])
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(d+1))
}

// connect makes one attempt to dial and log in. On success, the session is connected.
func (s *session) connect(ctx context.Context, resume bool) (conn transport.Pipeline, refused *wire.Error, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	c, err := s.z.config.Transport.Dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	req, renewals := s.loginRequest(resume)
	resp, err := c.RoundTrip(ctx, &wire.Request{Body: &wire.Request_Login{Login: req}})
	if err == nil && resp.Error == nil && resp.GetLogin() == nil {
		err = errors.New("zim: the answer to the login is something else")
	}
	if err != nil || resp.Error != nil {
		c.Close()
		if s.renewedSince(renewals) {
			return nil, nil, errRenewed // a refusal says nothing of the new one
		}
		return nil, resp.GetError(), err
	}
	conn = pipeline(c)
	if !s.connected(conn, fileServerOf(c), resp.GetLogin(), renewals) {
		c.Close()
		return nil, nil, errRenewed
	}
	return conn, nil, nil
}

var errRenewed = errors.New("zim: the token was renewed during the login")

func (s *session) renewedSince(renewals int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewals != renewals
}

// loginRequest returns the request, and how often the token in it was renewed.
func (s *session) loginRequest(resume bool) (req *wire.LoginRequest, renewals int) {
	s.mu.Lock()
	token, renewals := s.token, s.renewals
	s.mu.Unlock()
	c := &s.z.config
	req = &wire.LoginRequest{
		AppId:      c.AppID,
		UserId:     s.userID,
		Token:      token,
		DeviceId:   c.DeviceID,
		InstanceId: s.z.run[:],
		Platform:   int32(c.Platform),
		Resume:     resume,
		Position:   s.feed.position(),
		SdkVersion: Version,
	}
	if !resume {
		// After a lost connection, what another device has set meanwhile stays.
		req.UserName = s.config.UserName
		req.CustomStatus = s.config.CustomStatus
		req.CustomStatusSeconds = int64(s.config.CustomStatusDuration / time.Second)
	}
	return req, renewals
}

// connected brings conn in after a login. It reports false if that was with a token that is no longer the session's: the service would
// end the session when that one expires.
func (s *session) connected(conn transport.Pipeline, files *fileServer, login *wire.LoginResponse, renewals int) bool {
	s.mu.Lock()
	if s.why != nil || renewals != s.renewals {
		over := s.why != nil
		s.mu.Unlock()
		return over
	}
	first := s.state == ConnectionStateConnecting
	s.conn, s.awaiting = conn, s.awaiting && defect.On(defect.FlagShared)
	s.become(ConnectionStateConnected, ConnectionEventSuccess, nil)
	s.rooms.connected(conn)
	if ms := login.HeartbeatIntervalMs; ms > 0 {
		s.interval = time.Duration(min(max(ms, 1000), 60_000)) * time.Millisecond
	}
	s.setExpiry(login.TokenTtlMs)
	s.heartbeat.Reset(s.interval)
	s.mu.Unlock()
	s.feed.connected(s, conn, files, login)
	s.rooms.resume()
	s.resume()
	if first {
		s.loggedIn <- nil
	}
	return true
}

// receive takes pushes until the connection or the session ends.
func (s *session) receive(conn transport.Pipeline) {
	for {
		push, err := conn.Receive(s.ctx)
		if err != nil {
			if s.ctx.Err() == nil {
				s.z.log.Warn("zim: connection lost", "user", s.userID, "err", err)
			}
			if errors.Is(err, transport.ErrProtocol) {
				s.z.dispatch.push(&Error{Code: ErrNetworkRspProtoParseError, Err: err})
			}
			return
		}
		if push.Events != nil {
			s.feed.accept(s, push.Events)
			for defect.On(defect.HandlerOnReader) && s.z.dispatch.room() < s.z.dispatch.limit {
				time.Sleep(time.Millisecond)
			}
		}
		if len(push.Transient) > 0 {
			s.transient(push.Transient)
		}
		if push.Room != nil {
			s.rooms.change(push.Room)
		}
		if push.SessionEnd != nil && !defect.On(defect.EvictedReconnects) {
			s.end(endingOf(push.SessionEnd))
			return
		}
	}
}

// transient queues messages that the service can't repeat, or drops them.
func (s *session) transient(list []*wire.Message) {
	for _, w := range list {
		if ConversationType(w.ConversationType) == ConversationTypeRoom {
			s.rooms.message(w)
			continue
		}
		m := message(w, s.userID, s.feed.fileServer())
		var e Event
		switch {
		case m.IsBroadcastMessage:
			e = &BroadcastMessageReceived{Message: m}
		default:
			e = received(m, MessageReceivedInfo{})
		}
		if !s.z.dispatch.tryPush(queued{event: e, count: 1, bytes: len(w.Content)}) {
			s.z.dispatch.drop(1)
		}
	}
}

// disconnected takes the lost connection away. It reports whether the session goes on.
func (s *session) disconnected() bool {
	s.feed.disconnected(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = nil
	s.heartbeat.Stop()
	s.dead.Stop()
	if s.why != nil || s.leaving {
		return false
	}
	s.lost = time.Now()
	s.rewindOutbox()
	s.become(ConnectionStateReconnecting, ConnectionEventLoginInterrupted, nil)
	s.rooms.interrupted()
	return true
}

// refused handles a refused login. It reports whether that is the end.
func (s *session) refused(e *wire.Error, first bool) bool {
	if s.ended(e) {
		if first {
			s.loggedIn <- refusal("", e)
		}
		return true
	}
	err := refusal("", e)
	switch err.Code {
	case ErrNetworkTokenExpired:
		s.fail(err, ConnectionEventTokenExpired)
		return true
	case ErrNetworkTokenInvalid, ErrNetworkTokenVersionError, ErrNetworkTokenTimeIsTooShort, ErrCommonInvalidAppID, ErrNetworkCommonError:
		// After a reconnect, too, only another token helps.
	default:
		if !first {
			return false
		}
	}
	event := ConnectionEventActiveLogin
	if !first {
		event = ConnectionEventTokenExpired
	}
	s.fail(err, event)
	return true
}

// fail ends the session because logging in failed for good.
func (s *session) fail(err *Error, event ConnectionEvent) {
	message := err.Message
	if message == "" {
		message = err.Code.String()
	}
	s.end(ending{event: event, code: ErrNetworkUserIsNotLogged, detail: map[string]any{"code": int(err.Code), "message": message}})
	select {
	case s.loggedIn <- err:
	default: // the Login is long over
	}
}
