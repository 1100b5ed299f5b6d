package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// ids returns who is in a list, with their roles.
func ids(list []*zim.GroupMemberInfo) string { return memberIDs(list) }

func failedIDs(list []zim.ErrorUserInfo) string {
	var ids []string
	for _, e := range list {
		ids = append(ids, fmt.Sprintf("%s %d", e.UserID, e.Reason))
	}
	return strings.Join(ids, ", ")
}

func TestGroup(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a, a2 := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "alice", "two")
		b, c := device(t, srv, dialer, "bob", "one"), device(t, srv, dialer, "carol", "one")
		created, err := a.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g", GroupName: "G", GroupAvatarUrl: "u"}, []string{"bob", "nobody", "bob", "alice"},
			&zim.GroupAdvancedConfig{GroupNotice: "n"})
		a.must(err)
		if g := created.GroupInfo; g.BaseInfo != (zim.GroupInfo{GroupID: "g", GroupName: "G", GroupAvatarUrl: "u"}) || g.GroupNotice != "n" || g.MaxMemberCount != 500 ||
			g.CreateTime.IsZero() || g.NotificationStatus != zim.ConversationNotificationStatusNotify {
			t.Errorf("made %+v", g)
		}
		if got := ids(created.UserList) + "; " + failedIDs(created.ErrorUserList); got != "alice:1,bob:3; nobody 6000011" {
			t.Errorf("in it are %s", got)
		}
		const members = "members g Enter Invited alice:1,bob:3 by alice"
		a.saw("create", "group g Enter Created", members)
		a2.saw("create", "group g Enter Created", members)
		b.saw("create", "group g Enter Invited", members)
		wantCode(t, "create twice", lastErr(b.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g"}, nil, nil)), zim.ErrGroupGroupAlreadyExists)
		own, err := c.CreateGroup(t.Context(), zim.GroupInfo{GroupName: "no ID"}, nil, nil)
		c.must(err)
		if id := own.GroupInfo.BaseInfo.GroupID; !strings.HasPrefix(id, "#") || len(id) > 32 {
			t.Errorf("the service's ID is %q", id)
		}
		quiet(a, a2, b, c)

		// Join, twice.
		_, err = c.JoinGroup(t.Context(), "g")
		c.must(err)
		_, err = c.JoinGroup(t.Context(), "g")
		c.must(err)
		a.saw("join", "members g Enter Joined carol:3 by carol")
		c.saw("join", "group g Enter Joined", "members g Enter Joined carol:3 by carol")
		a2.since()
		b.since()

		// A message reaches all, each device once.
		b.send(ofGroup, "hello", nil)
		b.saw("a message", "conversation Added g 0 hello Sending", "status Success hello", "conversation Updated g 0 hello")
		for _, u := range []*user{a, a2, c} {
			u.saw("a message", "group message hello", "conversation Added g 1 hello", "total 1")
			if m := u.message("hello"); m.Sender != "bob" || m.Conversation != ofGroup {
				t.Errorf("got %+v", m)
			}
		}
		if v := c.conversation("g"); v.ConversationName != "G" || v.ConversationAvatarUrl != "u" || v.Type != zim.ConversationTypeGroup {
			t.Errorf("got %+v", v)
		}
		_, err = b.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("x")}, ofGroup, nil)
		b.must(err)
		for _, u := range []*user{a, a2, c} {
			u.saw("a command", "group message (Command)")
		}
		b.saw("a command", "status Success (Command)")

		// Kick.
		_, err = b.KickGroupMembers(t.Context(), []string{"carol"}, "g")
		wantCode(t, "a member kicks", err, zim.ErrGroupGroupNoCorrespondingOperationAuthority)
		kicked, err := a.KickGroupMembers(t.Context(), []string{"carol", "nobody", "alice"}, "g")
		a.must(err)
		if got := strings.Join(kicked.KickedUserIDs, ",") + "; " + failedIDs(kicked.ErrorUserList); got != "carol; nobody 6000521, alice 6000541" {
			t.Errorf("kicked %s", got)
		}
		c.saw("kick", "group g Quit KickedOut", "members g Quit KickedOut carol:3 by alice", "conversation Disabled g 1 hello")
		b.saw("kick", "members g Quit KickedOut carol:3 by alice", "conversation Updated g 0 hello")
		quiet(a, a2)
		b.send(ofGroup, "without carol", nil)
		c.saw("what is said without her")
		m, err := c.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, ofGroup, nil)
		wantCode(t, "send", err, zim.ErrGroupUserIsNotInTheGroup)
		if m == nil || m.SentStatus != zim.MessageSentStatusFailed {
			t.Errorf("got %+v", m)
		}
		for what, err := range map[string]error{
			"leave": c.LeaveGroup(t.Context(), "g"), "dismiss": c.DismissGroup(t.Context(), "g"), "members": lastErr(c.QueryGroupMemberCount(t.Context(), "g")),
			"kick": lastErr(c.KickGroupMembers(t.Context(), []string{"bob"}, "g")), "invite": lastErr(c.InviteUsersIntoGroup(t.Context(), []string{"bob"}, "g")),
			"command": lastErr(c.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("x")}, ofGroup, nil)),
			"react":   lastErr(c.AddMessageReaction(t.Context(), "+1", c.message("hello"), nil)), "pin": c.PinMessage(t.Context(), c.message("hello"), true, nil),
			"reply": lastErr(c.ReplyMessage(t.Context(), &zim.TextMessage{Message: "x"}, c.message("hello"), nil)),
		} {
			wantCode(t, what, err, zim.ErrGroupUserIsNotInTheGroup)
		}
		quiet(a, a2, b, c)
		invited, err := b.InviteUsersIntoGroup(t.Context(), []string{"carol", "alice", "nobody"}, "g")
		b.must(err)
		if got := ids(invited.UserList) + "; " + failedIDs(invited.ErrorUserList); got != "carol:3; nobody 6000011, alice 6000522" {
			t.Errorf("invited %s", got)
		}
		c.saw("invite", "group g Enter Invited", "members g Enter Invited carol:3 by bob", "conversation Updated g 0", "total 0")
		if v := c.conversation("g"); v.IsDisabled {
			t.Errorf("carol has %+v", v)
		}
		b.send(ofGroup, "again", nil)
		if v := c.conversation("g"); v == nil || v.IsDisabled {
			t.Errorf("carol has %+v", v)
		}

		// The one who is there for longest owns it next, and the last one dismisses it.
		quiet(a, a2, b, c)
		a.must(a.LeaveGroup(t.Context(), "g"))
		a.saw("leave", "group g Quit Left", "members g Quit Left alice:1 by alice", "member info g bob:1", "conversation Disabled g 3 again")
		b.saw("leave", "members g Quit Left alice:1 by alice", "member info g bob:1", "conversation Updated g 0 again")
		wantCode(t, "dismiss", c.DismissGroup(t.Context(), "g"), zim.ErrGroupGroupNoCorrespondingOperationAuthority)
		quiet(b, c)
		b.must(b.DismissGroup(t.Context(), "g"))
		b.saw("dismiss", "group g Quit Dismissed", "conversation Disabled g 0 again")
		c.saw("dismiss", "group g Quit Dismissed", "conversation Disabled g 1 again")
		for what, err := range map[string]error{
			"join": lastErr(c.JoinGroup(t.Context(), "g")), "query": lastErr(c.QueryGroupInfo(t.Context(), "g")), "leave": c.LeaveGroup(t.Context(), "g"),
			"none": lastErr(c.JoinGroup(t.Context(), "none")),
		} {
			wantCode(t, what, err, zim.ErrGroupGroupDoesNotExist)
		}
		wantCode(t, "create again", lastErr(c.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g"}, nil, nil)), zim.ErrGroupCreateGroupWithDismissed)
		id := own.GroupInfo.BaseInfo.GroupID
		c.must(c.LeaveGroup(t.Context(), id))
		wantCode(t, "after the last one left", lastErr(c.JoinGroup(t.Context(), id)), zim.ErrGroupGroupDoesNotExist)
	})
}

