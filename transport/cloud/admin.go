package cloud

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/transport"
)

// A User is an account to register.
type User struct {
	ID        string // up to 32 bytes; a bot's begins with @RBT#
	Name      string // up to 256 bytes; may be empty
	AvatarURL string // up to 500 bytes; may be empty
}

// RegisterUsers makes up to 100 ordinary accounts. It returns those that could not be made; users who exist are among them, with the code 660700002.
func (s *Service) RegisterUsers(ctx context.Context, users []User) ([]Failure, error) {
	return s.register(ctx, userRegister, users)
}

// RegisterBots makes up to 20 bots, like [Service.RegisterUsers].
func (s *Service) RegisterBots(ctx context.Context, bots []User) ([]Failure, error) {
	return s.register(ctx, robotRegister, bots)
}

func (s *Service) register(ctx context.Context, a *action, users []User) ([]Failure, error) {
	list := []object{}
	for _, u := range users {
		o := object{"UserId": u.ID}
		if u.Name != "" {
			o["UserName"] = u.Name
		}
		if u.AvatarURL != "" {
			o["UserAvatar"] = u.AvatarURL
		}
		list = append(list, o)
	}
	answer, err := s.call(ctx, a, "", object{"UserInfo": list})
	failed, err := batch(answer, err, "ErrorList")
	if answer.num("Code") == userExists && len(failed) == 0 && len(users) == 1 {
		failed = []Failure{{users[0].ID, userExists}}
	}
	return failed, err
}

// broadcastRate is the code for one too many, in a second or in a day.
const broadcastRate = 660500003

// SendTextToAllUsers sends a text to all users of the app in the name of fromUserID. It is not stored. The service allows one in a second and 100 in 24
// hours, in some plans only. What is beyond fails with the code 660500003: at once, if those 100 were sent with this Service; and if the service says so, as
// nobody knows whether it will take a second or a day.
func (s *Service) SendTextToAllUsers(ctx context.Context, fromUserID, text string) error {
	_, err := s.call(ctx, sendMessageToAllUsers, "", object{"FromUserId": fromUserID, "MessageType": msgtype.Text, "MessageBody": object{"Message": text}})
	return err
}

// DestroyRoom ends a room for all who are in it.
func (s *Service) DestroyRoom(ctx context.Context, roomID string) error {
	_, err := s.call(ctx, destroyRoom, roomID, object{"RoomId": roomID})
	return err
}

// KickRoomUsers removes up to 50 users from a room. The service does not say whom it has removed. An empty reason is none.
func (s *Service) KickRoomUsers(ctx context.Context, roomID string, userIDs []string, reason string) error {
	args := object{"RoomId": roomID, "UserId": userIDs}
	if reason != "" {
		args["CustomReason"] = reason
	}
	_, err := s.call(ctx, kickoutRoomUser, roomID, args)
	return err
}

// A Group is a group of the app.
type Group struct{ ID, Name string }

// Groups returns a page of up to 1000 of the app's groups, and what to ask for next, zero at the end. It may be a minute old.
func (s *Service) Groups(ctx context.Context, next int64) ([]Group, int64, error) {
	answer, err := s.call(ctx, queryAppGroupList, "", object{"Limit": 1000, "Next": next})
	if err != nil {
		return nil, 0, err
	}
	var list []Group
	for _, g := range answer.objects("GroupIdList") {
		list = append(list, Group{g.text("GroupId"), g.text("GroupName")})
	}
	return list, answer.num("Next"), nil
}

// A MutedGroup is a group in which not everybody may send.
type MutedGroup struct {
	ID                    string
	All, Roles, SomeUsers bool // who is muted
}

// MutedGroups returns a page of the groups that are muted, and what to ask for next, zero at the end.
func (s *Service) MutedGroups(ctx context.Context, userID string, next int64) ([]MutedGroup, int64, error) {
	answer, err := s.call(ctx, fetchForbidGroupList, "", object{"FromUserId": userID, "StartFlag": next})
	if err != nil {
		return nil, 0, err
	}
	var list []MutedGroup
	for _, g := range answer.objects("GroupList") {
		n := g.num("ForbidType")
		list = append(list, MutedGroup{g.text("GroupId"), n&1 != 0, n&2 != 0, n&4 != 0})
	}
	if answer.num("FetchEnd") == 1 {
		return list, 0, nil
	}
	return list, answer.num("NextFlag"), nil
}

