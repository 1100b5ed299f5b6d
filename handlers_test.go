package zim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// A place is where a program is called back: the handler for a type of events, or a callback.
type place struct {
	name string
	set  func(z *zim.ZIM, f func(context.Context))
	// reach has what was set called, once, while the ZIM is connected. It doesn't wait for that.
	reach func(c *caller)
}

func handlerOf[E any, P interface {
	*E
	zim.Event
}]() place {
	return place{
		name:  fmt.Sprintf("%T", *new(E)),
		set:   func(z *zim.ZIM, f func(context.Context)) { zim.On(z, func(ctx context.Context, _ P) { f(ctx) }) },
		reach: func(c *caller) { zim.Emit(c.ZIM, P(new(E))) },
	}
}

// places returns the handlers for all types of events, and what else is called.
func places(t *testing.T) []place {
	events := []place{
		handlerOf[zim.Error](), handlerOf[zim.TokenWillExpire](), handlerOf[zim.ConnectionStateChanged](),
		handlerOf[zim.ConversationChanged](), handlerOf[zim.ConversationTotalUnreadMessageCountUpdated](),
		handlerOf[zim.ConversationMessageReceiptChanged](), handlerOf[zim.ConversationsAllDeleted](),
		handlerOf[zim.ConversationSyncStateChanged](), handlerOf[zim.PeerMessageReceived](), handlerOf[zim.RoomMessageReceived](),
		handlerOf[zim.GroupMessageReceived](), handlerOf[zim.BroadcastMessageReceived](), handlerOf[zim.MessageSentStatusChanged](),
		handlerOf[zim.MessageReceiptChanged](), handlerOf[zim.MessageRevokeReceived](), handlerOf[zim.MessageReactionsChanged](),
		handlerOf[zim.MessageDeleted](), handlerOf[zim.MessageRepliedInfoChanged](), handlerOf[zim.MessageRepliedCountChanged](),
		handlerOf[zim.MessageEdited](), handlerOf[zim.MessagePinStatusChanged](), handlerOf[zim.RoomStateChanged](),
		handlerOf[zim.RoomMemberJoined](), handlerOf[zim.RoomMemberLeft](), handlerOf[zim.GroupStateChanged](),
		handlerOf[zim.GroupMemberStateChanged](), handlerOf[zim.GroupMemberInfoUpdated](), handlerOf[zim.SyncReset](),
		handlerOf[zim.EventsDropped](),
	}
	if len(events) != zim.EventKinds {
		t.Fatalf("got %d types of events here, want %d", len(events), zim.EventKinds)
	}
	rest := place{
		name: "Event",
		set: func(z *zim.ZIM, f func(context.Context)) {
			zim.On(z, func(ctx context.Context, _ zim.Event) { f(ctx) })
		},
		reach: func(c *caller) { zim.Emit(c.ZIM, new(zim.SyncReset)) },
	}
	return append(append(events, rest), callbacks()...)
}

// A caller is a ZIM, of which one callback waits until its connection is in some state, and then does something.
type caller struct {
	*zim.ZIM
	t        *testing.T
	ft       *faketransport.Transport
	name     string // of the case
	do       func(context.Context)
	reached  chan struct{} // closed when the callback was called
	release  chan struct{} // closed when it may go on
	returned chan struct{} // closed when it is through
	once     atomic.Bool   // the callback was called
	over     atomic.Bool   // Destroy has returned, and no handler was running then
	running  sync.WaitGroup
}

// newCaller returns a ZIM that is logged in. Its service answers with an event that does not come, so that calls wait for it.
func newCaller(t *testing.T, name string, do func(*caller, context.Context)) *caller {
	c := &caller{
		t: t, name: name, ft: faketransport.New(t),
		reached: make(chan struct{}), release: make(chan struct{}), returned: make(chan struct{}),
	}
	c.do = func(ctx context.Context) { do(c, ctx) }
	files := &filesTransport{c.ft, &fileStore{size: make(map[string]int)}}
	z, err := zim.New(zim.AppConfig{AppID: 1, Transport: files, Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		t.Fatal(err)
	}
	c.ZIM = z
	c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
		if resp := c.ft.Answer(req); resp.Error == nil {
			return resp
		}
		switch {
		case req.GetUpload() != nil:
			return ticket()
		case req.GetEnterRoom() != nil:
			return &wire.Response{Body: &wire.Response_EnterRoom{EnterRoom: new(wire.EnterRoomResponse)}}
		}
		return &wire.Response{EventSeq: 1000}
	})
	c.login()
	if _, err := z.JoinRoom(t.Context(), "bob"); err != nil { // what the arguments call everything
		t.Errorf("%s: %v", name, err)
	}
	return c
}

