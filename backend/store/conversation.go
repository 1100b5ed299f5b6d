package store

import (
	"errors"
	"slices"

	"zombiezen.com/go/sqlite"
)

// The documented numbers of conversation types.
const (
	ConversationPeer  = 0
	ConversationRoom  = 1
	ConversationGroup = 2
)

// A Conversation is where messages are numbered.
type Conversation struct {
	ID   int64 // of the row, below 1<<31
	App  uint32
	Type int32
	A, B string // peers by their order; a group has its ID in A

	// In the writing transaction, the last message:

	last   uint32
	total  int64
	sender int64 // row of the user
	own    int64

	roster []*Participant // in a group, once it was asked for; in the writing transaction
}

// A Participant is somebody who is in a group now.
type Participant struct {
	User   *User
	Role   int32
	Joined uint32
	Muted  bool

	own int64
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

// Place returns the place of the message with that number, or zero if there can be none.
func (c *Conversation) Place(seq int64) int64 {
	if seq <= 0 || seq > maxSeq {
		return 0
	}
	return place(c.ID, uint32(seq))
}

// Name returns what the conversation is called by one of its users.
func (c *Conversation) Name(userID string) string {
	if c.A == userID && c.Type == ConversationPeer {
		return c.B
	}
	return c.A
}

func keyOf(app uint32, typ int32, userID, id string) conversationKey {
	if typ != ConversationPeer {
		return conversationKey{app, typ, id, ""}
	}
	return conversationKey{app, typ, min(userID, id), max(userID, id)}
}

// FindConversation returns the conversation that a user calls id, or nil if there is none. (A group that was dismissed is
// there.)
func (tx *Tx) FindConversation(app uint32, typ int32, userID, id string) (*Conversation, error) {
	return tx.findConversation(keyOf(app, typ, userID, id))
}

// PeerConversation returns the conversation between two users, which is made if there is none. It is for the writing
// transaction only.
func (tx *Tx) PeerConversation(a, b *User) (*Conversation, error) {
	key := keyOf(a.AppID, ConversationPeer, a.UserID, b.UserID)
	c, err := tx.findConversation(key)
	if c != nil || err != nil {
		return c, err
	}
	if c, err = tx.addConversation(key); err != nil {
		return nil, err
	}
	for _, u := range []*User{a, b} {
		if err := tx.PutMember(&Member{User: u.ID, Conversation: c}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (tx *Tx) addConversation(key conversationKey) (*Conversation, error) {
	stmt := tx.conn.Prep("INSERT INTO conversation (app_id, type, a, b) VALUES (?, ?, ?, ?)")
	key.bind(stmt)
	if err := step(stmt); err != nil {
		return nil, err
	}
	c := &Conversation{ID: tx.conn.LastInsertRowID(), App: key.app, Type: key.typ, A: key.a, B: key.b}
	if c.ID > maxRow {
		return nil, ErrNumbersUsedUp
	}
	tx.cache.conversations[key] = c
	return c, nil
}

func (tx *Tx) findConversation(key conversationKey) (*Conversation, error) {
	if tx.cache != nil {
		if c := tx.cache.conversations[key]; c != nil {
			return c, nil
		}
	}
	stmt := tx.conn.Prep("SELECT id FROM conversation WHERE app_id = ? AND type = ? AND a = ? AND b = ?")
	key.bind(stmt)
	defer stmt.Reset()
	if ok, err := stmt.Step(); !ok {
		return nil, err
	}
	c := &Conversation{ID: stmt.ColumnInt64(0), App: key.app, Type: key.typ, A: key.a, B: key.b}
	return c, tx.rememberConversation(key, c)
}

// conversationAt returns the conversation of a row.
func (tx *Tx) conversationAt(id int64) (*Conversation, error) {
	stmt := tx.conn.Prep("SELECT app_id, type, a, b FROM conversation WHERE id = ?")
	stmt.BindInt64(1, id)
	defer stmt.Reset()
	if ok, err := stmt.Step(); !ok {
		return nil, err
	}
	key := conversationKey{uint32(stmt.ColumnInt64(0)), stmt.ColumnInt32(1), stmt.ColumnText(2), stmt.ColumnText(3)}
	if tx.cache != nil {
		return tx.findConversation(key)
	}
	return &Conversation{ID: id, App: key.app, Type: key.typ, A: key.a, B: key.b}, nil
}

func (tx *Tx) rememberConversation(key conversationKey, c *Conversation) error {
	if tx.cache == nil {
		return nil
	}
	stmt := tx.conn.Prep("SELECT place, total, sender, own FROM message WHERE place BETWEEN ? AND ? ORDER BY place DESC LIMIT 1")
	stmt.BindInt64(1, place(c.ID, 0))
	stmt.BindInt64(2, place(c.ID, maxSeq))
	defer stmt.Reset()
	ok, err := stmt.Step()
	if err != nil {
		return err
	}
	if ok {
		c.last, c.total, c.sender, c.own = uint32(stmt.ColumnInt64(0)), stmt.ColumnInt64(1), stmt.ColumnInt64(2), stmt.ColumnInt64(3)
	}
	if len(tx.cache.conversations) >= maxCached {
		tx.cache.forget()
	}
	tx.cache.conversations[key] = c
	return nil
}

func (k *conversationKey) bind(stmt *sqlite.Stmt) {
	stmt.BindInt64(1, int64(k.app))
	stmt.BindInt64(2, int64(k.typ))
	stmt.BindText(3, k.a)
	stmt.BindText(4, k.b)
}

// A Member is what a conversation is for one of its users, who may have left it.
type Member struct {
	User         int64 // row
	Conversation *Conversation

	Role      int32
	Entered   int64
	EnterType int32
	Operator  string
	Joined    uint32
	Gone      uint32
	Seen      uint32
	Receipt   uint32
	Cleared   uint32
	Hides     uint32
	Pinned    int64
	Muted     bool
	Marks     []byte
	Marked    int64

	goneTotal, own, base int64

	// As the conversation stands, read with it:

	Last     uint32 // the last message that there is for the user, deleted ones included
	OrderKey int64  // its ID
	Unread   int64
}

// In reports whether the user is in the conversation now.
func (m *Member) In() bool { return m.Gone == 0 }

// Listed reports whether the conversation is in the user's list.
func (m *Member) Listed() bool { return m.Last > m.Hides }

// First returns the number of the first message that the user may see.
func (m *Member) First() uint32 { return max(m.Joined, m.Cleared) + 1 }

// Read makes all that came so far read.
func (m *Member) Read() {
	m.base += m.Unread
	m.Unread, m.Seen = 0, max(m.Seen, m.Last)
}

// Forget takes n messages that are not read off the count.
func (m *Member) Forget(n int64) {
	m.base += n
	m.Unread -= n
}

// Leave ends the membership behind the last message.
func (m *Member) Leave() { m.Gone, m.goneTotal = m.Last+1, m.total() }

// Enter begins a membership, perhaps again, behind the last message.
func (m *Member) Enter() {
	c := m.Conversation
	if !m.Listed() {
		m.Hides = c.last
	}
	m.Gone, m.goneTotal = 0, 0
	m.Joined, m.Seen, m.Last = c.last, c.last, c.last
	m.base, m.Unread = c.total-m.own, 0
}

func (m *Member) total() int64 { return m.base + m.Unread + m.own }

// What is read of members: the last message tells how many there are and, between two users, whose they are.
const memberColumns = `m.user, m.conversation, m.role, m.entered, m.enter_type, m.operator, m.joined, m.gone, m.gone_total,
	m.own, m.base, m.seen, m.receipt, m.cleared, m.hides, m.pinned, m.muted, m.marks, m.marked,
	l.place, l.id, l.sender, l.own, l.total`

const memberTables = ` FROM member m LEFT JOIN message l ON l.place =
	(SELECT max(place) FROM message WHERE place BETWEEN m.conversation << 32 AND (m.conversation << 32) + iif(m.gone, m.gone - 1, 4294967295)) `

func scanMember(stmt *sqlite.Stmt, c *Conversation) *Member {
	m := &Member{
		User:         stmt.ColumnInt64(0),
		Conversation: c,
		Role:         stmt.ColumnInt32(2),
		Entered:      stmt.ColumnInt64(3),
		EnterType:    stmt.ColumnInt32(4),
		Operator:     stmt.ColumnText(5),
		Joined:       uint32(stmt.ColumnInt64(6)),
		Gone:         uint32(stmt.ColumnInt64(7)),
		goneTotal:    stmt.ColumnInt64(8),
		own:          stmt.ColumnInt64(9),
		base:         stmt.ColumnInt64(10),
		Seen:         uint32(stmt.ColumnInt64(11)),
		Receipt:      uint32(stmt.ColumnInt64(12)),
		Cleared:      uint32(stmt.ColumnInt64(13)),
		Hides:        uint32(stmt.ColumnInt64(14)),
		Pinned:       stmt.ColumnInt64(15),
		Muted:        stmt.ColumnBool(16),
		Marks:        columnBytes(stmt, 17),
		Marked:       stmt.ColumnInt64(18),
		Last:         uint32(stmt.ColumnInt64(19)),
		OrderKey:     stmt.ColumnInt64(20),
	}
	total := stmt.ColumnInt64(23)
	if c.Type == ConversationPeer {
		if m.own = stmt.ColumnInt64(22); stmt.ColumnInt64(21) != m.User {
			m.own = total - m.own
		}
	}
	if m.Gone != 0 {
		total = m.goneTotal
	}
	m.Unread = total - m.own - m.base
	return m
}

// Member returns what a conversation is for a user, or nil if it never was the user's.
func (tx *Tx) Member(c *Conversation, user int64) (*Member, error) {
	// The plus keeps SQLite from putting the arguments into the rest of the query, which it would then plan anew for each.
	stmt := tx.conn.Prep("SELECT " + memberColumns + memberTables + "WHERE m.user = +? AND m.conversation = +?")
	stmt.BindInt64(1, user)
	stmt.BindInt64(2, c.ID)
	defer stmt.Reset()
	if ok, err := stmt.Step(); !ok {
		return nil, err
	}
	return scanMember(stmt, c), nil
}

// Conversations returns all that are a user's, also those that are not in the list.
func (tx *Tx) Conversations(u *User) (list []*Member, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) {
		c := &Conversation{ID: stmt.ColumnInt64(1), App: u.AppID, Type: stmt.ColumnInt32(24), A: stmt.ColumnText(25), B: stmt.ColumnText(26)}
		list = append(list, scanMember(stmt, c))
	}, "SELECT "+memberColumns+", c.type, c.a, c.b"+memberTables+"JOIN conversation c ON c.id = m.conversation WHERE m.user = ?", u.ID)
	return list, err
}

// CountPinned returns how many conversations a user has pinned.
func (tx *Tx) CountPinned(u *User) (int64, error) {
	return tx.number("SELECT count(*) FROM member WHERE user = ? AND pinned <> 0", u.ID)
}

// CountMarked returns how many conversations a user has marked.
func (tx *Tx) CountMarked(u *User) (int64, error) {
	return tx.number("SELECT count(*) FROM member WHERE user = ? AND marked <> 0", u.ID)
}

// Members returns who is, and if all is set who ever was, in a conversation, in the order in which they entered.
func (tx *Tx) Members(c *Conversation, all bool) (list []*Member, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { list = append(list, scanMember(stmt, c)) },
		"SELECT "+memberColumns+memberTables+"WHERE m.conversation = ? AND (? OR m.gone = 0) ORDER BY m.entered, m.user", c.ID, all)
	return list, err
}

// PutMember keeps what a conversation is for a user.
func (tx *Tx) PutMember(m *Member) error {
	m.Conversation.altered(m)
	if tx.cache != nil {
		// The caller may have read the conversation apart from the cache.
		c := m.Conversation
		if kept := tx.cache.conversations[conversationKey{c.App, c.Type, c.A, c.B}]; kept != nil {
			kept.altered(m)
		}
	}
	own := m.own
	if m.Conversation.Type == ConversationPeer {
		own = 0
	}
	stmt := tx.conn.Prep(`INSERT OR REPLACE INTO member (user, conversation, role, entered, enter_type, operator, joined, gone, gone_total,
		own, base, seen, receipt, cleared, hides, pinned, muted, marks, marked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	for i, v := range []int64{
		m.User, m.Conversation.ID, int64(m.Role), m.Entered, int64(m.EnterType), 0, int64(m.Joined), int64(m.Gone), m.goneTotal,
		own, m.base, int64(m.Seen), int64(m.Receipt), int64(m.Cleared), int64(m.Hides), m.Pinned,
	} {
		stmt.BindInt64(i+1, v)
	}
	stmt.BindText(6, m.Operator)
	stmt.BindBool(17, m.Muted)
	stmt.BindBytes(18, m.Marks)
	stmt.BindInt64(19, m.Marked)
	return step(stmt)
}

// altered brings the roster up to date, or drops it if somebody enters or leaves. What members only read or mute comes too often for that.
func (c *Conversation) altered(m *Member) {
	i := slices.IndexFunc(c.roster, func(p *Participant) bool { return p.User.ID == m.User })
	switch {
	case i < 0 && m.Gone != 0:
	case i >= 0 && m.Gone == 0 && c.roster[i].Joined == m.Joined:
		p := c.roster[i]
		p.Role, p.Muted, p.own = m.Role, m.Muted, m.own
	default:
		c.roster = nil
	}
}

// Roster returns who is in a group now. It is for the writing transaction only.
func (tx *Tx) Roster(c *Conversation) ([]*Participant, error) {
	if c.roster != nil {
		return c.roster, nil
	}
	stmt := tx.conn.Prep(`SELECT u.user_id, m.role, m.joined, m.muted, m.own FROM member m JOIN user u ON u.id = m.user
		WHERE m.conversation = ? AND m.gone = 0 ORDER BY m.entered, m.user`)
	stmt.BindInt64(1, c.ID)
	defer stmt.Reset()
	list := make([]*Participant, 0, 16)
	for {
		ok, err := stmt.Step()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		u, err := tx.User(c.App, stmt.ColumnText(0))
		if err != nil {
			return nil, err
		}
		list = append(list, &Participant{
			User: u, Role: stmt.ColumnInt32(1), Joined: uint32(stmt.ColumnInt64(2)), Muted: stmt.ColumnBool(3), own: stmt.ColumnInt64(4),
		})
	}
	c.roster = list
	return list, nil
}

// own returns how many messages that count a user has sent to c, and the user's place in the roster of a group.
func (tx *Tx) ownOf(c *Conversation, user int64) (int64, *Participant, error) {
	if c.Type == ConversationPeer {
		if c.sender == user {
			return c.own, nil, nil
		}
		return c.total - c.own, nil, nil
	}
	list, err := tx.Roster(c)
	for _, p := range list {
		if p.User.ID == user {
			return p.own, p, err
		}
	}
	return 0, nil, err // nobody of the group: a note of the service
}

// counted adds a message to those that p has sent.
func (tx *Tx) counted(c *Conversation, p *Participant) error {
	stmt := tx.conn.Prep("UPDATE member SET own = own + 1 WHERE user = ? AND conversation = ?")
	stmt.BindInt64(1, p.User.ID)
	stmt.BindInt64(2, c.ID)
	p.own++
	return step(stmt)
}
