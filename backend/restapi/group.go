package restapi

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/wire"
)

type attribute struct {
	Key, Value string
}

type createGroupIn struct {
	GroupId, GroupName, GroupNotice, GroupAvatar string
	GroupOwner                                   string   `zim:"needed,user"`
	UserId                                       []string `zim:"user"`
	Attributes                                   []attribute
}

type memberOut struct {
	UserId, UserName string
}

type createGroupOut struct {
	GroupId    string
	Members    []memberOut
	ErrorUsers []userError
}

// itemErrors tells for which users something failed.
func itemErrors(list []*wire.UserError, special map[int32]int) []userError {
	errs := []userError{}
	for _, e := range list {
		f := failed(&wire.Error{Code: e.Reason}, special)
		errs = append(errs, userError{UserId: e.UserId, SubCode: f.code})
	}
	return errs
}

// noSuchUser is what 6000011 means where it is not about the one who acts.
var noSuchUser = map[int32]int{6000011: apicode.UserUnregistered}

func createGroup(c *call, in *createGroupIn) (any, *failure) {
	switch {
	case len(in.UserId) > 100:
		return nil, fail(apicode.TooManyMembers, "a group is made with up to 100 members")
	case len(in.Attributes) > 0:
		return nil, badInput("the server keeps no attributes of groups")
	case utf8.RuneCountInString(in.GroupName) > 50:
		return nil, badInput("the GroupName has more than 50 characters")
	}
	resp, f := c.do(in.GroupOwner, &wire.Request{Body: &wire.Request_CreateGroup{CreateGroup: &wire.CreateGroupRequest{
		Group:   &wire.GroupInfo{GroupId: in.GroupId, Name: in.GroupName, Notice: in.GroupNotice, AvatarUrl: in.GroupAvatar},
		UserIds: in.UserId,
	}}}, map[int32]int{6000011: apicode.OwnerUnknown})
	if f != nil {
		return nil, f
	}
	g := resp.GetGroup()
	out := createGroupOut{g.Group.GroupId, []memberOut{}, itemErrors(g.Failed, noSuchUser)}
	for _, m := range g.Members {
		out.Members = append(out.Members, memberOut{m.User.UserId, m.User.Name})
	}
	return out, nil
}

type groupIn struct {
	FromUserId string `zim:"needed,user"`
	GroupId    string `zim:"needed,id"`
}

type dismissIn struct{ groupIn }

func (in *dismissIn) weigh() (string, int) { return in.GroupId, 1 }

// dismissGroup ends a group, whoever asks for it.
func dismissGroup(c *call, in *dismissIn) (any, *failure) {
	_, f := c.group(&in.groupIn, wire.GroupRequest_ACTION_DISMISS)
	return nil, f
}

func (c *call) group(in *groupIn, action wire.GroupRequest_Action) (*wire.GroupInfo, *failure) {
	resp, f := c.do(in.FromUserId, &wire.Request{Body: &wire.Request_Group{Group: &wire.GroupRequest{GroupId: in.GroupId, Action: action}}}, nil)
	if f != nil {
		return nil, f
	}
	return resp.GetGroup().GetGroup(), nil
}

type inviteIn struct {
	groupIn
	UserIds          []string `zim:"max=100,user"`
	GroupMemberInfos []struct {
		UserId   string `zim:"needed,user"`
		IsInvite int64
	} `zim:"max=100"`
}

func (in *inviteIn) weigh() (string, int) { return in.GroupId, 1 }

type errorUsersOut struct {
	ErrorUsers []userError
}

// inviteUsersIntoGroup brings users in at once, whatever the group's modes are.
func inviteUsersIntoGroup(c *call, in *inviteIn) (any, *failure) {
	ids := in.UserIds
	for i, info := range in.GroupMemberInfos {
		if info.IsInvite == 1 {
			return nil, badInput("the server knows no invitations that must be agreed to")
		}
		if i == 0 {
			ids = nil // they don't count beside these
		}
		ids = append(ids, info.UserId)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == in.FromUserId })
	errs, n, f := c.groupUsers(&in.groupIn, wire.GroupUsersRequest_ACTION_INVITE, ids)
	if f != nil {
		return nil, f
	}
	return errorUsersOut{errs}, batch(errs, n)
}

// groupUsers does something with users of a group. It returns why it failed for some, and how many there were.
func (c *call) groupUsers(in *groupIn, action wire.GroupUsersRequest_Action, ids []string) (errs []userError, n int, f *failure) {
	if len(ids) == 0 {
		return nil, 0, badInput("the users are missing")
	}
	resp, f := c.do(in.FromUserId, &wire.Request{Body: &wire.Request_GroupUsers{GroupUsers: &wire.GroupUsersRequest{
		GroupId: in.GroupId, Action: action, UserIds: slices.Clone(ids),
	}}}, nil)
	if f != nil {
		return nil, 0, f
	}
	special := map[int32]int{6000011: apicode.UserUnregistered, 6000521: apicode.TargetNotInGroup}
	different := slices.Compact(slices.Sorted(slices.Values(ids)))
	return itemErrors(resp.GetGroup().GetFailed(), special), len(different), nil
}

type kickIn struct {
	groupIn
	UserId []string `zim:"needed,max=50,user"`
}

func kickoutGroupUser(c *call, in *kickIn) (any, *failure) {
	errs, n, f := c.groupUsers(&in.groupIn, wire.GroupUsersRequest_ACTION_KICK, in.UserId)
	if f != nil {
		return nil, f
	}
	return errorListOut{errs}, batch(errs, n)
}

