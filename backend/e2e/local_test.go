package e2e_test

import (
	"context"
	"errors"
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

// A draft is with its conversation on this device, in the list and in events, and nowhere else. It makes a conversation where
// there is none, and survives a logout.
func TestDrafts(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		bob := zim.Peer("bob")
		a.must(a.SetConversationDraft(t.Context(), bob, "dear bob"))
		a.saw("a draft", "conversation Added bob 0")
		if got := a.chats["bob"].Draft; got != "dear bob" {
			t.Errorf("the draft is %q", got)
		}
		c, err := a.QueryConversation(t.Context(), bob)
		if err != nil || c.Draft != "dear bob" {
			t.Errorf("got %+v, %v", c, err)
		}
		if _, err := a2.QueryConversation(t.Context(), bob); !errors.Is(err, zim.ErrConversationConversationDoesNotExist) {
			t.Errorf("on the other device: %v", err)
		}
		b.send(zim.Peer("alice"), "hello", nil)
		a.saw("a message", "peer message hello", "conversation Updated bob 1 hello", "total 1")
		a2.saw("a message", "peer message hello", "conversation Added bob 1 hello", "total 1")
		if got := a.chats["bob"].Draft; got != "dear bob" {
			t.Errorf("after a message, the draft is %q", got)
		}
		a.must(a.Logout(t.Context(), nil))
		login(t, srv, a.ZIM, "alice")
		list, err := a.QueryConversationList(t.Context(), zim.ConversationQueryConfig{})
		if err != nil || len(list) != 1 || list[0].Draft != "dear bob" {
			t.Errorf("after a logout: %v, %v", list, err)
		}
		a.must(a.SetConversationDraft(t.Context(), bob, ""))
		if c, err := a.QueryConversation(t.Context(), bob); err != nil || c.Draft != "" {
			t.Errorf("without a draft: %+v, %v", c, err)
		}
		for _, bad := range []struct {
			to    zim.ConversationRef
			draft string
		}{{bob, strings.Repeat("x", 8<<10+1)}, {bob, "\xff"}, {zim.Room("r"), "x"}, {zim.Peer(""), "x"}} {
			if err := a.SetConversationDraft(t.Context(), bad.to, bad.draft); !errors.Is(err, zim.ErrCommonParamsInvalid) {
				t.Errorf("%v: %v", bad.to, err)
			}
		}
	})
}

// A message that was inserted is in the history of this device, where it was inserted, on the page where it belongs, and nowhere else.
func TestInsertedMessages(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		bob := zim.Peer("bob")
		var want []string
		for i := range 30 {
			a.send(bob, fmt.Sprint("sent ", i), nil)
			want = append(want, fmt.Sprint("sent ", i))
			time.Sleep(time.Second)
			if i%7 == 3 {
				m, err := a.InsertMessageToLocalDB(t.Context(), &zim.TextMessage{Message: fmt.Sprint("inserted ", i)}, bob, "bob")
				if err != nil || !m.IsUserInserted || m.ID != "" || m.Direction != zim.MessageDirectionReceive {
					t.Fatal(m, err)
				}
				want = append(want, fmt.Sprint("inserted ", i))
				time.Sleep(time.Second)
			}
		}
		for _, reverse := range []bool{true, false} {
			for _, count := range []int{1, 2, 3, 5, 100} {
				if got := pages(t, a, bob, reverse, count); !slices.Equal(got, want) {
					t.Errorf("reverse %v, pages of %d: got %v", reverse, count, got)
				}
			}
		}
		sent := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return strings.HasPrefix(s, "inserted") })
		if got := pages(t, a2, bob, true, 10); !slices.Equal(got, sent) {
			t.Errorf("the other device got %v", got)
		}
		only, err := a.QueryHistoryMessage(t.Context(), bob, zim.MessageQueryConfig{Mode: zim.MessageQueryModeOnlyLocal, Reverse: true, Count: 2})
		if err != nil || len(only) != 2 || says(only[1].Content) != "inserted 24" {
			t.Errorf("of this device alone: %v, %v", only, err)
		}
		a.must(a.DeleteMessages(t.Context(), bob, only, nil))
		if got := pages(t, a, bob, true, 100); len(got) != len(want)-2 {
			t.Errorf("after the deletion of two: %v", got)
		}
		a.must(a.DeleteAllMessage(t.Context(), bob, nil))
		if got := pages(t, a, bob, true, 100); len(got) != 0 {
			t.Errorf("after the deletion of all: %v", got)
		}
		for _, bad := range []zim.Content{nil, &zim.CommandMessage{Message: []byte("x")}, &zim.TipsMessage{}, &zim.RevokeMessage{}} {
			if _, err := a.InsertMessageToLocalDB(t.Context(), bad, bob, "bob"); !errors.Is(err, zim.ErrCommonParamsInvalid) {
				t.Errorf("%T: %v", bad, err)
			}
		}
	})
}

