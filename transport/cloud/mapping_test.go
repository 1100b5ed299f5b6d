package cloud_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/cloud"
)

// calls returns a call of each method that the service is asked for, or could be. m is a message of alice's to bob.
func calls(ctx context.Context, z *zim.ZIM, m *zim.Message) map[string]func() error {
	return map[string]func() error{
		"RenewToken": func() error { return z.RenewToken(ctx, "-") },
		"QueryConversationList": func() error {
			return second(z.QueryConversationList(ctx, zim.ConversationQueryConfig{Count: 9}))
		},
		"QueryConversation": func() error {
			return second(z.QueryConversation(ctx, bob))
		},
		"QueryConversationPinnedList": func() error {
			return second(z.QueryConversationPinnedList(ctx, zim.ConversationQueryConfig{Count: 9}))
		},
		"UpdateConversationPinnedState": func() error {
			return z.UpdateConversationPinnedState(ctx, bob, true)
		},
		"DeleteConversation": func() error {
			return z.DeleteConversation(ctx, bob, nil)
		},
		"DeleteAllConversations": func() error { return z.DeleteAllConversations(ctx, nil) },
		"ClearConversationUnreadMessageCount": func() error {
			return z.ClearConversationUnreadMessageCount(ctx, bob)
		},
		"ClearConversationTotalUnreadMessageCount": func() error {
			return z.ClearConversationTotalUnreadMessageCount(ctx)
		},
		"QueryConversationTotalUnreadMessageCount": func() error {
			return second(z.QueryConversationTotalUnreadMessageCount(ctx, zim.ConversationTotalUnreadMessageCountQueryConfig{}))
		},
		"SetConversationNotificationStatus": func() error {
			return z.SetConversationNotificationStatus(ctx, bob, 2)
		},
		"SendConversationMessageReceiptRead": func() error {
			return z.SendConversationMessageReceiptRead(ctx, bob)
		},
		"SetConversationDraft": func() error {
			return z.SetConversationDraft(ctx, bob, "d")
		},
		"SetConversationMark": func() error {
			return second(z.SetConversationMark(ctx, 1, true, []zim.ConversationRef{bob}))
		},
		"SearchLocalConversations": func() error {
			return second(z.SearchLocalConversations(ctx, zim.ConversationSearchConfig{TotalConversationCount: 1, ConversationMessageCount: 1, Keywords: []string{"x"}}))
		},
		"SendMessage": func() error {
			return second(z.SendMessage(ctx, text, bob, nil))
		},
		"QueryHistoryMessage": func() error {
			return second(z.QueryHistoryMessage(ctx, bob, zim.MessageQueryConfig{Reverse: true}))
		},
		"QueryMessages": func() error {
			return second(z.QueryMessages(ctx, bob, []int64{1}))
		},
		"DeleteMessages": func() error {
			return z.DeleteMessages(ctx, bob, []*zim.Message{m}, nil)
		},
		"DeleteAllMessage": func() error { return z.DeleteAllMessage(ctx, bob, nil) },
		"DeleteAllConversationMessages": func() error {
			return z.DeleteAllConversationMessages(ctx, nil)
		},
		"InsertMessageToLocalDB": func() error {
			return second(z.InsertMessageToLocalDB(ctx, text, bob, "bob"))
		},
		"SendMessageReceiptsRead": func() error {
			return second(z.SendMessageReceiptsRead(ctx, bob, []*zim.Message{m}))
		},
		"QueryMessageReceiptsInfo": func() error {
			_, _, err := z.QueryMessageReceiptsInfo(ctx, bob, []*zim.Message{m})
			return err
		},
		"RevokeMessage": func() error {
			return second(z.RevokeMessage(ctx, m, nil))
		},
		"UpdateMessageLocalExtendedData": func() error {
			return second(z.UpdateMessageLocalExtendedData(ctx, "x", m))
		},
		"EditMessage": func() error {
			return second(z.EditMessage(ctx, m, zim.MessageEditConfig{Content: text}))
		},
		"SearchLocalMessages": func() error {
			return second(z.SearchLocalMessages(ctx, bob, zim.MessageSearchConfig{Count: 1, Keywords: []string{"x"}}))
		},
		"SearchGlobalLocalMessages": func() error {
			return second(z.SearchGlobalLocalMessages(ctx, zim.MessageSearchConfig{Count: 1, Keywords: []string{"x"}}))
		},
		"AddMessageReaction": func() error {
			return second(z.AddMessageReaction(ctx, "+1", m, nil))
		},
		"DeleteMessageReaction": func() error {
			return second(z.DeleteMessageReaction(ctx, "+1", m))
		},
		"DeleteMessageAllReactions": func() error {
			return z.DeleteMessageAllReactions(ctx, m)
		},
		"QueryMessageReactionUserList": func() error {
			return second(z.QueryMessageReactionUserList(ctx, m, zim.MessageReactionUserQueryConfig{ReactionType: "+1"}))
		},
		"QueryCombineMessageDetail": func() error {
			return second(z.QueryCombineMessageDetail(ctx, m))
		},
		"ReplyMessage": func() error {
			return second(z.ReplyMessage(ctx, text, m, nil))
		},
		"QueryMessageRepliedList": func() error {
			return second(z.QueryMessageRepliedList(ctx, m, zim.MessageRepliedListQueryConfig{}))
		},
		"PinMessage": func() error { return z.PinMessage(ctx, m, true, nil) },
		"QueryPinnedMessageList": func() error {
			return second(z.QueryPinnedMessageList(ctx, bob))
		},
		"CreateRoom": func() error {
			return second(z.CreateRoom(ctx, zim.RoomInfo{RoomID: "a"}, nil))
		},
		"JoinRoom": func() error { return second(z.JoinRoom(ctx, "b")) },
		"EnterRoom": func() error {
			return second(z.EnterRoom(ctx, zim.RoomInfo{RoomID: "c"}, nil))
		},
		"SwitchRoom": func() error {
			z.EnterRoom(ctx, zim.RoomInfo{RoomID: "d"}, nil)
			return second(z.SwitchRoom(ctx, "d", zim.RoomInfo{RoomID: "e"}, true, nil))
		},
		"LeaveRoom": func() error {
			z.EnterRoom(ctx, zim.RoomInfo{RoomID: "f"}, nil)
			return z.LeaveRoom(ctx, "f")
		},
		"LeaveAllRoom": func() error {
			z.EnterRoom(ctx, zim.RoomInfo{RoomID: "g"}, nil)
			return second(z.LeaveAllRoom(ctx))
		},
		"QueryRoomMemberList": func() error {
			_, _, err := z.QueryRoomMemberList(ctx, "r", zim.RoomMemberQueryConfig{})
			return err
		},
		"QueryRoomMembers": func() error {
			_, _, err := z.QueryRoomMembers(ctx, []string{"bob"}, "r")
			return err
		},
		"QueryRoomOnlineMemberCount": func() error {
			return second(z.QueryRoomOnlineMemberCount(ctx, "r"))
		},
		"CreateGroup": func() error {
			return second(z.CreateGroup(ctx, zim.GroupInfo{}, nil, nil))
		},
		"DismissGroup": func() error { return z.DismissGroup(ctx, "g") },
		"JoinGroup":    func() error { return second(z.JoinGroup(ctx, "g")) },
		"LeaveGroup":   func() error { return z.LeaveGroup(ctx, "g") },
		"InviteUsersIntoGroup": func() error {
			return second(z.InviteUsersIntoGroup(ctx, []string{"bob"}, "h"))
		},
		"KickGroupMembers": func() error {
			return second(z.KickGroupMembers(ctx, []string{"bob"}, "g"))
		},
		"QueryGroupInfo": func() error { return second(z.QueryGroupInfo(ctx, "g")) },
		"QueryGroupMemberInfo": func() error {
			return second(z.QueryGroupMemberInfo(ctx, "alice", "g"))
		},
		"QueryGroupList": func() error {
			_, _, err := z.QueryGroupList(ctx, zim.GroupListQueryConfig{})
			return err
		},
		"Groups": func() error {
			for _, err := range z.Groups(ctx) {
				return err
			}
			return nil
		},
		"QueryGroupMemberList": func() error {
			_, _, err := z.QueryGroupMemberList(ctx, "g", zim.GroupMemberQueryConfig{})
			return err
		},
		"QueryGroupMemberCount": func() error {
			return second(z.QueryGroupMemberCount(ctx, "g"))
		},
		"QueryGroupMessageReceiptReadMemberList": func() error {
			_, _, err := z.QueryGroupMessageReceiptReadMemberList(ctx, m, zim.GroupMessageReceiptMemberQueryConfig{})
			return err
		},
		"QueryGroupMessageReceiptUnreadMemberList": func() error {
			_, _, err := z.QueryGroupMessageReceiptUnreadMemberList(ctx, m, zim.GroupMessageReceiptMemberQueryConfig{})
			return err
		},
	}
}