// lastErr returns the error of a call with a result.
func lastErr[T any](_ T, err error) error { return err }

// Who may come in, and how.
func TestGroupModes(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		list := []*user{device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one"), device(t, srv, dialer, "carol", "one")}
		a, b, c := list[0], list[1], list[2]
		srv.Register("dave")
		for name, test := range map[string]struct {
			config                zim.GroupAdvancedConfig
			join, invite, invite2 zim.Code // carol joins; bob, a member, and alice, the owner, invite dave
		}{
			"open":       {},
			"apply":      {config: zim.GroupAdvancedConfig{JoinMode: zim.GroupJoinModeAuth}, join: zim.ErrGroupNeedApplyJoinGroupError},
			"closed":     {config: zim.GroupAdvancedConfig{JoinMode: zim.GroupJoinModeForbid}, join: zim.ErrGroupForbidJoinGroupError},
			"admins":     {config: zim.GroupAdvancedConfig{InviteMode: zim.GroupInviteModeAdmin}, invite: zim.ErrGroupGroupNoCorrespondingOperationAuthority},
			"they agree": {config: zim.GroupAdvancedConfig{BeInviteMode: zim.GroupBeInviteModeAuth}, invite: zim.ErrGroupNeedApplyInviteGroupError, invite2: zim.ErrGroupNeedApplyInviteGroupError},
			"full":       {config: zim.GroupAdvancedConfig{MaxMemberCount: 2}, join: zim.ErrGroupGroupMemberHasReachedLimit, invite: zim.ErrGroupGroupMemberHasReachedLimit, invite2: zim.ErrGroupGroupMemberHasReachedLimit},
		} {
			g, err := a.CreateGroup(t.Context(), zim.GroupInfo{GroupName: name}, []string{"bob"}, &test.config)
			a.must(err)
			if v := g.GroupInfo.VerifyInfo; v != (zim.GroupVerifyInfo{JoinMode: test.config.JoinMode, InviteMode: test.config.InviteMode, BeInviteMode: test.config.BeInviteMode}) {
				t.Errorf("%s: made %+v", name, v)
			}
			id := g.GroupInfo.BaseInfo.GroupID
			quiet(list...)
			_, err = c.JoinGroup(t.Context(), id)
			wantCode(t, name+": join", err, test.join)
			_, err = b.InviteUsersIntoGroup(t.Context(), []string{"dave"}, id)
			wantCode(t, name+": a member invites", err, test.invite)
			if test.invite == 0 {
				test.invite2 = zim.ErrGroupMemberIsAlreadyInTheGroup
			}
			_, err = a.InviteUsersIntoGroup(t.Context(), []string{"dave"}, id)
			wantCode(t, name+": the owner invites", err, test.invite2)
			if test.join != 0 && test.invite != 0 {
				for _, u := range list {
					u.saw(name)
				}
			}
		}
		_, err := a.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "small"}, []string{"bob", "carol"}, &zim.GroupAdvancedConfig{MaxMemberCount: 2})
		wantCode(t, "too many from the start", err, zim.ErrGroupGroupMemberHasReachedLimit)
		wantCode(t, "it was not made", lastErr(a.QueryGroupInfo(t.Context(), "small")), zim.ErrGroupGroupDoesNotExist)
	})
}