// pages reads a conversation page by page, and returns what it says, the oldest first.
func pages(t *testing.T, u *user, c zim.ConversationRef, reverse bool, count int) []string {
	t.Helper()
	var all []string
	config := zim.MessageQueryConfig{Reverse: reverse, Count: count}
	for range 200 {
		page, err := u.QueryHistoryMessage(t.Context(), c, config)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		var texts []string
		for _, m := range page {
			texts = append(texts, says(m.Content))
		}
		if config.NextMessage = page[len(page)-1]; reverse {
			config.NextMessage = page[0]
			all = append(texts, all...)
		} else {
			all = append(all, texts...)
		}
	}
	t.Fatal("the pages have no end")
	return nil
}

// A message that could not be sent is in the history of its device until it is sent.
func TestFailedMessagesAreKept(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a := device(t, srv, dialer, "alice", "one")
		m, err := a.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil)
		if !errors.Is(err, zim.ErrMessageTargetDoesNotExist) {
			t.Fatal(err)
		}
		a.saw("refused", "conversation Added bob 0 hello Sending", "status Failed hello", "conversation Updated bob 0 hello Failed", "conversation Disabled bob 0 hello Failed")
		if got := pages(t, a, zim.Peer("bob"), true, 10); !slices.Equal(got, []string{"hello"}) {
			t.Errorf("the history has %v", got)
		}
		srv.Register("bob")
		time.Sleep(time.Second)
		if _, err := a.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m}); err != nil {
			t.Fatal(err)
		}
		if got := pages(t, a, zim.Peer("bob"), true, 10); !slices.Equal(got, []string{"hello"}) {
			t.Errorf("after the retry, the history has %v", got)
		}
	})
}

func TestLocalExtendedData(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		m := b.send(zim.Peer("alice"), "hello", nil)
		got, err := a.UpdateMessageLocalExtendedData(t.Context(), "a note", a.message("hello"))
		if err != nil || got.LocalExtendedData != "a note" || got.ID != m.ID {
			t.Fatal(got, err)
		}
		for _, u := range []struct {
			*user
			want string
		}{{a, "a note"}, {a2, ""}} {
			list, err := u.QueryHistoryMessage(t.Context(), zim.Peer("bob"), zim.MessageQueryConfig{Reverse: true})
			if err != nil || len(list) != 1 || list[0].LocalExtendedData != u.want {
				t.Errorf("got %v, %v, want %q", list, err, u.want)
			}
		}
		if _, err := a.UpdateMessageLocalExtendedData(t.Context(), strings.Repeat("x", 128<<10+1), got); !errors.Is(err, zim.ErrCommonParamsInvalid) {
			t.Error(err)
		}
	})
}

