package backend

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/defect"
	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/wire"
)

const (
	maxUserName     = 256
	maxCustomStatus = 64
	maxDeviceID     = 64
	instanceSize    = 16
	// keptLogins is how many of a user's runs are remembered, so that an evicted one does not come back.
	keptLogins = 32
	// minRemaining is for how long a token must be good at a login.
	minRemaining = 30 * time.Second
)

// handleLogin checks a login and waits until it is committed: what follows on the connection finds the session.
func (a *attachment) handleLogin(id uint64, req *wire.LoginRequest) {
	s := a.server
	app, ttl, refused := s.authenticate(req)
	if refused == nil && !s.gate.mayLogin(userKey{req.AppId, req.UserId}, app.Limits.LoginRate) {
		refused = &wire.Error{Code: codeFrequencyLimit, Message: "too many logins of this user", RetryAfterMs: 1000}
	}
	if refused != nil {
		s.log.Info("backend: login refused", "app", req.AppId, "code", refused.Code, "address", a.address)
		a.refused = true
		a.refuse(id, refused)
		if a.address != "" && !s.gate.mayFail(a.address) {
			a.link.Close(statusTooMuch, "too many refused logins")
			return
		}
		a.link.Close(statusBadLogin, "login refused")
		return
	}
	op := &loginOp{a: a, id: id, req: req, app: app, ttl: ttl, done: make(chan struct{})}
	if err := s.store.Submit(op); err != nil {
		a.link.Close(statusInternalError, "the store takes nothing")
		return
	}
	<-op.done
}

// authenticate checks everything about a login that doesn't depend on other logins.
func (s *Server) authenticate(req *wire.LoginRequest) (app *App, ttl time.Duration, refused *wire.Error) {
	app = s.apps[req.AppId]
	if app == nil {
		return nil, 0, refuse(codeInvalidAppID, "there is no such app")
	}
	switch {
	case ident.CheckUserID(req.UserId) != nil:
		return nil, 0, refuse(codeParamsInvalid, "the user ID "+ident.CheckUserID(req.UserId).Error())
	case len(req.UserName) > maxUserName, len(req.CustomStatus) > maxCustomStatus, len(req.DeviceId) > maxDeviceID:
		return nil, 0, refuse(codeParamsInvalid, "the user name, custom status or device ID is too long")
	case len(req.InstanceId) != instanceSize:
		return nil, 0, refuse(codeParamsInvalid, "the instance ID must have 16 bytes")
	}
	now := time.Now()
	claims, err := app.Verifier.Verify(req.Token, req.UserId, now)
	if req.Resume && errors.Is(err, token.ErrTooShort) {
		// It was long enough at the login. What counts now is that it has not expired.
		claims, err = app.Verifier.Verify(req.Token, req.UserId, now.Add(-minRemaining))
		if errors.Is(err, token.ErrTooShort) || err == nil && !claims.Expires.After(now) {
			err = token.ErrExpired
		}
	}
	if err != nil {
		return nil, 0, tokenRefusal(err)
	}
	return app, time.Until(claims.Expires), nil
}

// tokenRefusal has one answer for all tokens that are bad for reasons that the documentation does not tell apart.
func tokenRefusal(err error) *wire.Error {
	switch {
	case errors.Is(err, token.ErrExpired):
		return refuse(codeTokenExpired, "")
	case errors.Is(err, token.ErrVersion):
		return refuse(codeTokenVersion, "")
	case errors.Is(err, token.ErrTooShort):
		return refuse(codeTokenTooShort, "")
	}
	return refuse(codeTokenInvalid, "")
}

// A loginOp commits a login: it registers the user, evicts other devices and finds the place in the feed.
type loginOp struct {
	a    *attachment
	id   uint64
	req  *wire.LoginRequest
	app  *App
	ttl  time.Duration
	done chan struct{}

	name     string // of the user
	session  *session
	resp     *wire.LoginResponse
	refused  *wire.Error
	entering bool            // it is counted in hub.entering
	here     map[string]bool // instances that are connected
	others   map[string]bool // instances that are evicted
	evicted  []*session      // other devices
	replaced []*session      // earlier connections of the same run
}

