// Package bench_test measures what a message costs from the sender's call to the receiver's handler, over real sockets, with
// both clients and the backend in this process. Each figure is held against a bare WebSocket relay that is measured in the same
// run: x-limit is the ratio of the CPU time (of the median latency, of the resident bytes) to the relay's. What a program could take
// instead is measured then, too: x-nats and x-jetstream are the ratios to its CPU time.
package bench_test

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/media"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

const size = 128 // bytes in a message

// ahead is how many messages a sender may be ahead of its receiver: fewer than a client and its connection keep for handlers, as commands beyond that are dropped.
const ahead = 1000

// A system carries messages between pairs of clients.
type system interface {
	// drive sends n messages of a pair, window of them at a time, and calls acked as each is acknowledged.
	drive(pair, n, window int, payload []byte, acked func(time.Duration))
	// received counts the messages that the pair's receiver has had.
	received(pair int) *counter
	close()
}

func BenchmarkCommand(b *testing.B) {
	f := compare(b, newCommands, 16, 64)
	against(b, f, "nats", newRequests, 16, 64)
}

func BenchmarkText(b *testing.B) {
	f := compare(b, newTexts, 16, 64)
	against(b, f, "jetstream", newStream, 16, 64)
}

// One message at a time: what counts is how long it takes.
func BenchmarkCommandLatency(b *testing.B) { compare(b, newCommands, 1, 1) }
func BenchmarkTextLatency(b *testing.B)    { compare(b, newTexts, 1, 1) }

// compare measures a system and the relay.
func compare(b *testing.B, start func(testing.TB, int) system, pairs, window int) figures {
	limit := measure(b, newRelay, pairs, window, b.N)
	f := measure(b, start, pairs, window, b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(f.rate, "msgs/s")
	b.ReportMetric(f.cpu, "cpu-us/msg")
	b.ReportMetric(f.allocs, "allocs/msg")
	b.ReportMetric(f.p50, "ack-p50-us")
	b.ReportMetric(f.p99, "ack-p99-us")
	if window == 1 {
		b.ReportMetric(f.p50/limit.p50, "x-limit")
		b.ReportMetric(limit.p50, "limit-p50-us")
	} else {
		b.ReportMetric(f.cpu/limit.cpu, "x-limit")
		b.ReportMetric(limit.cpu, "limit-cpu-us/msg")
	}
	return f
}

// against measures another system that somebody could take for the same.
func against(b *testing.B, f figures, name string, start func(testing.TB, int) system, pairs, window int) {
	other := measure(b, start, pairs, window, b.N)
	b.ReportMetric(f.cpu/other.cpu, "x-"+name)
	b.ReportMetric(other.cpu, name+"-cpu-us/msg")
}

type figures struct{ rate, cpu, allocs, p50, p99 float64 }

func measure(b *testing.B, start func(testing.TB, int) system, pairs, window, n int) figures {
	s := start(b, pairs)
	defer s.close()
	payload := []byte(strings.Repeat("abcdefghijklmnop", size/16))
	each := max(n/pairs, 1)
	lats := make([][]time.Duration, pairs)
	sent := 0
	phase := func(each int, keep bool) {
		var wg sync.WaitGroup
		for i := range pairs {
			wg.Go(func() {
				var mu sync.Mutex
				for done := 0; done < each; {
					n := min(each-done, ahead)
					s.drive(i, n, window, payload, func(d time.Duration) {
						if keep {
							mu.Lock()
							lats[i] = append(lats[i], d)
							mu.Unlock()
						}
					})
					if done += n; !s.received(i).await(sent + done) {
						b.Errorf("pair %d did not receive all of %d messages", i, sent+done)
						return
					}
				}
			})
		}
		wg.Wait()
		if sent += each; b.Failed() {
			b.FailNow()
		}
	}
	phase(each/10+1, false)
	runtime.GC()
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	c0, t0 := cpuTime(), time.Now()
	phase(each, true)
	wall, cpu := time.Since(t0), cpuTime()-c0
	runtime.ReadMemStats(&m1)
	all := slices.Concat(lats...)
	slices.Sort(all)
	total := float64(each * pairs)
	return figures{
		rate:   total / wall.Seconds(),
		cpu:    float64(cpu.Nanoseconds()) / 1e3 / total,
		allocs: float64(m1.Mallocs-m0.Mallocs) / total,
		p50:    float64(all[len(all)/2].Nanoseconds()) / 1e3,
		p99:    float64(all[len(all)*99/100].Nanoseconds()) / 1e3,
	}
}

// A counter counts, and wakes who waits for a number.
type counter struct {
	mu      sync.Mutex
	n, want int
	reached chan struct{}
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n += n; c.reached != nil && c.n >= c.want {
		close(c.reached)
		c.reached = nil
	}
}

// await waits until the count is n. It reports false if that takes too long.
func (c *counter) await(n int) bool {
	reached := make(chan struct{})
	c.mu.Lock()
	c.want, c.reached = n, reached
	c.mu.Unlock()
	c.add(0)
	select {
	case <-reached:
		return true
	case <-time.After(time.Minute):
		return false
	}
}

// cpuTime returns the user and system time that the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	appID  = 1
	secret = token.Secret("the benchmark's secret, 32 bytes")
)

