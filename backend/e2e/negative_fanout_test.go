package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// maxAnswer is what a client accepts in one message.
const maxAnswer = 512 << 10

// large is a message to a group as large as it may be: 40 KB.
func large(groupID string, n int) *wire.SendMessageRequest {
	text := textTo("", 0, strings.Repeat("x", 2048)).Content
	c := new(wire.MultipleContent)
	for range 20 {
		c.Items = append(c.Items, &wire.MultipleItem{Type: 1, Content: text})
	}
	m := textTo(groupID, n, "")
	m.ConversationType, m.Type = 2, 10
	m.Content, _ = proto.Marshal(c)
	return m
}

// ok fails the test if the answer is a refusal.
func (c *rawConn) ok(body any) *wire.Response {
	c.t.Helper()
	resp := c.call(body)
	if resp == nil || resp.Error != nil {
		c.t.Fatalf("%T: got %v, closed with status %d", body, resp, c.status)
	}
	return resp
}

// Whatever others put into a conversation, what is asked of it fits into what a client accepts.
func TestNegativeAnswersFit(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		mallory, alice := h.login(t, "mallory"), h.login(t, "alice")
		const groups = 12
		for i := range groups {
			id := fmt.Sprint("g", i)
			mallory.ok(&wire.CreateGroupRequest{Group: &wire.GroupInfo{GroupId: id}, UserIds: []string{"alice"}})
			mallory.ok(large(id, 0))
			for n := range 10 {
				m := large(id, 1+n)
				m.ReplyTo = 1
				mallory.ok(m)
				if i > 0 {
					break
				}
			}
		}
		fits := func(what string, resp *wire.Response) *wire.Response {
			t.Helper()
			if n := proto.Size(resp); n > maxAnswer {
				t.Errorf("%s: %d bytes", what, n)
			}
			return resp
		}
		got := make(map[string]bool)
		req := &wire.QueryConversationsRequest{Count: 500}
		for more := true; more; {
			list := fits("conversations", alice.ok(req)).GetConversations()
			for _, w := range list.Conversations {
				got[w.Ref.Id] = true
				req.After = &wire.ConversationPlace{OrderKey: w.OrderKey}
			}
			more = list.More
		}
		if len(got) != groups {
			t.Errorf("%d conversations came, want %d", len(got), groups)
		}
		g := &wire.ConversationRef{Type: 2, Id: "g0"}
		var seqs []int64
		for seq := range int64(10) {
			seqs = append(seqs, seq+2)
			mallory.ok(&wire.PinMessageRequest{Message: messageRef(g, seq+2), Pin: true})
		}
		if list := fits("pinned", alice.ok(&wire.QueryPinnedMessagesRequest{Conversation: g})).GetMessages(); len(list.GetMessages()) == 0 {
			t.Error("nothing is pinned")
		}
		alice.wantRefused(&wire.QueryMessagesRequest{Conversation: g, Seqs: seqs}, 6000001)
		fits("some messages", alice.ok(&wire.QueryMessagesRequest{Conversation: g, Seqs: seqs[:3]}))
		for n := range 150 {
			m := textTo("g0", 100+n, "look")
			m.ConversationType, m.IsMentionAll = 2, n%2 == 0
			if !m.IsMentionAll || n%10 == 0 {
				m.MentionedUserIds = []string{"alice"}
			}
			mallory.ok(m)
		}
		mentions := alice.ok(&wire.QueryConversationsRequest{Refs: []*wire.ConversationRef{g}}).GetConversations().Conversations[0].Mentions
		if len(mentions) != 100 || mentions[0].MessageSeq != 62 || mentions[99].MessageSeq != 161 {
			t.Errorf("%d mentions: %v", len(mentions), mentions)
		}
		for i, n := range mentions {
			if want := []int32{2, 1, 2, 1, 2, 1, 2, 1, 2, 1}[i%10]; n.Type != want && (n.MessageSeq-12)%10 != 0 || (n.MessageSeq-12)%10 == 0 && n.Type != 3 {
				t.Errorf("%v, want type %d", n, want)
			}
		}

		// What is copied is bounded, too.
		c := &wire.CombineContent{Title: "t", Summary: "s"}
		for range 60 {
			c.Messages = append(c.Messages, messageRef(g, 1))
		}
		m := textTo("g0", 1000, "")
		m.ConversationType, m.Type = 2, 100
		m.Content, _ = proto.Marshal(c)
		mallory.wantRefused(m, 6000001)
		alice.wantRefused(&wire.QueryTotalUnreadRequest{Filter: &wire.ConversationFilter{Marks: make([]int32, 101)}}, 6000001)
	})
}