type groupInfoOut struct {
	GroupName, GroupNotice string
	GroupDataSeq           int
	GroupAvatar            string
	IsAllForbid            bool
	ForbidList             []int
	LimitInfo              struct {
		MemberCountLimit, JoinMode, InviteMode, BeInvitedMode int32
		NumberMessage                                         int
	}
	ForbidExpireTime, GroupCreateTime int64
	GroupId                           string
	GroupAttributes                   []attribute
}

// queryGroupInfo tells what a group is. What the backend has nothing of is zero or empty.
func queryGroupInfo(c *call, in *groupIn) (any, *failure) {
	g, f := c.group(in, wire.GroupRequest_ACTION_QUERY)
	if f != nil {
		return nil, f
	}
	out := groupInfoOut{
		GroupName: g.Name, GroupNotice: g.Notice, GroupAvatar: g.AvatarUrl, ForbidList: []int{}, GroupCreateTime: g.CreateTimeMs, GroupId: g.GroupId,
		GroupAttributes: []attribute{},
	}
	l := &out.LimitInfo
	l.MemberCountLimit, l.JoinMode, l.InviteMode, l.BeInvitedMode = g.MaxMembers, g.JoinMode, g.InviteMode, g.BeInviteMode
	return out, nil
}

type memberListIn struct {
	GroupId     string `zim:"needed,id"`
	Limit, Next int64
}

type listedMember struct {
	UserId, UserName, UserNickName string
	Role                           int32
}

type memberListOut struct {
	TotalCount, Next int64
	MemberList       []listedMember
}

func queryGroupMemberList(c *call, in *memberListIn) (any, *failure) {
	limit := int64(1000)
	if in.Limit > 0 {
		limit = min(limit, in.Limit)
	}
	out := memberListOut{Next: in.Next, MemberList: []listedMember{}}
	for {
		const atOnce = 100
		count := min(limit-int64(len(out.MemberList)), atOnce)
		resp, f := c.do("", &wire.Request{Body: &wire.Request_QueryGroupMembers{QueryGroupMembers: &wire.QueryGroupMembersRequest{
			GroupId: in.GroupId, Next: out.Next, Count: int32(count),
		}}}, nil)
		if f != nil {
			return nil, f
		}
		found := resp.GetGroupMembers()
		for _, m := range found.Members {
			out.MemberList = append(out.MemberList, listedMember{m.User.UserId, m.User.Name, m.Nickname, m.Role})
		}
		out.TotalCount, out.Next = found.Count, found.Next
		if out.Next == 0 || int64(len(out.MemberList)) >= limit {
			return out, nil
		}
	}
}

type groupsOfUserIn struct {
	FromUserId string `zim:"needed,user"`
	Limit      int64
	Next       string
}

type groupOfUser struct {
	GroupId, GroupName, GroupAvatar string
}

type groupsOfUserOut struct {
	NextRsp         string
	HasJoinGroupNum int64
	GroupInfoList   []groupOfUser
}

// queryGroupsInfoOfUser pages through the groups that a user is in. The number of all of them is counted page by page.
func queryGroupsInfoOfUser(c *call, in *groupsOfUserIn) (any, *failure) {
	if in.Limit < 1 || in.Limit > 100 {
		return nil, badInput("Limit is 1 to 100")
	}
	after := int64(0)
	if in.Next != "" {
		var err error
		if after, err = strconv.ParseInt(in.Next, 10, 64); err != nil || after < 0 {
			return nil, badInput("Next is none of the service's")
		}
	}
	query := func(after, count int64) (*wire.Groups, *failure) {
		resp, f := c.do(in.FromUserId, &wire.Request{Body: &wire.Request_QueryGroups{QueryGroups: &wire.QueryGroupsRequest{Next: after, Count: int32(count)}}}, nil)
		if f != nil {
			return nil, f
		}
		return resp.GetGroups(), nil
	}
	found, f := query(after, in.Limit)
	if f != nil {
		return nil, f
	}
	out := groupsOfUserOut{NextRsp: strconv.FormatInt(found.Next, 10), GroupInfoList: []groupOfUser{}}
	for _, g := range found.Groups {
		out.GroupInfoList = append(out.GroupInfoList, groupOfUser{g.GroupId, g.Name, g.AvatarUrl})
	}
	for next, more := int64(0), true; more; more = next != 0 {
		all, f := query(next, 100)
		if f != nil {
			return nil, f
		}
		out.HasJoinGroupNum += int64(len(all.Groups))
		next = all.Next
	}
	return out, nil
}

type appGroupsIn struct {
	Limit, Next int64
}

type appGroup struct {
	GroupId, GroupName string
}

type appGroupsOut struct {
	TotalCount, Next int64
	GroupIdList      []appGroup
}

func queryAppGroupList(c *call, in *appGroupsIn) (any, *failure) {
	const most = 10_000
	if in.Limit < 0 || in.Limit > most || in.Next < 0 {
		return nil, badInput("Limit is 0 to 10000, and Next what came back")
	}
	if in.Limit == 0 {
		in.Limit = most
	}
	list, next, total, err := c.server().Groups(c.ctx, c.app, in.Next, int(in.Limit))
	if err != nil {
		return nil, c.storage(err)
	}
	out := appGroupsOut{total, next, []appGroup{}}
	for _, g := range list {
		out.GroupIdList = append(out.GroupIdList, appGroup{g.GroupId, g.Name})
	}
	return out, nil
}
