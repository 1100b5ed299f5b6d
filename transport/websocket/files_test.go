package websocket_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	coder "github.com/coder/websocket"

	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/internal/wsstream"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/websocket"
	"github.com/zim-go/zim/wire"
)

// The files are beside the WebSocket. What is secret in its address stays there.
func TestFiles(t *testing.T) {
	for url, want := range map[string]string{
		"wss://im.example.com/v1":                      "https://im.example.com/v1/media/x",
		"wss://im.example.com/v1/":                     "https://im.example.com/v1/media/x",
		"wss://im.example.com":                         "https://im.example.com/media/x",
		"wss://im.example.com/":                        "https://im.example.com/media/x",
		"wss://im.example.com:8443/a/b":                "https://im.example.com:8443/a/b/media/x",
		"wss://im.example.com/a%2Fb/v1":                "https://im.example.com/a%2Fb/v1/media/x",
		"WSS://im.example.com/v1":                      "https://im.example.com/v1/media/x",
		"ws://localhost:8080/v1":                       "http://localhost:8080/v1/media/x",
		"ws://ws.localhost:80/ws":                      "http://ws.localhost:80/ws/media/x",
		"wss://u:hunter2@im.example.com/v1?token=hunt": "https://im.example.com/v1/media/x",
		"wss://im.example.com/v1?":                     "https://im.example.com/v1/media/x",
	} {
		t.Run(url, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := serve(t, func(w http.ResponseWriter, r *http.Request) {
					if stream, err := wsstream.Accept(w, r, coder.AcceptOptions{}, mux.PreLogin.Message, 0); err == nil {
						mux.NewPeer(stream).Serve(func(uint64, *wire.Request) {})
					}
				})
				conn, err := websocket.Dialer{URL: url, HTTPClient: client, AllowPlaintext: true}.Dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				got, base := conn.(transport.FileServer).Files()
				if got != client {
					t.Error("got another client than the Dialer's")
				}
				file, err := base.Parse("media/x")
				if err != nil || file.String() != want {
					t.Errorf("got %v, %v, want %s", file, err, want)
				}
			})
		})
	}
}
