// Package zimtest runs a whole ZIM backend inside a test: the real one, with a database of its own, in the test's process.
//
//	func TestMyBot(t *testing.T) {
//		srv := zimtest.NewServer(t, nil)
//		bot := srv.Login(t, "bot")
//		…
//	}
//
// It also works inside a bubble of testing/synctest, where an hour of waiting takes no time: everything is reached over
// memory, so that nothing waits for a real network.
package zimtest

import (
	"context"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/media"
	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/inproc"
	"github.com/zim-go/zim/transport/websocket"
)

// AppID is the app that a Server has.
const AppID uint32 = 1234567890

// Secret is the app's ServerSecret.
const Secret token.Secret = "zimtest's secret, 32 bytes long."

// CallbackSecret is the secret with which a Server signs its callbacks.
const CallbackSecret token.Secret = "zimtest's callback secret, 40 bytes long"

// CallbackURL is where callbacks go, in the same memory.
const CallbackURL = "http://localhost/callbacks"

// Options refine a Server.
type Options struct {
	// App changes the app before the backend starts: its limits, or how many devices a user may have. Nil leaves the
	// documented defaults.
	App func(*backend.App)
	// Config changes the rest of the backend's config. Nil leaves the documented defaults.
	Config func(*backend.Config)
	// API changes how the backend answers the Server API: see [Server.APIURL]. Nil leaves the documented defaults.
	API func(*restapi.Config)
	// Callbacks receives the backend's callbacks: of all events, by POST requests to [CallbackURL] that are signed with [CallbackSecret]. It
	// may be one that passes on to what is made later. Nil means that there are none. A bubble begins in the year 2000, when timestamps had a
	// digit less: a receiver that is strict, as cloud.Service is, takes none before some time has passed there.
	Callbacks http.Handler
	// Webhook changes how the backend sends its callbacks. Nil leaves the defaults.
	Webhook func(*webhook.Config)
	// Dir is where the backend keeps what it stores: a later Server goes on with it. Empty is a directory that ends with the test.
	Dir string
	// StoreCost is how much longer the backend's store takes for each thing that is stored: with a millisecond, it has time for a
	// thousand in a second, and what is too much is refused.
	StoreCost time.Duration
}

// A Server is a backend that ends with the test.
type Server struct {
	tb       testing.TB
	options  Options
	path     string
	listener *memnet.Listener
	client   *http.Client
	hooks    *memnet.Listener // nil unless there are callbacks

	mu      sync.Mutex
	backend *backend.Server // guarded by mu; nil while it restarts
	store   *store.Store    // guarded by mu
	media   *media.Server   // guarded by mu
	api     *restapi.API    // guarded by mu
	sender  *webhook.Sender // guarded by mu; nil unless there are callbacks
}

// NewServer starts a backend, which ends when the test does: ZIMs that are made later must be destroyed before. Nil options
// mean the documented defaults.
func NewServer(tb testing.TB, options *Options) *Server {
	tb.Helper()
	s := &Server{tb: tb, listener: memnet.Listen()}
	if options != nil {
		s.options = *options
	}
	if s.options.Dir == "" {
		s.options.Dir = tb.TempDir()
	}
	s.path = filepath.Join(s.options.Dir, "zim.db")
	rt := &http.Transport{DialContext: s.listener.DialContext}
	s.client = &http.Client{Transport: rt}
	var work sync.WaitGroup
	web := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	hook := &http.Server{Handler: s.options.Callbacks, ReadHeaderTimeout: 5 * time.Second}
	if s.options.Callbacks != nil {
		s.hooks = memnet.Listen()
		work.Go(func() { hook.Serve(s.hooks) })
	}
	s.Start()
	work.Go(func() { web.Serve(s.listener) })
	tb.Cleanup(func() {
		if s.Backend() != nil {
			s.Stop()
		}
		rt.CloseIdleConnections()
		web.Close()
		hook.Close()
		work.Wait()
	})
	return s
}

// Start starts the backend again after Stop.
func (s *Server) Start() {
	st, err := store.Open(s.path, store.Options{Relaxed: true, Cost: s.options.StoreCost})
	if err != nil {
		s.tb.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.Config{AppID: AppID, Secrets: []token.Secret{Secret}})
	if err != nil {
		s.tb.Fatal(err)
	}
	files, err := media.New(media.Config{Dir: filepath.Join(filepath.Dir(s.path), "media"), Key: []byte(Secret)})
	if err != nil {
		st.Close()
		s.tb.Fatal(err)
	}
	app := backend.App{ID: AppID, Verifier: verifier}
	if s.options.App != nil {
		s.options.App(&app)
	}
	sender := s.callbacks(st)
	config := backend.Config{
		Apps: []backend.App{app}, Store: st, Media: files, Callbacks: sender,
		MaxDelay: 10 * time.Second, // a machine that is slow because of other tests is not to refuse anything
	}
	if s.options.Config != nil {
		s.options.Config(&config)
	}
	b, err := backend.New(config)
	if err != nil {
		if sender != nil {
			sender.Close()
		}
		files.Close()
		st.Close()
		s.tb.Fatal(err)
	}
	answers := restapi.Config{Server: b, Secrets: map[uint32][]token.Secret{AppID: {Secret}}, FileURL: "http://localhost/v1/"}
	if s.options.API != nil {
		s.options.API(&answers)
	}
	api, err := restapi.New(answers)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.mu.Lock()
	s.backend, s.store, s.media, s.api, s.sender = b, st, files, api, sender
	s.mu.Unlock()
}

