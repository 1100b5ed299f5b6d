package backend

import (
	"context"
	"errors"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

// An Act is something that the app's own server does in the name of a user, who need not be online. It is a request like those of clients, and
// is handled by the same code, with the differences that the documentation has: an app's server is trusted. It dismisses groups, and brings
// users in and out, whoever is their owner; and it writes to groups and rooms that the user is not in. Messages and what they say are held
// against the same limits as those of clients, but the rates of clients don't count.
type Act struct {
	App uint32
	// UserID says in whose name. It is empty for requests that read a group or room as a whole, and no one's part of it.
	UserID string
	// Request is any that a client sends once it has logged in, but for those that are about its own session or its own place in a room. It
	// must not be used afterwards.
	Request *wire.Request
	// Said is what a message says in the words of the app's server: what is told of it by a callback has that as it is. Empty leaves it to the
	// request.
	Said string
	// Unaware leaves the user's own devices out when a message is sent.
	Unaware bool
}

// Do does an Act, and waits until it is durable. The answer has an error if it was refused; if ctx ends or the store fails before there is an
// answer, that error is 6000007, and nobody knows whether it was done.
func (s *Server) Do(ctx context.Context, act Act) *wire.Response { return s.DoAll(ctx, []Act{act})[0] }

// DoAll is Do for several Acts, which don't wait for each other. They are done in their order. Messages to several users are told of by
// one callback, as if they were one.
func (s *Server) DoAll(ctx context.Context, acts []Act) []*wire.Response {
	answers := make([]*wire.Response, len(acts))
	if !s.begin() {
		for i := range answers {
			answers[i] = &wire.Response{Error: refuse(codeServerError, "the server is going away")}
		}
		return answers
	}
	defer s.work.Done()
	links := make([]actLink, len(acts))
	known := make(map[userKey]*wire.Error)
	var batch *batchOp
	if len(acts) > 1 {
		batch = &batchOp{server: s}
	}
	for i, act := range acts {
		links[i] = make(actLink, 1)
		s.act(links[i], act, known, batch)
	}
	if batch != nil && len(batch.ops) > 0 {
		if err := s.store.Submit(batch); err != nil {
			batch.Done(err)
		}
	}
	for i, l := range links {
		select {
		case answers[i] = <-l:
		case <-ctx.Done():
			answers[i] = &wire.Response{Error: refuse(codeServerError, "given up before there was an answer")}
		}
	}
	return answers
}

// act starts one Act. known has what is known of the users already. Messages to users and groups are left in batch if that is not nil.
func (s *Server) act(l actLink, act Act, known map[userKey]*wire.Error, batch *batchOp) {
	a := &attachment{server: s, link: l}
	app := s.apps[act.App]
	key := userKey{act.App, act.UserID}
	if app == nil {
		a.refuse(0, refuse(codeInvalidAppID, "there is no such app"))
		return
	}
	switch c := classOf(act.Request); {
	case c == classVital:
		a.refuse(0, refuse(codeUnsupported, "that is for sessions of users"))
		return
	case act.UserID == "" && c != classQuery:
		a.refuse(0, refuse(codeParamsInvalid, "the user is missing"))
		return
	case act.UserID != "":
		refused, asked := known[key]
		if !asked {
			refused = s.actor(key)
			known[key] = refused
		}
		if refused != nil {
			a.refuse(0, refused)
			return
		}
	}
	if busy := s.busy(act.Request); busy != nil {
		a.refuse(0, busy)
		return
	}
	a.command.init()
	a.handle(&session{
		hub: s.hub, link: l, app: app, key: key, server: true, said: act.Said, together: batch, unaware: act.Unaware,
		normal: quota{unlimited, unlimited}, high: quota{unlimited, unlimited}, changes: unlimited, queries: unlimited, syncs: unlimited, moves: unlimited,
	}, 0, act.Request, nil)
}

var unlimited = rate.NewLimiter(rate.Inf, 0)

// actor returns why nothing can be done in a user's name, or nil. Users don't go away.
func (s *Server) actor(key userKey) *wire.Error {
	known, err := s.registered(key)
	switch {
	case err != nil:
		return refuse(codeDatabaseError, "the user can't be looked up")
	case !known:
		return refuse(codeNoUser, "the user is not registered")
	}
	return nil
}

// An actLink takes the one answer to an Act. It implements [Link].
type actLink chan *wire.Response

func (l actLink) Reply(_ uint64, resp *wire.Response) error {
	select {
	case l <- proto.CloneOf(resp):
		return nil
	default:
		return errors.New("backend: there was an answer")
	}
}

func (l actLink) Push(*wire.Push) error { return nil }
func (l actLink) Trust()                {}

// Close is what happens instead of an answer.
func (l actLink) Close(_ int, reason string) {
	l.Reply(0, &wire.Response{Error: refuse(codeServerError, reason)})
}

// nobody stands for the user in Acts that are in no one's name.
func nobody(app uint32) *store.User { return &store.User{AppID: app} }

// whole returns a group's conversation as one would see it who was in it from the beginning.
func (r *reader) whole(c *store.Conversation) (*store.Member, *wire.Error, error) {
	g, err := r.GroupOf(c)
	if err != nil {
		return nil, nil, err
	}
	if g == nil || g.Dismissed {
		return nil, refuse(codeNoGroup, "there is no such group"), nil
	}
	return &store.Member{Conversation: c, Last: maxSeq}, nil, nil
}

// A batchOp stores messages together that one request has sent.
type batchOp struct {
	server *Server
	ops    []*sendOp
}

func (b *batchOp) Do(tx *store.Tx) error {
	for _, op := range b.ops {
		if err := op.Do(tx); err != nil {
			return err
		}
	}
	return b.server.callBatch(tx, b.ops)
}

func (b *batchOp) Done(err error) {
	for _, op := range b.ops {
		op.Done(err)
	}
}
