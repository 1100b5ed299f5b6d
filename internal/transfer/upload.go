package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	chunkSize     = 4 << 20
	forgetTimeout = 2 * time.Second
)

// An Upload sends a file over the tus protocol, version 1.0 (https://tus.io/protocols/resumable-upload).
type Upload struct {
	// Client makes the requests; nil means [http.DefaultClient]. No redirects are followed: the ticket goes only where the
	// server says that the upload is.
	Client *http.Client
	// URL creates uploads. It is absolute.
	URL string
	// Ticket is sent as "Authorization: Bearer …" with every request, unless it is empty.
	Ticket string
	// Size is how many bytes Source has.
	Size int64
	// Source is read once, in order, by the goroutine that called Run. Run does not return during a Read.
	Source io.Reader
	// Progress, unless it is nil, is called with 0 at first, then with how many bytes the server confirmed or was sent, which
	// never goes down, and with Size at last, if Run succeeds and not before the server confirmed it. Between the first and
	// the last call there are at most ten a second. It is called by the goroutine that called Run.
	Progress func(sent int64)
}

// Run sends the file. It returns when the server has confirmed all of it, or with an error: ctx's own once it ended, one
// that wraps [ErrSource], a [*StatusError] of a refusal, or that of the last of eight tries in a row that brought nothing.
// If an upload was created that won't be completed, the server is told so, for which Run takes up to two seconds more.
func (u *Upload) Run(ctx context.Context) (err error) {
	target, err := parse(u.URL)
	if err != nil {
		return err
	}
	if u.Size < 0 {
		return fmt.Errorf("%w: its size is negative", ErrSource)
	}
	up := &upload{Upload: u, meter: meter{call: u.Progress}, buf: make([]byte, min(u.Size, chunkSize))}
	if u.Client != nil {
		up.client = *u.Client
	}
	up.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	up.meter.must(0)
	// This comes first: an empty upload is complete once it was created.
	if err := up.fill(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil && up.location != nil {
			up.forget(ctx)
		}
	}()
	for {
		var err error
		switch {
		case up.location == nil:
			err = up.create(ctx, target)
		case up.unsure:
			err = up.ask(ctx)
		case up.offset < u.Size:
			err = up.send(ctx)
		default:
			up.meter.must(u.Size)
			return nil
		}
		if err == nil {
			continue
		}
		up.unsure = true
		if err := up.pace.wait(ctx, err); err != nil {
			return err
		}
	}
}

// An upload is an Upload that runs.
type upload struct {
	*Upload
	client   http.Client
	location *url.URL // nil until it was created
	buf      []byte   // what is being sent of Source
	begin    int64    // where buf begins in the file
	offset   int64    // how much the server has
	reached  int64    // how much it ever had
	unsure   bool     // offset must be asked for
	pace     pace
	meter    meter
}

func (up *upload) end() int64 { return up.begin + int64(len(up.buf)) }

// fill reads the next chunk.
func (up *upload) fill(ctx context.Context) error {
	up.begin, up.buf = up.offset, up.buf[:min(up.Size-up.offset, chunkSize)]
	source := reader{ctx, up.Source}
	n, err := io.ReadFull(source, up.buf)
	if err == nil && up.end() == up.Size {
		// The last chunk will complete the upload: whether it is the last of Source, too, can't wait.
		switch _, err = io.ReadFull(source, make([]byte, 1)); err {
		case nil:
			return fmt.Errorf("%w: it has more than %d bytes", ErrSource, up.Size)
		case io.EOF:
			return nil
		}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return fmt.Errorf("%w: it ended after %d of %d bytes", ErrSource, up.begin+int64(n), up.Size)
	}
	return fmt.Errorf("%w: %w", ErrSource, err)
}

// A reader stops between two reads when its context ends.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// create makes the server expect the upload. If it did already, and the answer was lost, it answers with the same place.
func (up *upload) create(ctx context.Context, target *url.URL) error {
	a, err := up.exchange(ctx, http.MethodPost, target, http.Header{"Upload-Length": {strconv.FormatInt(up.Size, 10)}}, nil)
	if err != nil {
		return err
	}
	place := a.header.Get("Location")
	switch {
	case a.ok() && place == "":
		return &broken{err: errors.New("transfer: the server's answer to the creation has no Location")}
	case a.ok():
	case a.status == http.StatusConflict && place != "":
	default:
		return a.refusal()
	}
	location, err := target.Parse(place)
	if err != nil || !web(location) {
		return errors.New("transfer: the server's answer to the creation has a bad Location")
	}
	if target.Scheme == "https" && location.Scheme != "https" {
		return errors.New("transfer: the server wants to be sent the file in the clear")
	}
	up.location = location
	up.unsure = up.unsure || a.status != http.StatusCreated
	up.pace.failures = 0
	return nil
}

