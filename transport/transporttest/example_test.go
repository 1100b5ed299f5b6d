package transporttest_test

import (
	"testing"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/inproc"
	"github.com/zim-go/zim/transport/transporttest"
	"github.com/zim-go/zim/wire"
)

// An attached is the service's end of a connection: for inproc, it takes the requests.
type attached struct {
	peer       *inproc.Peer
	attachment *transporttest.Attachment
}

func (a attached) Handle(id uint64, req *wire.Request) {
	a.attachment.Handle(req, func(resp *wire.Response) { a.peer.Reply(id, resp) })
}

func (a attached) Detached() {}

// The tests of a transport, here of package inproc, call TestConn with a function that connects it to a service.
func ExampleTestConn() {
	_ = func(t *testing.T) { // func TestConn(t *testing.T)
		transporttest.TestConn(t, func(tb testing.TB, service *transporttest.Service) transport.Dialer {
			return inproc.Dialer{Attach: func(peer *inproc.Peer) (inproc.Handler, error) {
				link := transporttest.Link{Push: peer.Push, Close: func() { peer.Close(0, "") }}
				return attached{peer, service.Attach(link)}, nil
			}}
		})
	}
}
