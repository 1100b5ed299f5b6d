package wsstream_test

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/internal/wsstream"
)

func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		done := make(chan struct{})
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"zim.v1"}})
			if err != nil {
				t.Error(err)
				return
			}
			s := wsstream.New(c, 100, 35*time.Second)
			go func() { time.Sleep(10 * time.Second); s.Close(4408, "x"); t.Log("close returned"); close(done) }()
			t.Log(s.ReadMessage(func([]byte) error { return nil }))
		})}
		go srv.Serve(l)
		defer srv.Close()
		raw, _ := l.DialContext(t.Context(), "", "")
		defer raw.Close()
		go func() {
			buf := make([]byte, 4096)
			n, _ := raw.Read(buf)
			t.Logf("%q", buf[:n])
			n, _ = raw.Read(buf)
			t.Logf("%q", buf[:n])
			// now a data frame header with 1000 bytes announced
			raw.(net.Conn).Write([]byte{0x82, 0x80 | 90, 1, 2, 3, 4})
			for {
				_, err := raw.Read(buf)
				if err != nil {
					t.Log("client:", err)
					return
				}
			}
		}()
		raw.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: zim.v1\r\n\r\n"))
		select {
		case <-done:
			t.Log("done")
		case <-time.After(time.Hour):
			t.Error("hangs for an hour")
		}
	})
}
