package cloud_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/cloud"
)

// A history is a conversation at the service, from number n down to 1, whose cursors count what was read.
func history(n int) func(args) answer {
	return func(a args) answer {
		limit, _ := a["Limit"].(json.Number).Int64()
		at, _ := a["Next"].(json.Number).Int64()
		var list []any
		for i := int(at); i < min(int(at+limit), n); i++ {
			seq := n - i
			sender := []string{"alice", "bob"}[seq%2]
			list = append(list, answer{
				"Sender": sender, "MsgType": 1, "MsgBody": fmt.Sprint(seq), "MsgId": json.Number(fmt.Sprint(1234567890123456000 + seq)), "MsgSeq": seq,
				"MsgTime": 946_684_800_000 + seq, "Payload": "p",
			})
		}
		next := at + limit
		if int(next) >= n {
			next = 0
		}
		return answer{"List": list, "Next": next}
	}
}

func texts(list []*zim.Message) (got []string) {
	for _, m := range list {
		got = append(got, m.Content.(*zim.TextMessage).Message)
	}
	return got
}

func TestHistory(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.on("QueryPeerMsg", history(250))
		n := 250
		for m, err := range z.HistoryMessages(t.Context(), zim.Peer("bob"), zim.MessageOrderDescending) {
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Content.(*zim.TextMessage).Message; got != fmt.Sprint(n) || m.Seq != int64(n) || m.ID != fmt.Sprint(1234567890123456000+n) || m.ExtendedData != "p" {
				t.Fatalf("got %+v, want %d", m, n)
			}
			if mine := n%2 == 0; (m.Direction == zim.MessageDirectionSend) != mine || m.Conversation != zim.Peer("bob") {
				t.Errorf("%d: %v in %v", n, m.Direction, m.Conversation)
			}
			n--
		}
		if n != 0 || len(g.requests("QueryPeerMsg")) != 3 {
			t.Errorf("%d left after %d pages", n, len(g.requests("QueryPeerMsg")))
		}
		// From a message that no page ended with, which has no cursor.
		page, err := z.QueryHistoryMessage(t.Context(), zim.Peer("bob"), zim.MessageQueryConfig{
			NextMessage: &zim.Message{Seq: 146, Conversation: zim.Peer("bob")}, Count: 3, Reverse: true,
		})
		if err != nil || !slices.Equal(texts(page), []string{"143", "144", "145"}) {
			t.Errorf("got %v, %v", texts(page), err)
		}
		if _, err := z.QueryHistoryMessage(t.Context(), zim.Peer("bob"), zim.MessageQueryConfig{}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("from the beginning: %v", err)
		}
	})
}

