package inproc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/inproc"
	"github.com/zim-go/zim/wire"
)

// files returns a client for the files that handler serves.
func files(t *testing.T, handler http.HandlerFunc) (*http.Client, *url.URL) {
	t.Helper()
	conn, err := inproc.Dialer{
		Attach: func(*inproc.Peer) (inproc.Handler, error) { return new(backend), nil },
		Files:  handler,
	}.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(transport.FileServer).Files()
}

// inBubble runs test with a client for the files that handler serves. Every handler must have returned when it is over.
func inBubble(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, client *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, _ := files(t, handler)
		test(t, client)
	})
}

const base = "http://in-process/"

func TestNoFiles(t *testing.T) {
	conn, _ := dial(t, &backend{handle: func(uint64, *wire.Request) {}})
	if client, u := conn.(transport.FileServer).Files(); client != nil || u != nil {
		t.Errorf("got %v and %v, want nil and nil", client, u)
	}
}

// The handler sees what a server sees, and the client what it would of one.
func TestRequest(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		got := fmt.Sprint(r.Method, " ", r.Host, " ", r.URL, " ", r.RequestURI, " ", r.Proto, " ", r.ContentLength, " ", r.Header.Get("X-A"))
		if want := "POST in-process /media/x?a=b /media/x?a=b HTTP/1.1 5 1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if b, err := io.ReadAll(r.Body); string(b) != "hello" || err != nil {
			t.Errorf("body: got %q, %v, want hello", b, err)
		}
		r.Header.Set("X-A", "2")
		w.Header().Set("Location", "y")
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("Location", "too late")
		io.WriteString(w, "bye")
	}, func(t *testing.T, client *http.Client) {
		_, u := files(t, func(http.ResponseWriter, *http.Request) {})
		req, _ := http.NewRequest("POST", u.String()+"media/x?a=b#c", strings.NewReader("hello"))
		req.Header.Set("X-A", "1")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if string(b) != "bye" || err != nil || resp.Status != "201 Created" || resp.Header.Get("Location") != "y" || resp.ContentLength != -1 {
			t.Errorf("got %q, %v, %+v", b, err, resp)
		}
		if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("got the Content-Type %q", got)
		}
		if got := req.Header.Get("X-A"); got != "1" {
			t.Errorf("the client's header became %q", got)
		}
	})
}

// What a handler declares is what the client gets, or an error.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		method string
		handle func(w http.ResponseWriter)
		status int
		length int64
		body   string
		err    error
	}{
		{"nothing", "GET", func(http.ResponseWriter) {}, 200, 0, "", nil},
		{"no content", "GET", func(w http.ResponseWriter) { w.WriteHeader(204) }, 204, 0, "", nil},
		{"status", "GET", func(w http.ResponseWriter) { w.WriteHeader(404) }, 404, 0, "", nil},
		{"early hints", "GET", func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(404) }, 404, 0, "", nil},
		{"two statuses", "GET", func(w http.ResponseWriter) { w.WriteHeader(404); w.WriteHeader(200) }, 404, 0, "", nil},
		{"declared", "GET", func(w http.ResponseWriter) { w.Header().Set("Content-Length", "2"); io.WriteString(w, "hi") }, 200, 2, "hi", nil},
		{"declared nonsense", "GET", func(w http.ResponseWriter) { w.Header().Set("Content-Length", "-2"); io.WriteString(w, "hi") }, 200, -1, "hi", nil},
		{"flushed", "GET", func(w http.ResponseWriter) { w.(http.Flusher).Flush(); io.WriteString(w, "hi") }, 200, -1, "hi", nil},
		{"head", "HEAD", func(w http.ResponseWriter) { w.Header().Set("Content-Length", "2"); io.WriteString(w, "hi") }, 200, 2, "", nil},
		{"head of unknown length", "HEAD", func(w http.ResponseWriter) { io.WriteString(w, "hi") }, 200, -1, "", nil},
		{"too short", "GET", func(w http.ResponseWriter) { w.Header().Set("Content-Length", "3"); io.WriteString(w, "hi") }, 200, 3, "hi", io.ErrUnexpectedEOF},
		{"declared and nothing", "GET", func(w http.ResponseWriter) { w.Header().Set("Content-Length", "3") }, 200, 3, "", io.ErrUnexpectedEOF},
		{"too long", "GET", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "2")
			io.WriteString(w, "hi")
			if n, err := io.WriteString(w, "!"); n != 0 || err != http.ErrContentLength {
				t.Errorf("got %d, %v, want http.ErrContentLength", n, err)
			}
		}, 200, 2, "hi", nil},
		{"body not allowed", "GET", func(w http.ResponseWriter) {
			w.WriteHeader(204)
			if n, err := io.WriteString(w, "!"); n != 0 || err != http.ErrBodyNotAllowed {
				t.Errorf("got %d, %v, want http.ErrBodyNotAllowed", n, err)
			}
		}, 204, 0, "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(w http.ResponseWriter, r *http.Request) { test.handle(w) }, func(t *testing.T, client *http.Client) {
				req, _ := http.NewRequest(test.method, base, nil)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				if resp.StatusCode != test.status || resp.ContentLength != test.length || string(b) != test.body || err != test.err {
					t.Errorf("got %d, %d, %q, %v, want %d, %d, %q, %v", resp.StatusCode, resp.ContentLength, b, err,
						test.status, test.length, test.body, test.err)
				}
			})
		})
	}
}

