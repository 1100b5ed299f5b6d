package inproc_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/inproc"
	"github.com/zim-go/zim/transport/transporttest"
	"github.com/zim-go/zim/wire"
)

// A backend is a Handler that does what a test wants.
type backend struct {
	handle   func(id uint64, req *wire.Request)
	detached func()
}

func (b *backend) Handle(id uint64, req *wire.Request) { b.handle(id, req) }

func (b *backend) Detached() {
	if b.detached != nil {
		b.detached()
	}
}

// dial returns both ends of an attachment to b.
func dial(t *testing.T, b *backend) (transport.Pipeline, *inproc.Peer) {
	t.Helper()
	var peer *inproc.Peer
	conn, err := inproc.Dialer{Attach: func(p *inproc.Peer) (inproc.Handler, error) {
		peer = p
		return b, nil
	}}.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(transport.Pipeline), peer
}

func sending(id string) *wire.Request {
	return &wire.Request{Body: &wire.Request_SendMessage{SendMessage: &wire.SendMessageRequest{ConversationId: id}}}
}

func TestConn(t *testing.T) {
	transporttest.TestConn(t, func(_ testing.TB, service *transporttest.Service) transport.Dialer {
		return inproc.Dialer{Attach: func(peer *inproc.Peer) (inproc.Handler, error) {
			a := service.Attach(transporttest.Link{Push: peer.Push, Close: func() { peer.Close(0, "") }})
			return &backend{handle: func(id uint64, req *wire.Request) {
				a.Handle(req, func(resp *wire.Response) { peer.Reply(id, resp) })
			}}, nil
		}}
	})
}

func TestAttachRefuses(t *testing.T) {
	full := errors.New("full")
	conn, err := inproc.Dialer{Attach: func(*inproc.Peer) (inproc.Handler, error) { return nil, full }}.Dial(t.Context())
	if conn != nil || !errors.Is(err, full) {
		t.Errorf("got %v, %v, want the error of Attach", conn, err)
	}
}

// A backend that shuts down closes the peers that it knows, also one whose Attach is not over.
func TestCloseDuringAttach(t *testing.T) {
	var detached atomic.Int32
	conn, err := inproc.Dialer{Attach: func(peer *inproc.Peer) (inproc.Handler, error) {
		peer.Push(&wire.Push{SessionEnd: new(wire.SessionEnd)})
		peer.Close(1001, "going away")
		return &backend{detached: func() { detached.Add(1) }}, nil
	}}.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := detached.Load(); got != 1 {
		t.Errorf("Detached: got %d calls, want 1", got)
	}
	if push, err := conn.Receive(t.Context()); push.GetSessionEnd() == nil {
		t.Errorf("Receive: got %v, %v, want what was pushed before", push, err)
	}
	if push, err := conn.Receive(t.Context()); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Receive: got %v, %v, want transport.ErrClosed", push, err)
	}
	conn.Close()
	if got := detached.Load(); got != 1 {
		t.Errorf("Detached after Close: got %d calls, want 1", got)
	}
}

// Detached comes once and last, whoever ends the attachment, and whatever the handler is doing then.
func TestDetachedIsLast(t *testing.T) {
	ends := map[string]func(conn transport.Conn, peer *inproc.Peer){
		"client":  func(conn transport.Conn, _ *inproc.Peer) { conn.Close() },
		"backend": func(_ transport.Conn, peer *inproc.Peer) { peer.Close(0, "") },
		"both": func(conn transport.Conn, peer *inproc.Peer) {
			go peer.Close(0, "")
			conn.Close()
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy, free := make(chan struct{}), make(chan struct{})
				var handled, detached, inside atomic.Int32
				b := &backend{
					handle: func(uint64, *wire.Request) {
						if detached.Load() > 0 || inside.Add(1) > 1 {
							t.Error("Handle is called after Detached, or twice at a time")
						}
						if handled.Add(1) == 1 {
							close(busy)
							<-free
						}
						inside.Add(-1)
					},
					detached: func() {
						if detached.Add(1) > 1 || inside.Load() > 0 {
							t.Error("Detached is called again, or during Handle")
						}
					},
				}
				conn, peer := dial(t, b)
				for range 100 {
					conn.Start(sending("bob"), func(*wire.Response, error) {})
				}
				<-busy
				end(conn, peer)
				synctest.Wait()
				if got := detached.Load(); got != 0 {
					t.Errorf("Detached during Handle: got %d calls, want none", got)
				}
				close(free)
				synctest.Wait()
				if h, d := handled.Load(), detached.Load(); h != 1 || d != 1 {
					t.Errorf("got %d calls of Handle and %d of Detached, want 1 and 1", h, d)
				}
			})
		})
	}
}

