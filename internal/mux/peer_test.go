package mux_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// serve runs a Peer that answers requests with their content, in a bubble.
func serve(t *testing.T, f func(t *testing.T, s *stream, peer *mux.Peer, served <-chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		peer := mux.NewPeer(s)
		served := make(chan error, 1)
		go func() {
			served <- peer.Serve(func(id uint64, req *wire.Request) {
				peer.Reply(id, &wire.Response{Error: &wire.Error{Message: string(req.GetSendMessage().GetContent())}})
			})
		}()
		defer s.Close(0, "")
		f(t, s, peer, served)
	})
}

func TestServe(t *testing.T) {
	serve(t, func(t *testing.T, s *stream, peer *mux.Peer, served <-chan error) {
		s.in <- mux.Encode(&wire.Frame{Id: 5, Request: sending("a")}, &wire.Frame{Id: 6, Request: sending("b")})
		s.in <- nil
		s.in <- mux.Encode(&wire.Frame{Id: 7, Request: sending("c")})
		var got []string
		for len(got) < 3 {
			for _, f := range decode(t, <-s.out) {
				got = append(got, fmt.Sprint(f.Id, f.Response.GetError().GetMessage()))
			}
		}
		if want := []string{"5a", "6b", "7c"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// Bytes that make no sense end the connection with a status that says so, and nothing of the message is handled that
// comes behind.
func TestServeMalformed(t *testing.T) {
	tests := map[string][]byte{
		"no frame":   framed(nil),
		"a response": mux.Encode(&wire.Frame{Id: 1, Response: new(wire.Response)}),
		"a push":     mux.Encode(&wire.Frame{Push: pushing(1, 1)}),
	}
	for name, msg := range malformed {
		if name != "good, then bad" {
			tests[name] = msg
		}
	}
	for name, msg := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStream()
				peer := mux.NewPeer(s)
				go func() { s.in <- append(slices.Clone(msg), framed(request)...) }()
				err := peer.Serve(func(uint64, *wire.Request) { t.Error("a request was handled") })
				if !errors.Is(err, mux.ErrMalformed) || s.status != mux.StatusProtocolError {
					t.Errorf("got %v and the status %d, want mux.ErrMalformed and %d", err, s.status, mux.StatusProtocolError)
				}
			})
		})
	}
}

// How a stream fails decides how it is closed.
func TestServeEnds(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("stream: %w", mux.ErrText), mux.StatusUnsupportedData},
		{net.ErrClosed, 0},
	} {
		t.Run(test.err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStream()
				s.readErr = test.err
				if err := mux.NewPeer(s).Serve(nil); !errors.Is(err, test.err) || s.status != test.status {
					t.Errorf("got %v and the status %d, want %v and %d", err, s.status, test.err, test.status)
				}
			})
		})
	}
}

// A stranger may send little, until the backend trusts it.
func TestTrust(t *testing.T) {
	fields := strings.Repeat("x", 100) // long enough for the frame to be counted
	many := framed(append(field(15, []byte(fields)), slices.Repeat(request, 400)...))
	serve(t, func(t *testing.T, s *stream, peer *mux.Peer, served <-chan error) {
		s.in <- many
		if err := <-served; !errors.Is(err, mux.ErrMalformed) {
			t.Errorf("before Trust: got %v, want mux.ErrMalformed", err)
		}
	})
	serve(t, func(t *testing.T, s *stream, peer *mux.Peer, served <-chan error) {
		peer.Trust()
		if got := s.readLimit.Load(); got != int64(mux.ToServer.Message) {
			t.Errorf("got a read limit of %d, want %d", got, mux.ToServer.Message)
		}
		s.in <- many
		if frames := decode(t, <-s.out); len(frames) != 1 {
			t.Errorf("after Trust: got %d answers, want 1", len(frames))
		}
	})
}

