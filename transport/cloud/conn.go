package cloud

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// The documented types of conversations.
const (
	peer  = 0
	room  = 1
	group = 2
)

// queueTime is how long a message may wait for those before it, and for its turn. It is less than what the SDK waits for, so that what is not sent
// in time is known not to be.
const queueTime = 25 * time.Second

// A conn is one user's attachment. Nothing is open: requests are HTTP requests of the Service, and events come from its inbox.
type conn struct {
	s      *Service
	in     *inbox
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	ready  chan struct{} // closed when user and stream are there

	user   string  // immutable once ready
	stream *stream // immutable once ready

	running sync.WaitGroup // run

	mu      sync.Mutex
	logging bool         // guarded by mu; a login succeeded, or is under way
	queue   []startedReq // guarded by mu
	busy    bool         // guarded by mu; run exists
	cursors cursors

	unsure map[string]time.Time // guarded by mu; groups of whose making no answer came, and when that began, by their IDs
}

// A startedReq waits for those that were started before it.
type startedReq struct {
	req  *wire.Request
	done func(*wire.Response, error)
	at   time.Time
}

func newConn(s *Service, in *inbox) *conn {
	ctx, cancel := context.WithCancel(context.Background())
	return &conn{s: s, in: in, ctx: ctx, cancel: cancel, ready: make(chan struct{})}
}

// Close implements [transport.Conn].
func (c *conn) Close() error {
	c.mu.Lock()
	c.cancel() // under mu, so that neither a login nor Start comes behind it
	c.mu.Unlock()
	select {
	case <-c.ready:
		c.stream.close()
	default:
	}
	c.running.Wait()
	return nil
}

// Receive implements [transport.Conn].
func (c *conn) Receive(ctx context.Context) (*wire.Push, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, transport.ErrClosed
	}
	push, err := c.stream.receive(ctx)
	if err != nil && ctx.Err() == nil {
		c.cancel()
	}
	return push, err
}

// RoundTrip implements [transport.Conn].
func (c *conn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	if c.ctx.Err() != nil {
		return nil, transport.ErrClosed
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	resp, err := c.handle(inner, req)
	switch {
	case err == nil:
		return resp, nil
	case errors.Is(err, transport.ErrOutcomeUnknown), errors.Is(err, errors.ErrUnsupported):
		return nil, err
	case refusal(err) != nil:
		return &wire.Response{Error: refusal(err)}, nil
	case c.ctx.Err() != nil:
		return nil, transport.ErrClosed
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case req.GetSendMessage() != nil:
		// It is known that the message was not sent. Without an answer, the SDK would wait for another connection, and there is none.
		return &wire.Response{Error: refusal(notSent(err.Error()))}, nil
	}
	return nil, err
}

// Start implements [transport.Pipeline]. What is asked of the service goes one after the other.
func (c *conn) Start(req *wire.Request, done func(*wire.Response, error)) {
	if answeredHere(req) {
		done(c.RoundTrip(c.ctx, req))
		return
	}
	c.mu.Lock()
	if c.ctx.Err() != nil {
		c.mu.Unlock()
		done(nil, transport.ErrClosed)
		return
	}
	c.queue = append(c.queue, startedReq{req, done, time.Now()})
	if !c.busy {
		c.busy = true
		c.running.Go(c.run)
	}
	c.mu.Unlock()
}

// run performs what was started.
func (c *conn) run() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.busy, c.queue = false, nil
			c.mu.Unlock()
			return
		}
		r := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		ctx, cancel := context.WithDeadline(context.Background(), r.at.Add(queueTime))
		resp, err := c.RoundTrip(ctx, r.req)
		cancel()
		if r.req.GetSendMessage() != nil && err != nil && errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, transport.ErrOutcomeUnknown) {
			resp, err = &wire.Response{Error: refusal(notSent("its turn did not come in time"))}, nil
		}
		r.done(resp, err)
	}
}

// answeredHere reports whether a request is no business of the service's.
func answeredHere(req *wire.Request) bool {
	switch req.Body.(type) {
	case *wire.Request_Heartbeat, *wire.Request_Sync, *wire.Request_Logout, *wire.Request_RenewToken, *wire.Request_LeaveRoom:
		return true
	}
	return false
}

