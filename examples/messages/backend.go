package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/media"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/token"
)

const (
	appID  = 1
	secret = token.Secret("the secret of this one example..")
)

// withBackend runs f while a backend serves on this machine. zimd does this for real: see backend/cmd/zimd.
func withBackend(f func(url string, b *backend.Server) error) error {
	dir, err := os.MkdirTemp("", "messages-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(filepath.Join(dir, "zim.db"), store.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	files, err := media.New(media.Config{Dir: filepath.Join(dir, "media"), Key: []byte(secret)})
	if err != nil {
		return err
	}
	defer files.Close()
	verifier, err := token.NewVerifier(token.Config{AppID: appID, Secrets: []token.Secret{secret}})
	if err != nil {
		return err
	}
	b, err := backend.New(backend.Config{Apps: []backend.App{{ID: appID, Verifier: verifier}}, Store: st, Media: files})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	err = f("ws://"+ln.Addr().String()+"/v1", b)
	b.Shutdown(context.Background())
	web.Close()
	<-served
	return err
}
