package zim_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// hello is a message that bob sent.
func hello() *zim.Message {
	return &zim.Message{
		ID: "1", Seq: 1, OrderKey: 1, Conversation: zim.Peer("bob"), Sender: "bob", SentStatus: zim.MessageSentStatusSuccess,
		Content: &zim.TextMessage{Message: "hello"},
	}
}

// Answers without what was asked for are errors, or empty, and no panic.
func TestAnswersWithoutABody(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response { return new(wire.Response) })
		ctx := t.Context()
		_, edit := c.EditMessage(ctx, hello(), zim.MessageEditConfig{Content: &zim.TextMessage{Message: "x"}})
		_, revoke := c.RevokeMessage(ctx, hello(), nil)
		_, react := c.AddMessageReaction(ctx, "+1", hello(), nil)
		_, unreact := c.DeleteMessageReaction(ctx, "+1", hello())
		for name, err := range map[string]error{"edit": edit, "revoke": revoke, "react": react, "unreact": unreact} {
			if !errors.Is(err, zim.ErrNetworkRspProtoParseError) {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.CreateGroup(ctx, zim.GroupInfo{}, nil, nil)
		c.JoinGroup(ctx, "g")
		c.InviteUsersIntoGroup(ctx, []string{"u"}, "g")
		c.KickGroupMembers(ctx, []string{"u"}, "g")
		c.QueryGroupMemberInfo(ctx, "u", "g")
		c.QueryConversation(ctx, zim.Peer("bob"))
		c.QueryHistoryMessage(ctx, zim.Peer("bob"), zim.MessageQueryConfig{})
		c.QueryMessageRepliedList(ctx, hello(), zim.MessageRepliedListQueryConfig{})
		c.QueryMessageReactionUserList(ctx, hello(), zim.MessageReactionUserQueryConfig{})
		c.SendMessageReceiptsRead(ctx, zim.Peer("bob"), []*zim.Message{hello()})
		c.QueryCombineMessageDetail(ctx, hello())
		c.EnterRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil)
		c.QueryRoomMemberList(ctx, "r", zim.RoomMemberQueryConfig{})
	})
}

// Events with parts that say nothing are handled, or passed over.
func TestEventsThatSayNothing(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		zim.On(c.ZIM, func(context.Context, *zim.ConversationChanged) {})
		zim.On(c.ZIM, func(_ context.Context, e *zim.PeerMessageReceived) {
			for _, m := range e.Messages {
				if text, ok := m.Content.(*zim.TextMessage); ok {
					c.texts = append(c.texts, text.Message)
				}
			}
		})
		c.login(t)
		c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetQueryConversations() != nil {
				return &wire.Response{Body: &wire.Response_Conversations{Conversations: &wire.Conversations{
					Conversations: []*wire.Conversation{{}, {UnreadCount: -1, Mentions: []*wire.Mention{{}}}}, Missing: []*wire.ConversationRef{{}},
				}}}
			}
			return c.ft.Answer(req)
		})
		c.ft.Push(
			&wire.Event{}, &wire.Event{Message: &wire.Message{}}, &wire.Event{Revoked: &wire.Message{}}, &wire.Event{Edited: &wire.Message{Type: -1}},
			&wire.Event{Reaction: &wire.ReactionChange{}}, &wire.Event{Reaction: &wire.ReactionChange{Message: &wire.Message{}, Changes: []*wire.ReactionUserChange{{}}}},
			&wire.Event{Pins: []*wire.PinChange{{}}}, &wire.Event{Deleted: &wire.MessagesDeleted{}}, &wire.Event{Replied: []*wire.Message{{}}},
			&wire.Event{RepliedCount: &wire.RepliedCount{}}, &wire.Event{Receipts: []*wire.Receipt{{}}}, &wire.Event{ConversationReceipt: &wire.Receipt{}},
			&wire.Event{Group: &wire.GroupChange{State: &wire.GroupStateChange{}, Members: []*wire.GroupMember{{}}}},
			&wire.Event{ConversationsDeleted: &wire.ConversationsDeleted{}}, &wire.Event{Conversations: []*wire.ConversationRef{{}}},
		)
		time.Sleep(time.Minute)
		c.ft.Push(faketransport.Text("bob", "last"))
		equal(t, "texts", &c.texts, []string{"last"})
	})
}

