package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/internal/transfer"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/inproc"
	"github.com/zim-go/zim/wire"
)

const ticket = "hunter2"

// A tus is a server for one upload.
type tus struct {
	t *testing.T
	// before may answer the nth request, and report that it did.
	before func(n int, w http.ResponseWriter, r *http.Request) bool
	// breaks returns after how many bytes a PATCH breaks. -1 is not at all; what is beyond the body: before the answer.
	breaks  func() int
	discard bool // don't keep what comes

	requests requests

	mu      sync.Mutex
	size    int64    // guarded by mu; -1 until the upload is created
	offset  int64    // guarded by mu
	got     []byte   // guarded by mu
	methods []string // guarded by mu
	deleted bool     // guarded by mu
}

func newTus(t *testing.T) *tus { return &tus{t: t, size: -1} }

func (s *tus) whole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offset == s.size
}

func (s *tus) trace() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.methods, " ")
}

func (s *tus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.requests.add()
	s.mu.Lock()
	s.methods = append(s.methods, r.Method)
	s.mu.Unlock()
	if v, a := r.Header.Get("Tus-Resumable"), r.Header.Get("Authorization"); v != "1.0.0" || a != "Bearer "+ticket {
		s.t.Errorf("%s: got Tus-Resumable %q and Authorization %q", r.Method, v, a)
	}
	if want := map[bool]string{true: "/v1/files", false: "/v1/files/1"}[r.Method == "POST"]; r.URL.Path != want {
		s.t.Errorf("%s: got the path %q, want %q", r.Method, r.URL.Path, want)
	}
	if s.before != nil && s.before(n, w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method {
	case "POST":
		s.size, _ = strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
		w.Header().Set("Location", "files/1")
		w.WriteHeader(http.StatusCreated)
	case "HEAD":
		w.Header().Set("Upload-Offset", strconv.FormatInt(s.offset, 10))
	case "PATCH":
		s.patch(w, r)
	case "DELETE":
		s.deleted = true
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *tus) patch(w http.ResponseWriter, r *http.Request) {
	offset, _ := strconv.ParseInt(r.Header.Get("Upload-Offset"), 10, 64)
	if kind := r.Header.Get("Content-Type"); offset != s.offset || offset+r.ContentLength > s.size || kind != "application/offset+octet-stream" {
		s.t.Errorf("got %d bytes of %q at %d, want the rest of %d bytes at %d", r.ContentLength, kind, offset, s.size, s.offset)
		w.WriteHeader(http.StatusConflict)
		return
	}
	limit := -1
	if s.breaks != nil {
		limit = s.breaks()
	}
	body := r.Body.(io.Reader)
	if limit >= 0 {
		body = io.LimitReader(body, int64(limit))
	}
	buf := make([]byte, 32<<10)
	for {
		s.mu.Unlock()
		n, err := body.Read(buf)
		s.mu.Lock()
		s.offset += int64(n)
		if !s.discard {
			s.got = append(s.got, buf[:n]...)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
	}
	if limit >= 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Upload-Offset", strconv.FormatInt(s.offset, 10))
	w.WriteHeader(http.StatusNoContent)
}

func (s *tus) check(want []byte) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size != int64(len(want)) || !bytes.Equal(s.got, want) || s.deleted {
		s.t.Errorf("the server has %d bytes of %d (deleted: %v), want the %d of the source", len(s.got), s.size, s.deleted, len(want))
	}
}

const filesURL = "https://im.example.com/v1/files"

func (s *tus) upload(t *testing.T, size int, source io.Reader) *transfer.Upload {
	return &transfer.Upload{Client: serve(t, s), URL: filesURL, Ticket: ticket, Size: int64(size), Source: source}
}

func TestUpload(t *testing.T) {
	for _, test := range []struct {
		size  int
		trace string
	}{
		{0, "POST"},
		{1, "POST PATCH"},
		{chunk - 1, "POST PATCH"},
		{chunk, "POST PATCH"},
		{chunk + 1, "POST PATCH PATCH"},
		{2*chunk + 12345, "POST PATCH PATCH PATCH"},
	} {
		t.Run(fmt.Sprint(test.size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, want := newTus(t), content(test.size)
				u := s.upload(t, test.size, bytes.NewReader(want))
				p := &progress{t: t, size: u.Size, whole: s.whole}
				u.Progress = p.show
				if err := u.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.check(want)
				p.check()
				if got := s.trace(); got != test.trace {
					t.Errorf("got %s, want %s", got, test.trace)
				}
			})
		})
	}
}

