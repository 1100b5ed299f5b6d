package e2e_test

import (
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

func TestEdit(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		sent := a.send(ofPeer, "one", &zim.MessageSendConfig{ExtendedData: "x", HasReceipt: true})
		a.send(ofPeer, "two", nil)
		for _, z := range []*zim.ZIM{a.ZIM, a2.ZIM} {
			a.must(z.RenewToken(t.Context(), srv.TokenFor("alice", 48*time.Hour)))
		}
		b.must(b.RenewToken(t.Context(), srv.TokenFor("bob", 48*time.Hour)))
		quiet(a, a2, b)
		time.Sleep(24 * time.Hour)
		edited, err := a.EditMessage(t.Context(), sent, zim.MessageEditConfig{Content: &zim.TextMessage{Message: "ONE"}, ExtendedData: "y"})
		a.must(err)
		a.saw("edit", "conversation Updated bob 0 two")
		a2.saw("edit", "edited ONE sent", "conversation Updated bob 0 two")
		b.saw("edit", "edited ONE", "conversation Updated alice 2 two")
		for name, m := range map[string]*zim.Message{"the editor": edited, "the editor's other device": a2.message("ONE"), "the receiver": b.message("ONE")} {
			if m.ID != sent.ID || m.Seq != sent.Seq || m.OrderKey != sent.OrderKey || !m.Time.Equal(sent.Time) || m.ExtendedData != "y" ||
				m.EditorUserID != "alice" || !m.EditedTime.Equal(sent.Time.Add(24*time.Hour)) || m.ReceiptStatus != zim.MessageReceiptStatusProcessing {
				t.Errorf("%s has %+v", name, m)
			}
		}
		wantList(t, "history", b.history(zim.Peer("alice")), "ONE", "two")
		time.Sleep(time.Second)
		_, err = a.EditMessage(t.Context(), sent, zim.MessageEditConfig{Content: &zim.TextMessage{Message: "late"}})
		wantCode(t, "an edit after 24 hours and a second", err, zim.ErrMessageMessageExceedsEditTime)
	})
}

func TestEditKinds(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		for name, test := range map[string]struct{ before, after zim.Content }{
			"custom": {&zim.CustomMessage{Message: "x", SubType: 1}, &zim.CustomMessage{Message: "y", SubType: 2, SearchedContent: "z"}},
			"multiple": {
				&zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.TextMessage{Message: "x"}}},
				&zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.TextMessage{Message: "y"}, &zim.CustomMessage{Message: "z", SubType: 3}}},
			},
		} {
			m, err := a.SendMessage(t.Context(), test.before, ofPeer, nil)
			a.must(err)
			_, err = a.EditMessage(t.Context(), m, zim.MessageEditConfig{Content: test.after})
			a.must(err)
			got := b.newest(zim.Peer("alice")).Content
			want := []zim.Content{test.after}
			if list, ok := got.(*zim.MultipleMessage); ok {
				wantList(t, name, kinds(list.MessageInfoList), kinds(test.after.(*zim.MultipleMessage).MessageInfoList)...)
			} else if c := got.(*zim.CustomMessage); *c != *want[0].(*zim.CustomMessage) {
				t.Errorf("%s: got %+v", name, c)
			}
		}
	})
}

func kinds(list []zim.Content) (kinds []zim.MessageType) {
	for _, c := range list {
		kinds = append(kinds, c.Type())
	}
	return kinds
}

// mentions returns who mentions the user in a conversation.
func (u *user) mentions(c zim.ConversationRef) (list []string) {
	u.t.Helper()
	v, err := u.QueryConversation(u.t.Context(), c)
	u.must(err)
	for _, m := range v.MentionedInfoList {
		list = append(list, m.FromUserID+" "+m.Type.String())
	}
	return list
}

