package store

import (
	"time"
)

// The kinds of events.
const (
	EventMessage = 1 // a message came: the one at ref
	EventOther   = 2 // what data says; ref is a place in the conversation that it is about, or zero
)

// An Event is one thing that a user must not miss.
type Event struct {
	Seq     uint32
	Kind    int
	Message *Message // of a message that came
	Data    []byte   // a wire.Event, in which messages are named by their places
}

// AppendEvent adds an event to a user's feed and returns its number.
func (tx *Tx) AppendEvent(u *User, kind int, ref, now int64, data []byte) (uint32, error) {
	if !u.known {
		last, err := tx.lastSeq("event", u.ID)
		if err != nil {
			return 0, err
		}
		u.events, u.known = last, true
	}
	if u.events == maxSeq {
		return 0, ErrNumbersUsedUp
	}
	stmt := tx.conn.Prep("INSERT INTO event (place, kind, ref, time, data) VALUES (?, ?, ?, ?, ?)")
	stmt.BindInt64(1, place(u.ID, u.events+1))
	stmt.BindInt64(2, int64(kind))
	stmt.BindInt64(3, ref)
	stmt.BindInt64(4, now)
	bindOptional(stmt, 5, data)
	if err := step(stmt); err != nil {
		return 0, err
	}
	u.events++
	return u.events, nil
}

// Feed returns the numbers of the first event that is kept of a user, and of the last one. Both are zero if there was none
// ever.
func (tx *Tx) Feed(u *User) (first, last uint32, err error) {
	// One query for both would read all that is between them.
	stmt := tx.conn.Prep(`SELECT (SELECT min(place) FROM event WHERE place BETWEEN ?1 AND ?2),
		(SELECT max(place) FROM event WHERE place BETWEEN ?1 AND ?2)`)
	stmt.BindInt64(1, place(u.ID, 0))
	stmt.BindInt64(2, place(u.ID, maxSeq))
	defer stmt.Reset()
	if _, err := stmt.Step(); err != nil {
		return 0, 0, err
	}
	return uint32(stmt.ColumnInt64(0)), uint32(stmt.ColumnInt64(1)), nil
}

// Events returns the events of a user behind a number, up to limit of them and about maxBytes of content.
func (tx *Tx) Events(u *User, after uint32, limit, maxBytes int) ([]Event, error) {
	stmt := tx.conn.Prep("SELECT " + messageColumns + `, e.place, e.kind, e.data, c.app_id, c.type, c.a, c.b
		FROM event e
		LEFT JOIN message m ON e.kind = 1 AND m.place = e.ref
		LEFT JOIN user s ON s.id = m.sender
		LEFT JOIN conversation c ON c.id = m.place >> 32
		WHERE e.place BETWEEN ? AND ? ORDER BY e.place`) // with a LIMIT, SQLite would plan it anew each time
	stmt.BindInt64(1, place(u.ID, after)+1)
	stmt.BindInt64(2, place(u.ID, maxSeq))
	defer stmt.Reset()
	var list []Event
	for len(list) < limit && maxBytes > 0 {
		ok, err := stmt.Step()
		if !ok {
			return list, err
		}
		e := Event{Seq: uint32(stmt.ColumnInt64(12)), Kind: stmt.ColumnInt(13), Data: optional(stmt, 14)}
		if !stmt.ColumnIsNull(0) {
			c := &Conversation{
				ID: stmt.ColumnInt64(0) >> 32, App: uint32(stmt.ColumnInt64(15)), Type: stmt.ColumnInt32(16),
				A: stmt.ColumnText(17), B: stmt.ColumnText(18),
			}
			e.Message = scanMessage(stmt, c)
			maxBytes -= len(e.Message.Content) + len(e.Message.Extended) + len(e.Message.More)
		}
		list = append(list, e)
		maxBytes -= len(e.Data) + 128
	}
	return list, nil
}

// Touched returns the conversations that the events of a user behind a number are about.
func (tx *Tx) Touched(u *User, after uint32) ([]*Conversation, error) {
	stmt := tx.conn.Prep("SELECT DISTINCT ref >> 32 FROM event WHERE place BETWEEN ? AND ? AND ref <> 0")
	stmt.BindInt64(1, place(u.ID, after)+1)
	stmt.BindInt64(2, place(u.ID, maxSeq))
	var ids []int64
	for {
		ok, err := stmt.Step()
		if err != nil {
			stmt.Reset()
			return nil, err
		}
		if !ok {
			break
		}
		ids = append(ids, stmt.ColumnInt64(0))
	}
	stmt.Reset()
	list := make([]*Conversation, 0, len(ids))
	for _, id := range ids {
		c, err := tx.conversationAt(id)
		if err != nil {
			return nil, err
		}
		if c != nil {
			list = append(list, c)
		}
	}
	return list, nil
}

// Prune deletes the events that are older than age, a few thousand at a time so that others have their turn. The last event
// of a feed stays, so that its number is not used again.
func (s *Store) Prune(age time.Duration) error {
	before := time.Now().Add(-age).UnixMilli()
	for user, done := int64(0), false; !done; {
		err := s.Update(func(tx *Tx) (err error) {
			user, done, err = tx.pruneEvents(user, before, 2000)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pruneEvents deletes up to limit events of the users whose rows come after user, and looks at no more users than that. It
// returns the user to go on behind.
func (tx *Tx) pruneEvents(user int64, before int64, limit int) (next int64, done bool, err error) {
	ids, err := tx.usersAfter(user, limit)
	if err != nil || len(ids) == 0 {
		return 0, true, err
	}
	// Only from the beginning: if the clock was set back, there are old events behind new ones, and a feed has no holes.
	stmt := tx.conn.Prep(`DELETE FROM event WHERE place >= ?1 AND place < coalesce(
		(SELECT place FROM event WHERE place BETWEEN ?1 AND ?2 AND time >= ?3 ORDER BY place LIMIT 1), ?2)`)
	for _, id := range ids {
		first, last, err := tx.Feed(&User{ID: id})
		if err != nil {
			return 0, false, err
		}
		stmt.BindInt64(1, place(id, first))
		stmt.BindInt64(2, min(place(id, first)+int64(limit), place(id, last)))
		stmt.BindInt64(3, before)
		if err := step(stmt); err != nil {
			return 0, false, err
		}
		if limit -= tx.conn.Changes(); limit <= 0 {
			return id - 1, false, nil // the user may have more
		}
	}
	return ids[len(ids)-1], false, nil
}

func (tx *Tx) usersAfter(user int64, limit int) ([]int64, error) {
	stmt := tx.conn.Prep("SELECT id FROM user WHERE id > ? ORDER BY id LIMIT ?")
	stmt.BindInt64(1, user)
	stmt.BindInt64(2, int64(limit))
	defer stmt.Reset()
	var ids []int64
	for {
		ok, err := stmt.Step()
		if !ok {
			return ids, err
		}
		ids = append(ids, stmt.ColumnInt64(0))
	}
}