// An answer without a body waits for the handler, so that the next request finds nothing of this one.
func TestAnswerAfterReturn(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		if r.URL.RawQuery == "flush" {
			w.(http.Flusher).Flush()
		}
		time.Sleep(time.Second)
	}, func(t *testing.T, client *http.Client) {
		for query, want := range map[string]time.Duration{"": time.Second, "?flush": 0} {
			start := time.Now()
			if _, err := client.Get(base + query); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("%q: the answer came after %v, want %v", query, took, want)
			}
		}
		time.Sleep(time.Second) // until the handlers have returned
	})
}

// Both bodies are streamed, at the speed of the slower side.
func TestSlow(t *testing.T) {
	const pieces, piece = 100, 1000
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, piece)
		for range pieces {
			time.Sleep(time.Second)
			if _, err := io.ReadFull(r.Body, b); err != nil {
				t.Errorf("the request's body: %v", err)
			}
			w.Write(b) // the client has not sent its body to the end
		}
		if n, err := r.Body.Read(b); n != 0 || err != io.EOF {
			t.Errorf("got %d, %v, want io.EOF", n, err)
		}
	}, func(t *testing.T, client *http.Client) {
		r, w := io.Pipe()
		sent := sha256.New()
		go func() {
			defer w.Close()
			for n := range pieces {
				time.Sleep(3 * time.Second)
				io.MultiWriter(w, sent).Write(bytes.Repeat([]byte{byte(n)}, piece))
			}
		}()
		start := time.Now()
		resp, err := client.Post(base, "", r)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the answer came after %v", took)
		}
		received, b := sha256.New(), make([]byte, 77)
		for err == nil {
			var n int
			n, err = resp.Body.Read(b)
			received.Write(b[:n])
			if n > 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if err != io.EOF || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
			t.Errorf("got %v and other bytes", err)
		}
		if took := time.Since(start); took < 3*pieces*time.Second || took > 4*pieces*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestBigBodies(t *testing.T) {
	const size = 64 << 20
	client, _ := files(t, func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(w, r.Body); n != size || err != nil {
			t.Errorf("the handler copied %d bytes: %v", n, err)
		}
	})
	resp, err := client.Post(base, "", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("got %d bytes, %v, want %d", n, err, size)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A tracked body tells that it was closed. Until then, it has one byte and no more.
type tracked struct {
	first  bool
	closed chan struct{}
}

func newTracked() *tracked { return &tracked{closed: make(chan struct{})} }

func (b *tracked) Read(p []byte) (int, error) {
	if !b.first {
		b.first = true
		return copy(p, "x"), nil
	}
	<-b.closed
	return 0, errors.New("closed")
}

func (b *tracked) Close() error {
	close(b.closed) // panics if it isn't the first
	return nil
}

// Whatever ends a request, the handler and the client hear of it at once, and the request's body is closed, once.
func TestEnds(t *testing.T) {
	cause := errors.New("changed my mind")
	for _, test := range []struct {
		name string
		// client ends the request, whose answer began.
		client func(cancel context.CancelCauseFunc, resp *http.Response)
		err    error // what the client reads
	}{
		{"close", func(_ context.CancelCauseFunc, resp *http.Response) { resp.Body.Close() }, io.ErrClosedPipe},
		{"close twice", func(_ context.CancelCauseFunc, resp *http.Response) { resp.Body.Close(); resp.Body.Close() }, io.ErrClosedPipe},
		{"cancel", func(cancel context.CancelCauseFunc, _ *http.Response) { cancel(cause) }, cause},
		{"cancel and close", func(cancel context.CancelCauseFunc, resp *http.Response) { cancel(cause); resp.Body.Close() }, nil},
	} {
		for _, doing := range []string{"reading", "writing", "waiting"} {
			t.Run(test.name+"/"+doing, func(t *testing.T) {
				ended := make(chan error, 1)
				inBubble(t, func(w http.ResponseWriter, r *http.Request) {
					io.ReadFull(r.Body, make([]byte, 1))
					w.(http.Flusher).Flush()
					var err error
					switch doing {
					case "reading":
						_, err = r.Body.Read(make([]byte, 1))
						if err != io.ErrUnexpectedEOF {
							t.Errorf("the body: got %v, want io.ErrUnexpectedEOF", err)
						}
					case "writing":
						_, err = w.Write(make([]byte, 1))
						if err != io.ErrClosedPipe {
							t.Errorf("the writing: got %v, want io.ErrClosedPipe", err)
						}
					}
					<-r.Context().Done()
					ended <- r.Context().Err()
				}, func(t *testing.T, client *http.Client) {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					b := newTracked()
					req, _ := http.NewRequestWithContext(ctx, "POST", base, b)
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					start := time.Now()
					test.client(cancel, resp)
					if err := <-ended; !errors.Is(err, context.Canceled) {
						t.Errorf("the handler's context: got %v", err)
					}
					<-b.closed
					if took := time.Since(start); took > 0 {
						t.Errorf("it took %v", took)
					}
					if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err == nil || test.err != nil && !errors.Is(err, test.err) {
						t.Errorf("the client read %d bytes, %v, want %v", n, err, test.err)
					}
				})
			})
		}
	}
}

// A request is over for its client when its context ends, whatever the handler does.
func TestCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		client, _ := files(t, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			<-free
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 2 { // and once with a context that has ended
			b := newTracked()
			req, _ := http.NewRequestWithContext(ctx, "POST", base, b)
			if _, err := client.Do(req); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want context.DeadlineExceeded", err)
			}
			<-b.closed
		}
		close(free)
	})
}

