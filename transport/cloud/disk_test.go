package cloud_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/cloud"
)

func readLog(t *testing.T, dir string) []byte {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// fullDisk takes half of what is written, as the last room is.
func fullDisk(f *os.File, b []byte, at int64) (int, error) {
	n, _ := f.WriteAt(b[:len(b)/2], at)
	return n, &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
}

// inBubble runs a test at a time at which callbacks can be signed.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		f(t)
	})
}

// A full disk makes the service send callbacks again. They are taken, once, when there is room, and nobody sees them before.
func TestFullDisk(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		log := logTo(s)
		bob := arrive(t, s, "bob")
		must(t, s, signed("send_msg", hello(1, "one")), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:one")
		time.Sleep(3 * time.Second)
		size := len(readLog(t, s.Dir))
		s.Replace(fullDisk, nil)
		two := signed("send_msg", hello(2, "two"))
		group := signed("group_create", object{"group_id": "g", "operator_account": "alice", "user_ids": []string{"bob"}})
		for range 3 {
			for _, o := range []object{two, signed("send_msg", hello(3, "three")), group, signed("call_create", object{"call_id": "1"})} {
				if w := send(s, o); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
					t.Errorf("got %d and %v, want 503 and when to come again", w.Code, w.Header())
				}
			}
		}
		if w := send(s, signed("before_send_msg", object{"from_user_id": "alice"})); w.Code != http.StatusOK {
			t.Errorf("got %d for a message that a sender waits for, want a verdict", w.Code)
		}
		bob.saw(t)
		if n, size := s.Waiting("bob"); n != 0 || size != 0 {
			t.Errorf("%d events, %d bytes wait, want none", n, size)
		}
		if got := s.CallbackCounts(); got.Unwritten != 12 || got.Full != 0 || got.Taken != 2 {
			t.Errorf("got %+v, want 12 that could not be written", got)
		}
		if got := log.String(); strings.Count(got, "can't be written") != 1 || strings.Contains(got, "level=ERROR") || !strings.Contains(got, "no space left") {
			t.Errorf("got %q, want one warning that says why", got)
		}
		time.Sleep(2 * time.Minute)
		bob.saw(t)
		if files, err := os.ReadDir(s.Dir); err != nil || len(files) != 2 || len(readLog(t, s.Dir)) != size {
			t.Errorf("got %v, %v, and a log of %d bytes, want it and the lock, and %d bytes", files, err, len(readLog(t, s.Dir)), size)
		}
		s.Replace(nil, nil)
		must(t, s, two.with("msg_body", "forged"), http.StatusUnauthorized)
		must(t, s, two, http.StatusOK)
		must(t, s, group, http.StatusOK)
		must(t, s, signed("send_msg", inGroup(4, "four", "g")), http.StatusOK)
		bob.saw(t, "peer alice 2/alice:two", `group g: Enter Invited by "alice"`, `group g members: [bob] Enter Invited by "alice"`, "group g 4/alice:four")
		time.Sleep(3 * time.Second)
		s = keeping(t, end(t, s, true))
		must(t, s, two, http.StatusOK)
		must(t, s, signed("send_msg", hello(1, "uno")), http.StatusOK)
		must(t, s, signed("send_msg", inGroup(5, "five", "g")), http.StatusOK)
		arrive(t, s, "bob").saw(t, "edited 1/alice:uno", "group g 5/alice:five")
	})
}

// After a failed sync, nobody knows what is on the disk: nothing is taken until a restart, also when syncs seem to go well again.
func TestFailedSync(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		log := logTo(s)
		bob := arrive(t, s, "bob")
		must(t, s, signed("send_msg", hello(1, "one")), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:one")
		time.Sleep(3 * time.Second)
		s.Replace(fullDisk, nil)
		must(t, s, signed("send_msg", hello(2, "two")), http.StatusServiceUnavailable)
		s.Replace(nil, func(*os.File) error { return syscall.EIO })
		two := signed("send_msg", hello(2, "two"))
		must(t, s, two, http.StatusServiceUnavailable)
		s.Replace(nil, nil)
		for range 3 {
			must(t, s, two, http.StatusServiceUnavailable)
			time.Sleep(10 * time.Second)
		}
		bob.saw(t)
		if got := log.String(); strings.Count(got, "level=ERROR") != 1 || !strings.Contains(got, "until a restart") {
			t.Errorf("got %q, want one error that says that it needs a restart", got)
		}
		s = keeping(t, end(t, s, true))
		must(t, s, two, http.StatusOK)
		must(t, s, signed("send_msg", hello(3, "three")), http.StatusOK)
		arrive(t, s, "bob").saw(t, "peer alice 2/alice:two 3/alice:three")
	})
}

