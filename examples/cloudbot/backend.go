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

// startBackend serves clients and the Server API, and tells the app's server at the URL what happens, until stop is called.
func startBackend(ln net.Listener, callbackURL string) (stop func() error, err error) {
	dir, err := os.MkdirTemp("", "cloudbot-")
	if err != nil {
		return nil, err
	}
	st, err := store.Open(filepath.Join(dir, "zim.db"), store.Options{})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	verifier, err := token.NewVerifier(token.Config{AppID: appID, Secrets: []token.Secret{serverSecret}})
	if err != nil {
		return nil, errors.Join(err, st.Close(), os.RemoveAll(dir))
	}
	sender, err := webhook.New(webhook.Config{
		Store: st, AllowPrivate: true,
		Apps: []webhook.App{{ID: appID, Secret: callbackSecret, URLs: webhook.To(callbackURL)}},
	})
	if err != nil {
		return nil, errors.Join(err, st.Close(), os.RemoveAll(dir))
	}
	b, err := backend.New(backend.Config{Apps: []backend.App{{ID: appID, Verifier: verifier}}, Store: st, Callbacks: sender})
	if err != nil {
		sender.Close()
		return nil, errors.Join(err, st.Close(), os.RemoveAll(dir))
	}
	api, err := restapi.New(restapi.Config{Server: b, Secrets: map[uint32][]token.Secret{appID: {serverSecret}}})
	if err != nil {
		return nil, err // of a config without secrets
	}
	mux := http.NewServeMux()
	mux.Handle("/v1", b)
	mux.Handle("/{$}", api)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := errors.Join(b.Shutdown(ctx), web.Shutdown(ctx))
		<-served
		sender.Close()
		return errors.Join(err, st.Close(), os.RemoveAll(dir))
	}, nil
}