// A client's body that fails, or is not as long as was said, fails the request. The handler learns that it isn't whole.
func TestBadBody(t *testing.T) {
	bad := errors.New("bad")
	for _, test := range []struct {
		name   string
		body   io.Reader
		length int64
		read   string
		err    error // the handler's
		fails  error // the client's
	}{
		{"whole", strings.NewReader("hello"), 5, "hello", nil, nil},
		{"of unknown length", io.MultiReader(strings.NewReader("hello")), -1, "hello", nil, nil},
		{"too long", io.MultiReader(strings.NewReader("hello!")), 5, "hello", nil, nil},
		{"too short", io.MultiReader(strings.NewReader("hell")), 5, "hell", io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		{"fails", io.MultiReader(strings.NewReader("he"), failing{bad}), -1, "he", io.ErrUnexpectedEOF, bad},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(_ http.ResponseWriter, r *http.Request) {
				if b, err := io.ReadAll(r.Body); string(b) != test.read || err != test.err {
					t.Errorf("got %q, %v, want %q, %v", b, err, test.read, test.err)
				}
				r.Body.Close()
				if _, err := r.Body.Read(make([]byte, 1)); err == nil {
					t.Error("a body can be read after Close")
				}
			}, func(t *testing.T, client *http.Client) {
				req, _ := http.NewRequest("POST", base, test.body)
				req.ContentLength = test.length
				if _, err := client.Do(req); !errors.Is(err, test.fails) {
					t.Errorf("got %v, want %v", err, test.fails)
				}
			})
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A handler can bound its reading, and interrupt it.
func TestReadDeadline(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(rc *http.ResponseController)
		took time.Duration
	}{
		{"later", func(rc *http.ResponseController) { rc.SetReadDeadline(time.Now().Add(time.Minute)) }, time.Minute},
		{"now", func(rc *http.ResponseController) { rc.SetReadDeadline(time.Now()) }, 0},
		{"earlier", func(rc *http.ResponseController) {
			rc.SetReadDeadline(time.Now().Add(time.Hour))
			rc.SetReadDeadline(time.Now().Add(time.Minute))
		}, time.Minute},
		{"none after all", func(rc *http.ResponseController) {
			rc.SetReadDeadline(time.Now().Add(time.Minute))
			rc.SetReadDeadline(time.Time{})
			time.AfterFunc(time.Hour, func() { rc.SetReadDeadline(time.Now()) })
		}, time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				start := time.Now()
				test.set(rc)
				if _, err := io.ReadAll(r.Body); err != os.ErrDeadlineExceeded || time.Since(start) != test.took {
					t.Errorf("got %v after %v, want os.ErrDeadlineExceeded after %v", err, time.Since(start), test.took)
				}
				if err := rc.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
					t.Error(err)
				}
				w.WriteHeader(http.StatusRequestTimeout)
			}, func(t *testing.T, client *http.Client) {
				resp, err := client.Post(base, "", newTracked())
				if err != nil || resp.StatusCode != http.StatusRequestTimeout {
					t.Errorf("got %v, %v, want the handler's answer", resp, err)
				}
			})
		})
	}
}

