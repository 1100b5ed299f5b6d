//go:build unix

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

func TestDev(t *testing.T) {
	p := start(t, nil, "serve", "--dev", "--listen=127.0.0.1:0", "--log-level=debug")
	export := regexp.MustCompile(`(?m)^export ZIM_URL=(\S+) ZIM_APP_ID=(\d+) ZIM_USER='(\w+)' ZIM_TOKEN=(\S+)$`)
	var lines [][]string
	until(t, func() bool {
		lines = export.FindAllStringSubmatch(p.stdout.String(), -1)
		return len(lines) == 2
	})
	var zims [2]*zim.ZIM
	var texts [2]<-chan string
	for i, want := range []string{"alice", "bob"} {
		url, user, tok := lines[i][1], lines[i][3], lines[i][4]
		appID, err := strconv.ParseUint(lines[i][2], 10, 32)
		if err != nil || user != want {
			t.Fatalf("app %v, user %s, want %s", err, user, want)
		}
		zims[i], texts[i] = connect(t, uint32(appID), websocket.Dialer{URL: url})
		if err := zims[i].Login(t.Context(), user, &zim.LoginConfig{Token: tok}); err != nil {
			t.Fatal(err)
		}
	}
	say(t, zims[0], "bob", texts[1], "the weather is nice")
	say(t, zims[1], "alice", texts[0], "so it is")

	base := strings.TrimSuffix(strings.Replace(lines[0][1], "ws://", "http://", 1), "/v1")
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/healthz":      {200, "ok\n"},
		"/debug/pprof/": {404, "404 page not found\n"},
		"/v1/more":      {404, "404 page not found\n"},
	} {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want.status || string(body) != want.body {
			t.Errorf("%s: %s, %q, want %v", path, resp.Status, body, want)
		}
	}

	p.Process.Signal(syscall.SIGTERM)
	if status := p.exit(t); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	for _, secret := range []string{lines[0][4], lines[1][4], "weather"} {
		if strings.Contains(p.stderr.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	if left, err := os.ReadDir(p.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Clients come back after a restart, and what they sent meanwhile arrives.
func TestRestart(t *testing.T) {
	db := filepath.Join(t.TempDir(), "zim.db")
	env := []string{"ZIM_APP_SECRET=" + testSecret.Reveal(), "ZIM_APP_ID=7", "ZIM_DB=" + db, "ZIM_LOG_FORMAT=json"}
	p := start(t, env, "serve", "--listen=127.0.0.1:0")
	address := p.address(t)
	alice, _ := connect(t, 7, websocket.Dialer{URL: "ws://" + address + "/v1"})
	bob, texts := connect(t, 7, websocket.Dialer{URL: "ws://" + address + "/v1"})
	for z, user := range map[*zim.ZIM]string{alice: "alice", bob: "bob"} {
		tok, err := token.Issue04(7, user, testSecret, time.Hour, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := z.Login(t.Context(), user, &zim.LoginConfig{Token: tok}); err != nil {
			t.Fatal(err)
		}
	}
	say(t, alice, "bob", texts, "before")
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Kill} {
		p.Process.Signal(signal)
		if status, want := p.exit(t), map[os.Signal]int{syscall.SIGTERM: 0, os.Kill: -1}[signal]; status != want {
			t.Errorf("exit status %d after %v, want %d", status, signal, want)
		}
		until(t, func() bool { return alice.ConnectionState() == zim.ConnectionStateReconnecting })
		sent := make(chan error, 1)
		go func() {
			_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "while it was away"}, zim.Peer("bob"), nil)
			sent <- err
		}()
		p = start(t, env, "serve", "--listen="+address)
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if got := <-texts; got != "while it was away" {
			t.Fatalf("bob got %q", got)
		}
	}
	say(t, alice, "bob", texts, "after")
}

func TestSecretRotation(t *testing.T) {
	secrets := []token.Secret{"the secret that is used from now", "the secret that is being retired", "the secret that is good for none"}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secrets[0].Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"ZIM_APP_SECRET_PREVIOUS=" + secrets[1].Reveal()},
		"serve", "--app-id=7", "--app-secret-file", file, "--listen=127.0.0.1:0", "--log-format=json", "--db=zim.db")
	dialer := websocket.Dialer{URL: "ws://" + p.address(t) + "/v1"}
	for i, want := range []error{nil, nil, zim.ErrNetworkTokenInvalid} {
		tok, err := token.Issue04(7, "alice", secrets[i], time.Hour, nil)
		if err != nil {
			t.Fatal(err)
		}
		z, _ := connect(t, 7, dialer)
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: tok}); zim.CodeOf(err) != zim.CodeOf(want) {
			t.Errorf("with secret %d: %v, want %v", i, err, want)
		}
	}
}

