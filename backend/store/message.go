package store

import (
	"bytes"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/zim-go/zim/internal/defect"
)

// lastSeq returns the largest sequence number of a row in a table of places, or zero.
func (tx *Tx) lastSeq(table string, row int64) (uint32, error) {
	stmt := tx.conn.Prep("SELECT place FROM " + table + " WHERE place BETWEEN ? AND ? ORDER BY place DESC LIMIT 1")
	stmt.BindInt64(1, place(row, 0))
	stmt.BindInt64(2, place(row, maxSeq))
	defer stmt.Reset()
	ok, err := stmt.Step()
	if !ok {
		return 0, err
	}
	return uint32(stmt.ColumnInt64(0)), nil
}

// Flags of messages, as they are stored.
const (
	FlagCounts    = 1 << iota // it is unread until it is read
	FlagRevoked               // what it said is gone
	FlagReceipt               // its sender wants to know who has read it
	FlagReactions             // somebody has reacted to it
	FlagMentions              // it mentions somebody
)

// A Message is what a sender asked for, and where it was put.
type Message struct {
	Sender   *User
	ClientID []byte // 16 bytes
	Hash     []byte
	Type     int32
	Priority int32
	Content  []byte
	Extended string
	Flags    int
	More     []byte // see the schema

	// Set by AppendMessage, and when it is read.

	Place int64 // conversation and sequence number
	ID    int64 // larger than those of all messages that the writing goroutine stored before
	Time  int64 // Unix milliseconds

	// When it is read:

	Conversation *Conversation
}

// Seq returns the message's number in its conversation.
func (m *Message) Seq() int64 { return int64(uint32(m.Place)) }

// AppendMessage stores m at the end of c. If the sender stored a message with that client ID there before, nothing changes,
// and the result is where that one was put; same tells whether it was the same message.
func (tx *Tx) AppendMessage(c *Conversation, m *Message) (again, same bool, err error) {
	if c.last == maxSeq {
		return false, false, ErrNumbersUsedUp
	}
	own, participant, err := tx.ownOf(c, m.Sender.ID)
	if err != nil {
		return false, false, err
	}
	counts := int64(m.Flags & FlagCounts)
	m.Conversation, m.Place, m.Time, m.ID = c, place(c.ID, c.last+1), time.Now().UnixMilli(), tx.store.NextID()
	stmt := tx.conn.Prep(`INSERT INTO message (place, id, sender, client_id, hash, time, type, priority, content, extended, flags, total, own, more)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (place >> 32, sender, client_id) DO NOTHING`)
	stmt.BindInt64(1, m.Place)
	stmt.BindInt64(2, m.ID)
	stmt.BindInt64(3, m.Sender.ID)
	stmt.BindBytes(4, m.ClientID)
	stmt.BindBytes(5, m.Hash)
	stmt.BindInt64(6, m.Time)
	stmt.BindInt64(7, int64(m.Type))
	stmt.BindInt64(8, int64(m.Priority))
	stmt.BindBytes(9, m.Content)
	stmt.BindText(10, m.Extended)
	stmt.BindInt64(11, int64(m.Flags))
	stmt.BindInt64(12, c.total+counts)
	stmt.BindInt64(13, own+counts)
	bindOptional(stmt, 14, m.More)
	if err := step(stmt); err != nil {
		return false, false, err
	}
	if tx.conn.Changes() == 0 {
		again, same, err = tx.findMessage(c.ID, m)
		return again, same, err
	}
	c.last, c.total, c.sender, c.own = c.last+1, c.total+counts, m.Sender.ID, own+counts
	if participant != nil && counts > 0 {
		if err := tx.counted(c, participant); err != nil {
			return false, false, err
		}
	}
	return false, false, tx.reserveID(m.ID)
}

func bindOptional(stmt *sqlite.Stmt, param int, b []byte) {
	if b == nil {
		stmt.BindNull(param)
	} else {
		stmt.BindBytes(param, b)
	}
}

