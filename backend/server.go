// Package backend is the server that the SDK of package zim talks to: it can be a process of its own, see cmd/zimd, or a
// part of another one.
//
// Clients attach to a [Server] over WebSockets (Server is an [net/http.Handler]) or in the same process. What they send is
// kept by a [store.Store]; an acknowledgment means that it is on disk.
package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/zim-go/zim/backend/media"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/wire"
)

// Config is what a Server needs.
type Config struct {
	Apps   []App        // at least one
	Store  *store.Store // required; the Server does not close it
	Logger *slog.Logger // nil discards; never gets content or tokens

	// HeartbeatInterval is how often clients are asked to say that they live. Zero means the documented 10 seconds.
	HeartbeatInterval time.Duration
	// OfflineAfter is how long a client may be silent. Zero means the documented 35 seconds.
	OfflineAfter time.Duration
	// Grace is how long a user whose connection ended without a logout is taken for online. Zero means the documented 30
	// seconds.
	Grace time.Duration
	// RoomRetention is how long the place in a room is kept of a user whose connection ended without a logout. Zero means the
	// documented 30 seconds.
	RoomRetention time.Duration
	// LoginTimeout is how long a connection may take to log in. Zero means 10 seconds.
	LoginTimeout time.Duration
	// Backlog is how long events are kept for devices that are away. Zero means the documented 7 days.
	Backlog time.Duration

	// MaxPreLogin is how many connections may be there that have not logged in, and MaxPreLoginPerAddress how many from
	// one address. Zero means 10000 and 100.
	MaxPreLogin, MaxPreLoginPerAddress int
	// AddressHeader is the header in which a reverse proxy tells the address of its client; the last element of a list
	// counts. Set it only if all clients come through the proxy: anybody else can claim what they like. Empty takes the
	// address that the connection comes from.
	AddressHeader string
	// BadLoginRate is how many refused logins an address may have in a second. Zero means 10.
	BadLoginRate float64
	// MaxDelay is how long what is to be stored may have to wait. When it is longer, nothing new is stored, and the server refuses less
	// important requests at 0.3 (barrages), 0.45 (commands), 0.6 (queries) and 0.8 (new logins) of it. What keeps a session or brings it
	// back is never refused. Zero means a second.
	MaxDelay time.Duration
	// Origins are the web origins, as host patterns, that may connect from a browser beside the server's own.
	Origins []string

	// Media stores the files of messages. Nil means that there are none: messages can be about files that are hosted elsewhere.
	// The Server does not close it.
	Media *media.Server

	// Callbacks tells the apps' own servers what happens. Nil means that nobody is told. The Server does not close it.
	Callbacks *webhook.Sender

	// OfflinePush is called for each stored message whose receiver is offline and that has a push config. It must not
	// block. Nil means that nobody is pushed.
	OfflinePush func(OfflinePush)
}

// An OfflinePush is what a push provider needs to know.
type OfflinePush struct {
	AppID     uint32
	UserID    string // the receiver
	MessageID int64
	Config    *wire.PushConfig
}

// A Server serves clients. Its methods may be called concurrently.
type Server struct {
	config Config // immutable; defaults filled in
	log    *slog.Logger
	apps   map[uint32]*App // immutable
	store  *store.Store
	hub    *hub
	rooms  *rooms
	gate   *gate
	ctx    context.Context // ends when the server is going away
	stop   context.CancelFunc
	work   sync.WaitGroup // housekeeping, attachments of WebSockets, requests for files, Acts, what rooms push, and questions about messages

	overload rate.Sometimes // bounds how often the log says that requests are refused

	mu       sync.Mutex
	draining bool // guarded by mu
}

// ErrDraining is why a Server that is shutting down takes nobody.
var ErrDraining = errors.New("backend: shutting down")

