package mux_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A stream is a mux.Stream whose other side is the test: in is what it sends, and out what it gets. As long as it takes
// nothing from out, WriteMessage blocks.
type stream struct {
	in, out   chan []byte
	readErr   error // instead of a message, if set
	writeErr  error // instead of writing, if set
	readLimit atomic.Int64

	once   sync.Once
	closed chan struct{}
	status int // with which it was closed first
}

func newStream() *stream {
	return &stream{in: make(chan []byte), out: make(chan []byte), closed: make(chan struct{})}
}

func (s *stream) ReadMessage(use func([]byte) error) error {
	if s.readErr != nil {
		return s.readErr
	}
	select {
	case msg, ok := <-s.in:
		if !ok {
			return io.EOF
		}
		return use(msg)
	case <-s.closed:
		return net.ErrClosed
	}
}

func (s *stream) WriteMessage(msg []byte) error {
	if s.writeErr != nil {
		return s.writeErr
	}
	select {
	case s.out <- bytes.Clone(msg):
		return nil
	case <-s.closed:
		return net.ErrClosed
	}
}

func (s *stream) Close(status int, _ string) error {
	s.once.Do(func() {
		s.status = status
		close(s.closed)
	})
	return nil
}

func (s *stream) SetReadLimit(limit int) { s.readLimit.Store(int64(limit)) }

// decode returns the frames of a message.
func decode(t *testing.T, msg []byte) []*wire.Frame {
	t.Helper()
	var frames []*wire.Frame
	var f wire.Frame
	err := mux.EachFrame(msg, mux.ToClient, &f, func(f *wire.Frame) error {
		frames = append(frames, proto.CloneOf(f))
		return nil
	})
	if err != nil {
		t.Fatalf("%d bytes: %v", len(msg), err)
	}
	return frames
}

func sending(data string) *wire.Request {
	return &wire.Request{Body: &wire.Request_SendMessage{SendMessage: &wire.SendMessageRequest{Content: []byte(data)}}}
}

func pushing(n, size int) *wire.Push {
	return &wire.Push{Transient: []*wire.Message{{MessageId: int64(n), Content: make([]byte, size)}}}
}

// inBubble runs f in a bubble, with a Conn whose stream the test holds.
func inBubble(t *testing.T, f func(t *testing.T, s *stream, conn *mux.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		conn := mux.New(s)
		defer conn.Close()
		f(t, s, conn)
	})
}

// Frames that find the stream busy go together in the next message.
func TestBatching(t *testing.T) {
	inBubble(t, func(t *testing.T, s *stream, conn *mux.Conn) {
		for range 2 { // a second time, when the writing goroutine has ended
			conn.Start(sending("first"), func(*wire.Response, error) {})
			synctest.Wait()
			for range 9 {
				conn.Start(sending("more"), func(*wire.Response, error) {})
			}
			synctest.Wait()
			first, rest := decode(t, <-s.out), decode(t, <-s.out)
			if len(first) != 1 || len(rest) != 9 {
				t.Fatalf("got messages of %d and %d frames, want 1 and 9", len(first), len(rest))
			}
			for i, f := range rest {
				if f.Id != first[0].Id+uint64(i)+1 {
					t.Errorf("frame %d has the ID %d, want %d", i, f.Id, first[0].Id+uint64(i)+1)
				}
			}
			synctest.Wait()
		}
		select {
		case msg := <-s.out:
			t.Errorf("got %d more bytes", len(msg))
		default:
		}
	})
}

