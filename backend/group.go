package backend

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

const (
	maxGroupUsers  = 100
	maxGroupName   = 50 // characters
	maxGroupNotice = 300
	maxAvatar      = 500 // bytes
	defaultGroups  = 100
)

// The documented roles.
const roleOwner, roleAdmin, roleMember = 1, 2, 3

// The documented ways into a group.
const enterCreated, enterJoined, enterInvited = 1, 3, 4

// The documented modes that somebody else must agree to.
const joinAuth, joinForbid, inviteAdmin, beInviteAuth = 1, 2, 1, 1

// The documented states and events of groups and of their members.
const (
	groupQuit, groupEnter = 0, 1

	groupCreated   = 1
	groupDismissed = 2
	groupJoined    = 3
	groupInvited   = 4
	groupLeft      = 5
	groupKicked    = 6

	memberJoined  = 1
	memberLeft    = 2
	memberKicked  = 4
	memberInvited = 5
)

func wireGroup(g *store.Group, m *store.Member) *wire.GroupInfo {
	w := &wire.GroupInfo{
		GroupId: g.Conversation.A, Name: g.Name, AvatarUrl: g.Avatar, Notice: g.Notice, CreateTimeMs: g.Created, MaxMembers: g.MaxMembers,
		JoinMode: g.JoinMode, InviteMode: g.InviteMode, BeInviteMode: g.BeInvited, NotificationStatus: notify,
	}
	if m != nil && m.Muted {
		w.NotificationStatus = doNotDisturb
	}
	return w
}

func wireMember(m *store.GroupMember) *wire.GroupMember {
	return &wire.GroupMember{
		User: &wire.UserInfo{UserId: m.UserID, Name: m.Name}, Role: m.Role, EnterTimeMs: m.Entered, EnterType: m.EnterType, OperatorUserId: m.Operator,
	}
}

// checkGroup checks what a group is to be.
func checkGroup(g *wire.GroupInfo, limits *Limits) *wire.Error {
	switch {
	case g == nil:
		return refuse(codeParamsInvalid, "the group is missing")
	case g.GroupId != "" && (ident.CheckUserID(g.GroupId) != nil || strings.HasPrefix(g.GroupId, "#")):
		return refuse(codeParamsInvalid, "the group ID has 1 to 32 bytes of letters, digits and punctuation, and does not begin with #")
	case !fits(g.Name, maxGroupName) || !fits(g.Notice, maxGroupNotice) || len(g.AvatarUrl) > maxAvatar || !utf8.ValidString(g.AvatarUrl):
		return refuse(codeParamsInvalid, fmt.Sprintf("a group's name has up to %d characters, its notice %d, its avatar URL %d bytes", maxGroupName, maxGroupNotice, maxAvatar))
	case g.MaxMembers < 0 || int(g.MaxMembers) > limits.GroupMembers:
		return refuse(codeParamsInvalid, fmt.Sprintf("a group has up to %d members", limits.GroupMembers))
	case g.JoinMode < 0 || g.JoinMode > joinForbid || g.InviteMode < 0 || g.InviteMode > inviteAdmin || g.BeInviteMode < 0 || g.BeInviteMode > beInviteAuth:
		return refuse(codeParamsInvalid, "there is no such mode")
	}
	return nil
}

func fits(s string, characters int) bool {
	return len(s) <= 4*characters && utf8.ValidString(s) && utf8.RuneCountInString(s) <= characters
}

