package wsstream_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/internal/wsstream"
)

const (
	limit   = 100
	silence = 35 * time.Second
)

// serve accepts streams, in memory, until the test ends. Each is closed when handle returns.
func serve(t *testing.T, handle func(s *wsstream.Stream)) *memnet.Listener {
	t.Helper()
	l := memnet.Listen()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := wsstream.Accept(w, r, websocket.AcceptOptions{}, limit, silence)
		if err != nil {
			return
		}
		defer s.Close(0, "")
		handle(s)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return l
}

// dial returns the client's end of a stream, and the WebSocket under it.
func dial(t *testing.T, l *memnet.Listener) (*wsstream.Stream, *websocket.Conn) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true}}
	conn, _, err := websocket.Dial(t.Context(), "ws://localhost", &websocket.DialOptions{
		HTTPClient:   client,
		Subprotocols: []string{wsstream.Subprotocol},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := wsstream.New(conn, limit, 0)
	t.Cleanup(func() { s.Close(0, "") })
	return s, conn
}

// upgrade makes a WebSocket by hand. header is what the handshake has beside the usual.
func upgrade(t *testing.T, l *memnet.Listener, header string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := l.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s\r\n", header)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, r, resp
}

const subprotocol = "Sec-WebSocket-Protocol: zim.v1\r\n"

// frame returns the beginning of a client's frame: its header says that size bytes follow.
func frame(first byte, size byte, payload string) []byte {
	return append([]byte{first, 0x80 | size, 0, 0, 0, 0}, payload...) // a mask of zeros changes nothing
}

const (
	binaryFrame = 0x82
	textFrame   = 0x81
)

// closeStatus reads frames until the server's close frame and returns its status.
func closeStatus(t *testing.T, r *bufio.Reader) int {
	t.Helper()
	for {
		var header [2]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			t.Fatalf("got %v, want a close frame", err)
		}
		payload := make([]byte, header[1])
		if _, err := io.ReadFull(r, payload); err != nil {
			t.Fatalf("got %v, want a close frame", err)
		}
		if header[0] == 0x88 {
			return int(payload[0])<<8 | int(payload[1])
		}
	}
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, func(s *wsstream.Stream) {
			s.SetReadLimit(1 << 20)
			for {
				if s.ReadMessage(func(msg []byte) error { return s.WriteMessage(msg) }) != nil {
					return
				}
			}
		})
		s, _ := dial(t, l)
		s.SetReadLimit(1 << 20)
		for _, size := range []int{0, 1, 125, 126, 4096, 4097, 65_535, 65_536, 200_000, 1 << 20, 3} {
			msg := bytes.Repeat([]byte{byte(size)}, size)
			if err := s.WriteMessage(msg); err != nil {
				t.Fatal(err)
			}
			err := s.ReadMessage(func(got []byte) error {
				if !bytes.Equal(got, msg) {
					t.Errorf("got %d other bytes, want %d", len(got), size)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What use returns is what ReadMessage returns, and the stream goes on.
func TestUseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, func(s *wsstream.Stream) {
			for range 2 {
				s.WriteMessage([]byte("hi"))
			}
			s.ReadMessage(func([]byte) error { return nil })
		})
		s, _ := dial(t, l)
		bad := errors.New("bad")
		if err := s.ReadMessage(func([]byte) error { return bad }); err != bad {
			t.Errorf("got %v, want %v", err, bad)
		}
		if err := s.ReadMessage(func([]byte) error { return nil }); err != nil {
			t.Errorf("the next message: %v", err)
		}
	})
}

func TestReadLimit(t *testing.T) {
	for _, size := range []int{limit, limit + 1, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				read := make(chan error, 1)
				l := serve(t, func(s *wsstream.Stream) {
					read <- s.ReadMessage(func([]byte) error { return nil })
				})
				_, conn := dial(t, l)
				go conn.Write(t.Context(), websocket.MessageBinary, make([]byte, size))
				if size <= limit {
					if err := <-read; err != nil {
						t.Errorf("got %v for a message of the allowed size", err)
					}
					return
				}
				if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
					t.Errorf("got %v, want the status %v", err, websocket.StatusMessageTooBig)
				}
				if err := <-read; err == nil {
					t.Error("ReadMessage: got no error")
				}
			})
		})
	}
}

