package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/zim-go/zim/backend/store"
)

const (
	maxTries = 6
	// pause is how long a lane leaves the store alone that could not be read or written.
	pause = time.Second
	// maxStamped is how long a callback is signed with the time at which it was queued, so that receivers know a repetition by its signature.
	// They need not take an older one.
	maxStamped = 4 * time.Minute
)

// A result is what became of a try.
type result struct {
	id  int64
	err error // of the store: what became of it is not written down
}

// run starts the tries of a lane, as many at a time as may be, until ctx ends; it waits for them.
func (l *lane) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var rested time.Time // until then, the store is left alone
	for {
		next := rested
		if !time.Now().Before(rested) {
			var err error
			if next, err = l.start(ctx); err != nil {
				rested = time.Now().Add(pause)
				next = rested
				if ctx.Err() == nil {
					l.s.log.Error("webhook: the queue can't be read", "err", err)
				}
			}
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(max(time.Until(next), time.Millisecond))
		}
		select {
		case <-timer.C:
		case <-l.more:
		case r := <-l.done:
			if delete(l.flying, r.id); r.err != nil {
				rested = time.Now().Add(pause)
			}
		case <-l.s.config.Store.Failed():
			l.land()
			return
		case <-ctx.Done():
			l.land()
			return
		}
	}
}

// land waits for what is under way.
func (l *lane) land() {
	for len(l.flying) > 0 {
		delete(l.flying, (<-l.done).id)
	}
}

// start starts the tries that are due, as far as there is room. It returns when the next one is due, or zero if something else wakes the
// lane before: something new, or the end of a try.
func (l *lane) start(ctx context.Context) (next time.Time, err error) {
	now := time.Now()
	l.turn++ // so that an event of which there are many leaves room for the others
	for i := range l.keys {
		room := l.s.config.Concurrency - len(l.flying)
		if room <= 0 {
			return time.Time{}, nil
		}
		k := l.keys[(l.turn+i)%len(l.keys)]
		var list []*store.Callback
		var due int64
		err := l.s.config.Store.View(ctx, func(tx *store.Tx) (err error) {
			list, due, err = tx.DueCallbacks(k.app, k.event, now.UnixMilli(), room, func(id int64) bool { return l.flying[id] })
			return err
		})
		if err != nil {
			return time.Time{}, err
		}
		for _, c := range list {
			l.flying[c.ID] = true
			go func() { l.done <- result{c.ID, l.try(ctx, c)} }()
		}
		if at := time.UnixMilli(due); due > 0 && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next, nil
}

// try sends a callback and writes down what became of it. The error is the store's.
func (l *lane) try(ctx context.Context, c *store.Callback) error {
	if now := time.Now(); now.Sub(time.Unix(c.Stamp, 0)) > maxStamped {
		c.Stamp = now.Unix()
	}
	err := l.s.post(ctx, l.url, c)
	if ctx.Err() != nil {
		return nil // it was broken off; who starts next tries again
	}
	now := time.Now()
	if err != nil {
		c.Tries++
		c.Due = now.Add(time.Second << c.Tries).UnixMilli()
		if c.Tries >= maxTries {
			c.Dead = now.UnixMilli()
		}
	}
	log := l.s.log.With("app", c.App, "event", c.Event, "id", c.ID)
	switch {
	case err == nil:
	case c.Dead > 0:
		log.Warn("webhook: given up", "tries", c.Tries, "err", err)
	default:
		log.Info("webhook: not taken", "tries", c.Tries, "err", err)
	}
	stored := l.s.config.Store.Update(func(tx *store.Tx) error {
		if err == nil {
			return tx.DeleteCallback(c.ID)
		}
		return tx.SetCallback(c)
	})
	if stored != nil && !errors.Is(stored, store.ErrClosed) {
		log.Error("webhook: what became of a callback is not written down: it will be sent again", "err", stored)
	}
	return stored
}
