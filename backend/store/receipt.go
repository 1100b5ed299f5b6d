package store

import "zombiezen.com/go/sqlite"

// MarkRead keeps that a user has read a message. It reports false if that was known.
func (tx *Tx) MarkRead(at, user, now int64) (bool, error) {
	err := tx.exec("INSERT INTO receipt (place, user, time) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", at, user, now)
	return tx.conn.Changes() > 0, err
}

// ReadAt returns when a user has read a message, or zero.
func (tx *Tx) ReadAt(at, user int64) (int64, error) {
	return tx.number("SELECT time FROM receipt WHERE place = ? AND user = ?", at, user)
}

// Readers tells how many have read a message, of those who are still there, and when the last of them did.
func (tx *Tx) Readers(m *Message) (n, last int64, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { n, last = stmt.ColumnInt64(0), stmt.ColumnInt64(1) },
		// SQLite would go through the whole group, which each of its members would have it do.
		`SELECT count(*), coalesce(max(r.time), 0) FROM receipt r CROSS JOIN member m ON m.user = r.user AND m.conversation = ?1 >> 32
			AND m.joined < (?1 & 4294967295) AND m.gone = 0 WHERE r.place = ?1`, m.Place)
	return n, last, err
}

// Those who were in the group when a message was sent and are still there, but its sender.
const audience = ` FROM member m JOIN user u ON u.id = m.user WHERE m.conversation = ?1 >> 32 AND m.joined < (?1 & 4294967295)
	AND m.gone = 0 AND m.user <> ?2`

// Waiting tells how many of a group have not read a message that some have.
func (tx *Tx) Waiting(m *Message, readers int64) (int64, error) {
	if tx.cache == nil {
		n, err := tx.number("SELECT count(*)"+audience, m.Place, m.Sender.ID)
		return n - readers, err
	}
	list, err := tx.Roster(m.Conversation)
	n := -readers
	for _, p := range list {
		if int64(p.Joined) < m.Seq() && p.User.ID != m.Sender.ID {
			n++
		}
	}
	return n, err
}

// Audience returns the user IDs of those of a group who have read a message, or have not, behind the first skip of them.
func (tx *Tx) Audience(m *Message, unread bool, skip, limit int64) (ids []string, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { ids = append(ids, stmt.ColumnText(0)) },
		"SELECT u.user_id"+audience+" AND (EXISTS (SELECT 1 FROM receipt r WHERE r.place = ?1 AND r.user = m.user)) = ?3 ORDER BY m.entered, m.user LIMIT ?4 OFFSET ?5",
		m.Place, m.Sender.ID, !unread, limit, skip)
	return ids, err
}