// What is wrong with a message is reported, and it is the owner who closes the stream for it.
func TestBadMessage(t *testing.T) {
	for _, test := range []struct {
		name   string
		typ    websocket.MessageType
		msg    string
		err    error
		status websocket.StatusCode
	}{
		{"text", websocket.MessageText, `{"id":1}`, mux.ErrText, websocket.StatusUnsupportedData},
		{"no frame", websocket.MessageBinary, "\xff", mux.ErrMalformed, websocket.StatusProtocolError},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				served := make(chan error, 1)
				l := serve(t, func(s *wsstream.Stream) { served <- mux.NewPeer(s).Serve(nil) })
				_, conn := dial(t, l)
				if err := conn.Write(t.Context(), test.typ, []byte(test.msg)); err != nil {
					t.Fatal(err)
				}
				if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != test.status {
					t.Errorf("got %v, want the status %v", err, test.status)
				}
				if err := <-served; !errors.Is(err, test.err) {
					t.Errorf("Serve: got %v, want %v", err, test.err)
				}
			})
		})
	}
}

// Silence is known from other ends of a stream, also in the middle of a message.
func TestSilence(t *testing.T) {
	tests := map[string][]byte{
		"nothing":        nil,
		"after messages": nil,
		"half a header":  {binaryFrame},
		"half a message": frame(binaryFrame, 90, "hello"),
	}
	for name, last := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 1)
				l := serve(t, func(s *wsstream.Stream) {
					var err error
					for err == nil {
						err = s.ReadMessage(func([]byte) error { return nil })
					}
					ended <- err
				})
				conn, _, _ := upgrade(t, l, subprotocol)
				start := time.Now()
				if name == "after messages" {
					for range 10 {
						conn.Write(frame(binaryFrame, 2, "hi"))
						time.Sleep(silence - time.Second)
					}
					start = start.Add(9 * (silence - time.Second))
				}
				go conn.Write(last)
				err := <-ended
				if took := time.Since(start); !errors.Is(err, wsstream.ErrSilent) || took < silence || took > 2*silence {
					t.Errorf("got %v after %v, want wsstream.ErrSilent after %v", err, took, silence)
				}
			})
		})
	}
}

// The other side has ten seconds to take a message.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		written := make(chan error, 1)
		l := serve(t, func(s *wsstream.Stream) {
			var err error
			for err == nil {
				err = s.WriteMessage(make([]byte, 10_000))
			}
			written <- err
			if err := s.WriteMessage([]byte("late")); err == nil {
				t.Error("a write after the timeout: got no error")
			}
		})
		start := time.Now()
		upgrade(t, l, subprotocol)
		<-written
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("the write took %v, want 10s", took)
		}
	})
}

// Close ends within seconds, whatever the other side does instead of answering.
func TestCloseIsBounded(t *testing.T) {
	rude := map[string]func(conn net.Conn){
		"says nothing":                     func(net.Conn) {},
		"begins a message and stops":       func(conn net.Conn) { conn.Write(frame(binaryFrame, 90, "")) },
		"begins a text and stops":          func(conn net.Conn) { conn.Write(frame(textFrame, 90, "hello")) },
		"announces 2^62 bytes and stops":   func(conn net.Conn) { conn.Write([]byte{binaryFrame, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) },
		"sends a byte every second":        func(conn net.Conn) { trickle(conn, 90) },
		"sends fragments without end":      func(conn net.Conn) { flood(conn, frame(0, 1, "x")) },
		"sends empty messages without end": func(conn net.Conn) { flood(conn, frame(binaryFrame, 0, "")) },
		"sends pings without end":          func(conn net.Conn) { flood(conn, frame(0x89, 0, "")) },
	}
	for name, f := range rude {
		for _, reading := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/reading=%v", name, reading), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					closed := make(chan time.Duration, 1)
					l := serve(t, func(s *wsstream.Stream) {
						read := make(chan struct{})
						go func() {
							defer close(read)
							for reading && s.ReadMessage(func([]byte) error { return nil }) == nil {
							}
						}()
						time.Sleep(10 * time.Second)
						start := time.Now()
						s.Close(4408, "no login came")
						<-read
						closed <- time.Since(start)
					})
					conn, r, _ := upgrade(t, l, subprotocol)
					var client sync.WaitGroup
					client.Go(func() { io.Copy(io.Discard, r) })
					client.Go(func() {
						time.Sleep(11 * time.Second)
						f(conn)
					})
					select {
					case took := <-closed:
						if took > 10*time.Second {
							t.Errorf("Close took %v", took)
						}
					case <-time.After(time.Hour):
						t.Error("Close did not end")
					}
					conn.Close()
					client.Wait()
				})
			})
		}
	}
}