func (op *loginOp) Do(tx *store.Tx) error {
	op.refused, op.evicted, op.replaced, op.others = nil, nil, nil, make(map[string]bool)
	u, err := tx.User(op.app.ID, op.req.UserId)
	if err != nil {
		return err
	}
	var logins []store.Login
	if u != nil {
		if logins, err = tx.Logins(u); err != nil {
			return err
		}
	}
	own := slices.IndexFunc(logins, func(l store.Login) bool { return string(l.Instance) == string(op.req.InstanceId) })
	if op.req.Resume && own >= 0 && logins[own].Evicted {
		op.refused = &wire.Error{Code: codeNotLogged, Message: "another device has logged in", SessionEnd: kickedOut(logins[own].EvictedBy)}
		return nil
	}
	displaced := op.displaced(logins, own)
	if op.req.Resume && own < 0 {
		// Nobody knows of that run any more, whatever it says. It may have been evicted long ago: who is here stays.
		for _, l := range displaced {
			if op.here[string(l.Instance)] {
				op.refused = &wire.Error{Code: codeNotLogged, Message: "another device has logged in", SessionEnd: kickedOut(l.Platform)}
				return nil
			}
		}
		if op.ttl < minRemaining {
			op.refused = refuse(codeTokenTooShort, "")
			return nil
		}
	}
	if u, err = tx.Register(op.app.ID, op.req.UserId, op.req.UserName); err != nil {
		return err
	}
	if status := op.req.CustomStatus; status != "" {
		if err := tx.SetCustomStatus(u, status, statusEnds(op.req.CustomStatusSeconds)); err != nil {
			return err
		}
	}
	login := store.Login{
		Instance:   op.req.InstanceId,
		Generation: 1,
		DeviceID:   op.req.DeviceId,
		Platform:   op.req.Platform,
	}
	if len(logins) > 0 {
		login.Generation = logins[0].Generation + 1
	}
	if own >= 0 {
		if op.req.Resume {
			login.Generation = logins[own].Generation
		}
		logins = slices.Delete(logins, own, own+1)
	}
	if err := op.evict(tx, u, logins, displaced); err != nil {
		return err
	}
	if err := tx.PutLogin(u, login); err != nil {
		return err
	}
	op.name = u.Name
	op.session = op.newSession(login)
	for _, l := range logins {
		op.others[string(l.Instance)] = l.Evicted
	}
	op.enter(true)
	op.find()
	// From here on, nothing of theirs is committed, not even in this transaction.
	op.revoke(true)
	if err := op.callLogin(tx, u); err != nil {
		return err
	}
	return op.locate(tx, u)
}

// find looks for the sessions that the login takes the place of.
func (op *loginOp) find() {
	op.evicted, op.replaced = nil, nil
	for _, other := range op.a.server.hub.sessions(op.session.key) {
		switch {
		case other == op.session:
		case other.instance == op.session.instance:
			op.replaced = append(op.replaced, other)
		case op.others[other.instance]:
			op.evicted = append(op.evicted, other)
		}
	}
}

// Undo gives the sessions back when the transaction was undone.
func (op *loginOp) Undo() {
	op.enter(false)
	op.revoke(false)
}

// enter takes note that what is committed from now on is to be pushed to the session, which the hub does not have yet.
func (op *loginOp) enter(entering bool) {
	if entering == op.entering {
		return
	}
	op.entering = entering
	h, key := op.a.server.hub, userKey{op.app.ID, op.req.UserId}
	if entering {
		h.entering[key]++
	} else if h.entering[key]--; h.entering[key] == 0 {
		delete(h.entering, key)
	}
}

func (op *loginOp) revoke(revoked bool) {
	for _, s := range slices.Concat(op.evicted, op.replaced) {
		s.revoke(revoked)
	}
}

func statusEnds(seconds int64) int64 {
	switch {
	case seconds < 0:
		return -1
	case seconds == 0:
		seconds = int64((24 * time.Hour).Seconds())
	}
	return time.Now().Add(time.Duration(min(seconds, 1<<31)) * time.Second).UnixMilli()
}

