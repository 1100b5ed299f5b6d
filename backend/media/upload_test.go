package media_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zim-go/zim/backend/media"
)

func TestUploadAndDownload(t *testing.T) {
	s := newSite(t, media.Config{})
	content := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	id, ticket := s.ticket(media.KindFile, "report.bin", len(content))
	if _, err := s.Object(id); err != media.ErrNotFound {
		t.Errorf("before: %v", err)
	}
	r := s.post(ticket, len(content))
	want(t, "status", r.status, 201)
	want(t, "Location", r.header.Get("Location"), "upload/"+id)
	if _, err := s.Object(id); err != media.ErrNotFound {
		t.Errorf("unfinished: %v", err)
	}
	want(t, "status", s.patch(id, ticket, 0, bytes.NewReader(content[:1000])).status, 204)
	want(t, "offset", s.offset(id, ticket), 1000)
	r = s.patch(id, ticket, 1000, bytes.NewReader(content[1000:]))
	want(t, "status", r.status, 204)
	want(t, "Upload-Offset", r.header.Get("Upload-Offset"), fmt.Sprint(len(content)))
	o := s.object(id)
	if o.Created.IsZero() {
		t.Error("Created is zero")
	}
	o.Created = time.Time{}
	want(t, "object", *o, media.Object{ID: id, App: 1, User: "alice", Kind: media.KindFile, Name: "report.bin", Size: int64(len(content))})
	for _, v := range []media.Variant{media.Original, media.LargeImage, media.Thumbnail} {
		r = s.get(o, v)
		want(t, "status", r.status, 200)
		if r.body != string(content) {
			t.Errorf("variant %d has another content", v)
		}
	}
	want(t, "Content-Disposition", r.header.Get("Content-Disposition"), `attachment; filename="report.bin"`)
	// Who lost the last answer finds out.
	want(t, "offset", s.offset(id, ticket), len(content))
	want(t, "status of DELETE", s.do("DELETE", "media/upload/"+id, nil, tus(ticket)...).status, 409)
	s.object(id)
}

func TestCreationWithUpload(t *testing.T) {
	s := newSite(t, media.Config{})
	id, ticket := s.ticket(media.KindFile, "", 5)
	r := s.do("POST", "media/upload", strings.NewReader("hello"), tus(ticket, "Upload-Length", "5", "Content-Type", "application/offset+octet-stream")...)
	want(t, "status", r.status, 201)
	want(t, "Upload-Offset", r.header.Get("Upload-Offset"), "5")
	want(t, "content", s.get(s.object(id), media.Original).body, "hello")
}

func TestEmptyFile(t *testing.T) {
	s := newSite(t, media.Config{})
	o := s.put(media.KindImage, "empty", nil)
	want(t, "content", s.get(o, media.Original).body, "")
}

// A client that missed the answer to its POST sends it again.
func TestPostAgain(t *testing.T) {
	s := newSite(t, media.Config{})
	id, ticket := s.ticket(media.KindFile, "", 5)
	s.post(ticket, 5)
	s.patch(id, ticket, 0, strings.NewReader("he"))
	for _, part := range []string{"", "hello"} {
		r := s.do("POST", "media/upload", strings.NewReader(part), tus(ticket, "Upload-Length", "5", "Content-Type", "application/offset+octet-stream")...)
		want(t, "status", r.status, 201)
		want(t, "Location", r.header.Get("Location"), "upload/"+id)
		want(t, "Upload-Offset", r.header.Get("Upload-Offset"), "2")
	}
	want(t, "status", s.patch(id, ticket, 2, strings.NewReader("llo")).status, 204)
	r := s.post(ticket, 5)
	want(t, "status", r.status, 201)
	want(t, "Upload-Offset", r.header.Get("Upload-Offset"), "5")
	want(t, "content", s.get(s.object(id), media.Original).body, "hello")
	want(t, "bytes that count", s.Used(1, "alice"), 5)
}

func TestPostRefused(t *testing.T) {
	s := newSite(t, media.Config{})
	id, ticket := s.ticket(media.KindFile, "", 5)
	for _, headers := range [][]string{
		{"Upload-Length", "6"},
		{"Upload-Length", "4"},
		{"Upload-Length", "-1"},
		{"Upload-Length", "+5"},
		{"Upload-Length", "99999999999999999999"},
		{},
		{"Upload-Defer-Length", "1"},
		{"Upload-Defer-Length", "1", "Upload-Length", "5"},
	} {
		want(t, fmt.Sprint("status for ", headers), s.do("POST", "media/upload", nil, tus(ticket, headers...)...).status, 400)
	}
	r := s.do("POST", "media/upload", nil, "Authorization", "Bearer "+ticket, "Upload-Length", "5")
	want(t, "status without a version", r.status, 412)
	want(t, "status of a method", s.do("PUT", "media/upload", nil, tus(ticket)...).status, 405)
	want(t, "status of a download", s.do("GET", "media/upload/"+id, nil, tus(ticket)...).status, 405)
	want(t, "status of what is not there", s.do("HEAD", "media/upload/"+id, nil, tus(ticket)...).status, 404)
	want(t, "status elsewhere", s.do("GET", "other", nil).status, 404)
	s.gone(id)
	r = s.do("POST", "media/upload", nil, tus(ticket, "Upload-Length", "5", "X-HTTP-Method-Override", "DELETE", "Upload-Concat", "partial")...)
	want(t, "status of what is ignored", r.status, 201)
	want(t, "status of DELETE", s.do("DELETE", "media/upload/"+id, nil, tus(ticket)...).status, 204)
	s.gone(id)
}

