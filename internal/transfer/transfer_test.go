package transfer_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/internal/transfer"
)

const chunk = 4 << 20

// serve serves handler in memory until the bubble ends, and gives what lingers the time to end. It returns a client that reaches nothing else.
func serve(tb testing.TB, handler http.Handler) *http.Client {
	tb.Cleanup(func() { time.Sleep(2 * time.Hour) }) // for handlers that do, and connections; after the server's end
	return memnet.Serve(tb, handler)
}

// content returns size bytes that are like no others.
func content(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	return b
}

// A progress keeps what it was shown, and checks it.
type progress struct {
	t     *testing.T
	size  int64
	whole func() bool // whether all is there
	seen  []int64
	last  time.Time
	late  int // how many calls came less than 100 ms after another
}

func (p *progress) show(n int64) {
	now := time.Now()
	if len(p.seen) == 0 && n != 0 {
		p.t.Errorf("the first progress is %d, want 0", n)
	}
	if len(p.seen) > 0 {
		if before := p.seen[len(p.seen)-1]; n < before {
			p.t.Errorf("the progress went from %d back to %d", before, n)
		}
		if now.Sub(p.last) < 100*time.Millisecond {
			p.late++
		}
	}
	if n == p.size && n > 0 && !p.whole() {
		p.t.Errorf("the progress is %d before all is there", n)
	}
	p.seen, p.last = append(p.seen, n), now
}

// check checks that the progress is complete.
func (p *progress) check() {
	p.t.Helper()
	switch {
	case len(p.seen) < 2 || p.seen[len(p.seen)-1] != p.size:
		p.t.Errorf("got the progress %v, want %d at last", p.seen, p.size)
	case p.late > 1: // the last one may
		p.t.Errorf("got %d calls of Progress less than 100ms after another", p.late)
	}
}

// requests has their times.
type requests struct {
	mu    sync.Mutex
	times []time.Time // guarded by mu
}

func (r *requests) add() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times = append(r.times, time.Now())
	return len(r.times)
}

func (r *requests) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// checkDelays checks that the requests are after apart, and the backoff.
func (r *requests) checkDelays(t *testing.T, after time.Duration) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	bound := 500 * time.Millisecond
	var sum time.Duration
	for n := range len(r.times) - 1 {
		delay := r.times[n+1].Sub(r.times[n]) - after
		if delay < 0 || delay > bound {
			t.Errorf("delay %d: got %v, want up to %v", n, delay, bound)
		}
		sum += delay
		bound = min(2*bound, 10*time.Second)
	}
	if sum == 0 {
		t.Error("the delays are not random")
	}
}

func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*transfer.StatusError](err)
	return ok && e.Status == status
}

// Which refusals are final.
var statuses = map[int]bool{
	300: true, 302: true, 304: true, 307: true, 400: true, 401: true, 403: true, 404: true, 410: true, 411: true, 412: true, 413: true, 415: true,
	501: true, 507: true,
	408: false, 423: false, 429: false, 500: false, 502: false, 503: false, 504: false, 599: false,
}

// A slowReader gives a few bytes at a time.
type slowReader struct {
	io.Reader
	n     int
	delay time.Duration
}

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(r.delay)
	return r.Reader.Read(p[:min(r.n, len(p))])
}

// A failing reader has some bytes, and then an error.
func failing(b []byte, err error) io.Reader {
	return io.MultiReader(bytes.NewReader(b), errReader{err})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
