package zimtest_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
)

// None of a thousand histories in which all went well is blamed: with sends that are answered in any order, unknown outcomes of which some
// are stored, refusals, retries, programs that begin anew, queries meanwhile, and commands.
func TestGoodHistories(t *testing.T) {
	did := map[string]int{}
	for seed := range uint64(1000) {
		m := newMade(seed, seed%2 == 0)
		for _, v := range m.tell().Check() {
			t.Fatalf("seed %d: %v", seed, v)
		}
		for _, e := range m.events {
			did[e.do]++
			switch {
			case e.do != "end":
			case e.err == nil:
				did["acknowledged"]++
			case e.err == errRefused:
				did["refused"]++
			case m.isStored(e.message):
				did["unknown, and stored"]++
			default:
				did["unknown, and not stored"]++
			}
		}
		did["retry"] += m.retries
	}
	for _, what := range []string{
		"acknowledged", "refused", "unknown, and stored", "unknown, and not stored", "got", "restart", "ask", "answer", "stored", "retry",
	} {
		if did[what] < 500 {
			t.Errorf("%s: %d times in all histories, want at least 500", what, did[what])
		}
	}
}

// Each kind of damage is found in each history, by the checker that is there for it.
func TestBadHistories(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			damaged := 0
			for seed := range uint64(25) {
				m := newMade(seed, false)
				if !d.do(m) {
					continue
				}
				damaged++
				found := m.tell().Check()
				if !slices.ContainsFunc(found, func(v zimtest.Violation) bool { return slices.Contains(strings.Fields(d.by), v.Checker) }) {
					t.Fatalf("seed %d: got %v, want a violation of one of: %s", seed, found, d.by)
				}
			}
			if damaged < 20 {
				t.Errorf("only %d histories of 25 could be damaged", damaged)
			}
		})
	}
}

// Checkers that are called one by one find the same.
func TestSingleCheckers(t *testing.T) {
	m := newMade(1, false)
	for _, d := range damages[:8] {
		d.do(m)
	}
	h := m.tell()
	var got []zimtest.Violation
	for _, check := range []func() []zimtest.Violation{
		h.Outcome, h.Durable, h.Unique, h.Gapless, h.NoPhantom, h.RealTime, h.FIFO, h.ReadYourWrites, h.MonotonicReads, h.AtMostOnce,
	} {
		got = append(got, check()...)
	}
	if want := h.Check(); !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("one by one: %v\ntogether: %v", got, want)
	}
}

type damage struct {
	name string
	by   string // the checkers that may find it
	do   func(m *made) bool
}

