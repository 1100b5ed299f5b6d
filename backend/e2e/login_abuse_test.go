package e2e_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// However often the user has logged in elsewhere since, an evicted client does not come back by itself.
func TestEvictedLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		frozen := &frozenDialer{Dialer: srv.InProcess()}
		laptop, bot := newZIM(t, frozen), (*zim.ZIM)(nil)
		login(t, srv, laptop, "alice")
		frozen.frozen.Store(true) // the lid is closed
		for range 40 {
			if bot != nil {
				bot.Destroy()
			}
			time.Sleep(time.Minute)
			bot = newZIM(t, srv.InProcess())
			login(t, srv, bot, "alice")
		}
		frozen.frozen.Store(false) // the lid is opened
		time.Sleep(2 * time.Minute)
		if laptop.ConnectionState() != zim.ConnectionStateDisconnected || bot.ConnectionState() != zim.ConnectionStateConnected {
			t.Errorf("the laptop is %v, the bot %v", laptop.ConnectionState(), bot.ConnectionState())
		}
	})
}

// N47: logging in again and again is no way around the rate of messages.
func TestSendRateOverLogins(t *testing.T) {
	for name, tt := range map[string]struct {
		policy backend.DevicePolicy
		most   int // 310 at once and 10 a second, for as many clients as may be online
	}{"one device": {backend.SingleDevice, 420}, "two devices": {backend.DualDevice, 840}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := zimtest.NewServer(t, &zimtest.Options{App: func(a *backend.App) { a.Devices = tt.policy }})
				srv.Register("bob")
				start, stored := time.Now(), 0
				for time.Since(start) < 10*time.Second {
					z := newFastZIM(t, srv.InProcess())
					login(t, srv, z, "mallory")
					for {
						_, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
						if errors.Is(err, zim.ErrCommonTriggerServerFrequencyLimit) {
							break
						}
						if err != nil {
							t.Fatal(err)
						}
						stored++
					}
					z.Destroy()
					time.Sleep(100 * time.Millisecond)
				}
				if stored > tt.most || stored < tt.most*9/10 {
					t.Errorf("%d were stored in 10s, want %d at most", stored, tt.most)
				}
			})
		})
	}
}

// N25: a token that is about to end is good for a run that the service knows, and for nobody who only claims to be one.
func TestClaimedResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		try := func(user string, instance byte, ttl time.Duration, resume bool) int32 {
			t.Helper()
			synctest.Wait() // until the one before is gone
			conn, err := srv.WebSocket().Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			id := make([]byte, 16)
			id[0] = instance
			resp, err := conn.RoundTrip(t.Context(), &wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{
				AppId: zimtest.AppID, UserId: user, Token: srv.TokenFor(user, ttl), InstanceId: id, Resume: resume,
			}}})
			if err != nil {
				t.Fatal(err)
			}
			return resp.GetError().GetCode()
		}
		for i, step := range []struct {
			user     string
			instance byte
			ttl      time.Duration
			resume   bool
			want     int32
		}{
			{"mallory", 1, 20 * time.Second, true, 6000108},
			{"mallory", 1, 20 * time.Second, false, 6000108},
			{"mallory", 1, time.Minute, true, 0}, // to a database that was lost since
			{"mallory", 1, 20 * time.Second, true, 0},
			{"mallory", 2, 20 * time.Second, true, 6000108},
			{"alice", 1, time.Minute, false, 0},
			{"alice", 1, 20 * time.Second, true, 0},
		} {
			if got := try(step.user, step.instance, step.ttl, step.resume); got != step.want {
				t.Errorf("step %d, %+v: code %d", i, step, got)
			}
		}
	})
}
