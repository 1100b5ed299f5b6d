// Package store keeps what a backend must not lose, in one SQLite file.
//
// One goroutine writes. It puts everything that waits into one transaction, so that many messages share one sync of the disk,
// and tells each operation afterwards that it is durable. Sequence numbers need no counters: nobody else writes, and the
// last row of a conversation or feed, which is never deleted, has the last number.
package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/zim-go/zim/internal/defect"
)

// The errors of operations that did not happen. Others are bugs, or a disk that can't be trusted any more.
var (
	ErrClosed = errors.New("store: closed")
	ErrFull   = errors.New("store: the disk is full")
	// ErrFailed is wrapped by everything that is asked of a store after a write or a sync failed: nobody knows what is on the
	// disk then, and only opening the file anew finds out.
	ErrFailed = errors.New("store: writing failed earlier")
)

// Options refine Open. The zero value is what is safe.
type Options struct {
	// Relaxed does not wait for the disk: a power failure loses what was acknowledged last. For tests and for data that
	// does not matter.
	Relaxed bool
	// Cost is how much longer each operation takes, for tests of what happens when the store is slow.
	Cost   time.Duration
	Logger *slog.Logger // nil discards
}

const (
	maxBatch   = 256 // operations in a transaction
	maxWaiting = 4096
	readers    = 4
	maxLog     = 4000 // pages
	// maxDoing is how long a transaction takes operations: those that it has wait for its end.
	maxDoing = 50 * time.Millisecond
)

// A Store is an open file. Its methods may be called concurrently.
type Store struct {
	path  string
	log   *slog.Logger
	cost  time.Duration // immutable
	epoch uint64
	lock  *flock.Flock // held while the store is open

	ops     chan waiting
	stop    chan struct{} // closed when nothing more is accepted
	gone    chan struct{} // closed when the writing goroutine ends
	stopped sync.Once
	writer  sync.WaitGroup
	idle    chan *connection // readers
	pace    pace

	checkpointAt int // pages of the log; of the writing goroutine

	// AfterBatch, if set, is called by the writing goroutine when the operations of a transaction were told. It is set
	// before the first Submit.
	AfterBatch func()

	mu     sync.Mutex
	failed error // guarded by mu
	lastID int64 // guarded by mu
}

// An Op is one unit of work for the writing goroutine, which calls both methods.
type Op interface {
	// Do reads and writes. What it refuses for reasons of its own, it remembers, and returns nil before it has written
	// anything. An error undoes the whole transaction; then each of its operations is tried again alone. So Do may be called
	// more than once.
	Do(tx *Tx) error
	// Done is called once, after the transaction is durable, or with the error that prevented that. It must not wait.
	Done(err error)
}

// A waiting operation is one that was submitted.
type waiting struct {
	Op
	since time.Time
}

// An Undoer is an Op that has effects outside of the transaction.
type Undoer interface {
	Op
	// Undo is called after Do when the transaction was undone.
	Undo()
}

// Open opens the file at path, and makes it if there is none. A file that a newer version has written is refused.
func Open(path string, opts Options) (*Store, error) {
	if err := private(path); err != nil {
		return nil, err
	}
	// What is beside the file is beside the file itself, whatever the name by which it was opened.
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := &Store{
		path: file,
		log:  opts.Logger,
		cost: opts.Cost,
		ops:  make(chan waiting, maxWaiting),
		stop: make(chan struct{}),
		gone: make(chan struct{}),
		idle: make(chan *connection, readers),

		checkpointAt: maxLog,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.claim(); err != nil {
		return nil, err
	}
	if err := s.open(opts.Relaxed); err != nil {
		s.lock.Unlock()
		return nil, err
	}
	return s, nil
}

// claim makes sure that no other process has the file: what the store remembers would be wrong.
func (s *Store) claim() error {
	s.lock = flock.New(s.path+".lock", flock.SetPermissions(0o600))
	ok, err := s.lock.TryLock()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if !ok {
		return fmt.Errorf("store: another process has %s open", s.path)
	}
	return nil
}

// open opens the file and starts the writing goroutine.
func (s *Store) open(relaxed bool) error {
	if !relaxed {
		if err := settle(s.path); err != nil {
			return err
		}
	}
	conn, err := s.connect(relaxed, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return err
	}
	if err := s.prepare(conn); err != nil {
		conn.Close()
		return err
	}
	for n := range readers {
		r, err := s.connect(relaxed, sqlite.OpenReadOnly)
		if err != nil {
			s.closeReaders(n)
			conn.Close()
			return err
		}
		s.idle <- r
	}
	s.writer.Go(func() { s.write(conn) })
	return nil
}

// private makes sure that nobody but the owner can read the file and what SQLite puts beside it.
func private(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
		return fmt.Errorf("store: everybody may write to the directory %s (mode %v): chmod o-w it, or put the file elsewhere", dir, info.Mode().Perm())
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if info, err = f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		err = f.Chmod(0o600)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("store: %w", err)
	}
	return f.Close()
}

