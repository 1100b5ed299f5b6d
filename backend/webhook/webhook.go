// Package webhook sends the documented callbacks: it tells an app's server what happens, as signed POST requests to its URLs.
//
// What is to be told is in the backend's store, written in the transaction of what it tells, and stays there until the app's server has taken
// it, which is any 2xx answer: a restart loses nothing. So a callback may come again; all tries have the same nonce. After six tries
// it is given up, and can be replayed.
// Nothing is promised of the order.
package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/zim-go/zim/backend/internal/msgbody"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/token"
)

// The documented events that there are.
const (
	SendMsg      = "send_msg"
	BotMsg       = "bot_msg"
	UserAction   = "user_action"
	GroupCreate  = "group_create"
	GroupJoin    = "group_join"
	GroupExit    = "group_exit"
	GroupDestroy = "group_destroy"
	RoomCreate   = "room_create"
	RoomEnter    = "room_enter"
	RoomExit     = "room_exit"
	RoomDestroy  = "room_destroy"
)

// Events returns the names of all events of which an app's server is told.
func Events() []string {
	return []string{SendMsg, BotMsg, UserAction, GroupCreate, GroupJoin, GroupExit, GroupDestroy, RoomCreate, RoomEnter, RoomExit, RoomDestroy}
}

// To is the URLs of an app that has the same one for several events; without any, for all.
func To(url string, events ...string) map[string]string {
	if len(events) == 0 {
		events = Events()
	}
	urls := make(map[string]string)
	for _, event := range events {
		urls[event] = url
	}
	return urls
}

// An App is whom to tell of what happens in one app.
type App struct {
	ID uint32 // required
	// Secret is the callback secret, with which callbacks are signed. It is not the app's ServerSecret. Required.
	Secret token.Secret
	// URLs are those of the receivers, by event. Nobody is told of events that are not there. See [To]. If [BeforeSendMsg] is there, the
	// receiver is asked about each message of a client before that is sent.
	URLs map[string]string
}

// Config is what a Sender needs.
type Config struct {
	Store *store.Store // required; the Sender does not close it
	Apps  []App

	// AllowHTTP takes URLs without TLS, where anybody on the way can read and repeat what is sent.
	AllowHTTP bool
	// AllowPrivate takes any address, those of this machine and its network among them, and http. For development and tests: who may set a
	// URL reaches with it what the backend reaches.
	AllowPrivate bool

	// FileURL is what the URLs of the backend's own files begin with, up to the slash before media/. They are signed, and expire.
	FileURL string
	// SendUnanswered sends messages about which the receiver of [BeforeSendMsg] was asked, and did not answer in time. Otherwise they are not
	// sent, as is documented.
	SendUnanswered bool
	// Concurrency is how many requests may be under way for a URL at a time. Zero means 8.
	Concurrency int
	// Timeout is how long a request may take until the end of its answer. Zero means 10 seconds.
	Timeout time.Duration
	// Keep is how long what was given up can be replayed, and what is for an event that has no URL any more waits for one. Zero means 7 days.
	Keep time.Duration
	// Quirks make callbacks harder to take, for tests of receivers.
	Quirks Quirks
	// DialContext makes connections if it is set: for tests, over memory. It needs AllowPrivate, because nobody checks the addresses then.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolver looks names up. Nil means the system's.
	Resolver *net.Resolver
	Logger   *slog.Logger // nil discards; never gets content, URLs or secrets
}

type key struct {
	app   uint32
	event string
}

// A Sender sends callbacks. Its methods may be called concurrently, unless they say something else. A nil Sender wants nothing.
type Sender struct {
	config  Config
	log     *slog.Logger
	client  *http.Client
	bodies  msgbody.Maker
	secrets map[uint32]token.Secret
	lanes   []*lane
	byKey   map[key]*lane // immutable

	asks map[uint32]*adviser // immutable; by app

	dirty map[*lane]bool // those with something new in this transaction; of the store's goroutine

	ctx     context.Context // of the lanes: it ends with Close
	stop    context.CancelFunc
	started sync.Once
	work    sync.WaitGroup // lanes, and the scribe
	asked   chan struct{}  // has one element if the scribe has something to write
	ended   chan struct{}  // closed by Close

	mu      sync.Mutex
	chance  *rand.Rand        // guarded by mu; for Quirks
	posted  []*store.Callback // guarded by mu; what the scribe is to write
	dropped int               // guarded by mu; what there was no room for
	closed  sync.Once
}

