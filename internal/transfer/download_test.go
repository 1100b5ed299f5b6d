package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/internal/transfer"
)

var modified = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)

const fileURL = "https://im.example.com/v1/media/x"

// A file serves content as net/http does.
type file struct {
	content  []byte
	etag     string
	modified time.Time
	// before may answer the nth request, and report that it did.
	before func(n int, w http.ResponseWriter, r *http.Request) bool
	// breaks returns after how many bytes an answer breaks, or -1.
	breaks  func() int
	unknown bool // don't tell the length

	requests requests
	ranges   []string
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := f.requests.add()
	f.ranges = append(f.ranges, r.Header.Get("Range"))
	if f.before != nil && f.before(n, w, r) {
		return
	}
	if f.etag != "" {
		w.Header().Set("ETag", f.etag)
	}
	c := &cut{w, -1, f.unknown}
	if f.breaks != nil {
		c.left = f.breaks()
	}
	http.ServeContent(c, r, "x.bin", f.modified, bytes.NewReader(f.content))
	c.Write(nil)
}

// A cut breaks an answer off.
type cut struct {
	http.ResponseWriter
	left    int // negative: don't
	unknown bool
}

func (c *cut) WriteHeader(status int) {
	if c.unknown && status == http.StatusOK {
		c.Header().Del("Content-Length")
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *cut) Write(b []byte) (int, error) {
	if c.left < 0 || len(b) < c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	c.ResponseWriter.Write(b[:min(len(b), c.left)])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func (f *file) download(t *testing.T, dest io.Writer) *transfer.Download {
	return &transfer.Download{Client: serve(t, f), URL: fileURL, Limit: 1 << 30, Dest: dest}
}

func TestDownload(t *testing.T) {
	for _, size := range []int{0, 1, 1000, 64 << 10, 1<<20 + 1} {
		for _, unknown := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/unknown=%v", size, unknown), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &file{content: content(size), unknown: unknown}
					f.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
						if got := r.Header.Get("Accept-Encoding"); got != "identity" {
							t.Errorf("got the Accept-Encoding %q", got)
						}
						if unknown {
							w.WriteHeader(http.StatusOK)
							w.(http.Flusher).Flush()
							w.Write(f.content)
						}
						return unknown
					}
					var got bytes.Buffer
					d := f.download(t, &got)
					d.Limit = int64(size)
					p := &progress{t: t, size: int64(size), whole: func() bool { return got.Len() == size }}
					d.Progress = func(received, total int64) {
						p.show(received)
						if want := map[bool]int64{false: int64(size), true: -1}[unknown]; total != want && (len(p.seen) == 1 || received != total || received != int64(size)) {
							t.Errorf("got %d of %d, want %d", received, total, want)
						}
					}
					if err := d.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got.Bytes(), f.content) {
						t.Errorf("got %d other bytes, want %d", got.Len(), size)
					}
					p.check()
				})
			})
		}
	}
}

// However often it breaks, each byte arrives once, and none is asked for twice.
func TestDownloadInterrupted(t *testing.T) {
	const size = 1<<20 + 12345
	for _, test := range []struct {
		name, etag string
		modified   time.Time
	}{
		{"ETag", `"1"`, time.Time{}},
		{"Last-Modified", "", modified},
		{"both", `"1"`, modified},
		{"weak ETag and Last-Modified", `W/"1"`, modified},
	} {
		for _, breaks := range []int{1, 7, 40} {
			t.Run(fmt.Sprint(test.name, "/", breaks), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					random, left := rand.New(rand.NewPCG(uint64(breaks), 0)), breaks
					f := &file{content: content(size), etag: test.etag, modified: test.modified}
					var got bytes.Buffer
					f.breaks = func() int {
						if left == 0 {
							return -1
						}
						left--
						return random.IntN(size / breaks)
					}
					f.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
						want := ""
						if got.Len() > 0 {
							want = fmt.Sprintf("bytes=%d-", got.Len())
						}
						if span := r.Header.Get("Range"); span != want {
							t.Errorf("got the range %q, want %q", span, want)
						}
						switch random.IntN(6) {
						case 0:
							w.WriteHeader(http.StatusServiceUnavailable)
						case 1:
							panic(http.ErrAbortHandler)
						default:
							return false
						}
						return true
					}
					d := f.download(t, &got)
					p := &progress{t: t, size: size, whole: func() bool { return got.Len() == size }}
					d.Progress = func(received, total int64) {
						p.show(received)
						if total != size {
							t.Errorf("got the total %d", total)
						}
					}
					if err := d.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got.Bytes(), f.content) {
						t.Errorf("got %d other bytes, want %d", got.Len(), size)
					}
					p.check()
				})
			})
		}
	}
}

