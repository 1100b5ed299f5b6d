package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// reactions say what a message's reactions are, as a user sees them.
func reactions(list []zim.MessageReaction) (said []string) {
	for _, r := range list {
		said = append(said, fmt.Sprintf("%s %d/%d %v %v", r.ReactionType, r.TotalCount, r.SumCount, r.IsSelfIncluded, r.UserIDs))
	}
	return said
}

func TestReactions(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		a.send(ofPeer, "one", nil)
		ofA, ofB := a.message("one"), b.message("one")
		add := func(u *user, m *zim.Message, typ string, increase int) {
			t.Helper()
			_, err := u.AddMessageReaction(t.Context(), typ, m, &zim.MessageReactionAddConfig{IncreaseCount: increase})
			u.must(err)
		}
		want := func(what string, want ...string) {
			t.Helper()
			wantList(t, what, reactions(a.newest(ofPeer).Reactions), want...)
		}
		add(b, ofB, "+1", 0)
		time.Sleep(time.Second)
		add(a, ofA, "+1", 0)
		add(b, ofB, "heart", 5)
		add(b, ofB, "heart", 2)
		want("reactions", "+1 2/2 true [bob alice]", "heart 1/7 false [bob]")
		_, err := b.AddMessageReaction(t.Context(), "+1", ofB, nil)
		wantCode(t, "the same again", err, zim.ErrMessageMessageReactionTypeExisted)
		_, err = a.DeleteMessageReaction(t.Context(), "heart", ofA)
		wantCode(t, "deleting what is another's", err, zim.ErrMessageMessageReactionTypeExisted)
		quiet(a, a2, b)
		got, err := b.DeleteMessageReaction(t.Context(), "heart", ofB)
		if b.must(err); got.ReactionType != "heart" || got.TotalCount != 0 || got.SumCount != 0 || got.IsSelfIncluded || got.MessageID != ofB.ID {
			t.Errorf("got %+v", got)
		}
		a.saw("deleting", "reactions heart 0/0 false, bob Deleted heart 0", "conversation Updated bob 0 one")
		want("after deleting", "+1 2/2 true [bob alice]")
		add(b, ofB, "heart", 1)
		want("after adding again", "+1 2/2 true [bob alice]", "heart 1/1 false [bob]")
		quiet(a, a2, b)
		b.must(b.DeleteMessageAllReactions(t.Context(), ofB))
		b.saw("deleting all", "reactions +1 1/1 false, heart 0/0 false, bob Deleted +1 0, bob Deleted heart 0", "conversation Updated alice 1 one")
		want("after deleting all", "+1 1/1 true [alice]")
		quiet(a, a2, b)
		b.must(b.DeleteMessageAllReactions(t.Context(), ofB))
		a.saw("deleting none")

		for what, typ := range map[string]string{"nothing": "", "33 bytes": "123456789012345678901234567890123", "no UTF-8": "\xff"} {
			_, err := a.AddMessageReaction(t.Context(), typ, ofA, nil)
			wantCode(t, what, err, zim.ErrCommonParamsInvalid)
		}
	})
}

func TestReactionsOfOldMessage(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, _, b *user) {
		m := a.send(ofPeer, "one", nil)
		a.must(a.Logout(t.Context(), nil))
		time.Sleep(7*24*time.Hour - time.Minute)
		login(t, srv, a.ZIM, "alice")
		_, err := a.AddMessageReaction(t.Context(), "+1", m, nil)
		a.must(err)
		time.Sleep(time.Minute + time.Second)
		_, err = a.AddMessageReaction(t.Context(), "late", m, nil)
		wantCode(t, "after 7 days and a second", err, zim.ErrCommonParamsInvalid)
	})
}

