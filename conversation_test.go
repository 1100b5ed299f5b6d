package zim_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// conversationsOf answers a query for conversations as a service that has them all.
func conversationsOf(req *wire.QueryConversationsRequest) *wire.Response {
	list := new(wire.Conversations)
	for _, ref := range req.Refs {
		list.Conversations = append(list.Conversations, &wire.Conversation{Ref: ref, NotificationStatus: 1})
	}
	return &wire.Response{Body: &wire.Response_Conversations{Conversations: list}}
}

// A call whose effect on conversations is told before it returns does not wait for what happens after it: another message comes
// ahead of each answer, without end.
func TestCallsReturnUnderConstantTraffic(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		changed := 0
		zim.On(c.ZIM, func(_ context.Context, e *zim.ConversationChanged) { changed++ })
		c.login(t)
		var queries atomic.Int64 // the service goes on while the test looks
		var busy atomic.Bool
		busy.Store(true)
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			switch b := req.Body.(type) {
			case *wire.Request_QueryConversations:
				if n := queries.Add(1); busy.Load() && n < 1000 {
					c.ft.Push(faketransport.Text("bob", "more"))
					time.Sleep(time.Millisecond) // until it is there
				}
				return conversationsOf(b.QueryConversations)
			case *wire.Request_ChangeConversations:
				c.ft.Push(faketransport.Text("bob", "touched"))
				return &wire.Response{
					Body:     &wire.Response_ChangeConversations{ChangeConversations: new(wire.ChangeConversationsResponse)},
					EventSeq: 1,
				}
			}
			return c.ft.Answer(req)
		})
		if err := c.ClearConversationUnreadMessageCount(t.Context(), zim.Peer("bob")); err != nil {
			t.Fatal(err)
		}
		if n := queries.Load(); n > 10 {
			t.Errorf("the call returned after %d queries", n)
		}
		busy.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if changed == 0 {
			t.Error("no change was told")
		}
	})
}

// A service that wants a pause gets one, and is asked again.
func TestConversationsAfterARefusal(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		var changed []string
		zim.On(c.ZIM, func(_ context.Context, e *zim.ConversationChanged) {
			for _, info := range e.InfoList {
				changed = append(changed, info.Conversation.ConversationID)
			}
		})
		c.login(t)
		queries := 0
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			b, ok := req.Body.(*wire.Request_QueryConversations)
			if !ok {
				return c.ft.Answer(req)
			}
			if queries++; queries == 1 {
				return &wire.Response{Error: &wire.Error{Code: 6000005, RetryAfterMs: 1000}}
			}
			return conversationsOf(b.QueryConversations)
		})
		c.ft.Push(faketransport.Text("bob", "hello"))
		time.Sleep(time.Minute)
		equal(t, "changed", &changed, []string{"bob"})
		if queries != 2 {
			t.Errorf("%d queries", queries)
		}
	})
}

// A page that fails ends the sequence with its error, a loop that is left asks for no more pages, and one that is over asks for none.
func TestSequencesOfPages(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		pages, broken := 0, false
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			b, ok := req.Body.(*wire.Request_QueryMessages)
			if !ok {
				return c.ft.Answer(req)
			}
			pages++
			if broken && pages == 2 {
				return &wire.Response{Error: &wire.Error{Code: 6000008}}
			}
			list := new(wire.Messages)
			for n := range int64(3) {
				seq := b.QueryMessages.After + 1 + n
				list.Messages = append(list.Messages, &wire.Message{ConversationId: "bob", MessageId: seq, MessageSeq: seq, OrderKey: seq, Type: 1})
			}
			if list.Next = b.QueryMessages.After + 3; list.Next == 9 {
				list.Next = 0
			}
			return &wire.Response{Body: &wire.Response_Messages{Messages: list}}
		})
		read := func(limit int) (n int, err error) {
			pages = 0
			for _, err := range c.HistoryMessages(t.Context(), zim.Peer("bob"), zim.MessageOrderAscending) {
				if err != nil {
					return n, err
				}
				if n++; n == limit {
					break
				}
			}
			return n, nil
		}
		if n, err := read(0); n != 9 || err != nil || pages != 3 {
			t.Errorf("all: %d messages in %d pages, %v", n, pages, err)
		}
		if n, err := read(4); n != 4 || err != nil || pages != 2 {
			t.Errorf("4: %d messages in %d pages, %v", n, pages, err)
		}
		broken = true
		if n, err := read(0); n != 3 || !errors.Is(err, zim.ErrCommonIMDatabaseError) {
			t.Errorf("with an error: %d messages, %v", n, err)
		}
	})
}
