package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/websocket"
)

// A tripper is an http.RoundTripper.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Which addresses are dialed at all.
func TestURL(t *testing.T) {
	for _, test := range []struct {
		url       string
		plaintext bool
		dialed    bool
	}{
		{"wss://im.example.com/v1", false, true},
		{"WSS://im.example.com", false, true},
		{"wss://im.example.com/v1", true, true},
		{"ws://im.example.com/v1", true, true},
		{"ws://localhost/v1", false, true},
		{"ws://LOCALHOST:8080/v1", false, true},
		{"ws://127.0.0.1:8080/v1", false, true},
		{"ws://127.1.2.3/v1", false, true},
		{"ws://[::1]:8080/v1", false, true},
		{"ws://im.example.com/v1", false, false},
		{"ws://localhost.example.com/v1", false, false},
		{"ws://127.0.0.1.example.com/v1", false, false},
		{"ws://localhost@im.example.com/v1", false, false},
		{"ws://127.1/v1", false, false},
		{"ws://0x7f.0.0.1/v1", false, false},
		{"ws://2130706433/v1", false, false},
		{"ws://0.0.0.0/v1", false, false},
		{"ws://10.0.0.1/v1", false, false},
		{"ws://[::2]/v1", false, false},
		{"http://localhost/v1", true, false},
		{"https://im.example.com/v1", true, false},
		{"ftp://localhost/v1", true, false},
		{"localhost:8080/v1", true, false},
		{"//localhost/v1", true, false},
		{"wss:///v1", true, false},
		{"wss://im.example.com/%zz", true, false},
		{"wss://im.example.com:port/v1", true, false},
		{"", true, false},
	} {
		t.Run(fmt.Sprintf("%s/AllowPlaintext=%v", test.url, test.plaintext), func(t *testing.T) {
			unreachable := errors.New("unreachable")
			dialed := false
			client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
				dialed = true
				return nil, unreachable
			})}
			_, err := websocket.Dialer{URL: test.url, HTTPClient: client, AllowPlaintext: test.plaintext}.Dial(t.Context())
			want := unreachable
			if !test.dialed {
				want = transport.ErrMisconfigured
			}
			if dialed != test.dialed || !errors.Is(err, want) {
				t.Errorf("got dialed: %v, %v, want %v, %v", dialed, err, test.dialed, want)
			}
		})
	}
}

// What is secret in an address shows in no error.
func TestErrorsKeepSecrets(t *testing.T) {
	const secret = "hunter2"
	answer := func(status int) tripper {
		return func(r *http.Request) (*http.Response, error) {
			body := io.NopCloser(strings.NewReader("no access for " + r.URL.String()))
			return &http.Response{StatusCode: status, Status: "100 " + r.URL.String(), Body: body, Header: http.Header{"Location": {r.URL.String()}}, Request: r}, nil
		}
	}
	for _, test := range []struct {
		name, url string
		transport tripper
		want      string
	}{
		{"refused", "wss://u:hunter2@im.example.com/v1?token=hunter2", answer(403), "the server answered 403 Forbidden"},
		{"unavailable", "wss://u:hunter2@im.example.com/v1?token=hunter2", answer(503), "the server answered 503 Service Unavailable"},
		{"redirected", "wss://u:hunter2@im.example.com/v1?token=hunter2", answer(301), "the server answered 301 Moved Permanently"},
		{"no WebSocket", "wss://u:hunter2@im.example.com/v1?token=hunter2", answer(200), "the server answered 200 OK"},
		{"unknown status", "wss://u:hunter2@im.example.com/v1?token=hunter2", answer(799), "the server answered 799"},
		{"no upgrade", "wss://u:hunter2@im.example.com/v1?token=hunter2", answer(101), "does not contain Upgrade"},
		{"unreachable", "wss://u:hunter2@im.example.com/v1?token=hunter2", func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}, "dial tcp: connection refused"},
		{"plaintext", "ws://u:hunter2@im.example.com/v1?token=hunter2", nil, "ws:// to im.example.com would send the token in the clear"},
		{"other scheme", "https://u:hunter2@im.example.com/v1?token=hunter2", nil, `"https", is neither wss nor ws`},
		{"no URL", "wss://u:hunter2@im.example.com:x/v1?token=hunter2", nil, "URL must look like wss://host/v1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := http.Header{"Authorization": {"Bearer " + secret}}
			_, err := websocket.Dialer{URL: test.url, HTTPClient: &http.Client{Transport: test.transport}, Header: header}.Dial(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("got %q, which shows a secret", err)
			}
		})
	}
}

// N87: redirects are not followed: neither to another host nor out of TLS may anything be sent.
func TestRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{"ws://im.example.com/v1", "http://im.example.com/v1", "wss://other.example.com/v1", "https://other.example.com/", "/v2"} {
			t.Run(fmt.Sprint(status, to), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					var requests []string
					client := serve(t, func(w http.ResponseWriter, r *http.Request) {
						mu.Lock()
						defer mu.Unlock()
						requests = append(requests, r.Host+r.URL.Path)
						w.Header().Set("Location", to)
						w.WriteHeader(status)
					})
					_, err := websocket.Dialer{URL: "wss://im.example.com/v1", HTTPClient: client}.Dial(t.Context())
					if err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
						t.Errorf("got %v, want the status %d", err, status)
					}
					mu.Lock()
					defer mu.Unlock()
					if len(requests) != 1 || requests[0] != "im.example.com/v1" {
						t.Errorf("got requests for %q, want one for im.example.com/v1", requests)
					}
					if client.CheckRedirect != nil {
						t.Error("the caller's client was changed")
					}
				})
			})
		}
	}
}

// The handshake offers the subprotocol and no extension, and carries the caller's header.
func TestHandshake(t *testing.T) {
	var got *http.Request
	client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		got = r
		return nil, errors.New("enough")
	})}
	header := http.Header{"X-Tenant": {"blue"}}
	websocket.Dialer{URL: "wss://im.example.com/v1?a=b", HTTPClient: client, Header: header}.Dial(t.Context())
	if u := got.URL.String(); u != "https://im.example.com/v1?a=b" {
		t.Errorf("got a request for %s", u)
	}
	for key, want := range map[string]string{
		"Sec-Websocket-Protocol":   "zim.v1",
		"Sec-Websocket-Extensions": "",
		"X-Tenant":                 "blue",
	} {
		if v := got.Header.Get(key); v != want {
			t.Errorf("%s: got %q, want %q", key, v, want)
		}
	}
	if len(header) != 1 {
		t.Errorf("the caller's header became %v", header)
	}
}

// A dial ends with its context, wherever it is.
func TestDialContext(t *testing.T) {
	hangs := map[string]func(t *testing.T) *http.Client{
		"connecting": func(t *testing.T) *http.Client {
			l := memnet.Listen() // and nobody accepts
			t.Cleanup(func() { l.Close() })
			return &http.Client{Transport: &http.Transport{DialContext: l.DialContext}}
		},
		"handshake": func(t *testing.T) *http.Client {
			return serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		},
		"body of a refusal": func(t *testing.T) *http.Client {
			return serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusServiceUnavailable)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			})
		},
	}
	for name, client := range hangs {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := client(t)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				start := time.Now()
				conn, err := websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: c}.Dial(ctx)
				if took := time.Since(start); err == nil || took > 2*time.Second {
					t.Errorf("got %v, %v after %v, want an error after 2s", conn, err, took)
				}
				if name != "body of a refusal" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want context.DeadlineExceeded", err)
				}
			})
		})
	}
}
