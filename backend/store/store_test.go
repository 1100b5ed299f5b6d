package store_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/zim-go/zim/backend/store"
)

const app = 1

// open opens a store that is closed with the test.
func open(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path, store.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "zim.db") }

// update runs do in a transaction that must succeed.
func update(t *testing.T, s *store.Store, do func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Update(do); err != nil {
		t.Fatal(err)
	}
}

// view runs do on a snapshot.
func view(t testing.TB, s *store.Store, do func(tx *store.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

// send does what a backend does for a message: it stores it under the client ID n and adds it to the receiver's feed.
func send(tx *store.Tx, from, to string, n int, text string) (m *store.Message, again, same bool, err error) {
	sender, err := tx.Register(app, from, "")
	if err != nil {
		return nil, false, false, err
	}
	receiver, err := tx.Register(app, to, "")
	if err != nil {
		return nil, false, false, err
	}
	c, err := tx.PeerConversation(sender, receiver)
	if err != nil {
		return nil, false, false, err
	}
	m = textMessage(sender, n, text)
	if again, same, err = tx.AppendMessage(c, m); again || err != nil {
		return m, again, same, err
	}
	_, err = tx.AppendEvent(receiver, store.EventMessage, m.Place, m.Time, nil)
	return m, false, false, err
}

// textMessage returns a message with the client ID n that is not stored yet.
func textMessage(sender *store.User, n int, text string) *store.Message {
	return &store.Message{
		Sender:   sender,
		ClientID: binary.BigEndian.AppendUint64(make([]byte, 8), uint64(n)),
		Hash:     []byte(text),
		Type:     1,
		Priority: 1,
		Content:  []byte(text),
		Flags:    store.FlagCounts,
	}
}

// events returns the first events of a user's feed.
func events(t *testing.T, s *store.Store, userID string, after uint32) (list []store.Event) {
	t.Helper()
	view(t, s, func(tx *store.Tx) error {
		u, err := tx.User(app, userID)
		if u != nil {
			list, err = tx.Events(u, after, 100_000, 1<<30)
		}
		return err
	})
	return list
}

// wantGapless reports holes in the numbers of a user's feed, and of the messages in it, which come from one conversation.
func wantGapless(t *testing.T, list []store.Event, want int) {
	t.Helper()
	if len(list) != want {
		t.Errorf("got %d events, want %d", len(list), want)
	}
	var id int64
	for i, e := range list {
		if int(e.Seq) != i+1 || int(e.Message.Seq()) != i+1 {
			t.Fatalf("event %d has the number %d and message %d, want both %d", i, e.Seq, e.Message.Seq(), i+1)
		}
		if e.Message.ID <= id {
			t.Fatalf("message %d has the ID %d, want one above %d", i+1, e.Message.ID, id)
		}
		id = e.Message.ID
	}
}

func TestReopen(t *testing.T) {
	path := file(t)
	s := open(t, path)
	epoch := s.Epoch()
	if epoch == 0 {
		t.Error("the epoch is zero")
	}
	for n := range 3 {
		update(t, s, func(tx *store.Tx) error {
			_, _, _, err := send(tx, "alice", "bob", n, "hello")
			return err
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if got := s.Epoch(); got != epoch {
		t.Errorf("got epoch %d, want %d", got, epoch)
	}
	update(t, s, func(tx *store.Tx) error {
		m, again, same, err := send(tx, "alice", "bob", 0, "hello")
		if err != nil || !again || !same || m.Seq() != 1 {
			t.Errorf("the first message again: got %d, %v, %v, want 1, true, true", m.Seq(), again, same)
		}
		if m, _, _, err = send(tx, "alice", "bob", 3, "hello"); m.Seq() != 4 {
			t.Errorf("got number %d, want 4", m.Seq())
		}
		return err
	})
	wantGapless(t, events(t, s, "bob", 0), 4)
	if other := open(t, file(t)); other.Epoch() == epoch {
		t.Error("two files have the same epoch")
	}
}

// After Close, everything is in the one file: whoever copies it has all.
func TestCloseLeavesOneFile(t *testing.T) {
	path := file(t)
	s := open(t, path)
	update(t, s, func(tx *store.Tx) error {
		_, _, _, err := send(tx, "alice", "bob", 0, "hello")
		return err
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	list, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		// The lock file stays: whoever removes one may remove another's.
		if f.Name() != filepath.Base(path) && f.Name() != filepath.Base(path)+".lock" {
			t.Errorf("Close left %s", f.Name())
		}
	}
}

// What the store remembers of its file would be wrong if somebody else wrote to it.
func TestOneAtATime(t *testing.T) {
	path := file(t)
	s := open(t, path)
	if second, err := store.Open(path, store.Options{}); err == nil {
		second.Close()
		t.Fatal("the file was opened twice")
	} else if !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

// A file has one lock, by whatever name it is opened.
func TestOneAtATimeByAnotherName(t *testing.T) {
	path := file(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	open(t, path)
	if s, err := store.Open(link, store.Options{Relaxed: true}); err == nil {
		s.Close()
		t.Error("a file that is open was opened by the name of a link")
	}
}

func TestDefaultWaitsForTheDisk(t *testing.T) {
	for name, test := range map[string]struct {
		opts store.Options
		want int64
	}{
		"default": {store.Options{}, 2}, // FULL
		"relaxed": {store.Options{Relaxed: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Open(file(t), test.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			update(t, s, func(tx *store.Tx) error {
				got, err := tx.Int("PRAGMA synchronous")
				if got != test.want {
					t.Errorf("got synchronous=%d, want %d", got, test.want)
				}
				return err
			})
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	// execute runs SQL on a file as another program would.
	execute := func(t *testing.T, path, sql string) {
		t.Helper()
		conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := sqlitex.ExecuteScript(conn, sql, nil); err != nil {
			t.Fatal(err)
		}
	}
	overwrite := func(t *testing.T, path string, offset, size int) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range size {
			data[offset+i] = 0xA5
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		prepare func(t *testing.T, path string)
		want    string
	}{
		"newer schema": {func(t *testing.T, path string) {
			execute(t, path, "PRAGMA user_version = 1000")
		}, "version 1000"},
		"schema of no version": {func(t *testing.T, path string) {
			execute(t, path, "PRAGMA user_version = -1")
		}, "version -1"},
		"page overwritten":   {func(t *testing.T, path string) { overwrite(t, path, 3*4096, 2048) }, "zim.db"},
		"header overwritten": {func(t *testing.T, path string) { overwrite(t, path, 0, 100) }, "zim.db"},
		"cut short": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 4096*2+100); err != nil {
				t.Fatal(err)
			}
		}, "zim.db"},
		"no database": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("no database. ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "zim.db"},
		"another program's": {func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			execute(t, path, "CREATE TABLE bookmarks (url TEXT)")
		}, "another program"},
		"directory for all": {func(t *testing.T, path string) {
			if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
		}, "everybody may write"},
		"no directory": {func(t *testing.T, path string) {
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			s := open(t, path)
			update(t, s, func(tx *store.Tx) error {
				_, _, _, err := send(tx, "alice", "bob", 0, "hello")
				return err
			})
			s.Close()
			test.prepare(t, path)
			before, _ := os.ReadFile(path)
			s, err := store.Open(path, store.Options{Relaxed: true})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want something about %q", err, test.want)
			}
			after, _ := os.ReadFile(path)
			// SQLite notes in the first page that the file was opened in WAL mode.
			if len(after) != len(before) || len(after) > 4096 && string(after[4096:]) != string(before[4096:]) {
				t.Error("the file was changed")
			}
		})
	}
}

// N98: nobody else can read what users wrote.
func TestFileIsPrivate(t *testing.T) {
	for name, prepare := range map[string]func(path string) error{
		"new":              func(string) error { return nil },
		"readable for all": func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"open to all": func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Chmod(path, 0o777)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			s := open(t, path)
			update(t, s, func(tx *store.Tx) error {
				_, err := tx.Register(app, "alice", "")
				return err
			})
			list, err := filepath.Glob(path + "*")
			if err != nil || len(list) < 2 {
				t.Fatalf("got the files %v, %v", list, err)
			}
			for _, f := range list {
				info, err := os.Stat(f)
				if err != nil {
					t.Fatal(err)
				}
				if got := info.Mode().Perm(); got != 0o600 {
					t.Errorf("%s has mode %v, want %v", filepath.Base(f), got, os.FileMode(0o600))
				}
			}
		})
	}
}

func TestClosed(t *testing.T) {
	s := open(t, file(t))
	s.Close()
	never := func(*store.Tx) error {
		t.Error("it ran")
		return nil
	}
	if err := s.Update(never); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update: got %v, want %v", err, store.ErrClosed)
	}
	for range 20 {
		if err := s.View(t.Context(), never); !errors.Is(err, store.ErrClosed) {
			t.Errorf("View: got %v, want %v", err, store.ErrClosed)
		}
	}
	if err := s.Prune(0); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Prune: got %v, want %v", err, store.ErrClosed)
	}
	select {
	case <-s.Failed():
	default:
		t.Error("Failed is not closed")
	}
}

// A file belongs to one store at a time: what a store remembers of it would be wrong.
func TestOpenTwice(t *testing.T) {
	path := file(t)
	s := open(t, path)
	if second, err := store.Open(path, store.Options{}); err == nil {
		second.Close()
		t.Error("it was opened twice")
	}
	update(t, s, func(tx *store.Tx) error {
		_, err := tx.Register(app, "alice", "")
		return err
	})
	s.Close()
	open(t, path)
}