// ask asks how much the server has.
func (up *upload) ask(ctx context.Context) error {
	a, err := up.exchange(ctx, http.MethodHead, up.location, nil, nil)
	switch {
	case err != nil:
		return err
	case !a.ok():
		return a.refusal()
	}
	return up.confirmed(a)
}

// send sends what the server does not have of the chunk.
func (up *upload) send(ctx context.Context) error {
	if up.offset == up.end() {
		if err := up.fill(ctx); err != nil {
			return err
		}
	}
	before := up.offset
	a, err := up.exchange(ctx, http.MethodPatch, up.location, http.Header{
		"Content-Type":  {"application/offset+octet-stream"},
		"Upload-Offset": {strconv.FormatInt(before, 10)},
	}, &piece{rest: up.buf[before-up.begin:]})
	switch {
	case err != nil:
		return err
	case a.status == http.StatusConflict:
		return &broken{err: a.refusal()}
	case !a.ok():
		return a.refusal()
	}
	if err := up.confirmed(a); err != nil {
		return err
	}
	if up.offset <= before {
		return &broken{err: errors.New("transfer: the server took nothing")}
	}
	return nil
}

// confirmed takes over how much the server has.
func (up *upload) confirmed(a *answer) error {
	offset, err := strconv.ParseInt(a.header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		return &broken{err: errors.New("transfer: the server does not say how much it has")}
	}
	if offset < up.begin || offset > up.end() {
		return fmt.Errorf("transfer: the server says that it has %d bytes, after it had %d and was sent up to %d", offset, up.begin, up.end())
	}
	up.offset, up.unsure = offset, false
	if offset > up.reached {
		up.reached, up.pace.failures = offset, 0
	}
	up.show(offset)
	return nil
}

func (up *upload) show(n int64) { up.meter.show(min(n, up.Size-1)) }

// forget tells the server that the upload won't be completed.
func (up *upload) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer cancel()
	up.exchange(ctx, http.MethodDelete, up.location, nil, nil)
}

// An answer is what is of use of a response.
type answer struct {
	status  int
	header  http.Header
	message string
}

func (a *answer) ok() bool { return a.status/100 == 2 }

func (a *answer) refusal() error { return refusal(a.status, a.header, a.message) }

// exchange makes a request, and shows meanwhile how much of body was sent. body may be nil.
func (up *upload) exchange(ctx context.Context, method string, target *url.URL, header http.Header, body *piece) (*answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("transfer: %w", err)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	if up.Ticket != "" {
		req.Header.Set("Authorization", "Bearer "+up.Ticket)
	}
	if body != nil {
		// Without GetBody, nobody else sends it a second time.
		req.Body, req.ContentLength = body, int64(len(body.rest))
		// The client may read it even after the request is over, when buf has changed.
		defer body.Close()
	}
	type result struct {
		a   *answer
		err error
	}
	done := make(chan result, 1)
	go func() {
		resp, err := request(&up.client, req)
		if err != nil {
			done <- result{err: err}
			return
		}
		a := &answer{resp.StatusCode, resp.Header, message(resp)}
		finish(resp.Body)
		done <- result{a, nil}
	}()
	tick := time.NewTicker(cadence)
	defer tick.Stop()
	var sent int64
	moved := time.Now()
	for {
		select {
		case r := <-done:
			return r.a, r.err
		case <-tick.C:
			if n := body.sent(); n > sent {
				up.show(up.offset + n)
				sent, moved = n, time.Now() // Progress may have taken its time
			} else if time.Since(moved) >= stall {
				cancel(errStalled)
			}
		}
	}
}

// A piece is the body of a request. After Close, it reads nothing of the buffer that it is a part of.
type piece struct {
	mu   sync.Mutex
	rest []byte // guarded by mu
	read int64  // guarded by mu
	over bool   // guarded by mu
}

func (p *piece) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
		return 0, errors.New("transfer: the request is over")
	case len(p.rest) == 0:
		return 0, io.EOF
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	p.read += int64(n)
	return n, nil
}

func (p *piece) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over, p.rest = true, nil
	return nil
}

// sent returns how much was read.
func (p *piece) sent() int64 {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read
}