// handle performs a request.
func (c *conn) handle(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	if login := req.GetLogin(); login != nil {
		return c.login(ctx, login)
	}
	select {
	case <-c.ready:
	default:
		return nil, refused{code: 6000121, why: "the first request is a login"}
	}
	switch b := req.Body.(type) {
	case *wire.Request_Logout:
		return c.logout(b.Logout), nil
	case *wire.Request_RenewToken:
		return &wire.Response{Body: &wire.Response_RenewToken{RenewToken: new(wire.RenewTokenResponse)}}, nil
	case *wire.Request_Heartbeat:
		return c.heartbeat(b.Heartbeat), nil
	case *wire.Request_Sync:
		return c.stream.sync(b.Sync), nil

	case *wire.Request_SendMessage:
		return c.send(ctx, b.SendMessage)
	case *wire.Request_EditMessage:
		return c.edit(ctx, b.EditMessage)
	case *wire.Request_RevokeMessage:
		return c.revoke(ctx, b.RevokeMessage)
	case *wire.Request_DeleteMessages:
		return c.deleteMessages(ctx, b.DeleteMessages)
	case *wire.Request_QueryMessages:
		return c.queryMessages(ctx, b.QueryMessages)
	case *wire.Request_Receipts:
		return c.receipts(ctx, b.Receipts)

	case *wire.Request_QueryConversations:
		return c.queryConversations(ctx, b.QueryConversations)
	case *wire.Request_ChangeConversations:
		return c.changeConversations(ctx, b.ChangeConversations)
	case *wire.Request_ReadConversation:
		return c.readConversation(ctx, b.ReadConversation)

	case *wire.Request_EnterRoom:
		return c.enterRoom(ctx, b.EnterRoom)
	case *wire.Request_LeaveRoom:
		return c.leaveRoom(b.LeaveRoom), nil
	case *wire.Request_QueryRoomMembers:
		return c.queryRoomMembers(ctx, b.QueryRoomMembers)

	case *wire.Request_CreateGroup:
		return c.createGroup(ctx, b.CreateGroup)
	case *wire.Request_Group:
		return c.group(ctx, b.Group)
	case *wire.Request_GroupUsers:
		return c.groupUsers(ctx, b.GroupUsers)
	case *wire.Request_QueryGroups:
		return c.queryGroups(ctx, b.QueryGroups)
	case *wire.Request_QueryGroupMembers:
		return c.queryGroupMembers(ctx, b.QueryGroupMembers)

	case *wire.Request_QueryTotalUnread:
		return nil, unsupported("the service tells no unread counts")
	case *wire.Request_QueryReceiptMembers:
		return nil, unsupported("the service tells nobody who has read a message")
	case *wire.Request_React, *wire.Request_QueryReactionUsers:
		return nil, unsupported("the service has no reactions for servers")
	case *wire.Request_PinMessage, *wire.Request_QueryPinnedMessages:
		return nil, unsupported("the service has no pinned messages for servers")
	case *wire.Request_QueryCombineMessage:
		return nil, unsupported("the service tells of combined messages no more than title and summary")
	case *wire.Request_QueryRepliedMessages:
		return nil, unsupported("the service has no replies for servers")
	case *wire.Request_Upload:
		return nil, unsupported("the service takes no files from servers: give their URL")
	}
	return nil, unsupported("the service has no counterpart")
}

func unsupported(why string) error { return fmt.Errorf("cloud: %s: %w", why, errors.ErrUnsupported) }

// A refused is a refusal of this package's own, with a documented ZIM code.
type refused struct {
	code  int32
	why   string
	later bool // it may go well the next time
}

// notSent is the refusal of a message that was not sent this time, and of which nothing else is known.
func notSent(why string) error { return refused{codeNotSent, why, true} }

func (r refused) Error() string { return "cloud: " + r.why }

// refusal returns what an error says to the SDK, or nil if it is no refusal.
func refusal(err error) *wire.Error {
	if r, ok := errors.AsType[refused](err); ok {
		w := &wire.Error{Code: r.code, Message: r.why}
		if r.later {
			w.RetryAfterMs = penalty.Milliseconds()
		}
		return w
	}
	if errors.Is(err, errLimited) {
		return &wire.Error{Code: codeTooMany, Message: err.Error(), RetryAfterMs: penalty.Milliseconds()}
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	w := &wire.Error{Code: look(e.Code).zim, Message: err.Error()}
	if w.Code == 0 {
		w.Code = codeServerError
	}
	if look(e.Code).kind == limited {
		w.RetryAfterMs = penalty.Milliseconds()
	}
	return w
}

// was reports whether err is the service's refusal with one of the codes.
func was(err error, codes ...int64) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	for _, n := range codes {
		if e.Code == n {
			return true
		}
	}
	return false
}
