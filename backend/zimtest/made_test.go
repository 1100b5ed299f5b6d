package zimtest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
)

var (
	errUnknown = &zim.Error{Code: zim.ErrNetworkNetworkError, Err: zim.ErrOutcomeUnknown}
	errRefused = &zim.Error{Code: zim.ErrMessageTargetDoesNotExist}
)

// An event is something that a history is told.
type event struct {
	do       string // send, end, got, restart, ask, answer or stored
	n        int    // of the sending or query
	who      string
	to       zim.ConversationRef
	content  zim.Content
	message  *zim.Message
	err      error
	config   zim.MessageQueryConfig
	messages []*zim.Message
}

// A made history was made up: by a service that does what it promises, and three users.
type made struct {
	rnd     *rand.Rand
	events  []event
	logs    map[string][]*zim.Message // by conversation, as the senders are shown them
	at      map[string]int            // how far a reader is in a conversation
	pending []*attempt
	failed  []*zim.Message
	n       int
	ids     int
	retries int
}

// An attempt is a send that has not ended.
type attempt struct {
	n       int
	message *zim.Message
	kept    *zim.Message // as it is stored
}

var users = []string{"alice", "bob", "carol"}

func newMade(seed uint64, restarts bool) *made {
	m := &made{rnd: rand.New(rand.NewPCG(seed, 1)), logs: make(map[string][]*zim.Message), at: make(map[string]int)}
	for range 250 {
		switch p := m.rnd.IntN(100); {
		case p < 25:
			m.begin()
		case p < 60:
			m.proceed()
		case p < 85:
			m.deliver(users[m.rnd.IntN(3)], m.rnd.IntN(2) == 0)
		case p < 90:
			m.ask()
		case p < 93 && restarts:
			m.restart()
		case p < 96:
			m.command()
		}
	}
	for len(m.pending) > 0 {
		m.proceed()
	}
	for _, u := range users {
		for range 250 {
			m.deliver(u, false)
			m.deliver(u, true)
		}
	}
	for _, group := range []bool{false, true} {
		for i, u := range users {
			// Each conversation is read by one user or by all.
			if (group || i < 2) && (i == 0 || seed%3 == 0) {
				m.events = append(m.events, event{do: "stored", who: u, to: m.ref(u, group), messages: m.view(u, group)})
			}
		}
	}
	return m
}

// ref is how a user names the group of all, or the conversation of alice and bob.
func (m *made) ref(user string, group bool) zim.ConversationRef {
	switch {
	case group:
		return zim.ConversationRef{ID: "all", Type: zim.ConversationTypeGroup}
	case user == "alice":
		return zim.Peer("bob")
	}
	return zim.Peer("alice")
}

func (m *made) id() string { m.ids++; return strconv.Itoa(m.ids) }

// begin begins a send, or a retry of one that failed.
func (m *made) begin() {
	m.n++
	if n := len(m.failed); n > 0 && m.rnd.IntN(3) == 0 {
		again := m.failed[n-1]
		m.failed = m.failed[:n-1]
		m.retries++
		m.events = append(m.events, event{do: "send", n: m.n, to: again.Conversation, content: again.Content, message: again})
		m.pending = append(m.pending, &attempt{n: m.n, message: again, kept: m.stored1(again)})
		return
	}
	group := m.rnd.IntN(2) == 0
	sender := users[m.rnd.IntN(2)]
	text := "hello"
	if m.rnd.IntN(4) > 0 {
		text = "hello " + strconv.Itoa(m.n)
	}
	message := &zim.Message{
		LocalID: fmt.Sprintf("%06d-%8s", m.n, sender), Sender: sender, Conversation: m.ref(sender, group), Content: &zim.TextMessage{Message: text},
	}
	m.events = append(m.events, event{do: "send", n: m.n, to: message.Conversation, content: message.Content, message: message})
	m.pending = append(m.pending, &attempt{n: m.n, message: message})
}