// createGroup makes a group with the user as its owner.
func (a *attachment) createGroup(s *session, id uint64, req *wire.CreateGroupRequest) {
	if refused := checkGroup(req.Group, &s.app.Limits); refused != nil {
		a.refuse(id, refused)
		return
	}
	if len(req.UserIds) > maxGroupUsers {
		a.refuse(id, refuse(codeParamsInvalid, fmt.Sprintf("up to %d users at once", maxGroupUsers)))
		return
	}
	a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		w := req.Group
		groupID := w.GroupId
		if groupID == "" {
			groupID = newGroupID()
		}
		old, err := c.Group(c.self.AppID, groupID)
		switch {
		case err != nil:
			return nil, nil, err
		case old != nil && old.Dismissed:
			return nil, refuse(codeGroupWasDismissed, "a group of that ID was dismissed"), nil
		case old != nil:
			return nil, refuse(codeGroupExists, "there is a group of that ID"), nil
		}
		g := &store.Group{
			Name: w.Name, Avatar: w.AvatarUrl, Notice: w.Notice, Created: c.now, MaxMembers: w.MaxMembers,
			JoinMode: w.JoinMode, InviteMode: w.InviteMode, BeInvited: w.BeInviteMode,
		}
		if g.MaxMembers == 0 {
			g.MaxMembers = int32(c.app.Limits.GroupMembers)
		}
		users, failed, err := c.users(req.UserIds)
		if err != nil {
			return nil, nil, err
		}
		if 1+len(users) > int(g.MaxMembers) {
			return nil, refuse(codeGroupFull, "the group has no room for so many"), nil
		}
		if err := c.AddGroup(c.self.AppID, groupID, g); err != nil {
			return nil, nil, err
		}
		op := &groupOp{change: c, group: g}
		if err := op.enter(c.self, roleOwner, enterCreated); err != nil {
			return nil, nil, err
		}
		for _, u := range users {
			if err := op.enter(u, roleMember, enterCreated); err != nil {
				return nil, nil, err
			}
		}
		if err := op.tellMembers(groupEnter, memberInvited, groupInvited); err != nil {
			return nil, nil, err
		}
		return op.response(failed), nil, op.tip(tipCreated)
	})
}

func newGroupID() string {
	var b [15]byte
	rand.Read(b[:])
	return "#" + base32.StdEncoding.EncodeToString(b[:])
}

// users looks users up, but the one who asks. Those who are not registered have failed.
func (c *change) users(ids []string) (users []*store.User, failed []*wire.UserError, err error) {
	for _, userID := range unique(ids) {
		u, err := c.User(c.self.AppID, userID)
		if err != nil {
			return nil, nil, err
		}
		if u == nil {
			failed = append(failed, &wire.UserError{UserId: userID, Reason: codeNoUser})
		} else if u.ID != c.self.ID {
			users = append(users, u)
		}
	}
	return users, failed, nil
}

// A groupOp changes who is in a group.
type groupOp struct {
	*change
	group    *store.Group
	operator *store.GroupMember
	changed  []*wire.GroupMember // who entered, or left
	users    []*store.User       // the same
	updated  []*wire.GroupMember
}

// enter brings a user in.
func (op *groupOp) enter(u *store.User, role, how int32) error {
	conv := op.group.Conversation
	m, err := op.Member(conv, u.ID)
	if err != nil {
		return err
	}
	if m == nil {
		m = &store.Member{User: u.ID, Conversation: conv}
	}
	m.Enter()
	m.Role, m.Entered, m.EnterType, m.Operator = role, op.now, how, op.self.UserID
	op.users = append(op.users, u)
	op.changed = append(op.changed, &wire.GroupMember{
		User: &wire.UserInfo{UserId: u.UserID, Name: u.Name}, Role: role, EnterTimeMs: op.now, EnterType: how, OperatorUserId: op.self.UserID,
	})
	return op.PutMember(m)
}

// leave takes a member out.
func (op *groupOp) leave(g *store.GroupMember) error {
	u, err := op.User(op.self.AppID, g.UserID)
	if err != nil {
		return err
	}
	m, err := op.Member(op.group.Conversation, u.ID)
	if err != nil {
		return err
	}
	m.Leave()
	op.users = append(op.users, u)
	op.changed = append(op.changed, wireMember(g))
	return op.PutMember(m)
}

