package backend

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/defect"
	"github.com/zim-go/zim/wire"
)

const (
	maxSync      = 500
	maxSyncBytes = 256 << 10
	// syncRate is how many requests for events a user may make in a second in the long run, and four times as many at once; freeSynced is how
	// many events count for one more. Beyond it, an answer waits for a tenth of a second.
	syncRate, freeSynced = 100, 50
)

// sync answers with the events behind a position. It is never refused, or events would come late: who asks for too much waits.
func (a *attachment) sync(s *session, id uint64, req *wire.SyncRequest) {
	if req.After == nil {
		a.refuse(id, refuse(codeParamsInvalid, "the position is missing"))
		return
	}
	limit := maxSync
	if req.Limit > 0 {
		limit = min(limit, int(req.Limit))
	}
	time.Sleep(s.syncs.Reserve().Delay())
	epoch := a.server.store.Epoch()
	resp := &wire.SyncResponse{}
	err := a.server.store.View(context.Background(), func(tx *store.Tx) error {
		u, err := tx.User(s.key.app, s.key.id)
		if err != nil {
			return err
		}
		first, last, err := tx.Feed(u)
		if err != nil {
			return err
		}
		at, reset := a.server.serve(req.After, first, last, uint32(max(int64(first)-1, 0)))
		resp.Reset_ = reset
		resp.Last = &wire.Position{Epoch: epoch, Seq: uint64(last)}
		events, err := tx.Events(u, uint32(at.Seq), limit, maxSyncBytes)
		if len(events) > 0 {
			resp.Events = &wire.EventBatch{Epoch: epoch, FirstSeq: uint64(events[0].Seq)}
		}
		r := &reader{Tx: tx, server: a.server, app: s.app, self: u}
		// The client asks for what follows. What it sees of an event may be much larger than what is stored of it.
		for i, size := 0, 0; err == nil && i < len(events); i++ {
			var e *wire.Event
			if e, err = r.event(&events[i]); err != nil {
				break
			}
			if size += proto.Size(e); i > 0 && size > maxSyncBytes {
				break
			}
			resp.Events.Events = append(resp.Events.Events, e)
		}
		return err
	})
	if err != nil {
		a.server.log.Error("backend: sync", "app", s.key.app, "err", err)
		a.refuse(id, refuse(codeDatabaseError, "the feed can't be read"))
		return
	}
	if n := len(resp.Events.GetEvents()) / freeSynced; n > 0 {
		s.syncs.ReserveN(time.Now(), min(n, s.syncs.Burst()))
	}
	a.link.Reply(id, &wire.Response{Body: &wire.Response_Sync{Sync: resp}})
}

// heartbeat keeps what the client says it has handled, and tells it how far its feed goes.
func (a *attachment) heartbeat(s *session, id uint64, req *wire.HeartbeatRequest) {
	handled := a.server.handled(req.Handled)
	s.mu.Lock()
	s.handled = max(s.handled, handled)
	// One at a time: heartbeats are never refused, and are not to fill the store's queue.
	news, last := s.handled > s.kept && (!s.keeping || defect.On(defect.FloodsQueued)), s.last
	s.keeping = s.keeping || news
	s.mu.Unlock()
	if news {
		a.server.store.Submit(&handledOp{s: s}) // a store that takes nothing is found out elsewhere
	}
	a.link.Reply(id, &wire.Response{Body: &wire.Response_Heartbeat{Heartbeat: &wire.HeartbeatResponse{
		Last: &wire.Position{Epoch: a.server.store.Epoch(), Seq: uint64(last)},
	}}})
}

// handled returns the sequence number of a position, or zero if it is of no use.
func (s *Server) handled(p *wire.Position) uint64 {
	if p.GetEpoch() != s.store.Epoch() {
		return 0
	}
	return p.GetSeq()
}

// A handledOp keeps how far a device has come by then. If it fails, or more is handled meanwhile, the next heartbeat brings another one.
type handledOp struct {
	s   *session
	seq uint64
}

func (op *handledOp) Do(tx *store.Tx) error {
	if op.s.fenced() {
		return nil
	}
	op.s.mu.Lock()
	op.seq = op.s.handled
	op.s.mu.Unlock()
	u, err := tx.User(op.s.key.app, op.s.key.id)
	if err != nil {
		return err
	}
	return keepHandled(tx, u, op.s.device, op.seq)
}

func (op *handledOp) Done(err error) {
	op.s.mu.Lock()
	defer op.s.mu.Unlock()
	op.s.keeping = false
	if err == nil {
		op.s.kept = op.seq
	}
}

// keepHandled keeps how far a device has come. A client can't have handled what isn't there yet.
func keepHandled(tx *store.Tx, u *store.User, device string, seq uint64) error {
	if seq == 0 {
		return nil
	}
	_, last, err := tx.Feed(u)
	if err != nil {
		return err
	}
	return tx.SetHandled(u, device, uint32(min(seq, uint64(last))))
}