// FindMessage looks for the message in c that has m's sender and client ID, and tells where it was put and whether it is
// the same as m.
func (tx *Tx) FindMessage(c *Conversation, m *Message) (found, same bool, err error) {
	return tx.findMessage(c.ID, m)
}

func (tx *Tx) findMessage(conversation int64, m *Message) (found, same bool, err error) {
	stmt := tx.conn.Prep("SELECT place, id, time, hash, content, extended, more FROM message WHERE place >> 32 = ? AND sender = ? AND client_id = ?")
	stmt.BindInt64(1, conversation)
	stmt.BindInt64(2, m.Sender.ID)
	stmt.BindBytes(3, m.ClientID)
	defer stmt.Reset()
	ok, err := stmt.Step()
	if !ok {
		return false, false, err
	}
	m.Place, m.ID, m.Time = stmt.ColumnInt64(0), stmt.ColumnInt64(1), stmt.ColumnInt64(2)
	same = bytes.Equal(columnBytes(stmt, 3), m.Hash) || defect.On(defect.DedupeByKey)
	if same {
		m.Content, m.Extended, m.More = columnBytes(stmt, 4), stmt.ColumnText(5), optional(stmt, 6)
	}
	return true, same, nil
}

const messageColumns = "m.place, m.id, m.time, s.user_id, m.type, m.priority, m.content, m.extended, m.client_id, m.flags, m.more, m.sender"

// scanMessage reads a message of c. Its sender has a row and a user ID, and nothing else.
func scanMessage(stmt *sqlite.Stmt, c *Conversation) *Message {
	return &Message{
		Conversation: c,
		Place:        stmt.ColumnInt64(0),
		ID:           stmt.ColumnInt64(1),
		Time:         stmt.ColumnInt64(2),
		Sender:       &User{ID: stmt.ColumnInt64(11), UserID: stmt.ColumnText(3)},
		Type:         stmt.ColumnInt32(4),
		Priority:     stmt.ColumnInt32(5),
		Content:      columnBytes(stmt, 6),
		Extended:     stmt.ColumnText(7),
		ClientID:     columnBytes(stmt, 8),
		Flags:        stmt.ColumnInt(9),
		More:         optional(stmt, 10),
	}
}

func optional(stmt *sqlite.Stmt, col int) []byte {
	if stmt.ColumnIsNull(col) {
		return nil
	}
	return columnBytes(stmt, col)
}

// MessageAt returns the message at a place, or nil if there is none.
func (tx *Tx) MessageAt(at int64) (*Message, error) {
	c, err := tx.conversationAt(at >> 32)
	if c == nil || err != nil {
		return nil, err
	}
	stmt := tx.conn.Prep("SELECT " + messageColumns + " FROM message m JOIN user s ON s.id = m.sender WHERE m.place = ?")
	stmt.BindInt64(1, at)
	defer stmt.Reset()
	if ok, err := stmt.Step(); !ok {
		return nil, err
	}
	return scanMessage(stmt, c), nil
}

// Messages returns the messages that a member sees between two numbers, both included: up to limit of them and about maxBytes of content,
// from the lower end or, if backward is set, from the upper end.
func (tx *Tx) Messages(m *Member, from, to uint32, backward bool, limit, maxBytes int) ([]*Message, error) {
	from = max(from, m.First())
	if m.Gone != 0 {
		to = min(to, m.Gone-1)
	}
	// With a LIMIT, SQLite would plan it anew each time.
	query := "SELECT " + messageColumns + ` FROM message m JOIN user s ON s.id = m.sender WHERE m.place BETWEEN ? AND ?
		AND NOT EXISTS (SELECT 1 FROM hidden h WHERE h.user = ? AND h.place = m.place) ORDER BY m.place`
	if backward {
		query = "SELECT " + messageColumns + ` FROM message m JOIN user s ON s.id = m.sender WHERE m.place BETWEEN ? AND ?
			AND NOT EXISTS (SELECT 1 FROM hidden h WHERE h.user = ? AND h.place = m.place) ORDER BY m.place DESC`
	}
	stmt := tx.conn.Prep(query)
	stmt.BindInt64(1, place(m.Conversation.ID, from))
	stmt.BindInt64(2, place(m.Conversation.ID, to))
	stmt.BindInt64(3, m.User)
	defer stmt.Reset()
	var list []*Message
	for len(list) < limit && maxBytes > 0 {
		ok, err := stmt.Step()
		if !ok {
			return list, err
		}
		msg := scanMessage(stmt, m.Conversation)
		list = append(list, msg)
		maxBytes -= len(msg.Content) + len(msg.Extended) + len(msg.More) + 128
	}
	return list, nil
}