// proceed takes a send one step further: it is stored, or ends.
func (m *made) proceed() {
	if len(m.pending) == 0 {
		return
	}
	i := m.rnd.IntN(len(m.pending))
	a := m.pending[i]
	p := m.rnd.IntN(20)
	if a.kept == nil && p > 2 {
		key := m.key(a.message)
		kept := *a.message
		kept.ID, kept.Seq = m.id(), int64(len(m.logs[key])+1)
		m.logs[key] = append(m.logs[key], &kept)
		a.kept = &kept
		return
	}
	m.pending = slices.Delete(m.pending, i, i+1)
	e := event{do: "end", n: a.n, message: a.kept}
	switch {
	case a.kept == nil && p == 0:
		e.message, e.err = a.message, errRefused
	case a.kept == nil, p < 3:
		e.message, e.err = a.message, errUnknown
		m.failed = append(m.failed, a.message)
	}
	m.events = append(m.events, e)
}

func (m *made) key(message *zim.Message) string {
	if message.Conversation.Type == zim.ConversationTypeGroup {
		return "group"
	}
	return "peer"
}

func keyOf(group bool) string {
	if group {
		return "group"
	}
	return "peer"
}

// stored1 returns what is stored of a message, or nil.
func (m *made) stored1(message *zim.Message) *zim.Message {
	for _, s := range m.logs[m.key(message)] {
		if s.LocalID == message.LocalID {
			return s
		}
	}
	return nil
}

func (m *made) isStored(message *zim.Message) bool { return m.stored1(message) != nil }

// shown is a message as a user is shown it.
func (m *made) shown(user string, s *zim.Message) *zim.Message {
	own := *s
	own.Conversation = m.ref(user, m.key(s) == "group")
	if s.Sender != user {
		own.LocalID = ""
	}
	return &own
}

func (m *made) view(user string, group bool) []*zim.Message {
	var list []*zim.Message
	for _, s := range m.logs[keyOf(group)] {
		list = append(list, m.shown(user, s))
	}
	return list
}

// deliver hands the next message of others to a user.
func (m *made) deliver(user string, group bool) {
	if !group && user == "carol" {
		return
	}
	at := user + keyOf(group)
	for list := m.logs[keyOf(group)]; m.at[at] < len(list); {
		s := list[m.at[at]]
		m.at[at]++
		if s.Sender != user {
			m.events = append(m.events, event{do: "got", who: user, messages: []*zim.Message{m.shown(user, s)}})
			return
		}
	}
}

func (m *made) restart() {
	user := users[m.rnd.IntN(3)]
	m.events = append(m.events, event{do: "restart", who: user})
	for _, key := range []string{"group", "peer"} {
		m.at[user+key] = max(0, m.at[user+key]-m.rnd.IntN(4))
	}
}

// ask asks for the last five, the first five or the five before one.
func (m *made) ask() {
	user, group := users[m.rnd.IntN(2)], m.rnd.IntN(2) == 0
	m.n++
	m.events = append(m.events, event{do: "ask", n: m.n, who: user, to: m.ref(user, group)})
	if m.rnd.IntN(2) == 0 {
		m.proceed()
	}
	list := m.view(user, group)
	var config zim.MessageQueryConfig
	if n := len(list); n > 0 && m.rnd.IntN(2) == 0 {
		i := m.rnd.IntN(n)
		config.NextMessage = list[i]
		if config.Reverse = m.rnd.IntN(2) == 0; config.Reverse {
			list = list[:i]
		} else {
			list = list[i+1:]
		}
	} else {
		config.Reverse = true
	}
	if n := len(list); config.Reverse {
		list = list[max(n-5, 0):]
	} else {
		list = list[:min(n, 5)]
	}
	m.events = append(m.events, event{do: "answer", n: m.n, who: user, to: m.ref(user, group), config: config, messages: list})
}

// command sends a command from alice to bob, who may miss it.
func (m *made) command() {
	m.n++
	content := &zim.CommandMessage{Message: []byte("ring " + strconv.Itoa(m.n))}
	sent := &zim.Message{LocalID: fmt.Sprintf("%06d-%8s", m.n, "alice"), Sender: "alice", Conversation: zim.Peer("bob"), Content: content}
	m.events = append(m.events, event{do: "send", n: m.n, to: sent.Conversation, content: content, message: sent})
	done := *sent
	done.ID = m.id()
	if m.rnd.IntN(3) > 0 {
		got := done
		got.LocalID, got.Conversation = "", zim.Peer("alice")
		m.events = append(m.events, event{do: "got", who: "bob", messages: []*zim.Message{&got}})
	}
	m.events = append(m.events, event{do: "end", n: m.n, message: &done})
}