func TestGroupLists(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a := grouped(t, srv, dialer, "alice", "bob")[0]
		want := append([]string{"alice", "bob"}, crowd(t, srv, a, 248)...)
		var got []string
		for _, m := range all(t, a.GroupMembers(t.Context(), "g")) {
			if got = append(got, m.UserID); m.UserID == "user007" && (m.GroupEnterInfo.EnterType != zim.GroupEnterTypeInvited || m.GroupEnterInfo.OperatedUserID != "alice" || m.MemberRole != 3) {
				t.Errorf("got %+v", m)
			}
		}
		wantList(t, "members", got, want...)
		page, next, err := a.QueryGroupMemberList(t.Context(), "g", zim.GroupMemberQueryConfig{Count: 1000})
		if a.must(err); len(page) != 100 || next == 0 {
			t.Errorf("a page has %d, and the next is %d", len(page), next)
		}
		if n, err := a.QueryGroupMemberCount(t.Context(), "g"); n != 250 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		m, err := a.QueryGroupMemberInfo(t.Context(), "alice", "g")
		if a.must(err); m.MemberRole != 1 || m.GroupEnterInfo.EnterType != zim.GroupEnterTypeCreated {
			t.Errorf("got %+v", m)
		}
		_, err = a.QueryGroupMemberInfo(t.Context(), "nobody", "g")
		wantCode(t, "no member", err, zim.ErrGroupQueryGroupMemberInfoError)
		var groups []string
		for _, s := range numbers(105) {
			_, err := a.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g" + s}, nil, nil)
			a.must(err)
			groups = append(groups, "g"+s)
		}
		a.must(a.DismissGroup(t.Context(), "g7"))
		got = nil
		for _, g := range all(t, a.Groups(t.Context())) {
			got = append(got, g.BaseInfo.GroupID)
		}
		wantList(t, "groups", got, append(append([]string{"g"}, groups[:7]...), groups[8:]...)...)
	})
}

