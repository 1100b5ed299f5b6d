package backend

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/defect"
	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/wire"
)

type userKey struct {
	app uint32
	id  string
}

// A session is a login on the attachment that carries it now.
type session struct {
	hub        *hub
	link       Link
	app        *App
	key        userKey
	instance   string
	device     string
	platform   int32
	name       string // of the user, at the login
	generation int64
	normal     quota         // sends of low and medium priority
	high       quota         // sends of high priority
	changes    *rate.Limiter // what changes something, but sends nothing
	queries    *rate.Limiter // what reads
	syncs      *rate.Limiter // requests for events
	moves      *rate.Limiter // entries and exits of rooms
	expiry     *time.Timer   // when the token ends
	missed     atomic.Bool   // the client was too slow for a message of a room
	server     bool          // it is the app's own server, for one Act
	said       string        // and in whose words callbacks tell of a message, if not the backend's
	together   *batchOp      // and where its messages are left, if they are sent together; nil unless server
	unaware    bool          // and the user's devices are not told of a message

	// batch is what is to be pushed after the transaction. Only the store's goroutine uses it.
	batch wire.EventBatch
	bytes int // in batch

	mu      sync.Mutex
	revoked bool             // guarded by mu; nothing of the session is committed any more
	over    *wire.SessionEnd // guarded by mu; why it is over
	handled uint64           // guarded by mu; as far as the client has said
	kept    uint64           // guarded by mu; what of that is in the store
	keeping bool             // guarded by mu; a handledOp is on its way
	last    uint32           // guarded by mu; the last event of the user
}

// revoke fences the session, or gives it back if it is not over.
func (s *session) revoke(revoked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = revoked || s.over != nil
}

// fenced reports whether nothing of the session may be committed.
func (s *session) fenced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revoked && !defect.On(defect.NotFenced)
}

// finish ends the session for good: it tells the client why, ahead of the close.
func (s *session) finish(end *wire.SessionEnd, status int, reason string) {
	s.mu.Lock()
	first := s.over == nil
	s.revoked = true
	if first {
		s.over = end
	}
	s.mu.Unlock()
	if first {
		s.hub.remove(s, StatusOffline)
		s.link.Push(&wire.Push{SessionEnd: end})
		s.link.Close(status, reason)
	}
}

func (s *session) ending() *wire.SessionEnd {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// OnlineStatus is the documented status of a user.
type OnlineStatus int

// The documented values.
const (
	StatusOnline  OnlineStatus = 0
	StatusOffline OnlineStatus = 1
	StatusLogout  OnlineStatus = 2
	StatusUnknown OnlineStatus = 99
)

// A presence is a user who is online, or was a short while ago.
type presence struct {
	sessions []*session
	status   OnlineStatus
	grace    *time.Timer // until the user is offline; nil while there are sessions
}

// A hub knows who is online, and brings what was committed to them.
type hub struct {
	server *Server

	// dirty are the sessions with a batch, and entering the users whose logins are not durable yet. Only the store's goroutine
	// uses them.
	dirty    []*session
	entering map[userKey]int

	mu    sync.Mutex
	users map[userKey]*presence // guarded by mu
	links map[Link]uint64       // guarded by mu; all that are attached, and in which order they came
	came  uint64                // guarded by mu
}

func newHub(s *Server) *hub {
	return &hub{server: s, entering: make(map[userKey]int), users: make(map[userKey]*presence), links: make(map[Link]uint64)}
}

func (h *hub) attach(l Link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came++
	h.links[l] = h.came
}

func (h *hub) detach(l Link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.links, l)
}

// closeAll tells all clients that the server goes away.
func (h *hub) closeAll() {
	h.mu.Lock()
	links := slices.SortedFunc(maps.Keys(h.links), func(a, b Link) int { return cmp.Compare(h.links[a], h.links[b]) })
	for _, p := range h.users {
		if p.grace != nil {
			p.grace.Stop()
		}
	}
	h.mu.Unlock()
	for _, l := range links {
		l.Close(statusGoingAway, "the server is going away")
	}
}

// sessions returns the sessions of a user. The slice must not be changed.
func (h *hub) sessions(key userKey) []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.users[key]; p != nil {
		return p.sessions
	}
	return nil
}

// reaches reports whether an event of this transaction can find a session of the user when it is delivered.
func (h *hub) reaches(key userKey) bool { return h.entering[key] > 0 || len(h.sessions(key)) > 0 }

// add brings a session in.
func (h *hub) add(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.users[s.key]
	if p == nil {
		p = new(presence)
		h.users[s.key] = p
	}
	if p.grace != nil {
		p.grace.Stop()
		p.grace = nil
	}
	p.status = StatusOnline
	p.sessions = append(slices.Clip(p.sessions), s)
}

