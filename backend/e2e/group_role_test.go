package e2e_test

import (
	"errors"
	"testing"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// The owner may do to others in a group what administrators may do to those who are neither, and members to nobody. There is no call
// yet that makes an administrator.
func TestRolesInAGroup(t *testing.T) {
	var st *store.Store
	options := &zimtest.Options{App: several, Config: func(c *backend.Config) { st = c.Store }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		owner, admin := device(t, srv, dialer, "owner", ""), device(t, srv, dialer, "admin", "")
		member, other := device(t, srv, dialer, "member", ""), device(t, srv, dialer, "other", "")
		g := zim.Group("g")
		_, err := owner.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g"}, []string{"admin", "member", "other"}, nil)
		owner.must(err)
		makeAdministrator(t, st, "g", "admin")
		of := map[*user]*zim.Message{}
		for _, u := range []*user{owner, admin, member, other} {
			of[u] = u.send(g, "hello", nil)
		}
		for _, try := range []struct {
			by, of *user
			status zim.MessageRevokeStatus
			code   zim.Code
		}{
			{member, other, 0, zim.ErrGroupGroupNoCorrespondingOperationAuthority},
			{member, admin, 0, zim.ErrGroupGroupNoCorrespondingOperationAuthority},
			{admin, owner, 0, zim.ErrGroupGroupNoCorrespondingOperationAuthority},
			{admin, member, zim.MessageRevokeStatusGroupAdminRevoke, 0},
			{owner, admin, zim.MessageRevokeStatusGroupOwnerRevoke, 0},
			{owner, owner, zim.MessageRevokeStatusSelfRevoke, 0},
			{other, other, zim.MessageRevokeStatusSelfRevoke, 0},
			{owner, other, 0, zim.ErrMessageMessageHasBeenRevoked},
		} {
			m, err := try.by.RevokeMessage(t.Context(), of[try.of], nil)
			if zim.CodeOf(err) != try.code {
				t.Errorf("%d revokes %d: %v, want %v", of[try.by].Seq, of[try.of].Seq, err, try.code)
			} else if err == nil && m.Content.(*zim.RevokeMessage).RevokeStatus != try.status {
				t.Errorf("%d revoked %d as %v", of[try.by].Seq, of[try.of].Seq, m.Content.(*zim.RevokeMessage).RevokeStatus)
			}
		}
		if _, err := admin.KickGroupMembers(t.Context(), []string{"owner"}, "g"); !errors.Is(err, zim.ErrGroupGroupNoCorrespondingOperationAuthority) {
			t.Errorf("an administrator removes the owner: %v", err)
		}
		kicked, err := admin.KickGroupMembers(t.Context(), []string{"member", "admin", "stranger"}, "g")
		if err != nil || len(kicked.KickedUserIDs) != 1 || len(kicked.ErrorUserList) != 2 {
			t.Errorf("an administrator removes a member, an administrator and a stranger: %+v, %v", kicked, err)
		}
		if err := admin.DismissGroup(t.Context(), "g"); !errors.Is(err, zim.ErrGroupGroupNoCorrespondingOperationAuthority) {
			t.Errorf("an administrator ends the group: %v", err)
		}
	})
}

func makeAdministrator(t *testing.T, st *store.Store, groupID, userID string) {
	t.Helper()
	err := st.Update(func(tx *store.Tx) error {
		g, err := tx.Group(zimtest.AppID, groupID)
		if err != nil {
			return err
		}
		u, err := tx.User(zimtest.AppID, userID)
		if err != nil {
			return err
		}
		m, err := tx.Member(g.Conversation, u.ID)
		if err != nil {
			return err
		}
		m.Role = 2
		return tx.PutMember(m)
	})
	if err != nil {
		t.Fatal(err)
	}
}
