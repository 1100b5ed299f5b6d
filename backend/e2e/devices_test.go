package e2e_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
)

// Who is evicted when one more device logs in: the earliest of its kind beyond what the policy allows.
func TestDevicePolicies(t *testing.T) {
	const native, web = zim.PlatformTypeLinux, zim.PlatformTypeWeb
	tests := map[string]struct {
		policy backend.DevicePolicy
		logins []zim.PlatformType
		online []int // which of them are left
	}{
		"single":          {backend.SingleDevice, []zim.PlatformType{native, web, native}, []int{2}},
		"dual":            {backend.DualDevice, []zim.PlatformType{native, web, native}, []int{1, 2}},
		"three of a kind": {backend.DevicePolicy{Native: 3, Web: 1}, []zim.PlatformType{native, native, web, native, native}, []int{1, 2, 3, 4}},
		"ten and ten": {backend.MultiDevice, []zim.PlatformType{native, native, native, native, native, native, native, native, native, native, web, native},
			[]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := zimtest.NewServer(t, &zimtest.Options{App: func(a *backend.App) { a.Devices = test.policy }})
				var zims []*zim.ZIM
				for i, p := range test.logins {
					z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: srv.InProcess(), Platform: p, DeviceID: fmt.Sprint(i)})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(z.Destroy)
					login(t, srv, z, "alice")
					zims = append(zims, z)
					time.Sleep(time.Second)
				}
				srv.Restart() // who was evicted stays so, and who was not comes back
				time.Sleep(time.Minute)
				var online []int
				for i, z := range zims {
					if z.ConnectionState() == zim.ConnectionStateConnected {
						online = append(online, i)
					}
				}
				if fmt.Sprint(online) != fmt.Sprint(test.online) {
					t.Errorf("online are %v, want %v", online, test.online)
				}
			})
		})
	}
}

// The push config of a message reaches the push provider if the receiver is offline, and nobody else.
func TestOfflinePush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var pushed []backend.OfflinePush
		srv := zimtest.NewServer(t, &zimtest.Options{Config: func(c *backend.Config) {
			c.OfflinePush = func(p backend.OfflinePush) {
				mu.Lock()
				defer mu.Unlock()
				pushed = append(pushed, p)
			}
		}})
		alice, bob := srv.Login(t, "alice"), newZIM(t, srv.InProcess())
		srv.Register("bob")
		push := &zim.MessageSendConfig{PushConfig: &zim.PushConfig{
			Title: "title", Content: "content", Payload: "payload", ResourcesID: "ring", ThreadID: "thread", EnableBadge: true, BadgeIncrement: 3,
			VoIPConfig:             &zim.VoIPConfig{IOSVoIPHandleType: zim.CXHandleTypePhoneNumber, IOSVoIPHandleValue: "5", IOSVoIPHasVideo: true},
			PrivateMessageTemplate: &zim.OfflinePushPrivateMessageTemplate{TemplateID: "t", TitleParameters: "a", ContentParameters: "b"},
		}}
		sent, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), push)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "without"}, zim.Peer("bob"), nil); err != nil {
			t.Fatal(err)
		}
		login(t, srv, bob, "bob")
		if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "online"}, zim.Peer("bob"), push); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(pushed) != 1 || pushed[0].UserID != "bob" || fmt.Sprint(pushed[0].MessageID) != sent.ID {
			t.Fatalf("pushed %v", pushed)
		}
		c := pushed[0].Config
		got := fmt.Sprint(c.Title, c.Content, c.Payload, c.ResourcesId, c.ThreadId, c.EnableBadge, c.BadgeIncrement,
			c.VoipConfig.HandleType, c.VoipConfig.HandleValue, c.VoipConfig.HasVideo,
			c.PrivateMessageTemplate.TemplateId, c.PrivateMessageTemplate.TitleParameters, c.PrivateMessageTemplate.ContentParameters)
		if want := fmt.Sprint("title", "content", "payload", "ring", "thread", true, 3, 2, "5", true, "t", "a", "b"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
