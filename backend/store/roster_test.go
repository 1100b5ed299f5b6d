package store_test

import (
	"testing"

	"github.com/zim-go/zim/backend/store"
)

// What members read and mute leaves the roster of a group as it is: it is read anew only if somebody enters or leaves.
func TestRoster(t *testing.T) {
	s := open(t, file(t))
	update(t, s, func(tx *store.Tx) error {
		g := new(store.Group)
		if err := tx.AddGroup(1, "g", g); err != nil {
			return err
		}
		enter := func(userID string) (*store.Member, error) {
			u, err := tx.Register(1, userID, "")
			if err != nil {
				return nil, err
			}
			m := &store.Member{User: u.ID, Conversation: g.Conversation}
			m.Enter()
			return m, tx.PutMember(m)
		}
		alice, err := enter("alice")
		if err != nil {
			return err
		}
		if _, err := enter("bob"); err != nil {
			return err
		}
		before, err := tx.Roster(g.Conversation)
		if err != nil {
			return err
		}
		alice.Muted, alice.Role = true, 1
		alice.Read()
		if err := tx.PutMember(alice); err != nil {
			return err
		}
		after, err := tx.Roster(g.Conversation)
		if err != nil {
			return err
		}
		if len(after) != 2 || after[0] != before[0] || !after[0].Muted || after[0].Role != 1 {
			t.Errorf("was %+v, is %+v", before, after)
		}
		alice.Leave()
		if err := tx.PutMember(alice); err != nil {
			return err
		}
		if after, err = tx.Roster(g.Conversation); len(after) != 1 || after[0].User.UserID != "bob" {
			t.Errorf("without alice: %+v", after)
		}
		alice.Enter()
		if err := tx.PutMember(alice); err != nil {
			return err
		}
		if after, _ = tx.Roster(g.Conversation); len(after) != 2 {
			t.Errorf("with alice: %+v", after)
		}
		return err
	})
}
