package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

var asking = &zim.MessageSendConfig{HasReceipt: true}

// readers returns who has read a message of the user's, and who has not.
func (u *user) readers(m *zim.Message) (read, unread []string) {
	u.t.Helper()
	for _, list := range []struct {
		to    *[]string
		query func() ([]*zim.GroupMemberInfo, int64, error)
	}{
		{&read, func() ([]*zim.GroupMemberInfo, int64, error) {
			return u.QueryGroupMessageReceiptReadMemberList(u.t.Context(), m, zim.GroupMessageReceiptMemberQueryConfig{})
		}},
		{&unread, func() ([]*zim.GroupMemberInfo, int64, error) {
			return u.QueryGroupMessageReceiptUnreadMemberList(u.t.Context(), m, zim.GroupMessageReceiptMemberQueryConfig{})
		}},
	} {
		members, next, err := list.query()
		if u.must(err); next != 0 {
			u.t.Errorf("there is another page: %d", next)
		}
		for _, m := range members {
			*list.to = append(*list.to, m.UserID)
		}
	}
	return read, unread
}

// receipt says how far a message was read.
func (u *user) receipt(m *zim.Message) string {
	u.t.Helper()
	infos, failed, err := u.QueryMessageReceiptsInfo(u.t.Context(), m.Conversation, []*zim.Message{m})
	u.must(err)
	if len(failed) > 0 {
		return "none"
	}
	s := fmt.Sprintf("%v %d/%d", infos[0].Status, infos[0].ReadMemberCount, infos[0].ReadMemberCount+infos[0].UnreadMemberCount)
	if at := infos[0].ReadTime; !at.IsZero() {
		s += at.Sub(m.Time).String()
	}
	return s
}

func (u *user) read(c zim.ConversationRef, texts ...string) (failed []*zim.Message, err error) {
	u.t.Helper()
	var list []*zim.Message
	for _, s := range texts {
		list = append(list, u.message(s))
	}
	return u.SendMessageReceiptsRead(u.t.Context(), c, list)
}

func TestReceipts(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		ofAlice := zim.Peer("alice")
		asked := a.send(ofPeer, "asked", asking)
		plain := a.send(ofPeer, "plain", nil)
		b.send(ofAlice, "mine", asking)
		if asked.ReceiptStatus != zim.MessageReceiptStatusProcessing || plain.ReceiptStatus != zim.MessageReceiptStatusNone ||
			b.message("asked").ReceiptStatus != zim.MessageReceiptStatusProcessing || b.message("plain").ReceiptStatus != zim.MessageReceiptStatusNone {
			t.Errorf("got %+v and %+v", asked, plain)
		}
		for what, s := range map[string]string{a.receipt(asked): "Processing 0/1", b.receipt(b.message("asked")): "Processing 0/0", a.receipt(plain): "none"} {
			if what != s {
				t.Errorf("got %s, want %s", what, s)
			}
		}
		quiet(a, a2, b)
		for _, s := range []string{"plain", "mine"} {
			_, err := b.read(ofAlice, s)
			wantCode(t, s, err, zim.ErrMessageReceiptReadError)
		}
		a.saw("what has no receipt")
		time.Sleep(time.Second)
		failed, err := b.read(ofAlice, "plain", "asked", "mine", "asked")
		b.must(err)
		wantList(t, "failed", say(failed), "plain", "mine")
		a.saw("read", "receipt 1 Done 1/1 self=false", "conversation Updated bob 1 mine")
		a2.saw("read", "receipt 1 Done 1/1 self=false", "conversation Updated bob 1 mine")
		b.saw("read", "conversation Updated alice 2 mine") // its unread count is as it was
		if got := a.receipt(asked); got != "Done 1/11s" {
			t.Errorf("alice: got %s", got)
		}
		if got := b.receipt(b.message("asked")); got != "Done 0/01s" {
			t.Errorf("bob: got %s", got)
		}
		// Once is enough.
		if _, err := b.read(ofAlice, "asked"); err != nil {
			t.Error(err)
		}
		a.saw("read again")
		b.saw("read again")
		found, err := a.QueryMessages(t.Context(), ofPeer, []int64{1, 2})
		a.must(err)
		if found[0].ReceiptStatus != zim.MessageReceiptStatusDone || found[1].ReceiptStatus != zim.MessageReceiptStatusNone {
			t.Errorf("alice's history has %v and %v", found[0].ReceiptStatus, found[1].ReceiptStatus)
		}

		// All at once, also of a sender who is away, and whatever comes later is not read.
		a.send(ofPeer, "more", asking)
		a.must(a.Logout(t.Context(), nil))
		b.must(b.SendConversationMessageReceiptRead(t.Context(), ofAlice))
		b.must(b.SendConversationMessageReceiptRead(t.Context(), ofAlice))
		login(t, srv, a.ZIM, "alice")
		more := a.message("more")
		if got := a.receipt(more); got != "Done 1/1" {
			t.Errorf("alice: got %s", got)
		}
		if got := b.receipt(b.message("more")); got != "Done 0/0" {
			t.Errorf("bob: got %s", got)
		}
		if got := a.receipt(a.send(ofPeer, "late", asking)); got != "Processing 0/1" {
			t.Errorf("alice: got %s", got)
		}
		if v, err := b.QueryConversation(t.Context(), ofAlice); err != nil || v.UnreadMessageCount != 4 {
			t.Errorf("bob has %+v, %v: receipts change no counts", v, err)
		}
		_, err = b.QueryConversation(t.Context(), zim.Peer("carol"))
		wantCode(t, "no such conversation", err, zim.ErrConversationConversationDoesNotExist)
		wantCode(t, "no such conversation", b.SendConversationMessageReceiptRead(t.Context(), zim.Peer("carol")), zim.ErrConversationConversationDoesNotExist)
		wantCode(t, "a group", b.SendConversationMessageReceiptRead(t.Context(), ofGroup), zim.ErrCommonParamsInvalid)
	})
}

