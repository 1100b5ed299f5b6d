package inproc

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// A caller makes HTTP requests by calling a handler. It implements [http.RoundTripper].
type caller struct{ handler http.Handler }

var (
	errAborted   = errors.New("inproc: the handler broke the answer off")
	errAbandoned = errors.New("inproc: the body of the answer was closed")
)

func (c caller) RoundTrip(req *http.Request) (*http.Response, error) {
	client := req.Context()
	if client.Err() != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, context.Cause(client)
	}
	// Nothing of the client's context is the handler's business but its end.
	ctx, cancel := context.WithCancel(context.Background())
	e := &exchange{asked: req, cancel: cancel, header: make(http.Header), declared: -1, result: make(chan result, 1)}
	e.out.r, e.out.w = io.Pipe()
	e.body = newBody(req, e)
	r := req.Clone(ctx)
	r.Body, r.ContentLength = e.body, e.body.left
	if r.ContentLength < 0 {
		r.TransferEncoding = []string{"chunked"}
	}
	r.Host, r.RequestURI = cmp.Or(req.Host, req.URL.Host), req.URL.RequestURI()
	r.URL.Scheme, r.URL.Host, r.URL.User, r.URL.Fragment, r.URL.RawFragment = "", "", nil, "", ""
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.RemoteAddr = "127.0.0.1:0"
	r.GetBody, r.Response = nil, nil
	forget := context.AfterFunc(client, func() { e.end(context.Cause(client)) })
	go func() {
		defer forget()
		e.serve(c.handler, r)
	}()
	got := <-e.result
	return got.resp, got.err
}

// An exchange is a request and its answer. It implements [http.ResponseWriter] and what [http.ResponseController] asks
// for. What has no other guard is the handler's.
type exchange struct {
	asked  *http.Request
	cancel context.CancelFunc // of the handler's context
	body   *body
	out    struct {
		r *io.PipeReader
		w *io.PipeWriter
	}

	header   http.Header
	sent     http.Header // a copy of header; nil until WriteHeader
	status   int
	declared int64 // the length of the answer's body, or -1
	written  int64
	released bool // the client has the answer

	once   sync.Once
	result chan result // gets one

	mu    sync.Mutex
	over  bool        // guarded by mu; the handler has returned
	timer *time.Timer // guarded by mu; ends the exchange; nil until there is a deadline
}

type result struct {
	resp *http.Response
	err  error
}

func (e *exchange) serve(h http.Handler, r *http.Request) {
	returned := false
	defer func() {
		v := recover()
		e.finish(returned)
		if err, _ := v.(error); v != nil && !errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
	}()
	h.ServeHTTP(e, r)
	returned = true
}

// finish ends the exchange after the handler.
func (e *exchange) finish(returned bool) {
	e.body.stop(http.ErrBodyReadAfterClose)
	e.cancel()
	e.mu.Lock()
	if e.over = true; e.timer != nil {
		e.timer.Stop()
	}
	e.mu.Unlock()
	if !returned {
		e.end(errAborted)
		return
	}
	if e.sent == nil {
		e.WriteHeader(http.StatusOK)
	}
	missing := e.hasBody() && e.written < e.declared
	if !missing && !e.released && e.declared < 0 && e.asked.Method != http.MethodHead {
		e.declared = 0
	}
	e.release()
	if missing {
		e.end(io.ErrUnexpectedEOF)
	}
	e.out.w.Close()
}

// end breaks the exchange off, for both sides, if it isn't over.
func (e *exchange) end(err error) {
	e.answer(nil, err)
	e.out.w.CloseWithError(err)
	e.cancel()
	e.body.stop(io.ErrUnexpectedEOF)
}

func (e *exchange) answer(resp *http.Response, err error) {
	e.once.Do(func() { e.result <- result{resp, err} })
}

// release gives the answer to the client.
func (e *exchange) release() {
	if e.released {
		return
	}
	e.released = true
	resp := &http.Response{
		Status:        strconv.Itoa(e.status) + " " + http.StatusText(e.status),
		StatusCode:    e.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        e.sent,
		Body:          http.NoBody,
		ContentLength: e.declared,
		Request:       e.asked,
	}
	if e.hasBody() && e.declared != 0 {
		resp.Body = answerBody{e.out.r, e}
	}
	e.answer(resp, nil)
}

