package e2e_test

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

var (
	ofPeer  = zim.Peer("bob") // for alice
	ofGroup = zim.Group("g")
)

// grouped logs users in, each on one device, and has the first one make the group g of them.
func grouped(t *testing.T, srv *zimtest.Server, dialer transport.Dialer, userIDs ...string) []*user {
	t.Helper()
	var list []*user
	for _, id := range userIDs {
		list = append(list, device(t, srv, dialer, id, "one"))
	}
	_, err := list[0].CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g", GroupName: "G"}, userIDs[1:], nil)
	list[0].must(err)
	quiet(list...)
	return list
}

// quiet has users forget what they saw.
func quiet(list ...*user) {
	for _, u := range list {
		u.since()
	}
}

// reply replies to a message that the user has seen.
func (u *user) reply(to, text string) *zim.Message {
	u.t.Helper()
	m, err := u.ReplyMessage(u.t.Context(), &zim.TextMessage{Message: text}, u.message(to), nil)
	u.must(err)
	return m
}

// edit has a message of the user's say something else.
func (u *user) edit(m *zim.Message, text string) *zim.Message {
	u.t.Helper()
	m, err := u.EditMessage(u.t.Context(), m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: text}})
	u.must(err)
	return m
}

func (u *user) revoke(m *zim.Message) *zim.Message {
	u.t.Helper()
	m, err := u.RevokeMessage(u.t.Context(), m, nil)
	u.must(err)
	return m
}

// history returns what the messages of a conversation say, as the user sees them.
func (u *user) history(c zim.ConversationRef) []string {
	u.t.Helper()
	return say(all(u.t, u.HistoryMessages(u.t.Context(), c, zim.MessageOrderAscending)))
}

func say(list []*zim.Message) (texts []string) {
	for _, m := range list {
		texts = append(texts, says(m.Content))
	}
	return texts
}

// all returns what an iterator yields.
func all[T any](t *testing.T, seq iter.Seq2[T, error]) (list []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func wantList[T any](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// numbers returns "0" to the one before n.
func numbers(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(i))
	}
	return list
}

// tree says what a user sees of the tree that a message is in: the root, how many replies, and those of a page.
func (u *user) tree(m *zim.Message, config zim.MessageRepliedListQueryConfig) (string, int64) {
	u.t.Helper()
	page, err := u.QueryMessageRepliedList(u.t.Context(), m, config)
	u.must(err)
	r := page.RootRepliedInfo
	s := fmt.Sprintf("%v %s %d", r.State, r.SenderUserID, r.RepliedCount)
	if r.Message != nil {
		s += " " + says(r.Message.Content)
	}
	return s + ": " + strings.Join(say(page.MessageList), " "), page.NextFlag
}

func (u *user) wantTree(what string, m *zim.Message, want string) {
	u.t.Helper()
	if got, next := u.tree(m, zim.MessageRepliedListQueryConfig{}); got != want || next != 0 {
		u.t.Errorf("%s: got %q and the next page %d, want %q", what, got, next, want)
	}
}

func TestReplies(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		root := a.send(ofPeer, "root", nil)
		first := b.reply("root", "first")
		second := a.reply("first", "second")
		b.reply("second", "third")
		quoted := b.message("third").RepliedInfo
		if quoted.MessageID != second.ID || quoted.MessageSeq != 3 || quoted.SenderUserID != "alice" || quoted.State != zim.MessageRepliedInfoStateNormal ||
			!quoted.SentTime.Equal(second.Time) || says(quoted.MessageInfo) != "second" {
			t.Errorf("the third reply quotes %+v", quoted)
		}
		if first.RepliedInfo.MessageID != root.ID {
			t.Errorf("the first reply quotes %+v", first.RepliedInfo)
		}
		for _, u := range []*user{a, a2, b} {
			for _, text := range []string{"root", "first", "second", "third"} {
				u.wantTree("of "+text, u.message(text), "Normal alice 3 root: first second third")
			}
			list, err := u.QueryMessages(t.Context(), a.message("root").Conversation, []int64{1})
			if u == b {
				list, err = u.QueryMessages(t.Context(), zim.Peer("alice"), []int64{1, 2})
			}
			u.must(err)
			if list[0].RootRepliedCount != 3 || len(list) > 1 && list[1].RootRepliedCount != 0 {
				t.Errorf("got %+v, want 3 replies of the root, and of no other message", list[0])
			}
		}

		// What is revoked is out of the tree. What is deleted is in it, for the others, and counts for all.
		quiet(a, a2, b)
		b.revoke(first)
		a.saw("revoke of a reply", "revoked (revoked first)", "replied info second quotes (revoked first) Normal", "replied count 2", "conversation Updated bob 1 third", "total 1")
		b.saw("revoke of a reply", "replied info second quotes (revoked first) Normal", "replied count 2", "conversation Updated alice 2 third")
		a.wantTree("after a revoke", root, "Normal alice 2 root: second third")
		a.must(a.DeleteMessages(t.Context(), ofPeer, []*zim.Message{second}, nil))
		a.wantTree("after a delete", root, "Normal alice 2 root: third")
		b.wantTree("after alice's delete", b.message("root"), "Normal alice 2 root: second third")

		// The root is deleted, and revoked.
		b.must(b.DeleteMessages(t.Context(), zim.Peer("alice"), []*zim.Message{b.message("root")}, nil))
		b.wantTree("after the root's delete", b.message("third"), "Deleted alice 2: second third")
		b.must(b.DeleteMessages(t.Context(), zim.Peer("alice"), []*zim.Message{b.message("second")}, nil))
		if m := b.newest(zim.Peer("alice")); m.RepliedInfo.State != zim.MessageRepliedInfoStateDeleted || says(m.RepliedInfo.MessageInfo) != "second" {
			t.Errorf("the third reply quotes %+v", m.RepliedInfo)
		}
		a.revoke(root)
		a.wantTree("after the root's revoke", a.message("third"), "Normal alice 2 (revoked root): third")
	})
}