// Callbacks that come during a sync share the next one. None is answered, and nothing is told, before it is on the disk.
func TestSharedSync(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		bob := arrive(t, s, "bob")
		time.Sleep(3 * time.Second)
		syncs, slow := 0, make(chan struct{})
		s.Replace(nil, func(f *os.File) error {
			syncs++
			<-slow
			return f.Sync()
		})
		var all sync.WaitGroup
		var answered sync.Map
		var want []string
		for i := range 50 {
			id := i + 1
			first, again := signed("send_msg", hello(id, "x")), signed("send_msg", hello(id, "x"))
			for _, o := range []object{first, again, first} {
				all.Go(func() {
					must(t, s, o, http.StatusOK)
					answered.Store(id, true)
				})
				synctest.Wait() // so that they are in order
			}
			want = append(want, "peer alice "+strconv.Itoa(id)+"/alice:x")
		}
		bob.saw(t)
		answered.Range(func(id, _ any) bool {
			t.Errorf("callback %v was answered", id)
			return true
		})
		close(slow)
		all.Wait()
		synctest.Wait()
		if syncs < 2 || syncs > 10 {
			t.Errorf("%d syncs for 150 callbacks, want few", syncs)
		}
		bob.mu.Lock()
		told := strings.Join(bob.told, " ")
		bob.mu.Unlock()
		for i := range want {
			if n := strings.Count(told+" ", fmt.Sprintf(" %d/alice:x ", i+1)); n != 1 {
				t.Errorf("message %d was told %d times in %q", i+1, n, told)
			}
		}
	})
}

// A log does not grow with what is over: it is written anew, with all that still matters, and what a crash leaves of that is no matter.
func TestLogWrittenAnew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		bob, carol := s.Attach("bob", "chess", "r"), arrive(t, s, "carol")
		zim.On(carol.ZIM, stuck)
		must(t, s, signed("send_msg", hello(1, "for carol").with("conv_id", "carol")), http.StatusOK)
		large := strings.Repeat("x", 200<<10)
		first := signed("send_msg", hello(2, large))
		must(t, s, first, http.StatusOK)
		bob.Handle(1)
		largest, before := 0, 0
		for i := range 60 { // 12 MB
			must(t, s, signed("send_msg", hello(10+i, large)), http.StatusOK)
			bob.Handle(1)
			size := len(readLog(t, s.Dir))
			if size < before { // what would be there if a crash had come just before it got its name
				old := killed(t, s.Dir)
				if err := os.WriteFile(filepath.Join(old, logName+".tmp"), readLog(t, s.Dir)[:size/2], 0o600); err != nil {
					t.Fatal(err)
				}
				again := keeping(t, old)
				if n, _ := again.Waiting("carol"); n != 1 {
					t.Errorf("%d events wait, want 1", n)
				}
				if _, err := os.Stat(filepath.Join(old, logName+".tmp")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("got %v, want that nothing is left of it", err)
				}
				again.Shutdown(t.Context())
			}
			largest, before = max(largest, size), size
		}
		if largest > 6<<20 || largest < 4<<20 {
			t.Errorf("the log had up to %d bytes, want a little more than 4 MiB", largest)
		}
		bob.Close()
		time.Sleep(3 * time.Second)
		want := s.Dump()
		s = keeping(t, end(t, s, true))
		if got := s.Dump(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		must(t, s, first, http.StatusOK)
		must(t, s, signed("send_msg", hello(2, large)), http.StatusOK)
		must(t, s, signed("send_msg", inGroup(3, "hi", "chess")), http.StatusOK)
		arrive(t, s, "bob").saw(t, "group chess 3/alice:hi")
		arrive(t, s, "carol").saw(t, "peer alice 1/alice:for carol")
	})
}