func TestMentions(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		list := grouped(t, srv, dialer, "alice", "bob", "carol")
		a, b, c := list[0], list[1], list[2]
		srv.Register("dave")
		const me, everybody, both = "alice MentionMe", "alice MentionAll", "alice MentionAllAndMe"
		want := func(what string, ofBob, ofCarol []string) {
			t.Helper()
			wantList(t, what+": bob", b.mentions(ofGroup), ofBob...)
			wantList(t, what+": carol", c.mentions(ofGroup), ofCarol...)
			wantList(t, what+": alice", a.mentions(ofGroup))
		}
		a.send(ofGroup, "0", &zim.MessageSendConfig{MentionedUserIDs: []string{"bob", "bob", "dave", "nobody"}})
		a.send(ofGroup, "1", &zim.MessageSendConfig{IsMentionAll: true})
		a.send(ofGroup, "2", &zim.MessageSendConfig{MentionedUserIDs: []string{"bob", "alice"}, IsMentionAll: true, DisableUnreadMessageCount: true})
		want("three messages", []string{me, everybody, both}, []string{everybody, everybody})
		if m := b.message("0"); len(m.MentionedUserIDs) != 3 || b.message("1").IsMentionAll != true {
			t.Errorf("got %+v", m)
		}

		// An edit says anew who is mentioned.
		_, err := a.EditMessage(t.Context(), a.message("0"), zim.MessageEditConfig{Content: &zim.TextMessage{Message: "0"}, MentionedUserIDs: []string{"carol"}})
		a.must(err)
		a.edit(a.message("1"), "1")
		want("an edit", []string{both}, []string{me, everybody})
		if m := b.message("0"); len(m.MentionedUserIDs) != 1 || m.MentionedUserIDs[0] != "carol" {
			t.Errorf("got %+v", m)
		}

		// What is revoked or deleted mentions nobody, and what was read neither.
		c.must(c.DeleteMessages(t.Context(), ofGroup, []*zim.Message{c.message("2")}, nil))
		want("a delete", []string{both}, []string{me})
		quiet(b, c)
		a.revoke(a.message("2"))
		b.saw("revoke", "revoked (revoked 2)", "conversation Updated g 2 (revoked 2)")
		want("a revoke", nil, []string{me})
		c.must(c.ClearConversationUnreadMessageCount(t.Context(), ofGroup))
		want("clearing", nil, nil)
		a.send(ofGroup, "3", &zim.MessageSendConfig{IsMentionAll: true})
		want("another message", []string{everybody}, []string{everybody})
		b.must(b.ClearConversationTotalUnreadMessageCount(t.Context()))
		c.must(c.DeleteAllMessage(t.Context(), ofGroup, nil))
		want("clearing all", nil, nil)

		// In a conversation of two, too; and nobody else has got anything.
		a.send(ofPeer, "4", &zim.MessageSendConfig{MentionedUserIDs: []string{"bob", "carol"}})
		wantList(t, "bob", b.mentions(zim.Peer("alice")), me)
		if _, err := c.QueryConversation(t.Context(), zim.Peer("alice")); zim.CodeOf(err) != zim.ErrConversationConversationDoesNotExist {
			t.Errorf("carol has a conversation: %v", err)
		}
	})
}

