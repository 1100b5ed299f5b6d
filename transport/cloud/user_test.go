package cloud_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/cloud"
	"github.com/zim-go/zim/wire"
)

func exists(a args) answer {
	user := a["UserInfo"].([]any)[0].(args)
	return answer{"Code": 660700002, "ErrorList": []any{answer{"UserId": user["UserId"], "SubCode": 660700002}}}
}

// A login registers a user or a bot, or finds that it is there; then it has the name that the login gives.
func TestLogin(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		login(t, s, "alice")
		has(t, g.one("UserRegister")["UserInfo"].([]any)[0].(args), args{"UserId": "alice"})
		g.on("RobotRegister", exists)
		bot := newZIM(t, s)
		if err := bot.Login(t.Context(), "@RBT#b", &zim.LoginConfig{Token: "-", UserName: "Bot"}); err != nil {
			t.Fatal(err)
		}
		has(t, g.one("RobotRegister")["UserInfo"].([]any)[0].(args), args{"UserId": "@RBT#b", "UserName": "Bot"})
		has(t, g.one("ModifyUserInfo")["UserInfo"].([]any)[0].(args), args{"UserId": "@RBT#b", "UserName": "Bot"})
		if bot.ConnectionState() != zim.ConnectionStateConnected {
			t.Error("not connected")
		}
		if err := bot.RenewToken(t.Context(), "other"); err != nil {
			t.Error(err)
		}
		if err := bot.Logout(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if err := bot.Login(t.Context(), "@RBT#b", &zim.LoginConfig{Token: "-"}); err != nil {
			t.Error("the next login:", err)
		}
	})
}

// The service may say that the user exists without a list.
func TestLoginOfAUserWhoExists(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		g.on("UserRegister", failure(660700002))
		login(t, s, "alice")
	})
}

func TestRefusedLogin(t *testing.T) {
	for code, want := range map[int64]zim.Code{
		100000005: zim.ErrNetworkTokenInvalid, 100000017: zim.ErrCommonUnactivatedIMServer, 660700006: zim.ErrCommonParamsInvalid,
	} {
		with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
			g.on("UserRegister", failure(code))
			if err := newZIM(t, s).Login(t.Context(), "alice", &zim.LoginConfig{Token: "-"}); zim.CodeOf(err) != want {
				t.Errorf("%d: %v, want %v", code, err, want)
			}
		})
	}
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		s.AppID++
		if err := newZIM(t, s).Login(t.Context(), "alice", &zim.LoginConfig{Token: "-"}); zim.CodeOf(err) != zim.ErrCommonInvalidAppID {
			t.Errorf("another app: %v", err)
		}
		g.want()
	})
}

// A service that comes back is logged in to.
func TestLoginWaits(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		n := 0
		g.onRaw("UserRegister", func(w http.ResponseWriter) {
			if n++; n < 5 {
				w.WriteHeader(503)
				return
			}
			w.Write([]byte(`{"Code":0}`))
		})
		login(t, s, "alice")
	})
}

// The contract of a Conn, as far as it is not seen through a ZIM.
func TestConn(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		c, err := s.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heartbeat := &wire.Request{Body: &wire.Request_Heartbeat{Heartbeat: new(wire.HeartbeatRequest)}}
		if resp, err := c.RoundTrip(t.Context(), heartbeat); err != nil || resp.GetError().GetCode() != 6000121 {
			t.Errorf("before the login: %v, %v", resp, err)
		}
		received := make(chan error)
		go func() {
			_, err := c.Receive(t.Context())
			received <- err
		}()
		req := &wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{AppId: appID, UserId: "alice"}}}
		if resp, err := c.RoundTrip(t.Context(), req); err != nil || resp.GetLogin().GetPosition().GetEpoch() == 0 {
			t.Errorf("login: %v, %v", resp, err)
		}
		if resp, err := c.RoundTrip(t.Context(), req); err != nil || resp.GetError() == nil {
			t.Errorf("another login: %v, %v", resp, err)
		}
		c.Close()
		c.Close()
		if err := <-received; !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
		if _, err := c.RoundTrip(t.Context(), heartbeat); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("RoundTrip: %v", err)
		}
		if _, err := c.Receive(t.Context()); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Receive, once more: %v", err)
		}
		done := false
		c.(transport.Pipeline).Start(heartbeat, func(_ *wire.Response, err error) { done = errors.Is(err, transport.ErrClosed) })
		if !done {
			t.Error("Start after Close")
		}
	})
}

func TestAdmin(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		ctx := t.Context()
		g.on("QueryAppGroupList", always(answer{"GroupIdList": []any{answer{"GroupId": "g", "GroupName": "G"}}, "Next": 5}))
		groups, next, err := s.Groups(ctx, 3)
		if err != nil || len(groups) != 1 || groups[0] != (cloud.Group{ID: "g", Name: "G"}) || next != 5 {
			t.Errorf("%v, %d, %v", groups, next, err)
		}
		has(t, g.one("QueryAppGroupList"), args{"Next": 3})
		g.on("FetchForbidGroupList", always(answer{"GroupList": []any{answer{"GroupId": "g", "ForbidType": 5}}, "FetchEnd": 1, "NextFlag": 7}))
		muted, next, err := s.MutedGroups(ctx, "alice", 0)
		if err != nil || len(muted) != 1 || muted[0] != (cloud.MutedGroup{ID: "g", All: true, SomeUsers: true}) || next != 0 {
			t.Errorf("%v, %d, %v", muted, next, err)
		}
		if err := s.KickRoomUsers(ctx, "r", []string{"a b", "c&d"}, "why"); err != nil {
			t.Error(err)
		}
		has(t, g.one("KickoutRoomUser"), args{"RoomId": "r", "UserId": []string{"a b", "c&d"}, "CustomReason": "why"})
		g.on("ImportPeerMsg", always(answer{"MsgId": "12", "MsgSeq": 3}))
		id, seq, err := s.ImportPeerText(ctx, cloud.TextImport{FromUserID: "a", Text: "x", Time: time.UnixMilli(5)}, "b", "a")
		if err != nil || id != "12" || seq != 3 {
			t.Errorf("%s, %d, %v", id, seq, err)
		}
		has(t, g.one("ImportPeerMsg"), args{"ToUserId": "b", "ImportedUserId": "a", "SendMessageTime": 5})
		g.on("ImportGroupMsg", always(answer{"MsgSeq": "4"}))
		if seq, err := s.ImportGroupText(ctx, cloud.TextImport{FromUserID: "a", Text: "x"}, "g"); err != nil || seq != 4 {
			t.Errorf("%d, %v", seq, err)
		}
		seqs := make([]int64, 25)
		if err := s.ConfirmDelivery(ctx, "a", cloud.Conversation{ID: "g", Group: true}, seqs); err != nil || len(g.requests("GroupDeliveryReceipt")) != 3 {
			t.Errorf("%d receipts, %v", len(g.requests("GroupDeliveryReceipt")), err)
		}
		if failed, err := s.RegisterUsers(ctx, []cloud.User{{ID: "a", Name: "A", AvatarURL: "u"}, {ID: "b"}}); err != nil || failed != nil {
			t.Errorf("%v, %v", failed, err)
		}
	})
}
