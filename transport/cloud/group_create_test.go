package cloud_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/cloud"
)

// closed is a group that nobody may join.
var closed = &zim.GroupAdvancedConfig{JoinMode: zim.GroupJoinModeForbid, MaxMemberCount: 9}

// A group that can't be closed, as it was to be, does not stay open: it is dismissed. If that can't be done either, the error says what there is.
func TestGroupWithoutItsSettings(t *testing.T) {
	tests := map[string]struct {
		dismiss func(args) answer
		want    string
	}{
		"dismissed":        {always(answer{}), `was made, and dismissed as it can't be given JoinMode, MemberCountLimit: `},
		"gone already":     {failure(660600001), `was made, and dismissed as `},
		"not to be rid of": {failure(660000003), `exists, perhaps without JoinMode, MemberCountLimit: `},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
				z := login(t, s, "alice")
				g.on("ModifyGroupLimit", failure(100000007))
				g.on("DismissGroup", test.dismiss)
				_, err := z.CreateGroup(t.Context(), zim.GroupInfo{}, nil, closed)
				id, _ := g.one("CreateGroup")["GroupId"].(string)
				if zim.CodeOf(err) != zim.ErrCommonUnsupportedRequest || !strings.Contains(err.Error(), `"`+id+`" `+test.want) {
					t.Errorf("got %v, want that %s %s", err, id, test.want)
				}
				has(t, g.one("DismissGroup"), args{"GroupId": id, "FromUserId": "alice"})
			})
		})
	}
}

// A group is there with what was asked for, although nobody says what it is like now.
func TestGroupThatIsNotShown(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.on("QueryGroupInfo", failure(660600009))
		made, err := z.CreateGroup(t.Context(), zim.GroupInfo{GroupName: "G"}, nil, closed)
		if err != nil || made.GroupInfo.BaseInfo.GroupName != "G" || made.GroupInfo.VerifyInfo.JoinMode != zim.GroupJoinModeForbid || time.Since(made.GroupInfo.CreateTime) > time.Minute {
			t.Errorf("got %+v, %v", made, err)
		}
	})
}

// When the answer is lost, the group is looked for, by the call itself and by the next one. Another group of that ID is not taken for it.
func TestGroupWhoseAnswerIsLost(t *testing.T) {
	alice, bob, eve := answer{"UserId": "alice", "Role": 1}, answer{"UserId": "bob", "Role": 3}, answer{"UserId": "eve", "Role": 3}
	members := func(list ...any) func(args) answer { return always(answer{"MemberList": list}) }
	tests := map[string]struct {
		members func(args) answer
		age     time.Duration
		mine    bool
	}{
		"made":             {members(alice, bob), time.Second, true},
		"made in part":     {members(alice), time.Second, true},
		"with others":      {members(alice, bob, eve), time.Second, false},
		"of somebody else": {members(answer{"UserId": "bob", "Role": 1}, answer{"UserId": "alice", "Role": 3}), time.Second, false},
		"from before":      {members(alice, bob), time.Hour, false},
		"not shown":        {failure(660600003), time.Second, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
				z := login(t, s, "alice")
				create := func() (*zim.GroupCreatedResult, error) {
					return z.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "chess"}, []string{"bob"}, closed)
				}
				check := func(made *zim.GroupCreatedResult, err error) {
					t.Helper()
					if err != nil || len(made.UserList)+len(made.ErrorUserList) != 2 || made.UserList[0].UserID != "alice" {
						t.Errorf("got %+v, %v", made, err)
					}
				}
				g.on("QueryGroupInfo", always(answer{"GroupCreateTime": time.Now().Add(-test.age).UnixMilli()}))
				g.onRaw("CreateGroup", func(http.ResponseWriter) { panic(http.ErrAbortHandler) })
				g.on("QueryGroupMemberList", failure(660600001))
				_, err := create()
				if !errors.Is(err, transport.ErrOutcomeUnknown) || !strings.Contains(err.Error(), `group "chess"`) {
					t.Errorf("when it is not there yet: %v", err)
				}
				g.onRaw("CreateGroup", nil)
				g.on("CreateGroup", failure(660600011))
				g.on("QueryGroupMemberList", test.members)
				made, err := create()
				if test.mine {
					check(made, err)
				} else if zim.CodeOf(err) != zim.ErrGroupGroupAlreadyExists {
					t.Errorf("another group: %v", err)
				}
				g.onRaw("CreateGroup", func(http.ResponseWriter) { panic(http.ErrAbortHandler) })
				if made, err := create(); test.mine {
					check(made, err) // by the call itself
				} else if !errors.Is(err, transport.ErrOutcomeUnknown) {
					t.Errorf("another group: %v", err)
				}
				if n := len(g.requests("CreateGroup")); n != 3 {
					t.Errorf("%d requests, want 3", n)
				}
			})
		})
	}
}

// What has not been lost is no group of one's own, however much it looks like it.
func TestGroupThatExists(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.on("CreateGroup", failure(660600011))
		if _, err := z.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "chess"}, nil, nil); zim.CodeOf(err) != zim.ErrGroupGroupAlreadyExists {
			t.Errorf("got %v", err)
		}
		g.want("CreateGroup")
	})
}
