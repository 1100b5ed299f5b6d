package e2e_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
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

// sized returns a heartbeat in a message of exactly that many bytes.
func (c *rawConn) sized(size int) (payload []byte, id uint64) {
	f := c.request(&wire.HeartbeatRequest{})
	for n := size - 20; ; n++ {
		f.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), make([]byte, n)))
		if payload = delimited(f); len(payload) >= size {
			return payload, f.Id
		}
	}
}

func TestNegativeSizes(t *testing.T) {
	t.Run("N07/8 KiB before the login", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.dial(t)
			c.id = 7
			req := c.request(loginRequest(h.srv, "alice"))
			for n := 8000; len(delimited(req)) < 8<<10; n++ {
				req.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), make([]byte, n-300)))
			}
			c.send(delimited(req))
			if resp := c.answer(req.Id); resp.GetLogin() == nil {
				t.Errorf("got %v, want a login", resp)
			}
		})
	})
	t.Run("N07/more than 8 KiB before the login", func(t *testing.T) {
		for _, size := range []int{8<<10 + 1, 9 << 10, 1 << 20} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
					c := h.dial(t)
					c.send(make([]byte, size))
					c.wantStatus(1009)
				})
			})
		}
	})
	t.Run("N07/not read to the end", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.dial(t)
			before := c.accepted()
			head := binary.BigEndian.AppendUint64([]byte{opBinary, 0x80 | 127}, 1<<40)
			c.out <- append(head, 0, 0, 0, 0)
			for range 200 {
				c.out <- make([]byte, 1<<10)
			}
			c.wantStatus(1009)
			// The limit, and what a buffered reader has read ahead.
			if got := c.accepted() - before; got > 8<<10+4<<10+1<<10 {
				t.Errorf("the server has read %d bytes", got)
			}
		})
	})
	t.Run("N08/64 KiB after the login", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			payload, id := c.sized(64 << 10)
			if len(payload) != 64<<10 {
				t.Fatalf("the message has %d bytes", len(payload))
			}
			c.send(payload)
			if resp := c.answer(id); resp.GetHeartbeat() == nil {
				t.Errorf("got %v, want a heartbeat", resp)
			}
		})
	})
	t.Run("N08/more than 64 KiB after the login", func(t *testing.T) {
		for _, size := range []int{64<<10 + 1, 1 << 20} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
					c := h.login(t, "alice")
					payload, _ := c.sized(size)
					payload = wsFrame(opBinary, payload)
					if got := allocated(func() {
						c.out <- payload
						c.wantStatus(1009)
					}); got > 512<<10 {
						t.Errorf("%d bytes were allocated", got)
					}
				})
			})
		}
	})
	t.Run("N09/endless fragments", func(t *testing.T) {
		for name, limit := range map[string]int{"before the login": 8 << 10, "after the login": 64 << 10} {
			t.Run(name, func(t *testing.T) {
				hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
					c := h.dial(t)
					if limit > 8<<10 {
						c = h.login(t, "alice")
					}
					before := c.accepted()
					var pieces []byte
					for range 1000 {
						pieces = append(pieces, wsFrame(opBinary-noFin-2, []byte{0})...)
					}
					c.out <- wsFrame(opBinary-noFin, []byte{0})
					for range 1000 {
						c.out <- pieces
					}
					c.wantStatus(1009)
					if got := (c.accepted() - before) / 7; got > limit+2000 {
						t.Errorf("the server has read %d fragments, want about %d", got, limit)
					}
				})
			})
		}
	})
	t.Run("N09/endless empty fragments", func(t *testing.T) {
		for name, test := range map[string]struct {
			user   string
			status int
			took   time.Duration
		}{
			"before the login": {"", 4408, 10 * time.Second},
			"after the login":  {"alice", 0, 35 * time.Second},
		} {
			t.Run(name, func(t *testing.T) {
				hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
					c := h.dial(t)
					if test.user != "" {
						c = h.login(t, test.user)
					}
					start := time.Now()
					c.out <- wsFrame(opBinary-noFin, nil)
					stop := make(chan struct{})
					go func() {
						for {
							select {
							case <-stop:
								return
							case <-time.After(100 * time.Millisecond):
								c.out <- wsFrame(opBinary-noFin-2, nil)
							}
						}
					}()
					c.wantStatus(test.status)
					close(stop)
					if took := time.Since(start); took != test.took {
						t.Errorf("closed after %v, want %v", took, test.took)
					}
					synctest.Wait()
				})
			})
		}
	})
}