func TestGroupReceipts(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		list := grouped(t, srv, dialer, "alice", "bob", "carol", "dave")
		a, b, c, d := list[0], list[1], list[2], list[3]
		m := a.send(ofGroup, "one", asking)
		e := device(t, srv, dialer, "erin", "one")
		_, err := e.JoinGroup(t.Context(), "g") // too late to be asked
		e.must(err)
		want := func(receipt string, read, unread []string) {
			t.Helper()
			if got := a.receipt(m); got != receipt {
				t.Errorf("got %s, want %s", got, receipt)
			}
			gotRead, gotUnread := a.readers(m)
			wantList(t, "read", gotRead, read...)
			wantList(t, "unread", gotUnread, unread...)
		}
		want("Processing 0/3", nil, []string{"bob", "carol", "dave"})
		quiet(list...)
		_, err = c.read(ofGroup, "one")
		c.must(err)
		a.saw("carol has read it", "receipt 1 Processing 1/3 self=false", "conversation Updated g 0 one")
		b.saw("carol has read it")
		want("Processing 1/3", []string{"carol"}, []string{"bob", "dave"})
		_, err = d.read(ofGroup, "one")
		d.must(err)
		want("Processing 2/3", []string{"carol", "dave"}, []string{"bob"})
		// Who leaves counts no more, whether he has read it or not.
		d.must(d.LeaveGroup(t.Context(), "g"))
		want("Processing 1/2", []string{"carol"}, []string{"bob"})
		time.Sleep(time.Second)
		_, err = b.read(ofGroup, "one")
		b.must(err)
		want("Done 2/21s", []string{"bob", "carol"}, nil)
		if got := c.receipt(c.message("one")); got != "Done 0/00s" {
			t.Errorf("carol: got %s", got)
		}
		m = b.send(ofGroup, "two", asking)
		_, err = a.read(ofGroup, "two")
		a.must(err)
		c.must(c.LeaveGroup(t.Context(), "g"))
		if got := b.receipt(m); got != "Processing 1/2" { // erin was there
			t.Errorf("got %s", got)
		}
		// That is for the sender alone.
		_, _, err = a.QueryGroupMessageReceiptReadMemberList(t.Context(), a.message("two"), zim.GroupMessageReceiptMemberQueryConfig{})
		wantCode(t, "of another's message", err, zim.ErrCommonParamsInvalid)
		_, _, err = c.QueryGroupMessageReceiptReadMemberList(t.Context(), c.message("one"), zim.GroupMessageReceiptMemberQueryConfig{})
		wantCode(t, "of somebody who left", err, zim.ErrGroupUserIsNotInTheGroup)
	})
}

func TestReceiptMembersPages(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a := grouped(t, srv, dialer, "alice", "bob")[0]
		want := crowd(t, srv, a, 220)
		m := a.send(ofGroup, "one", asking)
		var got []string
		for next, pages := int64(0), 0; pages == 0 || next != 0; pages++ {
			members, n, err := a.QueryGroupMessageReceiptUnreadMemberList(t.Context(), m, zim.GroupMessageReceiptMemberQueryConfig{NextFlag: next})
			a.must(err)
			for _, m := range members {
				got = append(got, m.UserID)
			}
			if next = n; pages > 3 {
				t.Fatal("the pages don't end")
			}
		}
		wantList(t, "unread", got, append([]string{"bob"}, want...)...)
	})
}

// crowd brings n users into the group, 100 at a time, and returns them in their order.
func crowd(t *testing.T, srv *zimtest.Server, owner *user, n int) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, fmt.Sprintf("user%03d", i))
	}
	srv.Register(ids...)
	for i := 0; i < n; i += 100 {
		_, err := owner.InviteUsersIntoGroup(t.Context(), ids[i:min(i+100, n)], "g")
		owner.must(err)
		time.Sleep(time.Millisecond)
	}
	return ids
}
