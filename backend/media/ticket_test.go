package media_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/backend/media"
)

func TestTickets(t *testing.T) {
	s := newSite(t, media.Config{})
	other := newSite(t, media.Config{})
	id, ticket := s.ticket(media.KindFile, "", 5)
	id2, ticket2, err := s.Ticket(media.Upload{App: 1, User: "mallory", Kind: media.KindFile, Size: 5})
	if err != nil {
		t.Fatal(err)
	}
	s.post(ticket, 5)
	s.post(ticket2, 5)
	s.patch(id, ticket, 0, strings.NewReader("he"))
	link := s.URL(id, media.Original, "x", 1, "alice")
	_, sig, _ := strings.Cut(link, "sig=")
	bad := []string{"", " ", "x", ticket[1:], ticket[:len(ticket)-1], ticket + "A", "A" + ticket, strings.ToLower(ticket), sig, ticket2}
	for i := range len(ticket) {
		if i%7 == 0 {
			b := []byte(ticket)
			if b[i]++; b[i] == 'z'+1 || b[i] == 'Z'+1 || b[i] == '9'+1 {
				b[i] = '_'
			}
			bad = append(bad, string(b))
		}
	}
	ref := s.do("PATCH", "media/upload/"+id, strings.NewReader("llo"), patchHeaders("", 2)...)
	want(t, "status", ref.status, 403)
	for _, b := range bad {
		for _, method := range []string{"PATCH", "HEAD", "DELETE", "POST", "OPTIONS", "GET"} {
			r := s.do(method, "media/upload/"+id, nil, patchHeaders(b, 2)...)
			want(t, method+" with "+b, r.status, 403)
			if method != "HEAD" {
				want(t, "body", r.body, ref.body)
			}
			if b != ticket2 {
				want(t, "POST with "+b, s.post(b, 5).status, 403)
			}
		}
	}
	want(t, "status without Bearer", s.do("HEAD", "media/upload/"+id, nil, "Authorization", ticket).status, 403)
	want(t, "status for another", s.do("HEAD", "media/upload/"+id2, nil, tus(ticket)...).status, 403)
	want(t, "status for a slash", s.do("HEAD", "media/upload/", nil, tus(ticket)...).status, 403)
	want(t, "status for more", s.do("HEAD", "media/upload/"+id+"/x", nil, tus(ticket)...).status, 403)
	want(t, "offset", s.offset(id, ticket), 2)
	// The same key and another directory: a ticket is for whoever has the key.
	want(t, "status there", other.do("HEAD", "media/upload/"+id, nil, tus(ticket)...).status, 404)
}

func TestTicketRefused(t *testing.T) {
	s := newSite(t, media.Config{})
	good := media.Upload{App: 1, User: "alice", Kind: media.KindFile, Name: strings.Repeat("n", 150), Size: 0}
	if _, _, err := s.Ticket(good); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*media.Upload){
		func(u *media.Upload) { u.User = "" },
		func(u *media.Upload) { u.User = strings.Repeat("u", 257) },
		func(u *media.Upload) { u.Kind = 1 },
		func(u *media.Upload) { u.Kind = 15 },
		func(u *media.Upload) { u.Size = -1 },
		func(u *media.Upload) { u.Size = 1 << 60 },
		func(u *media.Upload) { u.Name += "n" },
		func(u *media.Upload) { u.Name = strings.Repeat("n", 10<<10) },
		func(u *media.Upload) { u.Name = "\xff" },
	} {
		bad := good
		change(&bad)
		if _, _, err := s.Ticket(bad); err == nil {
			t.Errorf("there is a ticket for %+v", bad)
		}
	}
	_, _, err := s.Ticket(media.Upload{User: "alice", Kind: media.KindFile, Name: "\xff"})
	want(t, "error", err, media.ErrName)
}

// serve answers a request without a network, so that time may be the test's.
func serve(h http.Handler, method, path string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, "/v1/"+path, body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTicketExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := media.New(media.Config{Dir: t.TempDir(), Key: key, TicketLifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		id, ticket, err := s.Ticket(media.Upload{App: 1, User: "alice", Kind: media.KindFile, Size: 9})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "status", serve(s, "POST", "media/upload", nil, tus(ticket, "Upload-Length", "9")...).Code, 201)
		time.Sleep(time.Hour - time.Second)
		want(t, "status", serve(s, "PATCH", "media/upload/"+id, strings.NewReader("abc"), patchHeaders(ticket, 0)...).Code, 204)
		if err := s.Sweep(time.Now()); err != nil {
			t.Error(err)
		}
		want(t, "status", serve(s, "HEAD", "media/upload/"+id, nil, tus(ticket)...).Code, 200)
		// One that takes too long is broken off.
		body, feed := io.Pipe()
		go func() {
			io.WriteString(feed, "def")
			time.Sleep(time.Second)
			io.WriteString(feed, "ghi")
			feed.Close()
		}()
		want(t, "status", serve(s, "PATCH", "media/upload/"+id, body, patchHeaders(ticket, 3)...).Code, 403)
		w := serve(s, "HEAD", "media/upload/"+id, nil, tus(ticket)...)
		want(t, "status", w.Code, 403)
		never := serve(s, "HEAD", "media/upload/"+id, nil, tus("")...)
		want(t, "header", fmt.Sprint(w.Header()), fmt.Sprint(never.Header()))
		body.Close()
		want(t, "bytes that count", s.Used(1, "alice"), 9)
		if err := s.Sweep(time.Now()); err != nil {
			t.Error(err)
		}
		want(t, "bytes that count", s.Used(1, "alice"), 0)
		if _, err := s.Object(id); err != media.ErrNotFound {
			t.Errorf("Object returns %v", err)
		}
	})
}
