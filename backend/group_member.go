package backend

import (
	"fmt"
	"slices"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

// changeGroupUsers does something with users of a group.
func (a *attachment) changeGroupUsers(s *session, id uint64, req *wire.GroupUsersRequest) {
	if n := len(req.UserIds); n == 0 || n > maxGroupUsers {
		a.refuse(id, refuse(codeParamsInvalid, fmt.Sprintf("1 to %d users at once", maxGroupUsers)))
		return
	}
	a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		op, refused, err := c.open(req.GroupId)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		if op.operator == nil && !s.server {
			return nil, notInGroup(), nil
		}
		switch req.Action {
		case wire.GroupUsersRequest_ACTION_INVITE:
			return op.invite(req.UserIds)
		case wire.GroupUsersRequest_ACTION_KICK:
			return op.kick(req.UserIds)
		}
		return nil, refuse(codeUnsupported, "the server does not know this action"), nil
	})
}

func (op *groupOp) invite(ids []string) (*wire.Response, *wire.Error, error) {
	conv := op.group.Conversation
	if !op.s.server && op.group.InviteMode == inviteAdmin && op.operator.Role > roleAdmin {
		return nil, refuse(codeNoAuthority, "only the owner and administrators invite"), nil
	}
	users, failed, err := op.change.users(ids)
	if err != nil {
		return nil, nil, err
	}
	if slices.Contains(ids, op.self.UserID) {
		failed = append(failed, &wire.UserError{UserId: op.self.UserID, Reason: codeAlreadyInGroup})
	}
	n, err := op.CountMembers(conv)
	if err != nil {
		return nil, nil, err
	}
	var enter []*store.User
	for _, u := range users {
		member, err := op.GroupMember(conv, u.UserID)
		reason := int32(0)
		switch {
		case err != nil:
			return nil, nil, err
		case member != nil:
			reason = codeAlreadyInGroup
		case op.group.BeInvited == beInviteAuth && !op.s.server:
			reason = codeMustAccept
		case n >= int64(op.group.MaxMembers):
			reason = codeGroupFull
		default:
			n++
			enter = append(enter, u)
			continue
		}
		failed = append(failed, &wire.UserError{UserId: u.UserID, Reason: reason})
	}
	if len(enter) == 0 {
		return op.none(failed)
	}
	for _, u := range enter {
		if err := op.enter(u, roleMember, enterInvited); err != nil {
			return nil, nil, err
		}
	}
	if err := op.tellMembers(groupEnter, memberInvited, groupInvited); err != nil {
		return nil, nil, err
	}
	return op.response(failed), nil, op.tip(tipInvited)
}

// none answers when something was done for no user: clients are refused with the first one's reason, the app's server is told them all.
func (op *groupOp) none(failed []*wire.UserError) (*wire.Response, *wire.Error, error) {
	if op.s.server {
		return op.response(failed), nil, nil
	}
	return nil, refuse(failed[0].Reason, fmt.Sprintf("for none of the users; the first is %q", failed[0].UserId)), nil
}

func (op *groupOp) kick(ids []string) (*wire.Response, *wire.Error, error) {
	if !op.s.server && op.operator.Role > roleAdmin {
		return nil, refuse(codeNoAuthority, "only the owner and administrators remove members"), nil
	}
	var kicked []*store.GroupMember
	var failed []*wire.UserError
	for _, userID := range unique(ids) {
		member, err := op.GroupMember(op.group.Conversation, userID)
		switch {
		case err != nil:
			return nil, nil, err
		case member == nil:
			failed = append(failed, &wire.UserError{UserId: userID, Reason: codeNotInGroup})
		case !op.s.server && member.Role <= op.operator.Role:
			failed = append(failed, &wire.UserError{UserId: userID, Reason: codeNoAuthority})
		default:
			kicked = append(kicked, member)
		}
	}
	if len(kicked) == 0 {
		return op.none(failed)
	}
	if err := op.tip(tipKicked, kicked...); err != nil {
		return nil, nil, err
	}
	for _, member := range kicked {
		if err := op.leave(member); err != nil {
			return nil, nil, err
		}
	}
	if err := op.succeed(kicked); err != nil {
		return nil, nil, err
	}
	return op.response(failed), nil, op.tellMembers(groupQuit, memberKicked, groupKicked)
}

// queryGroup tells what a group is.
func (a *attachment) queryGroup(s *session, id uint64, groupID string) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		g, err := r.Group(r.self.AppID, groupID)
		if err != nil {
			return nil, nil, err
		}
		if g == nil || g.Dismissed {
			return nil, refuse(codeNoGroup, "there is no such group"), nil
		}
		m, err := r.Member(g.Conversation, r.self.ID)
		return &wire.Response{Body: &wire.Response_Group{Group: &wire.GroupResponse{Group: wireGroup(g, m)}}}, nil, err
	})
}

// queryGroups lists the groups that the user is in.
func (a *attachment) queryGroups(s *session, id uint64, req *wire.QueryGroupsRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		limit := pageSize(req.Count, defaultGroups)
		list, err := r.Groups(r.self, req.Next, int64(limit)+1)
		resp := new(wire.Groups)
		for i, g := range list {
			if i == limit {
				resp.Next = list[i-1].Conversation.ID
				break
			}
			m, err := r.Member(g.Conversation, r.self.ID)
			if err != nil {
				return nil, nil, err
			}
			resp.Groups = append(resp.Groups, wireGroup(g, m))
		}
		return &wire.Response{Body: &wire.Response_Groups{Groups: resp}}, nil, err
	})
}

// queryGroupMembers lists the members of a group that the user is in.
func (a *attachment) queryGroupMembers(s *session, id uint64, req *wire.QueryGroupMembersRequest) {
	a.view(s, id, func(r *reader) (*wire.Response, *wire.Error, error) {
		if req.Next < 0 || len(req.UserIds) > maxGroupUsers {
			return nil, refuse(codeParamsInvalid, "up to 100 members at once"), nil
		}
		m, refused, err := r.joined(&wire.ConversationRef{Type: store.ConversationGroup, Id: req.GroupId})
		if refused != nil || err != nil {
			return nil, refused, err
		}
		resp := new(wire.GroupMembers)
		if resp.Count, err = r.CountMembers(m.Conversation); err != nil {
			return nil, nil, err
		}
		answer := &wire.Response{Body: &wire.Response_GroupMembers{GroupMembers: resp}}
		if req.OnlyCount {
			return answer, nil, nil
		}
		if len(req.UserIds) > 0 {
			for _, userID := range unique(req.UserIds) {
				found, err := r.GroupMember(m.Conversation, userID)
				if err != nil {
					return nil, nil, err
				}
				if found != nil {
					resp.Members = append(resp.Members, wireMember(found))
				}
			}
			return answer, nil, nil
		}
		limit := int64(pageSize(req.Count, maxPage))
		list, err := r.GroupMembers(m.Conversation, req.Next, limit)
		for i := range list {
			resp.Members = append(resp.Members, wireMember(&list[i]))
		}
		if next := req.Next + limit; len(list) > 0 && next < resp.Count {
			resp.Next = next
		}
		return answer, nil, err
	})
}
