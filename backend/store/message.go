package store

import (
	"bytes"
	"errors"
	"time"

	"zombiezen.com/go/sqlite"
)

// ConversationPeer is the documented number of a conversation between two users.
const ConversationPeer = 0

// A Conversation is where messages are numbered.
type Conversation struct {
	ID   int64 // of the row, below 1<<31
	last uint32
}

type conversationKey struct {
	app  uint32
	typ  int32
	a, b string
}

// ErrNumbersUsedUp is what appending reports when a conversation or feed has had four billion entries.
var ErrNumbersUsedUp = errors.New("store: sequence numbers are used up")

const maxRow, maxSeq = 1<<31 - 1, 1<<32 - 1

func place(row int64, seq uint32) int64 { return row<<32 | int64(seq) }

// PeerConversation returns the conversation between two users, which is made if there is none. It is for the writing
// transaction only.
func (tx *Tx) PeerConversation(app uint32, a, b string) (*Conversation, error) {
	if a > b {
		a, b = b, a
	}
	return tx.conversation(conversationKey{app, ConversationPeer, a, b})
}

func (tx *Tx) conversation(key conversationKey) (*Conversation, error) {
	if c := tx.cache.conversations[key]; c != nil {
		return c, nil
	}
	c := new(Conversation)
	id, ok, err := tx.findConversation(key)
	if err != nil {
		return nil, err
	}
	c.ID = id
	if ok {
		if c.last, err = tx.lastSeq("message", c.ID); err != nil {
			return nil, err
		}
	} else {
		stmt := tx.conn.Prep("INSERT INTO conversation (app_id, type, a, b) VALUES (?, ?, ?, ?)")
		key.bind(stmt)
		if err := step(stmt); err != nil {
			return nil, err
		}
		if c.ID = tx.conn.LastInsertRowID(); c.ID > maxRow {
			return nil, ErrNumbersUsedUp
		}
	}
	if len(tx.cache.conversations) >= maxCached {
		clear(tx.cache.conversations)
	}
	tx.cache.conversations[key] = c
	return c, nil
}

// findConversation looks for the row of a conversation.
func (tx *Tx) findConversation(key conversationKey) (id int64, ok bool, err error) {
	stmt := tx.conn.Prep("SELECT id FROM conversation WHERE app_id = ? AND type = ? AND a = ? AND b = ?")
	key.bind(stmt)
	defer stmt.Reset()
	if ok, err = stmt.Step(); ok {
		id = stmt.ColumnInt64(0)
	}
	return id, ok, err
}

func (k *conversationKey) bind(stmt *sqlite.Stmt) {
	stmt.BindInt64(1, int64(k.app))
	stmt.BindInt64(2, int64(k.typ))
	stmt.BindText(3, k.a)
	stmt.BindText(4, k.b)
}

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

// A Message is what a sender asked for, and where it was put.
type Message struct {
	Sender   *User
	ClientID []byte // 16 bytes
	Hash     []byte
	Type     int32
	Priority int32
	Content  []byte
	Extended string

	// Set by AppendMessage.

	Place int64 // conversation and sequence number
	ID    int64 // larger than those of all messages that the writing goroutine stored before
	Time  int64 // Unix milliseconds
}

// Seq returns the message's number in its conversation.
func (m *Message) Seq() int64 { return int64(uint32(m.Place)) }

// AppendMessage stores m at the end of c. If the sender stored a message with that client ID there before, nothing changes,
// and the result is where that one was put; same tells whether it was the same message.
func (tx *Tx) AppendMessage(c *Conversation, m *Message) (again, same bool, err error) {
	if c.last == maxSeq {
		return false, false, ErrNumbersUsedUp
	}
	m.Place, m.Time, m.ID = place(c.ID, c.last+1), time.Now().UnixMilli(), tx.store.NextID()
	stmt := tx.conn.Prep(`INSERT INTO message (place, id, sender, client_id, hash, time, type, priority, content, extended)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (place >> 32, sender, client_id) DO NOTHING`)
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
	if err := step(stmt); err != nil {
		return false, false, err
	}
	if tx.conn.Changes() == 1 {
		c.last++
		return false, false, tx.reserveID(m.ID)
	}
	again, same, err = tx.findMessage(c.ID, m)
	return again, same, err
}

// FindMessage looks for the message between two users that has m's sender and client ID, and tells where it was put and
// whether it is the same as m.
func (tx *Tx) FindMessage(app uint32, a, b string, m *Message) (found, same bool, err error) {
	if a > b {
		a, b = b, a
	}
	id, ok, err := tx.findConversation(conversationKey{app, ConversationPeer, a, b})
	if !ok {
		return false, false, err
	}
	return tx.findMessage(id, m)
}

func (tx *Tx) findMessage(conversation int64, m *Message) (found, same bool, err error) {
	stmt := tx.conn.Prep("SELECT place, id, time, hash FROM message WHERE place >> 32 = ? AND sender = ? AND client_id = ?")
	stmt.BindInt64(1, conversation)
	stmt.BindInt64(2, m.Sender.ID)
	stmt.BindBytes(3, m.ClientID)
	defer stmt.Reset()
	ok, err := stmt.Step()
	if !ok {
		return false, false, err
	}
	m.Place, m.ID, m.Time = stmt.ColumnInt64(0), stmt.ColumnInt64(1), stmt.ColumnInt64(2)
	return true, bytes.Equal(columnBytes(stmt, 3), m.Hash), nil
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
