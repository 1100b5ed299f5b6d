package e2e_test

import (
	"testing"
	"testing/synctest"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/cloud"
)

// The backend can't close a group that is there: a bot that wants a closed one makes none, and is told which it was.
func TestBotWantsAClosedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, bot := newBot(t, new(cloud.Service), nil)
		alice := srv.Login(t, "alice")
		_, err := bot.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "chess"}, []string{"alice"}, &zim.GroupAdvancedConfig{JoinMode: zim.GroupJoinModeForbid})
		if zim.CodeOf(err) != zim.ErrCommonUnsupportedRequest {
			t.Errorf("got %v", err)
		}
		if list, _, err := alice.QueryGroupList(t.Context(), zim.GroupListQueryConfig{}); err != nil || len(list) != 0 {
			t.Errorf("alice is in %v, %v", list, err)
		}
		made, err := bot.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "tea"}, []string{"alice"}, nil)
		if err != nil || len(made.UserList) != 2 {
			t.Fatalf("got %+v, %v", made, err)
		}
		if _, err := bot.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "tea"}, []string{"alice"}, nil); zim.CodeOf(err) != zim.ErrGroupGroupAlreadyExists {
			t.Errorf("again: %v", err)
		}
	})
}