// A download that can't be resumed, for sure, isn't.
func TestDownloadChanged(t *testing.T) {
	for _, test := range []struct {
		name           string
		etag           string
		modified       time.Time
		next           func(f *file, w http.ResponseWriter, r *http.Request) bool // answers the second request
		breaks, wanted int
		fails          bool
	}{
		{"no version", "", time.Time{}, nil, 100, 1, true},
		{"no version and nothing received", "", time.Time{}, nil, 0, 2, false},
		{"weak ETag", `W/"1"`, time.Time{}, nil, 100, 1, true},
		{"another ETag", `"1"`, time.Time{}, func(f *file, _ http.ResponseWriter, _ *http.Request) bool {
			f.etag = `"2"`
			return false
		}, 100, 2, true},
		{"another time", "", modified, func(f *file, _ http.ResponseWriter, _ *http.Request) bool {
			f.modified = f.modified.Add(time.Second)
			return false
		}, 100, 2, true},
		{"another file, and nothing received", `"1"`, time.Time{}, func(f *file, _ http.ResponseWriter, _ *http.Request) bool {
			f.etag, f.content = `"2"`, content(500)
			return false
		}, 0, 2, false},
		{"If-Range is ignored", `"1"`, time.Time{}, func(f *file, _ http.ResponseWriter, r *http.Request) bool {
			f.etag = `"2"`
			r.Header.Del("If-Range")
			return false
		}, 100, 2, true},
		{"Range is ignored", `"1"`, time.Time{}, func(_ *file, _ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			return false
		}, 100, 2, true},
		{"another range", `"1"`, time.Time{}, partial("bytes 99-999/1000"), 100, 2, true},
		{"another length", `"1"`, time.Time{}, partial("bytes 100-999/1001"), 100, 2, true},
		{"no range", `"1"`, time.Time{}, partial(""), 100, 2, true},
		{"nonsense", `"1"`, time.Time{}, partial("bytes -100-/-1"), 100, 2, true},
		{"shorter", `"1"`, time.Time{}, func(_ *file, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", "bytes */50")
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return true
		}, 100, 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &file{content: content(1000), etag: test.etag, modified: test.modified}
				first := true
				f.breaks = func() int {
					if first {
						first = false
						return test.breaks
					}
					return -1
				}
				f.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
					return n == 2 && test.next != nil && test.next(f, w, r)
				}
				var got bytes.Buffer
				err := f.download(t, &got).Run(t.Context())
				if n := f.requests.count(); n != test.wanted {
					t.Errorf("got %d requests, want %d", n, test.wanted)
				}
				if test.fails {
					if !errors.Is(err, transfer.ErrChanged) || got.Len() != test.breaks {
						t.Errorf("got %v after %d bytes, want ErrChanged after %d", err, got.Len(), test.breaks)
					}
				} else if err != nil || !bytes.Equal(got.Bytes(), f.content) {
					t.Errorf("got %d bytes, %v, want %d", got.Len(), err, len(f.content))
				}
			})
		})
	}
}

func partial(contentRange string) func(f *file, w http.ResponseWriter, r *http.Request) bool {
	return func(f *file, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Range", contentRange)
		w.WriteHeader(http.StatusPartialContent)
		w.Write(f.content[100:])
		return true
	}
}

// Parts of a file are put together, also if the server gives less than was asked for, and if its length is known later.
func TestDownloadParts(t *testing.T) {
	for _, size := range []string{"1000", "*"} {
		for _, whole := range []bool{false, true} { // the first answer breaks after the last byte
			t.Run(fmt.Sprint(size, whole), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &file{content: content(1000)}
					var got bytes.Buffer
					f.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
						w.Header().Set("ETag", `"1"`)
						if n == 1 {
							w.WriteHeader(200)
							w.Write(f.content[:map[bool]int{false: 100, true: 1000}[whole]])
							w.(http.Flusher).Flush()
							panic(http.ErrAbortHandler)
						}
						at := got.Len()
						if at == 1000 {
							w.Header().Set("Content-Range", "bytes */1000")
							w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
							return true
						}
						end := min(at+300, 1000)
						w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", at, end-1, size))
						w.WriteHeader(http.StatusPartialContent)
						w.Write(f.content[at:end])
						return true
					}
					d := f.download(t, &got)
					var received, total int64
					d.Progress = func(r, t int64) { received, total = r, t }
					err := d.Run(t.Context())
					if size == "*" && !whole {
						// Nothing says that there is more.
						if err != nil || got.Len() != 400 {
							t.Errorf("got %d bytes, %v", got.Len(), err)
						}
						return
					}
					if err != nil || !bytes.Equal(got.Bytes(), f.content) || received != 1000 || total != 1000 {
						t.Errorf("got %d bytes, %v, and the progress %d of %d, want 1000", got.Len(), err, received, total)
					}
				})
			})
		}
	}
}

