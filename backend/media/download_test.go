package media_test

import (
	"cmp"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/backend/media"
)

const policy = "sandbox; default-src 'none'"

// What a browser would run is never shown by it, whatever it was called.
func TestNothingRuns(t *testing.T) {
	s := newSite(t, media.Config{})
	for name, content := range map[string]string{
		"a.html": "<!DOCTYPE html><script>alert(1)</script>",
		"b.png":  "<html><script>alert(1)</script>",
		"c.svg":  `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
		"d.mp3":  `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
		"e.mp4":  "alert(1)",
		"f.js":   "alert(1)",
		"g.jpg":  "%PDF-1.7",
		"h.html": "\x00\x01\x02",
		"i.gif":  "MZ\x90\x00",
		"j.heic": "   <script>alert(1)</script>",
	} {
		r := s.get(s.put(media.KindImage, name, []byte(content)), media.Original)
		want(t, "content of "+name, r.body, content)
		want(t, "Content-Type of "+name, r.header.Get("Content-Type"), "application/octet-stream")
		want(t, "Content-Disposition", r.header.Get("Content-Disposition"), `attachment; filename="`+name+`"`)
		want(t, "X-Content-Type-Options", r.header.Get("X-Content-Type-Options"), "nosniff")
		want(t, "Content-Security-Policy", r.header.Get("Content-Security-Policy"), policy)
		want(t, "Cache-Control", r.header.Get("Cache-Control"), "private")
	}
}

func TestShown(t *testing.T) {
	s := newSite(t, media.Config{})
	png := string(pngOf(t, picture(10, 10, 255)))
	for _, test := range []struct{ name, content, kind string }{
		{"a.png", png, "image/png"},
		{"a.html", png, "image/png"},
		{"b.mp3", "\xff\xfb\x90\x00\x01\x02", "audio/mpeg"},
		{"c.m4a", "\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00mp42isom", "audio/mp4"},
		{"d.mp4", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video/mp4"},
		{"e.OGG", "OggS\x00\x02\x00", "audio/ogg"},
		{"f.MOV", "\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ", "video/quicktime"},
	} {
		o := s.put(media.KindFile, test.name, []byte(test.content))
		r := s.get(o, media.Original)
		want(t, "Content-Type of "+test.name, r.header.Get("Content-Type"), test.kind)
		want(t, "Content-Disposition", r.header.Get("Content-Disposition"), `inline; filename="`+test.name+`"`)
		want(t, "X-Content-Type-Options", r.header.Get("X-Content-Type-Options"), "nosniff")
		want(t, "Content-Security-Policy", r.header.Get("Content-Security-Policy"), policy)
	}
}

func TestDisposition(t *testing.T) {
	s := newSite(t, media.Config{})
	o := s.put(media.KindFile, "", []byte("x"))
	for name, d := range map[string]string{
		"":                         `attachment; filename="file"`,
		"...":                      `attachment; filename="file"`,
		"a b.txt":                  `attachment; filename="a b.txt"`,
		`a"b\c%d`:                  `attachment; filename="a_bc_d"; filename*=UTF-8''a%22bc%25d`,
		"né.txt":                   `attachment; filename="n_.txt"; filename*=UTF-8''n%C3%A9.txt`,
		"\u202etxt.exe\u2028":      `attachment; filename="txt.exe"`,
		strings.Repeat("é", 100):   `attachment; filename="` + strings.Repeat("_", 26) + `"; filename*=UTF-8''` + strings.Repeat("%C3%A9", 26),
		"../../media/upload":       `attachment; filename="....mediaupload"`,
		"100% <b>'(x)'</b>; a=b&c": `attachment; filename="100_ <b>'(x)'<b>; a=b&c"; filename*=UTF-8''100%25%20%3Cb%3E%27%28x%29%27%3Cb%3E%3B%20a%3Db%26c`,
	} {
		r := s.do("GET", s.URL(o.ID, media.Original, name, 1, "bob"), nil)
		want(t, "status for "+name, r.status, 200)
		want(t, "Content-Disposition", r.header.Get("Content-Disposition"), d)
	}
}

func TestMethods(t *testing.T) {
	s := newSite(t, media.Config{})
	link := s.URL(s.put(media.KindFile, "x", []byte("hello")).ID, media.Original, "x", 1, "bob")
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		r := s.do(method, link, nil)
		want(t, "status of "+method, r.status, 405)
		want(t, "Allow", r.header.Get("Allow"), "GET, HEAD")
	}
	r := s.do("HEAD", link, nil)
	want(t, "status of HEAD", r.status, 200)
	want(t, "Content-Length", r.header.Get("Content-Length"), "5")
	want(t, "status of what was seen", s.do("GET", link, nil, "If-None-Match", r.header.Get("Etag")).status, 304)
	// The mount is whatever it is.
	for _, mount := range []string{"", "/", "/v1/", "/media/", "/a/media/b/"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "http://x/"+strings.TrimPrefix(mount, "/")+link, nil))
		want(t, "status at "+mount, w.Code, 200)
	}
}

