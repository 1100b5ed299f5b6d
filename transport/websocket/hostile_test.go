package websocket_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/websocket"
	"github.com/zim-go/zim/wire"
)

const subprotocol = "Sec-WebSocket-Protocol: zim.v1\r\n"

// serveRaw answers one handshake, with more header fields, and leaves the connection to script. It returns a Dialer
// for it.
func serveRaw(t *testing.T, header string, script func(conn net.Conn, r *bufio.Reader)) websocket.Dialer {
	t.Helper()
	l := memnet.Listen()
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Error(err)
			return
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
			base64.StdEncoding.EncodeToString(sum[:]), header)
		script(conn, r)
	}()
	t.Cleanup(func() {
		l.Close()
		<-served
	})
	return websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: &http.Client{Transport: &http.Transport{DialContext: l.DialContext}}}
}

// discard reads until the other side closes.
func discard(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }

func TestHandshakeRefused(t *testing.T) {
	for name, header := range map[string]string{
		"no subprotocol":      "",
		"another subprotocol": "Sec-WebSocket-Protocol: zim.v2\r\n",
		"almost the same":     "Sec-WebSocket-Protocol: ZIM.V1\r\n",
		"compression":         subprotocol + "Sec-WebSocket-Extensions: permessage-deflate\r\n",
		"other extension":     subprotocol + "Sec-WebSocket-Extensions: x-bzip2\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, err := serveRaw(t, header, discard).Dial(t.Context())
				if err == nil {
					conn.Close()
					t.Error("Dial: got no error")
				}
			})
		})
	}
}

// The text of a refusal is ours: a server can't write into logs with it.
func TestStatusText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		defer l.Close()
		go func() {
			conn, _ := l.Accept()
			defer conn.Close()
			http.ReadRequest(bufio.NewReader(conn))
			io.WriteString(conn, "HTTP/1.1 503 \x1b[31mlook here"+strings.Repeat("!", 1000)+"\r\nContent-Length: 0\r\n\r\n")
		}()
		client := &http.Client{Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true}}
		_, err := websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: client}.Dial(t.Context())
		if want := "websocket: the server answered 503 Service Unavailable"; err == nil || err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	})
}

// A frame's first byte: the last of its message, and what it is.
const (
	binaryFrame = 0x82
	textFrame   = 0x81
)

// What a hostile server does to a client that has nothing to say ends the Conn, and Close returns at once.
func TestHostileServer(t *testing.T) {
	stall := func(b ...byte) func(net.Conn, *bufio.Reader) {
		return func(conn net.Conn, r *bufio.Reader) {
			conn.Write(b)
			discard(conn, r)
		}
	}
	for _, test := range []struct {
		name   string
		script func(conn net.Conn, r *bufio.Reader)
		reason error // why the Conn ended, or nil
	}{
		{"text", stall(textFrame, 2, '{', '}'), transport.ErrProtocol},
		{"text that does not end", stall(textFrame, 100, '{'), transport.ErrProtocol},
		{"nonsense", stall(binaryFrame, 2, 0xff, 0xff), transport.ErrProtocol},
		{"compressed frame", stall(binaryFrame|0x40, 1, 0), nil},
		{"reserved opcode", stall(0x83, 0), nil},
		{"masked frame", stall(binaryFrame, 0x81, 0, 0, 0, 0, 0xff), nil},
		{"close without a word", stall(0x88, 0), nil},
		{"close with half a status", stall(0x88, 1, 3), nil},
		{"continuation of nothing", stall(0x80, 1, 0), nil},
		{"long ping", stall(0x89, 126, 0, 200), nil},
		{"hangs up", func(net.Conn, *bufio.Reader) {}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, err := serveRaw(t, subprotocol, test.script).Dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				push, err := conn.Receive(t.Context())
				if !errors.Is(err, transport.ErrClosed) || test.reason != nil && !errors.Is(err, test.reason) {
					t.Errorf("Receive: got %v, %v, want transport.ErrClosed because of %v", push, err, test.reason)
				}
				start := time.Now()
				conn.Close()
				if took := time.Since(start); took > 0 {
					t.Errorf("Close took %v", took)
				}
			})
		})
	}
}

// Whatever a server leaves unfinished: Close does not wait for it.
func TestCloseWhileServerStalls(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"half a header":  {binaryFrame},
		"half a message": {binaryFrame, 100, 'x'},
		"half a text":    {textFrame, 100, 'x'},
		"half a ping":    {0x89, 100, 'x'},
		"2^62 bytes":     {binaryFrame, 127, 0x40, 0, 0, 0, 0, 0, 0, 0, 'x'},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, err := serveRaw(t, subprotocol, func(conn net.Conn, r *bufio.Reader) {
					conn.Write(b)
					discard(conn, r)
				}).Dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				start := time.Now()
				conn.Close()
				if took := time.Since(start); took > 0 {
					t.Errorf("Close took %v", took)
				}
			})
		})
	}
}

// N83: a message that is too large is refused with the status 1009, long before it is there.
func TestOversizeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent, status := make(chan int, 1), make(chan []byte, 1)
		conn, err := serveRaw(t, subprotocol, func(conn net.Conn, r *bufio.Reader) {
			go func() {
				// The client's close frame: its header, its mask, and the status.
				frame := make([]byte, 8)
				io.ReadFull(r, frame)
				status <- []byte{frame[0], frame[6] ^ frame[2], frame[7] ^ frame[3]}
				discard(conn, r)
			}()
			conn.Write([]byte{binaryFrame, 127, 0, 0, 0, 0, 0x40, 0, 0, 0}) // 1 GiB
			n, chunk := 0, make([]byte, 1024)
			for {
				m, err := conn.Write(chunk)
				if n += m; err != nil {
					sent <- n
					return
				}
			}
		}).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if push, err := conn.Receive(t.Context()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Receive: got %v, %v, want transport.ErrClosed", push, err)
		}
		if got, want := <-status, []byte{0x88, 1009 >> 8, 1009 & 0xff}; string(got) != string(want) {
			t.Errorf("got the frame %x, want %x: a close with the status 1009", got, want)
		}
		// What the client reads ahead comes on top.
		if n := <-sent; n > 512<<10+16<<10 {
			t.Errorf("the client took %d bytes, want at most 512 KiB", n)
		}
	})
}

// A server that takes nothing is given up after ten seconds.
func TestServerTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		conn, err := serveRaw(t, subprotocol, func(net.Conn, *bufio.Reader) { <-over }).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		const requests = 10
		done := make(chan error, requests)
		for range requests {
			conn.(transport.Pipeline).Start(new(wire.Request), func(_ *wire.Response, err error) { done <- err })
		}
		for range requests {
			if err := <-done; !errors.Is(err, transport.ErrClosed) {
				t.Errorf("got %v, want transport.ErrClosed", err)
			}
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("got the errors after %v, want 10s", took)
		}
		if push, err := conn.Receive(t.Context()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Receive: got %v, %v, want transport.ErrClosed", push, err)
		}
	})
}
