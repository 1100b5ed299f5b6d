package store

import "zombiezen.com/go/sqlite"

// A Group is a conversation of many.
type Group struct {
	Conversation *Conversation

	Name, Avatar, Notice string

	Created    int64
	MaxMembers int32
	JoinMode   int32
	InviteMode int32
	BeInvited  int32 // the documented beInviteMode
	Dismissed  bool
}

// Group returns a group, also one that was dismissed, or nil.
func (tx *Tx) Group(app uint32, id string) (*Group, error) {
	c, err := tx.findConversation(keyOf(app, ConversationGroup, "", id))
	if c == nil || err != nil {
		return nil, err
	}
	return tx.GroupOf(c)
}

// GroupOf returns the group that a conversation is.
func (tx *Tx) GroupOf(c *Conversation) (g *Group, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) {
		g = &Group{
			Conversation: c,
			Name:         stmt.ColumnText(0),
			Avatar:       stmt.ColumnText(1),
			Notice:       stmt.ColumnText(2),
			Created:      stmt.ColumnInt64(3),
			MaxMembers:   stmt.ColumnInt32(4),
			JoinMode:     stmt.ColumnInt32(5),
			InviteMode:   stmt.ColumnInt32(6),
			BeInvited:    stmt.ColumnInt32(7),
			Dismissed:    stmt.ColumnBool(8),
		}
	}, "SELECT name, avatar, notice, created, max_members, join_mode, invite_mode, be_invite_mode, dismissed FROM grp WHERE conversation = ?", c.ID)
	return g, err
}

// AddGroup makes a group of that ID. g has no conversation yet.
func (tx *Tx) AddGroup(app uint32, id string, g *Group) error {
	c, err := tx.addConversation(keyOf(app, ConversationGroup, "", id))
	if err != nil {
		return err
	}
	g.Conversation = c
	return tx.PutGroup(g)
}

// PutGroup keeps what a group is.
func (tx *Tx) PutGroup(g *Group) error {
	return tx.exec(`INSERT OR REPLACE INTO grp (conversation, name, avatar, notice, created, max_members, join_mode, invite_mode, be_invite_mode, dismissed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		g.Conversation.ID, g.Name, g.Avatar, g.Notice, g.Created, g.MaxMembers, g.JoinMode, g.InviteMode, g.BeInvited, g.Dismissed)
}

// A GroupMember is who is in a group, with a name.
type GroupMember struct {
	Row          int64
	UserID, Name string
	Role         int32
	Entered      int64
	EnterType    int32
	Operator     string
}

// GroupMembers returns members of a group in the order in which they entered: those behind the first skip of them, up to limit.
func (tx *Tx) GroupMembers(c *Conversation, skip, limit int64) (list []GroupMember, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { list = append(list, scanGroupMember(stmt)) },
		"SELECT u.id, u.user_id, u.name, m.role, m.entered, m.enter_type, m.operator FROM member m JOIN user u ON u.id = m.user"+
			" WHERE m.conversation = ? AND m.gone = 0 ORDER BY m.entered, m.user LIMIT ? OFFSET ?", c.ID, limit, skip)
	return list, err
}

// GroupMember returns one member of a group, or nil if that user is not in it.
func (tx *Tx) GroupMember(c *Conversation, userID string) (found *GroupMember, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { found = new(scanGroupMember(stmt)) },
		"SELECT u.id, u.user_id, u.name, m.role, m.entered, m.enter_type, m.operator FROM user u JOIN member m ON m.user = u.id AND m.conversation = ?1"+
			" WHERE u.app_id = ?2 AND u.user_id = ?3 AND m.gone = 0", c.ID, c.App, userID)
	return found, err
}

func scanGroupMember(stmt *sqlite.Stmt) GroupMember {
	return GroupMember{
		Row:       stmt.ColumnInt64(0),
		UserID:    stmt.ColumnText(1),
		Name:      stmt.ColumnText(2),
		Role:      stmt.ColumnInt32(3),
		Entered:   stmt.ColumnInt64(4),
		EnterType: stmt.ColumnInt32(5),
		Operator:  stmt.ColumnText(6),
	}
}

// Left returns those who left a group and still have the message at a place.
func (tx *Tx) Left(c *Conversation, at int64) (userIDs []string, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { userIDs = append(userIDs, stmt.ColumnText(0)) },
		"SELECT u.user_id FROM member m JOIN user u ON u.id = m.user WHERE m.conversation = ?1 AND m.gone > ?2 AND max(m.joined, m.cleared) < ?2",
		c.ID, int64(uint32(at)))
	return userIDs, err
}

// CountMembers returns how many are in a group.
func (tx *Tx) CountMembers(c *Conversation) (int64, error) {
	return tx.number("SELECT count(*) FROM member WHERE conversation = ? AND gone = 0", c.ID)
}

// GroupsOf returns the groups of an app: those whose rows come behind after, up to limit.
func (tx *Tx) GroupsOf(app uint32, after, limit int64) ([]*Group, error) {
	ids, err := tx.places(`SELECT c.id FROM conversation c JOIN grp g ON g.conversation = c.id
		WHERE c.app_id = ? AND c.type = 2 AND c.id > ? AND NOT g.dismissed ORDER BY c.id LIMIT ?`, app, after, limit)
	if err != nil {
		return nil, err
	}
	return tx.groupsAt(ids)
}

// CountGroups returns how many groups an app has.
func (tx *Tx) CountGroups(app uint32) (int64, error) {
	return tx.number("SELECT count(*) FROM conversation c JOIN grp g ON g.conversation = c.id WHERE c.app_id = ? AND c.type = 2 AND NOT g.dismissed", app)
}

// Groups returns the groups that a user is in: those whose rows come behind after, up to limit.
func (tx *Tx) Groups(u *User, after, limit int64) ([]*Group, error) {
	ids, err := tx.places(`SELECT m.conversation FROM member m JOIN grp g ON g.conversation = m.conversation
		WHERE m.user = ? AND m.conversation > ? AND m.gone = 0 AND NOT g.dismissed ORDER BY m.conversation LIMIT ?`, u.ID, after, limit)
	if err != nil {
		return nil, err
	}
	return tx.groupsAt(ids)
}

func (tx *Tx) groupsAt(ids []int64) (list []*Group, err error) {
	for _, id := range ids {
		c, err := tx.conversationAt(id)
		if err != nil {
			return nil, err
		}
		g, err := tx.GroupOf(c)
		if err != nil {
			return nil, err
		}
		if g != nil {
			list = append(list, g)
		}
	}
	return list, nil
}
