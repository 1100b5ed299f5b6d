package store

import (
	"time"

	"zombiezen.com/go/sqlite"
)

// A Callback is something that an app's server is to be told.
type Callback struct {
	ID    int64
	App   uint32
	Event string
	Nonce string // stays the same for as long as there is the row
	Stamp int64  // Unix seconds
	Body  []byte // an object of JSON, without what all callbacks have
	Tries int
	Due   int64 // Unix milliseconds: when to try next
	Dead  int64 // zero, or since when nobody tries any more, in Unix milliseconds
}

const callbackColumns = "id, app_id, event, nonce, stamp, body, tries, due, dead"

func scanCallback(stmt *sqlite.Stmt) *Callback {
	c := &Callback{
		ID: stmt.ColumnInt64(0), App: uint32(stmt.ColumnInt64(1)), Event: stmt.ColumnText(2), Nonce: stmt.ColumnText(3), Stamp: stmt.ColumnInt64(4),
		Body: make([]byte, stmt.ColumnLen(5)), Tries: stmt.ColumnInt(6), Due: stmt.ColumnInt64(7), Dead: stmt.ColumnInt64(8),
	}
	stmt.ColumnBytes(5, c.Body)
	return c
}

// AddCallback queues a callback, and sets its ID.
func (tx *Tx) AddCallback(c *Callback) error {
	err := tx.exec("INSERT INTO callback (app_id, event, nonce, stamp, body, tries, due, dead) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		c.App, c.Event, c.Nonce, c.Stamp, c.Body, c.Tries, c.Due, c.Dead)
	c.ID = tx.conn.LastInsertRowID()
	return err
}

// SetCallback writes when a callback is tried next, and how it is signed then. One that is gone stays so.
func (tx *Tx) SetCallback(c *Callback) error {
	return tx.exec("UPDATE callback SET stamp = ?, tries = ?, due = ?, dead = ? WHERE id = ?", c.Stamp, c.Tries, c.Due, c.Dead, c.ID)
}

// DeleteCallback forgets a callback.
func (tx *Tx) DeleteCallback(id int64) error { return tx.exec("DELETE FROM callback WHERE id = ?", id) }

// DueCallbacks returns up to limit callbacks of an event that are due at a time in Unix milliseconds, the most urgent ones first, but for
// those that skip reports. next is when the first of the others is due, or zero.
func (tx *Tx) DueCallbacks(app uint32, event string, now int64, limit int, skip func(id int64) bool) (list []*Callback, next int64, err error) {
	stmt := tx.conn.Prep("SELECT " + callbackColumns + " FROM callback WHERE app_id = ? AND event = ? AND dead = 0 ORDER BY due, id")
	stmt.BindInt64(1, int64(app))
	stmt.BindText(2, event)
	defer stmt.Reset()
	for {
		ok, err := stmt.Step()
		if !ok {
			return list, 0, err
		}
		if skip(stmt.ColumnInt64(0)) {
			continue
		}
		if due := stmt.ColumnInt64(7); due > now || len(list) >= limit {
			return list, due, nil
		}
		list = append(list, scanCallback(stmt))
	}
}

// DeadCallbacks returns up to limit callbacks of an app that nobody tries any more, in the order in which they were queued, behind an ID.
func (tx *Tx) DeadCallbacks(app uint32, after int64, limit int) ([]*Callback, error) {
	stmt := tx.conn.Prep("SELECT " + callbackColumns + " FROM callback WHERE app_id = ? AND id > ? AND dead <> 0 ORDER BY id")
	stmt.BindInt64(1, int64(app))
	stmt.BindInt64(2, after)
	defer stmt.Reset()
	var list []*Callback
	for len(list) < limit {
		ok, err := stmt.Step()
		if !ok {
			return list, err
		}
		list = append(list, scanCallback(stmt))
	}
	return list, nil
}

// ReviveCallbacks has callbacks tried again that nobody tries any more, from the beginning: those of an app, or of all apps if it is zero. It
// returns how many there were.
func (s *Store) ReviveCallbacks(app uint32) (n int, err error) {
	err = s.Update(func(tx *Tx) error {
		err := tx.exec("UPDATE callback SET tries = 0, dead = 0, due = ? WHERE dead <> 0 AND ? IN (app_id, 0)", time.Now().UnixMilli(), app)
		n = tx.conn.Changes()
		return err
	})
	return n, err
}

// PruneCallbacks deletes callbacks that nobody has tried for as long as age after they were due, a few at a time so that others have their
// turn: those that are dead, and those of events that nobody is told of any more. It returns how many there were.
func (s *Store) PruneCallbacks(age time.Duration) (total int, err error) {
	const most = 2000
	before := time.Now().Add(-age).UnixMilli()
	for n := most; n == most && err == nil; total += n {
		err = s.Update(func(tx *Tx) error {
			err := tx.exec("DELETE FROM callback WHERE id IN (SELECT id FROM callback WHERE due < ? LIMIT 2000)", before)
			n = tx.conn.Changes()
			return err
		})
	}
	return total, err
}