// Close comes behind what was sent, at once for those who call it, and once.
func TestPeerClose(t *testing.T) {
	serve(t, func(t *testing.T, s *stream, peer *mux.Peer, served <-chan error) {
		const pushes = 100
		for n := range pushes {
			if err := peer.Push(pushing(n, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		peer.Close(4409, "kicked out")
		for range 10 {
			all.Go(func() { peer.Close(1001, "going away") })
		}
		all.Wait()
		if err := peer.Push(pushing(0, 0)); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Push after Close: got %v, want transport.ErrClosed", err)
		}
		if err := peer.Reply(1, new(wire.Response)); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Reply after Close: got %v, want transport.ErrClosed", err)
		}
		var got []*wire.Frame
		for len(got) < pushes {
			select {
			case msg := <-s.out:
				got = append(got, decode(t, msg)...)
			case <-s.closed:
				t.Fatalf("closed after %d pushes, want %d", len(got), pushes)
			}
		}
		<-served
		if s.status != 4409 {
			t.Errorf("got the status %d, want the first, 4409", s.status)
		}
	})
}

// A backend may close in the handler: the answer and the status go out.
func TestPeerCloseInHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		peer := mux.NewPeer(s)
		served := make(chan error, 1)
		go func() {
			served <- peer.Serve(func(id uint64, _ *wire.Request) {
				peer.Reply(id, new(wire.Response))
				peer.Close(4401, "login refused")
			})
		}()
		s.in <- mux.Encode(&wire.Frame{Id: 1, Request: sending("a")})
		if frames := decode(t, <-s.out); len(frames) != 1 || frames[0].Response == nil {
			t.Errorf("got %v, want the answer", frames)
		}
		<-served
		if s.status != 4401 {
			t.Errorf("got the status %d, want 4401", s.status)
		}
	})
}

// Close also ends when the other side stops taking what was sent.
func TestPeerCloseStuck(t *testing.T) {
	serve(t, func(t *testing.T, s *stream, peer *mux.Peer, served <-chan error) {
		for n := range 10 {
			peer.Push(pushing(n, 100_000))
		}
		peer.Close(1001, "going away")
		synctest.Wait()
		s.Close(0, "") // as the stream does by itself after a time
		<-served
	})
}

// A stream that can't be written to is over.
func TestPeerWriteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		s.writeErr = errors.New("broken pipe")
		peer := mux.NewPeer(s)
		served := make(chan error, 1)
		go func() { served <- peer.Serve(nil) }()
		for range 3 {
			if err := peer.Push(pushing(1, 1)); err != nil && !errors.Is(err, s.writeErr) {
				t.Errorf("Push: got %v, want %v", err, s.writeErr)
			}
			synctest.Wait()
		}
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: got %v, want net.ErrClosed", err)
		}
		if err := peer.Push(pushing(1, 1)); !errors.Is(err, s.writeErr) {
			t.Errorf("Push: got %v, want %v", err, s.writeErr)
		}
	})
}

// Pushes carry no ID, whatever else goes through the process.
func TestPushHasNoID(t *testing.T) {
	inBubble(t, func(t *testing.T, client *stream, conn *mux.Conn) {
		s := newStream()
		peer := mux.NewPeer(s)
		for range 100 {
			conn.Start(sending("a"), func(*wire.Response, error) {})
			<-client.out
			peer.Push(pushing(1, 1))
			if f := decode(t, <-s.out)[0]; f.Id != 0 {
				t.Fatalf("got a push with the ID %d", f.Id)
			}
		}
		s.Close(0, "")
		peer.Serve(nil)
	})
}

// Requests, pushes and Close from many goroutines at once.
func TestPeerConcurrent(t *testing.T) {
	for range 50 {
		serve(t, func(t *testing.T, s *stream, peer *mux.Peer, served <-chan error) {
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() { peer.Push(pushing(1, 10)) })
				all.Go(func() { peer.Reply(1, new(wire.Response)) })
			}
			all.Go(func() { peer.Close(1001, "going away") })
			all.Go(peer.Trust)
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				for {
					select {
					case <-s.out:
					case <-s.closed:
						return
					}
				}
			}()
			all.Wait()
			<-served
			<-drained
		})
	}
}