// allocated returns how many bytes the process allocated during f.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestNegativeFraming(t *testing.T) {
	t.Run("N06/compression is not agreed on", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c, resp := h.open(t, "192.0.2.1", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
			if got := resp.Header.Values("Sec-WebSocket-Extensions"); resp.StatusCode != 101 || len(got) != 0 {
				t.Errorf("got %s and the extensions %v, want 101 and none", resp.Status, got)
			}
			if resp := c.call(loginRequest(h.srv, "alice")); resp.GetLogin() == nil {
				t.Errorf("got %v, want a login", resp)
			}
		})
	})
	length := func(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{opBinary, 0x80 | 127}, n) }
	for name, test := range map[string]struct {
		bytes []byte
		want  int // zero: the connection ends without a close frame
	}{
		"N06/compressed frame":           {wsFrame(opBinary|0x40, []byte{0xCA, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00}), 1002},
		"N10/length of 2^63":             {length(1 << 63), 0},
		"N10/length of 2^64-1":           {length(math.MaxUint64), 0},
		"N10/length of 2^63-1":           {append(length(math.MaxInt64), make([]byte, 70<<10)...), 1009},
		"N10/unmasked":                   {append([]byte{opBinary, 5}, "hello"...), 0},
		"N10/reserved opcode 3":          {wsFrame(0x83, nil), 1002},
		"N10/reserved opcode 15":         {wsFrame(0x8F, nil), 1002},
		"N10/reserved bit 2":             {wsFrame(opBinary|0x20, nil), 1002},
		"N10/reserved bit 3":             {wsFrame(opBinary|0x10, nil), 1002},
		"N10/close with one byte":        {wsFrame(opClose, []byte{3}), 1002},
		"N10/close with a reserved code": {wsFrame(opClose, []byte{1005 >> 8, 1005 & 0xFF}), 1002},
		"N10/close with no code":         {wsFrame(opClose, []byte{0, 0}), 1002},
		"N10/long ping":                  {wsFrame(opPing, make([]byte, 126)), 1002},
		"N10/fragmented ping":            {wsFrame(opPing-noFin, nil), 1002},
		"N10/continuation of nothing":    {wsFrame(opBinary-2, []byte("hello")), 1002},
		"N10/a message within another":   {append(wsFrame(opBinary-noFin, []byte("hello")), wsFrame(opBinary, nil)...), 1002},
		"N10/HTTP in place of frames":    {[]byte("GET / HTTP/1.1\r\nHost: zim.test\r\n\r\n"), 1002},
		"N10/TLS in place of frames":     {[]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03}, 1002},
		"N18/text":                       {wsFrame(opText, []byte(`{"login":{"user_id":"carol"}}`)), 1003},
	} {
		t.Run(name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				for _, c := range []*rawConn{h.dial(t), h.login(t, "alice")} {
					c.out <- test.bytes
					start := time.Now()
					c.wantStatus(test.want)
					if took := time.Since(start); took != 0 {
						t.Errorf("it took %v", took)
					}
				}
			})
		})
	}
	t.Run("N10/lengths longer than needed", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			f := c.request(&wire.HeartbeatRequest{})
			payload := delimited(f)
			c.out <- append(append(length(uint64(len(payload))), 0, 0, 0, 0), payload...)
			// The protocol asks the sender for the shortest form. Either answer does no harm.
			if resp := c.answer(f.Id); resp.GetHeartbeat() == nil && c.status != 1002 {
				t.Errorf("got %v and status %d, want a heartbeat or 1002", resp, c.status)
			}
		})
	})
	t.Run("N10/half a frame", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			c.out <- wsFrame(opBinary, make([]byte, 100))[:50]
			start := time.Now()
			c.wantStatus(0)
			if took := time.Since(start); took != 35*time.Second {
				t.Errorf("closed after %v, want 35s", took)
			}
		})
	})
	t.Run("N18/flood of pings", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			before := runtime.NumGoroutine()
			var pings []byte
			for range 1000 {
				pings = append(pings, wsFrame(opPing, []byte("ping"))...)
			}
			for range 5 {
				c.out <- pings
			}
			// The other side is told why, and doesn't answer.
			for c.pongs < 100 {
				if head, _, err := c.read(); err != nil || head != opPong {
					t.Fatalf("got %#x, %v, want a pong", head, err)
				}
				c.pongs++
			}
			if head, payload, err := c.read(); err != nil || head != opClose || binary.BigEndian.Uint16(payload) != 4429 {
				t.Fatalf("got %#x %q, %v, want the status 4429", head, payload, err)
			}
			synctest.Wait()
			if n := runtime.NumGoroutine() - before; n > 10 {
				t.Errorf("5000 pings made %d goroutines", n)
			}
			start := time.Now()
			if _, _, err := c.read(); err == nil {
				t.Error("there was more than a close")
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("closed after %v", took)
			}
		})
	})
	t.Run("N18/pings now and then", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			for range 30 {
				for range 10 {
					c.out <- wsFrame(opPing, []byte("ping"))
					if head, _, err := c.read(); err != nil || head != opPong {
						t.Fatalf("got %#x, %v, want a pong", head, err)
					}
				}
				time.Sleep(time.Second)
			}
			if resp := c.call(&wire.HeartbeatRequest{}); resp.GetHeartbeat() == nil {
				t.Errorf("got %v, want a heartbeat", resp)
			}
		})
	})
	t.Run("N18/pings are no sign of life", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			start := time.Now()
			go func() {
				for range 100 {
					time.Sleep(time.Second)
					c.out <- wsFrame(opPing, nil)
				}
			}()
			c.wantStatus(0)
			if took := time.Since(start); took != 35*time.Second {
				t.Errorf("closed after %v, want 35s", took)
			}
			time.Sleep(2 * time.Minute)
		})
	})
}

