package cloud

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxBody  = 256 << 10
	bodyTime = 10 * time.Second // for reading it

	// The service tries again after 2, 4, 8, 16 and 32 seconds, whatever it is told.
	retryAfter = 2

	beforeSend = "before_send_msg" // the event that wants a verdict

	maxNames = 100 // of events that are counted one by one
)

// eventState is what a Service has for callbacks. The zero value is ready.
type eventState struct {
	counts counts

	opening  sync.Mutex
	inbox    *inbox    // guarded by opening; immutable once there is one
	unusable error     // guarded by opening; why Dir can't be used
	retryAt  time.Time // guarded by opening; when that is tried again

	mu      sync.Mutex
	told    time.Time     // guarded by mu; when it was logged that there is no room
	warned  time.Time     // guarded by mu; when it was logged that something could not be written
	alarmed bool          // guarded by mu; that was that the disk can't be trusted
	closed  bool          // guarded by mu
	running int           // guarded by mu; handlers of OnModeration
	idle    chan struct{} // guarded by mu; closed when none runs; nil unless somebody waits
}

// counts are of what became of callbacks.
type counts struct {
	taken, repeated, refused, full, unwritten, failed, dropped, undecided atomic.Int64

	mu    sync.Mutex
	names map[string]int64 // guarded by mu; of events without a counterpart
}

// CallbackCounts says what became of the callbacks so far.
type CallbackCounts struct {
	Taken     int64 // queued for those whom they concern, who may be nobody here
	Repeated  int64 // signed and answered before
	Refused   int64 // malformed, or not signed as they must be
	Full      int64 // answered 503: a user's queue had no room. They may be lost if that goes on for a minute
	Unwritten int64 // answered 503: Dir could not be used, or not be written to. They, too, may be lost if that goes on for a minute
	Failed    int64 // told of a message that was not sent
	Dropped   int64 // what was in rooms, or for users who stayed away for 10 minutes, and was queued for nobody
	Undecided int64 // got the DefaultVerdict because OnModeration did not decide
	Unhandled map[string]int64
}

// CallbackCounts returns what became of the callbacks so far. Unhandled has the events by name for which there is nothing in the SDK.
func (s *Service) CallbackCounts() CallbackCounts {
	c := &s.events.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	return CallbackCounts{
		Taken: c.taken.Load(), Repeated: c.repeated.Load(), Refused: c.refused.Load(), Full: c.full.Load(),
		Unwritten: c.unwritten.Load(), Failed: c.failed.Load(), Dropped: c.dropped.Load(), Undecided: c.undecided.Load(), Unhandled: maps.Clone(c.names),
	}
}

// unhandled counts an event, and reports whether it is the first of its name.
func (c *counts) unhandled(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil {
		c.names = make(map[string]int64)
	}
	if c.names[name] == 0 && len(c.names) >= maxNames {
		name = ""
	}
	c.names[name]++
	return c.names[name] == 1
}

// begin makes room for a handler, unless there are that many.
func (e *eventState) begin(limit int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.running >= limit {
		return false
	}
	e.running++
	return true
}

func (e *eventState) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

func (e *eventState) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running--; e.running == 0 && e.idle != nil {
		close(e.idle)
		e.idle = nil
	}
}

// Shutdown stops to take callbacks, which are answered 503 from then on, and waits until the handlers of OnModeration returned, or until
// ctx ends, whose error it returns. It does not wait for ServeHTTP: [http.Server.Shutdown] does. ZIMs are not touched.
//
// Then it writes what is left and closes what Dir has, whose error it returns otherwise, and another Service may have Dir. ZIMs that still run go on
// in memory: what they handle from then on comes again to the next program. So shut the HTTP server down first, then log them
// out (a Destroy alone does not tell what was handled in the last moment), then call this.
func (s *Service) Shutdown(ctx context.Context) error {
	return cmp.Or(s.events.wait(ctx), s.closeInbox())
}

