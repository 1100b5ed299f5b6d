package backend

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/internal/wsstream"
	"github.com/zim-go/zim/wire"
)

// The pings that a client may send; the protocol asks for none.
const pingRate, pingBurst = 10, 100

// address returns where a request comes from.
func (s *Server) address(r *http.Request) string {
	if h := s.config.AddressHeader; h != "" {
		list := strings.Split(strings.Join(r.Header.Values(h), ","), ",")
		if last := strings.TrimSpace(list[len(list)-1]); last != "" {
			return last
		}
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "try again later", http.StatusServiceUnavailable)
}

// ServeHTTP takes clients that come over a WebSocket, and serves files below the path element media. The http.Server should have
// a ReadHeaderTimeout.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.config.Media != nil && strings.Contains(r.URL.Path, "/media/") {
		if !s.begin() {
			unavailable(w)
			return
		}
		defer s.work.Done()
		s.config.Media.ServeHTTP(w, r)
		return
	}
	address := s.address(r)
	leave, ok := s.gate.enter(address)
	if ok {
		defer leave()
	}
	if !ok || s.Healthy() != nil {
		unavailable(w)
		return
	}
	var stream *wsstream.Stream
	pings, flooded := rate.NewLimiter(pingRate, pingBurst), false
	stream, err := wsstream.Accept(w, r, websocket.AcceptOptions{
		OriginPatterns: s.config.Origins,
		OnPingReceived: func(context.Context, []byte) bool {
			if pings.Allow() {
				return true
			}
			if !flooded {
				flooded = true
				// Not here: this is the reading goroutine.
				time.AfterFunc(0, func() { stream.Close(statusTooMuch, "too many pings") })
			}
			return false
		},
	}, mux.PreLogin.Message, s.config.OfflineAfter)
	if err != nil {
		return // the client knows
	}
	peer := mux.NewPeer(stream)
	a, err := s.attach(peer, address, leave)
	if err != nil {
		peer.Close(statusGoingAway, "the server is going away")
		peer.Serve(func(uint64, *wire.Request) {})
		return
	}
	status := StatusOnline
	if err := peer.Serve(a.Handle); errors.Is(err, wsstream.ErrSilent) {
		status = StatusOffline
	}
	a.detached(status)
}