func TestNegativeProtobuf(t *testing.T) {
	// group returns n groups inside each other.
	group := func(n int, ended bool) []byte {
		b := bytes.Repeat(protowire.AppendTag(nil, 15, protowire.StartGroupType), n)
		if ended {
			b = append(b, bytes.Repeat(protowire.AppendTag(nil, 15, protowire.EndGroupType), n)...)
		}
		return b
	}
	nested := func(num protowire.Number, n int) (b []byte) {
		for range n {
			b = protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
		}
		return b
	}
	frame := func(b []byte) []byte { return protowire.AppendBytes(nil, b) }
	field := func(num protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
	}
	empty := func(num protowire.Number, n int) []byte { return bytes.Repeat(field(num, nil), n) }
	for name, test := range map[string]struct {
		payload []byte
		limit   uint64 // bytes that may be allocated
	}{
		"N13/5000 groups":              {frame(group(5000, true)), 256 << 10},
		"N13/5000 groups in a request": {frame(field(2, group(5000, true))), 256 << 10},
		"N13/20000 groups without end": {frame(group(20_000, false)), 256 << 10},
		"N13/20000 groups":             {frame(group(20_000, true)), 256 << 10},
		"N14/empty pushed messages":    {frame(field(4, empty(2, 30_000))), 1 << 20},
		"N14/empty events":             {frame(field(3, field(6, field(1, empty(3, 30_000))))), 1 << 20},
		"N14/empty fields":             {frame(empty(900, 20_000)), 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				c := h.login(t, "alice")
				if len(test.payload) > 64<<10 {
					t.Fatalf("the message has %d bytes", len(test.payload))
				}
				message := wsFrame(opBinary, test.payload)
				got := allocated(func() {
					c.out <- message
					c.next()
				})
				if got > test.limit {
					t.Errorf("%d bytes were allocated for %d", got, len(test.payload))
				}
				c.wantStatus(1002)
			})
		})
	}
	t.Run("N13/messages of unknown kind inside each other", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			b := nested(900, 10_000)
			c.send(frame(append(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 77), field(2, b)...)))
			if resp := c.answer(77); resp.GetError().GetCode() != 6000013 {
				t.Errorf("got %v, want the error 6000013: nobody looks inside", resp)
			}
		})
	})
	for name, content := range map[string][]byte{
		"N13/5000 groups in the content":              group(5000, false),
		"N13/20000 groups without end in the content": group(20_000, false),
		"N14/groups without end in the content":       group(60_000, false),
		"garbage content":                             bytes.Repeat([]byte{0xFF}, 1000),
		"content cut short":                           field(1, []byte("hello"))[:4],
		"empty content":                               nil,
		"content of another kind":                     field(2, []byte("hello")),
	} {
		t.Run(name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				c := h.login(t, "alice")
				for n, typ := range []int32{1, 2, 200} {
					m := textTo("bob", n, "")
					m.Type, m.Content = typ, content
					c.wantRefused(m, 6000001)
				}
			})
		})
	}
	t.Run("N15/unknown fields", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			c, bob := h.login(t, "alice"), h.login(t, "bob")
			m := textTo("bob", 0, "hello")
			plain := m.Content
			m.Content = append(field(99, make([]byte, 50<<10)), plain...)
			f := c.request(m)
			m.ProtoReflect().SetUnknown(field(99, make([]byte, 5<<10)))
			f.ProtoReflect().SetUnknown(field(99, make([]byte, 5<<10)))
			c.send(delimited(f))
			if resp := c.answer(f.Id); resp.GetSendMessage() == nil {
				t.Fatalf("got %v, want an acknowledgment", resp)
			}
			push := bob.next().GetPush()
			if push == nil || proto.Size(push) > 200 || !bytes.Equal(push.Events.Events[0].Message.Content, plain) {
				t.Errorf("bob got %d bytes: %.200v", proto.Size(push), push)
			}
			for name, e := range h.events(t, "bob") {
				if !bytes.Equal(e.Content, plain) {
					t.Errorf("event %v has a content of %d bytes, want %d", name, len(e.Content), len(plain))
				}
			}
			// It is the same message without them.
			if resp := c.call(textTo("bob", 0, "hello")); resp.GetSendMessage().GetMessageSeq() != 1 {
				t.Errorf("got %v, want message 1 again", resp)
			}
		})
	})
	t.Run("unknown kind of request", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			f := c.request(nil)
			f.Request.ProtoReflect().SetUnknown(field(100, []byte("something new")))
			c.send(delimited(f))
			if resp := c.answer(f.Id); resp.GetError().GetCode() != 6000013 {
				t.Errorf("got %v, want the error 6000013", resp)
			}
			if resp := c.call(&wire.HeartbeatRequest{}); resp.GetHeartbeat() == nil {
				t.Errorf("got %v, want a heartbeat: the connection stays", resp)
			}
		})
	})
	t.Run("two bodies", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			c := h.login(t, "alice")
			// The last one of a oneof counts.
			a, _ := proto.Marshal(c.request(&wire.LogoutRequest{}).Request)
			b, _ := proto.Marshal(c.request(textTo("bob", 0, "hello")).Request)
			c.send(frame(append(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 9), field(2, append(a, b...))...)))
			if resp := c.answer(9); resp.GetSendMessage() == nil {
				t.Errorf("got %v, want an acknowledgment", resp)
			}
		})
	})
	t.Run("the same frame ID twice", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			c.send(delimited(&wire.Frame{Id: 5, Request: c.request(&wire.HeartbeatRequest{}).Request}, &wire.Frame{Id: 5, Request: c.request(nil).Request}))
			first, second := c.answer(5), c.answer(5)
			if first.GetHeartbeat() == nil || second.GetError().GetCode() != 6000013 {
				t.Errorf("got %v and %v, want an answer to each", first, second)
			}
		})
	})
}

