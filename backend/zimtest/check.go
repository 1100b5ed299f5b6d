package zimtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zim-go/zim"
)

// A Violation is a promise that was not kept.
type Violation struct {
	Checker string // the name of the method that found it
	Text    string // a sentence that names the messages
}

// String returns the checker's name and the sentence.
func (v Violation) String() string { return v.Checker + ": " + v.Text }

// Check runs all checkers, and returns what they found: nothing if all promises were kept. Each of them stops after 20 finds. A history to
// which nothing is told any more can be checked again, with the same result.
func (h *History) Check() []Violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.index()
	return slices.Concat(x.outcome(), x.durable(), x.unique(), x.gapless(), x.noPhantom(), x.realTime(), x.fifo(),
		x.readYourWrites(), x.monotonicReads(), x.atMostOnce())
}

// Outcome checks that each send ended, and once: acknowledged, refused or, with a message that can be sent again, unknown.
func (h *History) Outcome() []Violation { return h.check((*index).outcome) }

// Durable checks that the service has what it acknowledged, where it said, and as it was sent. A conversation in which something
// was acknowledged must have been told to [History.Stored].
func (h *History) Durable() []Violation { return h.check((*index).durable) }

// Unique checks that nothing is stored twice, acknowledged as two messages, or received twice by a reader in one run.
func (h *History) Unique() []Violation { return h.check((*index).unique) }

// Gapless checks that the messages of a conversation have the numbers 1, 2, 3 and so on, that they are the same ones for everybody, and that
// every reader got them in that order, from the first one on without a hole. Only messages of the reader's own may be left out.
func (h *History) Gapless() []Violation { return h.check((*index).gapless) }

// NoPhantom checks that what is stored, or was received, is what somebody sent; and that nothing is there that was refused.
func (h *History) NoPhantom() []Violation { return h.check((*index).noPhantom) }

// RealTime checks that a message which was sent after another one in its conversation had been acknowledged stands behind that one.
func (h *History) RealTime() []Violation { return h.check((*index).realTime) }

// FIFO checks that of two messages of one ZIM in one conversation, the second sent after the first had ended in whatever way, the second
// stands behind the first.
func (h *History) FIFO() []Violation { return h.check((*index).fifo) }

// ReadYourWrites checks that a query finds what was acknowledged to the same user before.
func (h *History) ReadYourWrites() []Violation { return h.check((*index).readYourWrites) }

// MonotonicReads checks that a query finds what the same reader had received, or found, before.
func (h *History) MonotonicReads() []Violation { return h.check((*index).monotonicReads) }

// AtMostOnce checks that what is not stored, such as commands, barrages and the messages of rooms, reached no reader twice, and is
// not stored.
func (h *History) AtMostOnce() []Violation { return h.check((*index).atMostOnce) }

// Delivered checks that a reader got all messages of others that a conversation has in the end. It is not part of [History.Check],
// because only the test knows who was there for how long. The conversation must have been told to [History.Stored].
func (h *History) Delivered(readerID string, c zim.ConversationRef) []Violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.index()
	v := finds{checker: "Delivered"}
	t := h.talk(userOf(readerID), c)
	if t.logs == nil {
		v.add("nobody told what is stored in %v", t)
	}
	got := make(map[int64]bool)
	for _, m := range h.reader(readerID).got {
		if m != nil && m.talk == t {
			got[m.seq] = true
		}
	}
	for _, m := range x.logs[t].all {
		if m.sender != userOf(readerID) && !got[m.seq] {
			v.add("%s never got %v", readerID, m)
		}
	}
	return v.list
}

func (h *History) check(checker func(*index) []Violation) []Violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return checker(h.index())
}

const maxFinds = 20

// finds are what one checker found.
type finds struct {
	checker string
	list    []Violation
}

func (f *finds) full() bool { return len(f.list) >= maxFinds }

func (f *finds) add(format string, args ...any) {
	if !f.full() {
		f.list = append(f.list, Violation{f.checker, fmt.Sprintf(format, args...)})
	}
}

// userOf returns the user of a reader.
func userOf(reader string) string {
	user, _, _ := strings.Cut(reader, "/")
	return user
}

func (t *talk) String() string {
	switch {
	case t == nil:
		return "no conversation"
	case t.key.kind == zim.ConversationTypePeer:
		return t.key.id + " and " + t.key.to
	}
	return fmt.Sprintf("%v %s", t.key.kind, t.key.id)
}

func (r *record) String() string {
	s := fmt.Sprintf("message %d of %v, from %s", r.seq, r.talk, r.sender)
	if r.id != "" {
		s += ", ID " + r.id
	}
	if r.localID != "" {
		s += ", local ID " + r.localID
	}
	return s
}

