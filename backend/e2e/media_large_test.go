package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport/websocket"
)

const largest = 100 << 20

// A file as large as may be takes little memory at either end, and no byte of it is sent twice, although its connections break: those of
// the files three times each way, and the one of the messages.
func TestLargestFile(t *testing.T) {
	srv := zimtest.NewServer(t, nil)
	network := newCutNet(t, srv)
	dialer := websocket.Dialer{URL: "ws://" + network.addr + "/v1", HTTPClient: network.client}
	alice, bob := newZIM(t, dialer), newZIM(t, dialer)
	got := make(chan *zim.Message, 1)
	zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) { got <- e.Messages[0] })
	login(t, srv, alice, "alice")
	login(t, srv, bob, "bob")

	sum := sha256.New()
	memory := watchMemory()
	start := time.Now()
	g := &gauge{t: t, what: "upload"}
	network.cutUploads(10<<20+1, 50<<20, 96<<20)
	source := io.TeeReader(io.LimitReader(new(stream), largest), sum)
	notify := g.upload()
	show := notify.OnMediaUploadingProgress
	cut := false
	notify.OnMediaUploadingProgress = func(m *zim.Message, current, total int64) {
		if show(m, current, total); current > 60<<20 && !cut {
			cut = srv.Cut("alice") > 0
		}
	}
	_, err := alice.SendMessage(t.Context(), &zim.FileMessage{File: zim.File{Reader: source, Size: largest, Name: "large.bin"}}, zim.Peer("bob"), &zim.MessageSendConfig{Notification: notify})
	if err != nil {
		t.Fatal(err)
	}
	g.wantAll(largest)
	uploaded := time.Since(start)
	m := <-got
	if n, cuts := network.uploaded.Load(), network.cuts.Load(); n != largest || cuts != 3 || !cut {
		t.Errorf("the handler got %d bytes with %d cuts (and the other connection %v), want %d with 3", n, cuts, cut, largest)
	}
	used := memory.stop()
	t.Logf("upload: %v, %.1f MiB above idle", uploaded.Round(time.Millisecond), float64(used)/(1<<20))
	if used > 16<<20 && !raceEnabled {
		t.Errorf("the upload took %d bytes of memory, want at most 16 MiB", used)
	}

	memory = watchMemory()
	start = time.Now()
	network.cuts.Store(0)
	network.cutDownloads(10<<20, 50<<20, 99<<20)
	g = &gauge{t: t, what: "download"}
	dest := &hashWriter{Hash: sha256.New()}
	err = bob.DownloadMediaFile(t.Context(), m, zim.MediaFileTypeOriginalFile, dest, &zim.MediaDownloadConfig{
		OnMediaDownloadingProgress: func(_ *zim.Message, current, total int64) { g.show(current, total) },
	})
	if err != nil {
		t.Fatal(err)
	}
	g.wantAll(largest)
	used = memory.stop()
	t.Logf("download: %v, %.1f MiB above idle", time.Since(start).Round(time.Millisecond), float64(used)/(1<<20))
	if used > 16<<20 && !raceEnabled {
		t.Errorf("the download took %d bytes of memory, want at most 16 MiB", used)
	}
	if dest.n != largest || !bytes.Equal(dest.Sum(nil), sum.Sum(nil)) || network.cuts.Load() != 3 {
		t.Errorf("got %d bytes with %d cuts, or other ones", dest.n, network.cuts.Load())
	}
	// What was on its way when it was cut comes twice: no more than the sockets' buffers.
	if again := network.downloaded.Load() - largest; again < 0 || again > 3*(16<<20) {
		t.Errorf("%d bytes were sent twice", again)
	}
}

// A stream has no two parts that are the same.
type stream struct{ n uint64 }

func (s *stream) Read(b []byte) (int, error) {
	for i := range b {
		s.n = s.n*6364136223846793005 + 1442695040888963407
		b[i] = byte(s.n >> 56)
	}
	return len(b), nil
}

type hashWriter struct {
	hash.Hash
	n int64
}

func (w *hashWriter) Write(b []byte) (int, error) {
	w.n += int64(len(b))
	return w.Hash.Write(b)
}

// A watch looks how much memory there is in objects.
type watch struct {
	before, most uint64
	ended        chan struct{}
	done         chan struct{}
}

func watchMemory() *watch {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	read := func() uint64 { // HeapInuse
		metrics.Read(sample)
		return sample[0].Value.Uint64() + sample[1].Value.Uint64()
	}
	runtime.GC()
	w := &watch{before: read(), ended: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.most = max(w.most, read())
			case <-w.ended:
				return
			}
		}
	}()
	return w
}

// stop returns how much more there was at most than in the beginning.
func (w *watch) stop() uint64 {
	close(w.ended)
	<-w.done
	return max(w.most, w.before) - w.before
}

// A cutNet serves a backend over sockets of this machine, and cuts connections after so many bytes of files.
type cutNet struct {
	addr                       string
	client                     *http.Client
	uploaded, downloaded, cuts atomic.Int64

	mu       sync.Mutex
	up, down []int64 // guarded by mu; when to cut
}

type connKey struct{}

func newCutNet(t *testing.T, handler http.Handler) *cutNet {
	n := new(cutNet)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/media/") {
			conn := r.Context().Value(connKey{}).(net.Conn)
			r.Body = &countBody{r.Body, n, conn}
			if r.Method == http.MethodGet {
				w = &countWriter{w, n, conn}
			}
		}
		handler.ServeHTTP(w, r)
	}))
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	server.Config.ReadTimeout, server.Config.WriteTimeout = 10*time.Second, 10*time.Second // as zimd has them
	server.Start()
	t.Cleanup(server.Close)
	n.addr, n.client = server.Listener.Addr().String(), server.Client()
	return n
}

func (n *cutNet) cutUploads(at ...int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up = at
}

func (n *cutNet) cutDownloads(at ...int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = at
}

// passed cuts the connection if it is time to.
func (n *cutNet) passed(list *[]int64, total int64, conn net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(*list) > 0 && total >= (*list)[0] {
		*list = (*list)[1:]
		n.cuts.Add(1)
		conn.(*net.TCPConn).SetLinger(0) // without a farewell
		conn.Close()
	}
}

type countBody struct {
	io.ReadCloser
	net  *cutNet
	conn net.Conn
}

func (b *countBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.net.passed(&b.net.up, b.net.uploaded.Add(int64(n)), b.conn)
	return n, err
}

type countWriter struct {
	http.ResponseWriter
	net  *cutNet
	conn net.Conn
}

func (w *countWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countWriter) Write(p []byte) (int, error) {
	// Counted before it is written: whoever reads the last of it must not find a count without it.
	w.net.downloaded.Add(int64(len(p)))
	n, err := w.ResponseWriter.Write(p)
	w.net.passed(&w.net.down, w.net.downloaded.Add(int64(n-len(p))), w.conn)
	return n, err
}