// A message is no longer than what the other side accepts, but a frame is never divided.
func TestMessageBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		peer := mux.NewPeer(s)
		// The 50th is longer than a message may be, and those before fill a message to the last byte.
		full := mux.ToServer.Message - len(mux.Encode(&wire.Frame{Push: pushing(1, 40_000)})) // for frame 3
		full -= len(mux.Encode(&wire.Frame{Push: pushing(3, 20_000)})) - 20_000
		sizes := slices.Repeat([]int{3000}, 80)
		sizes[1], sizes[2], sizes[50] = 40_000, full, 200_000
		for i, size := range sizes {
			if err := peer.Push(pushing(i, size)); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				synctest.Wait() // the first is being written
			}
		}
		var got []*wire.Frame
		var lengths []int
		for len(got) < len(sizes) {
			msg := <-s.out
			frames := decode(t, msg)
			if len(msg) > mux.ToServer.Message && len(frames) > 1 {
				t.Errorf("got a message of %d bytes and %d frames, want at most %d bytes", len(msg), len(frames), mux.ToServer.Message)
			}
			lengths = append(lengths, len(msg))
			got = append(got, frames...)
		}
		for i, f := range got {
			if m := f.Push.GetTransient()[0]; m.MessageId != int64(i) || len(m.Content) != sizes[i] {
				t.Errorf("frame %d is message %d of %d bytes, want %d of %d", i, m.MessageId, len(m.Content), i, sizes[i])
			}
		}
		if lengths[1] != mux.ToServer.Message {
			t.Errorf("got a second message of %d bytes, want %d", lengths[1], mux.ToServer.Message)
		}
		if want := 8; len(lengths) != want {
			t.Errorf("got %d messages, want %d: %d", len(lengths), want, lengths)
		}
		s.Close(0, "")
		peer.Serve(nil)
	})
}

// For a client that reads too slowly, pushes are left out, which it can ask for. There is still room for answers; but one that does
// not fit can't be left out, and so the client has to come again. What was accepted arrives.
func TestPeerIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		peer := mux.NewPeer(s)
		const size = 10_000
		accepted := 0
		for {
			err := peer.Push(pushing(accepted, size))
			if errors.Is(err, mux.ErrSlow) {
				break
			}
			if accepted++; err != nil || accepted > 1000 {
				t.Fatalf("push %d: got %v, want mux.ErrSlow at some time", accepted, err)
			}
			if accepted == 1 {
				synctest.Wait()
			}
		}
		if n := accepted * size; n < 512<<10 || n > 512<<10+3*size {
			t.Errorf("got %d bytes accepted, want about %d", n, 512<<10)
		}
		if err := peer.Push(pushing(0, size)); !errors.Is(err, mux.ErrSlow) {
			t.Errorf("a second push: got %v, want mux.ErrSlow", err)
		}
		answered := 0
		for ; ; answered++ {
			err := peer.Reply(1, &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{Content: make([]byte, size)}}})
			if errors.Is(err, mux.ErrSlow) {
				break
			}
			if err != nil || answered > 1000 {
				t.Fatalf("answer %d: got %v, want mux.ErrSlow at some time", answered, err)
			}
		}
		if n := (accepted + answered) * size; n < 1<<20 || n > 1<<20+5*size {
			t.Errorf("got %d bytes accepted with the answers, want about %d", n, 1<<20)
		}
		if err := peer.Push(pushing(0, size)); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("after the reply: got %v, want transport.ErrClosed", err)
		}
		accepted += answered
		for got := 0; got < accepted; {
			got += len(decode(t, <-s.out))
		}
		peer.Serve(nil)
		if s.status != mux.StatusTryLater {
			t.Errorf("got the status %d, want %d", s.status, mux.StatusTryLater)
		}
	})
}

// A client whose server takes nothing must not leave out one request and send the next.
func TestConnIsSlow(t *testing.T) {
	inBubble(t, func(t *testing.T, s *stream, conn *mux.Conn) {
		mux.SetLimit(conn, 10_000)
		const requests = 20
		ended := 0
		for range requests {
			conn.Start(sending(strings.Repeat("x", 1000)), func(_ *wire.Response, err error) {
				if ended++; !errors.Is(err, transport.ErrClosed) || !errors.Is(err, mux.ErrSlow) {
					t.Errorf("got %v, want transport.ErrClosed because of mux.ErrSlow", err)
				}
			})
			synctest.Wait()
		}
		if ended != requests {
			t.Errorf("got %d of %d requests failed", ended, requests)
		}
		<-s.closed
	})
}

