package store

import "zombiezen.com/go/sqlite"

// AddReply keeps that the message at a place replies to source, in the tree of root, and returns how many replies the tree has.
func (tx *Tx) AddReply(root, source, at int64) (int64, error) {
	if err := tx.exec("INSERT INTO reply (root, place, source) VALUES (?, ?, ?)", root, at, source); err != nil {
		return 0, err
	}
	return tx.CountReplies(root)
}

// DropReply forgets a reply, which stays in the conversation.
func (tx *Tx) DropReply(root, at int64) error {
	return tx.exec("DELETE FROM reply WHERE root = ? AND place = ?", root, at)
}

// CountReplies returns how many replies a tree has.
func (tx *Tx) CountReplies(root int64) (int64, error) {
	return tx.number("SELECT count(*) FROM reply WHERE root = ?", root)
}

// Replies returns the places of the replies of a tree behind one of them.
func (tx *Tx) Replies(root, after, limit int64) (places []int64, err error) {
	return tx.places("SELECT place FROM reply WHERE root = ? AND place > ? ORDER BY place LIMIT ?", root, after, limit)
}

// RepliesTo returns the places of the messages that quote the one at a place.
func (tx *Tx) RepliesTo(source int64) ([]int64, error) {
	return tx.places("SELECT place FROM reply WHERE source = ? ORDER BY place LIMIT 100", source)
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

// Mentions returns the messages of others that mention a member who has not read them.
func (tx *Tx) Mentions(m *Member) (list []*Mention, err error) {
	from, to := place(m.Conversation.ID, max(m.Seen+1, m.First())), place(m.Conversation.ID, m.Last)
	if from > to {
		return nil, nil
	}
	err = tx.each(func(stmt *sqlite.Stmt) {
		seq := int64(uint32(stmt.ColumnInt64(0)))
		if n := len(list); n == 0 || list[n-1].Seq != seq {
			list = append(list, &Mention{ID: stmt.ColumnInt64(1), Seq: seq, Sender: stmt.ColumnText(2)})
		}
		if last := list[len(list)-1]; stmt.ColumnInt64(3) == Everybody {
			last.All = true
		} else {
			last.Me = true
		}
	}, `SELECT n.place, m.id, s.user_id, n.user FROM mention n JOIN message m ON m.place = n.place JOIN user s ON s.id = m.sender
		WHERE n.user IN (0, ?1) AND n.place BETWEEN ?2 AND ?3 AND m.sender <> ?1
		AND NOT EXISTS (SELECT 1 FROM hidden h WHERE h.user = ?1 AND h.place = n.place) ORDER BY n.place`, m.User, from, to)
	return list, err
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
