package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// newSender returns a run of a program with an outbox. It sends faster than the backend allows.
func newSender(t *testing.T, dialer transport.Dialer, dir string) *zim.ZIM {
	t.Helper()
	z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, OutboxDir: dir, DeviceID: "sender", Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	return z
}

// crash returns what is left of an outbox if its program crashes now.
func crash(t *testing.T, z *zim.ZIM, dir string) string {
	t.Helper()
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	z.Destroy()
	return left
}

// A story is a sender who crashes again and again, at any moment, over a network that breaks and a backend that restarts.
type story struct {
	t   *testing.T
	srv *zimtest.Server

	mu      sync.Mutex
	rng     *rand.Rand
	durable []string                // texts that the outbox has taken, in their order
	told    map[string]int          // how often a handler that returned was told of which
	others  map[string]error        // how ordinary messages ended
	all     map[string]*zim.Message // what was told of durable messages
}

// life is one run of the program: it sends messages, number after number, and crashes.
func (s *story) life(dir string, number *int, dialer transport.Dialer) (left string) {
	z := newSender(s.t, dialer, dir)
	zim.On(z, func(ctx context.Context, e *zim.MessageSentStatusChanged) {
		select {
		case <-time.After(s.upTo(100 * time.Millisecond)):
		case <-ctx.Done():
			return // the crash came first
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, info := range e.Infos {
			text := info.Message.Content.(*zim.TextMessage).Message
			if info.Err != nil && slices.Contains(s.durable, text) {
				s.t.Errorf("%q failed: %v", text, info.Err)
			}
			s.told[text]++
			s.all[text] = info.Message
		}
	})
	login(s.t, s.srv, z, "alice")
	var sending sync.WaitGroup
	for range 8 + s.intN(8) {
		*number++
		text, to := fmt.Sprint(*number), zim.Peer("bob")
		if s.intN(4) == 0 {
			to = zim.Peer("carol")
		}
		if s.intN(3) == 0 {
			sending.Go(func() {
				_, err := z.SendMessage(s.t.Context(), &zim.TextMessage{Message: text}, to, nil)
				s.mu.Lock()
				defer s.mu.Unlock()
				s.others[text] = err
			})
			synctest.Wait() // it is in the outbox
		} else {
			_, err := z.SendMessage(s.t.Context(), &zim.TextMessage{Message: text}, to, &zim.MessageSendConfig{Durable: true})
			if err != nil {
				s.t.Errorf("%q: %v", text, err)
			}
			s.mu.Lock()
			s.durable = append(s.durable, text)
			s.mu.Unlock()
		}
		switch s.intN(8) {
		case 0:
			s.srv.Cut("alice")
		case 1:
			s.srv.Restart()
		case 2, 3:
			time.Sleep(s.upTo(500 * time.Millisecond))
		}
	}
	time.Sleep(s.upTo(300 * time.Millisecond))
	left = crash(s.t, z, dir)
	sending.Wait()
	return left
}

func (s *story) intN(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

func (s *story) upTo(d time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.rng.Int64N(int64(d)))
}

// Wherever the sender crashes, each durable message is in the log once and in order, also with regard to ordinary ones, and a handler was told
// of it. (G2, G3, F10)
func TestDurableMessagesSurvive(t *testing.T) {
	report := tier.Begin(t, "durable messages")
	seeds, lives := tier.Pick(4, 150), 5
	messages, again := 0, 0
	start := time.Now()
	for seed := range seeds {
		name := []string{"inproc", "websocket"}[seed%2]
		t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := zimtest.NewServer(t, nil)
				srv.Register("bob", "carol")
				s := &story{
					t: t, srv: srv, rng: rand.New(rand.NewPCG(uint64(seed), 1)),
					told: map[string]int{}, others: map[string]error{}, all: map[string]*zim.Message{},
				}
				dir, number := t.TempDir(), 0
				for range lives {
					dir = s.life(dir, &number, srv.Transports()[name])
				}
				// The last run only empties the outbox.
				z := newSender(t, srv.Transports()[name], dir)
				zim.On(z, func(_ context.Context, e *zim.MessageSentStatusChanged) {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.told[e.Infos[0].Message.Content.(*zim.TextMessage).Message]++
				})
				login(t, srv, z, "alice")
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				s.check(t, z)
				messages += len(s.durable)
				for _, n := range s.told {
					again += max(n-1, 0)
				}
			})
		})
	}
	report(map[string]any{
		"seeds": seeds, "crashes": seeds * lives, "messages": messages, "told again": again, "seconds": time.Since(start).Seconds(),
	})
}

// check compares what the service has with what was sent.
func (s *story) check(t *testing.T, z *zim.ZIM) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	inLog := map[string]int{}
	for _, to := range []string{"bob", "carol"} {
		last := 0
		for m, err := range z.HistoryMessages(t.Context(), zim.Peer(to), zim.MessageOrderAscending) {
			if err != nil {
				t.Fatal(err)
			}
			text := m.Content.(*zim.TextMessage).Message
			var n int
			fmt.Sscan(text, &n)
			if n <= last {
				t.Errorf("%s got %d after %d", to, n, last)
			}
			last = max(last, n)
			inLog[text]++
		}
	}
	for _, text := range s.durable {
		if inLog[text] != 1 || s.told[text] == 0 {
			t.Errorf("%q is %d times in the log, and was told %d times", text, inLog[text], s.told[text])
		}
	}
	for text, err := range s.others {
		n := inLog[text]
		if err == nil && n != 1 || n > 1 || err != nil && !errors.Is(err, zim.ErrOutcomeUnknown) && n > 0 {
			t.Errorf("%q is %d times in the log, and ended with %v", text, n, err)
		}
	}
	if len(inLog) > len(s.durable)+len(s.others) {
		t.Errorf("%d messages are in the log, %d were sent", len(inLog), len(s.durable)+len(s.others))
	}
}

