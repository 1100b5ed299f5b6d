package websocket_test

import (
	"bufio"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/websocket"
	"github.com/zim-go/zim/wire"
)

// Whatever bytes a server sends after the handshake: the Conn ends when the server does, everybody who waits learns of it, and Close does
// not wait.
func FuzzServer(f *testing.F) {
	for _, b := range [][]byte{
		nil, {binaryFrame}, {binaryFrame, 0}, {binaryFrame, 2, 0, 0}, {binaryFrame, 2, 1, 0xff}, {textFrame, 1, '{'}, {0x02, 1, 0, 0x80, 1, 0},
		{0x88, 0}, {0x88, 2, 3, 0xe8}, {0x88, 5, 3, 0xe8, 0xff, 'x', 'y'}, {0x89, 1, 'x'}, {0x8a, 0}, {0x83, 0}, {binaryFrame | 0x40, 1, 0},
		{binaryFrame, 126, 0, 1, 0}, {binaryFrame, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, {binaryFrame, 0x81, 1, 2, 3, 4, 5},
		{binaryFrame, 6, 5, 0x08, 1, 0x1a, 1, 0}, {binaryFrame, 4, 3, 0x22, 1, 0x0a, binaryFrame, 3, 2, 0x22, 0},
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			conn, err := serveRaw(t, subprotocol, func(conn net.Conn, r *bufio.Reader) {
				go discard(conn, r)
				conn.SetWriteDeadline(time.Now().Add(time.Minute))
				conn.Write(b)
				time.Sleep(time.Second)
			}).Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			answered := make(chan error, 1)
			conn.(transport.Pipeline).Start(&wire.Request{}, func(_ *wire.Response, err error) { answered <- err })
			pushes := 0
			for {
				push, err := conn.Receive(t.Context())
				if err != nil {
					break
				}
				if pushes++; push == nil || pushes > len(b) {
					t.Fatalf("%d bytes made %d pushes, the last is %v", len(b), pushes, push)
				}
			}
			<-answered
			start := time.Now()
			conn.Close()
			if took := time.Since(start); took > 0 {
				t.Errorf("Close took %v", took)
			}
		})
	})
}

// What is secret in an address shows in no error, whatever the address is.
func FuzzURL(f *testing.F) {
	for _, s := range [][2]string{
		{"wss://im.example.com/v1?token=", ""}, {"ws://u:", "@im.example.com/v1"}, {"wss://", ":@x/v1"}, {"https://im.example.com/?", ""}, {"wss://x/v1#", ""},
		{"wss://[::1", "/"}, {"%zz", ""}, {"wss://x:port/", ""}, {"wss://x/\x7f?", ""}, {"", "://x"}, {"ws://localhost/v1?k=", "&%"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "c4n4ry"
		address := before + secret + after
		if u, err := url.Parse(address); err == nil && (strings.Contains(u.Host, secret) || strings.Contains(u.Scheme, secret)) {
			return // where it goes is no secret
		}
		client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: 403, Status: "403 " + address, Header: http.Header{"X-Reason": {r.URL.String()}}, Body: http.NoBody, Request: r,
			}, nil
		})}
		conn, err := websocket.Dialer{URL: address, HTTPClient: client}.Dial(t.Context())
		if err == nil {
			conn.Close()
			t.Fatal("it was dialed")
		}
		if strings.Contains(strings.ToLower(err.Error()), secret) {
			t.Errorf("%q: got %q", address, err)
		}
	})
}
