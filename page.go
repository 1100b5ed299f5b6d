package zim

import (
	"context"
	"errors"
	"iter"
	"time"
)

// paginate returns a sequence over what page returns page by page, beginning with the one for first. A page that fails ends
// the sequence with its error, but for one that came too soon: it is asked for again when the service says.
func paginate[T any, C comparable](ctx context.Context, first C, page func(C) (items []T, next C, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for at := first; ; {
			items, next, more, err := page(at)
			if err != nil && tooSoon(ctx, err) {
				continue
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if !more || len(items) == 0 && next == at { // or it would go on for ever
				return
			}
			at = next
		}
	}
}

// tooSoon waits if the service refused a request because there were too many, and said when to try again. It reports whether that
// time has come.
func tooSoon(ctx context.Context, err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != ErrCommonTriggerServerFrequencyLimit || e.RetryAfter == 0 {
		return false
	}
	select {
	case <-time.After(e.RetryAfter):
		return true
	case <-ctx.Done():
		return false
	}
}
