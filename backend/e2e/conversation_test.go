package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// listed returns the IDs of conversations.
func listed(list []*zim.Conversation) (ids []string) {
	for _, c := range list {
		ids = append(ids, c.ConversationID)
	}
	return ids
}

// wantConversations checks the user's list, which a filter makes shorter.
func (u *user) wantConversations(what string, filter zim.ConversationFilterOption, want ...string) {
	u.t.Helper()
	wantList(u.t, what, listed(all(u.t, u.Conversations(u.t.Context(), filter))), want...)
}

func (u *user) wantTotal(what string, want int, types []zim.ConversationType, marks ...int) {
	u.t.Helper()
	got, err := u.QueryConversationTotalUnreadMessageCount(u.t.Context(), zim.ConversationTotalUnreadMessageCountQueryConfig{ConversationTypes: types, Marks: marks})
	if u.must(err); got != want {
		u.t.Errorf("%s: %d are unread, want %d", what, got, want)
	}
}

func TestConversationList(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		none := zim.ConversationFilterOption{}
		for _, s := range []string{"e", "d", "c", "b"} {
			srv.Register(s)
			a.send(zim.Peer(s), "to "+s, nil)
		}
		_, err := b.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g", GroupName: "G"}, []string{"alice"}, nil)
		b.must(err)
		a.wantConversations("a group in which nothing was said is none", none, "b", "c", "d", "e")
		b.send(ofGroup, "hello", nil)
		b.send(zim.Peer("alice"), "hello", nil)
		b.send(zim.Peer("alice"), "hello", nil)
		a.wantConversations("the newest first", none, "bob", "g", "b", "c", "d", "e")

		// Pinned ones come first, in the order of their messages, not of their pins.
		start := time.Now()
		for _, s := range []string{"b", "d", "c"} {
			a.must(a.UpdateConversationPinnedState(t.Context(), zim.Peer(s), true))
			a.must(a.UpdateConversationPinnedState(t.Context(), zim.Peer(s), true))
			time.Sleep(time.Second)
		}
		a.must(a.UpdateConversationPinnedState(t.Context(), zim.Peer("c"), false))
		quiet(a, a2, b)
		for _, u := range []*user{a, a2} {
			u.wantConversations("pinned first", none, "b", "d", "bob", "g", "c", "e")
			u.wantConversations("pinned", zim.ConversationFilterOption{PinnedFilter: zim.ConversationPinnedFilterOnlyPinned}, "b", "d")
			u.wantConversations("not pinned", zim.ConversationFilterOption{PinnedFilter: zim.ConversationPinnedFilterOnlyUnpinned}, "bob", "g", "c", "e")
			if c := u.chats["b"]; !c.IsPinned || !c.PinnedTime.Equal(start) {
				t.Errorf("got %+v", c)
			}
			if c := u.chats["c"]; c.IsPinned || !c.PinnedTime.IsZero() {
				t.Errorf("got %+v", c)
			}
		}
		pinned, err := a.QueryConversationPinnedList(t.Context(), zim.ConversationQueryConfig{Count: 1})
		a.must(err)
		wantList(t, "a page of pinned ones", listed(pinned), "b")
		pinned, err = a.QueryConversationPinnedList(t.Context(), zim.ConversationQueryConfig{NextConversation: pinned[0]})
		a.must(err)
		wantList(t, "the next page of pinned ones", listed(pinned), "d")

		// Marks, and other filters.
		for mark, refs := range map[int][]zim.ConversationRef{1: {zim.Peer("b"), ofGroup}, 60: {ofGroup, ofPeer}} {
			failed, err := a.SetConversationMark(t.Context(), mark, true, append(refs, zim.Peer("nobody")))
			a.must(err)
			wantList(t, "failed", failed, zim.Peer("nobody"))
		}
		_, err = a.SetConversationMark(t.Context(), 7, true, []zim.ConversationRef{zim.Peer("nobody")})
		wantCode(t, "marking nothing", err, zim.ErrConversationConversationDoesNotExist)
		marked := func(marks ...int) zim.ConversationFilterOption { return zim.ConversationFilterOption{Marks: marks} }
		a2.wantConversations("marked 1", marked(1), "b", "g")
		a2.wantConversations("marked 1 or 60", marked(1, 60), "b", "bob", "g")
		a2.wantConversations("marked", marked(-1), "b", "bob", "g")
		a2.wantConversations("not marked", marked(0), "d", "c", "e")
		a2.wantConversations("not marked, or 60", marked(0, 60), "d", "bob", "g", "c", "e")
		wantList(t, "marks", a2.conversation("g").Marks, 1, 60)
		a.wantConversations("unread", zim.ConversationFilterOption{IsOnlyUnreadConversation: true}, "bob", "g")
		groups := []zim.ConversationType{zim.ConversationTypeGroup}
		a.wantConversations("groups", zim.ConversationFilterOption{ConversationTypes: groups}, "g")
		a.wantTotal("all", 3, nil)
		a.wantTotal("groups", 1, groups)
		a.wantTotal("marked 60", 3, nil, 60)
		a.wantTotal("marked 1", 1, nil, 1)
		_, err = a.SetConversationMark(t.Context(), 60, false, []zim.ConversationRef{ofGroup})
		a.must(err)
		wantList(t, "marks", a2.conversation("g").Marks, 1)
	})
}

