package zimtest

import (
	"slices"

	"github.com/zim-go/zim"
)

// The checkers of what was sent.

func (x *index) outcome() []Violation {
	v := finds{checker: "Outcome"}
	for _, m := range x.sent {
		for _, try := range m.tries {
			switch {
			case try.ends == 0:
				v.add("the send of %v has not ended", &m.record)
			case try.ends > 1:
				v.add("the send of %v ended %d times", &m.record, try.ends)
			case try.outcome == acknowledged && try.message.id == "":
				v.add("the send of %v was acknowledged without an ID", &m.record)
			case try.outcome == uncertain && try.message.localID == "":
				v.add("the send of %v ended as unknown, and without a message to send again", &m.record)
			}
		}
	}
	return v.list
}

// kept reports whether the service keeps such messages.
func (m *sent) kept() bool {
	return m.kind != zim.MessageTypeCommand && m.kind != zim.MessageTypeBarrage && m.tries[0].to.Type != zim.ConversationTypeRoom
}

func (x *index) durable() []Violation {
	v := finds{checker: "Durable"}
	untold := make(map[*talk]bool)
	for _, m := range x.sent {
		if m.outcome != acknowledged || m.talk == nil || !m.kept() {
			continue
		}
		if m.talk.logs == nil {
			if !untold[m.talk] {
				v.add("nobody told what is stored in %v, where %v was acknowledged", m.talk, &m.record)
			}
			untold[m.talk] = true
			continue
		}
		r := x.logs[m.talk].at.get(m.seq)
		switch {
		case m.found != nil && m.found.seq != m.seq:
			v.add("%v was acknowledged, and is stored as number %d", &m.record, m.found.seq)
		case r == nil:
			v.add("%v was acknowledged, and is not stored", &m.record)
		case r.id != m.id:
			v.add("%v was acknowledged, and in its place is %v", &m.record, r)
		case r.sender != m.sender:
			v.add("%v was acknowledged, and is stored as from %s", &m.record, r.sender)
		case r.localID != "" && r.localID != m.localID:
			v.add("%v was acknowledged, and is stored with the local ID %s", &m.record, r.localID)
		case differ(r.print, m.print):
			v.add("%v was acknowledged, and is stored with other content", &m.record)
		}
	}
	return v.list
}

// differ reports whether two fingerprints are of different content.
func differ(a, b uint64) bool { return a != 0 && b != 0 && a != b }

func (x *index) unique() []Violation {
	v := finds{checker: "Unique"}
	for _, t := range x.talks() {
		ids := make(map[string]*record, len(x.logs[t].all))
		for _, r := range x.logs[t].all {
			if other := ids[r.id]; other != nil {
				v.add("%v is also stored as number %d", r, other.seq)
			}
			ids[r.id] = r
			if m := x.byLocal[r.localID]; !r.claimed && m != nil && m.found != nil {
				v.add("%v is also stored as number %d", r, m.found.seq)
			}
		}
	}
	places := make(map[*talk]*numbered)
	for _, m := range x.sent {
		for _, try := range m.tries {
			if try.outcome == acknowledged && (try.message.id != m.id || try.message.seq != m.seq) {
				v.add("%v was also acknowledged as %v", &m.record, &try.message)
			}
		}
		if m.outcome == acknowledged && m.seq != 0 {
			if other := add(places, &m.record); other != nil {
				v.add("%v was acknowledged with the place of %v", &m.record, other)
			}
		}
	}
	for _, r := range x.readers() {
		got := make(map[*talk]*numbered)
		for _, m := range r.got {
			switch {
			case m == nil:
				clear(got)
			case m.seq != 0 && add(got, m) != nil:
				v.add("%s got %v twice", r.name, m)
			}
		}
	}
	return v.list
}

// add adds r to those of its talk, unless there is another one with its number, which it returns.
func add(talks map[*talk]*numbered, r *record) *record {
	n := talks[r.talk]
	if n == nil {
		n = new(numbered)
		talks[r.talk] = n
	}
	return n.add(r)
}

// realTime goes through the messages as they were sent, and remembers the largest number that was acknowledged before.
func (x *index) realTime() []Violation {
	v := finds{checker: "RealTime"}
	order(x, &v, "sent after that was acknowledged",
		func(m *sent) bool { return m.outcome == acknowledged },
		func(m *sent) *talk { return m.talk })
	return v.list
}

func (x *index) fifo() []Violation {
	v := finds{checker: "FIFO"}
	// The end of a local ID names the ZIM.
	type source struct {
		talk   *talk
		sender string
		zim    string
	}
	order(x, &v, "sent by the same ZIM after that had ended",
		func(m *sent) bool { return m.outcome != pending },
		func(m *sent) source { return source{m.talk, m.sender, m.localID[max(len(m.localID)-8, 0):]} })
	return v.list
}

// order finds the messages that stand before one that had ended before they began, among those of one group each.
func order[G comparable](x *index, v *finds, what string, counts func(*sent) bool, group func(*sent) G) {
	var begun, ended []*sent
	for _, m := range x.sent {
		if m.talk == nil || m.place() == 0 || !m.kept() {
			continue
		}
		begun = append(begun, m)
		if counts(m) && m.ended > 0 {
			ended = append(ended, m)
		}
	}
	slices.SortFunc(ended, func(a, b *sent) int { return a.ended - b.ended })
	last := make(map[G]*sent)
	for _, m := range begun {
		for len(ended) > 0 && ended[0].ended < m.began {
			g := group(ended[0])
			if l := last[g]; l == nil || l.place() < ended[0].place() {
				last[g] = ended[0]
			}
			ended = ended[1:]
		}
		if l := last[group(m)]; l != nil && l.place() >= m.place() {
			v.add("%v stands at %d, before %v, which stands at %d: it was %s", &m.record, m.place(), &l.record, l.place(), what)
		}
	}
}
