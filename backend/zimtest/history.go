package zimtest

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"sync"

	"github.com/zim-go/zim"
)

// A History is what happened in a test: what was sent, and how that ended; what handlers got; what queries answered; and what the service
// has at the end. Then [History.Check] holds it against what the SDK promises.
//
//	var h zimtest.History
//	zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) { h.Received("bob", e.Messages...) })
//	h.Send(ctx, alice, &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil)
//	… // connections that break, a backend that restarts
//	h.Collect(ctx, "alice", alice, zim.Peer("bob"))
//	for _, v := range h.Check() {
//		t.Error(v)
//	}
//
// The order of things is that in which they were told, not that of a clock. The zero value is an empty history. Its methods may be called
// concurrently, and none waits but for the ZIM that it is given.
//
// It is for tests in which nobody deletes messages. Messages may be edited and revoked: then their content is not compared, nor is
// that of messages with files or of combined ones. What the service itself sends is passed over.
type History struct {
	mu      sync.Mutex
	clock   int // guarded by mu; counts what was told
	sends   []*Sending
	talks   map[talkKey]*talk
	readers map[string]*reader
	queries []*Query
}

// A talk is a conversation, the same one for all who are in it.
type talk struct {
	key  talkKey
	logs [][]*record
}

// A talkKey names a talk. Peers have it together: it is in the order of their IDs.
type talkKey struct {
	kind   zim.ConversationType
	id, to string
}

// A record is a message as somebody was shown it.
type record struct {
	talk        *talk
	id, localID string
	sender      string
	seq         int64
	kind        zim.MessageType
	print       uint64 // of its content; zero if that can't be compared
	service     bool   // the service made it
	at          int
	claimed     bool // in a log: somebody sent it
}

type reader struct {
	name string
	got  []*record // nil where it started anew
}

type outcome int

const (
	pending outcome = iota
	acknowledged
	refused
	uncertain
)

// A Sending is one try to send a message: see [History.Invoked].
type Sending struct {
	h       *History
	to      zim.ConversationRef
	kind    zim.MessageType
	print   uint64
	began   int
	ended   int // zero until it ended
	ends    int // how often it ended
	outcome outcome
	message record // as far as it is known; without a talk before it was attached
}

// A Query is one question for a part of a conversation: see [History.Asked].
type Query struct {
	h        *History
	reader   string
	talk     *talk
	began    int
	from, to int64 // the numbers that the answer is about
	answered bool
	messages []*record
}

// Send is SendMessage of z, and keeps how it went. It is for retries, too. A durable message that the outbox took counts as one of unknown
// outcome; a test that hears of its end can tell that by [History.Invoked].
func (h *History) Send(ctx context.Context, z *zim.ZIM, content zim.Content, to zim.ConversationRef, config *zim.MessageSendConfig) (*zim.Message, error) {
	var own zim.MessageSendConfig
	if config != nil {
		own = *config
	}
	s := h.Invoked(content, to)
	if own.Retry != nil {
		s.Attached(own.Retry) // it may not come so far again
	}
	attached := own.Notification.OnMessageAttached
	own.Notification.OnMessageAttached = func(m *zim.Message) {
		s.Attached(m)
		if attached != nil {
			attached(m)
		}
	}
	m, err := z.SendMessage(ctx, content, to, &own)
	if err == nil && own.Durable {
		s.Ended(m, zim.ErrOutcomeUnknown)
	} else {
		s.Ended(m, err)
	}
	return m, err
}

// Invoked tells that a message is about to be sent, for tests that send in another way than by [History.Send]. It is called before the
// method that sends, and then Ended of what it returns with the method's results. A retry is another Sending of the same message.
func (h *History) Invoked(content zim.Content, to zim.ConversationRef) *Sending {
	s := &Sending{h: h, to: to, print: fingerprint(content)}
	if content != nil {
		s.kind = content.Type()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.began = h.now()
	h.sends = append(h.sends, s)
	return s
}

// Attached tells which message it became. It is called in OnMessageAttached, and may be left out where the method returns the message.
func (s *Sending) Attached(m *zim.Message) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.know(m)
}

// Ended tells what the method returned.
func (s *Sending) Ended(m *zim.Message, err error) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.ends++
	s.ended = s.h.now()
	if m != nil {
		s.know(m)
	}
	switch {
	case err == nil:
		s.outcome = acknowledged
	case errors.Is(err, zim.ErrOutcomeUnknown):
		s.outcome = uncertain
	default:
		s.outcome = refused
	}
}

// know keeps what m tells. The caller holds the history's mu.
func (s *Sending) know(m *zim.Message) {
	s.message = record{
		talk: s.h.talk(m.Sender, s.to), id: m.ID, localID: m.LocalID, sender: m.Sender, seq: number(m), kind: s.kind, print: s.print, at: s.ended,
	}
}

// Received tells what a handler of a reader got. A reader is a device of a user in one run of its program: its name is the user's ID, or
// begins with it and a slash.
func (h *History) Received(readerID string, messages ...*zim.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.reader(readerID)
	for _, m := range messages {
		r.got = append(r.got, h.record(userOf(readerID), m))
	}
}

// Restarted tells that a reader's program begins anew, and goes on where the last run had told that it was: it may get again what
// it got before, but nothing may be left out.
func (h *History) Restarted(readerID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.reader(readerID)
	r.got = append(r.got, nil)
}