// A transaction that is undone is as if it had never been tried: what it made is made anew, and nobody saw anything of it.
func TestNegativeUndone(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		alice, erin := h.login(t, "alice"), h.login(t, "erin")
		alice.ok(&wire.CreateGroupRequest{Group: &wire.GroupInfo{GroupId: "g"}, UserIds: []string{"erin"}})
		alice.ok(textToGroup(0, "one"))
		combine := textToGroup(1, "")
		combine.Type = 100
		combine.Content, _ = proto.Marshal(&wire.CombineContent{Title: "t", Summary: "s", Messages: []*wire.MessageRef{messageRef(groupRef(), 1)}})
		command := textToGroup(2, "run")
		command.Type = 2
		release := h.hold(t)
		var frames []*wire.Frame
		for _, req := range []*wire.SendMessageRequest{combine, command} {
			f := alice.request(req)
			frames = append(frames, f)
			alice.send(delimited(f))
			synctest.Wait()
		}
		failed := make(chan error, 1)
		broken := errors.New("broken")
		go func() { failed <- h.store.Update(func(*store.Tx) error { return broken }) }()
		synctest.Wait()
		release()
		if err := <-failed; !errors.Is(err, broken) {
			t.Error(err)
		}
		for i, f := range frames {
			if resp := alice.answer(f.Id); resp == nil || resp.Error != nil {
				t.Errorf("request %d: got %v", i, resp)
			}
		}
		synctest.Wait()
		erin.ok(&wire.HeartbeatRequest{})
		commands := 0
		for _, p := range erin.pushes {
			commands += len(p.Transient)
		}
		if commands != 1 {
			t.Errorf("the command came %d times", commands)
		}
		list := erin.ok(&wire.QueryCombineMessageRequest{Message: messageRef(groupRef(), 2)}).GetMessages()
		if len(list.GetMessages()) != 1 {
			t.Errorf("combined are %v", list)
		}
	})
}

// Conversations are pinned together, or none of them is.
func TestNegativePinsTogether(t *testing.T) {
	options := zimtest.Options{App: func(a *backend.App) {
		boundless(a)
		a.Limits.PinnedConversations = 2
	}}
	hostile(t, options, func(t *testing.T, h *host) {
		h.stored = 1
		alice := h.login(t, "alice")
		h.srv.Register("erin", "frank")
		var refs []*wire.ConversationRef
		for n, id := range []string{"bob", "erin", "frank"} {
			alice.ok(textTo(id, n, "x"))
			refs = append(refs, peerRef(id))
		}
		before := h.everything(t, "alice")
		pin := &wire.ChangeConversationsRequest{Refs: refs, Change: &wire.ChangeConversationsRequest_Pin{Pin: true}}
		alice.wantRefused(pin, 6000604)
		if after := h.everything(t, "alice"); after != before {
			t.Errorf("was\n%s\nis\n%s", before, after)
		}
		pin.Refs = refs[:2]
		alice.ok(pin)
		alice.ok(pin)
	})
}

