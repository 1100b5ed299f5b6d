package zimtest

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// The checkers of what is stored and what readers were shown.

// talks returns the conversations in an order that is always the same.
func (x *index) talks() []*talk {
	return slices.SortedFunc(maps.Values(x.h.talks), func(a, b *talk) int {
		return cmp.Or(cmp.Compare(a.key.kind, b.key.kind), cmp.Compare(a.key.id, b.key.id), cmp.Compare(a.key.to, b.key.to))
	})
}

func (x *index) readers() []*reader {
	return slices.SortedFunc(maps.Values(x.h.readers), func(a, b *reader) int { return cmp.Compare(a.name, b.name) })
}

// names returns what each place of each conversation holds, to whom it was first said, and finds those who were told something else.
func (x *index) names(v *finds) map[*talk]*numbered {
	names := make(map[*talk]*numbered)
	say := func(r *record, who string) {
		if r.seq == 0 || r.talk == nil {
			return
		}
		if have := add(names, r); have != nil && have.id != r.id {
			v.add("to %s, number %d of %v has the ID %s, and to somebody else it is %v", who, r.seq, r.talk, r.id, have)
		}
	}
	for _, t := range x.talks() {
		for _, log := range t.logs {
			for _, r := range log {
				say(r, "who read what is stored")
			}
		}
	}
	for _, m := range x.sent {
		if m.outcome == acknowledged {
			say(&m.record, "its sender")
		}
	}
	for _, r := range x.readers() {
		for _, m := range r.got {
			if m != nil {
				say(m, r.name)
			}
		}
	}
	for _, q := range x.h.queries {
		for _, m := range q.messages {
			say(m, q.reader)
		}
	}
	return names
}

func (x *index) gapless() []Violation {
	v := finds{checker: "Gapless"}
	for _, t := range x.talks() {
		for _, log := range t.logs {
			for i, r := range log {
				if r.seq != int64(i+1) {
					v.add("at place %d of what is stored is %v", i+1, r)
					break // the others are out of place, too
				}
			}
		}
	}
	names := x.names(&v)
	for _, q := range x.h.queries {
		for i := range q.messages {
			if i > 0 && q.messages[i].seq <= q.messages[i-1].seq {
				v.add("a query of %s answered %v behind %v", q.reader, q.messages[i], q.messages[i-1])
			}
		}
	}
	// Where nobody told what is stored, holes may be what somebody sent without learning its number.
	type own struct {
		talk *talk
		user string
	}
	unsure := make(map[own]bool)
	for _, m := range x.sent {
		if m.outcome != acknowledged && m.talk != nil && m.talk.logs == nil {
			unsure[own{m.talk, m.sender}] = true
		}
	}
	for _, r := range x.readers() {
		user := userOf(r.name)
		last, again := make(map[*talk]int64), make(map[*talk]bool)
		for _, m := range r.got {
			if m == nil {
				for t := range last {
					again[t] = true
				}
				continue
			}
			if m.seq == 0 {
				continue
			}
			before, known := last[m.talk]
			last[m.talk] = m.seq
			switch {
			case !known || again[m.talk] && m.seq <= before:
			case m.seq <= before:
				v.add("%s got %v after number %d", r.name, m, before)
			default:
				for n := before + 1; n < m.seq && !v.full(); n++ {
					missed := names[m.talk].get(n)
					if missed != nil && missed.sender != user || missed == nil && !unsure[own{m.talk, user}] {
						v.add("%s got %v after number %d, without number %d", r.name, m, before, n)
						break
					}
				}
			}
			delete(again, m.talk)
		}
	}
	return v.list
}

