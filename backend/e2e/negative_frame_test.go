package e2e_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

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