func (c *caller) login() {
	if err := c.Login(c.t.Context(), "alice", &zim.LoginConfig{Token: "04"}); err != nil {
		c.t.Errorf("%s: %v", c.name, err)
	}
}

// called is the callback.
func (c *caller) called(ctx context.Context) {
	if c.over.Load() {
		c.t.Errorf("%s: a handler is called after Destroy", c.name)
	}
	if c.once.Swap(true) {
		return
	}
	close(c.reached)
	<-c.release
	c.do(ctx)
	close(c.returned)
}

// A situation is how a ZIM's connection is while the callback does something. enter gets there from a connection that works.
type situation struct {
	name      string
	destroyed bool
	enter     func(c *caller)
}

func pushEnd(reason wire.SessionEndReason) func(*caller) {
	return func(c *caller) { c.ft.PushRaw(&wire.Push{SessionEnd: &wire.SessionEnd{Reason: reason}}) }
}

var situations = []situation{
	{name: "connected", enter: func(*caller) {}},
	{name: "connecting", enter: func(c *caller) {
		c.Logout(c.t.Context(), nil)
		c.ft.Hang()
		c.running.Go(func() { c.Login(c.t.Context(), "alice", &zim.LoginConfig{Token: "04"}) })
	}},
	{name: "half-open", enter: func(c *caller) { c.ft.Silence() }},
	{name: "reconnecting", enter: func(c *caller) {
		c.ft.Refuse(errors.New("no network"))
		c.ft.Drop()
	}},
	{name: "reconnecting, without an answer", enter: func(c *caller) {
		c.ft.OnLogin(func(*wire.LoginRequest) *wire.Response { return nil })
		c.ft.Drop()
	}},
	{name: "kicked out", enter: pushEnd(wire.SessionEndReason_SESSION_END_REASON_KICKED_OUT)},
	{name: "token expired", enter: pushEnd(wire.SessionEndReason_SESSION_END_REASON_TOKEN_EXPIRED)},
	{name: "logged out", enter: func(c *caller) { c.Logout(c.t.Context(), nil) }},
	{name: "destroyed", destroyed: true, enter: func(c *caller) { c.Destroy() }},
}

// run has the callback called, waits for it for as long as bound says, and returns how long it took. Unless what it does has destroyed the
// ZIM, it works then, and can be destroyed.
func (c *caller) run(p place, s situation, bound time.Duration, destroys bool) time.Duration {
	if p.name != "Event" {
		zim.On(c.ZIM, func(context.Context, zim.Event) {
			if c.over.Load() {
				c.t.Errorf("%s: a handler is called after Destroy", c.name)
			}
		})
	}
	p.set(c.ZIM, c.called)
	p.reach(c)
	<-c.reached
	s.enter(c)
	time.Sleep(time.Millisecond)
	start := time.Now()
	close(c.release)
	select {
	case <-c.returned:
	case <-time.After(bound):
		c.t.Errorf("%s: it has not returned after %v", c.name, bound)
		destroys = true
		c.Destroy()
		<-c.returned
	}
	took := time.Since(start)
	c.ft.Accept()
	c.ft.OnLogin(nil)
	if !s.destroyed && !destroys {
		c.works()
	}
	c.Destroy()
	c.running.Wait()
	time.Sleep(time.Millisecond) // a handler that was running may return
	c.over.Store(true)
	zim.Emit(c.ZIM, new(zim.SyncReset))
	c.ft.Push(faketransport.Text("bob", "late"))
	time.Sleep(time.Minute)
	if err := c.RenewToken(c.t.Context(), "04"); zim.CodeOf(err) != zim.ErrCommonNotInit {
		c.t.Errorf("%s: after Destroy: %v", c.name, err)
	}
	return took
}

// works checks that the ZIM can be logged in, and sends.
func (c *caller) works() {
	d := took(func() {
		c.Logout(c.t.Context(), nil)
		c.login()
		if _, err := c.SendMessage(c.t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil); err != nil {
			c.t.Errorf("%s: afterwards, %v", c.name, err)
		}
	})
	if d > 10*time.Second {
		c.t.Errorf("%s: afterwards, a login and a message take %v", c.name, d)
	}
}