var (
	bob  = zim.Peer("bob")
	text = &zim.TextMessage{Message: "x"}
)

func second[T any](_ T, err error) error { return err }

// withoutCalls are methods that the other tests call, or that ask for nothing.
var withoutCalls = regexp.MustCompile(`^ZIM\.(Login|Logout|Destroy|CancelSendingMessage)$`)

// The column for the cloud in docs/mapping.md is true: what it says works does, and the rest says why it can't.
func TestMapping(t *testing.T) {
	page, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	methods, _, _ := strings.Cut(string(page), "## Events")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `(ZIM\\.\\w+)`.*\\| ([a-z ]+) \\|$").FindAllStringSubmatch(methods, -1)
	if len(rows) < 60 {
		t.Fatalf("%d rows", len(rows))
	}
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		s.Operator = "root"
		g.fill()
		for _, row := range rows {
			method, cell := row[2], row[3]
			if withoutCalls.MatchString(method) {
				continue
			}
			z, err := zim.New(zim.AppConfig{AppID: appID, Transport: s, LocalStore: new(zim.MemoryStore)})
			if err == nil {
				err = z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "-"})
			}
			if err != nil {
				t.Fatal(err)
			}
			list, err := z.QueryMessages(t.Context(), bob, []int64{3})
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			call := calls(t.Context(), z, list[0])[strings.TrimPrefix(method, "ZIM.")]
			if call == nil {
				t.Errorf("%s is not called here", method)
				z.Destroy()
				continue
			}
			err = call()
			switch cell {
			case "yes", "partly":
				if err != nil {
					t.Errorf("%s: %q, but %v", method, cell, err)
				}
			case "no":
				if !errors.Is(err, errors.ErrUnsupported) || zim.CodeOf(err) != zim.ErrCommonUnsupportedRequest || !strings.Contains(err.Error(), "cloud: ") {
					t.Errorf("%s: %q, but %v", method, cell, err)
				}
			default:
				t.Errorf("%s: %q", method, cell)
			}
			z.Destroy()
		}
	})
}

// fill has the gateway answer queries with something of what was asked for.
func (g *gateway) fill() {
	g.on("SendPeerMessage", sent)
	g.on("QueryMessagesByMsgSeq", always(answer{"MessageList": []any{
		answer{"Sender": "alice", "MsgType": 1, "MsgBody": "a", "MsgId": json.Number("5"), "MsgSeq": 3, "MsgTime": 946_684_800_000},
	}}))
	g.on("QueryPeerMsg", history(9))
	g.on("QueryConversationList", always(answer{"List": []any{answer{"ConvId": "bob", "UpdateTime": 946_684_800_000}}}))
	g.on("QueryGroupMemberList", always(answer{"MemberList": []any{answer{"UserId": "alice", "Role": 1}}}))
	g.on("QueryRoomMembers", always(answer{"UserList": []any{answer{"user_id": "bob"}}}))
}
