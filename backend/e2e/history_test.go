package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

func TestHistory(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		const n = 250
		list := numbers(n)
		for i, s := range list {
			[]*user{a, b}[i%2].send([]zim.ConversationRef{ofPeer, zim.Peer("alice")}[i%2], s, nil)
		}
		a.must(a.DeleteMessages(t.Context(), ofPeer, []*zim.Message{a.message("0"), a.message("100"), a.message("249")}, nil))
		a.revoke(a.message("200"))
		want := slices.Clone(list)
		want[200] = "(revoked 200)"
		wantList(t, "bob", b.history(zim.Peer("alice")), want...)
		want = slices.DeleteFunc(want, func(s string) bool { return s == "0" || s == "100" || s == "249" })
		for _, u := range []*user{a, a2} {
			wantList(t, "alice", u.history(ofPeer), want...)
			down := say(all(t, u.HistoryMessages(t.Context(), ofPeer, zim.MessageOrderDescending)))
			slices.Reverse(down)
			wantList(t, "alice, backwards", down, want...)
		}
		for _, count := range []int{40, 99, 1000, 0} {
			for _, reverse := range []bool{false, true} {
				var got []string
				config := zim.MessageQueryConfig{Count: count, Reverse: reverse}
				for pages := 0; pages < n; pages++ {
					page, err := a.QueryHistoryMessage(t.Context(), ofPeer, config)
					a.must(err)
					if len(page) == 0 {
						break
					}
					if size := map[int]int{0: 30, 1000: 100}[count]; len(page) > max(count, 30) || size > 0 && pages == 0 && len(page) != size {
						t.Errorf("a page of %d has %d messages", count, len(page))
					}
					if config.NextMessage = page[len(page)-1]; reverse {
						config.NextMessage = page[0]
						got = append(say(page), got...)
					} else {
						got = append(got, say(page)...)
					}
				}
				wantList(t, fmt.Sprintf("pages of %d, reverse %v", count, reverse), got, want...)
			}
		}
		// Some by their numbers, in their order, as far as alice can see them.
		found, err := a.QueryMessages(t.Context(), ofPeer, []int64{201, 3, 1, 2, 3, 101, 251, 1 << 40, -1})
		a.must(err)
		wantList(t, "by number", say(found), "1", "2", "(revoked 200)")
		if m := found[2]; m.Sender != "alice" || m.Direction != zim.MessageDirectionSend || m.Seq != 201 {
			t.Errorf("got %+v", m)
		}
		// Of an unknown conversation there is nothing, and none is made.
		srv.Register("frank")
		for _, c := range []zim.ConversationRef{zim.Peer("frank"), zim.Peer("nobody"), zim.Room("r")} {
			wantList(t, "of "+c.ID, a.history(c))
		}
		a.must(a.DeleteAllMessage(t.Context(), ofPeer, nil))
		wantList(t, "after all was deleted", a.history(ofPeer))
		b.send(zim.Peer("alice"), "new", nil)
		wantList(t, "after all was deleted, and one came", a.history(ofPeer), "new")
	})
}

// What a user has deleted stays away, whatever becomes of it.
func TestDeletedStaysAway(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		for _, s := range []string{"edited", "revoked", "liked", "pinned", "quoted"} {
			b.send(zim.Peer("alice"), s, nil)
		}
		b.reply("quoted", "quoting")
		b.send(zim.Peer("alice"), "last", nil)
		var list []*zim.Message
		for _, s := range []string{"edited", "revoked", "liked", "pinned", "quoting"} {
			list = append(list, a.message(s))
		}
		a.must(a.DeleteMessages(t.Context(), ofPeer, list, nil))
		quiet(a, a2, b)
		b.edit(b.message("edited"), "EDITED")
		b.revoke(b.message("revoked"))
		_, err := b.AddMessageReaction(t.Context(), "+1", b.message("liked"), nil)
		b.must(err)
		b.must(b.PinMessage(t.Context(), b.message("pinned"), true, nil))
		b.edit(b.message("quoted"), "QUOTED")
		for _, u := range []*user{a, a2} {
			var told []string
			for _, s := range u.since() {
				if !strings.HasPrefix(s, "conversation Updated bob 2 last") {
					told = append(told, s)
				}
			}
			wantList(t, "alice was told", told, "edited QUOTED")
		}
		pins, err := a.QueryPinnedMessageList(t.Context(), ofPeer)
		a.must(err)
		wantList(t, "pins", say(pins))
		// Deleted again, or never there: nothing happens, and nobody is told.
		quiet(a, a2, b)
		a.must(a.DeleteMessages(t.Context(), ofPeer, list, nil))
		a2.saw("what was deleted before")
		b.saw("what was deleted before")
	})
}

// Only this device forgets what is deleted without the server.
func TestDeleteLocally(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		b.send(zim.Peer("alice"), "one", nil)
		quiet(a, a2, b)
		config := &zim.MessageDeleteConfig{KeepServerMessage: true}
		a.must(a.DeleteMessages(t.Context(), ofPeer, []*zim.Message{a.message("one")}, config))
		a.must(a.DeleteAllMessage(t.Context(), ofPeer, config))
		a.must(a.DeleteAllConversationMessages(t.Context(), config))
		a2.saw("nothing")
		b.saw("nothing")
		wantList(t, "history", a2.history(ofPeer), "one")
	})
}