// A real is the SDK and the backend over WebSockets on loopback.
type real struct {
	b         testing.TB
	content   func(payload []byte) zim.Content
	senders   []*zim.ZIM
	receivers []*zim.ZIM
	counters  []counter
	to        zim.ConversationRef // empty: each pair's receiver
	stop      func()
}

func newCommands(b testing.TB, pairs int) system {
	return newReal(b, pairs, func(p []byte) zim.Content { return &zim.CommandMessage{Message: p} })
}

func newTexts(b testing.TB, pairs int) system {
	return newReal(b, pairs, func(p []byte) zim.Content { return &zim.TextMessage{Message: string(p)} })
}

func newReal(b testing.TB, pairs int, content func([]byte) zim.Content) *real {
	url, stop := startBackend(b)
	r := &real{b: b, content: content, counters: make([]counter, pairs), stop: stop}
	for i := range pairs {
		r.senders = append(r.senders, login(b, url, "sender"+strconv.Itoa(i)))
		z := login(b, url, "receiver"+strconv.Itoa(i))
		zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) { r.counters[i].add(len(e.Messages)) })
		r.receivers = append(r.receivers, z)
	}
	return r
}

// startBackend starts a backend, after the store was filled.
func startBackend(b testing.TB, fill ...func(*store.Store) error) (url string, stop func()) {
	st, err := store.Open(filepath.Join(b.TempDir(), "zim.db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range fill {
		if err := f(st); err != nil {
			b.Fatal(err)
		}
	}
	verifier, err := token.NewVerifier(token.Config{AppID: appID, Secrets: []token.Secret{secret}})
	if err != nil {
		b.Fatal(err)
	}
	files, err := media.New(media.Config{Dir: filepath.Join(b.TempDir(), "media"), Key: []byte(secret), Quota: -1})
	if err != nil {
		b.Fatal(err)
	}
	srv, err := backend.New(backend.Config{
		Store:                 st,
		Media:                 files,
		Apps:                  []backend.App{{ID: appID, Verifier: verifier, Limits: backend.Limits{SendRate: -1, ChangeRate: -1, QueryRate: -1, GroupMembers: 1000}}},
		MaxPreLoginPerAddress: 10_000,
		MaxDelay:              time.Minute, // what is measured is how long things take, however slow the machine is
	})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(srv)
	return "ws" + strings.TrimPrefix(web.URL, "http") + "/v1", func() {
		srv.Shutdown(context.Background())
		web.Close()
		files.Close()
		st.Close()
	}
}

func login(b testing.TB, url, user string) *zim.ZIM {
	z, err := zim.New(zim.AppConfig{
		AppID:     appID,
		Transport: websocket.Dialer{URL: url},
		Limits:    zim.Limits{SendRate: -1, HighPrioritySendRate: -1},
	})
	if err != nil {
		b.Fatal(err)
	}
	tok, err := token.Issue04(appID, user, secret, time.Hour, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := z.Login(context.Background(), user, &zim.LoginConfig{Token: tok}); err != nil {
		b.Fatal(err)
	}
	return z
}

func (r *real) drive(pair, n, window int, payload []byte, acked func(time.Duration)) {
	to := r.to
	if to.ID == "" {
		to = zim.Peer("receiver" + strconv.Itoa(pair))
	}
	call(r.b, n, window, acked, func() error {
		_, err := r.senders[pair].SendMessage(context.Background(), r.content(payload), to, nil)
		return err
	})
}

// call sends n messages with calls that wait for their acknowledgment, window of them at a time.
func call(b testing.TB, n, window int, acked func(time.Duration), send func() error) {
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for range window {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				start := time.Now()
				if err := send(); err != nil {
					b.Error(err)
					return
				}
				acked(time.Since(start))
			}
		})
	}
	wg.Wait()
}

func (r *real) received(pair int) *counter { return &r.counters[pair] }

func (r *real) close() {
	for _, z := range slices.Concat(r.senders, r.receivers) {
		z.Destroy()
	}
	r.stop()
}
