package store

import (
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// exec runs a statement that returns no rows. The statements of messages and events, of which there are many more, bind their
// arguments one by one: see step.
func (tx *Tx) exec(query string, args ...any) error {
	return sqlitex.Execute(tx.conn, query, &sqlitex.ExecOptions{Args: args})
}

// each calls scan for each row of a query.
func (tx *Tx) each(scan func(*sqlite.Stmt), query string, args ...any) error {
	return sqlitex.Execute(tx.conn, query, &sqlitex.ExecOptions{Args: args, ResultFunc: func(stmt *sqlite.Stmt) error {
		scan(stmt)
		return nil
	}})
}

// number returns the one number that a query returns, or zero if it returns no row.
func (tx *Tx) number(query string, args ...any) (n int64, err error) {
	err = tx.each(func(stmt *sqlite.Stmt) { n = stmt.ColumnInt64(0) }, query, args...)
	return n, err
}
