// Package websocket reaches a zim backend over a WebSocket.
package websocket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/coder/websocket"

	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/internal/wsstream"
	"github.com/zim-go/zim/transport"
)

// A Dialer dials a WebSocket for each attachment. It implements [transport.Dialer]; its Conns implement
// [transport.Pipeline] and [transport.FileServer].
type Dialer struct {
	// URL is the address of the backend: wss://host/v1. ws:// is for backends on this machine; beyond it, the login token
	// would travel in the clear, so that Dial refuses it unless AllowPlaintext is set. The backend's files are below the same
	// address: https://host/v1/, without its query and whatever names a user.
	URL string
	// HTTPClient makes the handshake, and reaches the files. Nil means [http.DefaultClient]. The handshake follows no
	// redirects. Its Timeout must be zero: the context bounds the dialing.
	HTTPClient *http.Client
	// Header is sent with the handshake. Login tokens don't belong there: they travel in the first frame.
	Header http.Header
	// AllowPlaintext permits ws:// to other machines, for networks that are protected in another way.
	AllowPlaintext bool
}

// Dial implements [transport.Dialer].
func (d Dialer) Dial(ctx context.Context) (transport.Conn, error) {
	address, err := d.check()
	if err != nil {
		return nil, err
	}
	client := new(http.Client)
	if d.HTTPClient != nil {
		*client = *d.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	conn, resp, err := websocket.Dial(ctx, d.URL, &websocket.DialOptions{
		HTTPClient:      client,
		HTTPHeader:      d.Header,
		Subprotocols:    []string{wsstream.Subprotocol},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			// Not resp.Status, which is whatever the server likes.
			return nil, fmt.Errorf("websocket: the server answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
		}
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // e shows the URL, and its query may be secret
		}
		return nil, fmt.Errorf("websocket: %w", err)
	}
	if got := conn.Subprotocol(); got != wsstream.Subprotocol {
		conn.CloseNow()
		return nil, fmt.Errorf("websocket: the server does not speak %s", wsstream.Subprotocol)
	}
	return &link{mux.New(wsstream.New(conn, mux.ToClient.Message, 0)), cmp.Or(d.HTTPClient, http.DefaultClient), files(address)}, nil
}

// A link is a Conn that knows where the files are.
type link struct {
	*mux.Conn
	client *http.Client
	base   *url.URL
}

var (
	_ transport.Pipeline   = (*link)(nil)
	_ transport.FileServer = (*link)(nil)
)

// Files implements [transport.FileServer].
func (l *link) Files() (*http.Client, *url.URL) { return l.client, l.base }

// files returns where the files of a backend are.
func files(backend *url.URL) *url.URL {
	base := backend.JoinPath("/")
	base.Scheme = strings.Replace(base.Scheme, "ws", "http", 1)
	// References to files are shown to the application, and must not carry what is secret here.
	base.User, base.RawQuery, base.ForceQuery, base.Fragment, base.RawFragment = nil, "", false, "", ""
	return base
}

// check returns the address to dial.
func (d Dialer) check() (*url.URL, error) {
	u, err := url.Parse(d.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w: its URL must look like wss://host/v1", transport.ErrMisconfigured)
	}
	switch u.Scheme {
	case "wss":
		return u, nil
	case "ws":
		if d.AllowPlaintext || isLoopback(u.Hostname()) {
			return u, nil
		}
		return nil, fmt.Errorf("%w: ws:// to %s would send the token in the clear: use wss://, or set AllowPlaintext", transport.ErrMisconfigured, u.Host)
	}
	return nil, fmt.Errorf("%w: the scheme of its URL, %q, is neither wss nor ws", transport.ErrMisconfigured, u.Scheme)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
