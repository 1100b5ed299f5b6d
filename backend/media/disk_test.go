package media_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zim-go/zim/backend/media"
)

// N74: a link that somebody planted leads nowhere, neither out of the directory nor within it.
func TestLinks(t *testing.T) {
	s := newSite(t, media.Config{})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := s.put(media.KindFile, "", []byte("own"))
	ownDir := filepath.Join("objects", own.ID[:2], own.ID)
	for _, target := range []string{secret, "../../../" + filepath.Join(ownDir, "original"), s.config.Dir + "/" + ownDir + "/original"} {
		o := s.put(media.KindFile, "", []byte("x"))
		s.plant(filepath.Join("objects", o.ID[:2], o.ID, "original"), target)
		want(t, "status of a download", s.get(o, media.Original).status, 403)

		id, ticket := s.ticket(media.KindFile, "", 6)
		s.post(ticket, 6)
		s.plant(filepath.Join("uploads", id, "original"), target)
		r := s.patch(id, ticket, 0, strings.NewReader("hacked"))
		want(t, "status of a PATCH", r.status, 500)
		want(t, "body", r.body, "ERR_STORAGE: the file could not be stored\n")

		id, ticket = s.ticket(media.KindFile, "", 6)
		s.plant(filepath.Join("uploads", id), filepath.Dir(target))
		want(t, "status of a POST", s.post(ticket, 6).status, 201)
		want(t, "status of a PATCH", s.patch(id, ticket, 0, strings.NewReader("normal")).status, 204)

		o = s.put(media.KindFile, "", []byte("x"))
		s.plant(filepath.Join("objects", o.ID[:2], o.ID), filepath.Dir(target))
		if _, err := s.Object(o.ID); err == nil {
			t.Error("an object is behind a link")
		}
	}
	b, err := os.ReadFile(secret)
	if err != nil || string(b) != "secret" {
		t.Errorf("the secret is %q, %v", b, err)
	}
	want(t, "own", s.get(own, media.Original).body, "own")

	// A server that starts refuses to work behind one.
	for _, dir := range []string{"uploads", "objects", "lock"} {
		config := media.Config{Dir: t.TempDir(), Key: key}
		if err := os.Symlink(filepath.Dir(secret), filepath.Join(config.Dir, dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := media.New(config); err == nil {
			t.Errorf("%s is a link", dir)
		}
	}
}

// plant replaces what is at a path by a link.
func (s *site) plant(path, target string) {
	s.t.Helper()
	path = filepath.Join(s.config.Dir, path)
	if err := os.RemoveAll(path); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		s.t.Fatal(err)
	}
}

func TestQuota(t *testing.T) {
	s := newSite(t, media.Config{Quota: 10})
	upload := media.Upload{App: 1, User: "alice", Kind: media.KindFile, Size: 11}
	if _, _, err := s.Ticket(upload); err != media.ErrQuota {
		t.Errorf("Ticket returns %v", err)
	}
	id, ticket := s.ticket(media.KindFile, "", 6)
	id2, ticket2 := s.ticket(media.KindFile, "", 6)
	want(t, "status", s.post(ticket, 6).status, 201)
	want(t, "status of what does not fit", s.post(ticket2, 6).status, 507)
	if _, err := os.Stat(filepath.Join(s.config.Dir, "uploads", id2)); err == nil {
		t.Error("the upload that does not fit is there")
	}
	upload.Size = 5
	if _, _, err := s.Ticket(upload); err != media.ErrQuota {
		t.Errorf("Ticket returns %v", err)
	}
	upload.User = "bob"
	if _, _, err := s.Ticket(upload); err != nil {
		t.Errorf("Ticket for another user returns %v", err)
	}
	upload.User, upload.App = "alice", 2
	if _, _, err := s.Ticket(upload); err != nil {
		t.Errorf("Ticket for another app returns %v", err)
	}
	want(t, "status", s.do("DELETE", "media/upload/"+id, nil, tus(ticket)...).status, 204)
	s.put(media.KindFile, "", []byte("012345"))
	s.restart()
	want(t, "status of what does not fit", s.post(ticket2, 6).status, 507)
	want(t, "bytes that count", s.Used(1, "alice"), 6)
	s.put(media.KindFile, "", []byte("0123"))

	s = newSite(t, media.Config{Quota: -1})
	for range 3 {
		_, ticket = s.ticket(media.KindFile, "", 1<<40)
		want(t, "status without a quota", s.post(ticket, 1<<40).status, 201)
	}
}

// failing is a disk that has room for so many bytes more, of files with that name.
func (s *site) failing(name string, room int64, err error) {
	s.SetFaults(func(path string, w io.Writer) io.Writer {
		if !strings.HasSuffix(path, name) {
			return w
		}
		return writerFunc(func(p []byte) (int, error) {
			if room -= int64(len(p)); room < 0 {
				n, _ := w.Write(p[:max(int(room)+len(p), 0)])
				return n, err
			}
			return w.Write(p)
		})
	}, nil)
}

// When the disk is full or broken, the client gets to know, and nothing is left.
func TestDiskFails(t *testing.T) {
	content := pngOf(t, picture(1400, 40, 255))
	for _, name := range []string{"original", "large", "thumbnail", "meta.json.new"} {
		for err, status := range map[error]int{syscall.ENOSPC: 507, syscall.EDQUOT: 507, syscall.EIO: 500} {
			s := newSite(t, media.Config{})
			s.failing(name, 100, &os.PathError{Op: "write", Path: "/secret/path", Err: err})
			id, ticket := s.ticket(media.KindImage, strings.Repeat("n", 150), len(content))
			r := s.post(ticket, len(content))
			if name != "meta.json.new" {
				want(t, "status of POST", r.status, 201)
				r = s.patch(id, ticket, 0, bytes.NewReader(content))
			}
			want(t, "status if "+name+" fails", r.status, status)
			want(t, "path in the answer", strings.Contains(r.body, "path"), false)
			s.gone(id)
			// There is room again.
			s.SetFaults(nil, nil)
			want(t, "status of POST", s.post(ticket, len(content)).status, 201)
			want(t, "status of PATCH", s.patch(id, ticket, 0, bytes.NewReader(content)).status, 204)
			s.object(id)
			s.stop()
			s.start()
			s.object(id)
		}
	}
}

// What can't be synced is not there. Each sync fails once.
func TestSyncFails(t *testing.T) {
	content := pngOf(t, picture(1400, 40, 255))
	for n := int32(1); ; n++ {
		s := newSite(t, media.Config{})
		id, ticket := s.ticket(media.KindImage, "", len(content))
		s.post(ticket, len(content))
		var calls atomic.Int32
		s.SetFaults(nil, func(name string) error {
			// Nobody may see what is not yet on disk.
			if _, err := s.Object(id); err != media.ErrNotFound {
				t.Errorf("sync %d of %s: Object returns %v", calls.Load()+1, name, err)
			}
			if calls.Add(1) == n {
				return syscall.EIO
			}
			return nil
		})
		status := s.patch(id, ticket, 0, bytes.NewReader(content)).status
		if calls.Load() < n {
			want(t, "status", status, 204)
			if n < 8 {
				t.Errorf("there are only %d syncs", n-1)
			}
			return
		}
		want(t, "status", status, 500)
		s.gone(id)
	}
}

func TestSweep(t *testing.T) {
	s := newSite(t, media.Config{TicketLifetime: time.Hour, Retention: 10 * time.Hour})
	o := s.put(media.KindImage, "", pngOf(t, picture(2000, 100, 255)))
	id, ticket := s.ticket(media.KindFile, "", 100)
	s.post(ticket, 100)
	s.patch(id, ticket, 0, strings.NewReader("part"))
	now := time.Now()
	sweep := func(now time.Time) {
		t.Helper()
		if err := s.Sweep(now); err != nil {
			t.Error(err)
		}
	}
	sweep(now.Add(59 * time.Minute))
	want(t, "offset", s.offset(id, ticket), 4)
	sweep(now.Add(61 * time.Minute))
	want(t, "status", s.do("HEAD", "media/upload/"+id, nil, tus(ticket)...).status, 404)
	want(t, "bytes that count", s.Used(1, "alice"), o.Size)
	sweep(now.Add(9 * time.Hour))
	want(t, "status", s.get(o, media.Thumbnail).status, 200)
	sweep(now.Add(11 * time.Hour))
	want(t, "status", s.get(o, media.Thumbnail).status, 403)
	s.gone(o.ID)
	s.gone(id)
	want(t, "files", len(s.files()), 0)
	sweep(now.Add(12 * time.Hour))
}

// An upload that has a request is not swept away from under it.
func TestSweepBusy(t *testing.T) {
	s := newSite(t, media.Config{})
	arrived := s.arrivals()
	id, ticket := s.ticket(media.KindFile, "", 6)
	s.post(ticket, 6)
	body, feed := io.Pipe()
	status := make(chan int)
	go func() {
		r, err := s.try("PATCH", "media/upload/"+id, body, patchHeaders(ticket, 0)...)
		if err != nil {
			t.Error(err)
		}
		status <- r.status
	}()
	io.WriteString(feed, "abc")
	<-arrived
	if err := s.Sweep(time.Now().Add(1000 * time.Hour)); err != nil {
		t.Error(err)
	}
	go func() { <-arrived }()
	io.WriteString(feed, "def")
	feed.Close()
	want(t, "status", <-status, 204)
	s.object(id)
}

// What a crash leaves is removed, or used.
func TestAfterCrash(t *testing.T) {
	s := newSite(t, media.Config{})
	good := s.put(media.KindFile, "good", []byte("good"))
	content := pngOf(t, picture(400, 200, 255))
	done, ticket := s.ticket(media.KindImage, "", len(content))
	s.post(ticket, len(content))
	s.patch(done, ticket, 0, bytes.NewReader(content[:10]))
	s.stop()
	write := func(path, content string) {
		t.Helper()
		path = filepath.Join(s.config.Dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	id := func(c string) string { return strings.Repeat(c, 32) }
	write("uploads/"+done+"/original", string(content)) // all is there, but nobody finished it
	write("uploads/"+done+"/thumbnail", "part of")
	write("uploads/"+done+"/meta.json.new", "{")
	write("uploads/"+id("1")+"/original", "x")
	write("uploads/"+id("2")+"/meta.json", "")
	write("uploads/"+id("3")+"/meta.json", `{"Object":{"ID":"`+id("3")+`"}}`)
	write("uploads/"+id("4")+"/meta.json", `{"Object":{"ID":"`+id("3")+`"}}`)
	write("objects/55/"+id("5")+"/original", "x")
	write("objects/66/"+id("6")+"/meta.json", "broken")
	write("uploads/somebody's", "x")
	write("objects/44/"+id("5")+"/original", "not where it belongs")
	s.start()
	for _, c := range []string{"1", "2", "3", "4", "5"} {
		for _, f := range s.files() {
			if strings.Contains(f, id(c)) && !strings.HasPrefix(f, "objects/44/") {
				t.Errorf("%s is there", f)
			}
		}
	}
	want(t, "bytes that count", s.Used(1, "alice"), good.Size+int64(len(content)))
	if _, err := s.Object(id("6")); err == nil || errors.Is(err, media.ErrNotFound) {
		t.Errorf("Object returns %v for what is broken", err)
	}
	if _, err := s.Object(done); err != media.ErrNotFound {
		t.Errorf("Object returns %v for what is not finished", err)
	}
	want(t, "offset", s.offset(done, ticket), len(content))
	want(t, "thumbnail", s.object(done).Thumbnail, media.Image{Width: 320, Height: 160})
	want(t, "content", s.get(good, media.Original).body, "good")
}

func TestNew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for _, bad := range []media.Config{{}, {Dir: dir}, {Dir: dir, Key: key[:31]}, {Key: key}, {Dir: "/dev/null/x", Key: key}} {
		if _, err := media.New(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	s, err := media.New(media.Config{Dir: dir, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "mode", info.Mode().Perm(), 0o700)
	if _, err := media.New(media.Config{Dir: dir, Key: key}); err == nil {
		t.Error("two servers have the same directory")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
