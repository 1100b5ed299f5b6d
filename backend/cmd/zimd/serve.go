package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
)

type serveCmd struct {
	listenFlags
	AddressHeader string   `help:"Header in which a reverse proxy tells its client's address, such as X-Forwarded-For. Only if all clients come through the proxy." placeholder:"NAME" env:"ZIM_ADDRESS_HEADER" group:"Network"`
	Origin        []string `help:"Web origins beside the server's own from which browsers may connect, as host patterns." placeholder:"HOST" env:"ZIM_ORIGIN" group:"Network"`

	serviceFlags
	mediaFlags
	apiFlags
	callbackFlags

	DB              string        `name:"db" help:"The database, one file; it is made if there is none. Default zim.db, with --dev a temporary one." placeholder:"PATH" env:"ZIM_DB"`
	ShutdownTimeout time.Duration `help:"How long finishing may take after SIGINT or SIGTERM." default:"10s" env:"ZIM_SHUTDOWN_TIMEOUT"`
	LogFormat       string        `help:"text or json." enum:"text,json" default:"text" env:"ZIM_LOG_FORMAT"`
	LogLevel        slog.Level    `help:"debug, info, warn or error." default:"info" env:"ZIM_LOG_LEVEL"`

	Dev     bool     `help:"Try it out: make an app with users, and print tokens for them, and what an app's server needs. Secrets that are not given are made up and printed, too." group:"Development"`
	DevUser []string `help:"The users of --dev." default:"alice,bob" placeholder:"ID" group:"Development"`
}

// run serves until ctx ends, which is no error, or the store fails, which is.
func (c *serveCmd) run(ctx context.Context, stdout, stderr io.Writer) error {
	log := c.logger(stderr)
	secret, err := c.secret()
	if err != nil {
		return err
	}
	callbackSecret, err := readSecret("callback-secret", c.CallbackSecretFile, "ZIM_CALLBACK_SECRET")
	if err != nil {
		return err
	}
	var d *dev
	if c.Dev {
		if d, err = c.prepareDev(secret, callbackSecret); err != nil {
			return err
		}
		secret, callbackSecret = d.secret, d.callbackSecret
	}
	app, err := c.app(secret)
	if err != nil {
		return err
	}
	if err := c.checkQuota(); err != nil {
		return err
	}
	// Before the database is touched: a second zimd by mistake is most often one with the same address.
	ln, url, err := c.open(c.Dev)
	if err != nil {
		return err
	}
	defer ln.Close()
	path, remove, err := c.database()
	if err != nil {
		return err
	}
	defer remove()
	st, err := store.Open(path, store.Options{Logger: log})
	if err != nil {
		return err
	}
	defer st.Close()
	files, err := c.files(path, log)
	if err != nil {
		return err
	}
	// After the backend has shut down: what is still on its way then is broken off, and can be resumed.
	defer files.Close()
	calls, err := c.callbacks(st, c.apiURL(url), secret, callbackSecret, log)
	if err != nil {
		return err
	}
	if calls != nil {
		defer calls.Close() // after the backend has shut down, which has more to tell
	}
	b, err := backend.New(backend.Config{
		Apps: []backend.App{app}, Store: st, Media: files, Callbacks: calls, Logger: log, Origins: c.Origin, AddressHeader: c.AddressHeader,
	})
	if err != nil {
		return err
	}
	api, err := c.api(b, secret, url, log)
	if err != nil {
		return err
	}
	web := newWeb(b, api, log)
	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	defer c.finish(b, web, log)

	log.Info("zimd: serving", "address", ln.Addr().String(), "tls", c.TLSCert != "", "app", app.ID, "db", path)
	if d != nil {
		// They can be sent messages before their first login.
		if err := b.Register(d.appID, d.users...); err != nil {
			return err
		}
		if err := d.print(stdout, url, c.apiURL(url)); err != nil {
			return fmt.Errorf("--dev: %w", err)
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case <-st.Failed():
		return st.Err()
	case err := <-served:
		return err
	}
}

// database returns the path of the database, and what removes it if it is temporary.
func (c *serveCmd) database() (path string, remove func(), err error) {
	switch {
	case c.DB != "":
		return c.DB, func() {}, nil
	case !c.Dev:
		return "zim.db", func() {}, nil
	}
	dir, err := os.MkdirTemp("", "zimd-")
	if err != nil {
		return "", nil, fmt.Errorf("--dev: %w", err)
	}
	return filepath.Join(dir, "zim.db"), func() { os.RemoveAll(dir) }, nil
}

// newWeb returns the HTTP server, with the Server API unless it is nil. What is beyond the WebSocket's handshake has deadlines of its own, and so have files, which take as
// long as they get on.
func newWeb(b *backend.Server, api http.Handler, log *slog.Logger) *http.Server {
	routes := http.NewServeMux()
	for _, path := range []string{"/v1", "/v1/{$}", "/v1/media/"} {
		routes.Handle(path, b)
	}
	if api != nil {
		routes.Handle("/{$}", api)
	}
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := b.Healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	return &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// finish lets the backend finish what it was sent, before anything else stops.
func (c *serveCmd) finish(b *backend.Server, web *http.Server, log *slog.Logger) {
	log.Info("zimd: shutting down")
	ctx, cancel := context.WithTimeout(context.Background(), c.ShutdownTimeout)
	defer cancel()
	if err := errors.Join(b.Shutdown(ctx), web.Shutdown(ctx)); err != nil {
		// Nothing that was acknowledged is lost: clients that were cut off reconnect, and send again what was not.
		log.Warn("zimd: not everything ended in time", "err", err)
		web.Close()
	}
}

func (c *serveCmd) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