// A handler may end its own attachment, as it does for a bad login: the answer still arrives.
func TestCloseInHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var detached atomic.Int32
		b := &backend{detached: func() { detached.Add(1) }}
		conn, peer := dial(t, b)
		b.handle = func(id uint64, _ *wire.Request) {
			peer.Reply(id, &wire.Response{Error: &wire.Error{Code: 6000103}})
			peer.Close(4401, "login refused")
		}
		resp, err := conn.RoundTrip(t.Context(), sending("bob"))
		if err != nil || resp.GetError().GetCode() != 6000103 {
			t.Errorf("got %v, %v, want the refusal", resp, err)
		}
		if _, err := conn.RoundTrip(t.Context(), sending("bob")); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("the next request: got %v, want transport.ErrClosed", err)
		}
		synctest.Wait()
		if got := detached.Load(); got != 1 {
			t.Errorf("Detached: got %d calls, want 1", got)
		}
	})
}

// Each side may change what it has handed over, and what it was handed.
func TestNothingIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(backend)
		conn, peer := dial(t, b)
		resp := &wire.Response{Error: &wire.Error{Message: "no"}}
		push := &wire.Push{Transient: []*wire.Message{{ExtendedData: "hi"}}}
		b.handle = func(id uint64, req *wire.Request) {
			req.GetSendMessage().ConversationId = "changed by the backend"
			peer.Reply(id, resp)
			peer.Push(push)
			resp.Error.Message = "changed by the backend"
			push.Transient[0].ExtendedData = "changed by the backend"
		}
		req := sending("bob")
		got, err := conn.RoundTrip(t.Context(), req)
		if err != nil || got.GetError().GetMessage() != "no" || !proto.Equal(req, sending("bob")) {
			t.Errorf("got %v, %v for the request %v", got, err, req)
		}
		pushed, err := conn.Receive(t.Context())
		if err != nil || pushed.Transient[0].ExtendedData != "hi" {
			t.Errorf("got %v, %v, want what was pushed", pushed, err)
		}
	})
}

// A client that does not receive costs no more than so much.
func TestPushesAreBounded(t *testing.T) {
	conn, peer := dial(t, new(backend))
	accepted := 0
	for range 10_000 {
		if peer.Push(new(wire.Push)) != nil {
			break
		}
		accepted++
	}
	if accepted != 4096 {
		t.Errorf("got %d pushes accepted, want 4096", accepted)
	}
	for range accepted {
		if _, err := conn.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := peer.Push(new(wire.Push)); err != nil {
		t.Errorf("once there is room again: %v", err)
	}
}

// Answers that come for requests that are gone, or twice, are nobody's.
func TestStrayAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(backend)
		conn, peer := dial(t, b)
		var ids sync.Map
		b.handle = func(id uint64, req *wire.Request) { ids.Store(req.GetSendMessage().ConversationId, id) }
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		calls := 0
		conn.Start(sending("alice"), func(*wire.Response, error) { calls++ })
		if _, err := conn.RoundTrip(ctx, sending("bob")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		synctest.Wait()
		id, _ := ids.Load("alice")
		for _, id := range []uint64{0, id.(uint64), id.(uint64), 1 << 40} {
			if err := peer.Reply(id, new(wire.Response)); err != nil {
				t.Errorf("Reply: %v", err)
			}
		}
		if calls != 1 {
			t.Errorf("done: got %d calls, want 1", calls)
		}
	})
}
