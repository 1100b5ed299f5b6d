package store

import (
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/zim-go/zim/internal/defect"
)

// write is the writing goroutine.
func (s *Store) write(conn *connection) {
	w := &writer{s: s, tx: Tx{conn: conn, store: s, cache: newCache()}}
	defer func() {
		close(s.gone)
		s.drain()
		// The last one to close the file moves everything into it; those who only read can't.
		s.closeReaders(readers)
		if err := conn.Close(); err != nil {
			s.log.Error("store: close", "err", err)
		}
	}()
	for {
		select {
		case op := <-s.ops:
			w.batch = append(w.batch[:0], op)
		case <-s.stop:
			// What was submitted before the end is still written.
			w.batch = w.batch[:0]
		}
	more:
		for len(w.batch) < maxBatch {
			select {
			case op := <-s.ops:
				w.batch = append(w.batch, op)
			default:
				break more
			}
		}
		if len(w.batch) == 0 {
			return
		}
		for rest := w.batch; len(rest) > 0; {
			s.pace.begin(len(rest), rest[0].since)
			n := w.commit(rest)
			if s.AfterBatch != nil {
				s.AfterBatch()
			}
			w.checkpoint()
			s.pace.end(n, n < len(rest) || n == maxBatch, w.durable)
			rest = rest[n:]
		}
		clear(w.batch)
	}
}

type writer struct {
	s       *Store
	tx      Tx
	batch   []waiting
	durable time.Duration // how long the last COMMIT took, and what followed it
}

// commit runs the first of ops, as many as there is time for, in one transaction, and tells them. If one of them fails, each is tried
// alone. It returns how many they were.
func (w *writer) commit(ops []waiting) int {
	if broken := w.s.broken(); broken != nil {
		for _, op := range ops {
			op.Done(broken)
		}
		return len(ops)
	}
	n, err := w.transaction(ops)
	ops = ops[:n]
	if err != nil && n > 1 && w.s.broken() == nil {
		for i, op := range ops {
			// The one before may have found that the disk fails.
			err := w.s.broken()
			if err == nil {
				_, err = w.transaction(ops[i : i+1])
			}
			op.Done(err)
		}
		return n
	}
	for _, op := range ops {
		if err != nil || !defect.On(defect.AckBeforeCommit) {
			op.Done(err)
		}
	}
	return n
}

func (s *Store) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// transaction returns how many of ops it was for: at least one.
func (w *writer) transaction(ops []waiting) (n int, err error) {
	conn, start := w.tx.conn, time.Now()
	w.durable = 0
	err = w.begin()
	for err == nil && n < len(ops) && (n == 0 || time.Since(start) < maxDoing) {
		if w.s.cost > 0 {
			time.Sleep(w.s.cost)
		}
		err = ops[n].Do(&w.tx)
		n++
	}
	did := ops[:n]
	if err != nil {
		n = len(ops) // each of them is tried alone
	} else {
		if defect.On(defect.AckBeforeCommit) {
			for _, op := range did {
				op.Done(nil)
			}
		}
		done := time.Now()
		err = step(conn.Prep("COMMIT"))
		w.durable = time.Since(done)
	}
	if err == nil {
		return n, nil
	}
	if !defect.On(defect.NumberBurnt) {
		w.tx.cache = newCache()
	}
	for _, op := range did {
		if u, ok := op.Op.(Undoer); ok {
			u.Undo()
		}
	}
	if !conn.AutocommitEnabled() {
		if undo := sqlitex.ExecuteTransient(conn.Conn, "ROLLBACK", nil); undo != nil {
			w.s.fail(undo)
		}
	}
	return n, w.s.judge(err)
}

// judge says what an error of SQLite is to those who asked, and stops the store if the disk is to blame.
func (s *Store) judge(err error) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case sqlite.ResultIOErr, sqlite.ResultCorrupt, sqlite.ResultNotADB, sqlite.ResultCantOpen, sqlite.ResultReadOnly:
		if defect.On(defect.SyncRetried) {
			return err
		}
		s.fail(err)
		return s.broken()
	}
	return err
}

// checkpoint moves the log into the file when it has grown. SQLite would do that by itself at the end of a commit, but tell nobody when
// the disk fails; and then, those who wait for the commit would wait for that, too.
func (w *writer) checkpoint() {
	if w.s.broken() != nil {
		return
	}
	start := time.Now()
	defer func() { w.durable += time.Since(start) }()
	log, moved, err := w.log("PRAGMA wal_checkpoint(NOOP)")
	if err == nil && log >= w.s.checkpointAt && moved < log {
		_, _, err = w.log("PRAGMA wal_checkpoint(PASSIVE)")
	}
	// A full disk fails no more than this: the log grows until there is room for what is in it.
	if err = w.s.judge(err); err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrFailed) {
		w.s.log.Error("store: checkpoint", "err", err)
	}
}

// log runs a checkpoint and returns how many pages the log has, and how many of them are in the file.
func (w *writer) log(checkpoint string) (pages, moved int, err error) {
	stmt := w.tx.conn.Prep(checkpoint)
	if _, err = stmt.Step(); err == nil {
		pages, moved = stmt.ColumnInt(1), stmt.ColumnInt(2)
	}
	if reset := stmt.Reset(); err == nil {
		err = reset
	}
	return pages, moved, err
}

// begin starts a transaction. If another process has written to the file meanwhile, nothing that is remembered of it counts.
func (w *writer) begin() error {
	if err := step(w.tx.conn.Prep("BEGIN IMMEDIATE")); err != nil {
		return err
	}
	v := w.tx.conn.Prep("PRAGMA data_version")
	if _, err := v.Step(); err != nil {
		return err
	}
	version := v.ColumnInt64(0)
	if err := v.Reset(); err != nil {
		return err
	}
	if version != w.tx.cache.version {
		w.tx.cache = newCache()
		w.tx.cache.version = version
	}
	return nil
}

// step runs a statement that returns no rows.
func step(stmt *sqlite.Stmt) error {
	_, err := stmt.Step()
	if reset := stmt.Reset(); err == nil {
		err = reset
	}
	return err
}

// A Tx is the inside of a transaction. Its methods are in the files of their chapters.
type Tx struct {
	conn  *connection
	store *Store
	cache *cache // nil in a View
}

// A cache remembers what the transaction would find in the file. It starts anew after anything that went wrong, and when it
// grows large.
type cache struct {
	version       int64
	reservedID    int64 // what the file says, if this run has written it
	users         map[userKey]*User
	conversations map[conversationKey]*Conversation
}

const maxCached = 100_000

// forget makes room. Users and conversations hold on to each other, and there must be one of each.
func (c *cache) forget() {
	clear(c.users)
	clear(c.conversations)
}

func newCache() *cache {
	return &cache{users: make(map[userKey]*User), conversations: make(map[conversationKey]*Conversation)}
}
