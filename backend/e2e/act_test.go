package e2e_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// What the app's server does in a user's name takes no session, and what needs one is refused.
func TestActs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		srv.Register("alice")
		dismiss := func() *wire.Request {
			return &wire.Request{Body: &wire.Request_Group{Group: &wire.GroupRequest{GroupId: "g", Action: wire.GroupRequest_ACTION_DISMISS}}}
		}
		do := func(ctx context.Context, act backend.Act) int32 { return srv.Backend().Do(ctx, act).Error.GetCode() }
		for name, test := range map[string]struct {
			act  backend.Act
			want int32
		}{
			"done":             {backend.Act{App: zimtest.AppID, UserID: "alice", Request: &wire.Request{Body: &wire.Request_QueryGroups{QueryGroups: new(wire.QueryGroupsRequest)}}}, 0},
			"of a session":     {backend.Act{App: zimtest.AppID, UserID: "alice", Request: &wire.Request{Body: &wire.Request_Logout{Logout: new(wire.LogoutRequest)}}}, 6000013},
			"in a room":        {backend.Act{App: zimtest.AppID, UserID: "alice", Request: &wire.Request{Body: &wire.Request_LeaveRoom{LeaveRoom: new(wire.LeaveRoomRequest)}}}, 6000013},
			"nothing":          {backend.Act{App: zimtest.AppID, UserID: "alice", Request: new(wire.Request)}, 6000013},
			"no app":           {backend.Act{App: 7, UserID: "alice", Request: dismiss()}, 6000003},
			"nobody":           {backend.Act{App: zimtest.AppID, UserID: "nobody", Request: dismiss()}, 6000011},
			"in no one's name": {backend.Act{App: zimtest.AppID, Request: dismiss()}, 6000001},
		} {
			if got := do(t.Context(), test.act); got != test.want {
				t.Errorf("%s: got %d, want %d", name, got, test.want)
			}
		}
		if srv.Backend().UserOnline(zimtest.AppID, "alice") {
			t.Error("alice is online")
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if got := do(ended, backend.Act{App: zimtest.AppID, UserID: "alice", Request: dismiss()}); got != 6000007 && got != 6000523 {
			t.Errorf("with a context that has ended: got %d", got)
		}
		b := srv.Backend()
		srv.Stop()
		if got := b.Do(t.Context(), backend.Act{App: zimtest.AppID, UserID: "alice", Request: dismiss()}).Error.GetCode(); got != 6000007 {
			t.Errorf("after Shutdown: got %d", got)
		}
	})
}