// Whatever is wrong with a URL, the answer is the same.
func TestForbidden(t *testing.T) {
	s := newSite(t, media.Config{})
	o := s.put(media.KindFile, "x", []byte("hello"))
	other := s.put(media.KindFile, "x", []byte("other"))
	unfinished, ticket := s.ticket(media.KindFile, "x", 5)
	s.post(ticket, 5)
	good := s.URL(o.ID, media.Original, "x", 1, "bob")
	path, query, _ := strings.Cut(good, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	with := func(key, value string) string {
		v := url.Values{}
		for k := range values {
			v.Set(k, values.Get(k))
		}
		v.Del(key)
		if value != "" {
			v.Set(key, value)
		}
		return path + "?" + v.Encode()
	}
	want(t, "status of what is good", s.do("GET", with("x", "y"), nil).status, 200)
	bad := []string{
		s.URL(strings.Repeat("0", 32), media.Original, "x", 1, "bob"), // there is none
		s.URL(unfinished, media.Original, "x", 1, "bob"),
		s.URL("x", media.Original, "x", 1, "bob"),
		s.URL("../../lock", media.Original, "x", 1, "bob"),
		s.URL(o.ID, 0, "x", 1, "bob"),
		s.URL(o.ID, 4, "x", 1, "bob"),
		strings.Replace(good, o.ID, other.ID, 1),
		strings.Replace(good, o.ID, strings.ToUpper(o.ID), 1),
		strings.Replace(good, "/1/", "/2/", 1),
		strings.Replace(good, "/1/", "/01/", 1),
		strings.Replace(good, "/x?", "/y?", 1),
		strings.Replace(good, "/x?", "/?", 1),
		strings.Replace(good, "/x?", "/x/y?", 1),
		with("app", "2"), with("app", ""), with("app", "01"), with("app", "+1"), with("app", "4294967297"),
		with("user", "alice"), with("user", ""),
		with("expires", "99999999999"), with("expires", ""), with("expires", "0"+values.Get("expires")),
		with("sig", ""), with("sig", "x"), with("sig", strings.Repeat("A", 43)), with("sig", values.Get("sig")+"A"),
		with("sig", values.Get("sig")+"="), with("sig", ticket),
		good + "&app=1", good + "&sig=x", good + "&a=%zz",
		"media/", "media/x", "media/uploads", path,
	}
	r := s.do("GET", bad[0], nil)
	want(t, "status", r.status, 403)
	r.header.Del("Date")
	for _, b := range bad {
		got := s.do("GET", b, nil)
		got.header.Del("Date")
		want(t, "answer to "+b, fmt.Sprint(got), fmt.Sprint(r))
	}
}

func TestURLExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := media.New(media.Config{Dir: t.TempDir(), Key: key, URLLifetime: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		id, ticket, err := s.Ticket(media.Upload{App: 1, User: "alice", Kind: media.KindFile, Size: 0})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "status", serve(s, "POST", "media/upload", nil, tus(ticket, "Upload-Length", "0")...).Code, 201)
		link := s.URL(id, media.Original, "x", 1, "bob")
		time.Sleep(59 * time.Minute)
		want(t, "URL after 59 minutes", s.URL(id, media.Original, "x", 1, "bob"), link)
		time.Sleep(24*time.Hour - 59*time.Minute)
		want(t, "status after a day", serve(s, "GET", link, nil).Code, 200)
		if s.URL(id, media.Original, "x", 1, "bob") == link {
			t.Error("the URL never changes")
		}
		time.Sleep(time.Hour)
		w := serve(s, "GET", link, nil)
		want(t, "status after another hour", w.Code, 403)
		never := serve(s, "GET", "media/x", nil)
		want(t, "answer", fmt.Sprint(w.Header(), w.Body), fmt.Sprint(never.Header(), never.Body))
		got, v, ok := s.Resolve("https://host/v1/"+link, 1, "bob")
		want(t, "what expired is still known", got == id && v == media.Original && ok, true)
	})
}

