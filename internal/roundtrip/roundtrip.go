// Package roundtrip makes of a connection that starts requests one that waits for their answers.
package roundtrip

import (
	"context"

	"github.com/zim-go/zim/wire"
)

// Wait starts a request and waits for its answer, or until ctx ends: then forget is called with what start returned, and the answer that still
// comes, if one does, is dropped. Nothing is started if ctx is over. start must call done at most once, with a response that may be kept.
func Wait(
	ctx context.Context, start func(done func(*wire.Response, error)) (id uint64), forget func(id uint64) func(*wire.Response, error),
) (*wire.Response, error) {
	type result struct {
		resp *wire.Response
		err  error
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	got := make(chan result, 1)
	id := start(func(resp *wire.Response, err error) { got <- result{resp, err} })
	select {
	case r := <-got:
		return r.resp, r.err
	case <-ctx.Done():
		forget(id)
		return nil, ctx.Err()
	}
}
