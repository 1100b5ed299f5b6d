//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

func noise(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	return b
}

func sendFile(t *testing.T, z *zim.ZIM, to string, content []byte) (*zim.Message, error) {
	t.Helper()
	return z.SendMessage(t.Context(), &zim.FileMessage{File: zim.File{Reader: bytes.NewReader(content), Size: int64(len(content)), Name: "a.bin"}}, zim.Peer(to), nil)
}

// wantFile fails the test unless a message's file is content, for whoever has its URL and for the user.
func wantFile(t *testing.T, z *zim.ZIM, client *http.Client, m *zim.Message, content []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := z.DownloadMediaFile(t.Context(), m, zim.MediaFileTypeOriginalFile, &b, nil); err != nil || !bytes.Equal(b.Bytes(), content) {
		t.Errorf("downloaded %d bytes, %v", b.Len(), err)
	}
	resp, err := client.Get(m.Content.(*zim.FileMessage).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || err != nil || !bytes.Equal(got, content) {
		t.Errorf("the URL: %s and %d bytes, %v", resp.Status, len(got), err)
	}
}

// Files are there after a restart, by the URLs that were given out before; and so is what is sent while zimd was away.
func TestMedia(t *testing.T) {
	for name, dir := range map[string]string{"default": "", "elsewhere": "files/of/messages"} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			env := []string{"ZIM_APP_SECRET=" + testSecret.Reveal(), "ZIM_APP_ID=7", "ZIM_DB=" + filepath.Join(home, "zim.db"), "ZIM_LOG_FORMAT=json", "ZIM_MEDIA_QUOTA=1000000"}
			if dir != "" {
				env = append(env, "ZIM_MEDIA_DIR="+filepath.Join(home, dir))
			}
			serve := func(address string) *process { return start(t, env, "serve", "--listen="+address) }
			p := serve("127.0.0.1:0")
			address := p.address(t)
			alice, _ := connect(t, 7, websocket.Dialer{URL: "ws://" + address + "/v1"})
			bob, err := zim.New(zim.AppConfig{AppID: 7, Transport: websocket.Dialer{URL: "ws://" + address + "/v1/"}, MaxReconnectDelay: 100 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(bob.Destroy)
			got := make(chan *zim.Message, 10)
			zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) {
				for _, m := range e.Messages {
					got <- m
				}
			})
			for z, user := range map[*zim.ZIM]string{alice: "alice", bob: "bob"} {
				tok, err := token.Issue04(7, user, testSecret, time.Hour, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := z.Login(t.Context(), user, &zim.LoginConfig{Token: tok}); err != nil {
					t.Fatal(err)
				}
			}
			content := noise(300_000)
			if _, err := sendFile(t, alice, "bob", content); err != nil {
				t.Fatal(err)
			}
			first := <-got
			wantFile(t, bob, http.DefaultClient, first, content)
			key, err := os.ReadFile(filepath.Join(home, "zim.db.key"))
			if err != nil || len(key) != 32 {
				t.Fatalf("the key has %d bytes, %v", len(key), err)
			}
			if info, err := os.Stat(filepath.Join(home, "zim.db.key")); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the key's mode is %v, %v", info.Mode(), err)
			}
			for _, signal := range []os.Signal{syscall.SIGTERM, os.Kill} {
				p.Process.Signal(signal)
				p.exit(t)
				until(t, func() bool { return alice.ConnectionState() == zim.ConnectionStateReconnecting })
				sent := make(chan error, 1)
				go func() {
					_, err := sendFile(t, alice, "bob", content)
					sent <- err
				}()
				p = serve(address)
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				wantFile(t, bob, http.DefaultClient, <-got, content)
				wantFile(t, bob, http.DefaultClient, first, content)
			}
			if again, err := os.ReadFile(filepath.Join(home, "zim.db.key")); err != nil || !bytes.Equal(again, key) {
				t.Errorf("the key is another one, %v", err)
			}
			if _, err := sendFile(t, alice, "bob", content); zim.CodeOf(err) != zim.ErrMessageFileServerError {
				t.Errorf("beyond the quota: %v", err)
			}
			entries, err := os.ReadDir(home)
			if err != nil {
				t.Fatal(err)
			}
			dirs := 0
			for _, e := range entries {
				if e.IsDir() && e.Name() != map[string]string{"default": "media", "elsewhere": "files"}[name] {
					t.Errorf("there is %s", e.Name())
				}
				if e.IsDir() {
					dirs++
				}
			}
			if dirs != 1 {
				t.Errorf("there are %d directories", dirs)
			}
		})
	}
}

// Transfers may take as long as they get on, whatever the timeouts of other requests are; and a shutdown waits for them.
func TestSlowTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		srv.Register("bob")
		listener := memnet.Listen()
		web := newWeb(srv.Backend(), nil, slog.New(slog.DiscardHandler))
		var patches, gets atomic.Int32
		routes := web.Handler
		web.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodPatch:
				patches.Add(1)
			case http.MethodGet:
				gets.Add(1)
			}
			routes.ServeHTTP(w, r)
		})
		served := make(chan error, 1)
		go func() { served <- web.Serve(listener) }()
		slow := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := listener.DialContext(ctx, network, address)
			return slowConn{conn}, err
		}}
		fast := &http.Transport{DialContext: listener.DialContext}
		defer func() {
			slow.CloseIdleConnections()
			fast.CloseIdleConnections()
			web.Close()
			<-served
		}()
		alice, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: &http.Client{Transport: slow}}})
		if err != nil {
			t.Fatal(err)
		}
		defer alice.Destroy()
		if err := alice.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.Token("alice")}); err != nil {
			t.Fatal(err)
		}
		content := noise(1 << 20)
		start := time.Now()
		m, err := sendFile(t, alice, "bob", content)
		if took := time.Since(start); err != nil || took < 20*time.Second || patches.Load() != 1 {
			t.Fatalf("uploading: %v after %v in %d requests", err, took, patches.Load())
		}
		gets.Store(0)
		start = time.Now()
		wantFile(t, alice, &http.Client{Transport: slow}, m, content)
		if took := time.Since(start); took < 40*time.Second || gets.Load() != 2 {
			t.Errorf("downloading twice took %v in %d requests", took, gets.Load())
		}

		// A shutdown waits for what is under way, and tells others to come back.
		downloaded := make(chan error, 1)
		go func() {
			var b bytes.Buffer
			err := alice.DownloadMediaFile(t.Context(), m, zim.MediaFileTypeOriginalFile, &b, nil)
			if err == nil && !bytes.Equal(b.Bytes(), content) {
				t.Errorf("downloaded %d bytes", b.Len())
			}
			downloaded <- err
		}()
		time.Sleep(5 * time.Second)
		start = time.Now()
		over := make(chan error, 1)
		go func() { over <- srv.Backend().Shutdown(context.Background()) }()
		time.Sleep(time.Second)
		resp, err := (&http.Client{Transport: fast}).Get(m.Content.(*zim.FileMessage).URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("during the shutdown: %s, %v", resp.Status, resp.Header)
		}
		if err := <-downloaded; err != nil {
			t.Error(err)
		}
		if err := <-over; err != nil || time.Since(start) < 10*time.Second {
			t.Errorf("Shutdown returned %v after %v", err, time.Since(start))
		}
	})
}

// A slowConn takes its time for whatever is not short.
type slowConn struct{ net.Conn }

func (c slowConn) Write(b []byte) (int, error) {
	if len(b) > 1000 {
		time.Sleep(time.Second)
	}
	return c.Conn.Write(b)
}

func (c slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 1000 {
		time.Sleep(time.Second)
	}
	return n, err
}