func TestCombine(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		c := device(t, srv, srv.InProcess(), "carol", "one")
		for _, s := range []string{"one", "two", "three"} {
			b.send(zim.Peer("alice"), s, &zim.MessageSendConfig{ExtendedData: "x"})
		}
		combine := func(u *user, to zim.ConversationRef, title string, list ...*zim.Message) *zim.Message {
			t.Helper()
			m, err := u.SendMessage(t.Context(), &zim.CombineMessage{Title: title, Summary: "s", MessageList: list}, to, nil)
			u.must(err)
			return m
		}
		inner := combine(a, zim.Peer("carol"), "inner", a.message("two"), a.message("one"))
		outer := combine(a, zim.Peer("carol"), "outer", inner, a.message("three"))
		if got := outer.Content.(*zim.CombineMessage); got.CombineID == "" || len(got.MessageList) != 0 {
			t.Errorf("alice has sent %+v", got)
		}
		b.revoke(b.message("one")) // what was combined stays
		got := c.newest(zim.Peer("alice"))
		if m := got.Content.(*zim.CombineMessage); m.Title != "outer" || m.Summary != "s" || m.CombineID == "" || len(m.MessageList) != 0 {
			t.Errorf("carol got %+v", m)
		}
		open := func(u *user, m *zim.Message) []*zim.Message {
			t.Helper()
			full, err := u.QueryCombineMessageDetail(t.Context(), m)
			u.must(err)
			return full.Content.(*zim.CombineMessage).MessageList
		}
		list := open(c, got)
		wantList(t, "outer", say(list), "(Combine)", "three")
		if m := list[1]; m.Sender != "bob" || m.ExtendedData != "x" || m.ID != a.message("three").ID {
			t.Errorf("carol got %+v", m)
		}
		wantList(t, "inner", say(open(c, list[0])), "two", "one")
		stub := &zim.Message{Conversation: got.Conversation, Seq: got.Seq}
		wantList(t, "a stub", say(open(c, stub)), "(Combine)", "three")

		// It can be forwarded, to somebody who sees none of its parts.
		forwarded, err := c.SendMessage(t.Context(), got.Content, ofPeer, nil)
		c.must(err)
		a.must(a.DeleteAllConversationMessages(t.Context(), nil))
		wantList(t, "forwarded", say(open(b, m2(forwarded, zim.Peer("carol")))), "(Combine)", "three")

		// As many as there may be.
		var many []*zim.Message
		for _, s := range numbers(300) {
			many = append(many, a.send(ofPeer, s, nil))
		}
		combine(a, zim.Peer("carol"), "many", many...)
		wantList(t, "many", say(open(c, c.newest(zim.Peer("alice")))), numbers(300)...)
	})
}

// Who was offline, who comes later, and who left.
func TestHistoryOfGroup(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		list := grouped(t, srv, dialer, "alice", "bob", "carol")
		a, b, c := list[0], list[1], list[2]
		say := func(s string) {
			t.Helper()
			a.send(ofGroup, s, nil)
			synctest.Wait()
		}
		c.must(c.LeaveGroup(t.Context(), "g")) // before there is anything
		say("0")
		wantList(t, "carol, who left before", c.history(ofGroup))
		say("1")
		_, err := a.KickGroupMembers(t.Context(), []string{"bob"}, "g")
		a.must(err)
		say("2")
		_, err = c.JoinGroup(t.Context(), "g")
		c.must(err)
		say("3")
		wantList(t, "bob, who was kicked", b.history(ofGroup), "0", "1")
		wantList(t, "carol, who came again", c.history(ofGroup), "3")
		c.must(c.LeaveGroup(t.Context(), "g"))
		say("4")
		wantList(t, "carol, who left again", c.history(ofGroup), "3")
		if v, err := b.QueryConversation(t.Context(), ofGroup); err != nil || !v.IsDisabled || v.LastMessage.Content.(*zim.TextMessage).Message != "1" || v.UnreadMessageCount != 2 {
			t.Errorf("bob has %+v, %v", v, err)
		}
		_, err = a.InviteUsersIntoGroup(t.Context(), []string{"bob", "carol"}, "g")
		a.must(err)
		wantList(t, "bob, who was invited", b.history(ofGroup))
		say("5")
		for _, u := range []*user{b, c} {
			wantList(t, "who was invited", u.history(ofGroup), "5")
			found, err := u.QueryMessages(t.Context(), ofGroup, []int64{1, 2, 3, 4, 5, 6})
			if u.must(err); len(found) != 1 {
				t.Errorf("got %d messages", len(found))
			}
			if v, err := u.QueryConversation(t.Context(), ofGroup); err != nil || v.IsDisabled || v.UnreadMessageCount != 1 {
				t.Errorf("got %+v, %v", v, err)
			}
		}
		wantList(t, "alice", a.history(ofGroup), numbers(6)...)
		a.must(a.DismissGroup(t.Context(), "g"))
		wantList(t, "alice, of what was dismissed", a.history(ofGroup), numbers(6)...)
		wantList(t, "bob, of what was dismissed", b.history(ofGroup), "5")
		time.Sleep(time.Second)
	})
}
