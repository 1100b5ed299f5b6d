package e2e_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A slowAnswer is a network on which answers of one kind, or pushes, take their time.
type slowAnswer struct {
	transport.Dialer
	mu     sync.Mutex
	held   []func()      // guarded by mu; nil: nothing is held
	pushes chan struct{} // guarded by mu; pushes wait until it is closed, unless it is nil
}

// hold holds the answers to questions for conversations until what it returns is called.
func (s *slowAnswer) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = []func(){}
	return func() {
		synctest.Wait()
		s.mu.Lock()
		held := s.held
		s.held = nil
		s.mu.Unlock()
		for _, f := range held {
			f()
		}
	}
}

// holdPushes is hold for pushes.
func (s *slowAnswer) holdPushes() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pushes := make(chan struct{})
	s.pushes = pushes
	return func() {
		synctest.Wait()
		close(pushes)
	}
}

func (s *slowAnswer) Dial(ctx context.Context) (transport.Conn, error) {
	conn, err := s.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &slowConn{conn.(transport.Pipeline), s}, nil
}

type slowConn struct {
	transport.Pipeline
	slow *slowAnswer
}

func (c *slowConn) Start(req *wire.Request, done func(*wire.Response, error)) {
	if req.GetQueryConversations() == nil {
		c.Pipeline.Start(req, done)
		return
	}
	c.Pipeline.Start(req, func(resp *wire.Response, err error) {
		c.slow.mu.Lock()
		holds := c.slow.held != nil
		if holds {
			c.slow.held = append(c.slow.held, func() { done(resp, err) })
		}
		c.slow.mu.Unlock()
		if !holds {
			done(resp, err)
		}
	})
}

func (c *slowConn) Receive(ctx context.Context) (*wire.Push, error) {
	push, err := c.Pipeline.Receive(ctx)
	c.slow.mu.Lock()
	pushes := c.slow.pushes
	c.slow.mu.Unlock()
	if pushes != nil {
		<-pushes
	}
	return push, err
}

// slowly logs alice in on a network whose answers can be held, and bob on another.
func slowly(t *testing.T, f func(t *testing.T, srv *zimtest.Server, slow *slowAnswer, a, b *user)) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		slow := &slowAnswer{Dialer: dialer}
		a, b := device(t, srv, slow, "alice", "one"), device(t, srv, dialer, "bob", "one")
		b.send(zim.Peer("alice"), "first", nil)
		a.since()
		f(t, srv, slow, a, b)
	})
}

// What was asked for when the connection was lost was never asked for again.
func TestConversationOfLostAnswer(t *testing.T) {
	slowly(t, func(t *testing.T, srv *zimtest.Server, slow *slowAnswer, a, b *user) {
		release := slow.hold()
		b.send(zim.Peer("alice"), "second", nil)
		synctest.Wait()
		srv.Cut("alice")
		release()
		time.Sleep(time.Minute)
		if got := a.since(); !slices.Contains(got, "conversation Updated bob 2 second") {
			t.Errorf("got %q", got)
		}
	})
}

// An answer from before a message of the device's own took its place as the last one.
func TestConversationOfOldAnswer(t *testing.T) {
	slowly(t, func(t *testing.T, srv *zimtest.Server, slow *slowAnswer, a, b *user) {
		release := slow.hold()
		b.send(zim.Peer("alice"), "second", nil)
		synctest.Wait()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			a.send(zim.Peer("bob"), "third", nil)
		}()
		release()
		<-sent
		if got := a.since(); got[len(got)-1] != "conversation Updated bob 2 third" {
			t.Errorf("got %q", got)
		}
	})
}

// An answer from before all conversations were deleted brought one back.
func TestConversationOfAnswerBeforeDeletion(t *testing.T) {
	slowly(t, func(t *testing.T, srv *zimtest.Server, slow *slowAnswer, a, b *user) {
		release := slow.hold()
		b.send(zim.Peer("alice"), "second", nil)
		synctest.Wait()
		deleted := make(chan error, 1)
		go func() { deleted <- a.DeleteAllConversations(t.Context(), nil) }()
		release()
		a.must(<-deleted)
		got := a.since()
		if gone := slices.Index(got, "all conversations deleted 1"); gone < 0 || !slices.Contains(got[gone:], "conversation Deleted bob 2 second") {
			t.Errorf("got %q", got)
		}
	})
}

// What came after all conversations were deleted was told before it, and not again.
func TestConversationOfLateDeletion(t *testing.T) {
	slowly(t, func(t *testing.T, srv *zimtest.Server, slow *slowAnswer, a, b *user) {
		srv.Register("carol")
		a2 := device(t, srv, slow.Dialer, "alice", "two")
		release := slow.holdPushes()
		a2.must(a2.DeleteAllConversations(t.Context(), nil))
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			a.send(zim.Peer("carol"), "second", nil)
		}()
		release()
		<-sent
		got := a.since()
		if gone := slices.Index(got, "all conversations deleted 1"); gone < 0 || !slices.Contains(got[gone:], "conversation Added carol 0 second") {
			t.Errorf("got %q", got)
		}
	})
}

// Who left a group was not told that what is left of it changed, so that the total was another one than what was told.
func TestConversationOfLeftGroup(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		_, err := b.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "group"}, []string{"alice"}, nil)
		b.must(err)
		first := b.send(zim.Group("group"), "first", nil)
		second := b.send(zim.Group("group"), "second", nil)
		a.must(a.LeaveGroup(t.Context(), "group"))
		a.since()
		a2.since()
		_, err = b.RevokeMessage(t.Context(), second, nil)
		b.must(err)
		for _, u := range []*user{a, a2} {
			u.saw("revoke", "conversation Updated group 1 (revoked second)", "total 1")
		}
		b.send(zim.Group("group"), "third", nil)
		_, err = b.EditMessage(t.Context(), first, zim.MessageEditConfig{Content: &zim.TextMessage{Message: "edited"}})
		b.must(err)
		for _, u := range []*user{a, a2} {
			u.saw("edit", "conversation Updated group 1 (revoked second)")
		}
	})
}

// With slow handlers and little room for events, a device stopped asking until the next heartbeat, and asked without a pause when
// the last events that waited left no room for what belongs together.
func TestConversationOfSlowHandlers(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, EventBuffer: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Destroy)
		messages, total := 0, 0
		zim.On(a, func(_ context.Context, e zim.Event) {
			switch e := e.(type) {
			case *zim.PeerMessageReceived:
				messages += len(e.Messages)
			case *zim.ConversationTotalUnreadMessageCountUpdated:
				total = e.TotalUnreadMessageCount
			}
			// The handler needs what the one who asks for events may hold.
			a.QueryConversation(t.Context(), zim.Peer("bob"))
			time.Sleep(time.Millisecond)
		})
		login(t, srv, a, "alice")
		b := device(t, srv, dialer, "bob", "one")
		for range 20 {
			m := b.send(zim.Peer("alice"), "hello", &zim.MessageSendConfig{MentionedUserIDs: []string{"alice"}})
			_, err := b.ReplyMessage(t.Context(), &zim.TextMessage{Message: "reply"}, m, nil)
			b.must(err)
		}
		time.Sleep(5 * time.Second) // half of the time between heartbeats
		synctest.Wait()
		if messages != 40 || total != 40 {
			t.Errorf("got %d messages and a total of %d, want 40", messages, total)
		}
	})
}
