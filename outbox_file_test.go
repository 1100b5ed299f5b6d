package zim_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// leftBehind returns the outbox of a run that crashed, and the paths of its files.
func leftBehind(t *testing.T, texts ...string) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	ft := faketransport.New(t)
	a := newRun(t, ft, dir)
	a.login(t)
	ignoring(ft)
	a.durable(t, zim.Peer("bob"), texts...)
	a.Destroy()
	return dir, outboxFiles(t, dir)
}

// A file that is cut short, longer, or changed anywhere is neither sent nor lost: it is set aside, and an event tells. The others are sent.
func TestDamagedFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, files := leftBehind(t, "before", "damaged", "after")
		path := files[1]
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var damages [][]byte
		for n := range len(whole) {
			damages = append(damages, whole[:n])
			changed := bytes.Clone(whole)
			changed[n] ^= 1 << (n % 8)
			damages = append(damages, changed)
		}
		damages = append(damages, append(bytes.Clone(whole), 0), make([]byte, len(whole)), bytes.Repeat(whole, 4000))
		for i, damaged := range damages {
			left := filepath.Join(t.TempDir(), "outbox")
			if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(left, strings.TrimPrefix(path, dir))
			if err := os.WriteFile(file, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			ft := faketransport.New(t)
			b := newRun(t, ft, left)
			b.login(t)
			b.Destroy()
			same(t, fmt.Sprintf("damage %d", i), arrived(ft), []string{"before", "after"})
			aside, err := os.ReadFile(file + ".damaged")
			if err != nil || !bytes.Equal(aside, damaged) {
				t.Fatalf("damage %d: it was not set aside: %v", i, err)
			}
			if len(b.errs()) != 1 || b.errs()[0].Code != zim.ErrDatabaseSeleteDatabaseError || !strings.Contains(b.errs()[0].Error(), file+".damaged") {
				t.Fatalf("damage %d: got the errors %v", i, b.errs())
			}
			same(t, "files", outboxFiles(t, left), nil)
		}
	})
}

// What a crash leaves of a file that was being written is removed, and files of others stay as they are.
func TestHalfWrittenFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, files := leftBehind(t, "1")
		half := strings.Replace(files[0], "01-", "02-", 1) + ".tmp"
		foreign := filepath.Join(filepath.Dir(files[0]), "readme.txt")
		for _, path := range []string{half, foreign} {
			if err := os.WriteFile(path, []byte("ZIMOUT"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ft := faketransport.New(t)
		b := newRun(t, ft, dir)
		b.login(t)
		same(t, "told", b.told(), []string{"Success 1"})
		if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the half-written file: got %v, want that it is gone", err)
		}
		if _, err := os.Stat(foreign); err != nil || len(b.errs()) > 0 {
			t.Errorf("the foreign file: %v, errors: %v", err, b.errs())
		}
		for _, path := range []string{dir, filepath.Dir(files[0])} {
			if info, err := os.Stat(path); err != nil || path != dir && info.Mode().Perm() != 0o700 {
				t.Errorf("%s: got %v, %v, want a directory for this user alone", path, info.Mode(), err)
			}
		}
	})
}

// One ZIM at a time has the durable messages of a user.
func TestOneZIMHasTheOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft, dir := faketransport.New(t), t.TempDir()
		a, b := newRun(t, ft, dir), newRun(t, ft, dir)
		a.login(t)
		ignoring(ft)
		a.durable(t, zim.Peer("bob"), "1")
		err := b.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"})
		if !errors.Is(err, zim.ErrDatabaseOpenDatabaseError) || !strings.Contains(err.Error(), "another process, ZIM or Service uses the directory") {
			t.Errorf("while another ZIM has it: got %v", err)
		}
		synctest.Wait()
		if got := len(ft.Sends()); got != 1 {
			t.Errorf("got %d sends, want 1", got)
		}
		if err := b.Login(t.Context(), "Alice", &zim.LoginConfig{Token: "04"}); err != nil {
			t.Errorf("another user: %v", err)
		}
		b.Logout(t.Context(), nil)
		a.Logout(t.Context(), nil)
		ft.OnRequest(nil)
		b.login(t)
		same(t, "told", b.told(), []string{"Success 1"})
	})
}

