package zim

import (
	"context"
	"iter"
	"time"

	"github.com/zim-go/zim/wire"
)

// GroupMemberSimpleInfo is a member of a group, in short.
type GroupMemberSimpleInfo struct {
	UserInfo
	MemberNickname string
	MemberRole     int // 1 owner, 2 administrator, 3 member
}

// GroupMemberInfo is a member of a group.
type GroupMemberInfo struct {
	UserInfo
	MemberNickname string
	MemberRole     int // 1 owner, 2 administrator, 3 member
	GroupEnterInfo GroupEnterInfo
}

// GroupEnterInfo is how a member came into a group.
type GroupEnterInfo struct {
	EnterTime      time.Time
	EnterType      GroupEnterType
	OperatedUserID string // who brought the member in, perhaps the member
}

// GroupUsersInvitedResult is who came into a group, and who didn't.
type GroupUsersInvitedResult struct {
	UserList      []*GroupMemberInfo
	ErrorUserList []ErrorUserInfo
}

// InviteUsersIntoGroup brings up to 100 users into a group, without asking them, if it is open to that: those who must agree first
// are in the ErrorUserList with [ErrGroupNeedApplyInviteGroupError]. It fails with [ErrGroupGroupNoCorrespondingOperationAuthority] if
// this user may not invite, and with the reason of the first one if nobody came in.
func (z *ZIM) InviteUsersIntoGroup(ctx context.Context, userIDs []string, groupID string) (*GroupUsersInvitedResult, error) {
	g, err := z.groupUsers(ctx, "InviteUsersIntoGroup", userIDs, groupID, wire.GroupUsersRequest_ACTION_INVITE)
	if err != nil {
		return nil, err
	}
	return &GroupUsersInvitedResult{UserList: groupMembers(g.GetMembers()), ErrorUserList: errorUserInfos(g.GetFailed())}, nil
}

// GroupMemberKickedResult is who was removed from a group, and who wasn't.
type GroupMemberKickedResult struct {
	KickedUserIDs []string
	ErrorUserList []ErrorUserInfo
}

// KickGroupMembers removes up to 100 members from a group. The owner may remove anybody else, and administrators may remove those
// who are neither. It fails with [ErrGroupGroupNoCorrespondingOperationAuthority] if this user may remove nobody, and with the reason of
// the first one if nobody was removed.
func (z *ZIM) KickGroupMembers(ctx context.Context, userIDs []string, groupID string) (*GroupMemberKickedResult, error) {
	g, err := z.groupUsers(ctx, "KickGroupMembers", userIDs, groupID, wire.GroupUsersRequest_ACTION_KICK)
	if err != nil {
		return nil, err
	}
	result := &GroupMemberKickedResult{ErrorUserList: errorUserInfos(g.GetFailed())}
	for _, m := range g.GetMembers() {
		result.KickedUserIDs = append(result.KickedUserIDs, m.GetUser().GetUserId())
	}
	return result, nil
}

func (z *ZIM) groupUsers(ctx context.Context, op string, userIDs []string, groupID string, action wire.GroupUsersRequest_Action) (*wire.GroupResponse, error) {
	if n := len(userIDs); n == 0 || n > 100 {
		return nil, invalid(op, "there are %d users, it may be 1 to 100", n)
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_GroupUsers{
		GroupUsers: &wire.GroupUsersRequest{GroupId: groupID, Action: action, UserIds: userIDs},
	}})
	return resp.GetGroup(), err
}

// GroupMemberQueryConfig asks for a page of a group's members.
type GroupMemberQueryConfig struct {
	NextFlag int64 // what the page before returned; zero asks for the first one
	Count    int   // up to 100; zero means 100
}

// QueryGroupMemberList returns a page of a group's members in the order in which they came, and what to ask for next, zero at the
// end. For all of them, see [ZIM.GroupMembers]. It fails with [ErrGroupUserIsNotInTheGroup] or [ErrGroupGroupDoesNotExist].
func (z *ZIM) QueryGroupMemberList(ctx context.Context, groupID string, config GroupMemberQueryConfig) (members []*GroupMemberInfo, nextFlag int64, err error) {
	const op = "QueryGroupMemberList"
	if config.Count < 0 {
		return nil, 0, invalid(op, "the count is %d", config.Count)
	}
	m, err := z.groupMembers(ctx, op, &wire.QueryGroupMembersRequest{
		GroupId: groupID, Next: config.NextFlag, Count: int32(min(config.Count, maxPage)),
	})
	return groupMembers(m.GetMembers()), m.GetNext(), err
}

// GroupMembers yields all members of a group, and gets page after page. A page that fails ends the sequence with its error.
func (z *ZIM) GroupMembers(ctx context.Context, groupID string) iter.Seq2[*GroupMemberInfo, error] {
	return paginate(ctx, int64(0), func(at int64) ([]*GroupMemberInfo, int64, bool, error) {
		list, next, err := z.QueryGroupMemberList(ctx, groupID, GroupMemberQueryConfig{NextFlag: at})
		return list, next, next != 0, err
	})
}

// QueryGroupMemberInfo returns one member of a group. It fails with [ErrGroupQueryGroupMemberInfoError] if that user is not in it.
func (z *ZIM) QueryGroupMemberInfo(ctx context.Context, userID, groupID string) (*GroupMemberInfo, error) {
	const op = "QueryGroupMemberInfo"
	if e := checkUserID(op, "member", userID); e != nil {
		return nil, e
	}
	m, err := z.groupMembers(ctx, op, &wire.QueryGroupMembersRequest{GroupId: groupID, UserIds: []string{userID}})
	if err != nil {
		return nil, err
	}
	if list := groupMembers(m.GetMembers()); len(list) == 1 {
		return list[0], nil
	}
	return nil, &Error{Op: op, Code: ErrGroupQueryGroupMemberInfoError, Message: "that user is not in the group"}
}

// QueryGroupMemberCount returns how many members a group has.
func (z *ZIM) QueryGroupMemberCount(ctx context.Context, groupID string) (int, error) {
	m, err := z.groupMembers(ctx, "QueryGroupMemberCount", &wire.QueryGroupMembersRequest{GroupId: groupID, OnlyCount: true})
	return int(m.GetCount()), err
}

func (z *ZIM) groupMembers(ctx context.Context, op string, req *wire.QueryGroupMembersRequest) (*wire.GroupMembers, error) {
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryGroupMembers{QueryGroupMembers: req}})
	return resp.GetGroupMembers(), err
}

func groupMembers(list []*wire.GroupMember) (members []*GroupMemberInfo) {
	for _, m := range list {
		members = append(members, &GroupMemberInfo{
			UserInfo: userInfo(m.GetUser()), MemberNickname: m.Nickname, MemberRole: int(m.Role),
			GroupEnterInfo: GroupEnterInfo{
				EnterTime: timeOf(m.EnterTimeMs), EnterType: GroupEnterType(m.EnterType), OperatedUserID: m.OperatorUserId,
			},
		})
	}
	return members
}
