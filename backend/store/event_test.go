package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zim-go/zim/backend/store"
)

// feedOf stores n messages of the given size for bob.
func feedOf(t *testing.T, s *store.Store, n, size int) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error {
		for i := range n {
			if _, _, _, err := send(tx, "alice", "bob", i, string(make([]byte, size))); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestFeedNumbers(t *testing.T) {
	s := open(t, file(t))
	check := func(userID string, first, last uint32) {
		t.Helper()
		view(t, s, func(tx *store.Tx) error {
			u, err := tx.User(app, userID)
			if err != nil {
				return err
			}
			f, l, err := tx.Feed(u)
			if f != first || l != last {
				t.Errorf("the feed of %s is %d to %d, want %d to %d", userID, f, l, first, last)
			}
			return err
		})
	}
	update(t, s, func(tx *store.Tx) error {
		for _, id := range []string{"alice", "bob", "carol"} {
			if _, err := tx.Register(app, id, ""); err != nil {
				return err
			}
		}
		return nil
	})
	check("bob", 0, 0)
	feedOf(t, s, 5, 10)
	check("bob", 1, 5)
	check("alice", 0, 0)
	update(t, s, func(tx *store.Tx) error {
		_, _, _, err := send(tx, "carol", "bob", 0, "hello")
		return err
	})
	check("bob", 1, 6)
	check("carol", 0, 0)
	list := events(t, s, "bob", 4)
	if len(list) != 2 || list[0].Seq != 5 || list[1].Seq != 6 || list[1].Message.Seq() != 1 || list[1].Message.Conversation.Name("bob") != "carol" {
		t.Errorf("behind 4 are %+v", list)
	}
}

func TestEventsPages(t *testing.T) {
	s := open(t, file(t))
	feedOf(t, s, 50, 1000)
	for _, test := range []struct {
		after           uint32
		limit, maxBytes int
		first, n        int
	}{
		{0, 100, 1 << 20, 1, 50},
		{0, 10, 1 << 20, 1, 10},
		{45, 10, 1 << 20, 46, 5},
		{50, 10, 1 << 20, 0, 0},
		{4_000_000_000, 10, 1 << 20, 0, 0},
		{0, 0, 1 << 20, 0, 0},
		{0, 100, 1, 1, 1}, // never nothing, lest a reader stands still
		{0, 100, 5000, 1, 5},
		{10, 100, 10_000, 11, 9},
	} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			view(t, s, func(tx *store.Tx) error {
				u, err := tx.User(app, "bob")
				if err != nil {
					return err
				}
				list, err := tx.Events(u, test.after, test.limit, test.maxBytes)
				if len(list) != test.n {
					t.Errorf("got %d events, want %d", len(list), test.n)
				}
				for i, e := range list {
					if int(e.Seq) != test.first+i {
						t.Errorf("event %d has number %d, want %d", i, e.Seq, test.first+i)
					}
				}
				return err
			})
		})
	}
}

func TestPrune(t *testing.T) {
	old, now := time.Now().Add(-8*24*time.Hour).UnixMilli(), time.Now().UnixMilli()
	for name, test := range map[string]struct {
		times []int64
		want  []uint32 // the numbers that are left
	}{
		"nothing":            {nil, nil},
		"all new":            {[]int64{now, now}, []uint32{1, 2}},
		"some old":           {[]int64{old, old, now, now}, []uint32{3, 4}},
		"all old":            {[]int64{old, old, old}, []uint32{3}},
		"one":                {[]int64{old}, []uint32{1}},
		"clock was set back": {[]int64{now, now, old, old, now}, []uint32{1, 2, 3, 4, 5}},
		"many":               {slices.Repeat([]int64{old}, 5000), []uint32{5000}},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			s := open(t, path)
			for _, user := range []string{"before", "bob", "behind"} {
				update(t, s, func(tx *store.Tx) error {
					u, err := tx.Register(app, user, "")
					for _, at := range test.times {
						if err == nil {
							_, err = tx.AppendEvent(u, store.EventMessage, 0, at, nil)
						}
					}
					return err
				})
			}
			if err := s.Prune(7 * 24 * time.Hour); err != nil {
				t.Fatal(err)
			}
			for _, user := range []string{"before", "bob", "behind"} {
				var got []uint32
				for _, e := range events(t, s, user, 0) {
					got = append(got, e.Seq)
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("%s: %v are left, want %v", user, got, test.want)
				}
			}
			// The numbers go on, also in another run.
			for range 2 {
				s.Close()
				s = open(t, path)
				update(t, s, func(tx *store.Tx) error {
					u, err := tx.User(app, "bob")
					if err != nil {
						return err
					}
					_, last, err := tx.Feed(u)
					if err != nil {
						return err
					}
					seq, err := tx.AppendEvent(u, store.EventMessage, 0, now, nil)
					if seq != last+1 || int(seq) <= len(test.times) {
						t.Errorf("got number %d after %d", seq, last)
					}
					return err
				})
			}
		})
	}
}

// Others have their turn while a lot is deleted.
func TestPruneLeavesMessages(t *testing.T) {
	s := open(t, file(t))
	feedOf(t, s, 10, 10)
	if err := s.Prune(-time.Hour); err != nil {
		t.Fatal(err)
	}
	if list := events(t, s, "bob", 0); len(list) != 1 || list[0].Seq != 10 || list[0].Message.Seq() != 10 {
		t.Errorf("got %+v, want event 10 alone", list)
	}
	update(t, s, func(tx *store.Tx) error {
		m, again, same, err := send(tx, "alice", "bob", 0, string(make([]byte, 10)))
		if !again || !same || m.Seq() != 1 {
			t.Errorf("a retry of a message whose event is gone: got %d, %v, %v, want 1, true, true", m.Seq(), again, same)
		}
		return err
	})
}

// How long a feed is does not matter to whoever asks for its ends: every heartbeat does.
func TestLongFeed(t *testing.T) {
	s := open(t, file(t))
	const long = 20_000
	var users [2]*store.User
	update(t, s, func(tx *store.Tx) (err error) {
		for i, n := range []int{10, long} {
			if users[i], err = tx.Register(app, fmt.Sprint("user", i), ""); err != nil {
				return err
			}
			err := tx.Exec(`INSERT INTO event SELECT (? << 32) + value, 1, 0, 0, NULL FROM
				(WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?) SELECT value FROM n)`,
				users[i].ID, n)
			if err != nil {
				return err
			}
		}
		return nil
	})
	fastest := [2]time.Duration{time.Hour, time.Hour}
	view(t, s, func(tx *store.Tx) error {
		for range 50 {
			for i, u := range users {
				start := time.Now()
				if _, _, err := tx.Feed(u); err != nil {
					return err
				}
				fastest[i] = min(fastest[i], time.Since(start))
			}
		}
		return nil
	})
	if fastest[1] > 20*fastest[0] {
		t.Errorf("with 10 events it took %v, with %d %v", fastest[0], long, fastest[1])
	}
}