// A handler that hears of the end of a session logs in again at once, with what is in the outbox.
func TestLoginFromTheHandler(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, _ string, a *run) {
		ignoring(ft)
		a.durable(t, zim.Peer("bob"), "1", "2")
		zim.On(a.ZIM, func(ctx context.Context, e *zim.ConnectionStateChanged) {
			if e.State == zim.ConnectionStateDisconnected {
				ft.OnRequest(nil)
				if err := a.Login(ctx, "alice", &zim.LoginConfig{Token: "04"}); err != nil {
					t.Error(err)
				}
			}
		})
		ft.PushRaw(&wire.Push{SessionEnd: &wire.SessionEnd{Reason: wire.SessionEndReason_SESSION_END_REASON_KICKED_OUT}})
		synctest.Wait()
		same(t, "told", a.told(), []string{"Success 1", "Success 2"})
	})
}

// An outbox that can't be used refuses the login or, later, the message, and keeps nothing of it.
func TestUnusableOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft, dir := faketransport.New(t), t.TempDir()
		file := filepath.Join(dir, "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		a := newRun(t, ft, file)
		if err := a.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); !errors.Is(err, zim.ErrDatabaseOpenDatabaseError) || errors.Unwrap(err) == nil {
			t.Errorf("a file for a directory: got %v", err)
		}
		b := newRun(t, ft, dir)
		b.login(t)
		ignoring(ft)
		b.durable(t, zim.Peer("bob"), "1")
		user := filepath.Dir(outboxFiles(t, dir)[0])
		if err := errors.Join(os.Rename(user, user+"-moved"), os.WriteFile(user, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sends := len(ft.Sends())
		attached := false
		m, err := b.SendMessage(t.Context(), &zim.TextMessage{Message: "2"}, zim.Peer("carol"), &zim.MessageSendConfig{
			Durable: true, Notification: zim.MessageSendNotification{OnMessageAttached: func(*zim.Message) { attached = true }},
		})
		if m != nil || attached || !errors.Is(err, zim.ErrDatabaseModifyDatabaseError) || errors.Unwrap(err) == nil {
			t.Errorf("no directory: got %+v, %v", m, err)
		}
		if err := errors.Join(os.Remove(user), os.Rename(user+"-moved", user)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(ft.Sends()); n != sends {
			t.Errorf("it was sent nevertheless")
		}
		if entries, err := os.ReadDir(user); err != nil || len(entries) != 2 {
			t.Errorf("got %v, %v, want the lock and the first message", entries, err)
		}
		b.durable(t, zim.Peer("carol"), "3") // and all is well again
	})
}

// A full outbox refuses a message at once, and takes one again when there is room.
func TestFullOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, files := leftBehind(t, "0")
		template, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		// 8 MB but for 2 KB. A small file counts as 1 KB.
		user := filepath.Dir(files[0])
		for i := range 81 {
			writeMessage(t, user, i+10, template, 100<<10)
		}
		writeMessage(t, user, 99, template, 89<<10)
		ft := faketransport.New(t)
		b := newRun(t, ft, dir)
		ft.OnRequest(func(*faketransport.Conn, *wire.Request) *wire.Response { return nil })
		b.login(t)
		b.durable(t, zim.Peer("carol"), "1", "2")
		start := time.Now()
		m, err := b.SendMessage(t.Context(), &zim.TextMessage{Message: "3"}, zim.Peer("carol"), &zim.MessageSendConfig{Durable: true})
		if m != nil || !errors.Is(err, zim.ErrDatabaseModifyDatabaseError) || !strings.Contains(err.Error(), "full") || time.Since(start) > 0 {
			t.Errorf("got %v, %v", m, err)
		}
		if n := len(outboxFiles(t, dir)); n != 85 {
			t.Errorf("got %d files, want 85", n)
		}
		ft.OnRequest(nil)
		ft.Drop()
		time.Sleep(time.Minute)
		synctest.Wait()
		b.durable(t, zim.Peer("carol"), "4")
		synctest.Wait()
		if n, left := len(b.told()), outboxFiles(t, dir); n != 86 || len(left) > 0 {
			t.Errorf("told of %d messages, %d files are left", n, len(left))
		}
	})
}