// A durable message of an earlier run is this ZIM's own: it does not come as that of another device. The other device gets it once.
func TestRevivedMessageIsOnesOwn(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		other := device(t, srv, dialer, "alice", "other")
		dir := t.TempDir()
		gate := &gatedDialer{Dialer: dialer}
		first := newSender(t, gate, dir)
		login(t, srv, first, "alice")
		other.since()
		gate.shut(true)
		srv.Cut("alice")
		if _, err := first.SendMessage(t.Context(), &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), &zim.MessageSendConfig{Durable: true}); err != nil {
			t.Fatal(err)
		}
		left := crash(t, first, dir)
		second := newSender(t, dialer, left)
		own, told := newInbox(second), 0
		zim.On(second, func(context.Context, *zim.MessageSentStatusChanged) { told++ })
		elsewhere := newInbox(other.ZIM)
		login(t, srv, second, "alice")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := own.texts(); len(got) != 0 || told != 1 {
			t.Errorf("the device that sent it got %v, and was told %d times how it ended, want nothing and once", got, told)
		}
		if got := elsewhere.texts(); !slices.Equal(got, []string{"hi"}) {
			t.Errorf("the other device got %v, want it once", got)
		}
	})
}

// A client that crashes while a handler runs gets that event again in its next run, and no event is lost, wherever it crashes. (G6)
func TestReceiverCrashes(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		const count = 60
		rng := rand.New(rand.NewPCG(6, 6))
		srv.Register("alice")
		bob := newFastZIM(t, dialer)
		login(t, srv, bob, "bob")
		go func() {
			for i := range count {
				if _, err := bob.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i)}, zim.Peer("alice"), nil); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
		var returned []int // of handlers that returned before the crash
		runs, interrupted, repeated := 0, 0, 0
		for len(returned) == 0 || returned[len(returned)-1] != count-1 {
			if runs++; runs > 200 {
				t.Fatalf("after %d runs, the last message is %v", runs, returned)
			}
			z := newZIM(t, dialer)
			crashAt, crashing := rng.IntN(12), make(chan struct{})
			first, n := true, 0
			zim.On(z, func(ctx context.Context, e *zim.PeerMessageReceived) {
				for _, m := range e.Messages {
					var i int
					fmt.Sscan(m.Content.(*zim.TextMessage).Message, &i)
					expected := 0
					if len(returned) > 0 {
						expected = returned[len(returned)-1] + 1
					}
					if first && i < expected {
						repeated += expected - i
						returned = returned[:i]
					} else if i != expected {
						t.Errorf("run %d: got %d, want %d", runs, i, expected)
					}
					first = false
					if n++; n > crashAt {
						close(crashing)
						<-ctx.Done() // the handler has not returned when the program ends
						return
					}
					returned = append(returned, i)
				}
			})
			login(t, srv, z, "alice")
			select {
			case <-crashing:
				interrupted++
			case <-time.After(20 * time.Second):
			}
			z.Destroy()
			synctest.Wait()
		}
		if interrupted < 5 {
			t.Errorf("the handler was interrupted %d times in %d runs, want more", interrupted, runs)
		}
		t.Logf("%d runs, %d in a handler; %d messages came again", runs, interrupted, repeated)
	})
}

// A file that was uploaded need not be uploaded again, neither by the outbox of the next run nor by a retry of what that gives back.
func TestUploadedFileSurvives(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		dir := t.TempDir()
		gate := &gatedDialer{Dialer: dialer}
		first := newSender(t, gate, dir)
		login(t, srv, first, "alice")
		content := &zim.FileMessage{File: zim.File{Reader: strings.NewReader("data"), Name: "f.txt", Size: 4}}
		m, err := first.SendMessage(t.Context(), content, zim.Peer("nobody"), nil)
		if !errors.Is(err, zim.ErrMessageTargetDoesNotExist) {
			t.Fatal(err)
		}
		gate.shut(true)
		srv.Cut("alice")
		if _, err := first.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m, Durable: true}); err != nil {
			t.Fatal(err)
		}
		second := newSender(t, dialer, crash(t, first, dir))
		told := make(chan zim.MessageSentStatusChangeInfo, 10)
		zim.On(second, func(_ context.Context, e *zim.MessageSentStatusChanged) { told <- e.Infos[0] })
		login(t, srv, second, "alice")
		ended := <-told
		if !errors.Is(ended.Err, zim.ErrMessageTargetDoesNotExist) || errors.Is(ended.Err, zim.ErrOutcomeUnknown) {
			t.Fatalf("got %+v, want a refusal", ended)
		}
		srv.Register("nobody")
		m, err = second.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: ended.Message})
		if err != nil {
			t.Fatal(err)
		}
		if f := m.Content.(*zim.FileMessage); m.LocalID != ended.Message.LocalID || f.Name != "f.txt" || f.URL == "" {
			t.Errorf("got %+v with %+v", m, f)
		}
	})
}
