package backend

import (
	"context"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

// A reader reads for one user, inside of a transaction.
type reader struct {
	*store.Tx
	server *Server
	app    *App
	self   *store.User
	shared *shared // nil unless many are told of one thing
}

// view answers a request that reads. What answer returns is one of three: a response, a refusal, or an error.
func (a *attachment) view(s *session, id uint64, answer func(r *reader) (*wire.Response, *wire.Error, error)) {
	if !s.queries.Allow() {
		a.refuse(id, tooMany())
		return
	}
	var resp *wire.Response
	var refused *wire.Error
	err := a.server.store.View(context.Background(), func(tx *store.Tx) error {
		defer charge(s.queries, 0, time.Now())
		u, err := tx.User(s.key.app, s.key.id)
		if err != nil {
			return err
		}
		if u == nil {
			u = nobody(s.key.app)
		}
		resp, refused, err = answer(&reader{Tx: tx, server: a.server, app: s.app, self: u})
		return err
	})
	switch {
	case err != nil:
		a.server.log.Error("backend: reading", "app", s.key.app, "err", err)
		a.refuse(id, refuse(codeDatabaseError, "the database can't be read"))
	case refused != nil:
		a.refuse(id, refused)
	default:
		a.link.Reply(id, resp)
	}
}

// unit is how long what counts as one request may take, and freeTold how many users it may tell.
const unit, freeTold = 2 * time.Millisecond, 100

// charge counts a request, which told some users and began at start, for as much as it costs the others: they wait for the store, too.
func charge(l *rate.Limiter, told int, start time.Time) {
	now := time.Now()
	if n := max(told/freeTold, int(now.Sub(start)/unit)); n > 0 {
		l.ReserveN(now, min(n, l.Burst()))
	}
}

// A change is the inside of a request that changes something. It keeps what users are to be told of it.
type change struct {
	reader
	s    *session
	now  int64 // Unix milliseconds
	told []told
	seq  uint32 // the event that tells self; zero if none does

	events int // that were appended

	after func() // if set, what is done once the transaction is durable
}

// A told is an event in a user's feed.
type told struct {
	key   userKey
	seq   uint32
	event *wire.Event
}

// tell puts an event into a user's feed. Messages in it are named by their places, in OrderKey; at is one of them, or
// another place in the conversation that it is about, or zero.
func (c *change) tell(u *store.User, at int64, e *wire.Event) error {
	if e.Origin = nil; u.ID == c.self.ID {
		// Others are not to know it: who claims it could have their ZIM take an event for its own.
		e.Origin = c.s.origin()
	}
	data, err := proto.Marshal(e)
	if err != nil {
		return err
	}
	seq, err := c.AppendEvent(u, store.EventOther, at, c.now, data)
	if err != nil {
		return err
	}
	c.events++
	if u.ID == c.self.ID {
		c.seq = seq
	}
	key := userKey{u.AppID, u.UserID}
	if !c.server.hub.reaches(key) {
		return nil // it is in the feed
	}
	r := c.reader
	r.self = u
	if e, err = r.fill(e); err != nil {
		return err
	}
	c.told = append(c.told, told{key, seq, e})
	return nil
}

// maxTouched is how many conversations one event names: a client must be able to take a page of events.
const maxTouched = 1000

// tellTouched is tell for the user's own feed and an event that may name many conversations.
func (c *change) tellTouched(at int64, e *wire.Event) error {
	refs := e.Conversations
	for {
		n := min(len(refs), maxTouched)
		e.Conversations, refs = refs[:n], refs[n:]
		if err := c.tell(c.self, at, e); err != nil || len(refs) == 0 {
			return err
		}
		e = new(wire.Event)
	}
}

// tellAll puts an event into the feeds of all who are in a conversation and can see its messages from number seq on. make
// makes what one of them is told, or nil.
func (c *change) tellAll(conv *store.Conversation, at, seq int64, make func(u *store.User) *wire.Event) error {
	users, err := c.members(conv, seq)
	c.shared = newShared()
	defer func() { c.shared = nil }()
	for _, u := range users {
		if err != nil {
			break
		}
		if e := make(u); e != nil {
			err = c.tell(u, at, e)
		}
	}
	if err != nil || conv.Type != store.ConversationGroup {
		return err
	}
	// Those who left are told only that the conversation is not as it was: they still have it.
	left, err := c.Left(conv, at)
	for _, userID := range left {
		if err != nil {
			break
		}
		var u *store.User
		if u, err = c.User(conv.App, userID); err == nil {
			err = c.tell(u, at, &wire.Event{Conversations: []*wire.ConversationRef{refOf(conv, userID)}})
		}
	}
	return err
}

// members returns who is in a conversation and can see its messages from number seq on.
func (c *change) members(conv *store.Conversation, seq int64) ([]*store.User, error) {
	if conv.Type == store.ConversationPeer {
		a, err := c.User(conv.App, conv.A)
		if err != nil {
			return nil, err
		}
		b, err := c.User(conv.App, conv.B)
		return []*store.User{a, b}, err
	}
	roster, err := c.Roster(conv)
	users := make([]*store.User, 0, len(roster))
	for _, p := range roster {
		if int64(p.Joined) < seq {
			users = append(users, p.User)
		}
	}
	return users, err
}

// change answers a request that changes something. What do returns is one of three: a response, a refusal, or an error; it
// refuses before it has written anything.
func (a *attachment) change(s *session, id uint64, do func(c *change) (*wire.Response, *wire.Error, error)) {
	if !s.changes.Allow() {
		a.refuse(id, tooMany())
		return
	}
	a.submit(s, id, do)
}

// submit is change for what is limited in another way.
func (a *attachment) submit(s *session, id uint64, do func(c *change) (*wire.Response, *wire.Error, error)) {
	op := &changeOp{a: a, s: s, id: id, do: do}
	if err := a.server.store.Submit(op); err != nil {
		a.storeFailed(id, err)
	}
}

type changeOp struct {
	a  *attachment
	s  *session
	id uint64
	do func(c *change) (*wire.Response, *wire.Error, error)

	change  change
	resp    *wire.Response
	refused *wire.Error
	charged bool // it was counted for what it costs; a second try is not its fault
}

func (op *changeOp) Do(tx *store.Tx) (err error) {
	op.refused = op.s.fence()
	if op.refused != nil {
		return nil
	}
	u, err := tx.User(op.s.key.app, op.s.key.id)
	if err != nil {
		return err
	}
	op.change = change{reader: reader{Tx: tx, server: op.a.server, app: op.s.app, self: u}, s: op.s, now: time.Now().UnixMilli()}
	// When it came, what came before it was not charged yet.
	if !op.charged && op.s.changes.Tokens() < 0 {
		op.refused = tooMany()
		return nil
	}
	start := time.Now()
	op.resp, op.refused, err = op.do(&op.change)
	if !op.charged {
		op.charged = true
		charge(op.s.changes, op.change.events, start)
	}
	return err
}

func (op *changeOp) Done(err error) {
	switch {
	case err != nil:
		op.a.storeFailed(op.id, err)
	case op.refused != nil:
		op.a.refuse(op.id, op.refused)
	default:
		op.a.server.hub.deliverAll(op.change.told)
		if op.change.after != nil {
			op.change.after()
		}
		op.resp.EventSeq = uint64(op.change.seq)
		op.a.link.Reply(op.id, op.resp)
	}
}

func (h *hub) deliverAll(list []told) {
	for i := range list {
		h.deliver(list[i].key, list[i].seq, list[i].event)
	}
}

// fence returns the refusal for a session of which nothing may be committed any more, or nil.
func (s *session) fence() *wire.Error {
	if !s.fenced() {
		return nil
	}
	return &wire.Error{Code: codeNotLogged, Message: "the session is over", SessionEnd: s.ending()}
}

// origin names the session's run in the events that it causes. What the app's server does is no run's own.
func (s *session) origin() []byte {
	if s.server {
		return nil
	}
	return []byte(s.instance[:4])
}

// conversation returns the user's part in a conversation, which is nil if there is no conversation with that user yet.
// Rooms are refused: nothing is kept of them.
func (r *reader) conversation(ref *wire.ConversationRef) (*store.Member, *wire.Error, error) {
	switch ref.GetType() {
	case store.ConversationPeer:
		if ref.GetId() == "" || ref.GetId() == r.self.UserID {
			return nil, refuse(codeParamsInvalid, "there is no such conversation"), nil
		}
	case store.ConversationGroup:
	default:
		return nil, refuse(codeParamsInvalid, "that is for conversations with users and groups"), nil
	}
	c, err := r.FindConversation(r.self.AppID, ref.GetType(), r.self.UserID, ref.GetId())
	if err != nil {
		return nil, nil, err
	}
	if c == nil {
		if ref.GetType() == store.ConversationGroup {
			return nil, refuse(codeNoGroup, "there is no such group"), nil
		}
		return nil, nil, nil
	}
	if r.self.UserID == "" && c.Type == store.ConversationGroup {
		return r.whole(c)
	}
	m, err := r.Member(c, r.self.ID)
	if err == nil && m == nil {
		return nil, refuse(codeNotInGroup, "the user is not in the group"), nil
	}
	return m, nil, err
}

// joined is conversation for what only those may do who are in the conversation now.
func (r *reader) joined(ref *wire.ConversationRef) (*store.Member, *wire.Error, error) {
	m, refused, err := r.conversation(ref)
	if refused == nil && err == nil && m != nil && !m.In() {
		return nil, refuse(codeNotInGroup, "the user is not in the group"), nil
	}
	return m, refused, err
}

// message returns a message that the user sees in a conversation that the user is in.
func (r *reader) message(ref *wire.MessageRef) (*store.Message, *store.Member, *wire.Error, error) {
	m, refused, err := r.joined(ref.GetConversation())
	if refused != nil || err != nil {
		return nil, nil, refused, err
	}
	if m == nil {
		return nil, nil, noMessage(), nil
	}
	msg, err := r.seen(m, ref.GetSeq())
	if err == nil && msg == nil {
		return nil, nil, noMessage(), nil
	}
	return msg, m, nil, err
}

// seen returns the message with a number, or nil if there is none that the member sees.
func (r *reader) seen(m *store.Member, seq int64) (*store.Message, error) {
	if sees, err := r.sees(m, seq); !sees || err != nil {
		return nil, err
	}
	return r.MessageAt(m.Conversation.Place(seq))
}

// sees reports whether the member sees the message with a number.
func (r *reader) sees(m *store.Member, seq int64) (bool, error) {
	if seq < int64(m.First()) || seq > int64(m.Last) {
		return false, nil
	}
	hidden, err := r.Hidden(m.User, m.Conversation.Place(seq))
	return !hidden, err
}

func noMessage() *wire.Error { return refuse(codeTargetNotExist, "there is no such message") }

// refOf names a conversation as user has it.
func refOf(c *store.Conversation, userID string) *wire.ConversationRef {
	return &wire.ConversationRef{Type: c.Type, Id: c.Name(userID)}
}

// at names a message by its place, in what is told of it.
func at(place int64) *wire.Message { return &wire.Message{OrderKey: place} }

func places(list []int64) []*wire.Message {
	messages := make([]*wire.Message, len(list))
	for i, p := range list {
		messages[i] = at(p)
	}
	return messages
}
