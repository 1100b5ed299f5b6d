package media

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
)

// Why a request ends early, as clients get it.
var (
	errClosing     = handler.NewError("ERR_CLOSING", "the server is shutting down", http.StatusServiceUnavailable)
	errInterrupted = handler.NewError("ERR_INTERRUPTED", "another request has the upload now", http.StatusConflict)
	errForbidden   = handler.NewError("ERR_FORBIDDEN", "forbidden", http.StatusForbidden)
)

// A request is one that is being served, or Sweep at an upload.
type request struct {
	server *Server
	ctx    context.Context // ends with the client and when somebody interrupts; the cause is what the client gets
	cancel context.CancelCauseFunc
	conn   *http.ResponseController // nil for Sweep
	writes bool                     // what it waits for is that the client reads
	done   chan struct{}            // closed when it has ended
	id     string                   // the upload that it has to itself, guarded by the server's mu

	// What the goroutine that serves an upload knows.
	method  string
	permit  permit
	body    *body
	spoiled bool // nothing of the upload may stay
}

// ServeHTTP serves uploads at …/media/upload, over tus 1.0 with a ticket as the bearer token of each request, and downloads
// of the URLs that URL returns.
//
// A ticket makes one upload, of the size that it says. A POST after the first has the same answer and the offset in
// Upload-Offset: a client that missed the first answer goes on from there. While an upload has a request, another one for it
// breaks the first one off, so that a client whose connection died need not wait for the server to notice. An upload to which
// a client sends more than it declared is removed, as is one that the disk has no room for; the ticket can begin it anew. A
// finished upload answers HEAD, but can't be deleted.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, rest, ok := cutMount(r.URL)
	if !ok {
		http.NotFound(w, r)
		return
	}
	id, isUpload := strings.CutPrefix(rest, "upload/")
	isUpload = isUpload || rest == "upload"
	q, err := s.begin(r.Context(), http.NewResponseController(w), !isUpload)
	if err != nil {
		refuse(w, err)
		return
	}
	defer q.end()
	if !isUpload {
		s.download(q, w, r)
		return
	}
	p, ok := s.unseal(bearer(r))
	if !ok || rest != "upload" && id != p.id {
		refuse(w, errForbidden)
		return
	}
	q.permit, q.method = p, r.Method
	s.upload(q, w, r)
}

func bearer(r *http.Request) string {
	scheme, ticket, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return ticket
}

// begin counts a request in, unless the server is closed.
func (s *Server) begin(ctx context.Context, conn *http.ResponseController, writes bool) (*request, error) {
	q := &request{server: s, conn: conn, writes: writes, done: make(chan struct{})}
	q.ctx, q.cancel = context.WithCancelCause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		q.cancel(nil)
		return nil, errClosing
	}
	s.work.Add(1)
	s.running[q] = struct{}{}
	return q, nil
}

// end counts a request out.
func (q *request) end() {
	s := q.server
	q.cancel(nil)
	s.mu.Lock()
	delete(s.running, q)
	if q.id != "" {
		delete(s.busy, q.id)
	}
	s.mu.Unlock()
	close(q.done)
	s.work.Done()
}

// interrupt makes a request end. The server's mu is held: when a request has ended, its connection may serve another one.
func (q *request) interrupt(why error) {
	q.cancel(why)
	if q.conn == nil {
		return
	}
	past := time.Unix(1, 0)
	q.conn.SetReadDeadline(past)
	if q.writes {
		q.conn.SetWriteDeadline(past)
	}
}

// bound limits how long the response may take, unless the request was interrupted.
func (q *request) bound(d time.Duration) {
	q.server.mu.Lock()
	defer q.server.mu.Unlock()
	if q.ctx.Err() == nil {
		q.conn.SetWriteDeadline(time.Now().Add(d))
	}
}

// hold waits until the request has the upload to itself, and breaks off the one that has.
func (q *request) hold(id string) error {
	for {
		other := q.tryHold(id, errInterrupted)
		if other == nil {
			return nil
		}
		select {
		case <-other.done:
		case <-q.ctx.Done():
			return context.Cause(q.ctx)
		}
	}
}

// tryHold gives the request the upload to itself, or returns the request that has it, interrupted if there is a reason.
func (q *request) tryHold(id string, why error) *request {
	s := q.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.busy[id]; other != nil {
		if why != nil {
			other.interrupt(why)
		}
		return other
	}
	s.busy[id], q.id = q, id
	return nil
}

// A body is that of a request that uploads.
type body struct {
	io.ReadCloser
	request *request
	room    int64 // bytes that the upload has room for
	read    int64
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.stopped(); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	// It may have waited for long.
	if why := b.stopped(); why != nil {
		return 0, why
	}
	b.read += int64(n)
	return n, err
}

// stopped returns why no more is to be read.
func (b *body) stopped() error {
	q := b.request
	if e := (handler.Error{}); errors.As(context.Cause(q.ctx), &e) {
		return e
	}
	if time.Now().Unix() >= q.permit.expires {
		return errForbidden
	}
	return nil
}

// over reports whether more came than there is room for.
func (b *body) over() bool { return b.read > b.room }

// refuse answers with an error of tus.
func refuse(w http.ResponseWriter, err error) {
	e := handler.Error{}
	if !errors.As(err, &e) {
		e = errDisk // or the client is gone
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(e.HTTPResponse.StatusCode)
	io.WriteString(w, e.HTTPResponse.Body) // which net/http drops for HEAD
}
