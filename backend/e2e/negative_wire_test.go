package e2e_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport/websocket"
	"github.com/zim-go/zim/wire"
)

func TestNegativeHandshake(t *testing.T) {
	t.Run("N01/silence after connecting", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			conn := h.connect(t)
			start := time.Now()
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("got %v, want %v", err, io.EOF)
			}
			if took := time.Since(start); took != 5*time.Second {
				t.Errorf("closed after %v, want 5s", took)
			}
		})
	})
	t.Run("N02/slow headers", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			var dribbling sync.WaitGroup
			for range 200 {
				conn := h.connect(t)
				start := time.Now()
				go io.Copy(io.Discard, conn)
				dribbling.Go(func() {
					for _, c := range []byte("GET /v1 HTTP/1.1\r\nHost: zim.test") {
						if _, err := conn.Write([]byte{c}); err != nil {
							break
						}
						time.Sleep(4 * time.Second)
					}
					if took := time.Since(start); took > 10*time.Second {
						t.Errorf("the server read for %v, want no more than 10s", took)
					}
				})
			}
			time.Sleep(time.Second)
			start := time.Now()
			h.login(t, "alice")
			if took := time.Since(start); took >= time.Second {
				t.Errorf("a login meanwhile took %v", took)
			}
			dribbling.Wait()
		})
	})
	t.Run("N03/silence after the handshake", func(t *testing.T) {
		hostile(t, zimtest.Options{Config: preLogin(1, 1)}, func(t *testing.T, h *host) {
			c := h.dial(t)
			start := time.Now()
			c.wantStatus(4408)
			if took := time.Since(start); took != 10*time.Second {
				t.Errorf("closed after %v, want 10s", took)
			}
			synctest.Wait()
			h.login(t, "alice") // the place is free again
		})
	})
	t.Run("N11/origins", func(t *testing.T) {
		for origin, want := range map[string]int{
			"":                                     101,
			"Origin: http://zim.test":              101,
			"Origin: https://zim.test":             101, // TLS may have ended before the server
			"Origin: https://app.example.com":      101, // a configured one
			"Origin: https://evil.example":         403,
			"Origin: https://zim.test.evil.com":    403,
			"Origin: https://evil-zim.test":        403,
			"Origin: https://zim.test:8443":        403,
			"Origin: https://app.example.com.evil": 403,
			"Origin: null":                         403,
			"Origin: file://":                      403,
			"Origin: https://zim.test@evil.com":    403,
		} {
			t.Run(origin, func(t *testing.T) {
				config := func(c *backend.Config) { c.Origins = []string{"app.example.com"} }
				hostile(t, zimtest.Options{Config: config}, func(t *testing.T, h *host) {
					lines := []string{origin}
					if origin == "" {
						lines = nil
					}
					if _, resp := h.open(t, "192.0.2.1", lines...); resp.StatusCode != want {
						t.Errorf("got %s, want %d", resp.Status, want)
					}
				})
			})
		}
	})
	t.Run("N12/cookies", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			tok := h.srv.Token("carol")
			c, resp := h.open(t, "192.0.2.1", "Cookie: token="+tok+"; user_id=carol", "Authorization: Bearer "+tok)
			if resp.StatusCode != 101 || len(resp.Cookies()) != 0 {
				t.Errorf("got %s and %d cookies, want 101 and none", resp.Status, len(resp.Cookies()))
			}
			c.wantRefused(textTo("bob", 0, "hello"), 6000121)
			c.wantStatus(1008)
		})
	})
	t.Run("no subprotocol", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.plain(t, "GET /v1 HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: chat")
			// The other end hears of it, and does not answer.
			time.Sleep(10 * time.Second)
		})
	})
	t.Run("no WebSocket", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			answer := h.plain(t, "POST /v1 HTTP/1.1", "Content-Length: 0")
			if !bytes.HasPrefix(answer, []byte("HTTP/1.1 426 ")) && !bytes.HasPrefix(answer, []byte("HTTP/1.1 405 ")) {
				t.Errorf("got %.40q, want 426 or 405", answer)
			}
		})
	})
}

// plain sends the lines of a request, and returns how the answer begins. The connection stays until the test ends.
func (h *host) plain(t *testing.T, lines ...string) []byte {
	t.Helper()
	conn, err := h.listener.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go io.WriteString(conn, strings.Join(append(lines, "Host: zim.test", "Test-Address: 192.0.2.1:1"), "\r\n")+"\r\n\r\n")
	answer := make([]byte, 40)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, conn)
	return answer
}

