//go:build !race

package transfer_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/zim-go/zim/internal/transfer"
)

// A transfer takes the same memory, whatever its size, here with both of its ends.
func TestMemory(t *testing.T) {
	const size = 100 << 20
	source := func() io.Reader { return io.LimitReader(zeros{}, size) }
	s := newTus(t)
	s.discard = true
	mux := http.NewServeMux()
	mux.Handle("/v1/", s)
	mux.HandleFunc("/x", func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, source()) })
	server := httptest.NewServer(mux)
	defer server.Close()
	up := &transfer.Upload{Client: server.Client(), URL: server.URL + "/v1/files", Ticket: ticket, Size: size, Source: source()}
	down := &transfer.Download{Client: server.Client(), URL: server.URL + "/x", Limit: size, Dest: io.Discard}
	for name, run := range map[string]func(context.Context) error{"upload": up.Run, "download": down.Run} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := run(t.Context()); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		// What was never allocated can't be in the heap at any time.
		if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
			t.Errorf("%s: allocated %d bytes, want at most 16 MiB", name, got)
		} else {
			t.Logf("%s: allocated %d bytes", name, got)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
