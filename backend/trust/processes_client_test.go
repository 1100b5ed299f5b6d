//go:build linux

package trust_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/internal/tier"
)

func (s *storm) startCatcher() {
	ready := make(chan struct{}, 1)
	s.catcher = startClient(s.t, job{URL: s.proxy.url(), User: "catcher"}, func(l line) {
		switch l.Do {
		case "ready":
			ready <- struct{}{}
		case "got":
			m := l.Message.message()
			s.h.Received("catcher", m)
			if s.caught[m.Seq] {
				s.again.Add(1)
			}
			s.caught[m.Seq] = true
			s.arrived.tell("catcher", m.Conversation.ID, m.Seq)
		}
	})
	select {
	case <-ready:
	case <-s.catcher.gone:
		s.t.Fatal("the catcher ended before it was ready")
	case <-time.After(time.Minute):
		s.t.Fatal("the catcher was not ready within a minute")
	}
}

// killCatcher kills the receiving process, and starts another one that goes on where that had told that it was.
func (s *storm) killCatcher() {
	s.catcher.kill()
	s.h.Restarted("catcher")
	s.startCatcher()
}

// resolve tries again what has an unknown outcome, until it has a known one.
func (s *storm) resolve() {
	for _, m := range s.unknown {
		err := error(zim.ErrOutcomeUnknown)
		for range 20 {
			again := &zim.MessageSendConfig{Retry: m}
			if m, err = s.h.Send(s.t.Context(), s.zims[m.Sender], m.Content, m.Conversation, again); !errors.Is(err, zim.ErrOutcomeUnknown) {
				break
			}
		}
		switch {
		case err == nil:
			s.count("acknowledged later")
		case errors.Is(err, zim.ErrOutcomeUnknown):
			s.count("unresolved")
			s.t.Errorf("a retry did not tell what became of a message: %v", err)
		default:
			s.count("refused later")
			s.t.Errorf("a retry was refused: %v", err)
		}
	}
}

// collect reads what is stored at the end, as those who sent it, and waits until all readers have it.
func (s *storm) collect() {
	s.endRunner()
	z, err := newClient(s.proxy.url(), "runner", "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(z.Destroy)
	s.insist(func() error { return logIn(s.t.Context(), z, "runner") })
	s.stored("runner", z, zim.Peer("catcher"), "catcher")
	readers := []string{"reader"}
	for i := range senders {
		s.stored(sender(i), s.zims[sender(i)], zim.Peer("reader"), "reader")
		readers = append(readers, sender(i))
	}
	for i := range senders {
		s.stored(sender(i), s.zims[sender(i)], zim.Group(group), readers...)
	}
	for to, seq := range s.want {
		if !s.arrived.wait(to, seq, 2*time.Minute) {
			s.t.Errorf("%s has not got number %d after two minutes", to, seq)
		}
	}
	s.catcher.end(s.t)
	for _, z := range s.zims {
		z.Destroy()
	}
}

// insist tries something that needs a connection until it succeeds.
func (s *storm) insist(try func() error) {
	s.t.Helper()
	for range 100 {
		err := try()
		if err == nil {
			return
		}
		s.t.Log(err)
		<-time.After(100 * time.Millisecond)
	}
	s.t.Fatal("it did not succeed")
}

// stored tells the history what is stored in a user's conversation, and remembers what its readers are to get.
func (s *storm) stored(user string, z *zim.ZIM, c zim.ConversationRef, readers ...string) {
	var list []*zim.Message
	s.insist(func() error {
		list = nil
		for m, err := range z.HistoryMessages(context.Background(), c, zim.MessageOrderAscending) {
			if err != nil {
				return err
			}
			list = append(list, m)
		}
		return nil
	})
	s.h.Stored(user, c, list)
	for _, r := range readers {
		from := user // whom it is from, to the readers
		if c.Type == zim.ConversationTypeGroup {
			from = c.ID
		}
		for _, m := range slices.Backward(list) {
			if m.Sender != r {
				s.want[inbox(r, from)] = m.Seq
				break
			}
		}
	}
}

// linksEnded returns how many connections ended, of those that were spoiled: that were cut, or dead for a while first.
func linksEnded(spoiled map[string]int) int {
	return spoiled["cut"] + spoiled["half-open"] + spoiled["zombie"]
}

// judge holds the history against what is promised.
func (s *storm) judge(began time.Time) {
	found := map[string]int{"Durable": 0, "Delivered": 0, "Unique": 0, "Gapless": 0, "RealTime": 0, "FIFO": 0, "NoPhantom": 0}
	violations := slices.Concat(s.h.Check(), s.h.Delivered("catcher", zim.Peer("runner")), s.h.Delivered("reader", zim.Group(group)))
	for i := range senders {
		violations = slices.Concat(violations, s.h.Delivered("reader", zim.Peer(sender(i))), s.h.Delivered(sender(i), zim.Group(group)))
	}
	for _, v := range violations {
		found[v.Checker]++
		s.t.Error(v)
	}
	if n := s.resets.Load(); n > 0 {
		s.t.Errorf("clients were told %d times that something is lost", n)
	}
	if n := s.done["sender died at work"]; n == 0 {
		s.t.Error("the runner was never killed while it had something to send")
	}
	if left, got := s.done["durable messages under way when the sender died"], s.outcomes["durable, acknowledged by another run"]; left == 0 || got != left {
		s.t.Errorf("%d durable messages were under way when the runner was killed, want some; of those, another run told of %d", left, got)
	}
	if n := s.outcomes["queries"]; n < s.total/500 {
		s.t.Errorf("only %d queries were answered", n)
	}
	spoiled := s.proxy.spoiled()
	if n, want := linksEnded(spoiled), tier.Pick(50, 500); n < want {
		s.t.Errorf("%d connections were ended, want at least %d", n, want)
	}
	if n, want := spoiled["cut"], tier.Pick(15, 300); n < want {
		s.t.Errorf("%d connections were cut, want at least %d", n, want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report(map[string]any{
		"seed": s.seed, "seconds": int(time.Since(began).Seconds()), "disk": s.disk != nil, "messages": s.total, "outcomes": s.outcomes,
		"connections": spoiled, "links ended": linksEnded(spoiled), "faults": s.done, "redelivered": s.again.Load(), "violations": found,
		"lost": found["Durable"] + found["Delivered"], "doubled": found["Unique"],
		"reordered": found["Gapless"] + found["RealTime"] + found["FIFO"], "unresolved": s.outcomes["unresolved"],
	})
}

// Arrivals are how far each reader is in each conversation.
type arrivals struct {
	mu   sync.Mutex
	last map[string]int64 // guarded by mu
	news chan struct{}    // closed, and made anew, when something arrives; guarded by mu
}

func newArrivals() *arrivals {
	return &arrivals{last: make(map[string]int64), news: make(chan struct{})}
}

// inbox names what a reader gets of a conversation.
func inbox(reader, conversation string) string { return reader + " of " + conversation }

func (a *arrivals) tell(reader, conversation string, seq int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last[inbox(reader, conversation)] = max(a.last[inbox(reader, conversation)], seq)
	close(a.news)
	a.news = make(chan struct{})
}

// wait waits until seq, or something behind it, is in an inbox.
func (a *arrivals) wait(inbox string, seq int64, d time.Duration) bool {
	timeout := time.After(d)
	for {
		a.mu.Lock()
		there, news := a.last[inbox] >= seq, a.news
		a.mu.Unlock()
		if there {
			return true
		}
		select {
		case <-news:
		case <-timeout:
			return false
		}
	}
}
