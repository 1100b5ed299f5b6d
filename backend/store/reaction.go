package store

import "zombiezen.com/go/sqlite"

// A Reaction is what all users together think of a message.
type Reaction struct {
	Type       string
	Users, Sum int64
	Self       bool
	Some       []string // the first users
}

// Reactions returns the reactions to a message, the first ones first, with up to some users each.
func (tx *Tx) Reactions(at, self int64, some int) (list []*Reaction, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) {
		typ := stmt.ColumnText(0)
		if n := len(list); n == 0 || list[n-1].Type != typ {
			list = append(list, &Reaction{Type: typ, Users: stmt.ColumnInt64(1), Sum: stmt.ColumnInt64(2), Self: stmt.ColumnBool(3)})
		}
		last := list[len(list)-1]
		last.Some = append(last.Some, stmt.ColumnText(4))
	}, `SELECT w.type, w.users, w.sum, w.self, u.user_id FROM (
			SELECT type, user, count(*) OVER t AS users, sum(count) OVER t AS sum, max(user = ?2) OVER t AS self, min(time) OVER t AS first,
				row_number() OVER (PARTITION BY type ORDER BY time, user) AS n
			FROM reaction WHERE place = ?1 WINDOW t AS (PARTITION BY type)
		) w JOIN user u ON u.id = w.user WHERE w.n <= ?3 ORDER BY w.first, w.type, w.n`, at, self, some)
	return list, err
}

// ReactionsBy returns who has reacted to a message, and how, by the rows of the users.
func (tx *Tx) ReactionsBy(at int64) (by map[int64][]string, err error) {
	by = make(map[int64][]string)
	err = tx.each(func(stmt *sqlite.Stmt) {
		user := stmt.ColumnInt64(0)
		by[user] = append(by[user], stmt.ColumnText(1))
	}, "SELECT user, type FROM reaction WHERE place = ?", at)
	return by, err
}

// ReactionTypes returns how many kinds of reactions a message has beside one.
func (tx *Tx) ReactionTypes(at int64, beside string) (int64, error) {
	return tx.number("SELECT count(DISTINCT type) FROM reaction WHERE place = ? AND type <> ?", at, beside)
}

// ReactionOf returns how often a user has reacted to a message so, or zero.
func (tx *Tx) ReactionOf(at, user int64, typ string) (int64, error) {
	return tx.number("SELECT count FROM reaction WHERE place = ? AND type = ? AND user = ?", at, typ, user)
}

// React adds to a user's reaction.
func (tx *Tx) React(at, user int64, typ string, add, now int64) error {
	return tx.exec("INSERT INTO reaction (place, type, user, count, time) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
		at, typ, user, add, now)
}

// Unreact takes a user's reaction away, or all of them if typ is empty. It returns those that there were.
func (tx *Tx) Unreact(at, user int64, typ string) (types []string, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { types = append(types, stmt.ColumnText(0)) },
		"DELETE FROM reaction WHERE place = ? AND user = ? AND (?3 = '' OR type = ?3) RETURNING type", at, user, typ)
	return types, err
}

// DropReactions forgets all reactions to a message.
func (tx *Tx) DropReactions(at int64) error {
	return tx.exec("DELETE FROM reaction WHERE place = ?", at)
}

// A ReactionUser is a user and a reaction of that user's.
type ReactionUser struct {
	UserID string
	Type   string
	Count  int64
}

// ReactionUsers returns who has reacted to a message, behind the first skip of them. With a type it returns those who reacted so, in their order;
// else everybody with all reactions, a row each, those with the most reactions first. total is how many users there are in all.
func (tx *Tx) ReactionUsers(at int64, typ string, skip, limit int64) (list []ReactionUser, total int64, err error) {
	total, err = tx.number("SELECT count(DISTINCT user) FROM reaction WHERE place = ?1 AND (?2 = '' OR type = ?2)", at, typ)
	if err != nil {
		return nil, 0, err
	}
	err = tx.each(func(stmt *sqlite.Stmt) {
		list = append(list, ReactionUser{UserID: stmt.ColumnText(0), Type: stmt.ColumnText(1), Count: stmt.ColumnInt64(2)})
	}, `SELECT u.user_id, r.type, r.count FROM
			(SELECT user, sum(count) AS n, min(time) AS t FROM reaction WHERE place = ?1 AND (?2 = '' OR type = ?2)
				GROUP BY user ORDER BY iif(?2 = '', -sum(count), 0), min(time), user LIMIT ?3 OFFSET ?4) w
		JOIN reaction r ON r.place = ?1 AND r.user = w.user AND (?2 = '' OR r.type = ?2)
		JOIN user u ON u.id = w.user ORDER BY iif(?2 = '', -w.n, 0), w.t, w.user, r.time, r.type`, at, typ, limit, skip)
	return list, total, err
}