// SeqAt returns the number of the first message of a member's conversation whose ID is not below id, or one more than the last.
func (tx *Tx) SeqAt(m *Member, id int64) (uint32, error) {
	low, high := uint32(1), m.Last+1
	for low < high {
		mid := low + (high-low)/2
		at, err := tx.number("SELECT id FROM message WHERE place = ?", place(m.Conversation.ID, mid))
		if err != nil {
			return 0, err
		}
		if at < id {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// UpdateMessage keeps what became of a message: type, content, extended data, flags, and more.
func (tx *Tx) UpdateMessage(m *Message) error {
	stmt := tx.conn.Prep("UPDATE message SET type = ?, content = ?, extended = ?, flags = ?, more = ? WHERE place = ?")
	stmt.BindInt64(1, int64(m.Type))
	stmt.BindBytes(2, m.Content)
	stmt.BindText(3, m.Extended)
	stmt.BindInt64(4, int64(m.Flags))
	bindOptional(stmt, 5, m.More)
	stmt.BindInt64(6, m.Place)
	return step(stmt)
}

// Uncount takes a message that is revoked off the unread counts of those who have not read it.
func (tx *Tx) Uncount(m *Message) error {
	stmt := tx.conn.Prep(`UPDATE member SET base = base + 1 WHERE conversation = ?1 AND user <> ?2 AND seen < ?3 AND joined < ?3
		AND (gone = 0 OR gone > ?3) AND NOT EXISTS (SELECT 1 FROM hidden h WHERE h.user = member.user AND h.place = ?4)`)
	stmt.BindInt64(1, m.Place>>32)
	stmt.BindInt64(2, m.Sender.ID)
	stmt.BindInt64(3, m.Seq())
	stmt.BindInt64(4, m.Place)
	return step(stmt)
}

// Hidden reports whether a user has deleted a message.
func (tx *Tx) Hidden(user, at int64) (bool, error) {
	stmt := tx.conn.Prep("SELECT 1 FROM hidden WHERE user = ? AND place = ?")
	stmt.BindInt64(1, user)
	stmt.BindInt64(2, at)
	defer stmt.Reset()
	return stmt.Step()
}

// Hide deletes a message for a user.
func (tx *Tx) Hide(user, at int64) error {
	stmt := tx.conn.Prep("INSERT INTO hidden (user, place) VALUES (?, ?) ON CONFLICT DO NOTHING")
	stmt.BindInt64(1, user)
	stmt.BindInt64(2, at)
	return step(stmt)
}

// NextID returns a message ID: milliseconds and a counter in 63 bits. It grows with each call, whatever the clock does.
func (s *Store) NextID() int64 {
	const counterBits = 20
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID = max(s.lastID+1, time.Now().UnixMilli()<<counterBits)
	return s.lastID
}

// reserveID keeps a bound that the IDs of stored messages stay below, so that after a restart larger ones are given even
// if the clock was set back.
func (tx *Tx) reserveID(id int64) error {
	const ahead = 1 << 36 // a minute
	if id < tx.cache.reservedID {
		return nil
	}
	stmt := tx.conn.Prep("INSERT OR REPLACE INTO meta (name, value) VALUES ('reserved_id', ?)")
	stmt.BindInt64(1, id+ahead)
	if err := step(stmt); err != nil {
		return err
	}
	tx.cache.reservedID = id + ahead
	return nil
}