var damages = []damage{
	{"a message is gone from the store", "Durable", func(m *made) bool {
		a := m.ack()
		return m.stored(func(list []*zim.Message) []*zim.Message {
			return slices.DeleteFunc(list, func(s *zim.Message) bool { return s.ID == a.ID })
		})
	}},
	{"the last message is gone from the store", "Durable NoPhantom", func(m *made) bool {
		return m.stored(func(list []*zim.Message) []*zim.Message { return list[:max(len(list)-1, 0)] })
	}},
	{"a message is stored twice", "Unique", func(m *made) bool {
		n := m.rnd.IntN(5)
		return m.stored(func(list []*zim.Message) []*zim.Message {
			again := *list[min(n, len(list)-1)]
			again.Seq = int64(len(list) + 1)
			return append(list, &again)
		})
	}},
	{"a message is stored twice under two IDs", "NoPhantom Unique", func(m *made) bool {
		a := m.ack()
		return m.stored(func(list []*zim.Message) []*zim.Message {
			i := slices.IndexFunc(list, func(s *zim.Message) bool { return s.ID == a.ID })
			if i < 0 {
				return list
			}
			again := *list[i]
			again.Seq, again.ID = int64(len(list)+1), "twice"
			return append(list, &again)
		})
	}},
	{"two messages are stored in the other order", "Durable Gapless", func(m *made) bool {
		return m.stored(func(list []*zim.Message) []*zim.Message {
			if len(list) > 3 {
				a, b := *list[1], *list[2]
				a.Seq, b.Seq = b.Seq, a.Seq
				list[1], list[2] = &b, &a
			}
			return list
		})
	}},
	{"a message is stored that nobody sent", "NoPhantom", func(m *made) bool {
		return m.stored(func(list []*zim.Message) []*zim.Message {
			last := *list[len(list)-1]
			last.Seq, last.ID, last.LocalID, last.Content = last.Seq+1, "phantom", "", &zim.TextMessage{Message: "boo"}
			return append(list, &last)
		})
	}},
	{"a message is stored with other content", "Durable NoPhantom", func(m *made) bool {
		return m.stored(func(list []*zim.Message) []*zim.Message {
			other := *list[0]
			other.Content = &zim.TextMessage{Message: "boo"}
			list[0] = &other
			return list
		})
	}},
	{"a message is stored with other content for one of two readers", "NoPhantom", func(m *made) bool {
		return m.twice(func(s *zim.Message) { s.Content = &zim.TextMessage{Message: strconv.Itoa(m.rnd.Int())} })
	}},
	{"a message is stored as from two senders", "NoPhantom", func(m *made) bool {
		return m.twice(func(s *zim.Message) { s.Sender = "mallory" })
	}},
	{"the store leaves out a number", "Gapless", func(m *made) bool {
		return m.stored(func(list []*zim.Message) []*zim.Message {
			for i := 1; i < len(list); i++ {
				later := *list[i]
				later.Seq++
				list[i] = &later
			}
			return list
		})
	}},
	{"a message is acknowledged that is not stored", "Durable", func(m *made) bool {
		return m.change("end", func(e *event) bool { return e.err != nil && !m.isStored(e.message) }, func(e *event) {
			e.err = nil
			e.message = &zim.Message{
				ID: "false", Seq: 10_000, LocalID: e.message.LocalID, Sender: e.message.Sender, Conversation: e.message.Conversation, Content: e.message.Content,
			}
		})
	}},
	{"a message is acknowledged with another number", "Durable", func(m *made) bool {
		return m.change("end", acked, func(e *event) { e.message = with(e.message, func(m *zim.Message) { m.Seq++ }) })
	}},
	{"a message is acknowledged with another ID", "Durable", func(m *made) bool {
		return m.change("end", acked, func(e *event) { e.message = with(e.message, func(m *zim.Message) { m.ID = "another" }) })
	}},
	{"a message that is stored was refused", "NoPhantom", func(m *made) bool {
		return m.change("end", acked, func(e *event) { e.err = errRefused })
	}},
	{"a send never ends", "Outcome", func(m *made) bool {
		return m.change("end", acked, func(e *event) { e.do = "nothing" })
	}},
	{"a send ends twice", "Outcome", func(m *made) bool {
		return m.change("end", acked, func(e *event) { m.events = append(m.events, *e) })
	}},
	{"a send is acknowledged without an ID", "Outcome", func(m *made) bool {
		return m.change("end", acked, func(e *event) { e.message = with(e.message, func(m *zim.Message) { m.ID = "" }) })
	}},
	{"a send may have been stored, and can't be sent again", "Outcome", func(m *made) bool {
		m.events = append(m.events, event{do: "send", n: 1000, to: zim.Peer("bob"), content: &zim.TextMessage{Message: "x"}},
			event{do: "end", n: 1000, err: errUnknown})
		return true
	}},
	{"a message is acknowledged twice, with two numbers", "Unique", func(m *made) bool {
		return m.change("end", acked, func(e *event) {
			again := with(e.message, func(m *zim.Message) { m.Seq++ })
			m.events = append(m.events, event{do: "send", n: 1000, to: e.message.Conversation, message: again}, event{do: "end", n: 1000, message: again})
		})
	}},
	{"two messages are acknowledged with one number", "Unique", func(m *made) bool {
		return m.change("end", acked, func(e *event) {
			other := with(e.message, func(m *zim.Message) { m.LocalID = "other" })
			m.events = append(m.events, event{do: "send", n: 1000, to: e.message.Conversation, message: other}, event{do: "end", n: 1000, message: other})
		})
	}},
	{"a message is stored as somebody else's", "Durable", func(m *made) bool {
		return m.stored(func(list []*zim.Message) []*zim.Message {
			list[0] = with(list[0], func(m *zim.Message) { m.Sender = "mallory" })
			return list
		})
	}},
	{"a message is stored with another local ID", "Durable", func(m *made) bool {
		return m.stored(func(list []*zim.Message) []*zim.Message {
			for i := range list {
				list[i] = with(list[i], func(m *zim.Message) { m.LocalID = "other" + m.LocalID })
			}
			return list
		})
	}},
	{"a command is stored", "AtMostOnce", func(m *made) bool {
		return m.change("end", func(e *event) bool { return e.err == nil && !acked(e) }, func(e *event) {
			m.stored(func(list []*zim.Message) []*zim.Message {
				if list[0].Conversation.Type != zim.ConversationTypePeer {
					return list
				}
				return append(list, with(e.message, func(m *zim.Message) { m.Seq = int64(len(list) + 1) }))
			})
		})
	}},
	{"nobody tells what is stored", "Durable", func(m *made) bool {
		m.events = slices.DeleteFunc(m.events, func(e event) bool { return e.do == "stored" })
		return true
	}},
	{"a query's messages are in the other order", "Gapless", func(m *made) bool {
		return m.change("answer", func(e *event) bool { return len(e.messages) > 1 }, func(e *event) { slices.Reverse(e.messages) })
	}},
	{"a reader misses a message", "Gapless", func(m *made) bool {
		i, _ := m.gotBetween()
		if i >= 0 {
			m.events = slices.Delete(m.events, i, i+1)
		}
		return i >= 0
	}},
	{"a reader gets a message twice", "Unique", func(m *made) bool {
		i, _ := m.gotBetween()
		if i >= 0 {
			m.events = slices.Insert(m.events, i, m.events[i])
		}
		return i >= 0
	}},
	{"a reader gets a message twice, later", "Unique", func(m *made) bool {
		i, next := m.gotBetween()
		if i >= 0 {
			m.events = slices.Insert(m.events, next+1, m.events[i])
		}
		return i >= 0
	}},
	{"a reader gets two messages in the other order", "Gapless", func(m *made) bool {
		i, next := m.gotBetween()
		if i >= 0 {
			m.events[i], m.events[next] = m.events[next], m.events[i]
		}
		return i >= 0
	}},
	{"a reader gets other content", "NoPhantom", func(m *made) bool {
		return m.change("got", kept, func(e *event) {
			e.messages = []*zim.Message{with(e.messages[0], func(m *zim.Message) { m.Content = &zim.TextMessage{Message: "boo"} })}
		})
	}},
	{"a reader gets another message in the place of one", "Gapless", func(m *made) bool {
		return m.change("got", kept, func(e *event) {
			e.messages = []*zim.Message{with(e.messages[0], func(m *zim.Message) { m.ID = "another" })}
		})
	}},
	{"a reader gets what is not stored", "NoPhantom", func(m *made) bool {
		return m.change("got", kept, func(e *event) {
			e.messages = append(e.messages, with(e.messages[0], func(m *zim.Message) { m.Seq, m.ID = 10_000, "phantom" }))
		})
	}},
	{"a reader gets a command twice", "AtMostOnce", func(m *made) bool {
		return m.change("got", func(e *event) bool { return !kept(e) }, func(e *event) { e.messages = append(e.messages, e.messages[0]) })
	}},
	{"a reader gets a command twice under two IDs", "AtMostOnce", func(m *made) bool {
		return m.change("got", func(e *event) bool { return !kept(e) }, func(e *event) {
			e.messages = append(e.messages, with(e.messages[0], func(m *zim.Message) { m.ID = "another" }))
		})
	}},
	{"a reader gets a command that nobody sent", "NoPhantom", func(m *made) bool {
		return m.change("got", func(e *event) bool { return !kept(e) }, func(e *event) {
			e.messages = append(e.messages, with(e.messages[0], func(m *zim.Message) { m.ID, m.Content = "x", &zim.CommandMessage{Message: []byte("boo")} }))
		})
	}},
	{"a query misses a message that is there", "ReadYourWrites MonotonicReads", func(m *made) bool {
		return m.change("answer", func(e *event) bool { return len(e.messages) > 0 && m.ownAckedBefore(e) >= 0 }, func(e *event) {
			i := m.ownAckedBefore(e)
			e.messages = slices.Delete(slices.Clone(e.messages), i, i+1)
			e.config.Reverse, e.config.NextMessage = false, nil // about all from the first on
			if i == len(e.messages) {
				e.messages = nil // and beyond
			}
		})
	}},
	{"a query finds less than the one before", "MonotonicReads", func(m *made) bool {
		return m.change("answer", func(e *event) bool { return len(e.messages) > 0 }, func(e *event) {
			m.events = append(m.events,
				event{do: "ask", n: 1000, who: e.who, to: e.to},
				event{do: "answer", n: 1000, who: e.who, to: e.to},
			)
		})
	}},
	{"an earlier message stands behind a later one", "RealTime", func(m *made) bool { return m.late("alice", "carol", nil) }},
	{"an earlier message of a ZIM stands behind a later one", "FIFO", func(m *made) bool { return m.late("alice", "alice", errUnknown) }},
}