// displaced returns the logins that the newcomer takes the place of. logins has all, the latest first, and the newcomer's own at own if
// that is not negative.
func (op *loginOp) displaced(logins []store.Login, own int) []store.Login {
	op.here = make(map[string]bool)
	for _, s := range op.a.server.hub.sessions(userKey{op.app.ID, op.req.UserId}) {
		op.here[s.instance] = true
	}
	policy := op.app.Devices
	var rivals []store.Login
	for i, l := range logins {
		if i != own && !l.Evicted && (policy.single() || isWeb(l.Platform) == isWeb(op.req.Platform)) {
			rivals = append(rivals, l)
		}
	}
	// Runs that are not here take room only if there is some: they may never come back.
	slices.SortStableFunc(rivals, func(a, b store.Login) int {
		switch x, y := op.here[string(a.Instance)], op.here[string(b.Instance)]; {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	room := policy.Native
	if isWeb(op.req.Platform) {
		room = policy.Web
	}
	return rivals[min(max(room-1, 0), len(rivals)):]
}

// evict marks those of the other logins whose place is taken, and forgets the earliest ones that there is no room for.
func (op *loginOp) evict(tx *store.Tx, u *store.User, logins, displaced []store.Login) error {
	for i := range logins {
		l := &logins[i]
		taken := slices.ContainsFunc(displaced, func(d store.Login) bool { return string(d.Instance) == string(l.Instance) })
		if taken {
			l.Evicted, l.EvictedBy = true, op.req.Platform
		}
		var err error
		switch {
		case i >= keptLogins && !op.here[string(l.Instance)]:
			err = tx.DeleteLogin(u, l.Instance)
		case taken:
			err = tx.PutLogin(u, *l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// The documented platforms that count as web.
const platformWeb, platformMiniProgram = 6, 7

func isWeb(platform int32) bool { return platform == platformWeb || platform == platformMiniProgram }

func (op *loginOp) newSession(l store.Login) *session {
	return &session{
		link:       op.a.link,
		app:        op.app,
		key:        userKey{op.app.ID, op.req.UserId},
		instance:   string(l.Instance),
		device:     l.DeviceID,
		platform:   l.Platform,
		name:       op.name,
		generation: l.Generation,
		normal:     op.a.server.gate.sends(userKey{op.app.ID, op.req.UserId}, string(l.Instance), false, op.app),
		high:       op.a.server.gate.sends(userKey{op.app.ID, op.req.UserId}, string(l.Instance), true, op.app),
		changes:    op.a.server.gate.asks(userKey{op.app.ID, op.req.UserId}, askedChanges, op.app.Limits.ChangeRate),
		queries:    op.a.server.gate.asks(userKey{op.app.ID, op.req.UserId}, askedQueries, op.app.Limits.QueryRate),
		syncs:      op.a.server.gate.asks(userKey{op.app.ID, op.req.UserId}, askedSyncs, syncRate),
		moves:      rate.NewLimiter(roomMoves, roomMoveBurst),
		hub:        op.a.server.hub,
	}
}

// locate finds where the client starts to read its feed.
func (op *loginOp) locate(tx *store.Tx, u *store.User) error {
	s := op.a.server
	first, last, err := tx.Feed(u)
	if err != nil {
		return err
	}
	op.session.last = last
	handled, known, other, err := tx.Handled(u, op.req.DeviceId)
	if err != nil {
		return err
	}
	start := uint32(max(int64(first)-1, 0))
	if known {
		start = max(start, min(handled, last))
	} else if other {
		start = last // a new device reads what came before in the history
	}
	if !known {
		if err := tx.AddDevice(u, op.req.DeviceId, start); err != nil {
			return err
		}
	}
	op.resp = &wire.LoginResponse{
		TokenTtlMs:          op.ttl.Milliseconds(),
		Position:            &wire.Position{Epoch: s.store.Epoch(), Seq: uint64(start)},
		Last:                &wire.Position{Epoch: s.store.Epoch(), Seq: uint64(last)},
		HeartbeatIntervalMs: s.config.HeartbeatInterval.Milliseconds(),
		ServerTimeMs:        time.Now().UnixMilli(),
	}
	if p := op.req.Position; p != nil {
		op.resp.Position, op.resp.Reset_ = s.serve(p, first, last, start)
	} else if known && start > handled {
		op.resp.Reset_ = &wire.FeedReset{Reason: wire.FeedResetReason_FEED_RESET_REASON_TOO_OLD, Position: op.resp.Position}
	}
	return nil
}

// serve returns where a client that asks for the events behind p goes on, and why if that is somewhere else. first and last
// are the events that there are, start is where one begins who has no position.
func (s *Server) serve(p *wire.Position, first, last, start uint32) (*wire.Position, *wire.FeedReset) {
	seq := start
	var reason wire.FeedResetReason
	switch {
	case p.Epoch != s.store.Epoch() && !defect.On(defect.EpochIgnored):
		reason = wire.FeedResetReason_FEED_RESET_REASON_EPOCH
	case p.Seq > uint64(last):
		seq, reason = last, wire.FeedResetReason_FEED_RESET_REASON_FUTURE
	case p.Seq+1 < uint64(first):
		seq, reason = first-1, wire.FeedResetReason_FEED_RESET_REASON_TOO_OLD
	default:
		return p, nil
	}
	at := &wire.Position{Epoch: s.store.Epoch(), Seq: uint64(seq)}
	return at, &wire.FeedReset{Reason: reason, Position: at}
}

func (op *loginOp) Done(err error) {
	defer close(op.done)
	op.enter(false)
	a := op.a
	if err != nil {
		a.server.log.Error("backend: login not stored", "app", op.req.AppId, "err", err)
		a.storeFailed(op.id, err)
		return
	}
	if op.refused != nil {
		a.refused = true
		a.refuse(op.id, op.refused)
		a.link.Close(statusKickedOut, "another device has logged in")
		return
	}
	s := op.session
	s.expiry = time.AfterFunc(op.ttl, func() { expireToken(s) })
	a.mu.Lock()
	a.session = s
	a.login.Stop()
	a.mu.Unlock()
	a.leave()
	a.link.Trust()
	a.server.rooms.dismiss(s.key, func(instance string) bool {
		return op.others[instance] || instance == s.instance && !op.req.Resume
	})
	// Whoever knows of the login finds the session.
	a.server.hub.add(s)
	a.link.Reply(op.id, &wire.Response{Body: &wire.Response_Login{Login: op.resp}})
	// A login of the same transaction may have come in since.
	op.find()
	for _, other := range op.evicted {
		other.finish(kickedOut(op.req.Platform), statusKickedOut, "another device has logged in")
	}
	for _, other := range op.replaced {
		other.revoke(true)
		other.link.Close(statusReplaced, "the client has a newer connection")
		a.server.hub.remove(other, StatusOnline)
	}
}

func kickedOut(platform int32) *wire.SessionEnd {
	return &wire.SessionEnd{Reason: wire.SessionEndReason_SESSION_END_REASON_KICKED_OUT, Platform: platform}
}

func expireToken(s *session) {
	s.finish(&wire.SessionEnd{Reason: wire.SessionEndReason_SESSION_END_REASON_TOKEN_EXPIRED}, statusBadLogin, "the token has expired")
}

// renewToken takes a new token for the session.
func (a *attachment) renewToken(s *session, id uint64, req *wire.RenewTokenRequest) {
	claims, err := s.app.Verifier.Verify(req.Token, s.key.id, time.Now())
	if err != nil {
		a.refuse(id, tokenRefusal(err))
		return
	}
	ttl := time.Until(claims.Expires)
	if !s.expiry.Reset(ttl) { // the old one has just expired, or the connection is gone
		s.expiry.Stop()
		a.refuse(id, refuse(codeTokenExpired, ""))
		return
	}
	a.link.Reply(id, &wire.Response{Body: &wire.Response_RenewToken{RenewToken: &wire.RenewTokenResponse{TokenTtlMs: ttl.Milliseconds()}}})
}

// logout ends the session at the client's wish.
func (a *attachment) logout(s *session, id uint64, req *wire.LogoutRequest) {
	op := &logoutOp{a: a, s: s, id: id, handled: a.server.handled(req.Handled), done: make(chan struct{})}
	if err := a.server.store.Submit(op); err != nil {
		a.storeFailed(id, err)
		return
	}
	<-op.done
}

type logoutOp struct {
	a       *attachment
	s       *session
	id      uint64
	handled uint64
	done    chan struct{}
}

func (op *logoutOp) Do(tx *store.Tx) error {
	u, err := tx.User(op.s.key.app, op.s.key.id)
	if err != nil || op.s.fenced() {
		return err
	}
	if err := tx.DeleteLogin(u, []byte(op.s.instance)); err != nil {
		return err
	}
	if err := op.callLogout(tx, u); err != nil {
		return err
	}
	return keepHandled(tx, u, op.s.device, op.handled)
}

func (op *logoutOp) Done(err error) {
	defer close(op.done)
	if err != nil {
		op.a.storeFailed(op.id, err)
		return
	}
	op.s.revoke(true)
	op.a.server.hub.remove(op.s, StatusLogout)
	op.a.link.Reply(op.id, &wire.Response{Body: &wire.Response_Logout{Logout: &wire.LogoutResponse{}}})
	op.a.link.Close(1000, "")
}
