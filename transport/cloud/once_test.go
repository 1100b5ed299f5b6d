package cloud_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/cloud"
)

// What must not be done twice is asked for once, also if the connection, which was good before, breaks instead of an answer. What may be is signed anew each
// time: the gateway looks at the nonces.
func TestBrokenConnection(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.on("QueryGroupMemberList", always(answer{"MemberList": []any{answer{"UserId": "alice", "Role": 1}}}))
		lost := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
		for action, call := range map[string]func() error{
			"DestroyRoom":     func() error { return s.DestroyRoom(t.Context(), "r") },
			"KickoutRoomUser": func() error { return s.KickRoomUsers(t.Context(), "r", []string{"bob"}, "") },
			"DismissGroup":    func() error { return z.DismissGroup(t.Context(), "g") },
		} {
			g.onRaw(action, lost)
			if _, err := s.RegisterUsers(t.Context(), []cloud.User{{ID: "bob"}}); err != nil {
				t.Fatal(err)
			}
			if err := call(); !errors.Is(err, transport.ErrOutcomeUnknown) {
				t.Errorf("%s: %v", action, err)
			}
			if n := len(g.requests(action)); n != 1 {
				t.Errorf("%s: %d requests, want 1", action, n)
			}
		}
		g.onRaw("DeleteAllFriends", lost)
		if err := s.DeleteAllFriends(t.Context(), "u", true); err == nil || errors.Is(err, transport.ErrOutcomeUnknown) {
			t.Errorf("what can be repeated: %v", err)
		}
		if n := len(g.requests("DeleteAllFriends")); n != 3 {
			t.Errorf("%d requests of what can be repeated, want 3", n)
		}
	})
}

// It is the same over HTTP/2.
func TestBrokenStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		n := 0
		ln := memnet.Listen()
		srv := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if r.ProtoMajor != 2 || len(b) > 0 || err != nil || r.Header.Get("Content-Length") != "" {
				t.Errorf("%s with a body of %q, %v", r.Proto, b, err)
			}
			if n++; n > 1 {
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, `{"Code":0}`)
		})}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		rt := &http.Transport{Protocols: &protocols, DialContext: ln.DialContext}
		s := &cloud.Service{AppID: appID, ServerSecret: secret, BaseURL: "http://gateway", HTTPClient: &http.Client{Transport: rt}}
		if err := s.DestroyRoom(t.Context(), "r"); err != nil {
			t.Error(err)
		}
		if err := s.DestroyRoom(t.Context(), "r"); !errors.Is(err, transport.ErrOutcomeUnknown) || n != 2 {
			t.Errorf("%d requests, the second one ended with %v", n, err)
		}
		rt.CloseIdleConnections()
		srv.Close()
		<-served
	})
}

// A space in an ID is %20 in a URL, and a plus sign stays one. The gateway looks for the former.
func TestSpaces(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		if err := s.KickRoomUsers(t.Context(), "a room", []string{"b +%b"}, "for this + that"); err != nil {
			t.Fatal(err)
		}
		has(t, g.one("KickoutRoomUser"), args{"RoomId": "a room", "UserId": []string{"b +%b"}, "CustomReason": "for this + that"})
	})
}