// cut sends part of a PATCH and then breaks the connection.
func (s *site) cut(id, ticket string, offset, length int, part []byte) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PATCH /v1/media/upload/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", id, length)
	headers := patchHeaders(ticket, offset)
	for i := 0; i < len(headers); i += 2 {
		fmt.Fprintf(conn, "%s: %s\r\n", headers[i], headers[i+1])
	}
	fmt.Fprintf(conn, "\r\n%s", part)
	// Half of the connection: the server reads all that was sent, and answers.
	conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, conn)
}

func TestResume(t *testing.T) {
	s := newSite(t, media.Config{})
	content := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
	id, ticket := s.ticket(media.KindFile, "", len(content))
	s.post(ticket, len(content))
	at := 0
	for i, k := range []int{1, 70_000, 0, 300_000} {
		s.cut(id, ticket, at, len(content)-at, content[at:at+k])
		at += k
		want(t, "offset", s.offset(id, ticket), at)
		if i == 1 {
			s.restart()
			want(t, "offset after a restart", s.offset(id, ticket), at)
		}
	}
	// What overlaps, or leaves a hole, changes nothing.
	for _, wrong := range []int{0, at - 1, at + 1, len(content)} {
		want(t, "status", s.patch(id, ticket, wrong, strings.NewReader("x")).status, 409)
	}
	want(t, "status", s.patch(id, ticket, -1, strings.NewReader("x")).status, 400)
	want(t, "status", s.patch(id, ticket, at, bytes.NewReader(content[at:])).status, 204)
	if s.get(s.object(id), media.Original).body != string(content) {
		t.Error("the content is another one")
	}
	want(t, "bytes that count", s.Used(1, "alice"), int64(len(content)))
	s.restart()
	want(t, "bytes that count after a restart", s.Used(1, "alice"), int64(len(content)))
	s.object(id)
}

// A connection that is dead without the server's knowledge does not keep its client from going on.
func TestInterrupt(t *testing.T) {
	s := newSite(t, media.Config{})
	arrived := s.arrivals()
	id, ticket := s.ticket(media.KindFile, "", 6)
	s.post(ticket, 6)
	body, feed := io.Pipe()
	defer feed.Close()
	first := make(chan int)
	go func() {
		r, err := s.try("PATCH", "media/upload/"+id, body, patchHeaders(ticket, 0)...)
		if err != nil {
			t.Error(err)
		}
		first <- r.status
	}()
	io.WriteString(feed, "abc")
	want(t, "bytes that arrived", <-arrived, 3)
	want(t, "offset", s.offset(id, ticket), 3)
	want(t, "status of the first", <-first, 409)
	go func() { <-arrived }()
	want(t, "status", s.patch(id, ticket, 3, strings.NewReader("def")).status, 204)
	want(t, "content", s.get(s.object(id), media.Original).body, "abcdef")
}

// Close does not wait for those who send or read slowly.
func TestCloseInterrupts(t *testing.T) {
	s := newSite(t, media.Config{})
	large := s.put(media.KindFile, "", make([]byte, 32<<20))
	arrived := s.arrivals()
	id, ticket := s.ticket(media.KindFile, "", 6)
	s.post(ticket, 6)
	body, feed := io.Pipe()
	defer feed.Close()
	first := make(chan int)
	go func() {
		r, err := s.try("PATCH", "media/upload/"+id, body, patchHeaders(ticket, 0)...)
		if err != nil {
			t.Error(err)
		}
		first <- r.status
	}()
	io.WriteString(feed, "abc")
	<-arrived
	r, err := s.http.Client().Get(s.http.URL + "/" + s.URL(large.ID, media.Original, "", 1, "bob"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	want(t, "status", <-first, 503)
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		t.Error("the download went on")
	}
	want(t, "status of a POST", s.post(ticket, 6).status, 503)
	want(t, "status of a download", s.get(large, media.Original).status, 503)
	if _, _, err := s.Ticket(media.Upload{User: "alice", Kind: media.KindFile}); err != media.ErrClosed {
		t.Errorf("Ticket returns %v", err)
	}
	if err := s.Sweep(time.Now()); err != media.ErrClosed {
		t.Errorf("Sweep returns %v", err)
	}
	if _, err := s.Object(large.ID); err == nil {
		t.Error("Object returns nil")
	}
	s.restart()
	want(t, "offset", s.offset(id, ticket), 3)
	s.object(large.ID)
}

// endless is a body that says nothing of its size.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestTooMuch(t *testing.T) {
	s := newSite(t, media.Config{})
	id, ticket := s.ticket(media.KindFile, "", 1024)
	headers := tus(ticket, "Upload-Length", "1024", "Content-Type", "application/offset+octet-stream")

	s.post(ticket, 1024)
	r, err := s.try("PATCH", "media/upload/"+id, bytes.NewReader(make([]byte, 1<<20)), patchHeaders(ticket, 0)...)
	if err == nil {
		want(t, "status of PATCH", r.status, 413)
	}
	s.gone(id)

	s.post(ticket, 1024)
	// Chunked, and it never ends.
	r, err = s.try("PATCH", "media/upload/"+id, &endless{}, patchHeaders(ticket, 0)...)
	if err == nil {
		want(t, "status of PATCH", r.status, 413)
	}
	s.gone(id)

	r, err = s.try("POST", "media/upload", &endless{}, headers...)
	if err == nil {
		want(t, "status of POST", r.status, 413)
	}
	s.gone(id)

	// One byte is enough.
	s.post(ticket, 1024)
	body := struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 1025))}
	want(t, "status", s.patch(id, ticket, 0, body).status, 413)
	s.gone(id)

	// And the ticket is still good for what it says.
	s.post(ticket, 1024)
	body = struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 1024))}
	want(t, "status", s.patch(id, ticket, 0, body).status, 204)
	s.object(id)
}

