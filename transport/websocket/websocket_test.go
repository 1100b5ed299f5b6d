package websocket_test

import (
	"net/http"
	"testing"

	coder "github.com/coder/websocket"

	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/internal/wsstream"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/transporttest"
	"github.com/zim-go/zim/transport/websocket"
	"github.com/zim-go/zim/wire"
)

func serve(tb testing.TB, handler http.HandlerFunc) *http.Client { return memnet.Serve(tb, handler) }

func TestConn(t *testing.T) {
	transporttest.TestConn(t, func(tb testing.TB, service *transporttest.Service) transport.Dialer {
		client := serve(tb, func(w http.ResponseWriter, r *http.Request) {
			stream, err := wsstream.Accept(w, r, coder.AcceptOptions{}, mux.PreLogin.Message, 0)
			if err != nil {
				tb.Error(err)
				return
			}
			peer := mux.NewPeer(stream)
			peer.Trust()
			a := service.Attach(transporttest.Link{Push: peer.Push, Close: func() { peer.Close(1001, "going away") }})
			peer.Serve(func(id uint64, req *wire.Request) {
				a.Handle(req, func(resp *wire.Response) { peer.Reply(id, resp) })
			})
		})
		return websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: client}
	})
}