// writeMessage writes a copy of a durable message, as another one with that number, in a file of that size or, if it is zero, no larger one
// than it must be.
func writeMessage(t *testing.T, dir string, number int, template []byte, size int) {
	t.Helper()
	const header = 24
	var send wire.SendMessageRequest
	if err := proto.Unmarshal(template[header:], &send); err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(send.LocalMessageId, uint32(number))
	if size > 0 {
		send.ExtendedData = strings.Repeat("x", size-len(template)-4) // its tag and its length have 4 bytes
	}
	body, err := proto.Marshal(&send)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%020d-%x.message", number, send.LocalMessageId))
	if err := os.WriteFile(path, sealed(append(bytes.Clone(template[:header]), body...)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sealed gives a file the length and the checksum that it must have.
func sealed(data []byte) []byte {
	if len(data) < 24 {
		return data
	}
	data = bytes.Clone(data)
	binary.BigEndian.PutUint32(data[16:], uint32(len(data)-24))
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.BigEndian.PutUint32(data[20:], crc32.Update(crc32.Checksum(data[:20], table), table, data[24:]))
	return data
}

// firstFormat returns the name and the content of a file of the first version that had durable messages.
func firstFormat(t testing.TB) (name string, data []byte) {
	t.Helper()
	files, err := filepath.Glob("testdata/outbox/*.message")
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v, want one file", files, err)
	}
	data, err = os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(files[0]), data
}

// Files of earlier versions are sent.
func TestFirstFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name, data := firstFormat(t)
		dir := t.TempDir()
		user := filepath.Join(dir, "1-616c696365")
		if err := errors.Join(os.Mkdir(user, 0o700), os.WriteFile(filepath.Join(user, name), data, 0o600)); err != nil {
			t.Fatal(err)
		}
		ft := faketransport.New(t)
		b := newRun(t, ft, dir)
		b.login(t)
		same(t, "told", b.told(), []string{"Success from the first version"})
	})
}

// Whatever is in a file, it is either sent or set aside as it is, and the message behind it is sent.
func FuzzOutboxFile(f *testing.F) {
	name, template := firstFormat(f)
	for n := 0; n <= len(template); n += 8 {
		f.Add(template[:n], false)
		f.Add(template[:n], true)
	}
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = sealed(data)
		}
		dir := t.TempDir()
		user := filepath.Join(dir, "1-"+fmt.Sprintf("%x", "alice"))
		if err := os.MkdirAll(user, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(user, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		writeMessage(t, user, 2, template, 0)
		synctest.Test(t, func(t *testing.T) {
			ft := faketransport.New(t)
			b := newRun(t, ft, dir)
			b.login(t)
			sends := ft.Sends()
			if len(sends) == 0 || sends[len(sends)-1].ConversationId != "bob" {
				t.Fatalf("got %v, want the second message last", sends)
			}
			aside, err := os.ReadFile(path + ".damaged")
			switch {
			case len(sends) == 1 && (err != nil || !bytes.Equal(aside, data) || len(b.errs()) != 1):
				t.Fatalf("it was neither sent nor set aside: %v, errors: %v", err, b.errs())
			case len(sends) == 2 && err == nil || len(sends) > 2:
				t.Fatalf("got %d sends, and it was set aside: %v", len(sends), err)
			case len(sends) == 2 && (len(b.told()) != 2 || len(outboxFiles(t, dir)) > 0):
				t.Fatalf("got 2 sends, told %q", b.told())
			}
		})
	})
}

// A file that goes while the directory is read is that of a message whose handler has returned just now, in the ZIM that had the directory
// before. A link to nothing is listed and can't be opened, like such a file.
func TestFileGoesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, files := leftBehind(t, "1")
		link := filepath.Join(filepath.Dir(files[0]), fmt.Sprintf("%020d-%032x.message", 2, 2))
		if err := os.Symlink("nothing", link); err != nil {
			t.Fatal(err)
		}
		b := newRun(t, faketransport.New(t), dir)
		b.login(t)
		same(t, "told", b.told(), []string{"Success 1"})
	})
}