// However long a name is, the URL has the documented 500 bytes at most, and the browser gets all of the object's name.
func TestLongName(t *testing.T) {
	s := newSite(t, media.Config{})
	for _, name := range []string{strings.Repeat("é", 73) + ".png", strings.Repeat("x", 150), "x." + strings.Repeat("語", 49), strings.Repeat("\x01", 150)} {
		o := s.put(media.KindFile, name, []byte("hello"))
		user := strings.Repeat("@", 32)
		link := s.URL(o.ID, media.Original, o.Name, 1<<32-1, user)
		if len(link) > 400 {
			t.Errorf("the URL has %d bytes: %s", len(link), link)
		}
		if id, _, ok := s.Resolve(link, 1<<32-1, user); !ok || id != o.ID {
			t.Errorf("%s does not resolve", link)
		}
		r := s.do("GET", link, nil)
		want(t, "status", r.status, 200)
		_, params, err := mime.ParseMediaType(r.header.Get("Content-Disposition"))
		if full := strings.Trim(name, "\x01"); err != nil || params["filename"] != cmp.Or(full, "file") {
			t.Errorf("the name is %q, want %q (%v)", params["filename"], full, err)
		}
	}
}

func TestResolve(t *testing.T) {
	s := newSite(t, media.Config{})
	id := strings.Repeat("0123456789abcdef", 2)
	link := s.URL(id, media.Thumbnail, "日本/語 &?#%.png", 1, "bob & co")
	for _, good := range []string{link, "/" + link, "/v1/" + link, "https://host:1/a/media/b/" + link, "//host/" + link, link + "#x"} {
		got, v, ok := s.Resolve(good, 1, "bob & co")
		if !ok || got != id || v != media.Thumbnail {
			t.Errorf("%s: %v, %v, %v", good, got, v, ok)
		}
	}
	for _, bad := range []string{"", "x", link[1:], strings.Replace(link, "/3/", "/2/", 1), "mailto:" + link, "https://host/?x=" + link, "\x7f" + link, link + strings.Repeat("&", 5000)} {
		if _, _, ok := s.Resolve(bad, 1, "bob & co"); ok {
			t.Errorf("%s resolves", bad)
		}
	}
	_, _, ok := s.Resolve(link, 2, "bob & co")
	want(t, "for another app", ok, false)
	_, _, ok = s.Resolve(link, 1, "bob")
	want(t, "for another user", ok, false)
	// Fields can't be moved into each other.
	_, _, ok = s.Resolve(strings.Replace(link, "app=1&user=bob", "app=11&user=ob", 1), 11, "ob & co")
	want(t, "for what reads the same", ok, false)
	config := s.config
	config.Dir, config.Key = t.TempDir(), []byte("another key of the tests, 32 bytes")
	other, err := media.New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, _, ok = other.Resolve(link, 1, "bob & co")
	want(t, "with another key", ok, false)
}

func TestRanges(t *testing.T) {
	s := newSite(t, media.Config{})
	o := s.put(media.KindFile, "x", []byte("0123456789"))
	for header, body := range map[string]string{
		"bytes=2-4": "234", "bytes=7-": "789", "bytes=-3": "789", "bytes=0-999999": "0123456789", "bytes=-99": "0123456789",
	} {
		r := s.get(o, media.Original, "Range", header)
		want(t, "status for "+header, r.status, 206)
		want(t, "body for "+header, r.body, body)
	}
	for _, header := range []string{
		"bytes=" + strings.Repeat("0-1,", 999) + "0-1", "bytes=0-1,3-4", "bytes=0-1,", "bytes=,", "bytes=--3", "bytes=5-2", "bytes=10-",
		"bytes=0-99999999999999999999", "bytes=99999999999999999999-", "bytes=-99999999999999999999", "bytes=9223372036854775807-",
		"bytes=a-b", "items=0-1", "0-1",
	} {
		r := s.get(o, media.Original, "Range", header)
		want(t, "status for "+header[:min(40, len(header))], r.status, http.StatusRequestedRangeNotSatisfiable)
	}
	r := s.get(o, media.Original, "Range", "bytes=0-1", "Range", "bytes=3-4")
	want(t, "status for two headers", r.status, 416)
	want(t, "Content-Range", r.header.Get("Content-Range"), "bytes */10")
}