func TestNumberedEditedRevoked(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z, ctx := login(t, s, "alice"), t.Context()
		message := answer{"Sender": "alice", "MsgType": 1, "MsgBody": "a", "MsgId": 5, "MsgSeq": 3, "MsgTime": 946_684_800_000}
		g.on("QueryMessagesByMsgSeq", always(answer{"MessageList": []any{message, answer{"IsEmpty": 1}}}))
		list, err := z.QueryMessages(ctx, zim.Peer("bob"), []int64{3, 4})
		if err != nil || len(list) != 1 || list[0].ID != "5" {
			t.Fatalf("%v, %v", list, err)
		}
		g.on("EditC2cMsgBody", always(answer{"LatestEditTime": 946_684_900}))
		edited, err := z.EditMessage(ctx, list[0], zim.MessageEditConfig{Content: &zim.TextMessage{Message: "b"}, ExtendedData: "x"})
		if err != nil || edited.Content.(*zim.TextMessage).Message != "b" || edited.EditorUserID != "alice" || edited.EditedTime.UnixMilli() != 946_684_900_000 || edited.ID != "5" {
			t.Errorf("edited: %+v, %v", edited, err)
		}
		has(t, g.one("EditC2cMsgBody"), args{"SenderId": "alice", "ConvId": "bob", "ConvMsgSeq": 3, "EditType": 15, "MessageBody": args{"Message": "b", "ExtendedData": "x"}})
		g.on("RevokePeerMessage", failure(660000023)) // the first try did it
		revoked := answer{"Sender": "alice", "MsgType": 31, "MsgSeq": 3, "MsgId": 5, "IsEmpty": 2, "MsgBody": `{"msg_status":12,"msg_type":1,"payload":"why","revoke_time":946684900000,"user_id":"alice"}`}
		g.on("QueryMessagesByMsgSeq", always(answer{"MessageList": []any{revoked}}))
		m, err := z.RevokeMessage(ctx, list[0], &zim.MessageRevokeConfig{RevokeExtendedData: "why"})
		if err != nil {
			t.Fatal(err)
		}
		r, ok := m.Content.(*zim.RevokeMessage)
		if !ok || r.RevokeExtendedData != "why" || r.RevokeStatus != zim.MessageRevokeStatusServerAPIRevoke || r.OperatedUserID != "alice" {
			t.Errorf("revoked: %+v", m.Content)
		}
		g.on("RevokePeerMessage", failure(660000024))
		if _, err := z.RevokeMessage(ctx, list[0], nil); zim.CodeOf(err) != zim.ErrMessageMessageExceedsRevokeTime {
			t.Errorf("too late: %v", err)
		}
	})
}

func TestConversations(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z, ctx := login(t, s, "alice"), t.Context()
		g.on("QueryConversationList", always(answer{"List": []any{
			answer{"ConvId": "old", "UpdateTime": 946_684_800_000}, answer{"ConvId": "g", "ConvType": 2, "UpdateTime": 946_684_900_000},
			answer{"ConvId": "new", "UpdateTime": 946_685_000_000},
		}}))
		g.on("QueryPeerMsg", history(9))
		g.on("QueryGroupMsg", history(4))
		var got []string
		for c, err := range z.Conversations(ctx, zim.ConversationFilterOption{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, c.ConversationID+c.LastMessage.Content.(*zim.TextMessage).Message)
		}
		if !slices.Equal(got, []string{"new9", "g4", "old9"}) {
			t.Errorf("got %v", got)
		}
		if c, err := z.QueryConversation(ctx, zim.Group("g")); err != nil || c.LastMessage.Seq != 4 {
			t.Errorf("%+v, %v", c, err)
		}
		if _, err := z.QueryConversation(ctx, zim.Peer("nobody")); zim.CodeOf(err) != zim.ErrConversationConversationDoesNotExist {
			t.Errorf("of nobody: %v", err)
		}
		if err := z.UpdateConversationPinnedState(ctx, zim.Group("g"), true); err != nil {
			t.Error(err)
		}
		has(t, g.one("ConvPinned"), args{"FromUserId": "alice", "PinnedType": 1, "ConvList": []any{args{"ConvId": "g", "ConvType": 2}}})
		g.on("SilenceConvNotification", always(answer{"Code": 660800051, "ErrorList": []any{answer{"ConvId": "old", "SubCode": 660800051}}}))
		if err := z.SetConversationNotificationStatus(ctx, zim.Peer("old"), zim.ConversationNotificationStatusDoNotDisturb); err != nil {
			t.Error("already so:", err)
		}
		has(t, g.one("SilenceConvNotification"), args{"ConvType": 0, "ConvIds": []any{"old"}, "Enable": true})
		g.on("SetConvMark", always(answer{"FailList": []any{answer{"UserId": "alice", "FailList": []any{answer{"ConvId": "new", "ConvType": 0}}}}}))
		failed, err := z.SetConversationMark(ctx, 3, true, []zim.ConversationRef{zim.Peer("old"), zim.Peer("new")})
		if err != nil || !slices.Equal(failed, []zim.ConversationRef{zim.Peer("new")}) {
			t.Errorf("%v, %v", failed, err)
		}
		if err := z.ClearConversationTotalUnreadMessageCount(ctx); err != nil || len(g.requests("ClearConversationUnread")) != 3 {
			t.Errorf("%d cleared, %v", len(g.requests("ClearConversationUnread")), err)
		}
		if err := z.DeleteConversation(ctx, zim.Peer("old"), nil); err != nil {
			t.Error(err)
		}
		has(t, g.one("DeleteConv"), args{"ConvId": "old", "ConvType": 0})
		if err := z.DeleteAllMessage(ctx, zim.Group("g"), nil); err != nil {
			t.Error(err)
		}
		has(t, g.one("ClearMemberGroupMessage"), args{"GroupId": "g"})
		if err := z.SendConversationMessageReceiptRead(ctx, zim.Peer("bob")); err != nil {
			t.Error(err)
		}
		has(t, g.one("C2cReadReceipt"), args{"ConvId": "bob", "ConvMsgSeq": []any{9, 7, 5, 3, 1}})
	})
}