func TestGroupTips(t *testing.T) {
	tips := func(a *backend.App) {
		several(a)
		a.GroupTips = true
	}
	onEach(t, &zimtest.Options{App: tips}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		c := device(t, srv, dialer, "carol", "one")
		list := grouped(t, srv, dialer, "alice", "bob")
		a, b := list[0], list[1]
		if v := b.conversation("g"); v == nil || v.UnreadMessageCount != 0 || v.LastMessage.Content.Type() != zim.MessageTypeTips {
			t.Errorf("bob has %+v: a note makes a conversation, and does not count", v)
		}
		_, err := c.JoinGroup(t.Context(), "g")
		c.must(err)
		c.saw("join", "group g Enter Joined", "members g Enter Joined carol:3 by carol", "group message (Tips) sent", "conversation Added g 0 (Tips)")
		b.must(b.LeaveGroup(t.Context(), "g"))
		_, err = a.InviteUsersIntoGroup(t.Context(), []string{"bob"}, "g")
		a.must(err)
		_, err = a.KickGroupMembers(t.Context(), []string{"carol"}, "g")
		a.must(err)
		var got []string
		history := all(t, a.HistoryMessages(t.Context(), ofGroup, zim.MessageOrderAscending))
		for _, m := range history {
			tip := m.Content.(*zim.TipsMessage)
			s := fmt.Sprintf("%v by %s:%d", tip.Event, tip.OperatedUser.UserID, tip.OperatedUser.MemberRole)
			for _, u := range tip.TargetUserList {
				s += " " + u.UserID
			}
			got = append(got, s)
		}
		wantList(t, "notes", got, "GroupCreated by alice:1 alice bob", "GroupJoined by carol:3 carol", "GroupLeft by bob:3 bob", "GroupInvited by alice:1 bob", "GroupKickedOut by alice:1 carol")
		tip := history[0]
		quiet(a, b)
		for what, err := range map[string]error{
			"react": lastErr(a.AddMessageReaction(t.Context(), "+1", tip, nil)), "pin": a.PinMessage(t.Context(), tip, true, nil),
			"revoke": lastErr(a.RevokeMessage(t.Context(), tip, nil)), "delete": a.DeleteMessages(t.Context(), ofGroup, []*zim.Message{tip}, nil),
			"edit":  lastErr(a.EditMessage(t.Context(), tip, zim.MessageEditConfig{Content: &zim.TextMessage{Message: "x"}})),
			"reply": lastErr(a.ReplyMessage(t.Context(), &zim.TextMessage{Message: "x"}, tip, nil)),
			"send":  lastErr(a.SendMessage(t.Context(), &zim.TipsMessage{}, ofGroup, nil)),
		} {
			wantCode(t, what, err, zim.ErrCommonParamsInvalid)
		}
		b.saw("what was refused")
		a.must(a.DeleteAllMessage(t.Context(), ofGroup, nil))
		wantList(t, "all can be deleted together", a.history(ofGroup))
		time.Sleep(time.Second)
	})
}

func TestBroadcast(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		srv.Register("carol")
		srv.Broadcast("alice", &zim.TextMessage{Message: "to all"})
		for _, u := range []*user{a, a2, b} {
			entries := u.since()
			if len(entries) != 1 || !strings.HasPrefix(entries[0], "broadcast to all") {
				t.Errorf("got %q", entries)
			}
			u.wantConversations("none", zim.ConversationFilterOption{})
		}
		c := newUser(t, srv.InProcess(), "one")
		login(t, srv, c.ZIM, "carol")
		c.saw("whoever comes later", "connection 1,1", "connection 2,0", "total 0", "sync Started", "sync Finished")
	})
}
