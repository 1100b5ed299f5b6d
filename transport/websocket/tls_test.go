package websocket_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coder "github.com/coder/websocket"

	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/internal/wsstream"
	"github.com/zim-go/zim/transport/websocket"
	"github.com/zim-go/zim/wire"
)

// certificate returns a certificate for a host that is its own authority, good from an hour ago until then.
func certificate(t *testing.T, host string, until time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(until),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// A tap is a Listener that keeps what clients send, before TLS has looked at it.
type tap struct {
	*memnet.Listener
	mu   sync.Mutex
	sent bytes.Buffer // guarded by mu
}

type tapped struct {
	net.Conn
	tap *tap
}

func (t *tap) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tapped{conn, t}, nil
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	c.tap.sent.Write(b[:n])
	return n, err
}

// N93, N94: a server that can't show a certificate for its name, or speaks only an old TLS, gets no request, and the client does not try
// it with less.
func TestTLS(t *testing.T) {
	const secret = "hunter2"
	for _, test := range []struct {
		name  string
		host  string        // that the certificate is for
		until time.Duration // how long it is good
		trust bool          // the client trusts the authority
		max   uint16        // the newest TLS that the server speaks
		want  string
	}{
		{"good", "im.example.com", time.Hour, true, tls.VersionTLS13, ""},
		{"good, TLS 1.2", "im.example.com", time.Hour, true, tls.VersionTLS12, ""},
		{"N93/self-signed", "im.example.com", time.Hour, false, tls.VersionTLS13, "signed by unknown authority"},
		{"N93/expired", "im.example.com", -time.Hour, true, tls.VersionTLS13, "has expired"},
		{"N93/wrong host", "im.example.org", time.Hour, true, tls.VersionTLS13, "not im.example.com"},
		{"N94/TLS 1.1", "im.example.com", time.Hour, true, tls.VersionTLS11, "protocol version"},
		{"N94/TLS 1.0", "im.example.com", time.Hour, true, tls.VersionTLS10, "protocol version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cert := certificate(t, test.host, test.until)
				roots := x509.NewCertPool()
				if test.trust {
					roots.AddCert(cert.Leaf)
				}
				var requests, dials atomic.Int32
				listener := &tap{Listener: memnet.Listen()}
				server := &http.Server{
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						requests.Add(1)
						if stream, err := wsstream.Accept(w, r, coder.AcceptOptions{}, mux.PreLogin.Message, 0); err == nil {
							mux.NewPeer(stream).Serve(func(uint64, *wire.Request) {})
						}
					}),
					ErrorLog: log.New(io.Discard, "", 0),
				}
				served := make(chan struct{})
				go func() {
					defer close(served)
					config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: test.max}
					server.Serve(tls.NewListener(listener, config))
				}()
				rt := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
				rt.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					dials.Add(1)
					return listener.DialContext(ctx, network, address)
				}
				conn, err := websocket.Dialer{
					URL: "wss://im.example.com/v1?key=" + secret, HTTPClient: &http.Client{Transport: rt}, Header: http.Header{"X-Key": {secret}},
				}.Dial(t.Context())
				if err == nil {
					conn.Close()
				}
				server.Close()
				<-served
				if test.want == "" {
					if err != nil || requests.Load() != 1 {
						t.Errorf("got %v after %d requests", err, requests.Load())
					}
				} else if err == nil || !strings.Contains(err.Error(), test.want) || requests.Load() > 0 || dials.Load() != 1 {
					t.Errorf("got %v after %d dials and %d requests, want %q", err, dials.Load(), requests.Load(), test.want)
				}
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("%q shows what is secret", err)
				}
				listener.mu.Lock()
				defer listener.mu.Unlock()
				if sent := listener.sent.Bytes(); len(sent) == 0 || bytes.Contains(sent, []byte(secret)) || bytes.Contains(sent, []byte("GET ")) {
					t.Errorf("sent in the clear: %q", sent)
				}
			})
		})
	}
}

// N93: a server that asks to go on without TLS is refused like any other redirect, and one that speaks none is no WebSocket.
func TestNoTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		got := make(chan []byte, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			b := make([]byte, 5)
			io.ReadFull(conn, b)
			go io.Copy(io.Discard, conn)
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			got <- b
		}()
		client := &http.Client{Transport: &http.Transport{DialContext: l.DialContext}}
		conn, err := websocket.Dialer{URL: "wss://im.example.com/v1", HTTPClient: client}.Dial(t.Context())
		if _, ok := errors.AsType[tls.RecordHeaderError](err); conn != nil || !ok && !strings.Contains(err.Error(), "HTTP response to HTTPS client") {
			t.Errorf("got %v, %v", conn, err)
		}
		if b := <-got; b[0] != 22 { // a handshake of TLS
			t.Errorf("the client began with %x", b)
		}
	})
}
