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
	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/token"
)

// withBackend serves clients and the Server API on ln while use runs, and tells the app's server at the URL what happens.
func withBackend(ln net.Listener, callbackURL string, use func() error) (err error) {
	dir, err := os.MkdirTemp("", "cloudbot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(filepath.Join(dir, "zim.db"), store.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	verifier, err := token.NewVerifier(token.Config{AppID: appID, Secrets: []token.Secret{serverSecret}})
	if err != nil {
		return err
	}
	sender, err := webhook.New(webhook.Config{
		Store: st, AllowPrivate: true,
		Apps: []webhook.App{{ID: appID, Secret: callbackSecret, URLs: webhook.To(callbackURL)}},
	})
	if err != nil {
		return err
	}
	defer sender.Close()
	b, err := backend.New(backend.Config{Apps: []backend.App{{ID: appID, Verifier: verifier}}, Store: st, Callbacks: sender})
	if err != nil {
		return err
	}
	shutdown := func(what interface{ Shutdown(context.Context) error }) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, what.Shutdown(ctx))
	}
	defer shutdown(b)
	api, err := restapi.New(restapi.Config{Server: b, Secrets: map[uint32][]token.Secret{appID: {serverSecret}}})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1", b)
	mux.Handle("/{$}", api)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	defer func() {
		shutdown(web)
		<-served
	}()
	return use()
}
