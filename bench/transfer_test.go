package bench_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/zim-go/zim"
)

// transferSize is how large the files are that are transferred.
const transferSize = 32 << 20

// BenchmarkUpload sends files in messages. The limit is a plain HTTP request whose body is copied into a file, which is synced
// as the backend does.
func BenchmarkUpload(b *testing.B) {
	content := bytes.Repeat([]byte("abcdefghijklmnop"), transferSize/16)
	url, stop := startBackend(b)
	defer stop()
	z := login(b, url, "alice")
	defer z.Destroy()
	defer login(b, url, "bob").Destroy()
	path := filepath.Join(b.TempDir(), "copy")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Create(path)
		if err == nil {
			_, err = io.Copy(f, r.Body)
		}
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		f.Close()
	}))
	defer web.Close()
	compareTransfer(b, func() {
		resp, err := web.Client().Post(web.URL, "application/octet-stream", bytes.NewReader(content))
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp, err)
		}
		resp.Body.Close()
	}, func() {
		file := zim.File{Name: "file", Size: transferSize, Reader: bytes.NewReader(content)}
		if _, err := z.SendMessage(context.Background(), &zim.FileMessage{File: file}, zim.Peer("bob"), nil); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkDownload gets a file. The limit is a plain HTTP request for a file.
func BenchmarkDownload(b *testing.B) {
	content := bytes.Repeat([]byte("abcdefghijklmnop"), transferSize/16)
	url, stop := startBackend(b)
	defer stop()
	z := login(b, url, "alice")
	defer z.Destroy()
	defer login(b, url, "bob").Destroy()
	file := zim.File{Name: "file", Size: transferSize, Reader: bytes.NewReader(content)}
	m, err := z.SendMessage(context.Background(), &zim.FileMessage{File: file}, zim.Peer("bob"), nil)
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) }))
	defer web.Close()
	compareTransfer(b, func() {
		resp, err := web.Client().Get(web.URL)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != transferSize || err != nil {
			b.Fatal(n, err)
		}
		resp.Body.Close()
	}, func() {
		if err := z.DownloadMediaFile(context.Background(), m, zim.MediaFileTypeOriginalFile, io.Discard, nil); err != nil {
			b.Fatal(err)
		}
	})
}

func compareTransfer(b *testing.B, plain, real func()) {
	n := min(max(b.N/25, 1), 20)
	plain()
	limit := timed(n, plain)
	real()
	runtime.GC()
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	took := timed(n, real)
	runtime.ReadMemStats(&m1)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(transferSize/took, "MB/s")
	b.ReportMetric(transferSize/limit, "limit-MB/s")
	b.ReportMetric(took/limit, "x-limit")
	b.ReportMetric(float64(m1.TotalAlloc-m0.TotalAlloc)/float64(n)/(1<<20), "alloc-MiB/file")
}
