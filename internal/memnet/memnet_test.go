package memnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/internal/memnet"
)

func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		const dials = 20
		var all sync.WaitGroup
		all.Go(func() { // echoes
			for range dials {
				conn, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				all.Go(func() {
					defer conn.Close()
					io.Copy(conn, conn)
				})
			}
		})
		for n := range dials {
			all.Go(func() {
				conn, err := l.DialContext(t.Context(), "tcp", "anywhere:80")
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				got := []byte{0}
				conn.Write([]byte{byte(n)})
				if _, err := io.ReadFull(conn, got); err != nil || got[0] != byte(n) {
					t.Errorf("got %d, %v, want %d", got[0], err, n)
				}
			})
		}
		all.Wait()
		l.Close()
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		go func() {
			time.Sleep(time.Second)
			l.Close()
			l.Close()
		}()
		for range 2 {
			if conn, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: got %v, %v, want net.ErrClosed", conn, err)
			}
			if conn, err := l.DialContext(t.Context(), "", ""); !errors.Is(err, net.ErrClosed) {
				t.Errorf("DialContext: got %v, %v, want net.ErrClosed", conn, err)
			}
		}
	})
}

// A connection outlives its listener and the context of its dial.
func TestConnectionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				t.Error(err)
			}
			accepted <- conn
		}()
		ctx, cancel := context.WithCancel(t.Context())
		client, err := l.DialContext(ctx, "", "")
		if err != nil {
			t.Fatal(err)
		}
		server := <-accepted
		defer server.Close()
		cancel()
		l.Close()
		go client.Write([]byte("hi"))
		b := make([]byte, 2)
		if _, err := io.ReadFull(server, b); err != nil || string(b) != "hi" {
			t.Errorf("got %q, %v, want hi", b, err)
		}
		client.Close()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("got %v, want io.EOF", err)
		}
	})
}

func TestDialContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if conn, err := memnet.Listen().DialContext(ctx, "", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v, want context.DeadlineExceeded", conn, err)
		}
	})
}

// Real protocols run over it, and an hour passes in no time.
func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Hour)
			io.WriteString(w, "late")
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		client := &http.Client{Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true}}
		resp, err := client.Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "late" {
			t.Errorf("got %q, %v, want late", b, err)
		}
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: got %v, want http.ErrServerClosed", err)
		}
	})
}
