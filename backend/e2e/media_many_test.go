package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// URLs make messages many times larger than the store has them. Whatever brings several at once stays within what a client accepts.
func TestManyMediaMessages(t *testing.T) {
	const n = 45
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		alice2 := device(t, srv, dialer, "alice", "two")
		bob.must(bob.Logout(t.Context(), nil))
		alice2.must(alice2.Logout(t.Context(), nil))
		quiet(alice, bob, alice2)
		first := alice.sendMedia(&zim.ImageMessage{File: fromReader(strings.Repeat("画", 40)+".png", asPNG(t, 400, 300))}, zim.Peer("bob"), nil)
		album := func(i int) zim.Content {
			m := &zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.TextMessage{Message: fmt.Sprint(i)}}}
			for range 10 {
				m.MessageInfoList = append(m.MessageInfoList, first.Content)
			}
			return m
		}
		root := alice.sendMedia(album(0), zim.Peer("bob"), nil)
		list := []*zim.Message{root}
		for i := range n {
			m, err := alice.ReplyMessage(t.Context(), album(i+1), root, nil)
			alice.must(err)
			list = append(list, m)
		}
		_, err := alice.EditMessage(t.Context(), root, zim.MessageEditConfig{Content: album(0)})
		alice.must(err)
		alice.sendMedia(&zim.CombineMessage{Title: "t", Summary: "s", MessageList: list}, zim.Peer("bob"), nil)
		alice.must(alice.DeleteMessages(t.Context(), zim.Peer("bob"), list[1:], nil))

		login(t, srv, bob.ZIM, "bob")
		login(t, srv, alice2.ZIM, "alice")
		time.Sleep(time.Minute)
		for _, u := range []*user{bob, alice2, alice} {
			if u.ConnectionState() != zim.ConnectionStateConnected {
				t.Errorf("state %v", u.ConnectionState())
			}
			messages, edited, deleted, broken := 0, 0, 0, 0
			for _, s := range u.since() {
				switch {
				case strings.HasPrefix(s, "peer message "):
					messages += strings.Count(s, "(Multiple)")
				case strings.HasPrefix(s, "edited "):
					edited++
				case strings.HasPrefix(s, "deleted "):
					deleted += strings.Count(s, "(Multiple)")
				case strings.HasPrefix(s, "connection "):
					broken++
				}
			}
			want := map[*user]string{bob: fmt.Sprint(n+1, 1, 0, 2), alice2: fmt.Sprint(n+1, 1, n, 2), alice: fmt.Sprint(0, 0, 0, 0)}[u]
			if got := fmt.Sprint(messages, edited, deleted, broken); got != want {
				t.Errorf("messages, edited, deleted and states: got %s, want %s", got, want)
			}
		}
		history := all(t, bob.HistoryMessages(t.Context(), zim.Peer("alice"), zim.MessageOrderAscending))
		if len(history) != n+3 {
			t.Errorf("the history has %d messages, want %d", len(history), n+3)
		}
		page, err := bob.QueryHistoryMessage(t.Context(), zim.Peer("alice"), zim.MessageQueryConfig{Count: 100, Reverse: true})
		bob.must(err)
		if len(page) == 0 {
			t.Error("the page is empty")
		}
		tree := all(t, bob.MessageReplies(t.Context(), history[1]))
		if len(tree) != n {
			t.Errorf("the tree has %d replies, want %d", len(tree), n)
		}
		detail, err := bob.QueryCombineMessageDetail(t.Context(), bob.message("(Combine)"))
		bob.must(err)
		if got := detail.Content.(*zim.CombineMessage).MessageList; len(got) != n+1 {
			t.Errorf("%d messages are combined, want %d", len(got), n+1)
		}
		bob.saw("bob, at last")
	})
}

// In groups and rooms, everybody has URLs of their own, and the list of conversations has them, too.
func TestMediaForMany(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		users := grouped(t, srv, dialer, "alice", "bob", "carol")
		ctx, content := t.Context(), asPNG(t, 400, 300)
		for _, u := range users {
			_, err := u.EnterRoom(ctx, zim.RoomInfo{RoomID: "r", RoomName: "R"}, nil)
			u.must(err)
			zim.On(u.ZIM, func(_ context.Context, e *zim.RoomMessageReceived) {
				u.mu.Lock()
				defer u.mu.Unlock()
				u.texts["room"] = e.Messages[0]
			})
		}
		for _, to := range []zim.ConversationRef{zim.Group("g"), zim.Room("r")} {
			sent := users[0].sendMedia(&zim.ImageMessage{File: fromReader("a.png", content)}, to, nil)
			seen := map[string]bool{fileOf(sent.Content).URL: true}
			users[0].wantFile(srv, sent, 0, content)
			for _, u := range users[1:] {
				m := u.message(map[zim.ConversationType]string{zim.ConversationTypeGroup: "(Image)", zim.ConversationTypeRoom: "room"}[to.Type])
				if m.ID != sent.ID || m.Conversation != to || seen[fileOf(m.Content).URL] {
					t.Errorf("got %+v with %s", m, fileOf(m.Content).URL)
				}
				seen[fileOf(m.Content).URL] = true
				u.wantFile(srv, m, 0, content)
				if c := m.Content.(*zim.ImageMessage); c.ThumbnailSize.X != 320 {
					t.Errorf("got %+v", c)
				}
			}
			// One of them sends it on.
			users[1].sendMedia(users[1].message("(Image)").Content, zim.Peer("carol"), nil)
			users[2].wantFile(srv, users[2].message("(Image)"), 0, content)
		}
		list := all(t, users[2].Conversations(ctx, zim.ConversationFilterOption{}))
		if len(list) != 2 {
			t.Errorf("carol has %d conversations", len(list))
		}
		for _, c := range list {
			users[2].wantFile(srv, c.LastMessage, 0, content)
		}
		_, err := users[0].SendMessage(ctx, &zim.ImageMessage{File: fromReader("a.png", content)}, zim.Room("nowhere"), nil)
		if zim.CodeOf(err) != zim.ErrRoomUserIsNotInTheRoom && zim.CodeOf(err) != zim.ErrRoomTheRoomDoesNotExist {
			t.Errorf("to a room that is not there: %v", err)
		}
	})
}