// If there is no room for another log, what comes goes on behind the one that there is.
func TestNoRoomToWriteAnew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		bob := s.Attach("bob", "g", "r")
		large := strings.Repeat("x", 200<<10)
		s.Replace(func(f *os.File, b []byte, at int64) (int, error) {
			if at == 0 {
				return fullDisk(f, b, at)
			}
			return f.WriteAt(b, at)
		}, nil)
		for i := range 40 {
			must(t, s, signed("send_msg", hello(10+i, large)), http.StatusOK)
			bob.Handle(1)
		}
		if size := len(readLog(t, s.Dir)); size < 7<<20 {
			t.Errorf("the log has %d bytes, want all", size)
		}
		bob.Close()
		if err := s.Flush(); err != nil {
			t.Error(err)
		}
		if got, want := keeping(t, killed(t, s.Dir)).Dump(), s.Dump(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Whatever comes, at the same time and with a disk that is full now and then: what is on the disk is what is in memory.
func TestLogIsTheInbox(t *testing.T) {
	for seed := range int64(4) {
		t.Run(strconv.FormatInt(seed, 10), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				random := rand.New(rand.NewSource(seed))
				s := keeping(t, t.TempDir())
				s.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
				names := []string{"alice", "bob", "carol", "dave"}
				readers := map[string]*cloud.Reader{}
				id := 0
				for range 50 {
					name := names[random.Intn(len(names))]
					switch random.Intn(8) {
					case 0:
						s.Replace(fullDisk, nil)
					case 1:
						s.Replace(nil, nil)
					case 2:
						if r := readers[name]; r == nil {
							readers[name] = s.Attach(name, "g"+name, "r")
						} else {
							r.Close()
							delete(readers, name)
						}
					case 3:
						if r := readers[name]; r != nil {
							r.Handle(random.Intn(4))
						}
					case 4:
						time.Sleep(time.Duration(random.Intn(500)) * time.Second)
					default:
						var all sync.WaitGroup
						for range 1 + random.Intn(5) {
							id++
							o := signed("send_msg", hello(id, strconv.Itoa(id)).with("from_user_id", "erin").with("conv_id", name))
							if random.Intn(4) == 0 {
								o = signed("group_create", object{"group_id": "g" + strconv.Itoa(random.Intn(3)), "operator_account": "erin", "user_ids": names})
							}
							all.Go(func() {
								switch code := send(s, o).Code; code {
								case http.StatusOK, http.StatusServiceUnavailable:
								default:
									t.Errorf("got %d", code)
								}
							})
						}
						all.Wait()
					}
				}
				for _, r := range readers {
					r.Close()
				}
				s.Replace(nil, nil)
				if err := s.Flush(); err != nil {
					t.Error(err)
				}
				want := s.Dump()
				next := keeping(t, killed(t, s.Dir))
				if got := next.Dump(); !slices.Equal(got, want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		})
	}
}

// Callbacks that come at the same time, each until it is taken, to a disk that is full every other time: each is told once, and the next program has the same.
func TestUntilTaken(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		bob := s.Attach("bob", "g", "r")
		writes := 0
		s.Replace(func(f *os.File, b []byte, at int64) (int, error) {
			if writes++; writes%2 == 0 {
				return fullDisk(f, b, at)
			}
			return f.WriteAt(b, at)
		}, nil)
		const senders, each = 6, 8
		var all sync.WaitGroup
		var want []string
		for i := range senders {
			for k := range each {
				want = append(want, strconv.Itoa(1+i*each+k))
			}
			all.Go(func() {
				for k := range each {
					id := 1 + i*each + k
					o := signed("send_msg", hello(id, strconv.Itoa(id)))
					for tries := 0; send(s, o).Code != http.StatusOK; tries++ {
						if tries > 1000 {
							t.Errorf("callback %d was never taken", id)
							return
						}
					}
				}
			})
		}
		all.Wait()
		bob.Close()
		for _, s := range []*cloud.Service{s, keeping(t, killed(t, s.Dir))} {
			reader := s.Attach("bob", "g", "r")
			var got []string
			for texts := reader.Texts(t); len(texts) > 0; texts = reader.Texts(t) {
				got = append(got, texts...)
				reader.Handle(len(texts))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d messages were told, want each of %d once", len(got), len(want))
			}
			reader.Close()
		}
	})
}

// A callback whose event was taken back, with the others of a write that failed, before it was written down itself is not taken.
func TestTakenBackBefore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		bob := arrive(t, s, "bob")
		two := signed("send_msg", hello(2, "two"))
		err := s.Take(two.json(), func() {
			s.Replace(fullDisk, nil)
			must(t, s, signed("send_msg", hello(1, "one")), http.StatusServiceUnavailable)
			s.Replace(nil, nil)
		})
		if err == nil {
			t.Error("it was taken")
		}
		bob.saw(t)
		must(t, s, two, http.StatusOK)
		bob.saw(t, "peer alice 2/alice:two")
	})
}

