package store_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/zim-go/zim/backend/store"
)

func TestRegister(t *testing.T) {
	path := file(t)
	s := open(t, path)
	for _, test := range []struct {
		app            uint32
		id, name, want string
	}{
		{1, "alice", "", ""},
		{1, "alice", "Alice", "Alice"},
		{1, "alice", "", "Alice"}, // empty keeps the name
		{2, "alice", "another", "another"},
		{1, "Alice", "", ""}, // IDs tell upper from lower case
		{4_294_967_295, "alice", "'\x00", "'\x00"},
	} {
		update(t, s, func(tx *store.Tx) error {
			u, err := tx.Register(test.app, test.id, test.name)
			if err == nil && (u.Name != test.want || u.AppID != test.app || u.UserID != test.id) {
				t.Errorf("Register(%d, %q, %q): got %+v, want the name %q", test.app, test.id, test.name, u, test.want)
			}
			return err
		})
		view(t, s, func(tx *store.Tx) error {
			u, err := tx.User(test.app, test.id)
			if u == nil || u.Name != test.want {
				t.Errorf("User(%d, %q): got %+v, want the name %q", test.app, test.id, u, test.want)
			}
			return err
		})
	}
	view(t, s, func(tx *store.Tx) error {
		u, err := tx.User(1, "nobody")
		if u != nil {
			t.Errorf("got %+v, want nobody", u)
		}
		if n, _ := tx.Int("SELECT count(*) FROM user"); n != 4 {
			t.Errorf("got %d users, want 4", n)
		}
		return err
	})
}

func TestLogins(t *testing.T) {
	s := open(t, file(t))
	a := store.Login{Instance: []byte("a"), Generation: 1, DeviceID: "phone", Platform: 3}
	b := store.Login{Instance: []byte("b"), Generation: 2, DeviceID: "desk", Platform: 5}
	evicted := a
	evicted.Evicted, evicted.EvictedBy = true, 5
	for _, step := range []struct {
		name string
		do   func(tx *store.Tx, u *store.User) error
		want []store.Login
	}{
		{"first", func(tx *store.Tx, u *store.User) error { return tx.PutLogin(u, a) }, []store.Login{a}},
		{"second", func(tx *store.Tx, u *store.User) error { return tx.PutLogin(u, b) }, []store.Login{b, a}},
		{"evicted", func(tx *store.Tx, u *store.User) error { return tx.PutLogin(u, evicted) }, []store.Login{b, evicted}},
		{"deleted", func(tx *store.Tx, u *store.User) error { return tx.DeleteLogin(u, []byte("b")) }, []store.Login{evicted}},
	} {
		update(t, s, func(tx *store.Tx) error {
			u, err := tx.Register(app, "alice", "")
			if err != nil {
				return err
			}
			if err := step.do(tx, u); err != nil {
				return err
			}
			got, err := tx.Logins(u)
			equal := func(x, y store.Login) bool {
				return string(x.Instance) == string(y.Instance) && x.Generation == y.Generation && x.DeviceID == y.DeviceID &&
					x.Platform == y.Platform && x.Evicted == y.Evicted && x.EvictedBy == y.EvictedBy
			}
			if !slices.EqualFunc(got, step.want, equal) {
				t.Errorf("%s: got %+v, want %+v", step.name, got, step.want)
			}
			return err
		})
	}
}

func TestHandled(t *testing.T) {
	s := open(t, file(t))
	for _, step := range []struct {
		device string
		set    uint32
		want   uint32
		known  bool // before
		any    bool // before
	}{
		{"phone", 5, 5, false, false},
		{"phone", 3, 5, true, true}, // it never goes back
		{"phone", 9, 9, true, true},
		{"desk", 2, 2, false, true},
		{"", 1, 1, false, true},
	} {
		update(t, s, func(tx *store.Tx) error {
			u, err := tx.Register(app, "alice", "")
			if err != nil {
				return err
			}
			_, known, any, err := tx.Handled(u, step.device)
			if known != step.known || any != step.any {
				t.Errorf("%q: known %v, any %v, want %v, %v", step.device, known, any, step.known, step.any)
			}
			if err == nil {
				err = tx.SetHandled(u, step.device, step.set)
			}
			if err != nil {
				return err
			}
			got, _, _, err := tx.Handled(u, step.device)
			if got != step.want {
				t.Errorf("%q: got %d, want %d", step.device, got, step.want)
			}
			return err
		})
	}
}

// A user can't make the store remember any number of devices: those that are the furthest behind are forgotten.
func TestManyDevices(t *testing.T) {
	s := open(t, file(t))
	update(t, s, func(tx *store.Tx) error {
		u, err := tx.Register(app, "alice", "")
		for i := range 300 {
			if err == nil {
				err = tx.AddDevice(u, fmt.Sprint("device", i), uint32(1000-i))
			}
		}
		var known []int
		for i := range 300 {
			if _, is, _, e := tx.Handled(u, fmt.Sprint("device", i)); e != nil {
				return e
			} else if is {
				known = append(known, i)
			}
		}
		// The last one is the furthest behind, and yet is known.
		if len(known) != 100 || known[0] != 0 || known[98] != 98 || known[99] != 299 {
			t.Errorf("known are %v", known)
		}
		return err
	})
}
