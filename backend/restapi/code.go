package restapi

import "github.com/zim-go/zim/wire"

// Documented return codes, as far as they are given here. Code and SubCode share them.
const (
	codeOK       = 0
	codeOverload = 7
	codeStorage  = 105001

	gwAppID              = 100000001
	gwTimestampMissing   = 100000002
	gwTimestampFormat    = 100000003
	gwExpired            = 100000004
	gwSignature          = 100000005
	gwActionMissing      = 100000006
	gwActionUnknown      = 100000007
	gwNonceMissing       = 100000008
	gwSignatureMissing   = 100000009
	gwBody               = 100000012
	gwVersionMissing     = 100000013
	gwVersionUnsupported = 100000014
	gwAppNotLive         = 100000016

	codeGeneric       = 660000001
	codeInput         = 660000002
	codeLogic         = 660000003
	codeTooManyUsers  = 660000011
	codeUserIDTooLong = 660000012
	codeNoMessage     = 660000022
	codeRecalled      = 660000023
	codeRecallTooLate = 660000024
	codeNotBase64     = 660000025
	codeNotTheSender  = 660000026

	codeUserAbsent = 660200001

	codeNoRoom        = 660300001
	codeNotInRoom     = 660300002
	codeAppRate       = 660300005
	codeGroupRoomRate = 660300006
	codeRoomEmpty     = 660300008
	codeNotInThisRoom = 660300012
	codeRoomReceipt   = 660300013
	codeRoomExists    = 660300014
	codeRoomQuota     = 660300015

	codeMessageTooBig      = 660400001
	codeTooManyReceipts    = 660400102
	codeGroupReceiptFailed = 660400103
	codePeerReceiptFailed  = 660400104

	codeActor         = 660500002
	codeBroadcastRate = 660500003

	codeNoGroup          = 660600001
	codeMemberListRate   = 660600004
	codeKickRate         = 660600005
	codeTargetNotInGroup = 660600008
	codeGroupListRate    = 660600007
	codeCreateGroupRate  = 660600010
	codeGroupExists      = 660600011
	codeOwnerUnknown     = 660600013
	codeTooManyMembers   = 660600016
	codeMemberNotJoined  = 660600017
	codeNotInGroup       = 660600024
	codeNoAuthority      = 660600032

	codeRegisterRate     = 660700001
	codeUserExists       = 660700002
	codeUserNameTooLong  = 660700006
	codeAvatarTooLong    = 660700007
	codeUserInfo         = 660700008
	codeUserNotFound     = 660700012
	codeUserUnregistered = 660700015

	codeNoConversation = 660800002
	codePinListFull    = 660800048
	codeMarksFailed    = 660800054

	codeEditTooLate = 661000001
	codeEditFailed  = 661000005
)

// codes has the return code for each code that the backend refuses with. What is not in it is bad input.
var codes = map[int32]int{
	6000003: gwAppNotLive,
	6000005: codeOverload,
	6000007: codeGeneric, // also when nobody knows whether it was done
	6000008: codeStorage,
	6000011: codeActor,
	6000204: codeNoMessage,
	6000205: codeEditFailed,
	6000277: codePeerReceiptFailed,
	6000278: codeRecallTooLate,
	6000279: codeRecalled,
	6000282: codeTooManyReceipts,
	6000285: codeNotTheSender,
	6000286: codeEditTooLate,
	6000321: codeNotInRoom,
	6000322: codeNoRoom,
	6000323: codeRoomExists,
	6000324: codeRoomQuota,
	6000521: codeNotInGroup,
	6000522: codeMemberNotJoined,
	6000523: codeNoGroup,
	6000524: codeGroupExists,
	6000525: codeMemberNotJoined,
	6000527: codeGroupExists, // an ID is not used again
	6000541: codeNoAuthority,
	6000603: codeNoConversation,
	6000604: codePinListFull,
	-4:      codeLogic,
}

// A failure is why a request, or one item of it, was not done.
type failure struct {
	code    int
	message string // has nothing of what was sent
	status  int    // of HTTP; zero is 200
}

func fail(code int, message string) *failure { return &failure{code: code, message: message} }

func badInput(message string) *failure { return fail(codeInput, message) }

// failed makes a failure of a refusal. special has the codes that mean something else in this place.
func failed(e *wire.Error, special map[int32]int) *failure {
	code, ok := special[e.Code]
	if !ok {
		code, ok = codes[e.Code]
	}
	if !ok {
		code = codeInput
	}
	return fail(code, e.Message)
}