// N90: nothing is written of a file that is said to be beyond the limit, and no more than the limit of one that turns out to be.
func TestDownloadTooLarge(t *testing.T) {
	for _, unknown := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &file{content: content(1 << 20), etag: `"1"`}
			f.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				if unknown {
					w.(http.Flusher).Flush()
					w.Write(f.content)
				}
				return unknown
			}
			var got bytes.Buffer
			d := f.download(t, &got)
			d.Limit = 1<<20 - 1
			err := d.Run(t.Context())
			if err != transfer.ErrTooLarge || int64(got.Len()) > d.Limit || !unknown && got.Len() > 0 {
				t.Errorf("got %v after %d bytes, want ErrTooLarge", err, got.Len())
			}
			if n := f.requests.count(); n != 1 {
				t.Errorf("got %d requests, want 1", n)
			}
		})
	}
}

// N90: what comes beyond the file's length isn't written.
func TestDownloadTooMuch(t *testing.T) {
	client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, ContentLength: 5, Body: io.NopCloser(strings.NewReader("hello!")), Request: r}, nil
	})}
	var got bytes.Buffer
	d := &transfer.Download{Client: client, URL: fileURL, Limit: 100, Dest: &got}
	if err := d.Run(t.Context()); err == nil || got.Len() > 0 {
		t.Errorf("got %v after %d bytes, want an error", err, got.Len())
	}
}

func TestDownloadRedirects(t *testing.T) {
	own := errors.New("not there")
	for _, test := range []struct {
		name  string
		times int
		to    string
		check func(*http.Request, []*http.Request) error
		fails string
	}{
		{"five", 5, "", nil, ""},
		{"six", 6, "", nil, "transfer: more than 5 redirects"},
		{"other scheme", 1, "ftp://im.example.com/x", nil, "transfer: redirected to something else than http or https"},
		{"no host", 1, "file:///etc/passwd", nil, "transfer: redirected to something else than http or https"},
		{"the client's own policy", 1, "", func(*http.Request, []*http.Request) error { return own }, "transfer: not there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &file{content: content(1000), etag: `"1"`}
				broke := false
				f.breaks = func() int { // redirected ranges are still ranges
					if broke {
						return -1
					}
					broke = true
					return 500
				}
				f.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					n, _ := strconv.Atoi(r.URL.RawQuery)
					if n == test.times {
						return false
					}
					to := test.to
					if to == "" {
						to = "http://other.example.com/y?" + strconv.Itoa(n+1)
					}
					w.Header().Set("Location", to)
					w.WriteHeader(http.StatusFound)
					return true
				}
				var got bytes.Buffer
				d := f.download(t, &got)
				d.Client.CheckRedirect = test.check
				err := d.Run(t.Context())
				if test.fails == "" {
					if err != nil || !bytes.Equal(got.Bytes(), f.content) {
						t.Errorf("got %d bytes, %v", got.Len(), err)
					}
				} else if err == nil || err.Error() != test.fails || f.requests.count() != min(test.times, 6) {
					t.Errorf("got %v after %d requests, want %s", err, f.requests.count(), test.fails)
				}
				if (d.Client.CheckRedirect == nil) != (test.check == nil) {
					t.Error("the client was changed")
				}
			})
		})
	}
}

func TestDownloadRefused(t *testing.T) {
	for status, final := range statuses {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := new(file)
				f.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					http.Error(w, "no way", status)
					return true
				}
				err := f.download(t, io.Discard).Run(t.Context())
				if !isStatus(err, status) {
					t.Errorf("got %v, want the status %d", err, status)
				}
				if n := f.requests.count(); n != map[bool]int{true: 1, false: 8}[final] {
					t.Errorf("got %d tries", n)
				}
				if e, _ := errors.AsType[*transfer.StatusError](err); e != nil && e.Message != "no way" && status != 304 {
					t.Errorf("got the message %q", e.Message)
				}
				if !final {
					f.requests.checkDelays(t, 0)
				}
			})
		})
	}
}

func TestDownloadDest(t *testing.T) {
	bad := errors.New("bad")
	for name, dest := range map[string]writer{
		"fails":       func(p []byte) (int, error) { return 0, bad },
		"takes a bit": func(p []byte) (int, error) { return 1, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &file{content: content(1000), etag: `"1"`}
				err := f.download(t, dest).Run(t.Context())
				if !errors.Is(err, transfer.ErrDest) || !errors.Is(err, bad) && !errors.Is(err, io.ErrShortWrite) {
					t.Errorf("got %v, want the destination's error", err)
				}
				if n := f.requests.count(); n != 1 {
					t.Errorf("got %d requests, want 1", n)
				}
			})
		})
	}
}

