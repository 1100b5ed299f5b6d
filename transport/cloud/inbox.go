package cloud

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// This file is the least that a Conn needs: users get no events yet.

// A Moderation will be a message that waits for a decision.
type Moderation struct{}

// A Verdict will decide whether a message may be sent.
type Verdict int

type eventState struct {
	once  sync.Once
	inbox inbox
}

// An inbox has what came for users.
type inbox struct{ epoch uint64 }

func (s *Service) inbox() *inbox {
	s.events.once.Do(func() {
		var b [8]byte
		rand.Read(b[:])
		s.events.inbox.epoch = binary.LittleEndian.Uint64(b[:])
	})
	return &s.events.inbox
}

// A stream brings one user's events to one Conn.
type stream struct {
	epoch  uint64
	closed chan struct{}
	once   sync.Once
}

func (in *inbox) attach(string) *stream { return &stream{epoch: in.epoch, closed: make(chan struct{})} }

func (st *stream) last() *wire.Position { return &wire.Position{Epoch: st.epoch} }

func (st *stream) positions() (at, last *wire.Position) { return st.last(), st.last() }

func (st *stream) sync(req *wire.SyncRequest) *wire.Response {
	answer := &wire.SyncResponse{Last: st.last()}
	if req.GetAfter().GetEpoch() != st.epoch {
		answer.Reset_ = &wire.FeedReset{Reason: wire.FeedResetReason_FEED_RESET_REASON_EPOCH, Position: st.last()}
	}
	return &wire.Response{Body: &wire.Response_Sync{Sync: answer}}
}

func (st *stream) handled(*wire.Position) *wire.Position { return st.last() }

func (st *stream) receive(ctx context.Context) (*wire.Push, error) {
	select {
	case <-st.closed:
		return nil, transport.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (st *stream) close() { st.once.Do(func() { close(st.closed) }) }
