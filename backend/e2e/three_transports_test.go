package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/cloud"
)

// One program of a bot has the same conversation with a user over each transport. What only some of them tell the bot is said here.
func TestBotOnThreeTransports(t *testing.T) {
	const bot = "@RBT#helper"
	// play lets alice talk to the bot, and returns what she saw and what the bot saw.
	play := func(t *testing.T, name string) (alices, bots []string) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
			service := &cloud.Service{AppID: zimtest.AppID, ServerSecret: zimtest.Secret, CallbackSecret: zimtest.CallbackSecret}
			options := &zimtest.Options{}
			if name == "cloud" {
				options.Callbacks = http.HandlerFunc(service.ServeHTTP)
			}
			srv := zimtest.NewServer(t, options)
			service.BaseURL, service.HTTPClient = srv.APIURL(), srv.Client()
			dialer := map[string]transport.Dialer{"inproc": srv.InProcess(), "websocket": srv.WebSocket(), "cloud": service}[name]

			var mu sync.Mutex
			note := func(list *[]string, format string, args ...any) {
				mu.Lock()
				defer mu.Unlock()
				*list = append(*list, fmt.Sprintf(format, args...))
			}
			say := func(m *zim.Message) string {
				switch c := m.Content.(type) {
				case *zim.TextMessage:
					return c.Message
				case *zim.ImageMessage:
					return "image " + c.Name
				case *zim.RevokeMessage:
					return "revoked"
				default:
					return fmt.Sprintf("%T", c)
				}
			}
			helper := newZIM(t, dialer)
			zim.On(helper, func(ctx context.Context, e *zim.PeerMessageReceived) {
				for _, m := range e.Messages {
					note(&bots, "%s: %s", m.Sender, say(m))
					if _, err := helper.SendMessage(ctx, &zim.TextMessage{Message: "I got " + say(m)}, zim.Peer(m.Sender), nil); err != nil {
						t.Error(err)
					}
				}
			})
			zim.On(helper, func(_ context.Context, e *zim.GroupMessageReceived) {
				for _, m := range e.Messages {
					note(&bots, "in %s, %s: %s", e.FromConversationID, m.Sender, say(m))
				}
			})
			zim.On(helper, func(_ context.Context, e *zim.MessageEdited) {
				for _, m := range e.MessageList {
					note(&bots, "edited: %s", say(m))
				}
			})
			zim.On(helper, func(_ context.Context, e *zim.MessageRevokeReceived) { note(&bots, "revoked") })
			alice := newZIM(t, srv.WebSocket())
			zim.On(alice, func(_ context.Context, e *zim.PeerMessageReceived) {
				for _, m := range e.Messages {
					note(&alices, "%s: %s", m.Sender, say(m))
				}
			})
			login(t, srv, helper, bot)
			login(t, srv, alice, "alice")
			settle := func() {
				time.Sleep(10 * time.Second)
				synctest.Wait()
			}
			send := func(content zim.Content, to zim.ConversationRef) *zim.Message {
				m, err := alice.SendMessage(t.Context(), content, to, nil)
				if err != nil {
					t.Fatal(err)
				}
				settle()
				return m
			}
			send(&zim.TextMessage{Message: "hello"}, zim.Peer(bot))
			send(&zim.ImageMessage{File: zim.File{URL: "https://example.com/cat.jpg", Name: "cat.jpg"}}, zim.Peer(bot))
			m := send(&zim.TextMessage{Message: "helo"}, zim.Peer(bot))
			if _, err := alice.EditMessage(t.Context(), m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: "hello again"}}); err != nil {
				t.Error(err)
			}
			settle()
			if _, err := alice.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "chess"}, []string{bot}, nil); err != nil {
				t.Error(err)
			}
			settle()
			send(&zim.TextMessage{Message: "e4"}, zim.Group("chess"))
			if _, err := alice.RevokeMessage(t.Context(), m, nil); err != nil {
				t.Error(err)
			}
			settle()
			// What both find afterwards is the same, but that the service's server API leaves out what was revoked.
			for who, z := range map[string]*zim.ZIM{bot: helper, "alice": alice} {
				peer := map[string]string{bot: "alice", "alice": bot}[who]
				history, err := z.QueryHistoryMessage(t.Context(), zim.Peer(peer), zim.MessageQueryConfig{Count: 100, Reverse: true})
				want := 6
				if name == "cloud" && who == bot {
					want = 5
				}
				if err != nil || len(history) != want {
					t.Errorf("%s finds %d messages, %v, want %d", who, len(history), err, want)
				}
			}
		})
		return alices, bots
	}
	heard := []string{"alice: hello", "alice: image cat.jpg", "alice: helo", "edited: hello again", "in chess, alice: e4"}
	seen := []string{bot + ": I got hello", bot + ": I got image cat.jpg", bot + ": I got helo"}
	for name, lost := range map[string]bool{
		"inproc": false, "websocket": false,
		"cloud": true, // no callback tells of what is revoked
	} {
		t.Run(name, func(t *testing.T) {
			alices, bots := play(t, name)
			if !slices.Equal(alices, seen) {
				t.Errorf("alice saw %q, want %q", alices, seen)
			}
			want := slices.Clone(heard)
			if !lost {
				want = append(want, "revoked")
			}
			if !slices.Equal(bots, want) {
				t.Errorf("the bot saw %q, want %q", bots, want)
			}
		})
	}
}