// connect returns a connection to zimtest's own http.Server.
func (h *host) connect(t *testing.T) net.Conn {
	t.Helper()
	client := h.srv.WebSocket().(websocket.Dialer).HTTPClient
	conn, err := client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// preLogin limits the connections that have not logged in.
func preLogin(total, each int) func(*backend.Config) {
	return func(c *backend.Config) { c.MaxPreLogin, c.MaxPreLoginPerAddress = total, each }
}

// N04: whoever has not logged in takes places from others who have not, up to a bound, and from nobody else.
func TestNegativePreLoginCaps(t *testing.T) {
	wantOpen := func(t *testing.T, h *host, address string, want int) *rawConn {
		t.Helper()
		c, resp := h.open(t, address)
		if resp.StatusCode != want {
			t.Errorf("%s: got %s, want %d", address, resp.Status, want)
		}
		if got := resp.Header.Get("Retry-After"); (got != "") != (want == 503) {
			t.Errorf("%s: got %s with Retry-After %q", address, resp.Status, got)
		}
		return c
	}
	t.Run("N04/per address", func(t *testing.T) {
		hostile(t, zimtest.Options{Config: preLogin(100, 2)}, func(t *testing.T, h *host) {
			for range 3 { // those who are logged in don't count
				c := wantOpen(t, h, "192.0.2.1", 101)
				if resp := c.call(loginRequest(h.srv, "alice")); resp.GetLogin() == nil {
					t.Errorf("got %v, want a login", resp)
				}
			}
			wantOpen(t, h, "192.0.2.1", 101)
			second := wantOpen(t, h, "192.0.2.1", 101)
			wantOpen(t, h, "192.0.2.1", 503)
			wantOpen(t, h, "192.0.2.2", 101)
			wantOpen(t, h, "[2001:db8::1]", 101)
			second.conn.Close()
			synctest.Wait()
			wantOpen(t, h, "192.0.2.1", 101)
			wantOpen(t, h, "192.0.2.1", 503)
		})
	})
	t.Run("N04/in all", func(t *testing.T) {
		hostile(t, zimtest.Options{Config: preLogin(3, 2)}, func(t *testing.T, h *host) {
			for i := range 3 {
				wantOpen(t, h, fmt.Sprint("192.0.2.", i), 101)
			}
			wantOpen(t, h, "192.0.2.9", 503)
			time.Sleep(20 * time.Second)
			wantOpen(t, h, "192.0.2.9", 101)
		})
	})
	t.Run("N04/all at once", func(t *testing.T) {
		const each = 5
		hostile(t, zimtest.Options{Config: preLogin(100, each)}, func(t *testing.T, h *host) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			got := map[int]int{}
			for range 100 {
				wg.Go(func() {
					_, resp := h.open(t, "192.0.2.1")
					mu.Lock()
					defer mu.Unlock()
					got[resp.StatusCode]++
				})
			}
			wg.Wait()
			if got[101] != each || got[503] != 100-each {
				t.Errorf("got %v, want 101 for %d and 503 for the others", got, each)
			}
		})
	})
	t.Run("N04/another subprotocol", func(t *testing.T) {
		hostile(t, zimtest.Options{Config: preLogin(100, 2)}, func(t *testing.T, h *host) {
			upgraded := 0
			for range 20 {
				if c := h.plain(t, "GET /v1 HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
					"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="); bytes.HasPrefix(c, []byte("HTTP/1.1 101 ")) {
					upgraded++
				}
			}
			if upgraded > 2 {
				t.Errorf("%d connections of an address are there without a login, want no more than 2", upgraded)
			}
		})
	})
}

func TestNegativeBeforeLogin(t *testing.T) {
	for name, body := range map[string]any{
		"message":      textTo("bob", 0, "hello"),
		"heartbeat":    &wire.HeartbeatRequest{},
		"sync":         &wire.SyncRequest{After: &wire.Position{}},
		"renewal":      &wire.RenewTokenRequest{Token: "04"},
		"logout":       &wire.LogoutRequest{},
		"unknown kind": nil,
	} {
		t.Run("N05/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				c := h.dial(t)
				c.wantRefused(body, 6000121)
				c.wantStatus(1008)
			})
		})
	}
	t.Run("N05/login behind it", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.dial(t)
			c.send(delimited(c.request(&wire.HeartbeatRequest{}), c.request(loginRequest(h.srv, "mallory")), c.request(textTo("bob", 0, "hello"))))
			c.wantStatus(1008)
			if h.registered(t, "mallory") {
				t.Error("mallory is registered")
			}
		})
	})
	t.Run("N05/message in front of the login", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			c := h.dial(t)
			// Requests that come together are handled in their order: what comes behind a good login is welcome.
			c.send(delimited(c.request(loginRequest(h.srv, "alice")), c.request(textTo("bob", 0, "hello"))))
			if resp := c.answer(2); resp.GetSendMessage().GetMessageSeq() != 1 {
				t.Errorf("got %v, want message 1", resp)
			}
		})
	})
	for name, payload := range map[string][]byte{
		"response":           delimited(&wire.Frame{Id: 1, Response: &wire.Response{}}),
		"push":               delimited(&wire.Frame{Push: &wire.Push{}}),
		"no body":            delimited(&wire.Frame{Id: 1}),
		"zero bytes":         {0},
		"garbage":            bytes.Repeat([]byte{0xFF}, 100),
		"text":               []byte("GET / HTTP/1.1\r\n\r\n"),
		"cut short":          delimited(&wire.Frame{Id: 1, Request: &wire.Request{}})[:2],
		"length of 2^63":     binary.AppendUvarint(nil, 1<<63),
		"length of 2^64-1":   binary.AppendUvarint(nil, math.MaxUint64),
		"length without end": bytes.Repeat([]byte{0x80}, 20),
	} {
		t.Run("N05/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				c := h.dial(t)
				c.send(payload)
				c.wantStatus(1002)
				c = h.login(t, "alice")
				c.send(payload)
				c.wantStatus(1002)
			})
		})
	}
	t.Run("N05/empty message", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.dial(t)
			c.send(nil)
			if resp := c.call(loginRequest(h.srv, "alice")); resp.GetLogin() == nil {
				t.Errorf("got %v, want a login: an empty message has no frames", resp)
			}
		})
	})
}