// An event is never larger than what a client accepts, however many conversations it is about.
func TestNegativeManyConversations(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		alice := h.login(t, "alice")
		const many = 2100
		err := h.store.Update(func(tx *store.Tx) error {
			self, err := tx.User(zimtest.AppID, "alice")
			for i := 0; i < many && err == nil; i++ {
				var u *store.User
				var c *store.Conversation
				if u, err = tx.Register(zimtest.AppID, fmt.Sprint("user", i), ""); err != nil {
					break
				}
				if c, err = tx.PeerConversation(self, u); err == nil {
					_, _, err = tx.AppendMessage(c, &store.Message{Sender: u, ClientID: instanceOf("x"), Hash: []byte{}, Type: 1, Content: []byte{}, Flags: store.FlagCounts})
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		alice.ok(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_ClearUnread{ClearUnread: true}})
		alice.ok(&wire.DeleteMessagesRequest{})
		alice.ok(&wire.ChangeConversationsRequest{Change: &wire.ChangeConversationsRequest_Delete{Delete: true}})
		named, deleted := 0, 0
		for _, e := range h.events(t, "alice") {
			w := new(wire.Event)
			if err := proto.Unmarshal(e.Data, w); err != nil {
				t.Fatal(err)
			}
			if n := len(w.Conversations); n > 1000 {
				t.Errorf("an event names %d conversations", n)
			}
			named += len(w.Conversations)
			deleted += int(w.ConversationsDeleted.GetCount())
		}
		if named != 3*many || deleted != many {
			t.Errorf("%d conversations are named, %d deleted", named, deleted)
		}
	})
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What one does to a message of a large group holds up nobody for much longer than the message did, whatever has happened to the
// message before.
func TestNegativeFanOut(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		alice := h.login(t, "alice")
		members := h.crowd(t, alice, 200)
		alice.ok(textToGroup(0, "one"))
		err := h.store.Update(func(tx *store.Tx) error {
			c, err := tx.FindConversation(zimtest.AppID, 2, "", "g")
			for _, id := range members {
				u, _ := tx.User(zimtest.AppID, id)
				if err == nil {
					err = tx.React(c.Place(1), u.ID, "+1", 1, 1)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		meter := func(req any) time.Duration {
			start := cpu()
			alice.ok(req)
			return cpu() - start
		}
		var send, react, edit time.Duration
		for n := range 100 {
			m := textToGroup(1+n, "reply")
			m.ReplyTo = 1
			alice.ok(m)
		}
		for n := range 5 {
			send += meter(textToGroup(1000+n, "plain"))
			react += meter(&wire.ReactRequest{Message: messageRef(groupRef(), 1), Type: fmt.Sprint(n)})
			edit += meter(&wire.EditMessageRequest{Message: messageRef(groupRef(), 1), Type: 1, Content: textTo("", 0, "edited").Content})
		}
		t.Logf("5 messages take %v, reactions %v, edits %v", send, react, edit)
		if react > 20*send || edit > 50*send {
			t.Errorf("5 messages take %v, reactions %v, edits %v", send, react, edit)
		}
	})
}

// crowd makes the group g of one who is there and others who are not.
func (h *host) crowd(t *testing.T, owner *rawConn, n int) (members []string) {
	t.Helper()
	for i := range n {
		members = append(members, fmt.Sprint("member", i))
	}
	h.srv.Register(members...)
	owner.ok(&wire.CreateGroupRequest{Group: &wire.GroupInfo{GroupId: "g"}, UserIds: members[:100]})
	for i := 100; i < n; i += 100 {
		owner.ok(&wire.GroupUsersRequest{GroupId: "g", Action: wire.GroupUsersRequest_ACTION_INVITE, UserIds: members[i:min(i+100, n)]})
	}
	return members
}

// Who tells many of each change may make fewer of them.
func TestNegativeFanOutRate(t *testing.T) {
	hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
		alice := h.login(t, "alice")
		h.crowd(t, alice, 200)
		alice.ok(textToGroup(0, "one"))
		time.Sleep(time.Minute)
		alice = h.login(t, "alice")
		n := 0
		for ; n < 200; n++ {
			if resp := alice.call(&wire.ReactRequest{Message: messageRef(groupRef(), 1), Type: "+1", Increase: 1}); resp.GetError() != nil {
				if resp.Error.Code != 6000005 || resp.Error.RetryAfterMs == 0 {
					t.Errorf("got %v", resp)
				}
				break
			}
		}
		if n < 50 || n > 100 {
			t.Errorf("after %d reactions, it was too much", n)
		}
		// Another connection, or another run, does not help. Time does.
		another := loginRequest(h.srv, "alice")
		another.InstanceId, another.DeviceId = instanceOf("another"), "another"
		alice = h.dial(t)
		alice.ok(another)
		alice.wantRefused(&wire.ReactRequest{Message: messageRef(groupRef(), 1), Type: "+1", Increase: 1}, 6000005)
		time.Sleep(time.Second)
		alice.ok(&wire.ReactRequest{Message: messageRef(groupRef(), 1), Type: "+1", Increase: 1})
	})
}

// Who logs in while something happens is told of it at once.
func TestNegativeToldWhileEntering(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		h.stored = 2
		alice := h.login(t, "alice")
		alice.ok(textTo("bob", 0, "one"))
		bob := h.dial(t)
		release := h.hold(t)
		entering := bob.request(loginRequest(h.srv, "bob"))
		bob.send(delimited(entering))
		synctest.Wait()
		edit := alice.request(&wire.EditMessageRequest{Message: messageRef(peerRef("bob"), 1), Type: 1, Content: textTo("", 0, "two").Content})
		alice.send(delimited(edit))
		synctest.Wait()
		release()
		if resp := bob.answer(entering.Id); resp.GetLogin().GetLast().GetSeq() != 1 {
			t.Errorf("got %v", resp)
		}
		if f := bob.next(); len(f.GetPush().GetEvents().GetEvents()) != 1 || f.Push.Events.Events[0].Edited == nil || f.Push.Events.FirstSeq != 2 {
			t.Errorf("got %v", f)
		}
	})
}