// took returns how long f took.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// A call does not wait for an event that does not come, whatever the reason is.
func TestCallsDoNotWaitForEver(t *testing.T) {
	for name, sync := range map[string]func(c *client, req *wire.Request) *wire.Response{
		"refused syncs": func(c *client, req *wire.Request) *wire.Response {
			return &wire.Response{Error: &wire.Error{Code: 6000008}}
		},
		"no such event": func(c *client, req *wire.Request) *wire.Response { return c.ft.Answer(req) },
		"no answers":    func(c *client, req *wire.Request) *wire.Response { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				c.login(t)
				c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
					switch {
					case req.GetSync() != nil:
						return sync(c, req)
					case req.GetChangeConversations() != nil:
						return &wire.Response{
							Body:     &wire.Response_ChangeConversations{ChangeConversations: new(wire.ChangeConversationsResponse)},
							EventSeq: 1000,
						}
					}
					return c.ft.Answer(req)
				})
				d := took(func() {
					if err := c.ClearConversationUnreadMessageCount(context.WithoutCancel(t.Context()), zim.Peer("bob")); err != nil {
						t.Error(err)
					}
				})
				if d > 30*time.Second {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// A service that leaves out what it is asked for is not asked without end.
func TestServiceLeavesConversationsOut(t *testing.T) {
	for name, list := range map[string]*wire.Conversations{
		"nothing": {},
		"left":    {Left: []*wire.ConversationRef{{Type: 0, Id: "bob"}}},
		"other and left": {
			Conversations: []*wire.Conversation{{Ref: &wire.ConversationRef{Id: "bob"}}}, Left: []*wire.ConversationRef{{Id: "bob"}, {Id: "carol"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				zim.On(c.ZIM, func(context.Context, *zim.ConversationChanged) {})
				c.login(t)
				queries := 0
				c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
					if req.GetQueryConversations() == nil {
						return c.ft.Answer(req)
					}
					if queries++; queries > 1000 {
						return nil
					}
					return &wire.Response{Body: &wire.Response_Conversations{Conversations: list}}
				})
				c.ft.Push(faketransport.Text("bob", "hello"))
				time.Sleep(time.Minute)
				synctest.Wait()
				if queries == 0 || queries > 30 {
					t.Errorf("%d queries in a minute", queries)
				}
			})
		})
	}
}

// A call that deletes all conversations returns, although its event has to wait for an answer and nobody handles totals.
func TestDeleteAllConversationsDuringAQuery(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		zim.On(c.ZIM, func(context.Context, *zim.ConversationChanged) {})
		zim.Off[zim.Event](c.ZIM)
		c.login(t)
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			switch b := req.Body.(type) {
			case *wire.Request_QueryConversations:
				time.AfterFunc(time.Second, func() { conn.Reply(req, conversationsOf(b.QueryConversations)) })
				return nil
			case *wire.Request_ChangeConversations:
				c.ft.Push(&wire.Event{ConversationsDeleted: &wire.ConversationsDeleted{}})
				return &wire.Response{
					Body:     &wire.Response_ChangeConversations{ChangeConversations: new(wire.ChangeConversationsResponse)},
					EventSeq: 2,
				}
			}
			return c.ft.Answer(req)
		})
		c.ft.Push(faketransport.Text("bob", "hello"))
		synctest.Wait()
		d := took(func() {
			if err := c.DeleteAllConversations(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
		if d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// A message to nobody fails in full as in empty queues, and what is said of its conversation comes when there is room.
func TestFailedSendWithAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft := faketransport.New(t)
		z, err := zim.New(zim.AppConfig{AppID: 1, Transport: ft, EventBuffer: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer z.Destroy()
		free := make(chan struct{})
		zim.On(z, func(context.Context, *zim.PeerMessageReceived) { <-free })
		var changed []string
		zim.On(z, func(_ context.Context, e *zim.ConversationChanged) {
			for _, info := range e.InfoList {
				changed = append(changed, fmt.Sprintf("%v %s", info.Event, info.Conversation.ConversationID))
			}
		})
		ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			switch b := req.Body.(type) {
			case *wire.Request_SendMessage:
				return &wire.Response{Error: &wire.Error{Code: int32(zim.ErrMessageTargetDoesNotExist)}}
			case *wire.Request_QueryConversations:
				return &wire.Response{Body: &wire.Response_Conversations{Conversations: &wire.Conversations{Missing: b.QueryConversations.Refs}}}
			}
			return ft.Answer(req)
		})
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); err != nil {
			t.Fatal(err)
		}
		ft.Push(faketransport.Text("bob", "1"), faketransport.Text("bob", "2"))
		synctest.Wait()
		if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("nobody"), nil); !errors.Is(err, zim.ErrMessageTargetDoesNotExist) {
			t.Error(err)
		}
		synctest.Wait()
		close(free)
		equal(t, "changed", &changed, []string{"Added nobody"})
	})
}

