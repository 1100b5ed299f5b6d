package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
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
				case *zim.CommandMessage:
					return "command " + string(c.Message)
				case *zim.BarrageMessage:
					return "barrage " + c.Message
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
					if say(m) == "read me" {
						if _, err := helper.SendMessageReceiptsRead(ctx, zim.Peer(m.Sender), []*zim.Message{m}); err != nil {
							t.Error(err)
						}
					}
				}
			})
			zim.On(helper, func(_ context.Context, e *zim.RoomMessageReceived) {
				for _, m := range e.Messages {
					note(&bots, "in room %s, %s: %s", e.FromConversationID, m.Sender, say(m))
				}
			})
			zim.On(helper, func(_ context.Context, e *zim.GroupStateChanged) {
				note(&bots, "group %s: %v by %s", e.GroupInfo.BaseInfo.GroupID, e.Event, e.OperatedInfo.UserID)
			})
			zim.On(helper, func(_ context.Context, e *zim.RoomMemberJoined) { note(&bots, "%s entered", e.MemberList[0].UserID) })
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
					more := ""
					if m.IsServerMessage || m.ExtendedData != "" {
						more = fmt.Sprintf(", of a server: %t, %d more bytes", m.IsServerMessage, len(m.ExtendedData))
					}
					note(&alices, "%s: %s%s", m.Sender, say(m), more)
				}
			})
			zim.On(alice, func(_ context.Context, e *zim.MessageReceiptChanged) { note(&alices, "read: %v", e.Infos[0].Status) })
			zim.On(alice, func(_ context.Context, e *zim.RoomMemberJoined) { note(&alices, "%s entered", e.MemberList[0].UserID) })
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
			for _, z := range []*zim.ZIM{alice, helper} {
				if _, err := z.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "hall"}, nil); err != nil {
					t.Error(err)
				}
				settle()
			}
			send(&zim.TextMessage{Message: "in the hall"}, zim.Room("hall"))
			send(&zim.BarrageMessage{Message: "!"}, zim.Room("hall"))
			send(&zim.CommandMessage{Message: []byte("typing")}, zim.Peer(bot))
			carol := newZIM(t, srv.WebSocket())
			login(t, srv, carol, "carol")
			if _, err := carol.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "hall"}, nil); err != nil {
				t.Error(err)
			}
			settle()
			if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "read me"}, zim.Peer(bot), &zim.MessageSendConfig{HasReceipt: true}); err != nil {
				t.Error(err)
			}
			settle()
			if _, err := alice.RevokeMessage(t.Context(), m, nil); err != nil {
				t.Error(err)
			}
			settle()
			// What both find afterwards is the same, but that the service's server API leaves out what was revoked.
			for who, z := range map[string]*zim.ZIM{bot: helper, "alice": alice} {
				peer := map[string]string{bot: "alice", "alice": bot}[who]
				history, err := z.QueryHistoryMessage(t.Context(), zim.Peer(peer), zim.MessageQueryConfig{Count: 100, Reverse: true})
				want := 9
				if name == "cloud" {
					want = 8 // the bot did not hear the command, and so did not answer it
				}
				if name == "cloud" && who == bot {
					want = 7
				}
				if err != nil || len(history) != want {
					t.Errorf("%s finds %d messages, %v, want %d", who, len(history), err, want)
				}
			}
		})
		return alices, bots
	}
	// What is seen over inproc and websocket, and instead over the cloud, where it is less.
	type line struct{ full, cloud string }
	const lost = "" // nothing tells of it
	alices := []line{
		{bot + ": I got hello", bot + ": I got hello, of a server: true, 27 more bytes"},
		{bot + ": I got image cat.jpg", bot + ": I got image cat.jpg, of a server: true, 27 more bytes"},
		{bot + ": I got helo", bot + ": I got helo, of a server: true, 27 more bytes"},
		{bot + " entered", lost}, // it did so in its own process alone
		{bot + ": I got command typing", lost},
		{"carol entered", "carol entered"},
		{bot + ": I got read me", bot + ": I got read me, of a server: true, 27 more bytes"},
		{"read: Done", "read: Done"},
	}
	bots := []line{
		{"alice: hello", "alice: hello"},
		{"alice: image cat.jpg", "alice: image cat.jpg"},
		{"alice: helo", "alice: helo"},
		{"edited: hello again", "edited: hello again"},
		{"group chess: Invited by alice", "group chess: Invited by alice"},
		{"in chess, alice: e4", "in chess, alice: e4"},
		{"in room hall, alice: in the hall", "in room hall, alice: in the hall"},
		{"in room hall, alice: barrage !", lost},
		{"alice: command typing", lost},
		{"carol entered", "carol entered"},
		{"alice: read me", "alice: read me"},
		{"revoked", lost},
	}
	for _, name := range []string{"inproc", "websocket", "cloud"} {
		t.Run(name, func(t *testing.T) {
			expect := func(list []line) (want []string) {
				for _, l := range list {
					if name != "cloud" {
						want = append(want, l.full)
					} else if l.cloud != lost {
						want = append(want, l.cloud)
					}
				}
				return want
			}
			sawAlice, sawBot := play(t, name)
			if want := expect(alices); !slices.Equal(sawAlice, want) {
				t.Errorf("alice saw\n%s\nwant\n%s", strings.Join(sawAlice, "\n"), strings.Join(want, "\n"))
			}
			if want := expect(bots); !slices.Equal(sawBot, want) {
				t.Errorf("the bot saw\n%s\nwant\n%s", strings.Join(sawBot, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}