// Who is away for too long while an event is being written is forgotten after that.
func TestForgottenWhileWritten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		s.Attach("bob", "g", "r").Close()
		slow := make(chan struct{})
		s.Replace(func(f *os.File, b []byte, at int64) (int, error) {
			<-slow
			return fullDisk(f, b, at)
		}, nil)
		var all sync.WaitGroup
		one := signed("send_msg", hello(1, "one"))
		all.Go(func() { must(t, s, one, http.StatusServiceUnavailable) })
		time.Sleep(11 * time.Minute)
		all.Go(func() { must(t, s, signed("call_create", object{"call_id": "1"}), http.StatusServiceUnavailable) })
		synctest.Wait()
		close(slow)
		all.Wait()
		if n, size := s.Waiting("bob"); n != 0 || size != 0 {
			t.Errorf("%d events, %d bytes wait, want none", n, size)
		}
		s.Replace(nil, nil)
		time.Sleep(2 * time.Minute)
		must(t, s, signed("call_create", object{"call_id": "2"}), http.StatusOK)
		if got, want := keeping(t, killed(t, s.Dir)).Dump(), s.Dump(); !slices.Equal(got, want) || strings.Contains(strings.Join(got, " "), "bob") {
			t.Errorf("got %q, want %q, without bob", got, want)
		}
	})
}

// What is for many is on the disk, and told, for those who have room, although it has to come again for one who has none.
func TestFullForOne(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		s.Attach("bob", "g", "r").Close()
		carol := arrive(t, s, "carol")
		for i := range 20 { // 4 MiB
			must(t, s, signed("send_msg", hello(10+i, strings.Repeat("x", 200<<10))), http.StatusOK)
		}
		both := signed("send_msg", hello(1, strings.Repeat("y", 200<<10)).with("conv_id", "").with("user_list", []object{
			{"UserId": "bob", "MsgId": "1"}, {"UserId": "carol", "MsgId": "2"},
		}))
		must(t, s, both, http.StatusServiceUnavailable)
		synctest.Wait()
		if n := len(carol.told); n != 1 || s.CallbackCounts().Full != 1 {
			t.Errorf("carol was told %d times, and %+v, want once, and one that was full", n, s.CallbackCounts())
		}
		must(t, keeping(t, killed(t, s.Dir)), both, http.StatusServiceUnavailable)
	})
}

// Who was kicked out is in the group again if that could not be written, until it comes again: what was said before is not lost.
func TestExitTakenBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		bob := arrive(t, s, "bob")
		must(t, s, signed("group_create", object{"group_id": "g", "operator_account": "alice", "user_ids": []string{"bob"}}), http.StatusOK)
		bob.forget()
		time.Sleep(3 * time.Second)
		s.Replace(fullDisk, nil)
		said := signed("send_msg", inGroup(4, "four", "g"))
		exit := signed("group_exit", object{"group_id": "g", "exit_type": "Kickout", "operator_account": "alice", "exit_user_ids": []string{"bob"}})
		must(t, s, said, http.StatusServiceUnavailable)
		must(t, s, exit, http.StatusServiceUnavailable)
		s.Replace(nil, nil)
		must(t, s, said, http.StatusOK)
		must(t, s, exit, http.StatusOK)
		bob.saw(t, "group g 4/alice:four", `group g: Quit KickedOut by "alice"`, `group g members: [bob] Quit KickedOut by "alice"`)
	})
}

// A large log for which there is no room is not written anew all the time.
func TestLargeLogOnFullDisk(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := keeping(t, t.TempDir())
		bob := arrive(t, s, "bob")
		zim.On(bob.ZIM, stuck)
		for i := range 900 {
			must(t, s, signed("send_msg", hello(i+1, strings.Repeat("x", 4000))), http.StatusOK)
		}
		time.Sleep(3 * time.Second)
		var bytes int
		full := func(f *os.File, b []byte, at int64) (int, error) {
			bytes += len(b)
			return fullDisk(f, b, at)
		}
		s.Replace(full, nil)
		must(t, s, signed("send_msg", hello(1001, "not now")), http.StatusServiceUnavailable)
		start := time.Now()
		for i := range 10_000 {
			must(t, s, signed("send_msg", hello(1002+i, "not now")), http.StatusServiceUnavailable)
			time.Sleep(time.Millisecond)
		}
		if limit := int(time.Since(start).Milliseconds())*(12<<10) + 8<<20; bytes > limit {
			t.Errorf("%d MB were tried in %v", bytes>>20, time.Since(start))
		}
		s.Replace(nil, nil)
		time.Sleep(time.Second)
		must(t, s, signed("send_msg", hello(20_000, "now")), http.StatusOK)
	})
}