// An index is a history that no more is told to, made ready for the checkers.
type index struct {
	h       *History
	sent    []*sent          // in the order of their first tries
	byLocal map[string]*sent // by local ID
	logs    map[*talk]log
	losers  map[likeness]bool // who sent something that was not found at first; without what it said
}

// A sent is a message with all its tries. Its record has the number under which it was acknowledged.
type sent struct {
	record
	began   int // when the first try began
	ended   int // when it was acknowledged or, if it was not, when the last try ended; zero before
	outcome outcome
	tries   []*Sending
	found   *record // in the log, if it is known which one it is
}

// A log is what is stored of a talk, merged of what those who read it were shown.
type log struct {
	at  *numbered
	all []*record // in the order of their numbers
}

// A numbered has records by their numbers, most of which are 1, 2, 3 and so on. A nil one has none.
type numbered struct {
	dense []*record
	rest  map[int64]*record
}

func (n *numbered) get(seq int64) *record {
	switch {
	case n == nil:
		return nil
	case seq > 0 && seq <= int64(len(n.dense)):
		return n.dense[seq-1]
	}
	return n.rest[seq]
}

// add adds r, unless there is another one with its number, which it returns.
func (n *numbered) add(r *record) *record {
	if have := n.get(r.seq); have != nil {
		return have
	}
	if r.seq == int64(len(n.dense)+1) {
		n.dense = append(n.dense, r)
		return nil
	}
	if n.rest == nil {
		n.rest = make(map[int64]*record)
	}
	n.rest[r.seq] = r
	return nil
}

// A likeness is all that is known of messages whose IDs are not.
type likeness struct {
	talk   *talk
	sender string
	print  uint64
}

func (r *record) likeness() likeness { return likeness{r.talk, r.sender, r.print} }

func (h *History) index() *index {
	x := &index{h: h, logs: make(map[*talk]log), losers: make(map[likeness]bool)}
	x.mergeTries()
	for _, t := range h.talks {
		x.logs[t] = merge(t)
	}
	x.find()
	return x
}

// mergeTries makes messages of what was tried.
func (x *index) mergeTries() {
	x.byLocal = make(map[string]*sent, len(x.h.sends))
	for _, try := range x.h.sends {
		local := try.message.localID
		m := x.byLocal[local]
		if m == nil {
			m = &sent{record: try.message, began: try.began}
			m.kind, m.print = try.kind, try.print
			x.sent = append(x.sent, m)
			if local != "" {
				x.byLocal[local] = m
			}
		}
		m.tries = append(m.tries, try)
		if m.outcome != acknowledged {
			m.outcome, m.ended = try.outcome, try.ended
			m.id, m.seq = try.message.id, try.message.seq
		}
	}
}

func merge(t *talk) log {
	l := log{at: new(numbered)}
	for _, shown := range t.logs {
		for _, m := range shown {
			own := *m
			if have := l.at.add(&own); have == nil {
				l.all = append(l.all, &own)
			} else if have.id == m.id {
				// Only the sender is shown the local ID, and what was edited meanwhile can't be compared.
				have.localID = max(have.localID, m.localID)
				have.print = min(have.print, m.print)
			}
		}
	}
	slices.SortStableFunc(l.all, func(a, b *record) int { return cmp.Compare(a.seq, b.seq) })
	return l
}

// find looks for the messages in the log: by their places, then by their local IDs, and what is left by what they say.
func (x *index) find() {
	for _, m := range x.sent {
		if r := x.logs[m.talk].at.get(m.seq); m.outcome == acknowledged && r != nil && r.id == m.id {
			m.found, r.claimed = r, true
		}
	}
	unnamed := make(map[likeness][]*record)
	for t, l := range x.logs {
		for _, r := range l.all {
			if r.claimed {
				continue
			}
			if r.localID == "" {
				unnamed[r.likeness()] = append(unnamed[r.likeness()], r)
			} else if m := x.byLocal[r.localID]; m != nil && m.found == nil && m.talk == t {
				m.found, r.claimed = r, true
			}
		}
	}
	if len(unnamed) == 0 {
		return
	}
	lost := make(map[likeness][]*sent)
	for _, m := range x.sent {
		if m.found == nil && (m.outcome == uncertain || m.outcome == pending) {
			lost[m.likeness()] = append(lost[m.likeness()], m)
			x.losers[likeness{m.talk, m.sender, 0}] = true
		}
	}
	for like, list := range unnamed {
		for _, r := range list[:min(len(list), len(lost[like]))] {
			r.claimed = true
		}
		if len(lost[like]) == 1 {
			lost[like][0].found = list[0]
		}
	}
}

// place returns the number under which a message is stored, or zero.
func (m *sent) place() int64 {
	switch {
	case m.outcome == acknowledged:
		return m.seq
	case m.found != nil:
		return m.found.seq
	}
	return 0
}
