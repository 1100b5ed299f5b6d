package store

import (
	"cmp"
	"maps"
	"slices"

	"zombiezen.com/go/sqlite"
)

// AddReply keeps that the message at a place replies to source, in the tree of root.
func (tx *Tx) AddReply(root, source, at int64) error {
	return tx.exec("INSERT INTO reply (root, place, source) VALUES (?, ?, ?)", root, at, source)
}

// DropReply forgets a reply, which stays in the conversation. It reports whether there was one.
func (tx *Tx) DropReply(root, at int64) (bool, error) {
	err := tx.exec("DELETE FROM reply WHERE root = ? AND place = ?", root, at)
	return tx.conn.Changes() > 0, err
}

// Replies returns the places of the replies of a tree behind one of them.
func (tx *Tx) Replies(root, after, limit int64) (places []int64, err error) {
	return tx.places("SELECT place FROM reply WHERE root = ? AND place > ? ORDER BY place LIMIT ?", root, after, limit)
}

// RepliesTo returns the places of the messages that quote the one at a place: the last ones, up to limit, in their order.
func (tx *Tx) RepliesTo(source, limit int64) ([]int64, error) {
	places, err := tx.places("SELECT place FROM reply WHERE source = ? ORDER BY place DESC LIMIT ?", source, limit)
	slices.Reverse(places)
	return places, err
}

func (tx *Tx) places(query string, args ...any) (places []int64, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { places = append(places, stmt.ColumnInt64(0)) }, query, args...)
	return places, err
}

// A Pin is a pinned message.
type Pin struct {
	Place  int64
	UserID string
	Time   int64
}

// Pins returns the pinned messages of a conversation, the latest first.
func (tx *Tx) Pins(c *Conversation) (list []Pin, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) {
		list = append(list, Pin{Place: stmt.ColumnInt64(0), UserID: stmt.ColumnText(1), Time: stmt.ColumnInt64(2)})
	}, "SELECT place, user, time FROM pin WHERE place BETWEEN ? AND ? ORDER BY time DESC, place DESC", place(c.ID, 0), place(c.ID, maxSeq))
	return list, err
}

// PutPin pins a message, perhaps again.
func (tx *Tx) PutPin(p Pin) error {
	return tx.exec("INSERT OR REPLACE INTO pin (place, user, time) VALUES (?, ?, ?)", p.Place, p.UserID, p.Time)
}

// DropPin reports whether there was a pin.
func (tx *Tx) DropPin(at int64) (bool, error) {
	err := tx.exec("DELETE FROM pin WHERE place = ?", at)
	return tx.conn.Changes() > 0, err
}

// Everybody stands for all members in what is kept of mentions.
const Everybody = 0

// SetMentions keeps whom a message mentions, by their rows.
func (tx *Tx) SetMentions(at int64, users []int64) error {
	for _, u := range users {
		if err := tx.exec("INSERT INTO mention (user, place) VALUES (?, ?) ON CONFLICT DO NOTHING", u, at); err != nil {
			return err
		}
	}
	return nil
}

// DropMentions forgets whom a message mentions.
func (tx *Tx) DropMentions(at int64, users []int64) error {
	for _, u := range users {
		if err := tx.exec("DELETE FROM mention WHERE user = ? AND place = ?", u, at); err != nil {
			return err
		}
	}
	return nil
}

// A Mention is a message that mentions a user who has not read it.
type Mention struct {
	ID, Seq int64
	Sender  string
	Me, All bool
}

// Mentions returns the messages of others that mention a member who has not read them: the last ones, up to limit.
func (tx *Tx) Mentions(m *Member, limit int) ([]*Mention, error) {
	from, to := place(m.Conversation.ID, max(m.Seen+1, m.First())), place(m.Conversation.ID, m.Last)
	if from > to {
		return nil, nil
	}
	bySeq := make(map[int64]*Mention)
	// One after the other: for both together, SQLite would sort all that there are.
	for _, user := range []int64{m.User, Everybody} {
		if err := tx.mentions(bySeq, user, m.User, from, to, limit); err != nil {
			return nil, err
		}
	}
	list := slices.SortedFunc(maps.Values(bySeq), func(a, b *Mention) int { return cmp.Compare(a.Seq, b.Seq) })
	return list[max(len(list)-limit, 0):], nil
}

// mentions adds the last messages between two places that mention user, as self sees them.
func (tx *Tx) mentions(bySeq map[int64]*Mention, user, self, from, to int64, limit int) error {
	stmt := tx.conn.Prep(`SELECT n.place, m.id, s.user_id FROM mention n JOIN message m ON m.place = n.place JOIN user s ON s.id = m.sender
		WHERE n.user = +? AND n.place BETWEEN +? AND +? AND m.sender <> +?
		AND NOT EXISTS (SELECT 1 FROM hidden h WHERE h.user = +? AND h.place = n.place) ORDER BY n.place DESC`)
	for i, v := range []int64{user, from, to, self, self} {
		stmt.BindInt64(i+1, v)
	}
	defer stmt.Reset()
	for range limit {
		ok, err := stmt.Step()
		if !ok {
			return err
		}
		seq := int64(uint32(stmt.ColumnInt64(0)))
		n := bySeq[seq]
		if n == nil {
			n = &Mention{ID: stmt.ColumnInt64(1), Seq: seq, Sender: stmt.ColumnText(2)}
			bySeq[seq] = n
		}
		n.Me, n.All = n.Me || user == self, n.All || user == Everybody
	}
	return nil
}

// AddCombined keeps copies of messages under an ID.
func (tx *Tx) AddCombined(id string, messages [][]byte) error {
	for n, m := range messages {
		if err := tx.exec("INSERT INTO combined (id, n, message) VALUES (?, ?, ?)", id, n+1, m); err != nil {
			return err
		}
	}
	return nil
}

// Combined returns the copies behind the first after of them, up to 100 of about maxBytes, and whether there are more.
func (tx *Tx) Combined(id string, after int64, maxBytes int) (messages [][]byte, more bool, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) {
		if more = maxBytes <= 0 || len(messages) == 100; more {
			return
		}
		b := columnBytes(stmt, 0)
		messages = append(messages, b)
		maxBytes -= len(b)
	}, "SELECT message FROM combined WHERE id = ? AND n > ? ORDER BY n LIMIT 101", id, after)
	return messages, more, err
}
