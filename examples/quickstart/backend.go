package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/token"
)

const (
	appID  = 1
	secret = token.Secret("a secret of 32 bytes, for trials")
)

// withBackend calls use with the URL of a backend that lives as long. A service of its own would be cmd/zimd.
func withBackend(use func(url string) error) (err error) {
	dir, err := os.MkdirTemp("", "quickstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(filepath.Join(dir, "zim.db"), store.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	verifier, err := token.NewVerifier(token.Config{AppID: appID, Secrets: []token.Secret{secret}})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	b, err := backend.New(backend.Config{Apps: []backend.App{{ID: appID, Verifier: verifier}}, Store: st})
	if err != nil {
		return err
	}
	web := &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, b.Shutdown(ctx), web.Shutdown(ctx))
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}()
	return use("ws://" + ln.Addr().String())
}