// conversation returns the last that the user has heard of a conversation.
func (u *user) conversation(id string) *zim.Conversation {
	u.since()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.chats[id]
}

// A muted conversation counts, but the total is as if it were not there.
func TestMute(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		b.send(zim.Peer("alice"), "one", nil)
		a.must(a.SetConversationNotificationStatus(t.Context(), ofPeer, zim.ConversationNotificationStatusDoNotDisturb))
		a.must(a.SetConversationNotificationStatus(t.Context(), ofPeer, zim.ConversationNotificationStatusDoNotDisturb))
		quiet(a, a2, b)
		b.send(zim.Peer("alice"), "two", nil)
		a.saw("a message", "peer message two", "conversation Updated bob 2 two")
		a2.saw("a message", "peer message two", "conversation Updated bob 2 two")
		a.wantTotal("muted", 0, nil)
		if c := a2.conversation("bob"); c.NotificationStatus != zim.ConversationNotificationStatusDoNotDisturb {
			t.Errorf("got %+v", c)
		}
		a2.must(a2.SetConversationNotificationStatus(t.Context(), ofPeer, zim.ConversationNotificationStatusNotify))
		a.saw("the voice is back", "conversation Updated bob 2 two", "total 2")
		a.wantTotal("with its voice", 2, nil)
		wantCode(t, "no status", a.SetConversationNotificationStatus(t.Context(), ofPeer, 3), zim.ErrCommonParamsInvalid)
		wantCode(t, "no conversation", a.SetConversationNotificationStatus(t.Context(), zim.Peer("carol"), zim.ConversationNotificationStatusNotify), zim.ErrConversationConversationDoesNotExist)
	})
}

// What is read, and what is unread.
func TestUnread(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		unread := func(what string, want int, seq int64) {
			t.Helper()
			c, err := a.QueryConversation(t.Context(), ofPeer)
			if a.must(err); c.UnreadMessageCount != want || c.ReadMessageSeq != seq {
				t.Errorf("%s: %d are unread behind %d, want %d behind %d", what, c.UnreadMessageCount, c.ReadMessageSeq, want, seq)
			}
			a.wantTotal(what, want, nil)
		}
		for _, s := range numbers(5) {
			b.send(zim.Peer("alice"), s, &zim.MessageSendConfig{DisableUnreadMessageCount: s == "0"})
		}
		a.send(ofPeer, "mine", nil)
		unread("four of five", 4, 0)
		b.revoke(b.message("1"))
		unread("one is revoked", 3, 0)
		a.must(a.DeleteMessages(t.Context(), ofPeer, []*zim.Message{a.message("0"), a.message("(revoked 1)"), a.message("2"), a.message("mine")}, nil))
		unread("one is deleted", 2, 0)
		b.revoke(b.message("2"))
		unread("the deleted one is revoked", 2, 0)
		b.edit(b.message("3"), "3!")
		unread("one is edited", 2, 0)
		a.must(a.ClearConversationUnreadMessageCount(t.Context(), ofPeer))
		unread("cleared", 0, 6)
		quiet(a, a2)
		a.must(a.ClearConversationUnreadMessageCount(t.Context(), ofPeer))
		a.must(a.ClearConversationTotalUnreadMessageCount(t.Context()))
		a2.saw("cleared again")
		b.revoke(b.message("4"))
		unread("what was read is revoked", 0, 6)
		b.send(zim.Peer("alice"), "new", nil)
		unread("a new one", 1, 6)
		a.must(a.DeleteMessages(t.Context(), ofPeer, []*zim.Message{a.message("3!")}, nil))
		unread("what was read is deleted", 1, 6)
		a.must(a.DeleteAllConversationMessages(t.Context(), nil))
		unread("all is deleted", 0, 7)
		b.revoke(b.message("new"))
		unread("and revoked", 0, 7)
		wantCode(t, "no conversation", a.ClearConversationUnreadMessageCount(t.Context(), zim.Peer("carol")), zim.ErrConversationConversationDoesNotExist)
	})
}

