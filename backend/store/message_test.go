package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/zim-go/zim/backend/store"
)

func TestAppendMessage(t *testing.T) {
	s := open(t, file(t))
	var first *store.Message
	update(t, s, func(tx *store.Tx) (err error) {
		first, _, _, err = send(tx, "alice", "bob", 7, "hello")
		return err
	})
	for _, test := range []struct {
		name        string
		from, to    string
		n           int
		text        string
		again, same bool
		seq         int64
	}{
		{"retry", "alice", "bob", 7, "hello", true, true, 1},
		{"other content", "alice", "bob", 7, "other", true, false, 1},
		{"other ID", "alice", "bob", 8, "hello", false, false, 2},
		{"other sender", "bob", "alice", 7, "other", false, false, 3},
		{"retry of the other sender", "bob", "alice", 7, "other", true, true, 3},
		{"other conversation", "alice", "carol", 7, "other", false, false, 1},
		{"retry after others", "alice", "bob", 7, "hello", true, true, 1},
		{"empty hash and content", "alice", "bob", 9, "", false, false, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			update(t, s, func(tx *store.Tx) error {
				m, again, same, err := send(tx, test.from, test.to, test.n, test.text)
				if again != test.again || same != test.same || m.Seq() != test.seq {
					t.Errorf("got again %v, same %v, number %d, want %v, %v, %d", again, same, m.Seq(), test.again, test.same, test.seq)
				}
				if again && test.from == "alice" && (m.ID != first.ID || m.Time != first.Time || m.Place != first.Place) {
					t.Errorf("got %+v, want the place, ID and time of %+v", m, first)
				}
				return err
			})
		})
	}
	if list := events(t, s, "bob", 0); len(list) != 3 || string(list[0].Message.Content) != "hello" {
		t.Errorf("bob's feed is %+v", list)
	}
}

func TestFindMessage(t *testing.T) {
	s := open(t, file(t))
	update(t, s, func(tx *store.Tx) error {
		if _, _, _, err := send(tx, "alice", "bob", 0, "hello"); err != nil {
			return err
		}
		_, _, _, err := send(tx, "alice", "carol", 1, "hello")
		return err
	})
	for _, test := range []struct {
		peer        string
		n           int
		text        string
		found, same bool
	}{
		{"bob", 0, "hello", true, true},
		{"bob", 0, "other", true, false},
		{"bob", 1, "hello", false, false},
		{"nobody", 0, "hello", false, false},
	} {
		t.Run(fmt.Sprint(test.peer, test.n, test.text), func(t *testing.T) {
			view(t, s, func(tx *store.Tx) error {
				u, err := tx.User(app, "alice")
				if err != nil {
					return err
				}
				m := &store.Message{Sender: u, ClientID: append(make([]byte, 15), byte(test.n)), Hash: []byte(test.text)}
				c, err := tx.FindConversation(app, store.ConversationPeer, "alice", test.peer)
				if c == nil || err != nil {
					if test.found {
						t.Error("there is no conversation")
					}
					return err
				}
				found, same, err := tx.FindMessage(c, m)
				if found != test.found || same != test.same {
					t.Errorf("got %v, %v, want %v, %v", found, same, test.found, test.same)
				}
				if found && m.Seq() != 1 {
					t.Errorf("got number %d, want 1", m.Seq())
				}
				return err
			})
		})
	}
}

// What comes out is what went in, whatever it looks like.
func TestVerbatim(t *testing.T) {
	path := file(t)
	s := open(t, path)
	nasty := []string{
		"'; DROP TABLE message; --", `" OR ""="`, "%_\\", "nul \x00 and after", "\u202eesrever", "a\r\nb", "😀", "?1 :a @b $c", "NULL", "",
	}
	for i, text := range nasty {
		update(t, s, func(tx *store.Tx) error {
			m, _, _, err := send(tx, "alice'--", "bob", i, text)
			if err != nil {
				return err
			}
			return tx.Exec("UPDATE message SET extended = ? WHERE place = ?", text, m.Place)
		})
	}
	s.Close()
	s = open(t, path)
	var got []string
	for _, e := range events(t, s, "bob", 0) {
		if m := e.Message; m.Sender.UserID != "alice'--" || m.Conversation.Name("bob") != "alice'--" || m.Extended != string(m.Content) {
			t.Errorf("got %+v", e)
		}
		got = append(got, string(e.Message.Content))
	}
	if !slices.Equal(got, nasty) {
		t.Errorf("got %q, want %q", got, nasty)
	}
}

// IDs grow from one run to the next although the clock was set back by decades. A bubble begins in the year 2000.
func TestIDsGrowOverRestarts(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, s *store.Store){
		"plain": func(*testing.T, *store.Store) {},
		"after an undone transaction": func(t *testing.T, s *store.Store) {
			s.Update(func(tx *store.Tx) error {
				if _, _, _, err := send(tx, "alice", "bob", 100, "undone"); err != nil {
					return err
				}
				return errPoison
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "zim.db")
			s := open(t, path)
			before(t, s)
			var last int64
			for n := range 3 {
				update(t, s, func(tx *store.Tx) error {
					m, _, _, err := send(tx, "alice", "bob", n, "hello")
					last = m.ID
					return err
				})
			}
			if id := s.NextID(); id <= last {
				t.Errorf("got %d, want more than %d", id, last)
			}
			s.Close()
			for run := range 3 {
				synctest.Test(t, func(t *testing.T) {
					s := open(t, path)
					update(t, s, func(tx *store.Tx) error {
						m, _, _, err := send(tx, "alice", "bob", 10+run, "hello")
						if m.ID <= last {
							t.Errorf("run %d: got the ID %d, want more than %d", run, m.ID, last)
						}
						last = m.ID
						return err
					})
				})
			}
		})
	}
}
