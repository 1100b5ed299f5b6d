package store_test

import (
	"testing"

	"github.com/zim-go/zim/backend/store"
)

// BenchmarkQueries shows what a query costs whose arguments change. One that takes tens of microseconds is planned anew each time: see the
// comments at connection and Tx.Member.
func BenchmarkQueries(b *testing.B) {
	s := open(b, file(b))
	s.Update(func(tx *store.Tx) error {
		for i := range 100 {
			if _, _, _, err := send(tx, "alice", "bob", i, "hello"); err != nil {
				b.Fatal(err)
			}
		}
		return nil
	})
	for name, f := range map[string]func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error{
		"member": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			_, err := tx.Member(c, int64(i%2)+1)
			return err
		},
		"conversations": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			_, err := tx.Conversations(u)
			return err
		},
		"members": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			_, err := tx.Members(c, i%2 == 0)
			return err
		},
		"mentions": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			m.Seen = uint32(i % 50)
			_, err := tx.Mentions(m, 50)
			return err
		},
		"messages": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			_, err := tx.Messages(m, uint32(i%50), 100, true, 1, 1)
			return err
		},
		"hidden": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			_, err := tx.Hidden(1, int64(i))
			return err
		},
		"messageat": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			_, err := tx.MessageAt(c.Place(int64(i%100 + 1)))
			return err
		},
		"reactions": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			_, err := tx.Reactions(c.Place(int64(i%100+1)), 1, 5)
			return err
		},
		"pins": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			_, err := tx.Pins(c)
			return err
		},
		"replies": func(tx *store.Tx, u *store.User, c *store.Conversation, m *store.Member, i int) error {
			_, err := tx.RepliesTo(int64(i), 100)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			view(b, s, func(tx *store.Tx) error {
				u, _ := tx.User(app, "bob")
				c, err := tx.FindConversation(app, 0, "alice", "bob")
				if err != nil {
					b.Fatal(err)
				}
				m, err := tx.Member(c, u.ID)
				if err != nil {
					b.Fatal(err)
				}
				for i := range b.N {
					if err := f(tx, u, c, m, i); err != nil {
						b.Fatal(err)
					}
				}
				return nil
			})
		})
	}
}
