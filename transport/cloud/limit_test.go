package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/cloud"
)

// What the service complains of for one group holds up that group alone.
func TestForeignLoadOnAGroup(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		refused := false
		g.on("InviteUsersIntoGroup", func(a args) answer {
			if a["GroupId"] == "a" && !refused {
				refused = true
				return answer{"Code": 660300006}
			}
			return nil
		})
		start := time.Now()
		ended := make(chan time.Duration)
		go func() {
			if _, err := z.InviteUsersIntoGroup(t.Context(), []string{"bob"}, "a"); err != nil {
				t.Error(err)
			}
			ended <- time.Since(start)
		}()
		time.Sleep(10 * time.Millisecond)
		if _, err := z.InviteUsersIntoGroup(t.Context(), []string{"bob"}, "b"); err != nil || time.Since(start) > 100*time.Millisecond {
			t.Errorf("another group after %v: %v", time.Since(start), err)
		}
		if took := <-ended; took < time.Second {
			t.Errorf("the group went on after %v", took)
		}
	})
}

// However many groups there are, what is kept of them is bounded by how many were busy of late.
func TestManyGroups(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		for i := range 1500 {
			if _, err := z.InviteUsersIntoGroup(t.Context(), []string{"bob"}, fmt.Sprint("g", i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.Buckets(); n > 1001 {
			t.Errorf("the rates of %d groups are kept", n)
		}
	})
}

// statuses notes how messages ended.
func statuses(ended *[]error) func(context.Context, *zim.MessageSentStatusChanged) {
	return func(_ context.Context, e *zim.MessageSentStatusChanged) {
		for _, info := range e.Infos {
			if info.Err == nil {
				*ended = append(*ended, nil)
			} else {
				*ended = append(*ended, info.Err)
			}
		}
	}
}

// A durable message whose outcome is unknown ends so. One that could not be sent waits until it can.
func TestDurable(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z, err := zim.New(zim.AppConfig{AppID: appID, Transport: s, OutboxDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		var ended []error
		zim.On(z, statuses(&ended))
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "-"}); err != nil {
			t.Fatal(err)
		}
		n := 0
		g.on("SendPeerMessage", func(a args) answer {
			switch n++; {
			case n <= 5:
				return answer{"Code": 660300005}
			case n == 6:
				return sent(a)
			default:
				return answer{"Code": 660000001}
			}
		})
		for range 2 {
			if _, err := z.SendMessage(t.Context(), text, bob, &zim.MessageSendConfig{Durable: true}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(ended) != 2 || ended[0] != nil || !errors.Is(ended[1], zim.ErrOutcomeUnknown) {
			t.Errorf("ended with %v", ended)
		}
		if n != 7 {
			t.Errorf("%d requests, want 7", n)
		}
	})
}