// New returns a Sender, which goes on with what the store has once it is started. Close must be called, after the backend's Shutdown and before the store is
// closed. It fails if a URL is one that nothing is to be sent to; the error does not have it.
func New(config Config) (*Sender, error) {
	if config.Store == nil {
		return nil, errors.New("webhook: Store is nil")
	}
	if config.DialContext != nil && !config.AllowPrivate {
		return nil, errors.New("webhook: DialContext needs AllowPrivate")
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.Concurrency = cmp.Or(config.Concurrency, 8)
	config.Timeout = cmp.Or(config.Timeout, 10*time.Second)
	config.Keep = cmp.Or(config.Keep, 7*24*time.Hour)
	if config.Concurrency < 0 || config.Timeout < 0 || config.Keep < 0 {
		return nil, errors.New("webhook: Concurrency, Timeout or Keep is negative")
	}
	if !config.Quirks.valid() {
		return nil, errors.New("webhook: a share in Quirks is not from 0 to 1, or its Delay is negative")
	}
	s := &Sender{
		config: config, log: config.Logger, client: newClient(&config), bodies: msgbody.Maker{FileURL: config.FileURL},
		secrets: make(map[uint32]token.Secret), byKey: make(map[key]*lane), dirty: make(map[*lane]bool),
		chance: rand.New(rand.NewPCG(config.Quirks.Seed, 0)), asks: make(map[uint32]*adviser), asked: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	for _, app := range config.Apps {
		if err := s.addApp(app); err != nil {
			return nil, fmt.Errorf("webhook: app %d: %w", app.ID, err)
		}
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Start starts to send, once. The backend's New calls it: before, the store has nobody whom it tells of what was put.
func (s *Sender) Start() {
	if s == nil {
		return
	}
	s.started.Do(func() {
		for _, l := range s.lanes {
			s.work.Go(func() { l.run(s.ctx) })
		}
		s.work.Go(s.write)
	})
}

// addApp takes an app. The events of one URL share a lane.
func (s *Sender) addApp(app App) error {
	switch {
	case app.ID == 0:
		return errors.New("its ID is zero")
	case app.Secret == "":
		return errors.New("it has no Secret")
	case s.secrets[app.ID] != "":
		return errors.New("it is there twice")
	}
	s.secrets[app.ID] = app.Secret
	lanes := make(map[string]*lane)
	for _, event := range slices.Sorted(maps.Keys(app.URLs)) {
		if event != BeforeSendMsg && !slices.Contains(Events(), event) {
			return fmt.Errorf("there is no event %q", event)
		}
		raw := app.URLs[event]
		l := lanes[raw]
		if l == nil {
			u, err := checkURL(raw, &s.config)
			if err != nil {
				return fmt.Errorf("the URL for %s: %w", event, err)
			}
			l = newLane(s, u)
			lanes[raw] = l
		}
		if event == BeforeSendMsg {
			s.asks[app.ID] = &adviser{l.url, make(chan struct{}, maxAsking)}
			continue
		}
		if len(l.keys) == 0 { // one that is only asked has nothing to send
			s.lanes = append(s.lanes, l)
		}
		k := key{app.ID, event}
		l.keys = append(l.keys, k)
		s.byKey[k] = l
	}
	return nil
}

// Close breaks off what is under way, which stays in the store as it was, and waits until everything that was posted is written.
func (s *Sender) Close() {
	s.closed.Do(func() {
		close(s.ended)
		s.stop()
	})
	s.work.Wait()
	s.client.CloseIdleConnections()
}

// Wants reports whether somebody is to be told of an event.
func (s *Sender) Wants(app uint32, event string) bool {
	return s != nil && s.byKey[key{app, event}] != nil
}

// Fields are what a callback says beside what all of them have.
type Fields map[string]any

// Put queues a callback in a transaction, if somebody is to be told of the event. The store's goroutine calls it.
func (s *Sender) Put(tx *store.Tx, app uint32, event string, fields Fields) error {
	if !s.Wants(app, event) {
		return nil
	}
	c, err := s.newCallback(app, event, fields)
	if err != nil {
		return err
	}
	return s.add(tx, c)
}

// add keeps a callback. The store's goroutine calls it.
func (s *Sender) add(tx *store.Tx, c *store.Callback) error {
	for _, c := range s.spoil(c) {
		if err := tx.AddCallback(c); err != nil {
			return err
		}
	}
	s.dirty[s.byKey[key{c.App, c.Event}]] = true
	return nil
}

// Flush has what was put sent. The store's goroutine calls it after the transaction.
func (s *Sender) Flush() {
	if s == nil {
		return
	}
	for l := range s.dirty {
		l.wake()
	}
	clear(s.dirty)
}

// maxPosted is how many callbacks may wait for the scribe.
const maxPosted = 10_000

// Post queues a callback of what is in no transaction, if somebody is to be told of the event. It does not wait: the callback is written
// a moment later, and lost if the process is killed before, if too many wait, or after Close.
func (s *Sender) Post(app uint32, event string, fields Fields) {
	if !s.Wants(app, event) {
		return
	}
	c, err := s.newCallback(app, event, fields)
	if err != nil {
		s.log.Error("webhook: not queued", "app", app, "event", event, "err", err)
		return
	}
	s.mu.Lock()
	if len(s.posted) < maxPosted {
		s.posted = append(s.posted, c)
	} else {
		s.dropped++
	}
	s.mu.Unlock()
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// write is the scribe: it writes what was posted.
func (s *Sender) write() {
	for {
		select {
		case <-s.asked:
			s.keep()
		case <-s.ended:
			s.keep()
			return
		}
	}
}

func (s *Sender) keep() {
	s.mu.Lock()
	list, dropped := s.posted, s.dropped
	s.posted, s.dropped = nil, 0
	s.mu.Unlock()
	for part := range slices.Chunk(list, 200) {
		err := s.config.Store.Update(func(tx *store.Tx) error {
			for _, c := range part {
				if err := s.add(tx, c); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			dropped += len(part)
			s.log.Error("webhook: not queued", "err", err)
		}
	}
	if dropped > 0 {
		s.log.Error("webhook: callbacks are lost", "count", dropped)
	}
}

// Dead returns up to limit callbacks of an app that were given up, behind an ID, which is zero for the first ones.
func (s *Sender) Dead(ctx context.Context, app uint32, after int64, limit int) (list []*store.Callback, err error) {
	err = s.config.Store.View(ctx, func(tx *store.Tx) error {
		list, err = tx.DeadCallbacks(app, after, limit)
		return err
	})
	return list, err
}

// Replay has everything of an app tried again that was given up, or of all apps if app is zero. It returns how many callbacks that are.
func (s *Sender) Replay(app uint32) (int, error) {
	n, err := s.config.Store.ReviveCallbacks(app)
	for _, l := range s.lanes {
		l.wake()
	}
	return n, err
}

// Prune deletes what nobody has taken for longer than it is kept. The backend calls it now and then.
func (s *Sender) Prune() error {
	if s == nil {
		return nil
	}
	n, err := s.config.Store.PruneCallbacks(s.config.Keep)
	if n > 0 {
		s.log.Warn("webhook: deleted callbacks that nobody took", "count", n)
	}
	return err
}

// Body returns what a message says, as callbacks have it, and its sub-type.
func (s *Sender) Body(typ int32, content []byte) (body string, subType int32) {
	return s.bodies.Body(typ, content), msgbody.SubType(typ, content)
}

func (s *Sender) newCallback(app uint32, event string, fields Fields) (*store.Callback, error) {
	body, err := json.Marshal(s.config.Quirks.shape(fields))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &store.Callback{App: app, Event: event, Nonce: newNonce(), Stamp: now.Unix(), Body: body, Due: now.UnixMilli()}, nil
}

// A lane has what goes to one URL of one app.
type lane struct {
	s    *Sender
	url  *url.URL
	keys []key // immutable once it runs
	more chan struct{}
	done chan result

	flying map[int64]bool // what is under way; of run
	turn   int            // which of the keys comes first; of run
}

func newLane(s *Sender, u *url.URL) *lane {
	return &lane{s: s, url: u, more: make(chan struct{}, 1), done: make(chan result), flying: make(map[int64]bool)}
}

func (l *lane) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}
