package cloud_test

import (
	"context"

	"github.com/zim-go/zim"
)

// describe registers handlers that take down what they are told.
func describe(u *user) {
	zim.On(u.ZIM, func(_ context.Context, e *zim.PeerMessageReceived) {
		u.note("peer %s%s", e.FromConversationID, messages(e.Messages))
	})
	zim.On(u.ZIM, func(_ context.Context, e *zim.GroupMessageReceived) {
		u.note("group %s%s", e.FromConversationID, messages(e.Messages))
	})
	zim.On(u.ZIM, func(_ context.Context, e *zim.RoomMessageReceived) {
		u.note("room %s%s", e.FromConversationID, messages(e.Messages))
	})
	zim.On(u.ZIM, func(_ context.Context, e *zim.MessageEdited) { u.note("edited%s", messages(e.MessageList)) })
	zim.On(u.ZIM, func(_ context.Context, e *zim.SyncReset) { u.note("reset") })
	zim.On(u.ZIM, func(_ context.Context, e *zim.GroupStateChanged) {
		u.note("group %s: %v %v by %q", e.GroupInfo.BaseInfo.GroupID, e.State, e.Event, e.OperatedInfo.UserID)
	})
	zim.On(u.ZIM, func(_ context.Context, e *zim.GroupMemberStateChanged) {
		var ids []string
		for _, m := range e.UserList {
			ids = append(ids, m.UserID)
		}
		u.note("group %s members: %v %v %v by %q", e.GroupID, ids, e.State, e.Event, e.OperatedInfo.UserID)
	})
	zim.On(u.ZIM, func(_ context.Context, e *zim.RoomMemberJoined) {
		u.note("room %s: joined %s", e.RoomID, e.MemberList[0].UserID)
	})
	zim.On(u.ZIM, func(_ context.Context, e *zim.RoomMemberLeft) {
		u.note("room %s: left %s", e.RoomID, e.MemberList[0].UserID)
	})
	zim.On(u.ZIM, func(_ context.Context, e *zim.RoomStateChanged) { u.note("room %s: %v %v", e.RoomID, e.State, e.Event) })
}
