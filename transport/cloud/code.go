package cloud

import (
	"fmt"
	"strconv"
)

// A kind says what may be done about a return code.
type kind int

const (
	never   kind = iota // repeating it changes nothing
	limited             // refused before anything was done, because there was too much: repeat it after a second, whatever it is
	busy                // "try again", but it may have been done
	fault               // something broke inside, and it may have been done
	failed              // something broke inside, before it was done
	expired             // the clock is wrong: correct it, sign again, repeat once
)

// unclear reports whether the action may have been done although the code says that it failed.
func (k kind) unclear() bool { return k == busy || k == fault }

// passing reports whether the same request may succeed a little later.
func (k kind) passing() bool { return k == limited || k == busy || k == fault || k == failed }

// A code is what is known of a return code.
type code struct {
	name string // what it means, in a word or two
	kind kind
	zim  int32 // the documented ZIM code that says it to the application; 0: it is as good as success
}

// codes has the return codes that are documented anywhere. The service uses them as Code, SubCode and send_result alike.
var codes = map[int64]code{
	1:          {"Busy", busy, 6000102},
	2:          {"BadParam", never, 6000001},
	3:          {"AuthFailed", never, 6000102},
	7:          {"Overload", limited, 6000005},
	50014:      {"LoginNameTooLong", never, 6000001},
	51102:      {"UserNeverLoggedIn", never, 6000011},
	105001:     {"StorageFailed", fault, 6000008},
	100000000:  {"GwHost", never, 6000007},
	100000001:  {"GwAppIDFormat", never, 6000003},
	100000002:  {"GwTimestampMissing", never, 6000007},
	100000003:  {"GwTimestampFormat", never, 6000007},
	100000004:  {"GwSignatureExpired", expired, 6000103},
	100000005:  {"GwSignatureWrong", never, 6000103},
	100000006:  {"GwActionMissing", never, 6000007},
	100000007:  {"GwActionUnknown", never, 6000013},
	100000008:  {"GwNonceMissing", never, 6000007},
	100000009:  {"GwSignatureMissing", never, 6000007},
	100000010:  {"GwSecretLookup", failed, 6000102},
	100000011:  {"GwAppConfig", failed, 6000102},
	100000012:  {"GwBodyRead", failed, 6000102},
	100000013:  {"GwVersionMissing", never, 6000007},
	100000014:  {"GwVersionUnsupported", never, 6000007},
	100000015:  {"GwInternal", fault, 6000102},
	100000016:  {"AppNotLive", never, 6000014},
	100000017:  {"ServiceNotEnabled", never, 6000014},
	660000001:  {"Generic", busy, 6000007},
	660000002:  {"BadInput", never, 6000001},
	660000003:  {"Logic", busy, 6000007},
	660000011:  {"TooManyUsers", never, 6000001},
	660000012:  {"UserIDTooLong", never, 6000001},
	660000022:  {"MessageNotFound", never, 6000204},
	660000023:  {"AlreadyRecalled", never, 6000279},
	660000024:  {"RecallTooLate", never, 6000278},
	660000025:  {"NotBase64", never, 6000001},
	660000026:  {"NotTheSender", never, 6000541},
	660000027:  {"RoomHistoryOff", never, 6000013},
	660000028:  {"FreePlan", never, 6000013},
	660200001:  {"UserAbsent", never, 6000011},
	660300001:  {"RoomNotFound", never, 6000322},
	660300002:  {"NotInRoom", never, 6000321},
	660300005:  {"AppRate", limited, 6000005},
	660300006:  {"GroupRoomRate", limited, 6000005},
	660300007:  {"RoomFetch", failed, 6000302},
	660300008:  {"RoomEmpty", never, 0},
	660300012:  {"NotInThisRoom", never, 6000321},
	660300013:  {"RoomReceipt", never, 6000001},
	660300014:  {"RoomExists", never, 6000323},
	660300015:  {"RoomQuota", never, 6000324},
	660300019:  {"GroupAttrTotal", never, 6000534},
	660400001:  {"MessageTooBig", never, 6000203},
	660400102:  {"TooManyReceipts", never, 6000282},
	660400103:  {"GroupReceiptFailed", failed, 6000277},
	660400104:  {"PeerReceiptFailed", failed, 6000277},
	660500002:  {"ActorUnregistered", never, 6000011},
	660500003:  {"BroadcastRate", failed, 6000005},
	660500004:  {"TextModerationError", failed, 6000222},
	660500005:  {"TextRejected", never, 6000221},
	660500006:  {"ImageModerationError", failed, 6000222},
	660500007:  {"ImageRejected", never, 6000221},
	660500009:  {"SilencedByCallback", never, 0},
	660500010:  {"RefusedByCallback", never, 6000230},
	660600001:  {"GroupNotFound", never, 6000523},
	660600003:  {"MemberListError", failed, 6000517},
	660600004:  {"MemberListRate", limited, 6000005},
	660600005:  {"KickRate", limited, 6000005},
	660600006:  {"GroupListError", failed, 6000516},
	660600007:  {"GroupListRate", limited, 6000005},
	660600008:  {"TargetNotInGroup", never, 6000521},
	660600009:  {"GroupInfoError", failed, 6000511},
	660600010:  {"CreateGroupRate", limited, 6000005},
	660600011:  {"GroupExists", never, 6000524},
	660600012:  {"GroupQuota", never, 6000503},
	660600013:  {"OwnerUnknown", never, 6000011},
	660600014:  {"OwnerListError", failed, 6000502},
	660600015:  {"GroupStorage", failed, 6000502},
	660600016:  {"TooManyMembers", never, 6000525},
	660600017:  {"MemberJoinFailed", failed, 6000508},
	660600019:  {"TooManyAttributes", never, 6000531},
	660600020:  {"AttributeLength", never, 6000532},
	660600021:  {"SendParam", never, 6000001},
	660600022:  {"MediaRedirect", failed, 6000212},
	660600023:  {"MessageTooLong", never, 6000203},
	660600024:  {"UserNotInGroup", never, 6000521},
	660600028:  {"GroupUpdateFailed", failed, 6000510},
	660600029:  {"RoleOwnerRefused", never, 6000541},
	660600030:  {"SelfTarget", never, 6000001},
	660600032:  {"NotOwnerOrAdmin", never, 6000541},
	660600033:  {"AllTargetsFailed", never, 6000501},
	660700001:  {"RegisterRate", limited, 6000005},
	660700002:  {"UserExists", never, 0},
	660700006:  {"UserNameTooLong", never, 6000001},
	660700007:  {"AvatarTooLong", never, 6000001},
	660700008:  {"UserInfoError", failed, 6000011},
	660700012:  {"UserNotFound", never, 6000011},
	660700013:  {"UserQueryError", failed, 6000008},
	660700015:  {"UserUnregistered", never, 6000011},
	660700016:  {"UserSyncError", failed, 6000007},
	660700017:  {"UserUpdateError", failed, 6000007},
	660800001:  {"ConvUserUnregistered", never, 6000011},
	660800002:  {"ConversationNotFound", never, 6000603},
	660800019:  {"BatchTooBig", never, 6000809},
	660800020:  {"SelfFriend", never, 6000810},
	660800021:  {"FriendTextTooLong", never, 6000001},
	660800022:  {"DuplicateIDs", never, 6000001},
	660800023:  {"FriendAttrKey", never, 6000001},
	660800024:  {"FriendAttrTotal", never, 6000001},
	660800025:  {"AllFriendsUnregistered", never, 6000811},
	660800026:  {"FriendAttrParam", never, 6000001},
	660800027:  {"AlreadyFriend", never, 6000803},
	660800028:  {"FriendLimit", never, 6000801},
	660800030:  {"MuteListFull", never, 6000601},
	660800032:  {"DuplicateAttrKey", never, 6000001},
	660800033:  {"DeleteSelf", never, 6000813},
	660800034:  {"NotFriend", never, 6000812},
	660800037:  {"AlreadyBlocked", never, 6000804},
	660800038:  {"SelfBlock", never, 6000805},
	660800039:  {"BlockBatchTooBig", never, 6000001},
	660800040:  {"BlocklistFull", never, 6000808},
	660800041:  {"BlockAllFailed", never, 6000815},
	660800042:  {"UnblockAllFailed", never, 6000816},
	660800043:  {"AlreadyUnblocked", never, 6000806},
	660800044:  {"NotBlocked", never, 6000807},
	660800045:  {"SenderBlocked", never, 6000284},
	660800046:  {"FutureTimestamp", never, 6000001},
	660800048:  {"PinListFull", never, 6000604},
	660800051:  {"AlreadyMuted", never, 0},
	660800052:  {"AlreadyUnmuted", never, 0},
	660800053:  {"ConversationListError", failed, 6000602},
	660800054:  {"AllMarksFailed", failed, 6000602},
	660900003:  {"CalleesUnregistered", failed, 6000281},
	660900004:  {"CallInfoError", failed, 6000276},
	660900005:  {"CallEnded", never, 6000276},
	660900006:  {"CallTimedOut", never, 6000276},
	660900007:  {"TooManyCallees", never, 6000001},
	660900008:  {"NotInvited", never, 6000274},
	661000001:  {"EditTooLate", never, 6000286},
	661000005:  {"EditFailed", failed, 6000205},
	910001:     {"LicenceParam", never, 6000001},
	910002:     {"LicenceInvalid", never, 6000013},
	910003:     {"LicenceInternal", failed, 6000007},
	910004:     {"LicenceAuth", never, 6000013},
	111101:     {"SenderToldRefused", never, 6000230},
	6607000015: {"UserUnregisteredMisprint", never, 6000011},
}

