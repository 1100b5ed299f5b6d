// Package apicode has the documented return codes of the Server API, which callbacks have, too.
package apicode

// Return codes, as far as they are given here. Code and SubCode of answers, and send_result of callbacks, share them.
const (
	OK       = 0
	Overload = 7
	Storage  = 105001

	GatewayAppID              = 100000001
	GatewayTimestampMissing   = 100000002
	GatewayTimestampFormat    = 100000003
	GatewayExpired            = 100000004
	GatewaySignature          = 100000005
	GatewayActionMissing      = 100000006
	GatewayActionUnknown      = 100000007
	GatewayNonceMissing       = 100000008
	GatewaySignatureMissing   = 100000009
	GatewayBody               = 100000012
	GatewayVersionMissing     = 100000013
	GatewayVersionUnsupported = 100000014
	GatewayAppNotLive         = 100000016

	Generic       = 660000001
	Input         = 660000002
	Logic         = 660000003
	TooManyUsers  = 660000011
	UserIDTooLong = 660000012
	NoMessage     = 660000022
	Recalled      = 660000023
	RecallTooLate = 660000024
	NotBase64     = 660000025
	NotTheSender  = 660000026

	UserAbsent = 660200001

	NoRoom        = 660300001
	NotInRoom     = 660300002
	AppRate       = 660300005
	GroupRoomRate = 660300006
	RoomEmpty     = 660300008
	NotInThisRoom = 660300012
	RoomReceipt   = 660300013
	RoomExists    = 660300014
	RoomQuota     = 660300015

	MessageTooBig      = 660400001
	TooManyReceipts    = 660400102
	GroupReceiptFailed = 660400103
	PeerReceiptFailed  = 660400104

	Actor         = 660500002
	BroadcastRate = 660500003
	Silenced      = 660500009
	Refused       = 660500010

	NoGroup          = 660600001
	MemberListRate   = 660600004
	KickRate         = 660600005
	TargetNotInGroup = 660600008
	GroupListRate    = 660600007
	CreateGroupRate  = 660600010
	GroupExists      = 660600011
	OwnerUnknown     = 660600013
	TooManyMembers   = 660600016
	MemberNotJoined  = 660600017
	NotInGroup       = 660600024
	NoAuthority      = 660600032

	RegisterRate     = 660700001
	UserExists       = 660700002
	UserNameTooLong  = 660700006
	AvatarTooLong    = 660700007
	UserInfo         = 660700008
	UserNotFound     = 660700012
	UserUnregistered = 660700015

	NoConversation = 660800002
	PinListFull    = 660800048
	MarksFailed    = 660800054

	EditTooLate = 661000001
	EditFailed  = 661000005
)

// Of returns the return code for a code that the backend refuses with. What has none of its own is bad input.
func Of(code int32) int {
	if c, ok := codes[code]; ok {
		return c
	}
	return Input
}

var codes = map[int32]int{
	6000003: GatewayAppNotLive,
	6000005: Overload,
	6000007: Generic, // also when nobody knows whether it was done
	6000008: Storage,
	6000011: Actor,
	6000204: NoMessage,
	6000205: EditFailed,
	6000277: PeerReceiptFailed,
	6000278: RecallTooLate,
	6000279: Recalled,
	6000282: TooManyReceipts,
	6000285: NotTheSender,
	6000286: EditTooLate,
	6000321: NotInRoom,
	6000322: NoRoom,
	6000323: RoomExists,
	6000324: RoomQuota,
	6000521: NotInGroup,
	6000522: MemberNotJoined,
	6000523: NoGroup,
	6000524: GroupExists,
	6000525: MemberNotJoined,
	6000527: GroupExists, // an ID is not used again
	6000541: NoAuthority,
	6000603: NoConversation,
	6000604: PinListFull,
	-4:      Logic,
}