// However often it breaks, the server gets each byte once.
func TestUploadInterrupted(t *testing.T) {
	const size = 2*chunk + 12345
	for _, breaks := range []int{1, 2, 7, 40} {
		t.Run(fmt.Sprint(breaks), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, want := newTus(t), content(size)
				random, left := rand.New(rand.NewPCG(uint64(breaks), 0)), breaks
				s.breaks = func() int {
					if left == 0 {
						return -1
					}
					left--
					if random.IntN(4) == 0 {
						return chunk // the answer is lost
					}
					return random.IntN(size / breaks)
				}
				s.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
					switch random.IntN(12) {
					case 0:
						w.WriteHeader(http.StatusServiceUnavailable)
					case 1:
						w.WriteHeader(http.StatusLocked)
					case 2:
						if r.Method != "PATCH" {
							return false
						}
						w.WriteHeader(http.StatusConflict)
					case 3:
						panic(http.ErrAbortHandler)
					default:
						return false
					}
					return true
				}
				u := s.upload(t, size, slowReader{bytes.NewReader(want), 100_000, 10 * time.Millisecond})
				p := &progress{t: t, size: size, whole: s.whole}
				u.Progress = p.show
				if err := u.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.check(want)
				p.check()
			})
		})
	}
}

// As long as it gets on, it goes on: here with one byte per try.
func TestUploadGetsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, want := newTus(t), content(100)
		s.breaks = func() int { return 1 }
		u := s.upload(t, len(want), bytes.NewReader(want))
		if err := u.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.check(want)
	})
}

// The answer to the creation is lost: the next one is the same, or refused with its place.
func TestUploadCreationLost(t *testing.T) {
	for _, test := range []struct {
		status   int
		location string
		fails    int
	}{
		{201, "files/1", 0},
		{200, "/v1/files/1", 0},
		{409, filesURL + "/1", 0},
		{409, "", 409},
		{201, "", 0},
	} {
		t.Run(fmt.Sprint(test.status, test.location), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, want := newTus(t), content(100)
				s.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
					switch {
					case n <= 2:
						s.mu.Lock()
						s.size = 100
						s.mu.Unlock()
						panic(http.ErrAbortHandler)
					case n == 3:
						if test.location != "" {
							w.Header().Set("Location", test.location)
						}
						w.WriteHeader(test.status)
						return true
					}
					return false
				}
				err := s.upload(t, 100, bytes.NewReader(want)).Run(t.Context())
				if test.fails != 0 {
					if !isStatus(err, test.fails) {
						t.Errorf("got %v, want the status %d", err, test.fails)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				s.check(want)
				wantTrace := "POST POST POST HEAD PATCH"
				if test.location == "" {
					wantTrace = "POST POST POST POST HEAD PATCH"
				}
				if got := s.trace(); got != wantTrace {
					t.Errorf("got %s, want %s", got, wantTrace)
				}
			})
		})
	}
}

// Refusals are final or not, whatever they refuse.
func TestUploadRefused(t *testing.T) {
	for _, method := range []string{"POST", "PATCH", "HEAD"} {
		for status, final := range statuses {
			t.Run(fmt.Sprint(method, status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newTus(t)
					refusals, text := 0, "no\x1b[31m way"+strings.Repeat("é", 1000)
					s.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
						if method == "HEAD" && r.Method == "PATCH" {
							panic(http.ErrAbortHandler)
						}
						if r.Method != method {
							return false
						}
						refusals++
						w.Header().Set("Location", "https://im.example.com/v1/elsewhere")
						http.Error(w, text, status)
						return true
					}
					err := s.upload(t, 100, bytes.NewReader(content(100))).Run(t.Context())
					want, wantRefusals := fmt.Sprintf("transfer: the server answered %d %s", status, http.StatusText(status)), 1
					want = strings.TrimSpace(want)
					if !final {
						want, wantRefusals = want+" (8 tries)", 8
						if method == "HEAD" {
							wantRefusals = 7 // and one PATCH
						}
					}
					if !isStatus(err, status) || err.Error() != want {
						t.Errorf("got %q, want %q", err, want)
					}
					if refusals != wantRefusals {
						t.Errorf("got %d tries, want %d", refusals, wantRefusals)
					}
					wantMessage := text[:255] // there is half a letter at its end
					if method == "HEAD" || status == 304 {
						wantMessage = ""
					}
					if e, _ := errors.AsType[*transfer.StatusError](err); e != nil && e.Message != wantMessage {
						t.Errorf("got the message %q, want %q", e.Message, wantMessage)
					}
					if s.deleted != (method != "POST") {
						t.Errorf("deleted: %v", s.deleted)
					}
				})
			})
		}
	}
}

