package media_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/zim-go/zim/backend/media"
)

// No bytes are a ticket, nor harm whoever parses them.
func FuzzTicket(f *testing.F) {
	// With a key that no other process of this test has, whose ticket may be among what is tried.
	s := newSite(f, media.Config{Key: []byte(rand.Text() + rand.Text())})
	_, ticket := s.ticket(media.KindFile, "name", 5)
	f.Add([]byte(ticket))
	f.Fuzz(func(t *testing.T, b []byte) {
		if again, ok := media.ParseTicket(b); ok {
			// There may be longer ways to write a number, but what was read is what is written.
			twice, ok := media.ParseTicket(again)
			if !ok || !bytes.Equal(again, twice) {
				t.Errorf("%x is written as %x and %x", b, again, twice)
			}
		}
		if string(b) == ticket {
			return
		}
		r := httptest.NewRequest("POST", "/media/upload", nil)
		r.Header["Authorization"] = []string{"Bearer " + string(b)}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		want(t, "status", w.Code, http.StatusForbidden)
	})
}

// No text is a URL that was signed, except those.
func FuzzURL(f *testing.F) {
	s := newSite(f, media.Config{})
	id := strings.Repeat("0123456789abcdef", 2)
	f.Add("/v1/" + s.URL(id, media.Thumbnail, "a name.png", 1, "bob"))
	f.Fuzz(func(t *testing.T, link string) {
		got, v, ok := s.Resolve(link, 1, "bob")
		if ok && (got != id || v != media.Thumbnail || !strings.Contains(link, s.URL(id, media.Thumbnail, "a name.png", 1, "bob")[:42])) {
			t.Errorf("%q resolves", link)
		}
		name := media.CleanName(link)
		if !utf8.ValidString(name) || name == "" || len(name) > 150 || strings.ContainsFunc(name, func(r rune) bool {
			return unicode.IsControl(r) || r == '/' || r == '\\' || unicode.Is(unicode.Bidi_Control, r)
		}) {
			t.Errorf("the name of %q is %q", link, name)
		}
		// Whatever a file is called, its URL is good.
		if _, _, ok := s.Resolve("https://host/"+s.URL(id, media.Original, link, 7, link), 7, link); !ok && len(link) < 500 {
			t.Errorf("the URL for %q does not resolve", link)
		}
	})
}

// Whatever range is asked for, the answer is one part of the file as it says, or the whole file, or nothing; never more than the file has.
func FuzzRange(f *testing.F) {
	const content = "0123456789"
	s := newSite(f, media.Config{})
	o := s.put(media.KindFile, "x", []byte(content))
	link := "/" + s.URL(o.ID, media.Original, "x", 1, "bob")
	for _, header := range []string{
		"bytes=2-4", "bytes=-3", "bytes=7-", "bytes=0-999999", "bytes=0-1,3-4", "bytes=" + strings.Repeat("0-,", 99), "bytes=9223372036854775807-", "bytes=--3",
		"bytes= 1 - 2 ", "BYTES=0-1", "bytes=0-1;", "items=0-1", "", "bytes=\x00", "bytes=+1-2", "bytes=1-+2", "bytes=01-02", "bytes=1-\u0662",
	} {
		f.Add(header, "")
		f.Add(header, `"`+o.ID+`"`)
	}
	f.Fuzz(func(t *testing.T, header, ifRange string) {
		r := httptest.NewRequest("GET", link, nil)
		r.Header["Range"] = []string{header}
		if ifRange != "" {
			r.Header["If-Range"] = []string{ifRange}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		body := w.Body.String()
		switch w.Code {
		case http.StatusOK:
			want(t, "body", body, content)
		case http.StatusPartialContent:
			var first, last, size int
			if n, err := fmt.Sscanf(w.Header().Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); n != 3 || err != nil || size != len(content) {
				t.Fatalf("%q: the Content-Range is %q", header, w.Header().Get("Content-Range"))
			}
			want(t, "part", body, content[first:last+1])
			want(t, "Content-Length", w.Header().Get("Content-Length"), fmt.Sprint(len(body)))
		case http.StatusRequestedRangeNotSatisfiable:
			if strings.Contains(body, content[:3]) {
				t.Errorf("%q: got %q", header, body)
			}
		default:
			t.Errorf("%q: got the status %d", header, w.Code)
		}
		if w.Header().Get("Content-Type") == "multipart/byteranges" || len(body) > 1000 {
			t.Errorf("%q: got %d bytes of %s", header, len(body), w.Header().Get("Content-Type"))
		}
	})
}