// New returns a Server. Shutdown must be called.
func New(config Config) (*Server, error) {
	if config.Store == nil {
		return nil, errors.New("backend: Store is nil")
	}
	if len(config.Apps) == 0 {
		return nil, errors.New("backend: there is no app")
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.HeartbeatInterval = cmp.Or(config.HeartbeatInterval, 10*time.Second)
	config.OfflineAfter = cmp.Or(config.OfflineAfter, 35*time.Second)
	config.Grace = cmp.Or(config.Grace, 30*time.Second)
	config.RoomRetention = cmp.Or(config.RoomRetention, 30*time.Second)
	config.LoginTimeout = cmp.Or(config.LoginTimeout, 10*time.Second)
	config.Backlog = cmp.Or(config.Backlog, 7*24*time.Hour)
	config.MaxPreLogin = cmp.Or(config.MaxPreLogin, 10_000)
	config.MaxPreLoginPerAddress = cmp.Or(config.MaxPreLoginPerAddress, 100)
	config.BadLoginRate = cmp.Or(config.BadLoginRate, 10)
	config.MaxDelay = cmp.Or(config.MaxDelay, time.Second)
	s := &Server{
		config: config,
		log:    config.Logger,
		apps:   make(map[uint32]*App),
		store:  config.Store,
		gate:   newGate(config.MaxPreLogin, config.MaxPreLoginPerAddress, rate.Limit(config.BadLoginRate)),

		overload: rate.Sometimes{Interval: 10 * time.Second},
	}
	s.hub = newHub(s)
	s.rooms = newRooms(s)
	for _, app := range config.Apps {
		if err := app.fill(); err != nil {
			return nil, fmt.Errorf("backend: app %d: %w", app.ID, err)
		}
		if s.apps[app.ID] != nil {
			return nil, fmt.Errorf("backend: there are two apps %d", app.ID)
		}
		s.apps[app.ID] = &app
	}
	s.store.AfterBatch = s.afterBatch
	config.Callbacks.Start()
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.work.Go(func() { s.keepHouse(s.ctx) })
	return s, nil
}

// keepHouse deletes old events now and then.
func (s *Server) keepHouse(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.store.Prune(s.config.Backlog); err != nil {
				s.log.Error("backend: pruning events", "err", err)
			}
			if err := s.config.Callbacks.Prune(); err != nil {
				s.log.Error("backend: deleting callbacks", "err", err)
			}
			if s.config.Media != nil {
				if err := s.config.Media.Sweep(time.Now()); err != nil {
					s.log.Error("backend: removing uploads", "err", err)
				}
			}
			s.gate.forget()
		case <-ctx.Done():
			return
		}
	}
}

// Shutdown takes no new clients, finishes what was sent so far, and closes the connections with a status that says that
// the server is going away: clients reconnect by themselves. It returns ctx's error if that takes longer; the connections
// are closed nevertheless.
//
// Requests for files that come later are told to come back, and those under way are waited for last. What ctx leaves of them goes on
// until Media is closed, which is to come after Shutdown: clients resume what that breaks off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.stop()
	// Everything before this empty transaction is written and answered.
	flushed := make(chan error, 1)
	if err := s.store.Submit(&barrier{flushed}); err == nil {
		select {
		case <-flushed:
		case <-ctx.Done():
		}
	}
	s.rooms.close()
	s.hub.closeAll()
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type barrier struct{ done chan error }

func (b *barrier) Do(*store.Tx) error { return nil }
func (b *barrier) Done(err error)     { b.done <- err }

// enter counts an attachment in, unless the server is shutting down: then it may have closed all that it knows of.
func (s *Server) enter(l Link) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return ErrDraining
	}
	s.work.Add(1)
	s.hub.attach(l)
	return nil
}

// begin counts a request in that comes over no attachment, and reports whether it may be served: not if the server is shutting down.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.work.Add(1)
	}
	return !s.draining
}

// Healthy returns nil if the server can do its work, else why not.
func (s *Server) Healthy() error {
	select {
	case <-s.store.Failed():
		return s.store.Err()
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return ErrDraining
	}
	return nil
}
