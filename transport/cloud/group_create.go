package cloud

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

const (
	groupNotFound = 660600001
	groupExists   = 660600011

	// clockOff is how much the clocks may differ without the service refusing requests.
	clockOff = 10 * time.Minute
)

// createGroup makes a group, which the user owns, with its settings; or none. The service would make up an ID by itself, but who gets no answer would
// not know it.
func (c *conn) createGroup(ctx context.Context, r *wire.CreateGroupRequest) (*wire.Response, error) {
	r = proto.CloneOf(r)
	if r.Group == nil {
		r.Group = new(wire.GroupInfo)
	}
	g := r.Group
	if g.GroupId == "" {
		var b [8]byte
		rand.Read(b[:])
		g.GroupId = "g" + hex.EncodeToString(b[:])
	}
	resp, found, err := c.makeGroup(ctx, r)
	if err != nil {
		return nil, err
	}
	c.stream.followGroups(g.GroupId)
	if err := c.limitGroup(ctx, g, found); err != nil {
		return nil, err
	}
	if resp.Group, err = c.groupInfo(ctx, g.GroupId); err != nil {
		// It is there, as it was to be.
		g.CreateTimeMs = c.s.now().UnixMilli()
		resp.Group = g
	}
	slices.SortStableFunc(resp.Members, func(a, b *wire.GroupMember) int { return int(a.Role - b.Role) })
	return groupResponse(resp), nil
}

// makeGroup makes a group without its settings. If there is no answer, it looks for the group, and so does the next try to make it, which the service
// refuses because the group is there. found says that it was not made now for certain.
func (c *conn) makeGroup(ctx context.Context, r *wire.CreateGroupRequest) (resp *wire.GroupResponse, found bool, err error) {
	g := r.Group
	args := object{"GroupId": g.GroupId, "GroupOwner": c.user, "GroupName": g.Name}
	if len(r.UserIds) > 0 {
		args["UserId"] = r.UserIds
	}
	if g.Notice != "" {
		args["GroupNotice"] = g.Notice
	}
	if g.AvatarUrl != "" {
		args["GroupAvatar"] = g.AvatarUrl
	}
	now := c.s.now()
	answer, err := c.s.call(ctx, createGroup, "", args)
	if err == nil {
		c.sureOf(g.GroupId)
		resp = &wire.GroupResponse{Failed: userErrors(answer.failures("ErrorUsers"))}
		for _, o := range answer.objects("Members") {
			m := memberOf(o)
			if m.Role = member; m.User.UserId == c.user {
				m.Role = owner
			}
			resp.Members = append(resp.Members, m)
		}
		return resp, false, nil
	}
	lost := errors.Is(err, transport.ErrOutcomeUnknown)
	since, before := c.unsureOf(g.GroupId, lost, now)
	if !lost && (!before || !was(err, groupExists)) {
		return nil, false, err
	}
	if resp := c.ownGroup(ctx, r, since); resp != nil {
		c.sureOf(g.GroupId)
		return resp, true, nil
	}
	if lost {
		c.s.log().Warn("cloud: a group may have been made", "user", c.user, "group", g.GroupId, "err", err)
		err = fmt.Errorf("group %q: %w", g.GroupId, err)
	}
	return nil, false, err
}

// unsureOf returns since when it is unknown whether a group was made, if it is. With lost, it is from now on.
func (c *conn) unsureOf(id string, lost bool, now time.Time) (since time.Time, unsure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, unsure = c.unsure[id]
	if !unsure && lost {
		if c.unsure == nil {
			c.unsure = make(map[string]time.Time)
		}
		c.unsure[id], since = now, now
	}
	return since, unsure || lost
}

func (c *conn) sureOf(id string) {
	c.mu.Lock()
	delete(c.unsure, id)
	c.mu.Unlock()
}

// ownGroup looks for a group that r was to make. It returns nil if it is not there, or not seen to be that one: the user's, with nobody in it who was not
// asked for, and no older.
func (c *conn) ownGroup(ctx context.Context, r *wire.CreateGroupRequest, since time.Time) *wire.GroupResponse {
	id := r.Group.GroupId
	page, err := c.memberPage(ctx, id, 0, maxMembers)
	if err != nil || page.Next != 0 {
		return nil
	}
	resp := &wire.GroupResponse{Members: page.Members}
	in := make(map[string]bool)
	for _, m := range page.Members {
		in[m.User.UserId] = true
		if (m.Role == owner) != (m.User.UserId == c.user) || m.Role != owner && !slices.Contains(r.UserIds, m.User.UserId) {
			return nil
		}
	}
	info, err := c.groupInfo(ctx, id)
	if !in[c.user] || err != nil || info.CreateTimeMs < since.Add(-clockOff).UnixMilli() {
		return nil
	}
	for _, user := range r.UserIds {
		if !in[user] {
			resp.Failed = append(resp.Failed, &wire.UserError{UserId: user, Reason: codeNotInvited})
		}
	}
	return resp
}

// codeNotInvited is the documented ZIM code for somebody who could not be brought into a group.
const codeNotInvited = 6000508

// limitGroup gives a new group its settings. If that fails, it ends the group again, unless it was found: others must not come in who were to be kept out.
func (c *conn) limitGroup(ctx context.Context, g *wire.GroupInfo, found bool) error {
	args := object{}
	for key, n := range map[string]int32{
		"JoinMode": g.JoinMode, "InviteMode": g.InviteMode, "BeInvitedMode": g.BeInviteMode, "MemberCountLimit": g.MaxMembers,
	} {
		if n != 0 {
			args[key] = n
		}
	}
	if len(args) == 0 {
		return nil
	}
	var names []string
	for key := range args {
		names = append(names, key)
	}
	slices.Sort(names)
	missing := strings.Join(names, ", ")
	args["FromUserId"], args["GroupId"] = c.user, g.GroupId
	_, err := c.s.call(ctx, modifyGroupLimit, g.GroupId, args)
	if err == nil {
		return nil
	}
	code := int32(codeServerError)
	if w := refusal(err); w != nil {
		code = w.Code
	}
	if !found {
		_, gone := c.s.call(ctx, dismissGroup, g.GroupId, object{"FromUserId": c.user, "GroupId": g.GroupId})
		if gone == nil || was(gone, groupNotFound) {
			c.stream.leaveGroup(g.GroupId)
			return refused{code: code, why: fmt.Sprintf("group %q was made, and dismissed as it can't be given %s: %v", g.GroupId, missing, err)}
		}
	}
	c.s.log().Warn("cloud: a group lacks settings", "user", c.user, "group", g.GroupId, "missing", missing, "err", err)
	return refused{code: code, why: fmt.Sprintf("group %q exists, perhaps without %s: %v", g.GroupId, missing, err)}
}
