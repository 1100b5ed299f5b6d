package restapi

import "reflect"

// An action is one thing that can be asked for. Which HTTP method the documentation has for it does not matter here.
type action struct {
	limit   limit
	weighed bool // what it counts for is in its input
	do      func(c *call, input tree) (any, *failure)
}

// act makes an action of what it is called with, an In, and what it does.
func act[In any](l limit, do func(c *call, in *In) (any, *failure)) *action {
	_, isWeighed := any(new(In)).(weighed)
	return &action{l, isWeighed, func(c *call, input tree) (any, *failure) {
		in := new(In)
		if f := bind(reflect.ValueOf(in).Elem(), input); f != nil {
			return nil, f
		}
		if isWeighed {
			if key, n := any(in).(weighed).weigh(); !c.allow(l, key, n) {
				return nil, fail(l.code, "too many calls of this action")
			}
		}
		return do(c, in)
	}}
}

// actions are those whose subject the backend has. The others are answered like names that nobody knows.
var actions = map[string]*action{
	"UserRegister":         act(registering, register),
	"RobotRegister":        act(registering, registerRobots),
	"ModifyUserInfo":       act(usual, modifyUserInfo),
	"QueryUserInfos":       act(usual, queryUserInfos),
	"QueryUserOnlineState": act(usual, queryUserOnlineState),

	"SendPeerMessage":       act(usual, sendPeerMessage),
	"SendGroupMessage":      act(toMany, sendGroupMessage),
	"SendRoomMessage":       act(toMany, sendRoomMessage),
	"SendMessageToAllUsers": act(toAll, sendMessageToAllUsers),
	"RevokePeerMessage":     act(usual, revokePeerMessage),
	"RevokeGroupMessage":    act(usual, revokeGroupMessage),
	"EditC2cMsgBody":        act(usual, editPeerMessage),
	"EditGroupMsgBody":      act(usual, editGroupMessage),

	"QueryPeerMsg":            act(usual, queryPeerMsg),
	"QueryGroupMsg":           act(usual, queryGroupMsg),
	"QueryMessagesByMsgSeq":   act(usual, queryMessagesByMsgSeq),
	"ClearPeerMessage":        act(usual, clearPeerMessage),
	"ClearMemberGroupMessage": act(usual, clearMemberGroupMessage),
	"C2cReadReceipt":          act(usual, peerReadReceipt),
	"GroupReadReceipt":        act(usual, groupReadReceipt),

	"QueryConversationList":   act(usual, queryConversationList),
	"ConvPinned":              act(usual, convPinned),
	"SilenceConvNotification": act(usual, silenceConvNotification),
	"SetConvMark":             act(usual, setConvMark),
	"ClearConversationUnread": act(usual, clearConversationUnread),
	"DeleteConv":              act(usual, deleteConv),

	"CreateGroup":           act(creatingGroup, createGroup),
	"DismissGroup":          act(perGroup, dismissGroup),
	"InviteUsersIntoGroup":  act(perGroup, inviteUsersIntoGroup),
	"KickoutGroupUser":      act(kicking, kickoutGroupUser),
	"QueryGroupInfo":        act(usual, queryGroupInfo),
	"QueryGroupMemberList":  act(listing, queryGroupMemberList),
	"QueryGroupsInfoOfUser": act(usual, queryGroupsInfoOfUser),
	"QueryAppGroupList":     act(listingGroups, queryAppGroupList),

	"CreateRoom":        act(usual, createRoom),
	"DestroyRoom":       act(usual, destroyRoom),
	"QueryRoomUserList": act(usual, queryRoomUserList),
	"QueryRoomMembers":  act(perRoom, queryRoomMembers),
	"KickoutRoomUser":   act(usual, kickoutRoomUser),
}