func trickle(conn net.Conn, size byte) {
	conn.Write(frame(binaryFrame, size, ""))
	for range size - 1 {
		time.Sleep(time.Second)
		if _, err := conn.Write([]byte("x")); err != nil {
			return
		}
	}
}

func flood(conn net.Conn, b []byte) {
	for {
		if _, err := conn.Write(b); err != nil {
			return
		}
		time.Sleep(time.Millisecond) // or no time passes in the bubble
	}
}

func TestCloseStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, func(s *wsstream.Stream) {
			s.WriteMessage([]byte("the end"))
			s.Close(4409, "kicked out")
			s.Close(1001, "going away")
		})
		s, _ := dial(t, l)
		if err := s.ReadMessage(func([]byte) error { return nil }); err != nil {
			t.Errorf("the message before the close: %v", err)
		}
		err := s.ReadMessage(func([]byte) error { return nil })
		if got := websocket.CloseStatus(err); got != 4409 || !strings.Contains(err.Error(), "kicked out") {
			t.Errorf("got %v, want the status 4409 and its reason", err)
		}
	})
}

// Close unblocks the other methods.
func TestCloseUnblocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		l := serve(t, func(s *wsstream.Stream) {
			defer close(over)
			read, written := make(chan error, 1), make(chan error, 1)
			go func() { read <- s.ReadMessage(func([]byte) error { return nil }) }()
			go func() { written <- s.WriteMessage(make([]byte, 10_000)) }()
			synctest.Wait()
			start := time.Now()
			s.Close(0, "")
			if r, w := <-read, <-written; r == nil || w == nil {
				t.Errorf("got %v for the read and %v for the write, want errors", r, w)
			}
			if took := time.Since(start); took > 0 {
				t.Errorf("Close took %v", took)
			}
		})
		upgrade(t, l, subprotocol) // and reads nothing
		<-over
	})
}

// Whoever does not speak the protocol is told so, and can't stay.
func TestSubprotocol(t *testing.T) {
	for name, header := range map[string]string{"none": "", "another": "Sec-WebSocket-Protocol: zim.v2\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := serve(t, func(*wsstream.Stream) { t.Error("got a stream") })
				conn, r, _ := upgrade(t, l, header)
				if got := closeStatus(t, r); got != 1008 {
					t.Errorf("got the status %d, want 1008", got)
				}
				conn.Write(frame(binaryFrame, 90, ""))
				start := time.Now()
				if _, err := r.ReadByte(); err == nil || time.Since(start) > 10*time.Second {
					t.Errorf("got %v after %v, want the end of the connection", err, time.Since(start))
				}
			})
		})
	}
}

// Compression isn't negotiated, and not accepted.
func TestNoCompression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, func(s *wsstream.Stream) {
			if err := s.ReadMessage(func([]byte) error { return nil }); err == nil {
				t.Error("a compressed message was read")
			}
		})
		conn, r, resp := upgrade(t, l, subprotocol+"Sec-WebSocket-Extensions: permessage-deflate\r\n")
		if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("got the extension %q, want none", got)
		}
		go conn.Write(frame(binaryFrame|0x40, 3, "xyz"))
		if got := closeStatus(t, r); got != 1002 {
			t.Errorf("got the status %d, want 1002", got)
		}
	})
}

// Not every request is one for a WebSocket.
func TestAcceptRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, func(*wsstream.Stream) { t.Error("got a stream") })
		client := &http.Client{Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true}}
		resp, err := client.Get("http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("got %s, want %d", resp.Status, http.StatusUpgradeRequired)
		}
	})
}