const (
	codeNotSent     = 6000104 // the service can't be reached
	codeTooMany     = 6000005
	codeInvalid     = 6000001
	codeServerError = 6000007
)

// look returns what is known of a return code.
func look(n int64) code {
	if c, ok := codes[n]; ok {
		return c
	}
	return code{"", fault, codeServerError} // nobody knows what it did
}

// An Error is a refusal of the service. It says neither who signed what, nor what was sent.
type Error struct {
	Action    string // as in "SendPeerMessage"
	Code      int64  // the service's, not one of package zim
	RequestID string // to ask the service's support about; may be empty
}

// Error returns a text like "cloud: QueryPeerMsg: AppRate (660300005, request 42)".
func (e *Error) Error() string {
	name := look(e.Code).name
	if name == "" {
		name = "undocumented code"
	}
	return fmt.Sprintf("cloud: %s: %s (%d, request %s)", e.Action, name, e.Code, strconv.Quote(clip(e.RequestID)))
}

// ZIMCode returns the documented ZIM error code that says the same: a [github.com/zim-go/zim.Code].
func (e *Error) ZIMCode() int { return int(look(e.Code).zim) }

func clip(s string) string { return s[:min(len(s), 64)] }

// A Failure is why something failed for one user of several.
type Failure struct {
	UserID string
	Code   int64 // the service's
}
