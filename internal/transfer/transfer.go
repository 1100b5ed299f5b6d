// Package transfer moves files between the SDK and a service's file server, over HTTP. What breaks is taken up where it
// broke, for as long as that gets on.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxTries   = 8 // in a row that bring nothing
	firstDelay = 500 * time.Millisecond
	maxDelay   = 10 * time.Second
	// patience is how long a server may ask to be left alone. Beyond it, that is its answer.
	patience = time.Minute
	// stall is after what time without a byte a try is given up. A connection whose other end is gone may never fail.
	stall = time.Minute
	// cadence is how often Progress is called at most.
	cadence = 100 * time.Millisecond
)

// ErrSource is wrapped by the error of an Upload whose Source failed, or has another size than was said.
var ErrSource = errors.New("transfer: bad source")

// ErrDest is wrapped by the error of a Download whose Dest failed.
var ErrDest = errors.New("transfer: the destination failed")

// ErrTooLarge is the error of a Download of a file beyond its Limit.
var ErrTooLarge = errors.New("transfer: the file is too large")

// ErrChanged is wrapped by the error of a Download that broke off and can't go on, because the file is another one now or
// the server can't tell.
var ErrChanged = errors.New("transfer: the file has changed, or can't be resumed")

// A StatusError is the refusal of a file server.
type StatusError struct {
	Status int
	// Message is the beginning of the answer, up to 256 bytes, if it was text. It is whatever the server likes, so that Error
	// leaves it out.
	Message string
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("transfer: the server answered %d %s", e.Status, http.StatusText(e.Status)))
}

// broken is the error of a try that may be followed by another one.
type broken struct {
	err   error
	after time.Duration // the server wants to be left alone for this time
}

func (b *broken) Error() string { return b.err.Error() }
func (b *broken) Unwrap() error { return b.err }

var errStalled = errors.New("no byte moved for a minute")

// refusal returns the error for an answer that isn't what was asked for.
func refusal(status int, header http.Header, message string) error {
	err := &StatusError{Status: status, Message: message}
	switch {
	case status == http.StatusNotImplemented, status == http.StatusInsufficientStorage:
		return err
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusLocked, status == http.StatusTooManyRequests:
	default:
		return err
	}
	after := retryAfter(header.Get("Retry-After"))
	if after > patience {
		return err
	}
	return &broken{err, after}
}

func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// message reads the beginning of an answer, if it is text.
func message(resp *http.Response) string {
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); !strings.HasPrefix(kind, "text/") {
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 256))
	return strings.TrimSpace(strings.ToValidUTF8(string(b), ""))
}

// finish closes a body, read to its end if it is short, so that the connection can be used again.
func finish(body io.ReadCloser) {
	io.CopyN(io.Discard, body, 4<<10)
	body.Close()
}

// request makes one request.
func request(client *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := client.Do(req)
	if err == nil {
		return resp, nil
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // e shows the URL, which may be secret
	}
	if errors.Is(context.Cause(req.Context()), errStalled) {
		err = errStalled
	}
	err = fmt.Errorf("transfer: %w", err)
	if resp != nil {
		return nil, err // it redirects to where the client doesn't go
	}
	return nil, &broken{err: err}
}

// A pace decides when to try again.
type pace struct {
	failures int // since there was progress
}

// wait returns nil when it is time for another try after err, or why there is none.
func (p *pace) wait(ctx context.Context, err error) error {
	b, ok := errors.AsType[*broken](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !ok:
		return err
	}
	p.failures++
	if p.failures >= maxTries {
		return fmt.Errorf("%w (%d tries)", b.err, p.failures)
	}
	select {
	case <-time.After(b.after + rand.N(min(firstDelay<<(p.failures-1), maxDelay)+1)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A meter shows how far a transfer came.
type meter struct {
	call  func(int64) // may be nil
	shown int64
	next  time.Time // earlier than this, nothing is shown
}

// show shows n, unless that is no news or too early.
func (m *meter) show(n int64) {
	if now := time.Now(); n > m.shown && !now.Before(m.next) {
		m.must(n)
	}
}

func (m *meter) must(n int64) {
	m.shown, m.next = n, time.Now().Add(cadence)
	if m.call != nil {
		m.call(n)
	}
}

func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || !web(u) {
		return nil, errors.New("transfer: the URL must be absolute, and of http or https")
	}
	return u, nil
}

func web(u *url.URL) bool { return u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") }