// remove takes a session out. The user stays what status says: online for a grace period, unless another session is
// there.
func (h *hub) remove(s *session, status OnlineStatus) {
	defer h.server.rooms.gone(s, status)
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.users[s.key]
	if p == nil {
		return
	}
	i := slices.Index(p.sessions, s)
	if i < 0 {
		return
	}
	p.sessions = slices.Concat(p.sessions[:i], p.sessions[i+1:])
	if status == StatusOffline {
		h.callOffline(s)
	}
	if len(p.sessions) > 0 {
		return
	}
	if p.status = status; status == StatusOnline {
		p.grace = time.AfterFunc(h.server.config.Grace, func() { h.expire(s, p) })
	} else {
		delete(h.users, s.key)
	}
}

// expire takes out a user whose last session is not back in time.
func (h *hub) expire(last *session, p *presence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users[last.key] == p && len(p.sessions) == 0 {
		delete(h.users, last.key)
		h.callOffline(last)
	}
}

// UserOnline reports whether a user is online: has a connection, or lost it less than the grace period ago without
// logging out.
func (s *Server) UserOnline(app uint32, userID string) bool {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.users[userKey{app, userID}] != nil
}

// Kick ends all sessions of a user, as an administrator would. It returns how many there were.
func (s *Server) Kick(app uint32, userID string) (int, error) {
	op := &kickOp{hub: s.hub, key: userKey{app, userID}, done: make(chan error, 1)}
	if err := s.store.Submit(op); err != nil {
		return 0, err
	}
	err := <-op.done
	return op.kicked, err
}

// A kickOp evicts all runs of a user.
type kickOp struct {
	hub    *hub
	key    userKey
	kicked int
	done   chan error
}

func (op *kickOp) Do(tx *store.Tx) error {
	u, err := tx.User(op.key.app, op.key.id)
	if u == nil || err != nil {
		return err
	}
	logins, err := tx.Logins(u)
	if err != nil {
		return err
	}
	for _, l := range logins {
		l.Evicted = true
		if err := tx.PutLogin(u, l); err != nil {
			return err
		}
	}
	return nil
}

func (op *kickOp) Done(err error) {
	if err == nil {
		// Those of the same transaction are there by now.
		for _, s := range op.hub.sessions(op.key) {
			op.kicked++
			s.finish(&wire.SessionEnd{Reason: wire.SessionEndReason_SESSION_END_REASON_KICKED_OUT}, statusKickedOut, "kicked out")
		}
	}
	op.done <- err
}

// Disconnect cuts the connections of a user, without a word, as a broken network would. It returns how many there were.
func (s *Server) Disconnect(app uint32, userID string) int {
	sessions := s.hub.sessions(userKey{app, userID})
	for _, sess := range sessions {
		sess.link.Close(0, "")
	}
	return len(sessions)
}

// deliver leaves an event for the sessions of a user, to be pushed by flush. The store's goroutine calls it, in the order
// of the events.
func (h *hub) deliver(key userKey, seq uint32, e *wire.Event) {
	for _, s := range h.sessions(key) {
		s.mu.Lock()
		s.last = max(s.last, seq)
		s.mu.Unlock()
		b, bytes := &s.batch, size(e)
		if len(b.Events) > 0 && s.bytes+bytes > maxSyncBytes {
			h.push(s)
		}
		if n := len(b.Events); n == 0 {
			b.Epoch, b.FirstSeq = h.server.store.Epoch(), uint64(seq)
			h.dirty = append(h.dirty, s)
		} else if b.FirstSeq+uint64(n) != uint64(seq) {
			continue // a hole: the client asks for what follows it
		}
		b.Events = append(b.Events, e)
		s.bytes += bytes
		if len(b.Events) >= maxPush || s.bytes >= maxSyncBytes {
			h.push(s)
		}
	}
}

// size is about how many bytes an event takes.
func size(e *wire.Event) int {
	if m := e.Message; m != nil && e.RepliedCount == nil {
		return len(m.Content) + len(m.ExtendedData)
	}
	return proto.Size(e)
}

// maxPush is how many events are pushed together.
const maxPush = 100

// flush pushes what was left. What a client is too slow for is dropped: it is in the feed.
func (h *hub) flush() {
	for i, s := range h.dirty {
		h.push(s)
		h.dirty[i] = nil
	}
	h.dirty = h.dirty[:0]
}

func (h *hub) push(s *session) {
	if len(s.batch.Events) == 0 {
		return
	}
	if err := s.link.Push(&wire.Push{Events: &s.batch}); err != nil {
		h.server.log.Debug("backend: push dropped", "app", s.key.app, "user", s.key.id, "err", err)
	}
	clear(s.batch.Events)
	s.batch.Events, s.bytes = s.batch.Events[:0], 0
}

// Register makes users who have not logged in yet. Those who exist stay as they are.
func (s *Server) Register(app uint32, userIDs ...string) error {
	if s.apps[app] == nil {
		return fmt.Errorf("backend: there is no app %d", app)
	}
	for _, id := range userIDs {
		if err := ident.CheckUserID(id); err != nil {
			return fmt.Errorf("backend: user %q: the ID %w", id, err)
		}
	}
	return s.store.Update(func(tx *store.Tx) error {
		for _, id := range userIDs {
			if _, err := tx.Register(app, id, ""); err != nil {
				return err
			}
		}
		return nil
	})
}
