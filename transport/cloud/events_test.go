package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/cloud"
)

// A brokenStore has lost what it kept.
type brokenStore struct{ zim.MemoryStore }

func (*brokenStore) Conversations(string) ([]zim.ConversationRef, error) {
	return nil, errors.New("the disk is gone")
}

// The column for the cloud in docs/mapping.md is true of events: all that there are for come of a life that has everything in it, and no others.
func TestMappingEvents(t *testing.T) {
	page, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "## Events")
	events, _, _ := strings.Cut(rest, "## Enums")
	rows := regexp.MustCompile("(?m)^\\| `[^`]+` \\| `(\\w+)` \\|.*\\| ([a-z ]+) \\|$").FindAllStringSubmatch(events, -1)
	if len(rows) < 20 {
		t.Fatalf("%d rows", len(rows))
	}
	withCallbacks(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		came := liveThroughAll(t, g, s)
		for _, row := range rows {
			event, cell := row[1], row[2]
			if want := cell == "yes" || cell == "partly"; cell != "no" && !want || came[event] != want {
				t.Errorf("%s: %q, but it came: %v", event, cell, came[event])
			}
		}
	})
}

// liveThroughAll does everything that may bring alice an event, and returns the events that came.
func liveThroughAll(t *testing.T, g *gateway, s *cloud.Service) map[string]bool {
	g.fill()
	z, err := zim.New(zim.AppConfig{AppID: appID, Transport: s, LocalStore: new(brokenStore)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	var mu sync.Mutex
	came := map[string]bool{}
	zim.On(z, func(_ context.Context, e zim.Event) {
		if total, ok := e.(*zim.ConversationTotalUnreadMessageCountUpdated); ok && total.TotalUnreadMessageCount == 0 {
			return // which comes with each connection, whatever is unread
		}
		mu.Lock()
		defer mu.Unlock()
		came[strings.TrimPrefix(fmt.Sprintf("%T", e), "*zim.")] = true
	})
	ctx := t.Context()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	do(z.Login(ctx, "alice", &zim.LoginConfig{Token: "-"}))
	do(second(z.SendMessage(ctx, text, bob, nil)))
	do(second(z.EnterRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil)))
	tell := func(event string, fields object) { must(t, s, signed(event, fields), http.StatusOK) }
	say := func(id int, text string, convType int, to string) {
		tell("send_msg", hello(id, text).with("from_user_id", "bob").with("conv_type", convType).with("conv_id", to))
	}
	say(1, "hi", 0, "alice")
	say(1, "ho", 0, "alice")
	say(2, "hi", 1, "r")
	tell("group_create", object{"group_id": "g", "operator_account": "bob", "owner_account": "bob", "user_ids": []string{"alice"}})
	say(3, "hi", 2, "g")
	tell("group_join", object{"group_id": "g", "join_type": "Apply", "new_user_ids": []string{"carol"}})
	tell("room_enter", object{"room_id": "r", "operator_account": "bob"})
	tell("room_exit", object{"room_id": "r", "exit_type": "Quit", "exit_user_ids": []string{"bob"}})
	tell("room_destroy", object{"room_id": "r"})
	list, err := z.QueryMessages(ctx, bob, []int64{3})
	do(err)
	do(second(z.EditMessage(ctx, list[0], zim.MessageEditConfig{Content: text})))
	do(second(z.RevokeMessage(ctx, list[0], nil)))
	do(z.UpdateConversationPinnedState(ctx, bob, true))
	do(z.SendConversationMessageReceiptRead(ctx, bob))
	do(z.DeleteAllMessage(ctx, bob, nil))
	do(z.DeleteConversation(ctx, bob, nil))
	do(z.DeleteAllConversations(ctx, &zim.ConversationDeleteConfig{KeepServerConversation: true}))
	_, err = z.SearchLocalConversations(ctx, zim.ConversationSearchConfig{TotalConversationCount: 1, ConversationMessageCount: 1, Keywords: []string{"x"}})
	if err == nil {
		t.Error("the store is not broken")
	}
	time.Sleep(24 * time.Hour)
	synctest.Wait()
	mu.Lock()
	defer mu.Unlock()
	return came
}
