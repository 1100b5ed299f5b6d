package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// A message to a group of 500 is there for all of its members at once, or for none: whoever looks at the database meanwhile sees it in
// all feeds or in none of them. One member whose handler does not return holds up nobody.
func TestLargeGroup(t *testing.T) {
	var st *store.Store
	options := &zimtest.Options{App: several, Config: func(c *backend.Config) { st = c.Store }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		var ids []string
		for i := range 499 {
			ids = append(ids, fmt.Sprint("member", i))
		}
		srv.Register(ids...)
		owner, slow, quick := device(t, srv, dialer, "owner", ""), device(t, srv, dialer, "member0", ""), device(t, srv, dialer, "member498", "")
		g, err := owner.CreateGroup(t.Context(), zim.GroupInfo{}, ids[:100], nil)
		owner.must(err)
		groupID := g.GroupInfo.BaseInfo.GroupID
		for i := 100; i < len(ids); i += 100 {
			_, err := owner.InviteUsersIntoGroup(t.Context(), ids[i:min(i+100, len(ids))], groupID)
			owner.must(err)
		}
		if n, err := quick.QueryGroupMemberCount(t.Context(), groupID); n != 500 || err != nil {
			t.Fatal(n, err)
		}
		quick.since()
		block := make(chan struct{})
		slow.since()
		zim.On(slow.ZIM, func(ctx context.Context, e *zim.GroupMessageReceived) { <-block })

		stop := make(chan struct{})
		var looking sync.WaitGroup
		looking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if n := feedsWith(t, st, ids, groupID); n != 0 && n != len(ids) {
					t.Errorf("the message is in %d of %d feeds", n, len(ids))
				}
			}
		})
		start := time.Now()
		owner.send(zim.Group(groupID), "hello", &zim.MessageSendConfig{IsMentionAll: true})
		close(stop)
		looking.Wait()
		synctest.Wait()
		if n := feedsWith(t, st, ids, groupID); n != len(ids) {
			t.Errorf("in the end, the message is in %d feeds", n)
		}
		quick.mu.Lock()
		got := len(quick.entries)
		quick.mu.Unlock()
		if took := time.Since(start); got == 0 || took > time.Second {
			t.Errorf("after %v, a member had seen %d things", took, got)
		}
		close(block)
		quick.saw("hello", "group message hello", "conversation Added "+groupID+" 1 hello", "total 1")
		slow.saw("hello", "conversation Added "+groupID+" 1 hello", "total 1")
	})
}

// feedsWith returns how many of the users have a message of a group in their feeds.
func feedsWith(t *testing.T, st *store.Store, userIDs []string, groupID string) (n int) {
	t.Helper()
	err := st.View(t.Context(), func(tx *store.Tx) error {
		for _, id := range userIDs {
			u, err := tx.User(zimtest.AppID, id)
			if err != nil {
				return err
			}
			list, err := tx.Events(u, 0, 1000, 1<<20)
			if err != nil {
				return err
			}
			for _, e := range list {
				if e.Message != nil && e.Message.Conversation.A == groupID {
					n++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

// Whoever asks too much is told when to ask again, and sequences of pages take care of that by themselves.
func TestQueriesAreBounded(t *testing.T) {
	options := &zimtest.Options{App: func(a *backend.App) {
		a.Limits.SendRate, a.Limits.QueryRate, a.Limits.ChangeRate = -1, 1, 1
	}}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		a := newFastZIM(t, dialer)
		login(t, srv, a, "alice")
		for i := range 1000 {
			if _, err := a.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i)}, zim.Peer("bob"), nil); err != nil {
				t.Fatal(err)
			}
		}
		start, n := time.Now(), 0
		for _, err := range a.HistoryMessages(t.Context(), zim.Peer("bob"), zim.MessageOrderDescending) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if took := time.Since(start); n != 1000 || took < 5*time.Second || took > 10*time.Second {
			t.Errorf("%d messages came in %v, want 1000 in some 6s", n, took)
		}
		_, err := a.QueryConversation(t.Context(), zim.Peer("bob"))
		var e *zim.Error
		if !errors.As(err, &e) || e.Code != zim.ErrCommonTriggerServerFrequencyLimit || e.RetryAfter == 0 {
			t.Errorf("a query too many: %v", err)
		}
		for range 4 {
			if err := a.UpdateConversationPinnedState(t.Context(), zim.Peer("bob"), true); err != nil {
				t.Error(err)
			}
		}
		if err := a.UpdateConversationPinnedState(t.Context(), zim.Peer("bob"), false); !errors.Is(err, zim.ErrCommonTriggerServerFrequencyLimit) {
			t.Errorf("a change too many: %v", err)
		}
		synctest.Wait()
	})
}