func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for name, b := range map[string][]byte{"cert.pem": certPEM, "key.pem": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, []string{"ZIM_APP_SECRET=" + testSecret.Reveal()}, "serve", "--app-id=7", "--listen=127.0.0.1:0",
		"--log-format=json", "--db=zim.db", "--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	z, _ := connect(t, 7, websocket.Dialer{
		URL:        "wss://" + p.address(t) + "/v1",
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}},
	})
	tok, err := token.Issue04(7, "alice", testSecret, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: tok}); err != nil {
		t.Error(err)
	}

	// N94: nor does the server speak less.
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		conn, err := tls.Dial("tcp", p.address(t), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if err == nil {
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("%s: got %v", tls.VersionName(version), err)
		}
	}
	// N100: what is for the developer is not for everybody.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	for path, want := range map[string]int{"/healthz": 200, "/debug/pprof/": 404, "/debug/pprof/heap": 404, "/debug/vars": 404, "/metrics": 404, "/": 404} {
		resp, err := client.Get("https://" + p.address(t) + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: got %s, want %d", path, resp.Status, want)
		}
	}
}

func TestSecondSignal(t *testing.T) {
	p := start(t, []string{"ZIM_APP_SECRET=" + testSecret.Reveal()}, "serve", "--app-id=7", "--listen=127.0.0.1:0", "--log-format=json", "--db=zim.db")
	// Somebody who may be about to send a request is waited for.
	conn, err := net.Dial("tcp", p.address(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	// Connections are taken in their order: when a later one is answered, that one is here.
	resp, err := http.Get("http://" + p.address(t) + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.Process.Signal(os.Interrupt)
	until(t, func() bool { return strings.Contains(p.stderr.String(), "shutting down") })
	// The first signal may not have been given up yet, and then a second one is taken for the same.
	until(t, func() bool {
		p.Process.Signal(os.Interrupt)
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	if s := p.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGINT {
		t.Errorf("ended with %v", p.ProcessState)
	}
}

// A store that can't write ends the process: whoever started it knows whether a new one helps.
func TestStoreFails(t *testing.T) {
	p := start(t, []string{"ZIM_APP_SECRET=" + testSecret.Reveal()}, "serve", "--app-id=7", "--listen=127.0.0.1:0", "--log-format=json", "--db=zim.db")
	dialer := websocket.Dialer{URL: "ws://" + p.address(t) + "/v1"}
	damage(t, filepath.Join(p.Dir, "zim.db"))
	z, _ := connect(t, 7, dialer)
	tok, err := token.Issue04(7, "alice", testSecret, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- z.Login(t.Context(), "alice", &zim.LoginConfig{Token: tok}) }()
	if status := p.exit(t); status != 1 || !strings.Contains(p.stderr.String(), "zimd: error: store: writing failed earlier: ") {
		t.Errorf("exit status %d, want 1 and the reason", status)
	}
	z.Destroy()
	if err := <-over; err == nil {
		t.Error("the login succeeded")
	}
}

// damage overwrites all of a database but its first page. It also changes the database, so that those who have it open
// read it again.
func damage(t *testing.T, path string) {
	t.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, query := range []string{"UPDATE meta SET value = value", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if err := sqlitex.ExecuteTransient(conn, query, nil); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	copy(b[page:], bytes.Repeat([]byte("damage"), len(b)/6))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