func TestUploadDelays(t *testing.T) {
	for _, test := range []struct {
		name   string
		after  func() string
		status int
		delay  time.Duration
		tries  int
	}{
		{"backoff", func() string { return "" }, 503, 0, 8},
		{"Retry-After", func() string { return "30" }, 429, 30 * time.Second, 8},
		{"Retry-After of another status", func() string { return "60" }, 503, time.Minute, 8},
		{"date", func() string { return time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat) }, 429, 29 * time.Second, 8},
		{"past", func() string { return "Fri, 31 Dec 1999 23:59:59 GMT" }, 429, 0, 8},
		{"nonsense", func() string { return "-1" }, 429, 0, 8},
		{"too long", func() string { return "61" }, 429, 0, 1},
		{"for ever", func() string { return "99999999999999999999" }, 429, 0, 8},
		{"the connection breaks", nil, 0, 0, 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTus(t)
				s.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					if test.status == 0 {
						panic(http.ErrAbortHandler)
					}
					w.Header().Set("Retry-After", test.after())
					w.WriteHeader(test.status)
					return true
				}
				err := s.upload(t, 100, bytes.NewReader(content(100))).Run(t.Context())
				if err == nil || test.status != 0 && !isStatus(err, test.status) {
					t.Errorf("got %v, want the status %d", err, test.status)
				}
				if got := s.requests.count(); got != test.tries {
					t.Errorf("got %d tries, want %d", got, test.tries)
				}
				if test.name == "date" {
					return // to the second only
				}
				if test.tries > 1 {
					s.requests.checkDelays(t, test.delay)
				}
			})
		})
	}
}

// Wherever an upload is, it ends with its context, and the server is told once.
func TestUploadCanceled(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(n int, w http.ResponseWriter, r *http.Request) bool
		source io.Reader
		after  time.Duration // of the cancellation
		trace  string
	}{
		{"creating", func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}, nil, 0, "POST"},
		{"sending", func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PATCH" {
				io.ReadFull(r.Body, make([]byte, 10_000))
				time.Sleep(time.Hour)
			}
			return false
		}, nil, 0, "POST PATCH DELETE"},
		{"waiting for the answer", func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PATCH" {
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			}
			return false
		}, nil, 0, "POST PATCH DELETE"},
		{"between tries", func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.Method != "PATCH" {
				return false
			}
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}, nil, 0, "POST PATCH DELETE"},
		{"with a server that does not delete", func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PATCH" || r.Method == "DELETE" {
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			}
			return false
		}, nil, 2 * time.Second, "POST PATCH DELETE"},
		{"reading", nil, slowReader{bytes.NewReader(content(100_000)), 100, 100 * time.Millisecond}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTus(t)
				s.before = test.before
				source := test.source
				if source == nil {
					source = bytes.NewReader(content(100_000))
				}
				u := s.upload(t, 100_000, source)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				err := u.Run(ctx)
				took := time.Since(start) - 10*time.Second
				if test.source != nil {
					took = max(0, took-100*time.Millisecond) // for the Read
				}
				if !errors.Is(err, context.DeadlineExceeded) || took != test.after {
					t.Errorf("got %v %v after the end of the context, want its error after %v", err, took, test.after)
				}
				if got := s.trace(); got != test.trace {
					t.Errorf("got %s, want %s", got, test.trace)
				}
			})
		})
	}
}

