// Package faketransport is a transport to a ZIM service that does what a test wants, for tests of the SDK.
//
// Untold, it is a service that works, for one user: it accepts logins, acknowledges messages, and keeps a feed. It works in
// a synctest bubble and has no goroutine that waits.
package faketransport

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/inproc"
	"github.com/zim-go/zim/wire"
)

// A Transport implements [transport.Dialer], with Conns that implement [transport.Pipeline]. Its methods may be called
// concurrently, also by the functions that script it.
type Transport struct {
	mu        sync.Mutex
	onLogin   func(*wire.LoginRequest) *wire.Response   // guarded by mu
	onRequest func(*Conn, *wire.Request) *wire.Response // guarded by mu
	hanging   bool                                      // guarded by mu; Dial does
	refusal   error                                     // guarded by mu; of Dial
	dials     int                                       // guarded by mu
	conns     []*Conn                                   // guarded by mu; those that are not over
	open      int                                       // guarded by mu; Conns that the client has not closed
	requests  []*wire.Request                           // guarded by mu
	epoch     uint64                                    // guarded by mu
	events    []*wire.Event                             // guarded by mu; the feed
	acks      map[string]*wire.SendMessageResponse      // guarded by mu; by local message ID
	sent      map[string]int64                          // guarded by mu; messages in a conversation
}

// New returns a Transport. At its end, the test fails if a Conn was not closed.
func New(tb testing.TB) *Transport {
	t := &Transport{epoch: 1, acks: make(map[string]*wire.SendMessageResponse), sent: make(map[string]int64)}
	tb.Cleanup(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.open > 0 {
			tb.Errorf("faketransport: got %d Conns that were not closed, want none", t.open)
		}
	})
	return t
}

// A Conn is the service's end of a connection.
type Conn struct {
	t        *Transport
	peer     *inproc.Peer
	silent   bool                     // guarded by t.mu
	loggedIn bool                     // guarded by t.mu
	ids      map[*wire.Request]uint64 // guarded by t.mu; of requests that are not answered
}

// A client is the other end. It takes note of Close.
type client struct {
	transport.Pipeline
	close func() error
}

func (c *client) Close() error { return c.close() }

// Dial implements [transport.Dialer].
func (t *Transport) Dial(ctx context.Context) (transport.Conn, error) {
	t.mu.Lock()
	t.dials++
	hanging, refusal := t.hanging, t.refusal
	t.mu.Unlock()
	if hanging {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if refusal != nil {
		return nil, refusal
	}
	conn, err := inproc.Dialer{Attach: t.attach}.Dial(ctx)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.open++
	t.mu.Unlock()
	closed := sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.open--
	})
	return &client{conn.(transport.Pipeline), func() error {
		closed()
		return conn.Close()
	}}, nil
}

func (t *Transport) attach(peer *inproc.Peer) (inproc.Handler, error) {
	c := &Conn{t: t, peer: peer, ids: make(map[*wire.Request]uint64)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns = append(t.conns, c)
	return c, nil
}

// Accept makes Dial work again after [Transport.Refuse] or [Transport.Hang].
func (t *Transport) Accept() { t.setDial(false, nil) }

// Refuse makes Dial fail with err.
func (t *Transport) Refuse(err error) { t.setDial(false, err) }

// Hang makes Dial wait until its context ends.
func (t *Transport) Hang() { t.setDial(true, nil) }

func (t *Transport) setDial(hanging bool, refusal error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hanging, t.refusal = hanging, refusal
}

// OnLogin sets what answers logins; nil stands for [Transport.AcceptLogin]. If f returns nil, there is no answer.
func (t *Transport) OnLogin(f func(*wire.LoginRequest) *wire.Response) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.onLogin = f
}

// OnRequest sets what answers all requests but logins; nil stands for [Transport.Answer]. If f returns nil, there is no
// answer, unless [Conn.Reply] gives one later. f must not change the request.
func (t *Transport) OnRequest(f func(conn *Conn, req *wire.Request) *wire.Response) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.onRequest = f
}

// Handle implements [inproc.Handler].
func (c *Conn) Handle(id uint64, req *wire.Request) {
	t, login := c.t, req.GetLogin()
	t.mu.Lock()
	t.requests = append(t.requests, req)
	c.ids[req] = id
	onLogin, onRequest, silent := t.onLogin, t.onRequest, c.silent
	// Before the answer says where the feed ends, so that no event falls between the two.
	c.loggedIn = c.loggedIn || login != nil
	t.mu.Unlock()
	if silent {
		return
	}
	var resp *wire.Response
	switch {
	case login != nil && onLogin != nil:
		resp = onLogin(login)
	case login == nil && onRequest != nil:
		resp = onRequest(c, req)
	default:
		resp = t.Answer(req)
	}
	if login != nil && (resp == nil || resp.Error != nil) {
		t.mu.Lock()
		c.loggedIn = false
		t.mu.Unlock()
	}
	if resp != nil {
		c.Reply(req, resp)
	}
}

// Detached implements [inproc.Handler].
func (c *Conn) Detached() {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.conns, c); i >= 0 {
		t.conns = slices.Delete(t.conns, i, i+1)
	}
}

// Reply answers a request that an OnRequest function got, once.
func (c *Conn) Reply(req *wire.Request, resp *wire.Response) {
	c.t.mu.Lock()
	id, ok := c.ids[req]
	delete(c.ids, req)
	ok = ok && !c.silent
	c.t.mu.Unlock()
	if ok {
		c.peer.Reply(id, resp)
	}
}

// Push sends push to this connection, whether or not its client has logged in.
func (c *Conn) Push(push *wire.Push) { c.peer.Push(push) }

// Drop breaks the connection.
func (c *Conn) Drop() { c.peer.Close(0, "") }

// Drop breaks the connections that there are.
func (t *Transport) Drop() {
	for _, c := range t.Conns() {
		c.Drop()
	}
}

// Silence makes the connections that there are half-open: nothing comes from them any more, and nothing says so. New
// ones work.
func (t *Transport) Silence() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		c.silent = true
	}
}

// PushRaw sends push to the connections that are logged in and not silent.
func (t *Transport) PushRaw(push *wire.Push) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.push(push)
}

// push does not wait. The caller holds mu, so that pushes come in the order of the feed.
func (t *Transport) push(push *wire.Push) {
	for _, c := range t.conns {
		if c.loggedIn && !c.silent {
			c.peer.Push(push)
		}
	}
}

// Conns returns the connections that there are, the latest last.
func (t *Transport) Conns() []*Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.conns)
}

// Dials returns how often Dial was called.
func (t *Transport) Dials() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dials
}

// Requests returns the requests that came, of all connections, in their order. They must not be changed.
func (t *Transport) Requests() []*wire.Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.requests)
}

// Logins returns the logins among the requests.
func (t *Transport) Logins() []*wire.LoginRequest { return bodies(t, (*wire.Request).GetLogin) }

// Sends returns the messages among the requests.
func (t *Transport) Sends() []*wire.SendMessageRequest {
	return bodies(t, (*wire.Request).GetSendMessage)
}

func bodies[B any](t *Transport, get func(*wire.Request) *B) []*B {
	var all []*B
	for _, req := range t.Requests() {
		if b := get(req); b != nil {
			all = append(all, b)
		}
	}
	return all
}

func now() int64 { return time.Now().UnixMilli() }
