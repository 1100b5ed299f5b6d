package cloud

import (
	"context"
	"slices"
	"strconv"

	"github.com/zim-go/zim/wire"
)

const (
	owner  = 1 // documented roles
	admin  = 2
	member = 3

	maxGroupPage   = 100
	maxMembers     = 1000 // in a page
	maxMemberPages = 10   // of members that are looked through for some
	maxKicked      = 50   // in one request
)

func groupResponse(r *wire.GroupResponse) *wire.Response {
	return &wire.Response{Body: &wire.Response_Group{Group: r}}
}

func userErrors(list []Failure) (errs []*wire.UserError) {
	for _, f := range list {
		errs = append(errs, &wire.UserError{UserId: f.UserID, Reason: look(f.Code).zim})
	}
	return errs
}

// group does something with a group as a whole.
func (c *conn) group(ctx context.Context, r *wire.GroupRequest) (*wire.Response, error) {
	var err error
	switch r.Action {
	case wire.GroupRequest_ACTION_JOIN:
		err = c.joinGroup(ctx, r.GroupId)
	case wire.GroupRequest_ACTION_LEAVE:
		// Others see that the user was removed: the service has no other way out.
		if _, err = c.kick(ctx, r.GroupId, []string{c.user}); err == nil {
			c.stream.leaveGroup(r.GroupId)
		}
		return groupResponse(&wire.GroupResponse{Group: &wire.GroupInfo{GroupId: r.GroupId}}), err
	case wire.GroupRequest_ACTION_DISMISS:
		if err = c.mayManage(ctx, r.GroupId, owner); err == nil {
			_, err = c.s.call(ctx, dismissGroup, r.GroupId, object{"FromUserId": c.user, "GroupId": r.GroupId})
		}
		return groupResponse(&wire.GroupResponse{Group: &wire.GroupInfo{GroupId: r.GroupId}}), err
	case wire.GroupRequest_ACTION_QUERY:
	default:
		err = unsupported("the service does nothing like that with groups")
	}
	if err != nil {
		return nil, err
	}
	g, err := c.groupInfo(ctx, r.GroupId)
	if err != nil {
		return nil, err
	}
	return groupResponse(&wire.GroupResponse{Group: g}), nil
}

func (c *conn) groupInfo(ctx context.Context, id string) (*wire.GroupInfo, error) {
	answer, err := c.s.call(ctx, queryGroupInfo, id, object{"FromUserId": c.user, "GroupId": id})
	if err != nil {
		return nil, err
	}
	limits := answer.object("LimitInfo")
	return &wire.GroupInfo{
		GroupId: id, Name: answer.text("GroupName"), AvatarUrl: answer.text("GroupAvatar"), Notice: answer.text("GroupNotice"),
		CreateTimeMs: answer.millis("GroupCreateTime"), MaxMembers: limits.small("MemberCountLimit"),
		JoinMode: limits.small("JoinMode"), InviteMode: limits.small("InviteMode"), BeInviteMode: limits.small("BeInvitedMode"),
	}, nil
}

// joinGroup has the Service's operator bring the user in, if the group is open: the service would not look.
func (c *conn) joinGroup(ctx context.Context, id string) error {
	if c.s.Operator == "" || c.s.Operator == c.user {
		return unsupported("users are brought into groups by another user, and the Service has no Operator")
	}
	g, err := c.groupInfo(ctx, id)
	if err != nil {
		return err
	}
	switch g.JoinMode {
	case 0:
	case 1:
		return refused{code: 6000543, why: "the group must be applied to"}
	default:
		return refused{code: 6000542, why: "nobody may join the group"}
	}
	failed, err := c.invite(ctx, c.s.Operator, id, []string{c.user})
	if err == nil && len(failed) > 0 {
		err = &Error{Action: inviteUsersIntoGroup.name, Code: failed[0].Code}
	}
	if err == nil {
		c.stream.followGroups(id)
	}
	return err
}

func (c *conn) invite(ctx context.Context, from, id string, users []string) ([]Failure, error) {
	answer, err := c.s.call(ctx, inviteUsersIntoGroup, id, object{"FromUserId": from, "GroupId": id, "UserIds": users})
	return batch(answer, err, "ErrorUsers")
}

// targetNotInGroup is the code for a user who is no member: already gone.
const targetNotInGroup = 660600008

func (c *conn) kick(ctx context.Context, id string, users []string) (failed []Failure, err error) {
	for part := range slices.Chunk(users, maxKicked) {
		answer, err := c.s.call(ctx, kickoutGroupUser, id, object{"FromUserId": c.user, "GroupId": id, "UserId": part})
		list, err := batch(answer, err, "ErrorList")
		if err != nil && !was(err, targetNotInGroup) {
			return nil, err
		}
		failed = append(failed, list...)
	}
	return failed, nil
}

// mayManage refuses what the user's role in a group does not allow. The service would do it for anybody.
func (c *conn) mayManage(ctx context.Context, id string, role int32) error {
	list, err := c.members(ctx, id, []string{c.user})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return refused{code: 6000521, why: "the user is not in the group"}
	}
	if list[0].Role < owner || list[0].Role > role {
		return refused{code: 6000541, why: "the user's role in the group forbids this"}
	}
	return nil
}

