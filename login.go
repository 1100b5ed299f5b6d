package zim

import (
	"context"
	"errors"
	"time"

	"github.com/zim-go/zim/wire"
)

// LoginConfig is what a login needs beside the user.
type LoginConfig struct {
	// Token proves who the user is: see package token. Required.
	Token string
	// UserName renames the user. Empty keeps the name. Up to 256 bytes.
	UserName string
	// CustomStatus is shown to those who watch the user. Empty keeps what there is. Up to 64 bytes.
	CustomStatus string
	// CustomStatusDuration is how long CustomStatus is shown. Zero means 24 hours; negative means for good.
	CustomStatusDuration time.Duration
}

// LogoutConfig refines a logout.
type LogoutConfig struct {
	// IsClearDB forgets what this ZIM keeps of the user: how far it has come with the user's messages, and what is in the local
	// store. Durable messages stay. The next login goes on where the service believes the device to be.
	IsClearDB bool
}

// Login logs userID in and returns once the service has accepted it. A user whom the service doesn't know is registered.
// From then on z reconnects by itself whenever the connection is lost, without end; [ConnectionStateChanged] tells how
// that goes.
//
// Login tries for up to 30 seconds, or until ctx ends, which has no effect afterwards. It fails with [ErrCommonParamsInvalid]
// for what is wrong with the arguments, with [ErrNetworkUserHasAlreadyLogged] while another login lives (log out first), with
// [ErrNetworkTokenInvalid], [ErrNetworkTokenExpired], [ErrNetworkTokenVersionError] or [ErrNetworkTokenTimeIsTooShort] for the token, and
// with [ErrNetworkNetworkError] or [ErrNetworkRequestTimeout] if the service can't be reached, with [ErrCommonTriggerServerFrequencyLimit] if
// it has too much to do (Error.RetryAfter says when to try again), and with [ErrDatabaseOpenDatabaseError] if AppConfig.OutboxDir can't be
// used. (Documented in the chapter on login.)
func (z *ZIM) Login(ctx context.Context, userID string, config *LoginConfig) error {
	const op = "Login"
	if config == nil {
		config = new(LoginConfig)
	}
	if err := checkLogin(op, userID, config); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return canceled(op, ctx)
	}
	s, err := z.startSession(op, userID, *config)
	if err != nil {
		return err
	}
	select {
	case err = <-s.loggedIn:
	case <-ctx.Done():
		event := ConnectionEventLoginInterrupted
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			event = ConnectionEventLoginTimeout
		}
		s.end(ending{event: event, code: ErrNetworkUserIsNotLogged})
		s.running.Wait()
		err = canceled(op, ctx)
	case <-s.ctx.Done():
		// Logout, Destroy or the service ended it. If it was the service, loggedIn tells.
		s.running.Wait()
		select {
		case err = <-s.loggedIn:
		default:
			err = &Error{Code: s.over().code}
		}
	}
	if err != nil {
		err.Op = op
		return err
	}
	return nil
}

func checkLogin(op, userID string, c *LoginConfig) error {
	err := checkUserID(op, "user ID", userID)
	if err == nil && c.Token == "" {
		err = invalid(op, "the token is empty")
	}
	if err == nil && len(c.Token) > maxToken {
		err = invalid(op, "the token has %d bytes, the limit is %d", len(c.Token), maxToken)
	}
	if err == nil {
		err = checkText(op, "user name", c.UserName, maxUserName)
	}
	if err == nil {
		err = checkText(op, "custom status", c.CustomStatus, maxCustomStatus)
	}
	if err != nil {
		return err
	}
	return nil
}

// startSession makes the session of a Login, unless there is one.
func (z *ZIM) startSession(op, userID string, config LoginConfig) (*session, *Error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.destroyed {
		return nil, &Error{Op: op, Code: ErrCommonNotInit, Message: "the ZIM was destroyed"}
	}
	old := z.session
	if old != nil && old.over() == nil {
		if old.userID != userID && old.lostFor() > z.config.ResendWindow {
			return nil, &Error{Op: op, Code: ErrNetworkUserOffline}
		}
		return nil, &Error{Op: op, Code: ErrNetworkUserHasAlreadyLogged}
	}
	if config.CustomStatusDuration < 0 {
		config.CustomStatusDuration = -time.Second
	}
	s := z.newSession(userID, config)
	if s.feed = z.feeds[userID]; s.feed == nil {
		s.feed = newFeed(z, userID)
		z.feeds[userID] = s.feed
	}
	s.feed.attach(s)
	z.session = s
	s.mu.Lock()
	s.become(ConnectionStateConnecting, ConnectionEventActiveLogin, nil)
	s.mu.Unlock()
	s.running.Add(1)
	z.sessions.Add(1)
	go s.run()
	return s, nil
}