// tellMembers tells the members, and those who left, what happened. event is what happened to the members, and own what it is
// for those whom it happened to.
func (op *groupOp) tellMembers(state, event, own int32) error {
	conv := op.group.Conversation
	told := slices.Clone(op.users)
	roster, err := op.Roster(conv)
	if err != nil {
		return err
	}
	for _, p := range roster {
		if !slices.ContainsFunc(told, func(u *store.User) bool { return u.ID == p.User.ID }) {
			told = append(told, p.User)
		}
	}
	info := wireGroup(op.group, nil)
	for _, u := range told {
		w := &wire.GroupChange{Group: info, MemberState: state, MemberEvent: event, Members: op.changed, Updated: op.updated}
		w.Operator = &wire.GroupMember{User: &wire.UserInfo{UserId: op.self.UserID, Name: op.self.Name}, Role: op.role()}
		if slices.Contains(op.users, u) {
			w.State = &wire.GroupStateChange{State: state, Event: own}
			if own == groupInvited && u.ID == op.self.ID {
				w.State.Event = groupCreated
			}
		}
		if event == 0 {
			w.Members = nil
		}
		if err := op.tell(u, conv.Place(1), &wire.Event{Group: w}); err != nil {
			return err
		}
	}
	return op.callMembers(own)
}

// role returns the role of the user who does it.
func (op *groupOp) role() int32 {
	for _, m := range op.changed {
		if m.User.UserId == op.self.UserID {
			return m.Role
		}
	}
	if op.operator != nil {
		return op.operator.Role
	}
	return 0
}

func (op *groupOp) response(failed []*wire.UserError) *wire.Response {
	return &wire.Response{Body: &wire.Response_Group{Group: &wire.GroupResponse{
		Group: wireGroup(op.group, nil), Members: op.changed, Failed: failed,
	}}}
}

// open returns the group that is to be changed, and the user's membership if there is one.
func (c *change) open(groupID string) (*groupOp, *wire.Error, error) {
	g, err := c.Group(c.self.AppID, groupID)
	if err != nil {
		return nil, nil, err
	}
	if g == nil || g.Dismissed {
		return nil, refuse(codeNoGroup, "there is no such group"), nil
	}
	operator, err := c.GroupMember(g.Conversation, c.self.UserID)
	return &groupOp{change: c, group: g, operator: operator}, nil, err
}

func notInGroup() *wire.Error { return refuse(codeNotInGroup, "the user is not in the group") }

// changeGroup does something with a group as a whole.
func (a *attachment) changeGroup(s *session, id uint64, req *wire.GroupRequest) {
	if req.Action == wire.GroupRequest_ACTION_QUERY {
		a.queryGroup(s, id, req.GroupId)
		return
	}
	a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		op, refused, err := c.open(req.GroupId)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		switch req.Action {
		case wire.GroupRequest_ACTION_JOIN:
			return op.join()
		case wire.GroupRequest_ACTION_LEAVE:
			return op.quit()
		case wire.GroupRequest_ACTION_DISMISS:
			return op.dismiss()
		}
		return nil, refuse(codeUnsupported, "the server does not know this action"), nil
	})
}

func (op *groupOp) join() (*wire.Response, *wire.Error, error) {
	n, err := op.CountMembers(op.group.Conversation)
	switch {
	case err != nil:
		return nil, nil, err
	case op.operator != nil:
		return op.response(nil), nil, nil
	case op.group.JoinMode == joinAuth:
		return nil, refuse(codeMustApply, "one must apply to join the group"), nil
	case op.group.JoinMode == joinForbid:
		return nil, refuse(codeJoinForbidden, "nobody may join the group"), nil
	case n >= int64(op.group.MaxMembers):
		return nil, refuse(codeGroupFull, "the group is full"), nil
	}
	if err := op.enter(op.self, roleMember, enterJoined); err != nil {
		return nil, nil, err
	}
	if err := op.tellMembers(groupEnter, memberJoined, groupJoined); err != nil {
		return nil, nil, err
	}
	return op.response(nil), nil, op.tip(tipJoined)
}

