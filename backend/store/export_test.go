package store

import (
	"os"

	"zombiezen.com/go/sqlite/sqlitex"
)

// Exec runs SQL of a test in a transaction.
func (tx *Tx) Exec(sql string, args ...any) error {
	return sqlitex.Execute(tx.conn.Conn, sql, &sqlitex.ExecOptions{Args: args})
}

// Int returns the number that a query of a test finds.
func (tx *Tx) Int(sql string, args ...any) (int64, error) {
	stmt := tx.conn.Prep(sql)
	for i, a := range args {
		stmt.BindInt64(i+1, a.(int64))
	}
	return sqlitex.ResultInt64(stmt)
}

// MaxBatch is how many operations share a transaction, and MaxWaiting how many may wait for one.
const MaxBatch, MaxWaiting = maxBatch, maxWaiting

// Text returns the text that a query of a test finds.
func (tx *Tx) Text(sql string) (string, error) { return sqlitex.ResultText(tx.conn.Prep(sql)) }

// CheckpointAt sets how many pages the log may have.
func (tx *Tx) CheckpointAt(pages int) { tx.store.checkpointAt = pages }

// SyncWith lets f sync what the store itself has written, and not SQLite.
func SyncWith(f func(*os.File) error) { syncFile = f }
