package cloud

import (
	"github.com/zim-go/zim/token"
)

// For tests of what can't be seen from outside.

func Signature(appID uint32, nonce string, secret token.Secret, timestamp int64) string {
	return signature(appID, nonce, secret, timestamp)
}

func Wrap(extended string, id []byte) string { return wrap(extended, id) }
func Unwrap(payload string) (string, []byte) { return unwrap(payload) }

type Object = object

func Parse(b []byte) (Object, error) { return parse(b) }

func (o object) Text(key string) string { return o.text(key) }
func (o object) Num(key string) int64   { return o.num(key) }
func (o object) Len(key string) int     { return len(o.objects(key)) }

func Decode(typ int32, text string) []byte { return decodeHistoric(typ, 0, text) }
func Encode(typ int32, content []byte) (string, error) {
	b, err := encode(typ, content, "uid")
	return b.text, err
}

// A KnownCode is a row of the table of return codes.
type KnownCode struct {
	Code  int64
	Name  string
	Kind  string
	ZIM   int32
	Again bool // the code says to try again
}

func Codes() (list []KnownCode) {
	names := map[kind]string{never: "no", limited: "yes", busy: "yes", fault: "cautious", failed: "cautious", expired: "resign"}
	for n, c := range codes {
		list = append(list, KnownCode{n, c.name, names[c.kind], c.zim, c.kind.passing()})
	}
	return list
}

// A KnownAction is an action that the package uses.
type KnownAction struct {
	Name         string
	Get          bool
	Rate, PerKey float64
	Counted      bool
}

func Actions() (list []KnownAction) {
	for _, a := range []*action{
		userRegister, robotRegister, modifyUserInfo, queryGroupsInfoOfUser, sendPeerMessage, sendGroupMessage, sendRoomMessage, sendMessageToAllUsers,
		importPeerMsg, importGroupMsg, editC2cMsgBody, editGroupMsgBody, revokePeerMessage, revokeGroupMessage, queryMessagesByMsgSeq, c2cReadReceipt,
		groupReadReceipt, c2cDeliveryReceipt, groupDeliveryReceipt, clearPeerMessage, clearMemberGroupMsg, queryPeerMsg, queryGroupMsg,
		queryConversationList, convPinned, silenceConvNotification, setConvMark, clearConversationUnread, deleteConv, createGroup, dismissGroup,
		inviteUsersIntoGroup, kickoutGroupUser, queryGroupInfo, modifyGroupLimit, queryGroupMemberList, queryAppGroupList, fetchForbidGroupList,
		createRoom, destroyRoom, queryRoomUserList, queryRoomMembers, kickoutRoomUser, deleteAllFriends,
	} {
		list = append(list, KnownAction{a.name, a.get, float64(a.rate), float64(a.perKey), a.counted != ""})
	}
	return list
}

// Buckets returns how many rates are kept.
func (s *Service) Buckets() int {
	s.calls.limits.mu.Lock()
	defer s.calls.limits.mu.Unlock()
	return len(s.calls.limits.buckets)
}
