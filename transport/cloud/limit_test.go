package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// The hundred broadcasts of a day are counted here: the next one isn't even asked for, and 24 hours later one has a turn again.
func TestDay(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		send := func() error { return s.SendTextToAllUsers(t.Context(), "u", "x") }
		for range 100 {
			if err := send(); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		e, ok := errors.AsType[*cloud.Error](send())
		if !ok || e.Code != 660500003 || zim.Code(e.ZIMCode()) != zim.ErrCommonTriggerServerFrequencyLimit || time.Since(start) != 0 {
			t.Errorf("one too many, after %v: %v", time.Since(start), e)
		}
		time.Sleep(24*time.Hour - time.Minute)
		if err := send(); err != nil {
			t.Errorf("a day after the first: %v", err)
		}
		if n := len(g.requests("SendMessageToAllUsers")); n != 101 {
			t.Errorf("%d requests, want 101", n)
		}
	})
}

// When the service says that it is enough, as others of the app have sent, it is not asked again and again.
func TestDayOfOthers(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		g.on("SendMessageToAllUsers", failure(660500003))
		start := time.Now()
		err := s.SendTextToAllUsers(t.Context(), "u", "x")
		if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Code != 660500003 || time.Since(start) != 0 || len(g.requests("SendMessageToAllUsers")) != 1 {
			t.Errorf("%d requests, after %v: %v", len(g.requests("SendMessageToAllUsers")), time.Since(start), err)
		}
	})
}

// Who has a group's turn, and then not the app's in time, has used nothing up.
func TestTurnIsGivenBack(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		invite := func(ctx context.Context, group string) error {
			_, err := z.InviteUsersIntoGroup(ctx, []string{"bob"}, group)
			return err
		}
		var others sync.WaitGroup
		for i := range 10 { // which keep the app's bucket busy for half a second
			others.Go(func() {
				if err := invite(t.Context(), fmt.Sprint("other", i)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := invite(ctx, "g"); zim.CodeOf(err) != zim.ErrCommonTriggerServerFrequencyLimit {
			t.Errorf("without time: %v", err)
		}
		others.Wait()
		start := time.Now()
		if err := invite(t.Context(), "g"); err != nil || time.Since(start) > 100*time.Millisecond {
			t.Errorf("the group's first came after %v: %v", time.Since(start), err)
		}
	})
}