// The time of a URL may end at any time. What was received is not asked for again.
func TestDownloadRenewed(t *testing.T) {
	for _, test := range []struct {
		name           string
		breaks         []int // after how many bytes the answers break
		forbidden      []int // the requests that are refused
		wanted, renews int
		fails          bool
	}{
		{"at once", nil, []int{1}, 2, 1, false},
		{"later", []int{100}, []int{2}, 3, 1, false},
		{"each time", []int{100, 100, 100}, []int{1, 3, 5, 7}, 8, 4, false},
		{"for good", nil, []int{1, 2}, 2, 1, true},
		{"for good, later", []int{100}, []int{2, 3}, 3, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &file{content: content(1000), etag: `"1"`}
				f.breaks = func() int {
					if len(test.breaks) == 0 {
						return -1
					}
					n := test.breaks[0]
					test.breaks = test.breaks[1:]
					return n
				}
				renews := 0
				f.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
					if want := fmt.Sprint("renewed=", renews); renews > 0 && r.URL.RawQuery != want {
						t.Errorf("request %d is for %q, want %q", n, r.URL.RawQuery, want)
					}
					if !slices.Contains(test.forbidden, n) {
						return false
					}
					w.WriteHeader(http.StatusForbidden)
					return true
				}
				var got bytes.Buffer
				d := f.download(t, &got)
				p := &progress{t: t, size: 1000, whole: func() bool { return got.Len() == 1000 }}
				d.Progress = func(received, _ int64) { p.show(received) }
				d.Renew = func(context.Context) (string, error) {
					renews++
					return fmt.Sprint(fileURL, "?renewed=", renews), nil
				}
				err := d.Run(t.Context())
				if n := f.requests.count(); n != test.wanted || renews != test.renews {
					t.Errorf("got %d requests and %d calls of Renew, want %d and %d", n, renews, test.wanted, test.renews)
				}
				if test.fails {
					if !isStatus(err, http.StatusForbidden) {
						t.Errorf("got %v", err)
					}
				} else if p.check(); err != nil || !bytes.Equal(got.Bytes(), f.content) {
					t.Errorf("got %v and %d bytes", err, got.Len())
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := &file{before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		}}
		for _, address := range []string{"", "mailto:x", "media/x"} {
			d := f.download(t, io.Discard)
			d.Renew = func(context.Context) (string, error) { return address, nil }
			if err := d.Run(t.Context()); !isStatus(err, http.StatusForbidden) {
				t.Errorf("%q: got %v", address, err)
			}
		}
		d := f.download(t, io.Discard)
		d.Renew = func(context.Context) (string, error) { return "", errors.New("no") }
		if err := d.Run(t.Context()); !isStatus(err, http.StatusForbidden) {
			t.Errorf("got %v", err)
		}
	})
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestDownloadCanceled(t *testing.T) {
	for name, before := range map[string]func(int, http.ResponseWriter, *http.Request) bool{
		"asking": func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		},
		"receiving": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("ETag", `"1"`)
			w.Write(make([]byte, 100))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		},
		"receiving without a version": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			w.Write(make([]byte, 100))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		},
		"between tries": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &file{before: before}
				d := f.download(t, io.Discard)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				err := d.Run(ctx)
				if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
					t.Errorf("got %v after %v, want the context's error after 10s", err, took)
				}
				if n := f.requests.count(); n != 1 {
					t.Errorf("got %d requests, want 1", n)
				}
			})
		})
	}
}

// A server that sends nothing any more does not hold the download up for good. A Dest and a Progress may take long.
func TestDownloadStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{content: content(1000), etag: `"1"`}
		f.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				w.Header().Set("ETag", `"1"`)
				w.Header().Set("Content-Length", "1000")
				w.Write(f.content[:100])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
			return n == 1
		}
		var got bytes.Buffer
		d := f.download(t, writer(func(p []byte) (int, error) {
			time.Sleep(3 * time.Minute)
			return got.Write(p)
		}))
		d.Progress = func(int64, int64) { time.Sleep(3 * time.Minute) }
		start := time.Now()
		if err := d.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), f.content) || f.requests.count() != 2 {
			t.Errorf("got %d bytes in %d requests", got.Len(), f.requests.count())
		}
		if took := time.Since(start); took < 16*time.Minute || took > 20*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

func TestDownloadErrorsKeepSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) { return nil, errors.New("unreachable") })}
		d := &transfer.Download{Client: client, URL: "https://u:hunter2@im.example.com/v1?token=hunter2"}
		if err := d.Run(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	})
}