// An edit that happened although its call failed is told when its event comes; one whose call has told it is not.
func TestEditsThatSeemedToFail(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		edited := 0
		zim.On(c.ZIM, func(context.Context, *zim.MessageEdited) { edited++ })
		c.login(t)
		origin := c.ft.Logins()[0].InstanceId[:4]
		breaks := true
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetEditMessage() == nil {
				return c.ft.Answer(req)
			}
			m := &wire.Message{ConversationId: "bob", MessageId: 1, MessageSeq: 1, Type: 1}
			if breaks {
				conn.Drop()
			}
			c.ft.Push(&wire.Event{Edited: m, Origin: origin})
			return &wire.Response{Body: &wire.Response_Message{Message: m}}
		})
		config := zim.MessageEditConfig{Content: &zim.TextMessage{Message: "x"}}
		if _, err := c.EditMessage(t.Context(), hello(), config); !errors.Is(err, zim.ErrCommonIMServerDisconnect) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if edited != 1 {
			t.Errorf("told %d times after a failure", edited)
		}
		breaks = false
		if _, err := c.EditMessage(t.Context(), hello(), config); err != nil {
			t.Error(err)
		}
		if _, err := c.EditMessage(t.Context(), hello(), config); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if edited > 2 {
			t.Errorf("told %d times after two successes", edited)
		}
	})
}

// A call that waits for what it changes in conversations returns when the session ends, on whatever goroutine that happens.
func TestLogoutWhileACallSettles(t *testing.T) {
	for _, how := range []string{"logout", "destroy", "kicked out", "lost"} {
		t.Run(how, func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				zim.On(c.ZIM, func(context.Context, *zim.ConversationChanged) {})
				zim.On(c.ZIM, func(ctx context.Context, e *zim.BroadcastMessageReceived) {
					switch how {
					case "logout":
						c.Logout(ctx, nil)
					case "destroy":
						c.Destroy()
					}
				})
				c.login(t)
				c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
					switch req.Body.(type) {
					case *wire.Request_QueryConversations:
						return nil
					case *wire.Request_ChangeConversations:
						c.ft.Push(faketransport.Text("bob", "touched"))
						return &wire.Response{
							Body:     &wire.Response_ChangeConversations{ChangeConversations: new(wire.ChangeConversationsResponse)},
							EventSeq: 1,
						}
					}
					return c.ft.Answer(req)
				})
				time.AfterFunc(time.Second, func() {
					switch how {
					case "kicked out":
						c.ft.PushRaw(&wire.Push{SessionEnd: new(wire.SessionEnd)})
					case "lost":
						c.ft.Drop()
					default:
						c.ft.PushRaw(&wire.Push{Transient: []*wire.Message{{Type: 2, IsBroadcast: true}}})
					}
				})
				if d := took(func() { c.ClearConversationUnreadMessageCount(t.Context(), zim.Peer("bob")) }); d > 2*time.Second {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// A send whose caller gave up, and which was stored after all, is the last message of its conversation then.
func TestLateAcknowledgmentInAConversation(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		var last []string
		zim.On(c.ZIM, func(_ context.Context, e *zim.ConversationChanged) {
			for _, info := range e.InfoList {
				last = append(last, fmt.Sprint(info.Conversation.LastMessage.SentStatus))
			}
		})
		c.login(t)
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			switch b := req.Body.(type) {
			case *wire.Request_SendMessage:
				time.AfterFunc(2*time.Second, func() { conn.Reply(req, c.ft.Answer(req)) })
				return nil
			case *wire.Request_QueryConversations:
				list := new(wire.Conversations)
				for _, ref := range b.QueryConversations.Refs {
					list.Conversations = append(list.Conversations, &wire.Conversation{Ref: ref, LastMessage: &wire.Message{MessageSeq: 1}})
				}
				return &wire.Response{Body: &wire.Response_Conversations{Conversations: list}}
			}
			return c.ft.Answer(req)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil); !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		equal(t, "last", &last, []string{"Sending", "Failed", "Success"})
	})
}

// However many messages a service says that it keeps no longer, that many are told at most, and then the dispatcher rests.
func TestServiceForgetsMoreThanThereIs(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		dropped := 0
		zim.On(c.ZIM, func(_ context.Context, e *zim.EventsDropped) { dropped += e.Count })
		c.login(t)
		c.ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			enter := req.GetEnterRoom()
			if enter == nil {
				return c.ft.Answer(req)
			}
			resp := new(wire.EnterRoomResponse)
			if enter.Mode == wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME {
				resp.Last = 1<<63 - 10
			}
			return &wire.Response{Body: &wire.Response_EnterRoom{EnterRoom: resp}}
		})
		rooms := []string{"a", "b"}
		for _, id := range rooms {
			if _, err := c.JoinRoom(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range rooms {
			c.ft.PushRaw(&wire.Push{Transient: []*wire.Message{{ConversationType: 1, ConversationId: id, MessageId: 9, MessageSeq: 1<<63 - 10}}})
		}
		synctest.Wait()
		if dropped <= 0 {
			t.Errorf("got %d", dropped)
		}
	})
}
