//go:build !race

// The race detector has allocations of its own.

package zim_test

import (
	"context"
	"encoding/binary"
	"io"
	"runtime"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A wireService is the least service there can be: it acknowledges what is sent and pushes what it is told, without an allocation of its own, so
// that what a test counts is the client's.
type wireService struct {
	in     chan []byte
	once   sync.Once
	closed chan struct{}
	ack    []byte
	sent   int
}

func newWireService() *wireService {
	return &wireService{in: make(chan []byte, 16), closed: make(chan struct{}), ack: make([]byte, 0, 64)}
}

func (s *wireService) Dial(context.Context) (transport.Conn, error) { return mux.New(s), nil }

func (s *wireService) ReadMessage(use func([]byte) error) error {
	select {
	case b := <-s.in:
		return use(b)
	case <-s.closed:
		return io.EOF
	}
}

func (s *wireService) WriteMessage(b []byte) error {
	for len(b) > 0 {
		frame, n := protowire.ConsumeBytes(b)
		b = b[n:]
		_, _, n = protowire.ConsumeTag(frame)
		id, _ := protowire.ConsumeVarint(frame[n:])
		if id == 1 {
			login := &wire.LoginResponse{Position: &wire.Position{Epoch: 1}, Last: &wire.Position{Epoch: 1}}
			data, err := proto.Marshal(&wire.Frame{Id: id, Response: &wire.Response{Body: &wire.Response_Login{Login: login}}})
			if err != nil {
				return err
			}
			s.in <- protowire.AppendBytes(nil, data)
			continue
		}
		s.sent++
		// A frame with that ID, and in it a response with an acknowledgment that has a number.
		s.ack = append(s.ack[:0], 0, 1<<3)
		s.ack = binary.AppendUvarint(s.ack, id)
		s.ack = append(s.ack, ackTail...)
		s.ack[0] = byte(len(s.ack) - 1)
		s.in <- s.ack
	}
	return nil
}

// ackTail is the encoding of the response in the frame that acknowledges.
var ackTail = func() []byte {
	b, err := proto.Marshal(&wire.Frame{Response: &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{
		MessageId: 992670963100286976, MessageSeq: 17, OrderKey: 992670963100286976, TimestampMs: 1700000000000,
	}}}})
	if err != nil {
		panic(err)
	}
	return b
}()

func (s *wireService) Close(int, string) error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func loggedIn(tb testing.TB, s *wireService) *zim.ZIM {
	tb.Helper()
	z, err := zim.New(zim.AppConfig{AppID: 1, Transport: s, Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(z.Destroy)
	if err := z.Login(tb.Context(), "alice", &zim.LoginConfig{Token: "t"}); err != nil {
		tb.Fatal(err)
	}
	return z
}

// What a message costs the client.
func TestBudgetOfAllocations(t *testing.T) {
	s := newWireService()
	z := loggedIn(t, s)
	ctx, text, bob := t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob")
	send := testing.AllocsPerRun(1000, func() {
		if _, err := z.SendMessage(ctx, text, bob, nil); err != nil {
			t.Fatal(err)
		}
	})
	if s.sent == 0 {
		t.Error("nothing was sent")
	}

	got := make(chan struct{}, 1)
	zim.On(z, func(context.Context, *zim.PeerMessageReceived) { got <- struct{}{} })
	content, err := proto.Marshal(&wire.TextContent{Message: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	var frames [][]byte
	const received = 2000
	for n := range received + 1 {
		data, err := proto.Marshal(&wire.Frame{Push: &wire.Push{Events: &wire.EventBatch{Epoch: 1, FirstSeq: uint64(n + 1), Events: []*wire.Event{{Message: &wire.Message{
			MessageId: 992670963100286976, MessageSeq: int64(n + 1), OrderKey: 992670963100286976, TimestampMs: 1700000000000,
			ConversationId: "bob", Type: 1, Content: content, Priority: 1,
		}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, protowire.AppendBytes(nil, data))
	}
	next := 0
	receive := testing.AllocsPerRun(received, func() {
		s.in <- frames[next]
		next++
		<-got
	})
	t.Logf("%v allocations a send, %v a receive", send, receive)
	if send > 7 || receive > 10 {
		t.Errorf("%v allocations a send, %v a receive, the budget is 7 and 10", send, receive)
	}
}

// What a client costs that does nothing.
func TestBudgetOfIdleClient(t *testing.T) {
	measure := func() (goroutines int, bytes uint64) {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapInuse + m.StackInuse
	}
	const clients = 500
	goroutines, bytes := measure()
	for range clients {
		loggedIn(t, newWireService())
	}
	after, used := measure()
	perClient, size := float64(after-goroutines)/clients, (int64(used)-int64(bytes))/clients
	t.Logf("%v goroutines and %d bytes a client", perClient, size)
	if perClient > 3 || size > 24<<10 {
		t.Errorf("an idle client has %v goroutines and %d bytes, the budget is 3 and 24 KiB", perClient, size)
	}
}
