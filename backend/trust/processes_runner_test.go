//go:build linux

package trust_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
)

// A runner is a user who sends from a process of its own, to the catcher. Most of its messages are durable: the next run goes on with them. While
// a process runs, all but count and outbox belong to the goroutine that hears it.
type runner struct {
	count   int    // how many messages it is to send
	outbox  string // a directory that outlives the processes
	process *process
	begun   int            // how many it has begun
	pending map[int]*sends // what has not ended
	ended   map[int]string // IDs of durable messages that have, empty if they were not acknowledged
}

// A sends is a message that the runner sends.
type sends struct {
	*zimtest.Sending
	message  *zim.Message // nil before it was attached
	survived bool         // a process that was killed left it to the next one
	counted  bool         // the plan takes it for one that ended
}

func (s *storm) startRunner() {
	r := &s.runner
	if r.pending == nil {
		r.outbox, r.pending, r.ended = s.t.TempDir(), make(map[int]*sends), make(map[int]string)
	}
	j := job{URL: s.proxy.url(), User: "runner", Outbox: r.outbox, To: "catcher", From: r.begun, Count: r.count}
	r.process = startClient(s.t, j, func(l line) {
		switch l.Do {
		case "send":
			r.pending[l.N] = &sends{Sending: s.h.Invoked(j.content(l.N), zim.Peer(j.To))}
			r.begun = max(r.begun, l.N+1)
		case "attached":
			m := l.Message.message()
			r.pending[l.N].message = m
			r.pending[l.N].Attached(m)
		case "end":
			s.ranOut(l.N, l.Message.message(), l.err())
		}
	})
}

// ranOut tells how a send of the runner ended, as a process of it said.
func (s *storm) ranOut(n int, m *zim.Message, err error) {
	r := &s.runner
	send := r.pending[n]
	if send == nil {
		// A process was killed before it had removed the file of a message whose end it had told.
		s.count("durable, told again")
		if m == nil || err != nil || m.ID != r.ended[n] {
			s.t.Errorf("the durable message %d had ended as %q, and ended again as %+v, %v", n, r.ended[n], m, err)
		}
		return
	}
	if send.message != nil && (m == nil || m.LocalID != send.message.LocalID) {
		s.t.Errorf("message %d was attached as %+v, and ended as %+v, %v", n, send.message, m, err)
	}
	if durable(n) {
		r.ended[n] = ""
		if err != nil {
			s.t.Errorf("the durable message %d failed: %v", n, err)
		} else {
			r.ended[n] = m.ID
		}
		if send.survived {
			s.count("durable, acknowledged by another run")
		}
	}
	s.ranOutUntold(n, m, err)
	if !send.counted {
		s.tellEnd()
	}
}

// ranOutUntold is ranOut for what the plan need not be told.
func (s *storm) ranOutUntold(n int, m *zim.Message, err error) {
	s.runner.pending[n].Ended(m, err)
	delete(s.runner.pending, n)
	switch {
	case err == nil:
		s.count("acknowledged")
	case errors.Is(err, zim.ErrOutcomeUnknown):
		s.count("unknown to a client")
	default:
		s.count(outcomeRefused)
	}
}

var errKilled = errors.New("the process was killed before it had a message")

// killRunner kills the runner's process, and starts another one that goes on. What it was sending is lost, or not; but if it is durable, the
// other one has it.
func (s *storm) killRunner() {
	r := &s.runner
	r.process.cmd.Process.Kill()
	s.watch(s.total, r.process.gone, nil) // it may have much to say still
	<-r.process.gone
	if r.begun < r.count {
		s.done["sender died at work"]++
	}
	for _, n := range slices.Sorted(maps.Keys(r.pending)) {
		send := r.pending[n]
		switch {
		case durable(n) && send.message != nil:
			if !send.survived { // else it has survived another one
				s.done["durable messages under way when the sender died"]++
			}
			send.survived = true
		case durable(n):
			// Nobody knows whether it was written before the kill. If so, it ends later; the plan can't wait for that.
			if !send.counted {
				send.counted = true
				s.n++
			}
		case send.message != nil:
			s.ranOutUntold(n, send.message, zim.ErrOutcomeUnknown)
			s.n++
		default:
			s.ranOutUntold(n, nil, errKilled)
			s.n++
		}
	}
	s.startRunner()
}

// endRunner lets the runner end once it has nothing to send any more, and tells what is known then.
func (s *storm) endRunner() {
	r := &s.runner
	s.insist(func() error { // the last files are removed after their messages were told
		left, err := filepath.Glob(filepath.Join(r.outbox, "*", "*.message*"))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("the outbox has %d files still", len(left))
		}
		return err
	})
	r.process.end(s.t)
	for _, n := range slices.Sorted(maps.Keys(r.pending)) {
		if send := r.pending[n]; send.message != nil || !send.counted {
			s.t.Errorf("message %d has not ended: %+v", n, send.message)
		}
		s.ranOutUntold(n, nil, errKilled)
	}
}