// events returns a user's feed.
func (h *host) events(t *testing.T, userID string) (list []store.Event) {
	t.Helper()
	err := h.store.View(t.Context(), func(tx *store.Tx) error {
		u, err := tx.User(zimtest.AppID, userID)
		if err != nil || u == nil {
			return errors.Join(err, fmt.Errorf("%s is %v", userID, u))
		}
		list, err = tx.Events(u, 0, 10_000, 1<<30)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestNegativeValues(t *testing.T) {
	// Bytes that are no UTF-8 can't be put into a message of the Go package; this one is put in their place.
	const placeholder = "~~PLACEHOLDER~~"
	for name, id := range map[string]string{
		"empty":          "",
		"33 bytes":       strings.Repeat("x", 33),
		"NUL":            "bob\x00",
		"bidi override":  "\u202ebob",
		"homoglyph":      "b\u043eb",
		"space behind":   "bob ",
		"space in front": " bob",
		"line break":     "bob\n",
		"slash":          "../bob",
		"quote":          "bob'--",
		"combining":      "bo\u0308b",
		"full width":     "ｂｏｂ",
	} {
		t.Run("N16/receiver/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				h.login(t, "alice").wantRefused(textTo(id, 0, "hello"), 6000001)
			})
		})
		t.Run("N42/user/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				req := loginRequest(h.srv, "bob")
				req.UserId = id
				c := h.dial(t)
				c.wantRefused(req, 6000001)
				c.wantStatus(4401)
				if h.registered(t, id) {
					t.Error("there is an account")
				}
			})
		})
	}
	for name, f := range map[string]func(c *rawConn) *wire.Frame{
		"receiver": func(c *rawConn) *wire.Frame { return c.request(textTo(placeholder, 0, "hello")) },
		"extended data": func(c *rawConn) *wire.Frame {
			m := textTo("bob", 0, "hello")
			m.ExtendedData = placeholder
			return c.request(m)
		},
		"token": func(c *rawConn) *wire.Frame { return c.request(&wire.RenewTokenRequest{Token: placeholder}) },
	} {
		t.Run("N16/no UTF-8/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				c := h.login(t, "alice")
				c.send(bytes.Replace(delimited(f(c)), []byte(placeholder), []byte("~~PLACEHOLDER~\xFF"), 1))
				c.wantStatus(1002)
			})
		})
	}
	t.Run("N16/no UTF-8/text", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			m := textTo("bob", 0, placeholder)
			m.Content = bytes.Replace(m.Content, []byte("~~"), []byte("\xC0\x80"), 1)
			c.wantRefused(m, 6000001)
		})
	})
	t.Run("N16/no UTF-8/custom status", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.dial(t)
			req := loginRequest(h.srv, "alice")
			req.CustomStatus = placeholder
			c.send(bytes.Replace(delimited(c.request(req)), []byte("~~"), []byte("\xFF~"), 1))
			c.wantStatus(1002)
			if h.registered(t, "alice") {
				t.Error("there is an account")
			}
		})
	})

	for name, test := range map[string]struct {
		change func(m *wire.SendMessageRequest)
		want   int32
	}{
		"priority -1":              {func(m *wire.SendMessageRequest) { m.Priority = -1 }, 6000001},
		"priority 4":               {func(m *wire.SendMessageRequest) { m.Priority = 4 }, 6000001},
		"priority 2^31-1":          {func(m *wire.SendMessageRequest) { m.Priority = math.MaxInt32 }, 6000001},
		"priority -2^31":           {func(m *wire.SendMessageRequest) { m.Priority = math.MinInt32 }, 6000001},
		"type 0":                   {func(m *wire.SendMessageRequest) { m.Type = 0 }, 6000013},
		"type 31":                  {func(m *wire.SendMessageRequest) { m.Type = 31 }, 6000013},
		"type -1":                  {func(m *wire.SendMessageRequest) { m.Type = -1 }, 6000013},
		"type 2^31-1":              {func(m *wire.SendMessageRequest) { m.Type = math.MaxInt32 }, 6000013},
		"room":                     {func(m *wire.SendMessageRequest) { m.ConversationType = 1 }, 6000013},
		"group":                    {func(m *wire.SendMessageRequest) { m.ConversationType = 2 }, 6000013},
		"conversation type -1":     {func(m *wire.SendMessageRequest) { m.ConversationType = -1 }, 6000013},
		"conversation type 2^31-1": {func(m *wire.SendMessageRequest) { m.ConversationType = math.MaxInt32 }, 6000013},
		"sub-type -1":              {customType(-1), 6000001},
		"sub-type 201":             {customType(201), 6000001},
		"sub-type 2^31-1":          {customType(math.MaxInt32), 6000001},
		"sub-type 2^32+1": {func(m *wire.SendMessageRequest) {
			m.Type = 200
			m.Content = protowire.AppendVarint(protowire.AppendTag(field1("hello"), 2, protowire.VarintType), 1<<31)
		}, 6000001},
		"no local ID":          {func(m *wire.SendMessageRequest) { m.LocalMessageId = nil }, 6000001},
		"local ID of 15 bytes": {func(m *wire.SendMessageRequest) { m.LocalMessageId = make([]byte, 15) }, 6000001},
		"local ID of 17 bytes": {func(m *wire.SendMessageRequest) { m.LocalMessageId = make([]byte, 17) }, 6000001},
		"local ID of 60 KiB":   {func(m *wire.SendMessageRequest) { m.LocalMessageId = make([]byte, 60<<10) }, 6000001},
	} {
		t.Run("N17/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				m := textTo("bob", 0, "hello")
				test.change(m)
				h.login(t, "alice").wantRefused(m, test.want)
			})
		})
	}
	for name, body := range map[string]any{
		"sync from nowhere":               &wire.SyncRequest{},
		"sync without limit and position": &wire.SyncRequest{Limit: -1},
	} {
		t.Run("N17/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				h.login(t, "alice").wantRefused(body, 6000001)
			})
		})
	}
	t.Run("N17/limits of a sync", func(t *testing.T) {
		hostile(t, zimtest.Options{App: unlimited}, func(t *testing.T, h *host) {
			const messages = 600
			h.stored = messages
			c := h.login(t, "alice")
			for i := range messages {
				c.call(textTo("bob", i, "hello"))
			}
			bob := h.login(t, "bob")
			for limit, want := range map[int32]int{0: 500, 1: 1, 499: 499, 1_000_000: 500, math.MaxInt32: 500, -1: 500, math.MinInt32: 500} {
				resp := bob.call(&wire.SyncRequest{After: &wire.Position{Epoch: h.store.Epoch()}, Limit: limit}).GetSync()
				if got := len(resp.GetEvents().GetEvents()); got != want {
					t.Errorf("limit %d: got %d events, want %d", limit, got, want)
				}
			}
		})
	})
	t.Run("N39/handled what is not there", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 3
			alice, bob := h.login(t, "alice"), h.login(t, "bob")
			alice.call(textTo("bob", 0, "hello"))
			for _, seq := range []uint64{math.MaxUint64, 1 << 63, 1 << 32, 1<<32 + 1} {
				resp := bob.call(&wire.HeartbeatRequest{Handled: &wire.Position{Epoch: h.store.Epoch(), Seq: seq}})
				if got := resp.GetHeartbeat().GetLast().GetSeq(); got != 1 {
					t.Errorf("handled %d: got %v, want the last event 1", seq, resp)
				}
			}
			bob.conn.Close()
			alice.call(textTo("bob", 1, "hello"))
			alice.call(textTo("bob", 2, "hello"))
			again := loginRequest(h.srv, "bob")
			again.InstanceId = instanceOf("another run")
			resp := h.dial(t).call(again).GetLogin()
			if resp.GetPosition().GetSeq() != 1 || resp.GetLast().GetSeq() != 3 {
				t.Errorf("got %v, want to start behind 1, up to 3", resp)
			}
		})
	})
	for name, change := range map[string]func(req *wire.LoginRequest){
		"user name of 257 bytes":    func(req *wire.LoginRequest) { req.UserName = strings.Repeat("x", 257) },
		"custom status of 65 bytes": func(req *wire.LoginRequest) { req.CustomStatus = strings.Repeat("x", 65) },
		"device of 65 bytes":        func(req *wire.LoginRequest) { req.DeviceId = strings.Repeat("x", 65) },
		"no instance":               func(req *wire.LoginRequest) { req.InstanceId = nil },
		"instance of 17 bytes":      func(req *wire.LoginRequest) { req.InstanceId = make([]byte, 17) },
	} {
		t.Run("N17/login/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				req := loginRequest(h.srv, "alice")
				change(req)
				c := h.dial(t)
				c.wantRefused(req, 6000001)
				c.wantStatus(4401)
				if h.registered(t, "alice") {
					t.Error("there is an account")
				}
			})
		})
	}
	for name, change := range map[string]func(req *wire.LoginRequest){
		"status for -2^63 seconds":  func(req *wire.LoginRequest) { req.CustomStatus, req.CustomStatusSeconds = "x", math.MinInt64 },
		"status for 2^63-1 seconds": func(req *wire.LoginRequest) { req.CustomStatus, req.CustomStatusSeconds = "x", math.MaxInt64 },
		"platform 77":               func(req *wire.LoginRequest) { req.Platform = 77 },
		"platform -2^31":            func(req *wire.LoginRequest) { req.Platform = math.MinInt32 },
		"position of 2^64-1": func(req *wire.LoginRequest) {
			req.Position = &wire.Position{Epoch: math.MaxUint64, Seq: math.MaxUint64}
		},
	} {
		t.Run("N17/harmless in a login/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				req := loginRequest(h.srv, "alice")
				change(req)
				resp := h.dial(t).call(req).GetLogin()
				if resp == nil || resp.GetPosition().GetSeq() != 0 || resp.GetPosition().GetEpoch() != h.store.Epoch() {
					t.Errorf("got %v, want a login at position 0", resp)
				}
			})
		})
	}
}

func field1(s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), s)
}

func customType(subType int32) func(m *wire.SendMessageRequest) {
	return func(m *wire.SendMessageRequest) {
		m.Type = 200
		m.Content, _ = proto.Marshal(&wire.CustomContent{Message: "hello", SubType: subType})
	}
}
