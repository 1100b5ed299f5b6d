package zim_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// stored is a text message as a service has it, which bob sent before the test.
func stored(seq int64, text string) *wire.Message {
	m := faketransport.Text("bob", text).Message
	m.MessageId, m.MessageSeq, m.OrderKey = seq, seq, seq
	return m
}

func textsOf(list []*zim.Message) []string {
	texts := []string{}
	for _, m := range list {
		texts = append(texts, m.Content.(*zim.TextMessage).Message)
	}
	return texts
}

// A message that could not be sent is where it belongs in the history, behind what came before. Once the service turns out to have it, it
// is there once.
func TestFailedMessagesInTheHistory(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		history := []*wire.Message{stored(1, "1"), stored(2, "2")}
		var sent *wire.SendMessageRequest
		c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			switch b := req.Body.(type) {
			case *wire.Request_SendMessage:
				sent = b.SendMessage
				return new(wire.Response) // it may be stored or not
			case *wire.Request_QueryMessages:
				return &wire.Response{Body: &wire.Response_Messages{Messages: &wire.Messages{Messages: history, Next: 1}}}
			}
			return c.ft.Answer(req)
		})
		if _, err := c.SendMessage(t.Context(), &zim.TextMessage{Message: "mine"}, zim.Peer("bob"), nil); err == nil {
			t.Fatal("the send did not fail")
		}
		for range 2 {
			list, err := c.QueryHistoryMessage(t.Context(), zim.Peer("bob"), zim.MessageQueryConfig{Reverse: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := textsOf(list); strings.Join(got, " ") != "1 2 mine" {
				t.Errorf("got %v", got)
			}
			m := stored(3, "mine")
			m.SenderUserId, m.LocalMessageId, m.OrderKey = "alice", sent.LocalMessageId, time.Now().UnixMilli()<<20
			history = append(history[:2], m)
		}
	})
}

// What a device keeps with a message stays when the message is edited, and the handler gets it, too.
func TestLocalExtendedDataStays(t *testing.T) {
	withStore(t, func(t *testing.T, z *zim.ZIM, ft *faketransport.Transport) {
		received, edited := make(chan *zim.Message, 1), make(chan *zim.Message, 1)
		zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) { received <- e.Messages[0] })
		zim.On(z, func(_ context.Context, e *zim.MessageEdited) { edited <- e.MessageList[0] })
		ft.Push(&wire.Event{Message: stored(1, "hello")})
		if _, err := z.UpdateMessageLocalExtendedData(t.Context(), "a note", <-received); err != nil {
			t.Fatal(err)
		}
		ft.Push(&wire.Event{Edited: stored(1, "edited")})
		if m := <-edited; m.LocalExtendedData != "a note" {
			t.Errorf("the handler got %q", m.LocalExtendedData)
		}
		list, err := z.QueryHistoryMessage(t.Context(), zim.Peer("bob"), zim.MessageQueryConfig{Mode: zim.MessageQueryModeOnlyLocal})
		if err != nil || len(list) != 1 || list[0].LocalExtendedData != "a note" || textsOf(list)[0] != "edited" {
			t.Errorf("got %v, %v", list, err)
		}
		// What says nothing deletes nothing.
		ft.Push(&wire.Event{Deleted: &wire.MessagesDeleted{Type: 1}}, &wire.Event{Deleted: &wire.MessagesDeleted{Type: 99}})
		synctest.Wait()
		list, err = z.QueryHistoryMessage(t.Context(), zim.Peer("bob"), zim.MessageQueryConfig{Mode: zim.MessageQueryModeOnlyLocal})
		if err != nil || len(list) != 1 {
			t.Errorf("after deletions of nothing: got %v, %v", list, err)
		}
	})
}

// withStore runs a test in a bubble, with a ZIM that is logged in and keeps all messages.
func withStore(t *testing.T, f func(t *testing.T, z *zim.ZIM, ft *faketransport.Transport)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ft := faketransport.New(t)
		z, err := zim.New(zim.AppConfig{AppID: 1, Transport: ft, LocalStore: new(zim.MemoryStore)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); err != nil {
			t.Fatal(err)
		}
		f(t, z, ft)
	})
}

// What a message combines are copies, of conversations that this user may not be in: they are no part of what this device keeps. A
// service that has no end of them is not asked without end.
func TestCombinedMessagesAreNotKept(t *testing.T) {
	withStore(t, func(t *testing.T, z *zim.ZIM, ft *faketransport.Transport) {
		queries := 0
		ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetQueryCombineMessage() == nil {
				return ft.Answer(req)
			}
			queries++
			list := &wire.Messages{Next: 1}
			for n := range int64(100) {
				list.Messages = append(list.Messages, stored(n+1, "a secret"))
			}
			return &wire.Response{Body: &wire.Response_Messages{Messages: list}}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		m := &zim.Message{ID: "9", Seq: 9, Conversation: zim.Peer("carol"), Content: &zim.CombineMessage{CombineID: "c"}}
		full, err := z.QueryCombineMessageDetail(ctx, m)
		if err != nil || queries != 3 || len(full.Content.(*zim.CombineMessage).MessageList) != 300 {
			t.Errorf("%d queries, %v", queries, err)
		}
		if found, err := z.SearchGlobalLocalMessages(t.Context(), zim.MessageSearchConfig{}); err != nil || found.TotalCount != 0 {
			t.Errorf("%d messages are kept, %v", found.TotalCount, err)
		}
	})
}