// hasBody reports whether the answer may have a body.
func (e *exchange) hasBody() bool {
	return e.asked.Method != http.MethodHead && bodyAllowed(e.status)
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

func (e *exchange) Header() http.Header { return e.header }

func (e *exchange) WriteHeader(status int) {
	if e.sent != nil || status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	e.status, e.sent = status, e.header.Clone()
	switch n, err := strconv.ParseInt(e.sent.Get("Content-Length"), 10, 64); {
	case !bodyAllowed(status):
		e.declared = 0
	case err == nil && n >= 0:
		e.declared = n
	default:
		e.sent.Del("Content-Length")
	}
	// The answer waits for a body: a handler that has none may have something to do until it returns, such as to let go of the
	// file, and the next request would come before.
}

func (e *exchange) Write(p []byte) (int, error) {
	if e.sent == nil {
		e.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(e.status):
		return 0, http.ErrBodyNotAllowed
	case e.declared >= 0 && e.written+int64(len(p)) > e.declared:
		return 0, http.ErrContentLength
	case !e.hasBody():
		return len(p), nil
	}
	if _, set := e.sent["Content-Type"]; !set && !e.released && e.sent.Get("Content-Encoding") == "" {
		e.sent.Set("Content-Type", http.DetectContentType(p)) // as net/http does
	}
	e.release()
	n, err := e.out.w.Write(p)
	e.written += int64(n)
	return n, err
}

// Flush implements [http.Flusher].
func (e *exchange) Flush() {
	if e.sent == nil {
		e.WriteHeader(http.StatusOK)
	}
	e.release()
}

// EnableFullDuplex has nothing to do: the directions don't wait for each other.
func (e *exchange) EnableFullDuplex() error { return nil }

// SetReadDeadline bounds the reading of the request's body.
func (e *exchange) SetReadDeadline(t time.Time) error {
	e.body.setDeadline(t)
	return nil
}

// SetWriteDeadline bounds the writing of the answer's body.
func (e *exchange) SetWriteDeadline(t time.Time) error {
	left := time.Until(t)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil {
		e.timer.Stop()
	}
	if !t.IsZero() && !e.over {
		e.timer = time.AfterFunc(left, func() { e.end(os.ErrDeadlineExceeded) })
	}
	return nil
}

// An answerBody is what the client reads.
type answerBody struct {
	*io.PipeReader
	e *exchange
}

func (b answerBody) Close() error {
	b.e.end(errAbandoned)
	return b.PipeReader.Close()
}

// A body is what the handler reads of a request. To stop it is to close the client's body: that unblocks a Read, as
// [http.Request] demands of bodies.
type body struct {
	in   io.ReadCloser
	e    *exchange
	left int64 // of the length that the client said, negative if it said none

	mu    sync.Mutex
	over  error       // guarded by mu; why nothing more is read
	timer *time.Timer // guarded by mu; nil until there is a deadline
}

func newBody(req *http.Request, e *exchange) *body {
	b := &body{in: req.Body, e: e, left: req.ContentLength}
	switch {
	case b.in == nil || b.in == http.NoBody:
		b.in, b.left = http.NoBody, 0
	case b.left == 0:
		b.left = -1
	}
	return b
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	if err := b.why(); err != nil {
		return 0, err
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.left > 0 {
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := b.in.Read(p)
	b.left -= int64(n)
	if err == nil {
		return n, nil
	}
	if why := b.why(); why != nil {
		return n, why
	}
	if err == io.EOF && b.left <= 0 {
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	b.e.end(err)
	return n, io.ErrUnexpectedEOF
}

// Close implements [io.Closer].
func (b *body) Close() error {
	b.stop(http.ErrBodyReadAfterClose)
	return nil
}

func (b *body) why() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

// stop lets every Read fail with err, also one that is waiting.
func (b *body) stop(err error) {
	b.mu.Lock()
	first := b.over == nil
	if first {
		b.over = err
	}
	if b.timer != nil {
		b.timer.Stop()
	}
	b.mu.Unlock()
	if first {
		b.in.Close()
	}
}

func (b *body) setDeadline(t time.Time) {
	left := time.Until(t)
	if !t.IsZero() && left <= 0 {
		b.stop(os.ErrDeadlineExceeded)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over != nil:
	case t.IsZero():
		if b.timer != nil {
			b.timer.Stop()
		}
	case b.timer == nil:
		b.timer = time.AfterFunc(left, func() { b.stop(os.ErrDeadlineExceeded) })
	default:
		b.timer.Reset(left)
	}
}
