package cloud_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/cloud"
)

const logName = "callbacks.log"

// keeping returns a service that keeps callbacks in dir, until the test ends.
func keeping(t *testing.T, dir string) *cloud.Service {
	t.Helper()
	s := newService()
	s.Dir = dir
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return s
}

// killed returns a directory that has what one has on the disk now, as if the program that has it were killed.
func killed(t *testing.T, dir string) string {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return dirWith(t, log)
}

func dirWith(t *testing.T, log []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, logName), log, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// end ends a program in one of the ways that there are, and returns the directory that the next one has.
func end(t *testing.T, s *cloud.Service, kill bool, users ...*user) string {
	t.Helper()
	if kill {
		return killed(t, s.Dir)
	}
	for _, u := range users {
		if err := u.Logout(t.Context(), nil); err != nil {
			t.Error(err)
		}
		u.Destroy()
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.Dir
}

// eachEnd runs a test for a program that is shut down, and for one that is killed.
func eachEnd(t *testing.T, f func(t *testing.T, kill bool)) {
	for _, kill := range []bool{false, true} {
		name := "shut down"
		if kill {
			name = "killed"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
				f(t, kill)
			})
		})
	}
}

func inGroup(id int, s, groupID string) object {
	return hello(id, s).with("conv_type", 2).with("conv_id", groupID)
}

func stuck(ctx context.Context, _ *zim.PeerMessageReceived) { <-ctx.Done() }

// What no handler has seen when a program ends comes to the next one, once, in order, and what was seen does not. What comes before the login
// is there at the login.
func TestRestart(t *testing.T) {
	eachEnd(t, func(t *testing.T, kill bool) {
		s := keeping(t, filepath.Join(t.TempDir(), "made", "by it"))
		bob := arrive(t, s, "bob")
		seen := signed("send_msg", hello(1, "one"))
		must(t, s, seen, http.StatusOK)
		bob.saw(t, "peer alice 1/alice:one")
		time.Sleep(3 * time.Second) // what was handled is told now and then
		zim.On(bob.ZIM, stuck)
		unseen := signed("send_msg", hello(2, "two"))
		must(t, s, unseen, http.StatusOK)
		must(t, s, signed("send_msg", hello(3, "three").with("from_user_id", "carol")), http.StatusOK)
		synctest.Wait()

		s = keeping(t, end(t, s, kill, bob))
		for range 2 { // whose answers were lost
			must(t, s, seen, http.StatusOK)
			must(t, s, unseen, http.StatusOK)
		}
		must(t, s, signed("send_msg", hello(2, "two")), http.StatusOK) // signed anew
		must(t, s, unseen.with("msg_body", "forged"), http.StatusUnauthorized)
		must(t, s, signed("send_msg", hello(1, "edited")), http.StatusOK)
		must(t, s, signed("send_msg", hello(4, "four")), http.StatusOK)
		must(t, s, signed("send_msg", hello(5, "five").with("conv_id", "stranger")), http.StatusOK)
		bob = arrive(t, s, "bob")
		bob.saw(t, "peer alice 2/alice:two", "peer carol 3/carol:three", "edited 1/alice:edited", "peer alice 4/alice:four")
		if got := s.CallbackCounts(); got.Repeated != 4 || got.Refused != 1 || got.Taken != 4 {
			t.Errorf("got %+v, want 4 repeated, 1 refused and 4 taken", got)
		}
		must(t, s, signed("send_msg", hello(6, "six")), http.StatusOK)
		bob.saw(t, "peer alice 6/alice:six")
		time.Sleep(3 * time.Second)

		s = keeping(t, end(t, s, kill, bob))
		arrive(t, s, "bob").saw(t)
		must(t, s, unseen, http.StatusOK)
		must(t, s, unseen.with("msg_body", "forged"), http.StatusUnauthorized)
	})
}