func acked(e *event) bool { return e.err == nil && e.message.Seq > 0 }

func kept(e *event) bool { return e.messages[0].Seq > 0 }

func with(m *zim.Message, change func(*zim.Message)) *zim.Message {
	other := *m
	change(&other)
	return &other
}

// late adds a group of its own, in which the first message stands behind the second, which was sent after the first had ended.
func (m *made) late(first, second string, err error) bool {
	c := zim.ConversationRef{ID: "late", Type: zim.ConversationTypeGroup}
	message := func(who string, n int64) *zim.Message {
		return &zim.Message{
			ID: "late" + strconv.FormatInt(n, 10), Seq: n, LocalID: fmt.Sprintf("late-%d-%8s", n, who), Sender: who, Conversation: c,
			Content: &zim.TextMessage{Message: who + strconv.FormatInt(n, 10)},
		}
	}
	a, b := message(first, 2), message(second, 1)
	m.events = append(m.events,
		event{do: "send", n: 1000, to: c, content: a.Content}, event{do: "end", n: 1000, message: a, err: err},
		event{do: "send", n: 1001, to: c, content: b.Content}, event{do: "end", n: 1001, message: b},
		event{do: "stored", who: first, to: c, messages: []*zim.Message{b, a}},
	)
	return true
}

// A history of a million messages is checked in seconds.
func BenchmarkCheck(b *testing.B) {
	const n = 1_000_000
	h := new(zimtest.History)
	log := make([]*zim.Message, 0, n)
	for i := range n {
		to := zim.Peer("bob")
		content := &zim.TextMessage{Message: "message " + strconv.Itoa(i)}
		s := h.Invoked(content, to)
		m := &zim.Message{
			ID: strconv.Itoa(i), LocalID: fmt.Sprintf("%027d-%08d", i, 7), Seq: int64(i + 1), Sender: "alice", Conversation: to, Content: content,
		}
		s.Ended(m, nil)
		log = append(log, m)
		h.Received("bob", with(m, func(m *zim.Message) { m.LocalID, m.Conversation = "", zim.Peer("alice") }))
		if i%100 == 99 {
			q := h.Asked("alice", to)
			q.Answered(zim.MessageQueryConfig{Reverse: true}, log[i-99:])
		}
	}
	h.Stored("alice", zim.Peer("bob"), log)
	for b.Loop() {
		if v := h.Check(); len(v) > 0 {
			b.Fatal(v)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
}
