package media_test

import (
	"bytes"
	"crypto/rand"
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
