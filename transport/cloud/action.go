package cloud

import "golang.org/x/time/rate"

// An action is something that the service does, as its documentation has it.
type action struct {
	name    string
	get     bool       // its parameters are in the URL
	rate    rate.Limit // in a second, for the whole app
	perKey  rate.Limit // in a second, for one group or room; 0: no limit of its own
	perDay  int        // in 24 hours, for the whole app; 0: no limit of its own
	counted string     // the parameter whose items count for the rate, instead of requests
	repeat  bool       // doing it twice is doing it once
}

// usual is the rate of actions without one of their own.
const usual = 20

// What reads, and what sets a state, can be repeated. What makes something can't: the service has no key by which it would know the same
// request again.
var (
	userRegister          = &action{name: "UserRegister", rate: usual, repeat: true}
	robotRegister         = &action{name: "RobotRegister", rate: usual, repeat: true}
	modifyUserInfo        = &action{name: "ModifyUserInfo", rate: usual, repeat: true}
	queryGroupsInfoOfUser = &action{name: "QueryGroupsInfoOfUser", rate: usual, repeat: true}

	sendPeerMessage       = &action{name: "SendPeerMessage", rate: usual}
	sendGroupMessage      = &action{name: "SendGroupMessage", rate: 10}
	sendRoomMessage       = &action{name: "SendRoomMessage", rate: 10}
	sendMessageToAllUsers = &action{name: "SendMessageToAllUsers", rate: 1, perDay: 100}
	importPeerMsg         = &action{name: "ImportPeerMsg", rate: usual}
	importGroupMsg        = &action{name: "ImportGroupMsg", rate: usual}
	editC2cMsgBody        = &action{name: "EditC2cMsgBody", rate: usual, repeat: true}
	editGroupMsgBody      = &action{name: "EditGroupMsgBody", rate: usual, repeat: true}
	revokePeerMessage     = &action{name: "RevokePeerMessage", rate: usual, repeat: true}
	revokeGroupMessage    = &action{name: "RevokeGroupMessage", rate: usual, repeat: true}
	queryMessagesByMsgSeq = &action{name: "QueryMessagesByMsgSeq", rate: usual, counted: "MsgSeqList", repeat: true}
	c2cReadReceipt        = &action{name: "C2cReadReceipt", rate: usual, repeat: true}
	groupReadReceipt      = &action{name: "GroupReadReceipt", rate: usual, repeat: true}
	c2cDeliveryReceipt    = &action{name: "C2cDeliveryReceipt", rate: usual, repeat: true}
	groupDeliveryReceipt  = &action{name: "GroupDeliveryReceipt", rate: usual, repeat: true}
	clearPeerMessage      = &action{name: "ClearPeerMessage", rate: usual, repeat: true}
	clearMemberGroupMsg   = &action{name: "ClearMemberGroupMessage", rate: usual, repeat: true}
	queryPeerMsg          = &action{name: "QueryPeerMsg", rate: usual, repeat: true}
	queryGroupMsg         = &action{name: "QueryGroupMsg", rate: usual, repeat: true}

	queryConversationList   = &action{name: "QueryConversationList", rate: usual, repeat: true}
	convPinned              = &action{name: "ConvPinned", rate: usual, repeat: true}
	silenceConvNotification = &action{name: "SilenceConvNotification", rate: usual, repeat: true}
	setConvMark             = &action{name: "SetConvMark", rate: usual, repeat: true}
	clearConversationUnread = &action{name: "ClearConversationUnread", get: true, rate: usual, repeat: true}
	deleteConv              = &action{name: "DeleteConv", rate: usual, repeat: true}

	createGroup          = &action{name: "CreateGroup", rate: usual}
	dismissGroup         = &action{name: "DismissGroup", get: true, rate: usual, perKey: 1}
	inviteUsersIntoGroup = &action{name: "InviteUsersIntoGroup", rate: usual, perKey: 1}
	kickoutGroupUser     = &action{name: "KickoutGroupUser", rate: usual}
	queryGroupInfo       = &action{name: "QueryGroupInfo", rate: usual, repeat: true}
	modifyGroupLimit     = &action{name: "ModifyGroupLimit", get: true, rate: usual, repeat: true}
	queryGroupMemberList = &action{name: "QueryGroupMemberList", rate: usual, repeat: true}
	queryAppGroupList    = &action{name: "QueryAppGroupList", get: true, rate: 1, repeat: true}
	fetchForbidGroupList = &action{name: "FetchForbidGroupList", rate: usual, repeat: true}

	createRoom        = &action{name: "CreateRoom", rate: usual}
	destroyRoom       = &action{name: "DestroyRoom", get: true, rate: usual}
	queryRoomUserList = &action{name: "QueryRoomUserList", get: true, rate: usual, repeat: true}
	queryRoomMembers  = &action{name: "QueryRoomMembers", get: true, rate: usual, perKey: 5, repeat: true}
	kickoutRoomUser   = &action{name: "KickoutRoomUser", get: true, rate: usual}
	deleteAllFriends  = &action{name: "DeleteAllFriends", get: true, rate: usual, repeat: true}
)