func TestDeleteConversation(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		b.send(zim.Peer("alice"), "one", nil)
		a.must(a.UpdateConversationPinnedState(t.Context(), ofPeer, true))
		a.must(a.DeleteConversation(t.Context(), ofPeer, nil))
		a2.wantConversations("deleted", zim.ConversationFilterOption{})
		a.wantTotal("deleted", 0, nil)
		for what, err := range map[string]error{
			"delete": a.DeleteConversation(t.Context(), ofPeer, nil), "pin": a.UpdateConversationPinnedState(t.Context(), ofPeer, false),
			"clear": a.ClearConversationUnreadMessageCount(t.Context(), ofPeer),
		} {
			wantCode(t, what, err, zim.ErrConversationConversationDoesNotExist)
		}
		wantList(t, "its messages stay", a.history(ofPeer), "one")
		quiet(a, a2, b)
		b.send(zim.Peer("alice"), "two", nil)
		for _, u := range []*user{a, a2} {
			u.saw("it comes back", "peer message two", "conversation Added bob 1 two", "total 1")
			if c := u.conversation("bob"); !c.IsPinned {
				t.Errorf("it is %+v", c)
			}
		}
		// Only this device.
		a.must(a.DeleteConversation(t.Context(), ofPeer, &zim.ConversationDeleteConfig{KeepServerConversation: true}))
		a.saw("this device", "conversation Deleted bob 1 two")
		a.must(a.DeleteAllConversations(t.Context(), &zim.ConversationDeleteConfig{KeepServerConversation: true}))
		a.saw("this device", "all conversations deleted 0")
		a2.saw("the other device")
		a2.wantConversations("the other device", zim.ConversationFilterOption{}, "bob")
		quiet(a, a2, b)
		a2.must(a2.DeleteAllConversations(t.Context(), nil))
		a.saw("all", "all conversations deleted 1", "total 0")
		a2.must(a2.DeleteAllConversations(t.Context(), nil))
		a.saw("all of none", "all conversations deleted 0")
	})
}

// A long list comes in pages, and each conversation once.
func TestConversationPages(t *testing.T) {
	few := func(a *backend.App) {
		several(a)
		a.Limits.PinnedConversations = 20
	}
	onEach(t, &zimtest.Options{App: few}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a := device(t, srv, dialer, "alice", "one")
		var want []string
		for n := range 250 {
			id := fmt.Sprintf("user%03d", n)
			srv.Register(id)
			a.send(zim.Peer(id), "x", nil)
			want = append([]string{id}, want...)
		}
		for n := range 20 {
			a.must(a.UpdateConversationPinnedState(t.Context(), zim.Peer(want[2*n]), true))
		}
		quiet(a)
		err := a.UpdateConversationPinnedState(t.Context(), zim.Peer(want[1]), true)
		wantCode(t, "one more pinned", err, zim.ErrConversationConversationPinnedListReachedLimit)
		a.saw("one more pinned")
		pinned := func(id string) bool { i := slices.Index(want, id); return i%2 == 0 && i < 40 }
		order := slices.Concat(slices.DeleteFunc(slices.Clone(want), func(id string) bool { return !pinned(id) }), slices.DeleteFunc(slices.Clone(want), pinned))
		a.wantConversations("all", zim.ConversationFilterOption{}, order...)
		for _, count := range []int{40, 99, 0, 10_000} {
			var got []string
			config := zim.ConversationQueryConfig{Count: count}
			for range 251 {
				page, err := a.QueryConversationList(t.Context(), config)
				if a.must(err); len(page) == 0 {
					break
				}
				if count == 0 && len(page) > 100 {
					t.Errorf("a page has %d", len(page))
				}
				got = append(got, listed(page)...)
				config.NextConversation = page[len(page)-1]
			}
			wantList(t, fmt.Sprint("pages of ", count), got, order...)
		}
	})
}