// A handler need not wait for ever for a client that does not read.
func TestWriteDeadline(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(rc *http.ResponseController)
		took time.Duration
	}{
		"later": {func(rc *http.ResponseController) { rc.SetWriteDeadline(time.Now().Add(time.Minute)) }, time.Minute},
		"now": {func(rc *http.ResponseController) {
			time.AfterFunc(time.Second, func() { rc.SetWriteDeadline(time.Unix(1, 0)) })
		}, time.Second},
		"none after all": {func(rc *http.ResponseController) {
			rc.SetWriteDeadline(time.Now().Add(time.Minute))
			rc.SetWriteDeadline(time.Time{})
			time.AfterFunc(time.Hour, func() { rc.SetWriteDeadline(time.Now()) })
		}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w http.ResponseWriter, r *http.Request) {
				start := time.Now()
				test.set(http.NewResponseController(w))
				w.Write([]byte("hi"))
				if _, err := w.Write([]byte("more")); err == nil || time.Since(start) != test.took {
					t.Errorf("got %v after %v, want an error after %v", err, time.Since(start), test.took)
				}
			}, func(t *testing.T, client *http.Client) {
				resp, err := client.Get(base)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				io.ReadFull(resp.Body, make([]byte, 2))
				time.Sleep(2 * time.Hour)
				if _, err := io.ReadAll(resp.Body); err == nil {
					t.Error("the answer is complete")
				}
			})
		})
	}
}

func TestResponseController(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		for name, err := range map[string]error{"Flush": rc.Flush(), "EnableFullDuplex": rc.EnableFullDuplex(), "SetReadDeadline": rc.SetReadDeadline(time.Time{}), "SetWriteDeadline": rc.SetWriteDeadline(time.Time{})} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := rc.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: got %v, want http.ErrNotSupported", err)
		}
	}, func(t *testing.T, client *http.Client) { client.Get(base) })
}

func TestAbort(t *testing.T) {
	for _, early := range []bool{true, false} {
		inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
			if !early {
				io.WriteString(w, "hi")
			}
			panic(http.ErrAbortHandler)
		}, func(t *testing.T, client *http.Client) {
			resp, err := client.Get(base)
			if early {
				if err == nil {
					t.Errorf("got %v, want an error", resp)
				}
				return
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "hi" || err == nil {
				t.Errorf("got %q, %v, want hi and an error", b, err)
			}
		})
	}
}

// Other panics are nobody's to hide. They end the process, so that it takes one of its own.
func TestPanic(t *testing.T) {
	if os.Getenv("INPROC_PANIC") != "" {
		client, _ := files(t, func(http.ResponseWriter, *http.Request) { panic("a bug") })
		client.Get(base)
		time.Sleep(time.Minute)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPanic$")
	cmd.Env = append(os.Environ(), "INPROC_PANIC=1")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "panic: a bug") {
		t.Errorf("got %v and the output\n%s\nwant the handler's panic", err, out)
	}
}

// Files that net/http serves arrive whole, and in parts.
func TestServeContent(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.bin", time.Time{}, strings.NewReader(content))
	}, func(t *testing.T, client *http.Client) {
		for span, want := range map[string]string{"": content, "bytes=999990-": "0123456789"} {
			req, _ := http.NewRequest("GET", base, nil)
			if span != "" {
				req.Header.Set("Range", span)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != want || err != nil || resp.ContentLength != int64(len(want)) {
				t.Errorf("%q: got %d bytes of %d, %v, want %d", span, len(b), resp.ContentLength, err, len(want))
			}
		}
	})
}