func (s *Store) connect(relaxed bool, flags sqlite.OpenFlags) (*connection, error) {
	conn, err := sqlite.OpenConn(s.path, flags|sqlite.OpenWAL)
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", s.path, err)
	}
	synchronous := "FULL"
	if defect.On(defect.NoSync) {
		synchronous = "NORMAL"
	}
	if relaxed {
		synchronous = "OFF"
	}
	pragmas := []string{
		"journal_mode=WAL", "synchronous=" + synchronous, "foreign_keys=ON", "busy_timeout=5000", "cache_size=-32768",
		"wal_autocheckpoint=0", "journal_size_limit=67108864",
	}
	if flags&sqlite.OpenReadOnly != 0 {
		pragmas = []string{"query_only=ON", "busy_timeout=5000", "cache_size=-4096"}
	}
	for _, p := range pragmas {
		if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+p, nil); err != nil {
			conn.Close()
			return nil, fmt.Errorf("store: open %s: %w", s.path, err)
		}
	}
	return &connection{conn, make(map[string]*sqlite.Stmt)}, nil
}

// prepare checks the file, brings its schema up to date and reads what the store needs of it.
func (s *Store) prepare(conn *connection) error {
	check, err := sqlitex.ResultText(conn.Conn.Prep("PRAGMA quick_check(1)"))
	if err != nil {
		return fmt.Errorf("store: %s: %w", s.path, err)
	}
	if check != "ok" {
		return fmt.Errorf("store: %s is damaged: %s", s.path, check)
	}
	if err := migrate(conn.Conn); err != nil {
		return fmt.Errorf("store: %s: %w", s.path, err)
	}
	if defect.On(defect.DedupeInMemory) {
		sqlitex.ExecuteTransient(conn.Conn, "UPDATE message SET client_id = randomblob(16)", nil)
	}
	var fresh [8]byte
	rand.Read(fresh[:])
	err = sqlitex.Execute(conn.Conn, "INSERT INTO meta (name, value) VALUES ('epoch', ?) ON CONFLICT DO NOTHING", &sqlitex.ExecOptions{
		Args: []any{int64(binary.BigEndian.Uint64(fresh[:]))},
	})
	if err == nil {
		var epoch int64
		epoch, err = sqlitex.ResultInt64(conn.Conn.Prep("SELECT value FROM meta WHERE name = 'epoch'"))
		s.epoch = uint64(epoch)
	}
	if err == nil {
		s.lastID, err = sqlitex.ResultInt64(conn.Conn.Prep("SELECT coalesce(max(value), 0) FROM meta WHERE name = 'reserved_id'"))
	}
	if err != nil {
		return fmt.Errorf("store: %s: %w", s.path, err)
	}
	return nil
}

// Epoch tells this file from any other: sequence numbers mean nothing in another one.
func (s *Store) Epoch() uint64 { return s.epoch }

// Submit hands op to the writing goroutine. It waits while too much waits already. If it returns an error, op's methods
// are not called.
func (s *Store) Submit(op Op) error {
	select {
	case <-s.stop:
		return s.err()
	default:
	}
	select {
	case s.ops <- waiting{op, time.Now()}:
		select {
		case <-s.gone:
			// The writing goroutine may have looked for the last time before op came.
			s.drain()
		default:
		}
		return nil
	case <-s.stop:
		return s.err()
	}
}

// drain tells the operations that nobody writes any more.
func (s *Store) drain() {
	for {
		select {
		case op := <-s.ops:
			op.Done(s.err())
		default:
			return
		}
	}
}

// Update runs do in a transaction and returns when it is durable.
func (s *Store) Update(do func(tx *Tx) error) error {
	op := &update{do: do, done: make(chan error, 1)}
	if err := s.Submit(op); err != nil {
		return err
	}
	return <-op.done
}

type update struct {
	do   func(*Tx) error
	done chan error
}

func (u *update) Do(tx *Tx) error { return u.do(tx) }
func (u *update) Done(err error)  { u.done <- err }

// View runs do on a snapshot of what is durable. It waits for its turn.
func (s *Store) View(ctx context.Context, do func(tx *Tx) error) error {
	select {
	case <-s.stop:
		return s.err()
	default:
	}
	var conn *connection
	select {
	case conn = <-s.idle:
	case <-s.stop:
		return s.err()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.idle <- conn }()
	if err := step(conn.Prep("BEGIN")); err != nil {
		return err
	}
	err := do(&Tx{conn: conn, store: s})
	if end := step(conn.Prep("COMMIT")); err == nil {
		err = end
	}
	return err
}

// Failed returns a channel that is closed when the store is of no use any more, and then Err tells why.
func (s *Store) Failed() <-chan struct{} { return s.stop }

// Err returns why the store takes nothing any more.
func (s *Store) Err() error { return s.err() }

func (s *Store) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	return ErrClosed
}

// fail stops the store for good.
func (s *Store) fail(err error) {
	s.mu.Lock()
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	s.mu.Unlock()
	s.log.Error("store: writing failed, nothing is accepted any more", "err", err)
	s.stopped.Do(func() { close(s.stop) })
}

// Close writes what was submitted, waits for views, and closes the file.
func (s *Store) Close() error {
	s.stopped.Do(func() { close(s.stop) })
	s.writer.Wait()
	return s.lock.Unlock()
}

// closeReaders closes n readers, each once it is idle.
func (s *Store) closeReaders(n int) {
	for range n {
		r := <-s.idle
		r.Close()
	}
}