// What can't be encoded fails by itself.
func TestNotEncodable(t *testing.T) {
	inBubble(t, func(t *testing.T, s *stream, conn *mux.Conn) {
		bad := sending("")
		bad.GetSendMessage().ConversationId = "\xff"
		if _, err := conn.RoundTrip(t.Context(), bad); err == nil || errors.Is(err, transport.ErrClosed) {
			t.Errorf("got %v, want an error of the encoding", err)
		}
		conn.Start(sending("good"), func(*wire.Response, error) {})
		if frames := decode(t, <-s.out); len(frames) != 1 || string(frames[0].Request.GetSendMessage().Content) != "good" {
			t.Errorf("got %v, want the next request", frames)
		}
	})
}

// Answers that nobody waits for do no harm.
func TestStrayResponses(t *testing.T) {
	inBubble(t, func(t *testing.T, s *stream, conn *mux.Conn) {
		calls := 0
		conn.Start(sending("a"), func(resp *wire.Response, err error) {
			if calls++; err != nil || resp.GetError().GetCode() != 1 {
				t.Errorf("got %v, %v, want the first answer", resp, err)
			}
		})
		id := decode(t, <-s.out)[0].Id
		response := func(id uint64, code int32) *wire.Frame {
			return &wire.Frame{Id: id, Response: &wire.Response{Error: &wire.Error{Code: code}}}
		}
		s.in <- mux.Encode(response(id+1, 9), response(0, 9), response(1<<63, 9), response(id, 1), response(id, 2), new(wire.Frame))
		s.in <- mux.Encode(response(id, 3), &wire.Frame{Id: id, Request: sending("a request for a client")})
		s.in <- nil
		synctest.Wait()
		if calls != 1 {
			t.Errorf("done: got %d calls, want 1", calls)
		}
		s.in <- mux.Encode(&wire.Frame{Id: id, Push: pushing(7, 0)})
		if push, err := conn.Receive(t.Context()); err != nil || push.Transient[0].MessageId != 7 {
			t.Errorf("Receive: got %v, %v, want the push", push, err)
		}
	})
}

// A server that sends nonsense is left.
func TestHostileServer(t *testing.T) {
	for name, msg := range malformed {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *stream, conn *mux.Conn) {
				go func() {
					<-s.out
					s.in <- msg
				}()
				if resp, err := conn.RoundTrip(t.Context(), sending("a")); !errors.Is(err, transport.ErrClosed) || !errors.Is(err, mux.ErrMalformed) {
					t.Errorf("RoundTrip: got %v, %v, want transport.ErrClosed because of mux.ErrMalformed", resp, err)
				}
				if push, err := conn.Receive(t.Context()); !errors.Is(err, transport.ErrClosed) || !errors.Is(err, transport.ErrProtocol) {
					t.Errorf("Receive: got %v, %v, want transport.ErrClosed because of transport.ErrProtocol", push, err)
				}
				<-s.closed
			})
		})
	}
}

// Pushes that nobody receives are not read without end.
func TestPushesWait(t *testing.T) {
	inBubble(t, func(t *testing.T, s *stream, conn *mux.Conn) {
		read := 0
		for ; read < 1000; read++ {
			synctest.Wait()
			select {
			case s.in <- mux.Encode(&wire.Frame{Push: pushing(read, 0)}):
				continue
			default:
			}
			break
		}
		if read < 64 || read > 70 {
			t.Errorf("got %d pushes read, want about 64", read)
		}
		for n := range read {
			push, err := conn.Receive(t.Context())
			if err != nil || push.Transient[0].MessageId != int64(n) {
				t.Fatalf("Receive: got %v, %v, want push %d", push, err, n)
			}
		}
	})
}