func TestReactionUsers(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		list := grouped(t, srv, dialer, "alice", "bob", "carol", "dave", "erin", "frank", "grace")
		a := list[0]
		a.send(ofGroup, "one", nil)
		for i, u := range list {
			time.Sleep(time.Second)
			_, err := u.AddMessageReaction(t.Context(), "+1", u.message("one"), &zim.MessageReactionAddConfig{IncreaseCount: 1 + i%3})
			u.must(err)
		}
		m := a.message("one")
		_, err := list[3].AddMessageReaction(t.Context(), "heart", m, nil)
		a.must(err)
		wantList(t, "reactions", reactions(a.newest(ofGroup).Reactions), "+1 7/13 true [alice bob carol dave erin]", "heart 1/1 false [dave]")
		page := func(typ string, count int, next int64) (said []string, n int64) {
			t.Helper()
			got, err := a.QueryMessageReactionUserList(t.Context(), m, zim.MessageReactionUserQueryConfig{ReactionType: typ, Count: count, NextFlag: next})
			a.must(err)
			for _, u := range got.UserInfoList {
				said = append(said, fmt.Sprintf("%s %v", u.UserID, u.Reactions))
			}
			return append(said, fmt.Sprint(got.TotalCount)), got.NextFlag
		}
		got, next := page("", 4, 0)
		wantList(t, "the first four", got, "carol [{+1 3}]", "frank [{+1 3}]", "bob [{+1 2}]", "dave [{+1 1} {heart 1}]", "7")
		got, next = page("", 4, next)
		wantList(t, "the others", got, "erin [{+1 2}]", "alice [{+1 1}]", "grace [{+1 1}]", "7")
		if next != 0 {
			t.Errorf("there is another page: %d", next)
		}
		got, _ = page("heart", 0, 0)
		wantList(t, "of one kind", got, "dave [{heart 1}]", "1")
		got, next = page("+1", 1, 6)
		wantList(t, "the last", got, "grace [{+1 1}]", "7")
		if got, _ := page("+1", 1, 1<<40); next != 0 || len(got) != 1 {
			t.Errorf("behind the end: got %v and %d", got, next)
		}
		if got := all(t, a.MessageReactionUsers(t.Context(), m, "+1")); len(got) != 7 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestPins(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		want := func(what string, want ...string) {
			t.Helper()
			for u, c := range map[*user]zim.ConversationRef{a: ofPeer, b: zim.Peer("alice")} {
				list, err := u.QueryPinnedMessageList(t.Context(), c)
				u.must(err)
				wantList(t, what, say(list), want...)
			}
		}
		for _, s := range numbers(11) {
			a.send(ofPeer, s, nil)
			b.must(b.PinMessage(t.Context(), b.message(s), s != "10", &zim.MessagePinConfig{DisableAutoReplace: true}))
			if s == "9" {
				break
			}
			time.Sleep(time.Second)
		}
		a.send(ofPeer, "10", nil)
		quiet(a, a2, b)
		want("ten", "9", "8", "7", "6", "5", "4", "3", "2", "1", "0")
		wantCode(t, "an eleventh", b.PinMessage(t.Context(), b.message("10"), true, &zim.MessagePinConfig{DisableAutoReplace: true}), zim.ErrMessageTheNumberOfPinnedMessagesExceedsLimit)
		wantCode(t, "unpinning it", b.PinMessage(t.Context(), b.message("10"), false, nil), zim.ErrMessageMessageIsNotPinned)
		a.saw("what was refused")
		time.Sleep(time.Second)
		a.must(a.PinMessage(t.Context(), a.message("0"), true, &zim.MessagePinConfig{DisableAutoReplace: true}))
		for _, u := range []*user{a, a2, b} {
			if got := u.since(); len(got) == 0 || got[0] != "pins Updated 0" {
				t.Errorf("got %q", got)
			}
		}
		if m := b.message("0"); m.PinnedUserID != "alice" || m.PinnedTime.IsZero() {
			t.Errorf("got %+v", m)
		}
		want("pinned again", "0", "9", "8", "7", "6", "5", "4", "3", "2", "1")
		time.Sleep(time.Second)
		b.must(b.PinMessage(t.Context(), b.message("10"), true, nil))
		a.saw("an eleventh", "pins NotPinned 1, Pinned 10", "conversation Updated bob 0 10")
		want("with the eleventh", "10", "0", "9", "8", "7", "6", "5", "4", "3", "2")
		a.must(a.PinMessage(t.Context(), a.message("5"), false, nil))
		b.saw("unpinning", "pins NotPinned 1, Pinned 10", "conversation Updated alice 11 10", "pins NotPinned 5", "conversation Updated alice 11 10")
		want("after unpinning", "10", "0", "9", "8", "7", "6", "4", "3", "2")
	})
}

// Whoever comes later learns nothing of what was said before, also if it is pinned.
func TestPinsOfNewcomer(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a := grouped(t, srv, dialer, "alice", "bob")[0]
		c := device(t, srv, dialer, "carol", "one")
		pin := func(text string) {
			t.Helper()
			time.Sleep(time.Second)
			a.must(a.PinMessage(t.Context(), a.message(text), true, nil))
		}
		for _, s := range []string{"first", "second"} {
			a.send(ofGroup, s, nil)
		}
		pin("first")
		_, err := c.JoinGroup(t.Context(), "g")
		c.must(err)
		for _, s := range numbers(10) {
			a.send(ofGroup, s, nil)
		}
		quiet(c)
		for _, s := range numbers(9) {
			pin(s)
		}
		quiet(c)
		pin("9")
		c.saw("the first is unpinned", "pins Pinned 9", "conversation Updated g 10 9")
		pin("second")
		c.saw("what carol does not see is pinned", "pins NotPinned 0", "conversation Updated g 10 9")
		list, err := c.QueryPinnedMessageList(t.Context(), ofGroup)
		c.must(err)
		wantList(t, "carol's", say(list), "9", "8", "7", "6", "5", "4", "3", "2", "1")
	})
}
