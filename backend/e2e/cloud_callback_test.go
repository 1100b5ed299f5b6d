package e2e_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport/cloud"
)

// A bot on the Server API hears of what happens by the backend's callbacks, each thing once, although some are told twice, and some again
// because the bot's server was down.
func TestBotHearsCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		service := &cloud.Service{AppID: zimtest.AppID, ServerSecret: zimtest.Secret, CallbackSecret: zimtest.CallbackSecret}
		var mu sync.Mutex
		var got []string // guarded by mu
		down, lost := false, false
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, s)
		}
		srv := zimtest.NewServer(t, &zimtest.Options{Callbacks: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			refuse, forget := down, lost
			mu.Unlock()
			if refuse {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			if forget { // it is taken, and the answer gets lost
				service.ServeHTTP(discard{}, r)
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			service.ServeHTTP(w, r)
		})})
		set := func(p *bool, v bool) {
			mu.Lock()
			defer mu.Unlock()
			*p = v
		}
		service.BaseURL, service.HTTPClient = srv.APIURL(), srv.Client()
		bot, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: service})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(bot.Destroy)
		zim.On(bot, func(_ context.Context, e *zim.PeerMessageReceived) {
			for _, m := range e.Messages {
				note(m.Sender + ": " + m.Content.(*zim.TextMessage).Message)
			}
		})
		zim.On(bot, func(_ context.Context, e *zim.GroupMessageReceived) {
			for _, m := range e.Messages {
				note(e.FromConversationID + ": " + m.Content.(*zim.TextMessage).Message)
			}
		})
		zim.On(bot, func(_ context.Context, e *zim.MessageEdited) {
			for _, m := range e.MessageList {
				note("edited " + m.Content.(*zim.TextMessage).Message)
			}
		})
		heard := func(want ...string) {
			t.Helper()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("the bot heard %s, want %s", strings.Join(got, ", "), strings.Join(want, ", "))
			}
			got = nil
		}
		ctx := t.Context()
		if err := bot.Login(ctx, "@RBT#helper", &zim.LoginConfig{Token: "-"}); err != nil {
			t.Fatal(err)
		}
		alice := srv.Login(t, "alice")
		say := func(to zim.ConversationRef, text string) *zim.Message {
			t.Helper()
			m, err := alice.SendMessage(ctx, &zim.TextMessage{Message: text}, to, nil)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		peer := zim.Peer("@RBT#helper")
		m := say(peer, "100% + more")
		heard("alice: 100% + more")
		if _, err := alice.EditMessage(ctx, m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: "101%"}}); err != nil {
			t.Fatal(err)
		}
		heard("edited 101%")
		if _, err := alice.CreateGroup(ctx, zim.GroupInfo{GroupID: "chess"}, []string{"@RBT#helper"}, nil); err != nil {
			t.Fatal(err)
		}
		heard()
		say(zim.Group("chess"), "e4")
		heard("chess: e4")

		set(&down, true)
		say(peer, "are you there?")
		say(zim.Group("chess"), "e5")
		heard()
		set(&down, false)
		heard("alice: are you there?", "chess: e5")
		set(&lost, true)
		say(peer, "once")
		time.Sleep(time.Second)
		set(&lost, false)
		heard("alice: once")
		if err := service.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
}

// discard is an answer that nobody gets.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
