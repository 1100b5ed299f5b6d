package store

import (
	"time"

	"zombiezen.com/go/sqlite"
)

// A User is somebody who is registered.
type User struct {
	ID     int64 // of the row, below 1<<31
	AppID  uint32
	UserID string
	Name   string

	events uint32 // in the writing transaction: the number of the last event; known if eventsKnown
	known  bool
}

type userKey struct {
	app uint32
	id  string
}

// User returns a user, or nil if there is none of that name.
func (tx *Tx) User(app uint32, userID string) (*User, error) {
	key := userKey{app, userID}
	if tx.cache != nil {
		if u := tx.cache.users[key]; u != nil {
			return u, nil
		}
	}
	stmt := tx.conn.Prep("SELECT id, name FROM user WHERE app_id = ? AND user_id = ?")
	stmt.BindInt64(1, int64(app))
	stmt.BindText(2, userID)
	defer stmt.Reset()
	if ok, err := stmt.Step(); !ok {
		return nil, err
	}
	u := &User{ID: stmt.ColumnInt64(0), AppID: app, UserID: userID, Name: stmt.ColumnText(1)}
	tx.remember(key, u)
	return u, nil
}

func (tx *Tx) remember(key userKey, u *User) {
	if tx.cache == nil {
		return
	}
	if len(tx.cache.users) >= maxCached {
		tx.cache.forget()
	}
	tx.cache.users[key] = u
}

// Register returns a user, who is made if there is none of that name. A name that isn't empty replaces the user's.
func (tx *Tx) Register(app uint32, userID, name string) (*User, error) {
	u, err := tx.User(app, userID)
	if err != nil {
		return nil, err
	}
	if u == nil {
		stmt := tx.conn.Prep("INSERT INTO user (app_id, user_id, name, created) VALUES (?, ?, ?, ?)")
		stmt.BindInt64(1, int64(app))
		stmt.BindText(2, userID)
		stmt.BindText(3, name)
		stmt.BindInt64(4, time.Now().UnixMilli())
		if err := step(stmt); err != nil {
			return nil, err
		}
		u = &User{ID: tx.conn.LastInsertRowID(), AppID: app, UserID: userID, Name: name, known: true}
		tx.remember(userKey{app, userID}, u)
		return u, nil
	}
	if name == "" || name == u.Name {
		return u, nil
	}
	stmt := tx.conn.Prep("UPDATE user SET name = ? WHERE id = ?")
	stmt.BindText(1, name)
	stmt.BindInt64(2, u.ID)
	if err := step(stmt); err != nil {
		return nil, err
	}
	u.Name = name
	return u, nil
}

// SetCustomStatus sets what a user shows. ends is when it stops, in Unix milliseconds, or -1 for never.
func (tx *Tx) SetCustomStatus(u *User, status string, ends int64) error {
	stmt := tx.conn.Prep("UPDATE user SET custom_status = ?, custom_status_ends = ? WHERE id = ?")
	stmt.BindText(1, status)
	stmt.BindInt64(2, ends)
	stmt.BindInt64(3, u.ID)
	return step(stmt)
}

// A Login is one run of a client that has logged in.
type Login struct {
	Instance   []byte
	Generation int64
	DeviceID   string
	Platform   int32
	Evicted    bool
	EvictedBy  int32
}

// Logins returns a user's logins, the latest first.
func (tx *Tx) Logins(u *User) ([]Login, error) {
	stmt := tx.conn.Prep("SELECT instance, generation, device_id, platform, evicted_by FROM login WHERE user = ? ORDER BY generation DESC")
	stmt.BindInt64(1, u.ID)
	defer stmt.Reset()
	var list []Login
	for {
		ok, err := stmt.Step()
		if !ok {
			return list, err
		}
		list = append(list, Login{
			Instance:   columnBytes(stmt, 0),
			Generation: stmt.ColumnInt64(1),
			DeviceID:   stmt.ColumnText(2),
			Platform:   stmt.ColumnInt32(3),
			Evicted:    !stmt.ColumnIsNull(4),
			EvictedBy:  stmt.ColumnInt32(4),
		})
	}
}

// PutLogin keeps a login.
func (tx *Tx) PutLogin(u *User, l Login) error {
	stmt := tx.conn.Prep("INSERT OR REPLACE INTO login (user, instance, generation, device_id, platform, evicted_by) VALUES (?, ?, ?, ?, ?, ?)")
	stmt.BindInt64(1, u.ID)
	stmt.BindBytes(2, l.Instance)
	stmt.BindInt64(3, l.Generation)
	stmt.BindText(4, l.DeviceID)
	stmt.BindInt64(5, int64(l.Platform))
	if l.Evicted {
		stmt.BindInt64(6, int64(l.EvictedBy))
	} else {
		stmt.BindNull(6)
	}
	return step(stmt)
}

// DeleteLogin forgets a login.
func (tx *Tx) DeleteLogin(u *User, instance []byte) error {
	stmt := tx.conn.Prep("DELETE FROM login WHERE user = ? AND instance = ?")
	stmt.BindInt64(1, u.ID)
	stmt.BindBytes(2, instance)
	return step(stmt)
}

// Handled returns how far a device has handled its user's events, and whether the device, and any device of the user, is
// known.
func (tx *Tx) Handled(u *User, deviceID string) (seq uint32, known, any bool, err error) {
	stmt := tx.conn.Prep("SELECT device_id, handled FROM device WHERE user = ?")
	stmt.BindInt64(1, u.ID)
	defer stmt.Reset()
	for {
		ok, err := stmt.Step()
		if !ok {
			return seq, known, any, err
		}
		any = true
		if stmt.ColumnText(0) == deviceID {
			seq, known = uint32(stmt.ColumnInt64(1)), true
		}
	}
}

// maxDevices is how many devices of a user are remembered.
const maxDevices = 100

// forgetDevices forgets those of a user's devices that are the furthest behind, so that there is room for another one.
func (tx *Tx) forgetDevices(u *User) error {
	stmt := tx.conn.Prep(`DELETE FROM device WHERE user = ?1 AND device_id IN (
		SELECT device_id FROM device WHERE user = ?1 ORDER BY handled DESC LIMIT -1 OFFSET ?2)`)
	stmt.BindInt64(1, u.ID)
	stmt.BindInt64(2, maxDevices-1)
	return step(stmt)
}

// AddDevice makes a device known, which has handled all events up to seq. Of too many devices, those are forgotten that are the furthest behind.
func (tx *Tx) AddDevice(u *User, deviceID string, seq uint32) error {
	if err := tx.forgetDevices(u); err != nil {
		return err
	}
	return tx.SetHandled(u, deviceID, seq)
}

// SetHandled keeps how far a device has come. It never goes back.
func (tx *Tx) SetHandled(u *User, deviceID string, seq uint32) error {
	stmt := tx.conn.Prep("INSERT INTO device (user, device_id, handled) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET handled = max(handled, excluded.handled)")
	stmt.BindInt64(1, u.ID)
	stmt.BindText(2, deviceID)
	stmt.BindInt64(3, int64(seq))
	return step(stmt)
}

func columnBytes(stmt *sqlite.Stmt, col int) []byte {
	b := make([]byte, stmt.ColumnLen(col))
	stmt.ColumnBytes(col, b)
	return b
}