// quit takes the user out. The one who is in the group for longest becomes its owner, if need be.
func (op *groupOp) quit() (*wire.Response, *wire.Error, error) {
	if op.operator == nil {
		return nil, notInGroup(), nil
	}
	if err := op.tip(tipLeft, op.operator); err != nil {
		return nil, nil, err
	}
	if err := op.leave(op.operator); err != nil {
		return nil, nil, err
	}
	if err := op.succeed([]*store.GroupMember{op.operator}); err != nil {
		return nil, nil, err
	}
	return op.response(nil), nil, op.tellMembers(groupQuit, memberLeft, groupLeft)
}

// succeed makes the one who is in the group for longest its owner, if the owner is among those who left. A group without members is gone.
func (op *groupOp) succeed(gone []*store.GroupMember) error {
	left, err := op.GroupMembers(op.group.Conversation, 0, 1)
	switch {
	case err != nil:
		return err
	case len(left) == 0:
		op.group.Dismissed = true
		return op.PutGroup(op.group)
	case slices.ContainsFunc(gone, func(m *store.GroupMember) bool { return m.Role == roleOwner }):
		return op.crown(&left[0])
	}
	return nil
}

func (op *groupOp) crown(g *store.GroupMember) error {
	m, err := op.Member(op.group.Conversation, g.Row)
	if err != nil {
		return err
	}
	m.Role, g.Role = roleOwner, roleOwner
	op.updated = append(op.updated, wireMember(g))
	return op.PutMember(m)
}

func (op *groupOp) dismiss() (*wire.Response, *wire.Error, error) {
	switch {
	case op.s.server:
	case op.operator == nil:
		return nil, notInGroup(), nil
	case op.operator.Role != roleOwner:
		return nil, refuse(codeNoAuthority, "only the owner dismisses a group"), nil
	}
	if err := op.tip(tipDismissed); err != nil {
		return nil, nil, err
	}
	roster, err := op.Roster(op.group.Conversation)
	if err != nil {
		return nil, nil, err
	}
	op.group.Dismissed = true
	if err := op.PutGroup(op.group); err != nil {
		return nil, nil, err
	}
	for _, p := range roster {
		op.users = append(op.users, p.User)
	}
	if err := op.tellMembers(groupQuit, 0, groupDismissed); err != nil {
		return nil, nil, err
	}
	list, err := op.Members(op.group.Conversation, false)
	for _, m := range list {
		if m.Leave(); err == nil {
			err = op.PutMember(m)
		}
	}
	return op.response(nil), nil, err
}

// The documented kinds of tips.
const tipCreated, tipDismissed, tipJoined, tipInvited, tipLeft, tipKicked = 1, 2, 3, 4, 5, 6

// tip puts a note of what happens into the conversation, if the app wants that. The targets are those who entered, unless
// others are named.
func (op *groupOp) tip(event int32, targets ...*store.GroupMember) error {
	if !op.app.GroupTips {
		return nil
	}
	content := &wire.TipsContent{
		Event:    event,
		Operator: &wire.TipsUser{UserId: op.self.UserID, UserName: op.self.Name, MemberRole: op.role()},
	}
	for _, m := range op.changed {
		content.Targets = append(content.Targets, &wire.TipsUser{UserId: m.User.UserId, UserName: m.User.Name, MemberRole: m.Role})
	}
	for _, m := range targets {
		content.Targets = append(content.Targets, &wire.TipsUser{UserId: m.UserID, UserName: m.Name, MemberRole: m.Role})
	}
	encoded, err := proto.Marshal(content)
	if err != nil {
		return err
	}
	var clientID [localIDSize]byte
	rand.Read(clientID[:])
	conv := op.group.Conversation
	m := &store.Message{
		Sender: op.self, ClientID: clientID[:], Hash: clientID[:], Type: msgtype.Tips, Priority: priorityLow, Content: encoded,
	}
	if _, _, err := op.AppendMessage(conv, m); err != nil {
		return err
	}
	return op.tellAll(conv, m.Place, m.Seq(), func(*store.User) *wire.Event { return &wire.Event{Message: at(m.Place)} })
}
