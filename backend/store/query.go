package store

import (
	"fmt"

	"zombiezen.com/go/sqlite"
)

// A connection keeps its statements. Its Prep, in place of sqlite.Conn's, does not clear what was bound before: SQLite takes that
// for a reason to plan many a statement anew, which takes ten times as long as what it does. So all parameters must be bound, and
// a statement must be reset after use.
type connection struct {
	*sqlite.Conn
	statements map[string]*sqlite.Stmt
}

// Prep returns the statement for a query.
func (c *connection) Prep(query string) *sqlite.Stmt {
	stmt := c.statements[query]
	if stmt == nil {
		stmt = c.Conn.Prep(query)
		c.statements[query] = stmt
	}
	return stmt
}

// exec runs a statement that returns no rows. The statements of messages and events, of which there are many more, bind their
// arguments one by one: see step.
func (tx *Tx) exec(query string, args ...any) error {
	return tx.each(func(*sqlite.Stmt) {}, query, args...)
}

// each calls scan for each row of a query.
func (tx *Tx) each(scan func(*sqlite.Stmt), query string, args ...any) error {
	stmt := tx.conn.Prep(query)
	defer stmt.Reset()
	for i, arg := range args {
		switch v := arg.(type) {
		case int:
			stmt.BindInt64(i+1, int64(v))
		case int32:
			stmt.BindInt64(i+1, int64(v))
		case uint32:
			stmt.BindInt64(i+1, int64(v))
		case int64:
			stmt.BindInt64(i+1, v)
		case bool:
			stmt.BindBool(i+1, v)
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			stmt.BindBytes(i+1, v)
		default:
			panic(fmt.Sprintf("store: an argument of the type %T", arg))
		}
	}
	for {
		ok, err := stmt.Step()
		if !ok {
			return err
		}
		scan(stmt)
	}
}

// number returns the one number that a query returns, or zero if it returns no row.
func (tx *Tx) number(query string, args ...any) (n int64, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { n = stmt.ColumnInt64(0) }, query, args...)
	return n, err
}
