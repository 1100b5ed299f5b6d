package e2e_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/websocket"
)

// comeAndGo is one client's life: it logs in, sends, and ends in one way or another.
func comeAndGo(t *testing.T, srv *zimtest.Server, dialer transport.Dialer, i int) {
	z, err := zim.New(zim.AppConfig{
		AppID: zimtest.AppID, Transport: dialer, Limits: zim.Limits{SendRate: -1}, MaxReconnectDelay: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer z.Destroy()
	zim.On(z, func(context.Context, *zim.PeerMessageReceived) {})
	zim.On(z, func(context.Context, *zim.ConversationChanged) {})
	back := make(chan struct{}, 8)
	zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
		if e.State == zim.ConnectionStateConnected {
			back <- struct{}{}
		}
	})
	login(t, srv, z, "alice")
	<-back
	send := func() {
		if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil); err != nil {
			t.Fatal(err)
		}
	}
	send()
	switch i % 4 {
	case 0:
		if err := z.Logout(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	case 1:
		z.Destroy()
	case 2:
		srv.Kick("alice")
	case 3:
		srv.Cut("alice")
		<-back
		send()
	}
}

// resources are what a process has of what may leak.
type resources struct {
	goroutines, files int
	heap              uint64
}

func measureResources(t *testing.T) (r resources) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	}
	for range 3 { // pools take two to be empty
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return resources{runtime.NumGoroutine(), len(entries), m.HeapAlloc}
}

// Clients that come and go leave nothing behind, neither here nor at the backend, over sockets and in memory.
func TestLeaks(t *testing.T) {
	report := tier.Begin(t, "leaks")
	const maxHeap = 1 << 20
	n := tier.Pick(60, 1000)
	figures := map[string]any{"cycles": n}
	for _, name := range []string{"loopback", "websocket", "inproc"} {
		t.Run(name, func(t *testing.T) {
			srv := zimtest.NewServer(t, &zimtest.Options{App: func(a *backend.App) { a.Limits.LoginRate, a.Limits.SendRate = -1, -1 }})
			srv.Register("bob")
			dialer := srv.Transports()[name]
			if name == "loopback" {
				web := httptest.NewServer(srv)
				defer web.Close()
				rt := new(http.Transport)
				defer rt.CloseIdleConnections()
				dialer = websocket.Dialer{URL: strings.Replace(web.URL, "http", "ws", 1) + "/v1", HTTPClient: &http.Client{Transport: rt}}
			}
			for i := range 40 { // what is there from then on stays
				comeAndGo(t, srv, dialer, i)
			}
			settled := goleak.IgnoreCurrent()
			before := measureResources(t)
			start := time.Now()
			for i := range n {
				comeAndGo(t, srv, dialer, i)
			}
			took := time.Since(start)
			if err := goleak.Find(settled); err != nil { // it waits for those that are about to end
				t.Error(err)
			}
			after := measureResources(t)
			if after.goroutines > before.goroutines {
				t.Errorf("got %d goroutines, want at most the %d of before", after.goroutines, before.goroutines)
			}
			if after.files > before.files {
				t.Errorf("got %d open files, want at most the %d of before", after.files, before.files)
			}
			grown := int64(after.heap) - int64(before.heap)
			if grown > maxHeap {
				t.Errorf("the heap has grown by %d bytes, want at most %d", grown, maxHeap)
			}
			figures[name] = map[string]any{
				"goroutines": after.goroutines - before.goroutines, "files": after.files - before.files, "heap_bytes": grown,
				"cycles_per_s": int(float64(n) / took.Seconds()),
			}
		})
	}
	report(figures)
}