// argument returns something plausible of a type.
func argument(ctx context.Context, typ reflect.Type) reflect.Value {
	for _, v := range []any{
		1, "bob", zim.Peer("bob"), hello(), []*zim.Message{hello()}, []string{"bob"}, []int64{1}, &zim.LoginConfig{Token: "04"},
		[]zim.ConversationRef{zim.Peer("bob")}, zim.RoomInfo{RoomID: "r"}, zim.GroupInfo{GroupID: "g"},
		zim.MessageEditConfig{Content: &zim.TextMessage{Message: "x"}},
	} {
		if reflect.TypeOf(v) == typ {
			return reflect.ValueOf(v)
		}
	}
	switch typ {
	case reflect.TypeFor[context.Context]():
		return reflect.ValueOf(ctx)
	case reflect.TypeFor[zim.Content]():
		return reflect.ValueOf(&zim.TextMessage{Message: "x"})
	case reflect.TypeFor[io.Writer]():
		return reflect.ValueOf(io.Discard)
	}
	return reflect.Zero(typ)
}

// invoke calls a method with plausible arguments, and goes through what it returns.
func invoke(ctx context.Context, z *zim.ZIM, method reflect.Method) {
	f := reflect.ValueOf(z).Method(method.Index)
	var args []reflect.Value
	for i := range f.Type().NumIn() {
		args = append(args, argument(ctx, f.Type().In(i)))
	}
	for _, result := range f.Call(args) {
		if result.Kind() == reflect.Func {
			for range result.Seq2() {
			}
		}
	}
}

// boundOf returns how long a method may take.
func boundOf(method string) time.Duration {
	switch method {
	case "Destroy", "ConnectionState":
		return time.Millisecond
	case "Logout":
		return 5*time.Second + time.Millisecond // for the service to hear of it
	}
	return time.Minute // twice the half minute for which messages wait
}

// Every method may be called by every handler, whatever the connection is like: it returns in time, the ZIM goes on or ends, and nothing is
// left or called after Destroy. The short tier has a third of the handlers for each method and situation, and all for those that end sessions
// or begin them; the long tier (ZIM_TIER=long) has all.
func TestHandlersMayCallEverything(t *testing.T) {
	all := places(t)
	typ := reflect.TypeFor[*zim.ZIM]()
	cases, full := 0, os.Getenv("ZIM_TIER") == "long"
	for i := range typ.NumMethod() {
		method, longest := typ.Method(i), time.Duration(0)
		every := 3
		switch method.Name {
		case "Login", "Logout", "Destroy", "RenewToken", "SendMessage":
			every = 1
		}
		if full {
			every = 1
		}
		for at, s := range situations {
			synctest.Test(t, func(t *testing.T) {
				var took [64]time.Duration
				var running sync.WaitGroup
				for i, p := range all {
					if (i+at)%every != 0 {
						continue
					}
					cases++
					running.Go(func() {
						name := fmt.Sprintf("%s by %s while %s", method.Name, p.name, s.name)
						c := newCaller(t, name, func(c *caller, ctx context.Context) { invoke(ctx, c.ZIM, method) })
						took[i] = c.run(p, s, boundOf(method.Name), method.Name == "Destroy")
					})
				}
				running.Wait()
				for _, d := range took {
					longest = max(longest, d)
				}
			})
		}
		if testing.Verbose() {
			t.Logf("%s: at most %v", method.Name, longest)
		}
	}
	t.Logf("%d methods, %d handlers, %d situations: %d cases", typ.NumMethod(), len(all), len(situations), cases)
}

// Logout and Destroy may come from a hundred goroutines at once, whatever the connection is like, also while a handler waits for them.
func TestEndsAtOnce(t *testing.T) {
	all := places(t)
	for _, s := range situations {
		for name, end := range map[string]func(i int, z *zim.ZIM, ctx context.Context){
			"Logout":  func(_ int, z *zim.ZIM, ctx context.Context) { z.Logout(ctx, nil) },
			"Destroy": func(_ int, z *zim.ZIM, _ context.Context) { z.Destroy() },
			"Logout and Destroy": func(i int, z *zim.ZIM, ctx context.Context) {
				if i%2 == 0 {
					z.Destroy()
				} else {
					z.Logout(ctx, nil)
				}
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				var running sync.WaitGroup
				for _, p := range all {
					running.Go(func() {
						c := newCaller(t, fmt.Sprintf("%s by %s while %s", name, p.name, s.name), func(c *caller, ctx context.Context) {
							var ending sync.WaitGroup
							for i := range 100 {
								ending.Go(func() { end(i, c.ZIM, ctx) })
							}
							ending.Wait()
						})
						c.run(p, s, boundOf("Logout"), name != "Logout")
					})
				}
				running.Wait()
			})
		}
	}
}