// A message counts for more if it combines many: each is copied.
func TestNegativeCombineRate(t *testing.T) {
	hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
		alice := h.login(t, "alice")
		h.srv.Register("erin")
		alice.ok(textTo("erin", 0, "one"))
		c := &wire.CombineContent{Title: "t", Summary: "s"}
		for range 100 {
			c.Messages = append(c.Messages, messageRef(peerRef("erin"), 1))
		}
		n := 0
		for ; n < 310; n++ {
			m := textTo("erin", 1+n, "")
			m.Type = 100
			m.Content, _ = proto.Marshal(c)
			if resp := alice.call(m); resp.GetError() != nil {
				if resp.Error.Code != 6000005 {
					t.Errorf("got %v", resp)
				}
				break
			}
		}
		if n != 309/11 {
			t.Errorf("after %d messages, it was too much", n)
		}
	})
}

// What was stored is answered as such when it is sent again, even if it could not be sent any more.
func TestNegativeStoredBefore(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		alice, erin := h.login(t, "alice"), h.login(t, "erin")
		alice.ok(&wire.CreateGroupRequest{Group: &wire.GroupInfo{GroupId: "g"}, UserIds: []string{"erin"}})
		alice.ok(textToGroup(0, "one"))
		reply := textToGroup(1, "reply")
		reply.ReplyTo = 1
		stored := erin.ok(reply).GetSendMessage()
		alice.ok(&wire.RevokeMessageRequest{Message: messageRef(groupRef(), 1)})
		if again := erin.ok(reply).GetSendMessage(); again.MessageId != stored.MessageId || again.MessageSeq != 2 {
			t.Errorf("got %v, want %v", again, stored)
		}
		alice.ok(&wire.GroupUsersRequest{GroupId: "g", Action: wire.GroupUsersRequest_ACTION_KICK, UserIds: []string{"erin"}})
		if again := erin.ok(reply).GetSendMessage(); again.MessageId != stored.MessageId || again.MessageSeq != 2 {
			t.Errorf("got %v, want %v", again, stored)
		}
		other := textToGroup(1, "other")
		erin.wantRefused(other, -4)
		erin.wantRefused(textToGroup(2, "new"), 6000521)
	})
}

// Which run of a client did something is for its user alone: another one that claims to be it would be taken for the user's own.
func TestNegativeOrigin(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		alice, erin := h.login(t, "alice"), h.login(t, "erin")
		alice.ok(&wire.CreateGroupRequest{Group: &wire.GroupInfo{GroupId: "g"}, UserIds: []string{"erin"}})
		alice.ok(textToGroup(0, "one"))
		alice.ok(&wire.EditMessageRequest{Message: messageRef(groupRef(), 1), Type: 1, Content: textTo("", 0, "two").Content})
		alice.ok(&wire.PinMessageRequest{Message: messageRef(groupRef(), 1), Pin: true})
		for user, want := range map[*rawConn]int{alice: 3, erin: 0} {
			user.ok(&wire.HeartbeatRequest{})
			n := 0
			events := user.ok(&wire.SyncRequest{After: &wire.Position{Epoch: h.store.Epoch()}}).GetSync().GetEvents()
			for _, e := range events.GetEvents() {
				if len(e.Origin) > 0 {
					n++
				}
			}
			for _, p := range user.pushes {
				for _, e := range p.Events.GetEvents() {
					if len(e.Origin) > 0 && want == 0 {
						t.Errorf("pushed %v", e)
					}
				}
			}
			if n != want || len(events.GetEvents()) < 3 {
				t.Errorf("%d of the events %v have an origin, want %d", n, events, want)
			}
		}
	})
}