// newest returns the last message of a conversation.
func (u *user) newest(c zim.ConversationRef) *zim.Message {
	u.t.Helper()
	list, err := u.QueryHistoryMessage(u.t.Context(), c, zim.MessageQueryConfig{Count: 1, Reverse: true})
	if u.must(err); len(list) != 1 {
		u.t.Fatalf("got %d messages, want 1", len(list))
	}
	return list[0]
}

func TestRepliesPages(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a, b := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		a.send(ofPeer, "root", nil)
		for _, s := range numbers(120) {
			b.reply("root", s)
		}
		root := a.message("root")
		wantList(t, "all replies", say(all(t, a.MessageReplies(t.Context(), root))), numbers(120)...)
		page, next := a.tree(root, zim.MessageRepliedListQueryConfig{Count: 3})
		if page != "Normal alice 120 root: 0 1 2" || next == 0 {
			t.Errorf("got %q and %d", page, next)
		}
		if page, next = a.tree(root, zim.MessageRepliedListQueryConfig{Count: 2, NextFlag: next}); page != "Normal alice 120 root: 3 4" || next == 0 {
			t.Errorf("got %q and %d", page, next)
		}
		list, err := a.QueryMessageRepliedList(t.Context(), root, zim.MessageRepliedListQueryConfig{})
		if a.must(err); len(list.MessageList) != 30 {
			t.Errorf("a page has %d messages, want 30", len(list.MessageList))
		}
		for _, next := range []int64{121, 1000, 1 << 32, 1<<63 - 1} {
			if page, next := a.tree(root, zim.MessageRepliedListQueryConfig{NextFlag: next}); page != "Normal alice 120 root: " || next != 0 {
				t.Errorf("behind the end: got %q and %d", page, next)
			}
		}
		// However many quote it, nobody reads any more what was revoked.
		a.revoke(root)
		for _, m := range all(t, b.MessageReplies(t.Context(), b.message("0"))) {
			if got := says(m.RepliedInfo.MessageInfo); got != "(revoked root)" {
				t.Fatalf("%s quotes %q", says(m.Content), got)
			}
		}
		if slices.Contains(b.history(zim.Peer("alice")), "root") {
			t.Error("the root is still there")
		}
	})
}

// Whoever comes later sees replies, but not what was said before.
func TestRepliesOfNewcomer(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		list := grouped(t, srv, dialer, "alice", "bob")
		a, b, c := list[0], list[1], device(t, srv, dialer, "carol", "one")
		a.send(ofGroup, "root", nil)
		b.reply("root", "early")
		_, err := c.JoinGroup(t.Context(), "g")
		c.must(err)
		b.reply("root", "late")
		a.reply("late", "last")
		c.wantTree("carol", c.message("late"), "NotFound  0: late last")
		if info := c.message("late").RepliedInfo; info.State != zim.MessageRepliedInfoStateNotFound {
			t.Errorf("the late reply quotes %+v", info)
		}
		if info := c.message("last").RepliedInfo; info.State != zim.MessageRepliedInfoStateNormal {
			t.Errorf("the last reply quotes %+v", info)
		}
		quiet(a, b, c)
		a.edit(a.message("root"), "ROOT")
		b.saw("edit", "edited ROOT", "replied info early quotes ROOT Normal, late quotes ROOT Normal", "conversation Updated g 2 last")
		c.saw("edit", "replied info late quotes ROOT NotFound", "conversation Updated g 2 last")
	})
}

// All that was there is deleted for alice: what quotes it says so, also what comes later.
func TestRepliesToCleared(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		b.send(zim.Peer("alice"), "root", nil)
		a.must(a.DeleteAllMessage(t.Context(), ofPeer, nil))
		b.reply("root", "late")
		if info := a.message("late").RepliedInfo; info.State != zim.MessageRepliedInfoStateDeleted {
			t.Errorf("the reply quotes %+v", info)
		}
		a.wantTree("alice", a.message("late"), "Deleted bob 1: late")
	})
}

// A reply that is sent again is the same one, also after it was revoked.
func TestReplyAgain(t *testing.T) {
	hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
		h.stored = 3
		c := h.login(t, "alice")
		c.call(textTo("bob", 0, "root"))
		reply := textTo("bob", 1, "reply")
		reply.ReplyTo = 1
		first := c.call(reply).GetSendMessage()
		if again := c.call(reply).GetSendMessage(); first.GetRepliedInfo().GetMessageSeq() != 1 || !proto.Equal(again, first) {
			t.Errorf("got %v and then %v", first, again)
		}
		if resp := c.call(&wire.RevokeMessageRequest{Message: messageRef(peerRef("bob"), 2)}); resp.GetMessage().GetType() != 31 {
			t.Errorf("got %v", resp)
		}
		if again := c.call(reply).GetSendMessage(); again.GetMessageId() != first.GetMessageId() || again.GetRepliedInfo() != nil {
			t.Errorf("after it was revoked: got %v", again)
		}
	})
}