func TestRevoke(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		a.send(ofPeer, "one", &zim.MessageSendConfig{ExtendedData: "x", HasReceipt: true, IsMentionAll: true})
		m := a.message("one")
		a.must(a.PinMessage(t.Context(), m, true, nil))
		_, err := b.AddMessageReaction(t.Context(), "+1", b.message("one"), nil)
		b.must(err)
		quiet(a, a2, b)
		time.Sleep(2 * time.Minute)
		got, err := a.RevokeMessage(t.Context(), m, &zim.MessageRevokeConfig{RevokeExtendedData: "sorry"})
		a.must(err)
		for name, got := range map[string]*zim.Message{"alice": got, "alice's other device": a2.message("(revoked one)"), "bob": b.message("(revoked one)")} {
			r, ok := got.Content.(*zim.RevokeMessage)
			if !ok || got.ID != m.ID || got.Seq != m.Seq || got.OrderKey != m.OrderKey || !got.Time.Equal(m.Time) || got.ExtendedData != "" ||
				got.ReceiptStatus != zim.MessageReceiptStatusNone || len(got.Reactions) > 0 || got.IsMentionAll {
				t.Errorf("%s has %+v", name, got)
			} else if *r != (zim.RevokeMessage{
				RevokeTime: m.Time.Add(2 * time.Minute), OperatedUserID: "alice", OriginalMessageType: zim.MessageTypeText,
				OriginalTextMessageContent: "one", RevokeExtendedData: "sorry",
			}) {
				t.Errorf("%s has %+v", name, r)
			}
		}
		b.saw("revoke", "revoked (revoked one)", "pins NotPinned (revoked one)", "conversation Updated alice 0 (revoked one)", "total 0")
		a.saw("revoke", "pins NotPinned (revoked one)", "conversation Updated bob 0 (revoked one)")
		wantList(t, "history", b.history(zim.Peer("alice")), "(revoked one)")
		users, err := b.QueryMessageReactionUserList(t.Context(), b.message("(revoked one)"), zim.MessageReactionUserQueryConfig{})
		if err == nil && users.TotalCount != 0 {
			t.Errorf("there are reactions to what was revoked: %+v", users)
		}
		pins, err := b.QueryPinnedMessageList(t.Context(), zim.Peer("alice"))
		if b.must(err); len(pins) > 0 {
			t.Errorf("a revoked message is pinned: %+v", pins[0])
		}
		a.saw("afterwards")

		// It is no message any more of which there could be more.
		m = b.message("(revoked one)")
		_, err = a.RevokeMessage(t.Context(), m2(m, ofPeer), nil)
		wantCode(t, "revoked twice", err, zim.ErrMessageMessageHasBeenRevoked)
		_, err = a.EditMessage(t.Context(), a.texts["one"], zim.MessageEditConfig{Content: &zim.TextMessage{Message: "x"}})
		wantCode(t, "an edit", err, zim.ErrMessageEditMessageFailed)
		_, err = b.ReplyMessage(t.Context(), &zim.TextMessage{Message: "x"}, m, nil)
		wantCode(t, "a reply", err, zim.ErrCommonParamsInvalid)
		_, err = b.AddMessageReaction(t.Context(), "+1", m, nil)
		wantCode(t, "a reaction", err, zim.ErrCommonParamsInvalid)
		wantCode(t, "a pin", b.PinMessage(t.Context(), m, true, nil), zim.ErrCommonParamsInvalid)
		_, err = b.SendMessageReceiptsRead(t.Context(), zim.Peer("alice"), []*zim.Message{m})
		wantCode(t, "a receipt", err, zim.ErrMessageReceiptReadError)
		_, err = b.SendMessage(t.Context(), &zim.CombineMessage{Title: "x", Summary: "x", MessageList: []*zim.Message{b.texts["one"]}}, zim.Peer("alice"), nil)
		wantCode(t, "a combination", err, zim.ErrCommonParamsInvalid)
		quiet(b)
		a.saw("what was refused")
	})
}

// m2 is a message as the one at the other end of its conversation has it.
func m2(m *zim.Message, c zim.ConversationRef) *zim.Message {
	other := *m
	other.Conversation = c
	return &other
}

func TestRevokeInGroup(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		list := grouped(t, srv, dialer, "owner", "bob", "carol")
		o, b, c := list[0], list[1], list[2]
		o.send(ofGroup, "of owner", nil)
		b.send(ofGroup, "of bob", nil)
		c.send(ofGroup, "of carol", nil)
		for _, m := range []string{"of owner", "of carol"} {
			_, err := b.RevokeMessage(t.Context(), b.message(m), nil)
			wantCode(t, m, err, zim.ErrGroupGroupNoCorrespondingOperationAuthority)
		}
		quiet(list...)
		got := o.revoke(o.message("of bob")).Content.(*zim.RevokeMessage)
		if got.RevokeStatus != zim.MessageRevokeStatusGroupOwnerRevoke || got.OperatedUserID != "owner" {
			t.Errorf("got %+v", got)
		}
		b.saw("the owner revokes", "revoked (revoked of bob) sent", "conversation Updated g 2 of carol")
		c.saw("the owner revokes", "revoked (revoked of bob)", "conversation Updated g 1 of carol", "total 1")
		if got := o.revoke(o.message("of owner")).Content.(*zim.RevokeMessage); got.RevokeStatus != zim.MessageRevokeStatusSelfRevoke {
			t.Errorf("got %+v", got)
		}
		b.saw("the owner revokes his own", "revoked (revoked of owner)", "conversation Updated g 1 of carol", "total 1")
		c.saw("the owner revokes his own", "revoked (revoked of owner)", "conversation Updated g 0 of carol", "total 0")
		// The owner revokes for those, too, who have left.
		c.must(c.LeaveGroup(t.Context(), "g"))
		o.revoke(o.message("of carol"))
		_, err := c.RevokeMessage(t.Context(), c.message("of carol"), nil)
		wantCode(t, "somebody who left", err, zim.ErrGroupUserIsNotInTheGroup)
	})
}