// wait closes what callbacks come in by, and waits until no handler of OnModeration runs.
func (e *eventState) wait(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	if e.running == 0 {
		e.mu.Unlock()
		return nil
	}
	if e.idle == nil {
		e.idle = make(chan struct{})
	}
	idle := e.idle
	e.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ServeHTTP takes one callback. It answers 200 once the event is queued for all users of this process whom it concerns. These may be
// none: what is for users who have not logged in through this Service is dropped, and so is what the SDK has no event for, as the service
// would send it again in vain. A user's events are kept until they were handled, and for 10 minutes without a connection of that user. With a Dir, they
// are on the disk before it answers.
//
// It answers 503 if a user has too much waiting, so that the service tries again; those who had room do not get it twice. It also does if Dir can't be
// used or written to, but for what OnModeration decides. Everything else
// is refused: 405 and 415 for what is no callback by its method and kind, 413 beyond 256 KiB, 408 for a body that takes longer than 10
// seconds, 400 for one that can't be read, and 401 for one without a good signature of within 5 minutes of now.
//
// A signature says nothing of the body. The first body that comes with it counts, and another one is refused: whoever overhears a callback
// can't change it, but one who holds it back can. Let the URL be HTTPS, and hard to guess.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, status := readBody(w, r)
	if status != 0 {
		s.refuse(w, status)
		return
	}
	f, err := parseCallback(body)
	if err != nil {
		s.refuse(w, http.StatusBadRequest)
		return
	}
	if s.CallbackSecret == "" || s.events.isClosed() {
		unavailable(w)
		return
	}
	d, ok := s.verify(f, now)
	if !ok {
		s.refuse(w, http.StatusUnauthorized)
		return
	}
	in, err := s.openInbox()
	if err != nil {
		s.events.counts.unwritten.Add(1)
		s.unwritten(err)
		unavailable(w)
		return
	}
	c, sum := &callback{fields: f, s: s, in: in, now: now}, sha256.Sum256(body)
	for {
		state, answer, running, tell := in.replays.begin(d, sum, now)
		switch state {
		case replayRun:
			c.run(w, r, d, sum)
		case replayTaken:
			s.events.counts.repeated.Add(1)
			reply(w, answer)
		case replayForged:
			if tell {
				s.log().Warn("cloud: the signature of a callback came again, with another body", "event", f.name)
			}
			s.refuse(w, http.StatusUnauthorized)
		case replayFull:
			s.full(w, f.name, now)
		case replayWait:
			select {
			case <-running:
				continue
			case <-r.Context().Done():
				unavailable(w)
			}
		}
		return
	}
}

// run does what a callback says, and answers.
func (c *callback) run(w http.ResponseWriter, r *http.Request, d digest, body [32]byte) {
	defer c.in.replays.end(d)
	var answer []byte
	var err error
	if c.name == beforeSend {
		answer, err = c.moderate(r.Context())
	} else if err = c.take(); errors.Is(err, errNoCounterpart) {
		if c.s.events.counts.unhandled(c.name) {
			c.s.log().Info("cloud: callbacks of a kind that there are no events for", "event", c.name)
		}
		err = nil
	}
	switch err = c.keep(d, body, answer, err); {
	case err == nil:
		c.s.events.counts.taken.Add(1)
		reply(w, answer)
	case errors.Is(err, errFull):
		c.s.full(w, c.name, c.now)
	case errors.Is(err, errUnwritten), errors.Is(err, errUntrusted):
		c.s.events.counts.unwritten.Add(1)
		c.s.unwritten(err)
		unavailable(w)
	case errors.Is(err, errClosed), errors.Is(err, errGone):
		unavailable(w)
	default:
		c.s.refuse(w, http.StatusBadRequest)
	}
}

// readBody returns the body of what may be a callback, or the status that it is refused with.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, http.StatusMethodNotAllowed
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, http.StatusUnsupportedMediaType
	}
	if t := r.Header.Get("Content-Type"); t != "" { // the service does not say what it sends
		switch t, _, err := mime.ParseMediaType(t); {
		case err != nil:
			return nil, http.StatusUnsupportedMediaType
		case t != "application/json" && t != "application/x-www-form-urlencoded" && t != "text/plain":
			return nil, http.StatusUnsupportedMediaType
		}
	}
	if r.ContentLength > maxBody {
		return nil, http.StatusRequestEntityTooLarge
	}
	rc := http.NewResponseController(w)
	limited := rc.SetReadDeadline(time.Now().Add(bodyTime)) == nil // not everything that serves HTTP can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if limited && err == nil { // else the server's own reading of the rest has no end
		rc.SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, http.StatusRequestTimeout
	}
	return body, 0
}

func (s *Service) refuse(w http.ResponseWriter, status int) {
	s.events.counts.refused.Add(1)
	http.Error(w, http.StatusText(status), status)
}

// full answers a callback that there is no room for, and tells so once a minute.
func (s *Service) full(w http.ResponseWriter, event string, now time.Time) {
	n := s.events.counts.full.Add(1)
	s.events.mu.Lock()
	tell := now.Sub(s.events.told) >= time.Minute
	if tell {
		s.events.told = now
	}
	s.events.mu.Unlock()
	if tell {
		s.log().Warn("cloud: there is no room for callbacks, they have to come again", "event", event, "so far", n)
	}
	unavailable(w)
}

// unwritten tells once a minute that something could not be written, and at once that the disk can't be trusted any more.
func (s *Service) unwritten(err error) {
	level, alarm := slog.LevelWarn, errors.Is(err, errUntrusted)
	if alarm {
		level = slog.LevelError
	}
	e, now := &s.events, time.Now()
	e.mu.Lock()
	tell := now.Sub(e.warned) >= time.Minute || alarm && !e.alarmed
	if tell {
		e.warned, e.alarmed = now, alarm
	}
	e.mu.Unlock()
	if tell {
		s.log().Log(context.Background(), level, "cloud: callbacks can't be written, they have to come again", "err", err, "so far", e.counts.unwritten.Load())
	}
}

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}

// reply answers that a callback was taken. An answer that there is nothing to say in is an empty object.
func reply(w http.ResponseWriter, answer []byte) {
	if len(answer) == 0 {
		answer = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer)
}