func TestGroups(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z, ctx := login(t, s, "alice"), t.Context()
		g.on("CreateGroup", always(answer{
			"Members":    []any{answer{"UserId": "bob"}, answer{"UserId": "alice"}},
			"ErrorUsers": []any{answer{"UserId": "eve", "SubCode": 660700015}},
		}))
		g.on("QueryGroupInfo", always(answer{"GroupName": "G", "GroupCreateTime": 946_684_800, "LimitInfo": answer{"JoinMode": 1, "MemberCountLimit": 9}}))
		made, err := z.CreateGroup(ctx, zim.GroupInfo{GroupName: "G"}, []string{"bob", "eve"}, &zim.GroupAdvancedConfig{JoinMode: zim.GroupJoinModeAuth})
		if err != nil {
			t.Fatal(err)
		}
		id := made.GroupInfo.BaseInfo.GroupID
		if len(id) != 17 || made.GroupInfo.CreateTime.UnixMilli() != 946_684_800_000 || len(made.UserList) != 2 || made.UserList[0].UserID != "alice" {
			t.Errorf("got %+v", made)
		}
		if len(made.ErrorUserList) != 1 || made.ErrorUserList[0] != (zim.ErrorUserInfo{UserID: "eve", Reason: zim.ErrCommonUserIsNotExist}) {
			t.Errorf("failed: %v", made.ErrorUserList)
		}
		has(t, g.one("CreateGroup"), args{"GroupId": id, "GroupOwner": "alice", "UserId": []any{"bob", "eve"}, "GroupNotice": nil})
		has(t, g.one("ModifyGroupLimit"), args{"GroupId": id, "JoinMode": 1, "InviteMode": nil})

		g.on("QueryGroupMemberList", always(answer{"TotalCount": 2, "MemberList": []any{
			answer{"UserId": "alice", "UserName": "A", "UserNickName": "a", "Role": 2}, answer{"UserId": "bob", "Role": 3},
		}}))
		if n, err := z.QueryGroupMemberCount(ctx, "g"); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if m, err := z.QueryGroupMemberInfo(ctx, "alice", "g"); err != nil || m.UserName != "A" || m.MemberNickname != "a" || m.MemberRole != 2 {
			t.Errorf("%+v, %v", m, err)
		}
		if err := z.DismissGroup(ctx, "g"); zim.CodeOf(err) != zim.ErrGroupGroupNoCorrespondingOperationAuthority || len(g.requests("DismissGroup")) != 0 {
			t.Errorf("an administrator: %v", err)
		}
		g.on("KickoutGroupUser", always(answer{"ErrorList": []any{answer{"UserId": "eve", "SubCode": 660600008}}}))
		kicked, err := z.KickGroupMembers(ctx, []string{"bob", "eve"}, "g")
		if err != nil || !slices.Equal(kicked.KickedUserIDs, []string{"bob"}) || kicked.ErrorUserList[0].Reason != zim.ErrGroupUserIsNotInTheGroup {
			t.Errorf("%+v, %v", kicked, err)
		}
		g.on("QueryGroupsInfoOfUser", func(a args) answer {
			if a["Next"] == "" {
				return answer{"NextRsp": "9", "GroupInfoList": []any{answer{"GroupId": "1"}}}
			}
			return answer{"NextRsp": "0", "GroupInfoList": []any{answer{"GroupId": "2"}}}
		})
		n := 0
		for _, err := range z.Groups(ctx) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if n != 2 {
			t.Errorf("%d groups", n)
		}
	})
}