// groupUsers invites users into a group, or removes them.
func (c *conn) groupUsers(ctx context.Context, r *wire.GroupUsersRequest) (*wire.Response, error) {
	var failed []Failure
	var err error
	switch r.Action {
	case wire.GroupUsersRequest_ACTION_INVITE:
		failed, err = c.invite(ctx, c.user, r.GroupId, r.UserIds)
	case wire.GroupUsersRequest_ACTION_KICK:
		if err = c.mayManage(ctx, r.GroupId, admin); err == nil {
			failed, err = c.kick(ctx, r.GroupId, r.UserIds)
		}
	default:
		err = unsupported("the service does nothing like that with a group's users")
	}
	if err != nil {
		return nil, err
	}
	resp := &wire.GroupResponse{Failed: userErrors(failed)}
	for _, id := range r.UserIds {
		if !slices.ContainsFunc(failed, func(f Failure) bool { return f.UserID == id }) {
			resp.Members = append(resp.Members, &wire.GroupMember{User: &wire.UserInfo{UserId: id}, Role: member})
		}
	}
	return groupResponse(resp), nil
}

// queryGroups reads a page of the user's groups. The service's cursor is a text; what the SDK hands around is a number.
func (c *conn) queryGroups(ctx context.Context, r *wire.QueryGroupsRequest) (*wire.Response, error) {
	at := ""
	if r.Next != 0 {
		at = strconv.FormatInt(r.Next, 10)
	}
	groups, next, err := c.groupPage(ctx, at, limit(r.Count, maxGroupPage))
	if err != nil {
		return nil, err
	}
	list := &wire.Groups{Groups: groups}
	if next != "" {
		if list.Next, err = strconv.ParseInt(next, 10, 64); err != nil {
			return nil, unsupported("the service has more groups, behind a cursor that is no number")
		}
	}
	return &wire.Response{Body: &wire.Response_Groups{Groups: list}}, nil
}

// groupPage reads a page of the user's groups. next is where the next one begins, empty at the end.
func (c *conn) groupPage(ctx context.Context, at string, count int32) (list []*wire.GroupInfo, next string, err error) {
	answer, err := c.s.call(ctx, queryGroupsInfoOfUser, "", object{"FromUserId": c.user, "Limit": count, "Next": at})
	if err != nil {
		return nil, "", err
	}
	for _, o := range answer.objects("GroupInfoList") {
		list = append(list, &wire.GroupInfo{GroupId: o.text("GroupId"), Name: o.text("GroupName"), AvatarUrl: o.text("GroupAvatar")})
	}
	if next = answer.text("NextRsp"); next == "0" {
		next = ""
	}
	return list, next, nil
}

// limit returns a count that was asked for: all that are allowed if that is zero, or more.
func limit(count, most int32) int32 {
	if count <= 0 {
		return most
	}
	return min(count, most)
}

// queryGroupMembers reads members that are named, a page of them, or how many there are.
func (c *conn) queryGroupMembers(ctx context.Context, r *wire.QueryGroupMembersRequest) (*wire.Response, error) {
	resp := new(wire.GroupMembers)
	var err error
	switch {
	case len(r.UserIds) > 0:
		resp.Members, err = c.members(ctx, r.GroupId, r.UserIds)
	case r.OnlyCount:
		resp, err = c.memberPage(ctx, r.GroupId, 0, 1)
		if err == nil {
			resp = &wire.GroupMembers{Count: resp.Count}
		}
	default:
		resp, err = c.memberPage(ctx, r.GroupId, r.Next, limit(r.Count, 100))
	}
	if err != nil {
		return nil, err
	}
	return &wire.Response{Body: &wire.Response_GroupMembers{GroupMembers: resp}}, nil
}

func (c *conn) memberPage(ctx context.Context, id string, at int64, count int32) (*wire.GroupMembers, error) {
	answer, err := c.s.call(ctx, queryGroupMemberList, id, object{"GroupId": id, "Limit": count, "Next": at})
	if err != nil {
		return nil, err
	}
	page := &wire.GroupMembers{Next: answer.num("Next"), Count: answer.num("TotalCount")}
	for _, o := range answer.objects("MemberList") {
		page.Members = append(page.Members, memberOf(o))
	}
	return page, nil
}

// members looks through a group for some of its members.
func (c *conn) members(ctx context.Context, id string, users []string) (list []*wire.GroupMember, err error) {
	at := int64(0)
	for range maxMemberPages {
		page, err := c.memberPage(ctx, id, at, maxMembers)
		if err != nil {
			return nil, err
		}
		for _, m := range page.Members {
			if slices.Contains(users, m.User.UserId) {
				list = append(list, m)
			}
		}
		if at = page.Next; at == 0 || len(list) >= len(users) {
			return list, nil
		}
	}
	return nil, unsupported("the group has too many members to look through")
}

func memberOf(o object) *wire.GroupMember {
	return &wire.GroupMember{
		User:     &wire.UserInfo{UserId: o.text("UserId"), Name: o.text("UserName")},
		Nickname: o.text("UserNickName"), Role: o.small("Role"),
	}
}