func (x *index) noPhantom() []Violation {
	v := finds{checker: "NoPhantom"}
	alike := make(map[likeness]bool)
	for _, m := range x.sent {
		if m.outcome == refused {
			if m.found != nil {
				v.add("%v was refused, and is stored as number %d", &m.record, m.found.seq)
			}
			continue
		}
		if m.talk != nil && (m.talk.logs == nil || !m.kept()) {
			alike[m.likeness()] = true
		}
		if m.found != nil && differ(m.print, m.found.print) {
			v.add("%v is stored with content that nobody sent", m.found)
		}
	}
	for _, t := range x.talks() {
		for _, r := range x.logs[t].all {
			// One that was edited or revoked may be any of those.
			if !r.service && !r.claimed && (r.print != 0 || !x.losers[likeness{t, r.sender, 0}]) {
				v.add("%v is stored, and nobody sent it", r)
			}
		}
	}
	shown := func(who string, m *record) {
		if m.service {
			return
		}
		if m.talk.logs == nil || m.seq == 0 {
			if !alike[m.likeness()] && m.print != 0 {
				v.add("%s was shown %v, and nobody sent it", who, m)
			}
			return
		}
		switch r := x.logs[m.talk].at.get(m.seq); {
		case r == nil:
			v.add("%s was shown %v, and it is not stored", who, m)
		case r.sender != m.sender:
			v.add("%s was shown %v, and it is stored as from %s", who, m, r.sender)
		case differ(r.print, m.print):
			v.add("%s was shown %v with other content than is stored", who, m)
		}
	}
	for _, t := range x.talks() {
		for _, log := range t.logs {
			for _, m := range log {
				shown("somebody who read what is stored", m)
			}
		}
	}
	for _, r := range x.readers() {
		for _, m := range r.got {
			if m != nil {
				shown(r.name, m)
			}
		}
	}
	for _, q := range x.h.queries {
		for _, m := range q.messages {
			shown(q.reader, m)
		}
	}
	return v.list
}

func (x *index) atMostOnce() []Violation {
	v := finds{checker: "AtMostOnce"}
	tries := make(map[likeness]int)
	for _, m := range x.sent {
		if m.talk == nil || m.kept() {
			continue
		}
		tries[m.likeness()] += len(m.tries)
		if m.found != nil {
			v.add("%v is stored", m.found)
		}
	}
	for _, r := range x.readers() {
		ids, got := make(map[string]bool), make(map[likeness]int)
		for _, m := range r.got {
			if m == nil || m.seq != 0 || m.service {
				continue
			}
			like := m.likeness()
			got[like]++
			if ids[m.id] {
				v.add("%s got %v twice", r.name, m)
			} else if got[like] > max(tries[like], 1) {
				v.add("%s got %v, and was sent such a message only %d times", r.name, m, tries[like])
			}
			ids[m.id] = true
		}
	}
	return v.list
}

// A view is who saw a conversation, a user or a reader.
type view struct {
	who  string
	talk *talk
}

// seen is what somebody knew of a conversation, and since when.
type seen struct {
	*record
	since int
	next  int // the earliest since of this one and all behind it
}

func (x *index) readYourWrites() []Violation {
	v := finds{checker: "ReadYourWrites"}
	known := make(map[view][]seen)
	for _, m := range x.sent {
		if m.outcome == acknowledged && m.talk != nil && m.seq != 0 {
			who := view{m.sender, m.talk}
			known[who] = append(known[who], seen{&m.record, m.ended, 0})
		}
	}
	x.queried(&v, known, userOf, "was acknowledged")
	return v.list
}

func (x *index) monotonicReads() []Violation {
	v := finds{checker: "MonotonicReads"}
	known := make(map[view][]seen)
	see := func(who string, m *record) {
		if m != nil && m.seq != 0 {
			known[view{who, m.talk}] = append(known[view{who, m.talk}], seen{m, m.at, 0})
		}
	}
	for _, r := range x.h.readers {
		for _, m := range r.got {
			see(r.name, m)
		}
	}
	for _, q := range x.h.queries {
		for _, m := range q.messages {
			see(q.reader, m)
		}
	}
	x.queried(&v, known, func(reader string) string { return reader }, "had been seen")
	return v.list
}

// queried finds what queries left out although it was known before they were asked.
func (x *index) queried(v *finds, known map[view][]seen, who func(reader string) string, what string) {
	for _, list := range known {
		slices.SortStableFunc(list, func(a, b seen) int { return cmp.Compare(a.seq, b.seq) })
		next := math.MaxInt
		for i := len(list) - 1; i >= 0; i-- {
			next = min(next, list[i].since)
			list[i].next = next
		}
	}
	for _, q := range x.h.queries {
		if !q.answered || v.full() {
			continue
		}
		list := known[view{who(q.reader), q.talk}]
		i, _ := slices.BinarySearchFunc(list, q.from, func(s seen, from int64) int { return cmp.Compare(s.seq, from) })
		found := make(map[int64]bool, len(q.messages))
		for _, m := range q.messages {
			found[m.seq] = true
		}
		for ; i < len(list) && list[i].seq <= q.to && list[i].next < q.began; i++ {
			if list[i].since < q.began && !found[list[i].seq] {
				v.add("a query of %s did not find %v, which %s before", q.reader, list[i].record, what)
			}
		}
	}
}
