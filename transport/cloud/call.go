package cloud

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zim-go/zim/transport"
)

const (
	maxAnswer   = 1 << 20 // bytes
	maxTries    = 3       // of one call
	tryTimeout  = 10 * time.Second
	firstPause  = 200 * time.Millisecond // after no answer, and what broke inside
	maxClockOff = 365 * 24 * time.Hour   // what a Date header is believed
)

// call performs one action and returns the answer. It waits for the action's turn, and repeats what may be repeated. key is the group or room
// that the action is about, if it has a rate for each.
//
// A refusal is an *Error, which comes with the answer: lists of failures may be in it, and the rest is done then. An error that wraps
// transport.ErrOutcomeUnknown means that the action is not safe to repeat, and may have been done. Others mean of such an action that it was not done, as
// far as the return codes can be believed; of one that can be repeated they leave it open.
func (s *Service) call(ctx context.Context, a *action, key string, args object) (object, error) {
	st, err := s.start()
	if err != nil {
		return nil, err
	}
	n := 1
	if list, ok := args[a.counted].([]int64); ok {
		n = len(list)
	}
	if s.NoLimits {
		n = 0
	}
	resigned := false
	for try := 1; ; try++ {
		switch err := st.limits.wait(ctx, a, key, n); {
		case errors.Is(err, errDay):
			return nil, fmt.Errorf("%w: %w", err, &Error{Action: a.name, Code: broadcastRate})
		case err != nil:
			return nil, err
		}
		answer, sent, err := s.try(ctx, st, a, args)
		refusal, refused := errors.AsType[*Error](err)
		if !sent || refused && look(refusal.Code).kind == limited {
			st.limits.uncount(a, key) // it does not use the day up
		}
		var pause time.Duration
		switch {
		case err == nil:
			return answer, nil
		case refused && look(refusal.Code).zim == 0:
			return answer, nil
		case refused:
			k := look(refusal.Code).kind
			if k == limited {
				st.limits.empty(a, key, refusal.Code != 660300006)
				pause = penalty + jitter(penalty/2)
				break
			}
			if k == expired && !resigned && st.setClock(answer) {
				resigned = true
				try-- // it was not one for the rest
				continue
			}
			if k.unclear() && !a.repeat {
				return answer, unknown(a, err)
			}
			if !k.passing() || !a.repeat {
				return answer, err
			}
			pause = firstPause<<try + jitter(firstPause)
		case sent && !a.repeat:
			return nil, unknown(a, err)
		case ctx.Err() != nil:
			return nil, err
		default:
			pause = firstPause<<try + jitter(firstPause)
		}
		if try == maxTries {
			return answer, err
		}
		s.log().Warn("cloud: an action is repeated", "action", a.name, "try", try, "wait", pause, "err", err)
		if sleep(ctx, pause) != nil {
			return answer, err
		}
	}
}

func unknown(a *action, cause error) error {
	return fmt.Errorf("cloud: %s: %w: %w", a.name, transport.ErrOutcomeUnknown, cause)
}

// jitter returns a random duration below d.
func jitter(d time.Duration) time.Duration {
	var b [8]byte
	rand.Read(b[:])
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(d))
}

// dateKey is where try leaves the time that the service's clock showed. No key of an answer is empty.
const dateKey = ""

// setClock takes the clock of an answer for right.
func (st *callState) setClock(answer object) bool {
	date, err := http.ParseTime(answer.text(dateKey))
	if err != nil {
		return false
	}
	off := time.Until(date)
	if off < -maxClockOff || off > maxClockOff {
		return false
	}
	st.offset.Store(int64(off))
	return true
}

// try performs one HTTP request. It reports whether the request may have reached the service.
func (s *Service) try(ctx context.Context, st *callState, a *action, args object) (answer object, sent bool, err error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	// Whoever asked for a connection and did not get one has sent nothing. A client that isn't net/http's own may not tell.
	var asked, got atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
	})
	req, err := s.request(ctx, st, a, args)
	if err != nil {
		return nil, false, err
	}
	resp, err := st.client.Do(req)
	if err != nil {
		return nil, !asked.Load() || got.Load(), noAnswer(outer, a, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, true, noAnswer(outer, a, err)
	}
	if len(body) > maxAnswer {
		return nil, true, fmt.Errorf("cloud: %s: the answer has more than %d bytes", a.name, maxAnswer)
	}
	answer, err = parse(body)
	if err == nil && answer["Code"] == nil {
		err = errNoObject
	}
	if err != nil {
		return nil, true, fmt.Errorf("cloud: %s: %w (HTTP status %d)", a.name, err, resp.StatusCode)
	}
	n, err := strconv.ParseInt(answer.text("Code"), 10, 64)
	if err != nil {
		return nil, true, fmt.Errorf("cloud: %s: the answer's code is no number (HTTP status %d)", a.name, resp.StatusCode)
	}
	if n != 0 {
		answer[dateKey] = resp.Header.Get("Date")
		return answer, true, &Error{Action: a.name, Code: n, RequestID: answer.text("RequestId")}
	}
	return answer, true, nil
}

// noAnswer makes an error of what the HTTP client says, without the URL that it would quote: that one is as good as the secret for ten minutes.
func noAnswer(ctx context.Context, a *action, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("cloud: %s: %w", a.name, ctx.Err())
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("cloud: %s: no answer: %w", a.name, err)
}

// request makes the HTTP request of one try, signed anew.
func (s *Service) request(ctx context.Context, st *callState, a *action, args object) (*http.Request, error) {
	query := s.signed(a.name, time.Now().Add(time.Duration(st.offset.Load())))
	method, body := http.MethodPost, io.Reader(nil)
	if a.get {
		// When a reused connection breaks, net/http sends a GET once more by itself, as it is: it may have been done, and the nonce was used. But not one
		// with a body that it can't begin again, even though that turns out to be empty, and nothing of it is on the wire.
		method, body = http.MethodGet, io.NopCloser(strings.NewReader(""))
		for key, v := range args {
			addQuery(query, key, v)
		}
	} else {
		b, err := json.Marshal(map[string]any(args))
		if err != nil {
			return nil, fmt.Errorf("cloud: %s: %w", a.name, err)
		}
		body = bytes.NewReader(b)
	}
	u := *st.base
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // what was a + is %2B by now
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("cloud: %s: the request can't be made", a.name)
	}
	if !a.get {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// addQuery adds a parameter to a URL, where lists have a name with brackets.
func addQuery(query url.Values, key string, v any) {
	if list, ok := v.([]string); ok {
		for _, item := range list {
			query.Add(key+"[]", item)
		}
		return
	}
	query.Set(key, fmt.Sprint(v))
}