// Names are stored as they are, and are no part of any path.
func TestHostileNames(t *testing.T) {
	s := newSite(t, media.Config{})
	for _, name := range []string{
		"../../etc/passwd", `..\..\windows\system32`, "/etc/passwd", `C:\x`, "CON", "nul.txt", "a\x00b.png", "\u202egnp.exe",
		"..", ".", "", "a/../b", "%2e%2e%2f", "x\r\nSet-Cookie: a=b", `"; filename="evil.html`, "日本語 файл.txt", strings.Repeat("é", 75),
	} {
		o := s.put(media.KindFile, name, []byte("content of a file"))
		want(t, "name", o.Name, name)
		for _, v := range []media.Variant{media.Original, media.Thumbnail} {
			r := s.get(o, v)
			want(t, "status for "+name, r.status, 200)
			want(t, "content", r.body, "content of a file")
			d := r.header.Get("Content-Disposition")
			if strings.ContainsAny(d, "/\\\x00\r\n\u202e") || strings.Contains(d, "%E2%80%AE") || strings.Count(d, `"`) != 2 || !strings.HasPrefix(d, "attachment; ") {
				t.Errorf("Content-Disposition is %q", d)
			}
			want(t, "Set-Cookie", r.header.Get("Set-Cookie"), "")
		}
	}
	for _, f := range s.files() {
		parts := strings.Split(f, "/")
		if len(parts) != 4 || parts[0] != "objects" || len(parts[2]) != 32 || parts[3] != "original" && parts[3] != "meta.json" {
			t.Errorf("there is %s", f)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(s.config.Dir))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the directory: %v, %v", entries, err)
	}
}

func TestConcurrentUploads(t *testing.T) {
	s := newSite(t, media.Config{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			content := bytes.Repeat([]byte{byte(i)}, 200_000+i)
			if i%4 == 0 {
				content = pngOf(t, picture(400+i, 300, 255))
			}
			o := s.put(media.KindImage, fmt.Sprint(i), content)
			want(t, "same", s.get(o, media.Original).body == string(content), true)
			want(t, "thumbnail", o.Thumbnail.Width > 0, i%4 == 0)
		})
	}
	wg.Wait()
	// Many that want the same one: whoever is broken off can tell, and nothing is mixed up.
	content := strings.Repeat("0123456789", 100_000)
	id, ticket := s.ticket(media.KindFile, "", len(content))
	s.post(ticket, len(content))
	for range 8 {
		wg.Go(func() {
			for range 20 {
				r, err := s.try("HEAD", "media/upload/"+id, nil, tus(ticket)...)
				if err != nil || r.status != 200 {
					continue
				}
				var at int
				fmt.Sscan(r.header.Get("Upload-Offset"), &at)
				s.try("PATCH", "media/upload/"+id, strings.NewReader(content[at:]), patchHeaders(ticket, at)...)
			}
		})
	}
	wg.Wait()
	at := s.offset(id, ticket)
	want(t, "status", s.patch(id, ticket, at, strings.NewReader(content[at:])).status, 204)
	want(t, "same", s.get(s.object(id), media.Original).body == content, true)
}

// A large file goes through little memory.
func TestFlatMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100 MB")
	}
	s := newSite(t, media.Config{})
	const size = 100 << 20
	id, ticket := s.ticket(media.KindVideo, "", size)
	s.post(ticket, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	want(t, "status", s.patch(id, ticket, 0, io.LimitReader(&endless{}, size)).status, 204)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
	want(t, "size", s.object(id).Size, size)
}