// tell tells it to a history.
func (m *made) tell() *zimtest.History {
	h := new(zimtest.History)
	sends, queries := make(map[int]*zimtest.Sending), make(map[int]*zimtest.Query)
	for _, e := range m.events {
		switch e.do {
		case "send":
			s := h.Invoked(e.content, e.to)
			if e.message != nil {
				s.Attached(e.message)
			}
			sends[e.n] = s
		case "end":
			sends[e.n].Ended(e.message, e.err)
		case "got":
			h.Received(e.who, e.messages...)
		case "restart":
			h.Restarted(e.who)
		case "ask":
			queries[e.n] = h.Asked(e.who, e.to)
		case "answer":
			queries[e.n].Answered(e.config, e.messages)
		case "stored":
			h.Stored(e.who, e.to, e.messages)
		}
	}
	return h
}

// The rest is for what damages a history.

// ack returns an acknowledged message that is stored.
func (m *made) ack() *zim.Message {
	for _, i := range m.rnd.Perm(len(m.events)) {
		if e := m.events[i]; e.do == "end" && acked(&e) {
			return e.message
		}
	}
	return new(zim.Message)
}

// stored changes what everybody is shown of what is stored, and reports whether anything is.
func (m *made) stored(change func([]*zim.Message) []*zim.Message) bool {
	some := false
	for i := range m.events {
		if e := &m.events[i]; e.do == "stored" && len(e.messages) > 3 {
			e.messages = change(slices.Clone(e.messages))
			some = true
		}
	}
	return some
}

// twice lets somebody else read what is stored of a conversation, with a change to the first message.
func (m *made) twice(change func(*zim.Message)) bool {
	for _, e := range m.events {
		if e.do == "stored" && len(e.messages) > 0 && e.to.Type == zim.ConversationTypeGroup {
			e.messages = slices.Clone(e.messages)
			e.messages[0] = with(e.messages[0], change)
			e.messages[0].LocalID = ""
			m.events = append(m.events, e)
			return true
		}
	}
	return false
}

// change changes one of the events that fit, and reports whether one does.
func (m *made) change(do string, fits func(*event) bool, change func(*event)) bool {
	for _, i := range m.rnd.Perm(len(m.events)) {
		if e := m.events[i]; e.do == do && fits(&e) {
			change(&e)
			m.events[i] = e
			return true
		}
	}
	return false
}

// gotBetween returns the index of an event that brought a reader a message, which is not the first one that it got, and that of the
// event which brought it the next one of the same conversation.
func (m *made) gotBetween() (i, next int) {
	for _, first := range m.rnd.Perm(len(m.events)) {
		if e := m.events[first]; e.do != "got" || !kept(&e) {
			continue
		}
		chain := []int{first}
		for j := first + 1; j < len(m.events) && len(chain) < 3; j++ {
			e, f := m.events[first], m.events[j]
			if f.do == "got" && f.who == e.who && kept(&f) && f.messages[0].Conversation == e.messages[0].Conversation {
				chain = append(chain, j)
			}
		}
		if len(chain) == 3 {
			return chain[1], chain[2]
		}
	}
	return -1, -1
}

// ownAckedBefore returns the index, in a query's answer, of a message that had been acknowledged to who asked before that.
func (m *made) ownAckedBefore(answer *event) int {
	for _, e := range m.events {
		if e.do == "ask" && e.n == answer.n {
			return -1
		}
		if e.do != "end" || !acked(&e) || e.message.Sender != answer.who {
			continue
		}
		if i := slices.IndexFunc(answer.messages, func(m *zim.Message) bool { return m.ID == e.message.ID }); i >= 0 {
			return i
		}
	}
	return -1
}
