package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRedirects is how often a Download is sent elsewhere.
const maxRedirects = 5

// A Download fetches a file.
type Download struct {
	// Client makes the requests; nil means [http.DefaultClient]. If it has no CheckRedirect, up to five redirects are
	// followed.
	Client *http.Client
	// URL is the file's. It is absolute.
	URL string
	// Renew, unless it is nil, returns another URL of the same file. It is called when the server refuses with the status 403, once
	// until it gives something again: the time of a URL may end while it is used.
	Renew func(ctx context.Context) (string, error)
	// Limit is how many bytes the file may have. Dest gets no more.
	Limit int64
	// Dest is written in order, by the goroutine that called Run.
	Dest io.Writer
	// Progress, unless it is nil, is called with 0 once the server has answered, then with how many bytes were received, which
	// never goes down, and with all at last, if Run succeeds. total is -1 for as long as it is unknown. Between the first and
	// the last call there are at most ten a second. It is called by the goroutine that called Run.
	Progress func(received, total int64)
}

// Run fetches the file. It returns when Dest has all of it, or with an error, which leaves Dest with a part: ctx's own once
// it ended, [ErrTooLarge], one that wraps [ErrDest] or [ErrChanged], a [*StatusError] of a refusal, or that of the last of
// eight tries in a row that brought nothing.
func (d *Download) Run(ctx context.Context) error {
	if _, err := parse(d.URL); err != nil {
		return err
	}
	down := &download{Download: d, url: d.URL, total: -1}
	down.meter.call = func(n int64) {
		if d.Progress != nil {
			d.Progress(n, down.total)
		}
	}
	if d.Client != nil {
		down.client = *d.Client
	}
	if down.client.CheckRedirect == nil {
		down.client.CheckRedirect = checkRedirect
	}
	for {
		err := down.try(ctx)
		if err == nil {
			down.total = down.received
			down.meter.must(down.received)
			return nil
		}
		if status, ok := errors.AsType[*StatusError](err); ok && status.Status == http.StatusForbidden && d.Renew != nil && !down.renewed {
			address, again := d.Renew(ctx)
			if again == nil {
				if _, again = parse(address); again == nil {
					down.url, down.renewed = address, true
					continue
				}
			}
		}
		if _, again := errors.AsType[*broken](err); again && ctx.Err() == nil && down.received > 0 && !down.version.known() {
			return fmt.Errorf("%w: %w", ErrChanged, err)
		}
		if err := down.pace.wait(ctx, err); err != nil {
			return err
		}
	}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if !web(req.URL) {
		return errors.New("redirected to something else than http or https")
	}
	return nil
}

// A download is a Download that runs.
type download struct {
	*Download
	client   http.Client
	url      string
	renewed  bool // since something was received
	version  version
	received int64
	total    int64 // -1 while it is unknown
	begun    bool  // Progress was called
	pace     pace
	meter    meter
}

// A version tells one state of a file from another.
type version struct{ etag, modified string }

func versionOf(h http.Header) version { return version{h.Get("ETag"), h.Get("Last-Modified")} }

// validator returns what the version's parts can be asked for with, or "". A weak tag is of no use for that.
func (v version) validator() string {
	if v.etag != "" && !strings.HasPrefix(v.etag, "W/") {
		return v.etag
	}
	return v.modified
}

func (v version) known() bool { return v.validator() != "" }

// differs reports whether another answer's version is known to be another one.
func (v version) differs(w version) bool {
	return v.etag != "" && w.etag != "" && v.etag != w.etag ||
		v.modified != "" && w.modified != "" && v.modified != w.modified
}

// try fetches what is missing.
func (down *download) try(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(stall, func() { cancel(errStalled) })
	defer stuck.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, down.url, nil)
	if err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	// The transport would ask for compression, and count what it has decompressed.
	req.Header.Set("Accept-Encoding", "identity")
	if down.received > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", down.received))
		req.Header.Set("If-Range", down.version.validator())
	}
	resp, err := request(&down.client, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if complete, err := down.accept(resp); complete || err != nil {
		return err
	}
	if !down.begun {
		down.begun = true
		stuck.Stop()
		down.meter.must(0)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := 0, ctx.Err() // which a body may see late, when it has much to give
		if err == nil {
			stuck.Reset(stall)
			n, err = resp.Body.Read(buf)
			stuck.Stop()
		}
		if n > 0 {
			if err := down.write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
			continue
		case down.received == down.total:
			return nil
		case errors.Is(err, io.EOF) && down.total < 0:
			return nil
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		case errors.Is(context.Cause(ctx), errStalled):
			err = errStalled
		}
		return &broken{err: fmt.Errorf("transfer: %w", err)}
	}
}

// accept checks that an answer's body is what is missing, or reports that nothing is.
func (down *download) accept(resp *http.Response) (complete bool, err error) {
	version := versionOf(resp.Header)
	total := resp.ContentLength
	switch {
	case resp.StatusCode == http.StatusOK && down.received == 0:
		down.version = version
	case resp.StatusCode == http.StatusOK:
		return false, ErrChanged
	case resp.StatusCode == http.StatusPartialContent && down.received > 0:
		var first int64
		first, total = contentRange(resp.Header)
		if first != down.received || down.version.differs(version) {
			return false, ErrChanged
		}
		if down.total >= 0 {
			if total >= 0 && total != down.total {
				return false, ErrChanged
			}
			total = down.total
		}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && down.received > 0:
		// The connection broke after the last byte, and before the server could say that it was the last one.
		_, total = contentRange(resp.Header)
		if total != down.received || down.version.differs(version) {
			return false, ErrChanged
		}
		return true, nil
	default:
		err := refusal(resp.StatusCode, resp.Header, message(resp))
		finish(resp.Body)
		return false, err
	}
	if down.total = total; total > down.Limit {
		return false, ErrTooLarge
	}
	return false, nil
}

// contentRange returns where an answer begins in its file, and how many bytes the file has. Each is -1 if the answer doesn't
// say so.
func contentRange(h http.Header) (first, total int64) {
	number := func(s string) int64 {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			return -1
		}
		return int64(n)
	}
	value, _ := strings.CutPrefix(h.Get("Content-Range"), "bytes ")
	span, size, _ := strings.Cut(value, "/")
	begin, _, _ := strings.Cut(span, "-")
	return number(begin), number(size)
}

func (down *download) write(b []byte) error {
	n := down.received + int64(len(b))
	switch {
	case n > down.Limit:
		return ErrTooLarge
	case down.total >= 0 && n > down.total:
		return errors.New("transfer: the server sent more than it had said")
	}
	if m, err := down.Dest.Write(b); err != nil {
		return fmt.Errorf("%w: %w", ErrDest, err)
	} else if m < len(b) {
		return fmt.Errorf("%w: %w", ErrDest, io.ErrShortWrite)
	}
	down.received, down.pace.failures, down.renewed = n, 0, false
	down.meter.show(n)
	return nil
}
