package bench_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
)

// What a connection costs while nothing is sent, client and server together. x-limit is the ratio of the resident bytes
// to those of the bare relay's connections. A run has b.N connections, but 500 at least, so that there is something to measure, and 5000 at most.
func BenchmarkIdle(b *testing.B) {
	n := min(max(b.N, 500), 5000) // each takes two file descriptors
	limit := idle(b, n, func() func() {
		r := newRelay(b, n/2)
		return r.close
	})
	f := idle(b, n, func() func() {
		url, stop := startBackend(b)
		r := &real{b: b, stop: stop}
		for i := range n {
			r.senders = append(r.senders, login(b, url, "user"+strconv.Itoa(i)))
		}
		return r.close
	})
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(f.bytes/1024, "KiB/conn")
	b.ReportMetric(f.goroutines, "goroutines/conn")
	b.ReportMetric(limit.bytes/1024, "limit-KiB/conn")
	b.ReportMetric(f.bytes/limit.bytes, "x-limit")
}

type idleFigures struct{ bytes, goroutines float64 }

func idle(b *testing.B, n int, start func() (stop func())) idleFigures {
	settle := func() (bytes, goroutines int) {
		runtime.GC()
		debug.FreeOSMemory()
		return resident(b), runtime.NumGoroutine()
	}
	bytes0, goroutines0 := settle()
	stop := start()
	bytes1, goroutines1 := settle()
	stop()
	return idleFigures{float64(bytes1-bytes0) / float64(n), float64(goroutines1-goroutines0) / float64(n)}
}

// resident returns the process's resident memory; where that can't be read, what the Go runtime holds of it.
func resident(b *testing.B) int {
	b.Helper()
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, pages int
		if _, err := fmt.Sscan(string(text), &size, &pages); err == nil {
			return pages * os.Getpagesize()
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.Sys - m.HeapReleased)
}