// callbacks returns what sends callbacks, or nil if there is no receiver.
func (s *Server) callbacks(st *store.Store) *webhook.Sender {
	if s.hooks == nil {
		return nil
	}
	config := webhook.Config{
		Store: st, Apps: []webhook.App{{ID: AppID, Secret: CallbackSecret, URLs: webhook.To(CallbackURL)}}, AllowPrivate: true,
		FileURL: "http://localhost/v1/", DialContext: s.hooks.DialContext,
	}
	if s.options.Webhook != nil {
		s.options.Webhook(&config)
	}
	sender, err := webhook.New(config)
	if err != nil {
		st.Close()
		s.tb.Fatal(err)
	}
	return sender
}

// Callbacks returns what sends the callbacks, as it is now, or nil if there are none, and while the backend restarts.
func (s *Server) Callbacks() *webhook.Sender {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sender
}

// Stop stops the backend: dialing fails until Start.
func (s *Server) Stop() {
	s.mu.Lock()
	b, st, files, sender := s.backend, s.store, s.media, s.sender
	s.backend, s.store, s.media, s.api, s.sender = nil, nil, nil, nil, nil
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		s.tb.Errorf("zimtest: Shutdown: %v", err)
	}
	if sender != nil {
		sender.Close()
	}
	if err := files.Close(); err != nil {
		s.tb.Errorf("zimtest: closing the files: %v", err)
	}
	if err := st.Close(); err != nil {
		s.tb.Errorf("zimtest: closing the store: %v", err)
	}
}

// Backend returns the backend as it is now, or nil while it restarts.
func (s *Server) Backend() *backend.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backend
}

// Broadcast sends a message to all users who are online, as the app's server would.
func (s *Server) Broadcast(senderUserID string, content zim.Content) {
	s.tb.Helper()
	kind, data, err := zim.EncodeContent(content)
	if err == nil {
		err = s.Backend().Broadcast(AppID, backend.Broadcast{Sender: senderUserID, Type: int32(kind), Content: data})
	}
	if err != nil {
		s.tb.Fatal(err)
	}
}

// APIURL is the base URL of the Server API, as a client from [Server.Client] reaches it. What it is asked must be signed with [Secret].
func (s *Server) APIURL() string { return "http://localhost/" }

// ServeHTTP passes on to the backend: to its Server API what is for the path /.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	b, api := s.backend, s.api
	s.mu.Unlock()
	switch {
	case b == nil:
		http.Error(w, "restarting", http.StatusServiceUnavailable)
	case r.URL.Path == "/":
		api.ServeHTTP(w, r)
	default:
		b.ServeHTTP(w, r)
	}
}

// InProcess returns a transport that calls the backend.
func (s *Server) InProcess() transport.Dialer {
	return inproc.Dialer{Attach: func(p *inproc.Peer) (inproc.Handler, error) {
		if b := s.Backend(); b != nil {
			return b.Attach(p)
		}
		return nil, backend.ErrDraining
	}, Files: s}
}

// Client returns an HTTP client that reaches the backend, by whatever host: it gets the URLs of messages as a browser would.
func (s *Server) Client() *http.Client { return s.client }

// WebSocket returns a transport that speaks WebSocket with the backend, over memory.
func (s *Server) WebSocket() transport.Dialer {
	return websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: s.client}
}

// Transports returns the backend's transports by name, for tests that are to hold with each.
func (s *Server) Transports() map[string]transport.Dialer {
	return map[string]transport.Dialer{"inproc": s.InProcess(), "websocket": s.WebSocket()}
}

// Config returns the config of a ZIM that uses the backend in process.
func (s *Server) Config() zim.AppConfig {
	return zim.AppConfig{AppID: AppID, Transport: s.InProcess()}
}

// Token returns a login token for a user, good for an hour.
func (s *Server) Token(userID string) string { return s.TokenFor(userID, time.Hour) }

// TokenFor returns a login token that is good for as long as ttl says.
func (s *Server) TokenFor(userID string, ttl time.Duration) string {
	tok, err := token.Issue04(AppID, userID, Secret, ttl, nil)
	if err != nil {
		s.tb.Fatal(err)
	}
	return tok
}

// Login returns a ZIM on which the user has logged in. It is destroyed when the test ends.
func (s *Server) Login(tb testing.TB, userID string) *zim.ZIM {
	tb.Helper()
	z, err := zim.New(s.Config())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(z.Destroy)
	if err := z.Login(context.Background(), userID, &zim.LoginConfig{Token: s.Token(userID)}); err != nil {
		tb.Fatal(err)
	}
	return z
}

// Register makes users who have never logged in, so that they can be sent messages.
func (s *Server) Register(userIDs ...string) {
	s.tb.Helper()
	if err := s.Backend().Register(AppID, userIDs...); err != nil {
		s.tb.Fatal(err)
	}
}

// Cut breaks the user's connections, as a network would. It returns how many there were.
func (s *Server) Cut(userID string) int {
	if b := s.Backend(); b != nil {
		return b.Disconnect(AppID, userID)
	}
	return 0
}

// Kick ends the user's sessions, as an administrator would.
func (s *Server) Kick(userID string) {
	s.tb.Helper()
	if _, err := s.Backend().Kick(AppID, userID); err != nil {
		s.tb.Fatal(err)
	}
}

// Restart stops the backend and starts it again with what it has stored.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.Start()
}