// lostFor returns how long the session has been trying to reconnect, or zero.
func (s *session) lostFor() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != ConnectionStateReconnecting {
		return 0
	}
	return time.Since(s.lost)
}

// RenewToken replaces the login token, which restarts the time until [TokenWillExpire]. If it fails, the session keeps the
// old token. It fails with [ErrCommonParamsInvalid] for an empty token, with [ErrNetworkTokenInvalid] and the other token codes
// of [ZIM.Login], with [ErrNetworkNetworkError] while there is no connection, and with [ErrNetworkUserIsNotLogged] once the old token
// has expired: log in again then. Calls at the same time are made one after the other.
func (z *ZIM) RenewToken(ctx context.Context, token string) error {
	const op = "RenewToken"
	if token == "" {
		return invalid(op, "the token is empty")
	}
	if len(token) > maxToken {
		return invalid(op, "the token has %d bytes, the limit is %d", len(token), maxToken)
	}
	s, e := z.active(op)
	if e != nil {
		return e
	}
	// One at a time, so that the last token that the service has taken is also the last one here.
	select {
	case s.renewing <- struct{}{}:
		defer func() { <-s.renewing }()
	case <-ctx.Done():
		return canceled(op, ctx)
	}
	conn := s.connection()
	resp, err := s.call(ctx, op, &wire.Request{Body: &wire.Request_RenewToken{RenewToken: &wire.RenewTokenRequest{Token: token}}})
	if err != nil {
		return err
	}
	s.mu.Lock()
	if over := s.why; over != nil {
		s.mu.Unlock()
		return &Error{Op: op, Code: over.code}
	}
	s.token, s.warned = token, false
	s.renewals++
	s.setExpiry(resp.GetRenewToken().GetTokenTtlMs())
	now := s.conn
	s.mu.Unlock()
	if now != nil && now != conn {
		now.Close() // it has logged in with the old token, and the next one does with the new one
	}
	return nil
}

// logoutTimeout is how long the service may take to say goodbye.
const logoutTimeout = 5 * time.Second

// Logout ends the session. It is over when Logout returns, even if that is with an error: then the service did not hear of
// it, and takes the user for online for up to 35 seconds. Calls under way fail with [ErrNetworkUserHasAlreadyLoggedOut].
// Without a session, Logout does nothing. A nil config means the zero LogoutConfig.
func (z *ZIM) Logout(ctx context.Context, config *LogoutConfig) error {
	const op = "Logout"
	z.mu.Lock()
	destroyed, s := z.destroyed, z.session
	z.mu.Unlock()
	if destroyed {
		return &Error{Op: op, Code: ErrCommonNotInit, Message: "the ZIM was destroyed"}
	}
	if s == nil {
		return nil
	}
	var err error
	if s.over() == nil {
		err = s.goodbye(ctx, op)
		s.end(ending{event: ConnectionEventSuccess, code: ErrNetworkUserHasAlreadyLoggedOut})
	}
	s.running.Wait()
	if config != nil && config.IsClearDB {
		s.feed.forget(s)
		if e := z.local.Clear(s.userID); e != nil && err == nil {
			err = &Error{Op: op, Code: ErrDatabaseDeleteDatabaseError, Err: e}
		}
	}
	return err
}

func (s *session) goodbye(ctx context.Context, op string) error {
	s.mu.Lock()
	s.leaving = true
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, logoutTimeout)
	defer cancel()
	req := &wire.Request{Body: &wire.Request_Logout{Logout: &wire.LogoutRequest{Handled: s.feed.handledPosition()}}}
	resp, err := conn.RoundTrip(bounded, req)
	switch {
	case ctx.Err() != nil:
		return canceled(op, ctx)
	case bounded.Err() != nil:
		return &Error{Op: op, Code: ErrNetworkRequestTimeout}
	case err != nil:
		return &Error{Op: op, Code: ErrCommonIMServerDisconnect, Err: err}
	case resp.Error != nil:
		return refusal(op, resp.Error)
	}
	return nil
}

// ConnectionState returns how the connection is now.
func (z *ZIM) ConnectionState() ConnectionState {
	z.mu.Lock()
	s := z.session
	z.mu.Unlock()
	if s == nil {
		return ConnectionStateDisconnected
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}