// The service looks at nobody's permission to join. The Service's operator lets users into open groups only.
func TestJoinGroup(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		s.Operator = "root"
		z := login(t, s, "alice")
		mode := 0
		g.on("QueryGroupInfo", func(args) answer { return answer{"LimitInfo": answer{"JoinMode": mode}} })
		if _, err := z.JoinGroup(t.Context(), "g"); err != nil {
			t.Error(err)
		}
		has(t, g.one("InviteUsersIntoGroup"), args{"FromUserId": "root", "UserIds": []any{"alice"}})
		for m, want := range map[int]zim.Code{1: zim.ErrGroupNeedApplyJoinGroupError, 2: zim.ErrGroupForbidJoinGroupError} {
			mode = m
			if _, err := z.JoinGroup(t.Context(), "g"); zim.CodeOf(err) != want {
				t.Errorf("mode %d: %v", m, err)
			}
		}
		g.one("InviteUsersIntoGroup")
	})
}

func TestRooms(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z, ctx := login(t, s, "alice"), t.Context()
		g.on("CreateRoom", failure(660300014))
		if _, err := z.CreateRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil); zim.CodeOf(err) != zim.ErrRoomTheRoomAlreadyExists {
			t.Errorf("create: %v", err)
		}
		if _, err := z.EnterRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil); err != nil {
			t.Errorf("enter: %v", err)
		}
		g.on("QueryRoomUserList", failure(660300001))
		if _, err := z.JoinRoom(ctx, "none"); zim.CodeOf(err) != zim.ErrRoomTheRoomDoesNotExist {
			t.Errorf("join: %v", err)
		}
		g.on("QueryRoomUserList", failure(660300008))
		if n, err := z.QueryRoomOnlineMemberCount(ctx, "r"); n != 0 || err != nil {
			t.Errorf("of an empty room: %d, %v", n, err)
		}
		g.on("QueryRoomUserList", always(answer{"Count": 1, "NextFlag": "0", "UserList": []any{answer{"UserId": "bob", "UserName": "B"}}}))
		list, next, err := z.QueryRoomMemberList(ctx, "r", zim.RoomMemberQueryConfig{})
		if err != nil || next != "" || len(list) != 1 || list[0].UserName != "B" {
			t.Errorf("%v, %q, %v", list, next, err)
		}
		g.on("QueryRoomMembers", always(answer{
			"UserList":  []any{answer{"user_id": "bob", "user_name": "B", "avatar": "a", "extra": "e"}},
			"ErrorList": []any{answer{"UserId": "eve", "SubCode": 660300012}},
		}))
		members, failed, err := z.QueryRoomMembers(ctx, []string{"bob", "eve"}, "r")
		if err != nil || len(members) != 1 || *members[0] != (zim.UserInfo{UserID: "bob", UserName: "B", UserAvatarUrl: "a", UserExtendedData: "e"}) ||
			len(failed) != 1 || failed[0].Reason != zim.ErrRoomUserIsNotInTheRoom {
			t.Errorf("%v, %v, %v", members, failed, err)
		}
		if err := z.LeaveRoom(ctx, "r"); err != nil {
			t.Error(err)
		}
	})
}