// QueryHistory is QueryHistoryMessage of z, and keeps what it answered. The reader's name is as in [History.Received].
func (h *History) QueryHistory(ctx context.Context, readerID string, z *zim.ZIM, c zim.ConversationRef, config zim.MessageQueryConfig) ([]*zim.Message, error) {
	q := h.Asked(readerID, c)
	list, err := z.QueryHistoryMessage(ctx, c, config)
	if err == nil {
		q.Answered(config, list)
	}
	return list, err
}

// Asked tells that a reader is about to ask for messages, for tests that do so in another way than by [History.QueryHistory]. When the
// answer is there, Answered of what it returns is called. Without one, it has never been.
func (h *History) Asked(readerID string, c zim.ConversationRef) *Query {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := &Query{h: h, reader: readerID, talk: h.talk(userOf(readerID), c), began: h.now()}
	h.queries = append(h.queries, q)
	return q
}

// Answered tells the answer to what was asked for with that config.
func (q *Query) Answered(config zim.MessageQueryConfig, messages []*zim.Message) {
	q.h.mu.Lock()
	defer q.h.mu.Unlock()
	q.answered = true
	for _, m := range messages {
		if stored(m) {
			q.messages = append(q.messages, q.h.record(userOf(q.reader), m))
		}
	}
	// The page is about everything between its ends; an empty one is about all that is beyond its beginning. Where an end is what only the
	// device has, or the service was not asked, nobody knows the numbers.
	q.from, q.to = 1, math.MaxInt64
	next := config.NextMessage
	switch n := len(q.messages); {
	case config.Mode == zim.MessageQueryModeOnlyLocal, next != nil && !stored(next), n == 0 && len(messages) > 0:
		q.to = 0
	case config.Reverse:
		if next != nil {
			q.to = next.Seq - 1
		}
		if n > 0 {
			q.from = q.messages[0].seq
		}
	default:
		if next != nil {
			q.from = next.Seq + 1
		}
		if n > 0 {
			q.to = q.messages[n-1].seq
		}
	}
}

// Collect reads all messages of a conversation as the user of z, whose name is as in [History.Received], and tells them to [History.Stored].
// If it fails, nothing is told.
func (h *History) Collect(ctx context.Context, readerID string, z *zim.ZIM, c zim.ConversationRef) error {
	var list []*zim.Message
	for m, err := range z.HistoryMessages(ctx, c, zim.MessageOrderAscending) {
		if err != nil {
			return err
		}
		list = append(list, m)
	}
	h.Stored(readerID, c, list)
	return nil
}

// Stored tells all messages of a conversation, in their order, as the service has them at the end, to somebody who was there from
// the beginning. It may be told as several users see it.
func (h *History) Stored(readerID string, c zim.ConversationRef, messages []*zim.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.talk(userOf(readerID), c)
	log := make([]*record, 0, len(messages))
	for _, m := range messages {
		if stored(m) {
			log = append(log, h.record(userOf(readerID), m))
		}
	}
	t.logs = append(t.logs, log)
}

// stored reports whether the service has m, and not only the device that shows it.
func stored(m *zim.Message) bool {
	return !m.IsUserInserted && m.SentStatus != zim.MessageSentStatusFailed
}

// number returns the place of a message that is stored, or zero. Rooms number their messages, but only for who is there, and begin anew.
func number(m *zim.Message) int64 {
	if m.Conversation.Type == zim.ConversationTypeRoom {
		return 0
	}
	return m.Seq
}

// now is the next moment. The caller holds mu.
func (h *History) now() int {
	h.clock++
	return h.clock
}

// talk returns the conversation that a user knows as c. The caller holds mu.
func (h *History) talk(user string, c zim.ConversationRef) *talk {
	key := talkKey{kind: c.Type, id: c.ID}
	if c.Type == zim.ConversationTypePeer {
		key.id, key.to = min(user, c.ID), max(user, c.ID)
	}
	if t := h.talks[key]; t != nil {
		return t
	}
	if h.talks == nil {
		h.talks = make(map[talkKey]*talk)
	}
	t := &talk{key: key}
	h.talks[key] = t
	return t
}

// reader returns the reader of that name. The caller holds mu.
func (h *History) reader(name string) *reader {
	if r := h.readers[name]; r != nil {
		return r
	}
	if h.readers == nil {
		h.readers = make(map[string]*reader)
	}
	r := &reader{name: name}
	h.readers[name] = r
	return r
}

// record takes down what m is to a user. The caller holds mu.
func (h *History) record(user string, m *zim.Message) *record {
	r := &record{
		talk: h.talk(user, m.Conversation), id: m.ID, localID: m.LocalID, sender: m.Sender, seq: number(m), kind: m.Content.Type(), at: h.now(),
		service: m.IsServerMessage || m.IsBroadcastMessage || m.Content.Type() == zim.MessageTypeTips,
	}
	if m.EditorUserID == "" {
		r.print = fingerprint(m.Content)
	}
	return r
}

// fingerprint returns a number that tells content from any other, or zero where what is received differs from what was sent.
func fingerprint(content zim.Content) uint64 {
	switch content.(type) {
	case *zim.TextMessage, *zim.CommandMessage, *zim.BarrageMessage, *zim.CustomMessage, *zim.UnknownMessage:
	default:
		return 0
	}
	kind, data, err := zim.EncodeContent(content)
	if err != nil {
		return 0 // it is larger than is usual, or can't be sent
	}
	f := fnv.New64a()
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(kind))
	f.Write(b[:])
	f.Write(data)
	return max(f.Sum64(), 1)
}