// With a store of its own, a device finds what came to it.
func TestLocalSearch(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, LocalStore: new(zim.MemoryStore)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		login(t, srv, z, "alice")
		b, c := device(t, srv, dialer, "bob", ""), device(t, srv, dialer, "carol", "")
		start := time.Now()
		for i := range 5 {
			b.send(zim.Peer("alice"), fmt.Sprint("Apples and pears ", i), nil)
			time.Sleep(time.Minute)
		}
		c.send(zim.Peer("alice"), "apples", nil)
		_, err = c.SendMessage(t.Context(), &zim.CustomMessage{Message: "x", SubType: 5, SearchedContent: "an apple"}, zim.Peer("alice"), nil)
		c.must(err)
		synctest.Wait()
		find := func(config zim.MessageSearchConfig) (found []string) {
			t.Helper()
			result, err := z.SearchGlobalLocalMessages(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range result.MessageList {
				found = append(found, says(m.Content))
			}
			return found
		}
		for name, test := range map[string]struct {
			config zim.MessageSearchConfig
			want   []string
		}{
			"all keywords":   {zim.MessageSearchConfig{Keywords: []string{"APPLE", "pears 3"}}, []string{"Apples and pears 3"}},
			"one of senders": {zim.MessageSearchConfig{Keywords: []string{"apple"}, SenderUserIDs: []string{"carol"}}, []string{"(Custom)", "apples"}},
			"by type":        {zim.MessageSearchConfig{MessageTypes: []zim.MessageType{zim.MessageTypeCustom}, SubMessageTypes: []int{5}}, []string{"(Custom)"}},
			"by time": {
				zim.MessageSearchConfig{StartTime: start.Add(time.Second), EndTime: start.Add(2 * time.Minute), Order: zim.MessageOrderAscending},
				[]string{"Apples and pears 1", "Apples and pears 2"},
			},
			"nothing": {zim.MessageSearchConfig{Keywords: []string{"plums"}}, nil},
		} {
			if got := find(test.config); !slices.Equal(got, test.want) {
				t.Errorf("%s: got %v, want %v", name, got, test.want)
			}
		}
		first, err := z.SearchLocalMessages(t.Context(), zim.Peer("bob"), zim.MessageSearchConfig{Keywords: []string{"pears"}, Count: 3})
		if err != nil || first.TotalCount != 5 || len(first.MessageList) != 3 {
			t.Fatal(first, err)
		}
		rest, err := z.SearchLocalMessages(t.Context(), zim.Peer("bob"), zim.MessageSearchConfig{Keywords: []string{"pears"}, Count: 3, NextMessage: first.NextMessage})
		if err != nil || len(rest.MessageList) != 2 || rest.NextMessage != nil || says(rest.MessageList[1].Content) != "Apples and pears 0" {
			t.Error(rest, err)
		}
		chats, err := z.SearchLocalConversations(t.Context(), zim.ConversationSearchConfig{Keywords: []string{"apple"}, TotalConversationCount: 1})
		if err != nil || chats.TotalConversationCount != 2 || chats.ConversationSearchInfoList[0].Ref != zim.Peer("carol") || chats.NextFlag != 1 {
			t.Error(chats, err)
		}
		for name, bad := range map[string]zim.MessageSearchConfig{
			"6 keywords":    {Keywords: []string{"1", "2", "3", "4", "5", "6"}},
			"6 senders":     {SenderUserIDs: []string{"1", "2", "3", "4", "5", "6"}},
			"a sub-type":    {SubMessageTypes: []int{201}},
			"end and start": {StartTime: start, EndTime: start},
			"count":         {Count: -1},
		} {
			if _, err := z.SearchGlobalLocalMessages(t.Context(), bad); !errors.Is(err, zim.ErrCommonParamsInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := z.SearchLocalMessages(t.Context(), zim.Room("r"), zim.MessageSearchConfig{}); !errors.Is(err, zim.ErrCommonParamsInvalid) {
			t.Error(err)
		}
	})
}

// A store that fails is reported by the call that needed it, or by an event, and nothing else fails.
func TestBrokenLocalStore(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, LocalStore: brokenStore{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		var faults []zim.Code
		texts := 0
		zim.On(z, func(_ context.Context, e *zim.Error) { faults = append(faults, e.Code) })
		zim.On(z, func(context.Context, *zim.PeerMessageReceived) { texts++ })
		login(t, srv, z, "alice")
		b := device(t, srv, dialer, "bob", "")
		b.send(zim.Peer("alice"), "hello", nil)
		synctest.Wait()
		if texts != 1 || !slices.Equal(faults, []zim.Code{zim.ErrDatabaseSeleteDatabaseError, zim.ErrDatabaseModifyDatabaseError}) {
			t.Errorf("got %d messages and the faults %v", texts, faults)
		}
		err = z.SetConversationDraft(t.Context(), zim.Peer("bob"), "x")
		if !errors.Is(err, zim.ErrDatabaseModifyDatabaseError) || !errors.Is(err, errBroken) {
			t.Error(err)
		}
		if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), nil); err != nil {
			t.Error(err)
		}
	})
}

var errBroken = errors.New("the disk is gone")

type brokenStore struct{}

func (brokenStore) PutMessage(string, *zim.Message) error { return errBroken }
func (brokenStore) Messages(string, zim.ConversationRef) ([]*zim.Message, error) {
	return nil, errBroken
}
func (brokenStore) DeleteMessages(string, zim.ConversationRef, []string) error { return errBroken }
func (brokenStore) PutDraft(string, zim.ConversationRef, string) error         { return errBroken }
func (brokenStore) Draft(string, zim.ConversationRef) (string, error)          { return "", errBroken }
func (brokenStore) Conversations(string) ([]zim.ConversationRef, error)        { return nil, errBroken }
func (brokenStore) Clear(string) error                                         { return errBroken }