// What the server pushed before it closed is received.
func TestPushesBeforeTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, s *stream, conn *mux.Conn) {
		s.in <- mux.Encode(&wire.Frame{Push: pushing(0, 0)}, &wire.Frame{Push: &wire.Push{SessionEnd: new(wire.SessionEnd)}})
		close(s.in)
		synctest.Wait()
		for n := range 2 {
			if push, err := conn.Receive(t.Context()); err != nil {
				t.Errorf("Receive: got %v, %v, want push %d", push, err, n)
			}
		}
		for range 2 {
			if push, err := conn.Receive(t.Context()); !errors.Is(err, transport.ErrClosed) || !errors.Is(err, io.EOF) {
				t.Errorf("Receive: got %v, %v, want transport.ErrClosed because of io.EOF", push, err)
			}
		}
	})
}

// Close ends a Conn that is busy in every way: it writes, it reads pushes that nobody takes, and requests wait.
func TestCloseWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		conn := mux.New(s)
		ended := 0
		for range 10 {
			conn.Start(sending("a"), func(_ *wire.Response, err error) {
				if ended++; !errors.Is(err, transport.ErrClosed) {
					t.Errorf("got %v, want transport.ErrClosed", err)
				}
			})
		}
		var many []*wire.Frame
		for n := range 100 {
			many = append(many, &wire.Frame{Push: pushing(n, 0)})
		}
		s.in <- mux.Encode(many...)
		synctest.Wait()
		if err := conn.Close(); err != nil || ended != 10 {
			t.Errorf("Close: got %v and %d requests ended, want 10", err, ended)
		}
	})
}

// However a failing write, a failing read, Close and requests meet: each request ends once, with the same kind of error.
func TestEndsMeet(t *testing.T) {
	ends := map[string]func(s *stream, conn *mux.Conn){
		"close": func(_ *stream, conn *mux.Conn) { conn.Close() },
		"read":  func(s *stream, _ *mux.Conn) { close(s.in) },
		"write": func(s *stream, _ *mux.Conn) { <-s.out },
		"all": func(s *stream, conn *mux.Conn) {
			go close(s.in)
			go conn.Close()
			conn.Close()
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for range 100 {
				synctest.Test(t, func(t *testing.T) {
					s := newStream()
					if name == "write" {
						s.writeErr = errors.New("broken pipe")
					}
					conn := mux.New(s)
					defer conn.Close()
					const requests = 20
					var calls [requests]atomic.Int32
					var all sync.WaitGroup
					for n := range requests {
						all.Go(func() {
							conn.Start(sending("a"), func(_ *wire.Response, err error) {
								if calls[n].Add(1); !errors.Is(err, transport.ErrClosed) {
									t.Errorf("done: got %v, want transport.ErrClosed", err)
								}
							})
						})
						all.Go(func() {
							if _, err := conn.RoundTrip(t.Context(), sending("a")); !errors.Is(err, transport.ErrClosed) {
								t.Errorf("RoundTrip: got %v, want transport.ErrClosed", err)
							}
						})
					}
					if name != "write" {
						end(s, conn)
					}
					all.Wait()
					conn.Close()
					for n := range calls {
						if got := calls[n].Load(); got != 1 {
							t.Errorf("request %d: got %d calls of done, want 1", n, got)
						}
					}
				})
			}
		})
	}
}

// The caller's context ends its wait, and nothing else.
func TestRoundTripContext(t *testing.T) {
	inBubble(t, func(t *testing.T, s *stream, conn *mux.Conn) {
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		go func() {
			_, err := conn.RoundTrip(ctx, sending("a"))
			got <- err
		}()
		synctest.Wait() // the stream is writing the request
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if _, err := conn.RoundTrip(ctx, sending("b")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if frames := decode(t, <-s.out); len(frames) != 1 {
			t.Errorf("got %d frames, want the request that was being written", len(frames))
		}
		if _, err := conn.Receive(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Receive: got %v, want context.Canceled", err)
		}
	})
}
