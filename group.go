package zim

import (
	"context"
	"iter"
	"time"

	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/wire"
)

// GroupInfo is what a group is called.
type GroupInfo struct {
	GroupID        string // up to 32 bytes, not beginning with #; empty has the service make one up
	GroupName      string // up to 50 characters
	GroupAvatarUrl string // up to 500 bytes
}

// GroupFullInfo is all there is to know of a group.
type GroupFullInfo struct {
	BaseInfo           GroupInfo
	GroupNotice        string
	CreateTime         time.Time
	MaxMemberCount     int
	VerifyInfo         GroupVerifyInfo
	NotificationStatus ConversationNotificationStatus // of the user who asks
}

// GroupVerifyInfo says who may come into a group, and how.
type GroupVerifyInfo struct {
	JoinMode     GroupJoinMode
	InviteMode   GroupInviteMode
	BeInviteMode GroupBeInviteMode
}

// GroupAdvancedConfig refines the making of a group. The zero value is the documented default.
type GroupAdvancedConfig struct {
	GroupNotice    string // up to 300 characters
	MaxMemberCount int    // zero means as many as the service allows
	JoinMode       GroupJoinMode
	InviteMode     GroupInviteMode
	BeInviteMode   GroupBeInviteMode
}

// GroupOperatedInfo is the member who did something.
type GroupOperatedInfo struct {
	UserID         string
	UserName       string
	MemberNickname string
	MemberRole     int
}

// GroupStateChanged tells this user's devices that the user has entered a group or is no longer in it.
type GroupStateChanged struct {
	State        GroupState
	Event        GroupEvent
	OperatedInfo GroupOperatedInfo
	GroupInfo    GroupFullInfo
}

// GroupMemberStateChanged tells the members of a group, also those whom it is about, who entered it or left it.
type GroupMemberStateChanged struct {
	GroupID      string
	State        GroupMemberState
	Event        GroupMemberEvent
	UserList     []*GroupMemberInfo
	OperatedInfo GroupOperatedInfo
}

// GroupMemberInfoUpdated tells the members of a group that what they know of some of them has changed, as when the owner
// left and another one became it.
type GroupMemberInfoUpdated struct {
	GroupID      string
	UserList     []*GroupMemberInfo
	OperatedInfo GroupOperatedInfo
}

// GroupMessageReceived brings messages of one group, in the order of their Seq. Messages that this user sent from another
// device come too, with MessageDirectionSend.
type GroupMessageReceived struct {
	FromConversationID string // the group
	Messages           []*Message
	Info               MessageReceivedInfo
}

func (*GroupStateChanged) event() eventKind       { return kindGroupStateChanged }
func (*GroupMemberStateChanged) event() eventKind { return kindGroupMemberStateChanged }
func (*GroupMemberInfoUpdated) event() eventKind  { return kindGroupMemberInfoUpdated }
func (*GroupMessageReceived) event() eventKind    { return kindGroupMessageReceived }

// GroupCreatedResult is a group that was made.
type GroupCreatedResult struct {
	GroupInfo     GroupFullInfo
	UserList      []*GroupMemberInfo // its members, the owner first
	ErrorUserList []ErrorUserInfo    // who could not be brought in
}

// CreateGroup makes a group with this user as its owner and up to 100 others as members, who are not asked. A nil config means the zero
// GroupAdvancedConfig. It fails with [ErrGroupGroupAlreadyExists], [ErrGroupCreateGroupWithDismissed] or [ErrGroupGroupMemberHasReachedLimit], and
// with [ErrCommonParamsInvalid] for what is too long. (Documented in the chapter on groups.)
func (z *ZIM) CreateGroup(ctx context.Context, info GroupInfo, userIDs []string, config *GroupAdvancedConfig) (*GroupCreatedResult, error) {
	const op = "CreateGroup"
	if config == nil {
		config = new(GroupAdvancedConfig)
	}
	if info.GroupID != "" {
		if err := ident.CheckUserID(info.GroupID); err != nil {
			return nil, invalid(op, "the group ID %v", err)
		}
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_CreateGroup{CreateGroup: &wire.CreateGroupRequest{
		Group: &wire.GroupInfo{
			GroupId: info.GroupID, Name: info.GroupName, AvatarUrl: info.GroupAvatarUrl, Notice: config.GroupNotice,
			MaxMembers: int32(config.MaxMemberCount), JoinMode: int32(config.JoinMode), InviteMode: int32(config.InviteMode), BeInviteMode: int32(config.BeInviteMode),
		},
		UserIds: userIDs,
	}}})
	if err != nil {
		return nil, err
	}
	g := resp.GetGroup()
	return &GroupCreatedResult{GroupInfo: groupFullInfo(g.GetGroup()), UserList: groupMembers(g.GetMembers()), ErrorUserList: errorUserInfos(g.GetFailed())}, nil
}

func (z *ZIM) group(ctx context.Context, op, groupID string, action wire.GroupRequest_Action) (*GroupFullInfo, error) {
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_Group{Group: &wire.GroupRequest{GroupId: groupID, Action: action}}})
	if err != nil {
		return nil, err
	}
	return new(groupFullInfo(resp.GetGroup().GetGroup())), nil
}

