package zim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zim-go/zim/wire"
)

// An Error describes a failed operation. Every error that a method of this package returns is an *Error.
//
// It matches its Code, and whatever caused it, with [errors.Is]: if a context ended the operation, that context's error;
// if the transport has no counterpart for the operation, [errors.ErrUnsupported]; if a message may have been stored
// although no acknowledgment came, [ErrOutcomeUnknown]. A message whose error doesn't match ErrOutcomeUnknown was not stored,
// and won't be.
//
// *Error is also the event that reports a fault which belongs to no call (documented as error).
type Error struct {
	Op         string        // the method that failed, as in "SendMessage"; empty in events
	Code       Code          // what went wrong
	Message    string        // more about it, often in the service's own words
	RetryAfter time.Duration // when to try again at the earliest; zero: nothing is known
	Err        error         // the cause, if any
}

// Error returns a text like "zim: SendMessage: the receiver does not exist (6000204): no user \"bo\"".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("zim: ")
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	b.WriteString(e.Code.Error())
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, ": try again in %v", e.RetryAfter)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's Code.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

func (*Error) event() eventKind { return kindError }

// CodeOf returns the code of err, or zero if err is nil or none of this package's errors.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if c, ok := errors.AsType[Code](err); ok {
		return c
	}
	return 0
}

func invalid(op, format string, args ...any) *Error {
	return &Error{Op: op, Code: ErrCommonParamsInvalid, Message: fmt.Sprintf(format, args...)}
}

// noAnswer is the error of an operation whose answer says nothing of it.
func noAnswer(op string) *Error {
	return &Error{Op: op, Code: ErrNetworkRspProtoParseError, Message: "the answer is something else"}
}

// canceled is the error of an operation that ctx ended.
func canceled(op string, ctx context.Context) *Error {
	return &Error{Op: op, Code: ErrCanceled, Err: ctx.Err()}
}

// maxRetryAfter bounds what a service can ask for.
const maxRetryAfter = 5 * time.Minute

// refusal is the error for a service's refusal.
func refusal(op string, e *wire.Error) *Error {
	return &Error{
		Op:         op,
		Code:       Code(e.Code),
		Message:    e.Message,
		RetryAfter: time.Duration(min(max(e.RetryAfterMs, 0), int64(maxRetryAfter/time.Millisecond))) * time.Millisecond,
	}
}

// unknown says in err that the operation may have happened nevertheless.
func unknown(err *Error) *Error {
	if err.Err == nil {
		err.Err = ErrOutcomeUnknown
	} else {
		err.Err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err.Err)
	}
	return err
}