// A source that isn't what was said is never sent to its end.
func TestUploadSource(t *testing.T) {
	bad := errors.New("bad")
	for _, test := range []struct {
		name   string
		size   int
		source io.Reader
		cause  error
		want   string
		trace  string
	}{
		{"too short", 100, bytes.NewReader(content(99)), nil, "it ended after 99 of 100 bytes", ""},
		{"empty", 100, bytes.NewReader(nil), nil, "it ended after 0 of 100 bytes", ""},
		{"too long", 100, bytes.NewReader(content(101)), nil, "it has more than 100 bytes", ""},
		{"not empty", 0, bytes.NewReader(content(1)), nil, "it has more than 0 bytes", ""},
		{"negative", -1, bytes.NewReader(nil), nil, "its size is negative", ""},
		{"fails", 100, failing(content(50), bad), bad, "bad", ""},
		{"fails at its end", 100, failing(content(100), bad), bad, "bad", ""},
		{"too short later", chunk + 2, bytes.NewReader(content(chunk + 1)), nil, "it ended after 4194305 of 4194306 bytes", "POST PATCH DELETE"},
		{"ends with a chunk", chunk + 2, bytes.NewReader(content(chunk)), nil, "it ended after 4194304 of 4194306 bytes", "POST PATCH DELETE"},
		{"too long later", chunk + 2, bytes.NewReader(content(chunk + 3)), nil, "it has more than 4194306 bytes", "POST PATCH DELETE"},
		{"fails later", chunk + 2, failing(content(chunk+1), bad), bad, "bad", "POST PATCH DELETE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTus(t)
				err := s.upload(t, test.size, test.source).Run(t.Context())
				if want := "transfer: bad source: " + test.want; !errors.Is(err, transfer.ErrSource) || err.Error() != want || test.cause != nil && !errors.Is(err, test.cause) {
					t.Errorf("got %v, want %s", err, want)
				}
				if got := s.trace(); got != test.trace {
					t.Errorf("got %q, want %q", got, test.trace)
				}
			})
		})
	}
}

// The progress goes on within a chunk, with the speed of the server.
func TestUploadProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = chunk + 1000
		s, want := newTus(t), content(size)
		s.before = func(n int, _ http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PATCH" {
				r.Body = io.NopCloser(slowReader{r.Body, 10_000, 5 * time.Millisecond})
			}
			return false
		}
		lost := false
		s.breaks = func() int {
			if lost {
				return -1
			}
			lost = true
			return chunk / 2
		}
		u := s.upload(t, size, bytes.NewReader(want))
		p := &progress{t: t, size: size, whole: s.whole}
		u.Progress = p.show
		if err := u.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.check(want)
		p.check()
		if n := len(p.seen); n < 15 || n > 40 {
			t.Errorf("got %d calls of Progress in about 2s, %v", n, p.seen)
		}
	})
}

// All of it works without a network, too.
func TestInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = chunk + 12345
		s, want := newTus(t), content(size)
		lost := false
		s.breaks = func() int {
			if lost {
				return -1
			}
			lost = true
			return 100_000
		}
		f := &file{content: want, etag: `"1"`}
		fail := true
		f.breaks = func() int {
			if !fail {
				return -1
			}
			fail = false
			return 100_000
		}
		mux := http.NewServeMux()
		mux.Handle("/v1/", s)
		mux.Handle("/media/", f)
		conn, err := inproc.Dialer{
			Attach: func(*inproc.Peer) (inproc.Handler, error) { return nobody{}, nil },
			Files:  mux,
		}.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		client, base := conn.(transport.FileServer).Files()
		u := &transfer.Upload{Client: client, URL: base.JoinPath("v1/files").String(), Ticket: ticket, Size: size, Source: bytes.NewReader(want)}
		if err := u.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.check(want)
		if got, want := s.trace(), "POST PATCH HEAD PATCH PATCH"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		var got bytes.Buffer
		d := &transfer.Download{Client: client, URL: base.JoinPath("media/x").String(), Limit: size, Dest: &got}
		if err := d.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) || f.requests.count() != 2 {
			t.Errorf("got %d bytes in %d requests, want %d in 2", got.Len(), f.requests.count(), size)
		}
	})
}

type nobody struct{}

func (nobody) Handle(uint64, *wire.Request) {}
func (nobody) Detached()                    {}

// A server that takes nothing any more does not hold the upload up for good, and Progress may take long.
func TestUploadStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, want := newTus(t), content(chunk)
		first := true
		s.before = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			if r.Method == "PATCH" && first {
				first = false
				io.ReadFull(r.Body, make([]byte, 10_000))
				time.Sleep(time.Hour)
				panic(http.ErrAbortHandler)
			}
			return false
		}
		u := s.upload(t, chunk, bytes.NewReader(want))
		u.Progress = func(n int64) { time.Sleep(3 * time.Minute) }
		start := time.Now()
		if err := u.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.check(want)
		// Three calls of Progress, or four, and a minute.
		if took := time.Since(start); took < 10*time.Minute || took > 14*time.Minute {
			t.Errorf("it took %v", took)
		}
		if got, want := s.trace(), "POST PATCH HEAD PATCH"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// What a server makes up ends the upload soon, one way or another.
