package backend

import (
	"context"
	"time"

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
		u, err := tx.User(s.key.app, s.key.id)
		if err != nil {
			return err
		}
		resp, refused, err = answer(&reader{tx, a.server, s.app, u})
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

// A change is the inside of a request that changes something. It keeps what users are to be told of it.
type change struct {
	reader
	s    *session
	now  int64 // Unix milliseconds
	told []told
	seq  uint32 // the event that tells self; zero if none does
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
	e.Origin = c.s.origin()
	data, err := proto.Marshal(e)
	if err != nil {
		return err
	}
	seq, err := c.AppendEvent(u, store.EventOther, at, c.now, data)
	if err != nil {
		return err
	}
	if u.ID == c.self.ID {
		c.seq = seq
	}
	r := c.reader
	r.self = u
	if e, err = r.fill(e); err != nil {
		return err
	}
	c.told = append(c.told, told{userKey{u.AppID, u.UserID}, seq, e})
	return nil
}

// tellAll puts an event into the feeds of all who are in a conversation and can see its messages from number seq on. make
// makes what one of them is told, or nil.
func (c *change) tellAll(conv *store.Conversation, at, seq int64, make func(u *store.User) *wire.Event) error {
	users, err := c.members(conv, seq)
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
	op.change = change{reader: reader{tx, op.a.server, op.s.app, u}, s: op.s, now: time.Now().UnixMilli()}
	op.resp, op.refused, err = op.do(&op.change)
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

// origin names the session's run in the events that it causes.
func (s *session) origin() []byte { return []byte(s.instance[:4]) }

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