// A ZIM that outlives the Service goes on where it was: the next one has the same feed, and no reset is told.
func TestFeedGoesOn(t *testing.T) {
	eachEnd(t, func(t *testing.T, kill bool) {
		s := keeping(t, t.TempDir())
		bob := arrive(t, s, "bob")
		must(t, s, signed("send_msg", hello(1, "one")), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:one")
		time.Sleep(3 * time.Second)
		next := keeping(t, end(t, s, kill))
		must(t, next, signed("send_msg", hello(2, "two")), http.StatusOK)
		bob.sink.Service = next
		bob.sink.Drop()
		time.Sleep(time.Minute)
		bob.saw(t, "peer alice 2/alice:two")
	})
}

// What callbacks and the service told of groups is known after a restart, before the users have logged in again.
func TestGroupsOverRestart(t *testing.T) {
	eachEnd(t, func(t *testing.T, kill bool) {
		s := keeping(t, t.TempDir())
		bob := arrive(t, s, "bob")
		if _, _, err := bob.QueryGroupList(t.Context(), zim.GroupListQueryConfig{}); err != nil { // by which he is in old
			t.Fatal(err)
		}
		for _, id := range []string{"new", "left"} {
			must(t, s, signed("group_create", object{"group_id": id, "operator_account": "alice", "user_ids": []string{"bob"}}), http.StatusOK)
		}
		must(t, s, signed("group_exit", object{"group_id": "left", "exit_user_ids": []string{"bob"}}), http.StatusOK)
		time.Sleep(3 * time.Second)
		bob.forget()
		s = keeping(t, end(t, s, kill, bob))
		for i, id := range []string{"old", "new", "left", "none"} {
			must(t, s, signed("send_msg", inGroup(i+1, "hi", id)), http.StatusOK)
		}
		arrive(t, s, "bob").saw(t, "group old 1/alice:hi", "group new 2/alice:hi")
	})
}

// An event waits for the slower of two ZIMs of a user over a restart, too, and comes to both of the next ones.
func TestTwoOverRestart(t *testing.T) {
	eachEnd(t, func(t *testing.T, kill bool) {
		s := keeping(t, t.TempDir())
		fast, slow := arrive(t, s, "bob"), arrive(t, s, "bob")
		carol := arrive(t, s, "carol")
		zim.On(slow.ZIM, stuck)
		must(t, s, signed("send_msg", hello(1, "hi")), http.StatusOK)
		must(t, s, signed("send_msg", hello(2, "ho").with("conv_id", "carol")), http.StatusOK)
		fast.saw(t, "peer alice 1/alice:hi")
		carol.saw(t, "peer alice 2/alice:ho")
		time.Sleep(3 * time.Second)
		dir := killed(t, s.Dir)
		if !kill {
			slow.Destroy() // whose event is then what nobody waits for
			fast.Destroy()
			dir = end(t, s, kill, carol)
		}
		s = keeping(t, dir)
		want := []string{"peer alice 1/alice:hi"}
		if !kill {
			want = nil
		}
		both := []*user{arrive(t, s, "bob"), arrive(t, s, "bob")}
		both[0].saw(t, want...)
		both[1].saw(t, want...)
		arrive(t, s, "carol").saw(t)
	})
}

// Who does not come back for 10 minutes after a restart is forgotten, and stays so.
func TestAwayOverRestart(t *testing.T) {
	eachEnd(t, func(t *testing.T, kill bool) {
		s := keeping(t, t.TempDir())
		bob, carol := arrive(t, s, "bob"), arrive(t, s, "carol")
		zim.On(bob.ZIM, stuck)
		zim.On(carol.ZIM, stuck)
		must(t, s, signed("send_msg", hello(1, "one")), http.StatusOK)
		must(t, s, signed("send_msg", hello(2, "two").with("conv_id", "carol")), http.StatusOK)
		bob.Destroy()
		carol.Destroy()
		dir := end(t, s, kill)
		time.Sleep(time.Hour) // while no program runs
		s = keeping(t, dir)
		if n, _ := s.Waiting("bob"); n != 1 {
			t.Errorf("%d events wait, want 1", n)
		}
		time.Sleep(9 * time.Minute)
		arrive(t, s, "bob").saw(t, "peer alice 1/alice:one")
		time.Sleep(2 * time.Minute)
		must(t, s, signed("send_msg", hello(3, "three")), http.StatusOK)
		if n, _ := s.Waiting("carol"); n != 0 || s.CallbackCounts().Dropped != 1 {
			t.Errorf("%d events wait, and %+v, want none and one dropped", n, s.CallbackCounts())
		}
		time.Sleep(3 * time.Second)
		s = keeping(t, end(t, s, kill))
		if n, _ := s.Waiting("carol"); n != 0 {
			t.Errorf("%d events wait after another restart, want none", n)
		}
	})
}

// A verdict is known after a restart, and its handler is not asked again.
func TestVerdictOverRestart(t *testing.T) {
	eachEnd(t, func(t *testing.T, kill bool) {
		asked := 0
		moderated := func(dir string) *cloud.Service {
			s := keeping(t, dir)
			s.OnModeration = func(context.Context, *cloud.Moderation) cloud.Verdict {
				asked++
				return cloud.Verdict{Decision: cloud.DecisionRefuse, Reason: "no"}
			}
			return s
		}
		o := signed("before_send_msg", object{"request_id": "1", "from_user_id": "alice", "conv_id": "bob", "msg_type": 1, "msg_body": "hi"})
		s := moderated(t.TempDir())
		before := send(s, o)
		time.Sleep(2 * time.Second)
		s = moderated(end(t, s, kill))
		after := send(s, o)
		if before.Code != http.StatusOK || after.Code != http.StatusOK || before.Body.String() != after.Body.String() || asked != 1 {
			t.Errorf("got %d %q and then %d %q, asked %d times; want the same, asked once", before.Code, before.Body, after.Code, after.Body, asked)
		}
		must(t, s, o.with("msg_body", "forged"), http.StatusUnauthorized)
	})
}

// One Service at a time has a directory. The next one has it when that one was shut down, whose ZIMs go on without it.
func TestTwoServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		dir := t.TempDir()
		first, second := keeping(t, dir), keeping(t, dir)
		first.ServerSecret, second.ServerSecret = "s", "s"
		log := logTo(second)
		bob := arrive(t, first, "bob")
		for range 2 {
			_, err := second.Dial(t.Context())
			if !errors.Is(err, transport.ErrMisconfigured) || !strings.Contains(err.Error(), "another process, ZIM or Service uses the directory") {
				t.Errorf("got %v, want that the directory is in use", err)
			}
			if w := send(second, signed("send_msg", hello(1, "hi"))); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("got %d and %v, want 503 and when to come again", w.Code, w.Header())
			}
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || second.CallbackCounts().Unwritten != 2 {
			t.Errorf("%d lines were logged, and %+v, want one line, and two that could not be written", n, second.CallbackCounts())
		}
		zim.On(bob.ZIM, stuck)
		must(t, first, signed("send_msg", hello(2, "two")), http.StatusOK)
		synctest.Wait()
		if err := errors.Join(first.Shutdown(t.Context()), first.Shutdown(t.Context())); err != nil {
			t.Fatal(err)
		}
		must(t, first, signed("send_msg", hello(3, "three")), http.StatusServiceUnavailable)
		bob.sink.Drop()
		time.Sleep(time.Minute)
		arrive(t, first, "bob").saw(t, "peer alice 2/alice:two")
		if _, err := second.Dial(t.Context()); err != nil {
			t.Error(err)
		}
		arrive(t, second, "bob").saw(t, "peer alice 2/alice:two")
		info, err := os.Stat(filepath.Join(dir, logName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("got %v, %v, want a file that nobody else reads", info.Mode(), err)
		}
	})
}

// A Service that was shut down before it was used leaves the directory alone.
func TestShutdownUnused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	s := keeping(t, dir)
	s.ServerSecret = "s"
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if c, err := s.Dial(t.Context()); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want no directory", err)
	}
}

// What was handled just before a program ended in order does not come again.
func TestEndAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		bob := arrive(t, s, "bob")
		must(t, s, signed("send_msg", hello(1, "one")), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:one")
		arrive(t, keeping(t, end(t, s, false, bob)), "bob").saw(t)
	})
}
