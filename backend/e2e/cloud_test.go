package e2e_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport/cloud"
)

// A bot that speaks to the Server API, as it would to the real service, and a user on a socket have the same conversation.
func TestBotOverServerAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		srv := zimtest.NewServer(t, nil)
		alice := srv.Login(t, "alice")
		got := make(chan string, 10)
		zim.On(alice, func(_ context.Context, e *zim.PeerMessageReceived) {
			for _, m := range e.Messages {
				got <- m.Sender + ": " + m.Content.(*zim.TextMessage).Message
			}
		})
		zim.On(alice, func(_ context.Context, e *zim.GroupMessageReceived) {
			for _, m := range e.Messages {
				got <- e.FromConversationID + ": " + m.Content.(*zim.TextMessage).Message
			}
		})
		service := &cloud.Service{AppID: zimtest.AppID, ServerSecret: zimtest.Secret, BaseURL: srv.APIURL(), HTTPClient: srv.Client()}
		bot, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: service})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(bot.Destroy)
		ctx := t.Context()
		if err := bot.Login(ctx, "@RBT#helper", &zim.LoginConfig{Token: "-"}); err != nil {
			t.Fatal(err)
		}
		m, err := bot.SendMessage(ctx, &zim.TextMessage{Message: "hello"}, zim.Peer("alice"), nil)
		if err != nil || m.ID == "" {
			t.Fatalf("%+v, %v", m, err)
		}
		if s := <-got; s != "@RBT#helper: hello" {
			t.Errorf("alice got %q", s)
		}
		if _, err := alice.SendMessage(ctx, &zim.TextMessage{Message: "hi"}, zim.Peer("@RBT#helper"), nil); err != nil {
			t.Fatal(err)
		}
		history, err := bot.QueryHistoryMessage(ctx, zim.Peer("alice"), zim.MessageQueryConfig{Count: 10, Reverse: true})
		if err != nil || len(history) != 2 || history[0].ID != m.ID || history[1].Content.(*zim.TextMessage).Message != "hi" {
			t.Errorf("the history is %+v, %v", history, err)
		}
		if _, err := bot.CreateGroup(ctx, zim.GroupInfo{GroupID: "chess", GroupName: "Chess"}, []string{"alice"}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := bot.SendMessage(ctx, &zim.TextMessage{Message: "e4"}, zim.Group("chess"), nil); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "chess: e4" {
			t.Errorf("alice got %q", s)
		}
		if _, err := bot.EditMessage(ctx, m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: "hallo"}}); err != nil {
			t.Error("edit:", err)
		}
		if _, err := bot.RevokeMessage(ctx, m, nil); err != nil {
			t.Error("revoke:", err)
		}
		groups, _, err := bot.QueryGroupList(ctx, zim.GroupListQueryConfig{})
		if err != nil || len(groups) != 1 || groups[0].BaseInfo.GroupID != "chess" {
			t.Errorf("the groups are %v, %v", groups, err)
		}
		if list, err := bot.QueryConversationList(ctx, zim.ConversationQueryConfig{Count: 10}); err != nil || len(list) != 2 {
			t.Errorf("the conversations are %v, %v", list, err)
		}
	})
}