func TestUploadHostile(t *testing.T) {
	for _, test := range []struct {
		name    string
		method  string
		headers map[string]string
		final   bool
	}{
		{"no Location", "POST", nil, false},
		{"bad Location", "POST", map[string]string{"Location": "https://[/"}, true},
		{"other scheme", "POST", map[string]string{"Location": "ftp://im.example.com/v1/files/1"}, true},
		{"in the clear", "POST", map[string]string{"Location": "http://im.example.com/v1/files/1"}, true},
		{"no offset", "PATCH", nil, false},
		{"bad offset", "PATCH", map[string]string{"Upload-Offset": "0x10"}, false},
		{"took nothing", "PATCH", map[string]string{"Upload-Offset": "0"}, false},
		{"negative", "PATCH", map[string]string{"Upload-Offset": "-1"}, true},
		{"too much", "PATCH", map[string]string{"Upload-Offset": "101"}, true},
		{"huge", "PATCH", map[string]string{"Upload-Offset": "9223372036854775807"}, true},
		{"HEAD: no offset", "HEAD", nil, false},
		{"HEAD: too much", "HEAD", map[string]string{"Upload-Offset": "101"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTus(t)
				tries := 0
				s.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					if test.method == "HEAD" && r.Method == "PATCH" {
						panic(http.ErrAbortHandler)
					}
					if r.Method != test.method {
						return false
					}
					tries++
					for k, v := range test.headers {
						w.Header().Set(k, v)
					}
					w.WriteHeader(http.StatusCreated)
					return true
				}
				err := s.upload(t, 100, bytes.NewReader(content(100))).Run(t.Context())
				if err == nil || tries > 8 || (tries == 1) != test.final {
					t.Errorf("got %v after %d tries", err, tries)
				}
			})
		})
	}
}

// A server that lost bytes of this chunk gets them again. It gets no earlier ones.
func TestUploadServerLoses(t *testing.T) {
	for _, test := range []struct {
		size, at, back int
		fails          bool
	}{
		{1000, 900, 300, false},
		{chunk + 1000, chunk + 900, chunk, false},
		{chunk + 1000, chunk + 900, chunk - 1, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, want := newTus(t), content(test.size)
			total := 0
			s.breaks = func() int {
				if total++; test.size < chunk && total == 1 || test.size > chunk && total == 2 {
					return test.at % chunk
				}
				return -1
			}
			s.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				if r.Method == "HEAD" {
					s.mu.Lock()
					s.got, s.offset = s.got[:test.back], int64(test.back)
					s.mu.Unlock()
				}
				return false
			}
			u := s.upload(t, test.size, bytes.NewReader(want))
			p := &progress{t: t, size: u.Size, whole: s.whole}
			u.Progress = p.show
			err := u.Run(t.Context())
			if (err != nil) != test.fails {
				t.Errorf("got %v", err)
			}
			if !test.fails {
				s.check(want)
				p.check()
			}
		})
	}
}

// Nothing that is secret is in an error.
func TestUploadErrorsKeepSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) { return nil, errors.New("unreachable") })}
		u := &transfer.Upload{Client: client, URL: "https://u:hunter2@im.example.com/v1?token=hunter2", Ticket: ticket, Source: bytes.NewReader(nil)}
		if err := u.Run(t.Context()); err == nil || err.Error() != "transfer: unreachable (8 tries)" {
			t.Errorf("got %v", err)
		}
	})
	for _, url := range []string{"hunter2", "/hunter2", "ftp://hunter2/", "https:hunter2", "https://hunter2:x/", "https:///hunter2", ""} {
		u := &transfer.Upload{URL: url, Ticket: ticket, Source: bytes.NewReader(nil)}
		d := &transfer.Download{URL: url}
		for _, err := range []error{u.Run(t.Context()), d.Run(t.Context())} {
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: got %v", url, err)
			}
		}
	}
}

// A tripper is an http.RoundTripper.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A client that goes on reading a body after the request is over sees nothing of the next chunk.
func TestUploadBodyIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []io.ReadCloser
		offset := int64(0)
		client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			h := http.Header{"Location": {"/1"}}
			if r.Method == "PATCH" {
				r.Body.Read(make([]byte, 10))
				bodies = append(bodies, r.Body)
				offset += r.ContentLength
				h.Set("Upload-Offset", strconv.FormatInt(offset, 10))
			}
			return &http.Response{StatusCode: 201, Header: h, Body: http.NoBody, Request: r}, nil
		})}
		u := &transfer.Upload{Client: client, URL: filesURL, Size: 2 * chunk, Source: bytes.NewReader(content(2 * chunk))}
		if err := u.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, b := range bodies {
			if n, err := b.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
				t.Errorf("got %d, %v, want an error", n, err)
			}
		}
	})
}