// A conversation that this device made for a draft may be there at the service, too: then the draft comes with what the service has, and a
// deletion deletes it there.
func TestDraftOfAConversationThatWasNotSeen(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		var changed []string
		zim.On(c.ZIM, func(_ context.Context, e *zim.ConversationChanged) {
			for _, info := range e.InfoList {
				changed = append(changed, fmt.Sprintf("%v %d %s", info.Event, info.Conversation.UnreadMessageCount, info.Conversation.Draft))
			}
		})
		deleted := 0
		c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			switch b := req.Body.(type) {
			case *wire.Request_QueryConversations:
				list := new(wire.Conversations)
				for _, ref := range b.QueryConversations.Refs {
					list.Conversations = append(list.Conversations, &wire.Conversation{Ref: ref, UnreadCount: 3})
				}
				return &wire.Response{Body: &wire.Response_Conversations{Conversations: list}}
			case *wire.Request_ChangeConversations:
				deleted++
				return &wire.Response{Body: &wire.Response_ChangeConversations{ChangeConversations: new(wire.ChangeConversationsResponse)}}
			}
			return c.ft.Answer(req)
		})
		c.login(t)
		if err := c.SetConversationDraft(t.Context(), zim.Peer("bob"), "dear"); err != nil {
			t.Fatal(err)
		}
		equal(t, "changed", &changed, []string{"Added 0 dear", "Updated 3 dear"})
		zim.Off[*zim.ConversationChanged](c.ZIM)
		zim.Off[zim.Event](c.ZIM)
		if err := c.SetConversationDraft(t.Context(), zim.Peer("carol"), "dear"); err != nil {
			t.Fatal(err)
		}
		if err := c.DeleteConversation(t.Context(), zim.Peer("carol"), nil); err != nil || deleted != 1 {
			t.Errorf("%v, and %d deletions at the service", err, deleted)
		}
	})
}

// A reply that failed is a reply when it is sent again, however that is done.
func TestRetryOfAReply(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			if len(c.ft.Sends()) == 1 && req.GetSendMessage() != nil {
				return &wire.Response{Error: &wire.Error{Code: int32(zim.ErrCommonTriggerServerFrequencyLimit)}}
			}
			return c.ft.Answer(req)
		})
		m, err := c.ReplyMessage(t.Context(), &zim.TextMessage{Message: "x"}, hello(), nil)
		if err == nil || m == nil {
			t.Fatal(m, err)
		}
		if _, err := c.SendMessage(t.Context(), nil, zim.Peer("bob"), &zim.MessageSendConfig{Retry: m}); err != nil {
			t.Fatal(err)
		}
		if sends := c.ft.Sends(); sends[0].ReplyTo != 1 || sends[1].ReplyTo != 1 {
			t.Errorf("replies to %d and %d", sends[0].ReplyTo, sends[1].ReplyTo)
		}
	})
}

// A search goes on behind the last message of a page, also if that was deleted meanwhile.
func TestSearchGoesOn(t *testing.T) {
	withStore(t, func(t *testing.T, z *zim.ZIM, ft *faketransport.Transport) {
		for n := range int64(5) {
			ft.Push(&wire.Event{Message: stored(n+1, fmt.Sprint(n+1))})
		}
		synctest.Wait()
		config := zim.MessageSearchConfig{Count: 2}
		found, err := z.SearchLocalMessages(t.Context(), zim.Peer("bob"), config)
		if err != nil || found.NextMessage == nil {
			t.Fatal(found, err)
		}
		keep := &zim.MessageDeleteConfig{KeepServerMessage: true}
		if err := z.DeleteMessages(t.Context(), zim.Peer("bob"), []*zim.Message{found.NextMessage}, keep); err != nil {
			t.Fatal(err)
		}
		config.NextMessage = found.NextMessage
		found, err = z.SearchLocalMessages(t.Context(), zim.Peer("bob"), config)
		if got := textsOf(found.MessageList); err != nil || strings.Join(got, " ") != "3 2" {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// Items that are multiple messages themselves are not unfolded, however deep they go.
func TestNestedItems(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		got := make(chan zim.Content, 1)
		zim.On(c.ZIM, func(_ context.Context, e *zim.PeerMessageReceived) { got <- e.Messages[0].Content })
		c.login(t)
		content := []byte{}
		for range 3 {
			item := &wire.MultipleItem{Type: int32(zim.MessageTypeMultiple), Content: content}
			var err error
			if content, err = proto.Marshal(&wire.MultipleContent{Items: []*wire.MultipleItem{item}}); err != nil {
				t.Fatal(err)
			}
		}
		c.ft.Push(&wire.Event{Message: &wire.Message{ConversationId: "bob", Type: int32(zim.MessageTypeMultiple), Content: content}})
		m := (<-got).(*zim.MultipleMessage)
		if _, ok := m.MessageInfoList[0].(*zim.UnknownMessage); !ok || len(m.MessageInfoList) != 1 {
			t.Errorf("got %T", m.MessageInfoList[0])
		}
	})
}

// A content of the application's own making is refused.
func TestForeignContent(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		type embedding struct{ *zim.TextMessage }
		_, err := c.SendMessage(t.Context(), embedding{&zim.TextMessage{Message: "x"}}, zim.Peer("bob"), nil)
		if zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
			t.Error(err)
		}
	})
}

// A page that is empty and goes on where it began is the last one.
func TestEmptyPages(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		queries := 0
		c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetQueryGroups() == nil {
				return c.ft.Answer(req)
			}
			if queries++; queries > 1000 {
				return nil
			}
			return &wire.Response{Body: &wire.Response_Groups{Groups: &wire.Groups{Next: 7}}}
		})
		for range c.Groups(t.Context()) {
		}
		if queries != 2 {
			t.Errorf("%d queries", queries)
		}
	})
}
