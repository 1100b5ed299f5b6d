package cloud

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

const (
	// heartbeatInterval is how often the SDK reports what was handled at the latest. Nothing goes over the network.
	heartbeatInterval = time.Minute

	// What a login spends on finding out in which groups the user is.
	groupsTime    = 5 * time.Second
	maxGroupPages = 50
)

// userExists is the code for a user who is there already.
const userExists = 660700002

// login registers the user, or finds that it is registered.
func (c *conn) login(ctx context.Context, req *wire.LoginRequest) (*wire.Response, error) {
	if req.AppId != c.s.AppID {
		return nil, refused{code: 6000003, why: "the app ID is not the Service's"}
	}
	c.mu.Lock()
	again := c.logging
	c.logging = true
	c.mu.Unlock()
	if again {
		return nil, refused{code: 6000111, why: "a user is logged in"}
	}
	if err := c.s.ensure(ctx, req); err != nil {
		c.mu.Lock()
		c.logging = false
		c.mu.Unlock()
		return nil, err
	}
	stream := c.in.attach(req.UserId)
	c.mu.Lock()
	if c.ctx.Err() != nil {
		c.mu.Unlock()
		stream.close()
		return nil, c.ctx.Err()
	}
	c.user, c.stream = req.UserId, stream
	close(c.ready)
	c.mu.Unlock()
	if c.s.CallbackSecret != "" {
		c.followGroups(ctx)
	}
	at, last := stream.positions()
	return &wire.Response{Body: &wire.Response_Login{Login: &wire.LoginResponse{
		Position: at, Last: last, Reset_: stream.reset(req.Position),
		HeartbeatIntervalMs: heartbeatInterval.Milliseconds(), ServerTimeMs: c.s.now().UnixMilli(),
	}}}, nil
}

// followGroups lets the user's groups be known, so that what callbacks tell of them comes. The login goes well without: then only of those that are
// joined later, or have been before.
func (c *conn) followGroups(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, groupsTime)
	defer cancel()
	at := ""
	for range maxGroupPages {
		list, next, err := c.groupPage(ctx, at, maxGroupPage)
		if err != nil {
			c.s.log().Warn("cloud: what comes in groups may be missed: it is unknown in which the user is", "user", c.user, "err", err)
			return
		}
		for _, g := range list {
			c.stream.followGroups(g.GroupId)
		}
		if at = next; at == "" {
			return
		}
	}
	c.s.log().Warn("cloud: what comes in groups may be missed: the user is in too many", "user", c.user)
}

// now is what the service's clock shows, as far as that is known.
func (s *Service) now() time.Time { return time.Now().Add(time.Duration(s.calls.offset.Load())) }

// ensure makes sure that a user exists, and has the name that the login gives.
func (s *Service) ensure(ctx context.Context, req *wire.LoginRequest) error {
	a := userRegister
	if strings.HasPrefix(req.UserId, "@RBT#") {
		a = robotRegister
	}
	failed, err := s.register(ctx, a, []User{{ID: req.UserId, Name: req.UserName}})
	if err != nil {
		return err
	}
	for _, f := range failed {
		if f.Code != userExists {
			return &Error{Action: a.name, Code: f.Code}
		}
		if req.UserName != "" {
			return s.rename(ctx, req.UserId, req.UserName)
		}
	}
	return nil
}

func (s *Service) rename(ctx context.Context, userID, name string) error {
	answer, err := s.call(ctx, modifyUserInfo, "", object{"UserInfo": []object{{"UserId": userID, "UserName": name}}})
	failed, err := batch(answer, err, "ErrorList")
	if err == nil && len(failed) > 0 {
		err = &Error{Action: modifyUserInfo.name, Code: failed[0].Code}
	}
	return err
}

func (c *conn) logout(req *wire.LogoutRequest) *wire.Response {
	c.stream.handled(req.Handled)
	return &wire.Response{Body: &wire.Response_Logout{Logout: new(wire.LogoutResponse)}}
}

func (c *conn) heartbeat(req *wire.HeartbeatRequest) *wire.Response {
	return &wire.Response{Body: &wire.Response_Heartbeat{Heartbeat: &wire.HeartbeatResponse{Last: c.stream.handled(req.Handled)}}}
}

// batch returns for whom a call failed that is about many: also if that is everybody, when the answer is a refusal with a list.
func batch(answer object, err error, key string) ([]Failure, error) {
	failed := answer.failures(key)
	if _, refused := errors.AsType[*Error](err); refused && len(failed) > 0 && !errors.Is(err, transport.ErrOutcomeUnknown) {
		return failed, nil
	}
	return failed, err
}