// JoinGroup brings this user into a group. If the user is in it, nothing happens. It fails with [ErrGroupGroupDoesNotExist],
// [ErrGroupGroupMemberHasReachedLimit], and [ErrGroupNeedApplyJoinGroupError] or [ErrGroupForbidJoinGroupError] if the group is not open.
func (z *ZIM) JoinGroup(ctx context.Context, groupID string) (*GroupFullInfo, error) {
	return z.group(ctx, "JoinGroup", groupID, wire.GroupRequest_ACTION_JOIN)
}

// LeaveGroup takes this user out of a group. If the owner leaves, the one who is in it for longest becomes the owner; with the last
// one, the group ends. The conversation and its history stay. It fails with [ErrGroupUserIsNotInTheGroup] or [ErrGroupGroupDoesNotExist].
func (z *ZIM) LeaveGroup(ctx context.Context, groupID string) error {
	_, err := z.group(ctx, "LeaveGroup", groupID, wire.GroupRequest_ACTION_LEAVE)
	return err
}

// DismissGroup ends a group, for good: its ID is not used again. Only its owner may: else it fails with
// [ErrGroupGroupNoCorrespondingOperationAuthority].
func (z *ZIM) DismissGroup(ctx context.Context, groupID string) error {
	_, err := z.group(ctx, "DismissGroup", groupID, wire.GroupRequest_ACTION_DISMISS)
	return err
}

// QueryGroupInfo returns what a group is. It fails with [ErrGroupGroupDoesNotExist].
func (z *ZIM) QueryGroupInfo(ctx context.Context, groupID string) (*GroupFullInfo, error) {
	return z.group(ctx, "QueryGroupInfo", groupID, wire.GroupRequest_ACTION_QUERY)
}

// GroupListQueryConfig asks for a page of this user's groups.
type GroupListQueryConfig struct {
	NextFlag int64 // what the page before returned; zero asks for the first one
	Count    int   // up to 100; zero means 100
}

// QueryGroupList returns a page of the groups that this user is in, and what to ask for next, zero at the end. For all of them, see
// [ZIM.Groups].
func (z *ZIM) QueryGroupList(ctx context.Context, config GroupListQueryConfig) (groups []*GroupFullInfo, nextFlag int64, err error) {
	const op = "QueryGroupList"
	if config.Count < 0 {
		return nil, 0, invalid(op, "the count is %d", config.Count)
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryGroups{
		QueryGroups: &wire.QueryGroupsRequest{Next: config.NextFlag, Count: int32(min(config.Count, maxPage))},
	}})
	for _, g := range resp.GetGroups().GetGroups() {
		groups = append(groups, new(groupFullInfo(g)))
	}
	return groups, resp.GetGroups().GetNext(), err
}

// Groups yields all groups that this user is in, and gets page after page. A page that fails ends the sequence with its error.
func (z *ZIM) Groups(ctx context.Context) iter.Seq2[*GroupFullInfo, error] {
	return paginate(ctx, int64(0), func(at int64) ([]*GroupFullInfo, int64, bool, error) {
		list, next, err := z.QueryGroupList(ctx, GroupListQueryConfig{NextFlag: at})
		return list, next, next != 0, err
	})
}

func groupFullInfo(g *wire.GroupInfo) GroupFullInfo {
	return GroupFullInfo{
		BaseInfo:       GroupInfo{GroupID: g.GetGroupId(), GroupName: g.GetName(), GroupAvatarUrl: g.GetAvatarUrl()},
		GroupNotice:    g.GetNotice(),
		CreateTime:     timeOf(g.GetCreateTimeMs()),
		MaxMemberCount: int(g.GetMaxMembers()),
		VerifyInfo: GroupVerifyInfo{
			JoinMode: GroupJoinMode(g.GetJoinMode()), InviteMode: GroupInviteMode(g.GetInviteMode()), BeInviteMode: GroupBeInviteMode(g.GetBeInviteMode()),
		},
		NotificationStatus: ConversationNotificationStatus(g.GetNotificationStatus()),
	}
}

// groupChanged makes the events of a change in a group.
func groupChanged(w *wire.GroupChange) (list []Event) {
	by := GroupOperatedInfo{
		UserID: w.GetOperator().GetUser().GetUserId(), UserName: w.GetOperator().GetUser().GetName(),
		MemberNickname: w.GetOperator().GetNickname(), MemberRole: int(w.GetOperator().GetRole()),
	}
	if st := w.State; st != nil {
		list = append(list, &GroupStateChanged{State: GroupState(st.State), Event: GroupEvent(st.Event), OperatedInfo: by, GroupInfo: groupFullInfo(w.Group)})
	}
	groupID := w.GetGroup().GetGroupId()
	if len(w.Members) > 0 {
		list = append(list, &GroupMemberStateChanged{
			GroupID: groupID, State: GroupMemberState(w.MemberState), Event: GroupMemberEvent(w.MemberEvent), UserList: groupMembers(w.Members), OperatedInfo: by,
		})
	}
	if len(w.Updated) > 0 {
		list = append(list, &GroupMemberInfoUpdated{GroupID: groupID, UserList: groupMembers(w.Updated), OperatedInfo: by})
	}
	return list
}