// DeleteAllFriends ends all friendships of a user, for both sides or for the user alone.
func (s *Service) DeleteAllFriends(ctx context.Context, userID string, bothSides bool) error {
	side := 1
	if bothSides {
		side = 0
	}
	_, err := s.call(ctx, deleteAllFriends, "", object{"FromUserId": userID, "DeleteType": side})
	return err
}

// A TextImport is a text message that is written into history as if it had been sent.
type TextImport struct {
	FromUserID string
	Text       string
	Time       time.Time // zero means now. The oldest must be imported first
}

// ImportPeerText writes a message to toUserID into one side of its conversation: the copy of ownerID, who is one of the two. For both, call it twice. It
// returns the message's ID and number.
func (s *Service) ImportPeerText(ctx context.Context, m TextImport, toUserID, ownerID string) (id string, seq int64, err error) {
	args := m.args()
	args["ToUserId"], args["ImportedUserId"] = toUserID, ownerID
	answer, err := s.call(ctx, importPeerMsg, "", args)
	return answer.text("MsgId"), answer.num("MsgSeq"), err
}

// ImportGroupText writes a message into a group's history. It returns its number.
func (s *Service) ImportGroupText(ctx context.Context, m TextImport, groupID string) (seq int64, err error) {
	args := m.args()
	args["GroupId"] = groupID
	answer, err := s.call(ctx, importGroupMsg, groupID, args)
	return answer.num("MsgSeq"), err
}

func (m TextImport) args() object {
	args := object{"FromUserId": m.FromUserID, "MessageType": msgtype.Text, "Priority": 1, "MessageBody": object{"Message": m.Text}}
	if !m.Time.IsZero() {
		args["SendMessageTime"] = m.Time.UnixMilli()
	}
	return args
}

// ConfirmDelivery says that userID has got messages of a conversation, by their numbers: with a user, or with a group.
func (s *Service) ConfirmDelivery(ctx context.Context, userID string, with Conversation, seqs []int64) error {
	a, key := c2cDeliveryReceipt, "ConvId"
	if with.Group {
		a, key = groupDeliveryReceipt, "GroupId"
	}
	return s.confirm(ctx, a, object{"FromUserId": userID, key: with.ID}, seqs)
}

// confirm sends receipts, as many at once as the service takes.
func (s *Service) confirm(ctx context.Context, a *action, args object, seqs []int64) error {
	for len(seqs) > 0 {
		n := min(len(seqs), 10)
		args["ConvMsgSeq"] = seqs[:n]
		if _, err := s.call(ctx, a, "", args); err != nil {
			return err
		}
		seqs = seqs[n:]
	}
	return nil
}

// A Conversation is one with a user, or with a group.
type Conversation struct {
	ID    string
	Group bool
}

// A Sent is a message that the service has.
type Sent struct {
	MessageID  string
	MessageSeq int64
	Time       time.Time // when the service took it
}

// CheckSent looks for a message of userID's whose send has an unknown outcome, by its local ID (zim.Message.LocalID). It looks among the newest 100
// of the conversation, and returns nil if it is not there: if fewer than 100 have come since, it was not stored. Commands, and messages to rooms, are never
// found. A service may take a moment before what it has is seen here.
func (s *Service) CheckSent(ctx context.Context, userID string, with Conversation, localID string) (*Sent, error) {
	id, ok := parseLocalID(localID)
	if !ok {
		return nil, fmt.Errorf("cloud: CheckSent: the local ID is none")
	}
	m, err := s.find(ctx, userID, with, id)
	if m == nil || err != nil {
		return nil, err
	}
	return &Sent{strconv.FormatInt(m.MessageId, 10), m.MessageSeq, time.UnixMilli(m.TimestampMs)}, nil
}

var _ transport.Dialer = (*Service)(nil)
var _ transport.Pipeline = (*conn)(nil)
