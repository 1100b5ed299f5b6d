package zim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// withRun runs a test in a bubble, with a run that is logged in.
func withRun(t *testing.T, f func(t *testing.T, ft *faketransport.Transport, dir string, a *run)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ft, dir := faketransport.New(t), t.TempDir()
		a := newRun(t, ft, dir)
		a.login(t)
		f(t, ft, dir, a)
	})
}

// ordinary sends a text message that is not durable, and returns what its error will be.
func (r *run) ordinary(ctx context.Context, to zim.ConversationRef, text string) <-chan error {
	result := make(chan error, 1)
	go func() {
		_, err := r.SendMessage(ctx, &zim.TextMessage{Message: text}, to, nil)
		result <- err
	}()
	synctest.Wait()
	return result
}

// A refusal ends a message, and only that one.
func TestRefusalEnds(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, dir string, a *run) {
		ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			if send := req.GetSendMessage(); send != nil && text(send) == "2" {
				return &wire.Response{Error: &wire.Error{Code: int32(zim.ErrMessageTargetDoesNotExist), Message: "no user"}}
			}
			return ft.Answer(req)
		})
		a.durable(t, zim.Peer("bob"), "1", "2", "3")
		synctest.Wait()
		same(t, "told", a.told(), []string{"Success 1", "Failed 2", "Success 3"})
		same(t, "files", outboxFiles(t, dir), nil)
		refused := a.ended()[1]
		// It is the application's again.
		ft.OnRequest(nil)
		if _, err := a.SendMessage(t.Context(), nil, refused.Conversation, &zim.MessageSendConfig{Retry: refused, Durable: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		same(t, "told after the retry", a.told()[3:], []string{"Success 2"})
		if a.ended()[3].LocalID != refused.LocalID || a.ended()[3].Seq != 3 {
			t.Errorf("got %+v", a.ended()[3])
		}
	})
}

// What a service can't do now does not end a message, and what follows it in its conversation waits, durable or not. Other conversations
// go on.
func TestPutOff(t *testing.T) {
	for name, refused := range map[string]*wire.Error{
		"rate limit": {Code: int32(zim.ErrCommonTriggerServerFrequencyLimit), RetryAfterMs: 2000},
		"overload":   {Code: int32(zim.ErrCommonSwitchServerError)},
		"no disk":    {Code: int32(zim.ErrCommonIMDatabaseError), RetryAfterMs: 1000},
		"fault":      {Code: int32(zim.ErrCommonIMServerError)},
		"something":  {Code: 6_999_999, RetryAfterMs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			withRun(t, func(t *testing.T, ft *faketransport.Transport, dir string, a *run) {
				tries := 0
				ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
					if send := req.GetSendMessage(); send != nil && text(send) == "1" {
						if tries++; tries <= 3 {
							return &wire.Response{Error: refused}
						}
					}
					return ft.Answer(req)
				})
				start := time.Now()
				a.durable(t, zim.Peer("bob"), "1", "2")
				third := a.ordinary(t.Context(), zim.Peer("bob"), "3")
				if err := <-a.ordinary(t.Context(), zim.Peer("carol"), "else"); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 0 {
					t.Errorf("the other conversation waited for %v", took)
				}
				if err := <-third; err != nil {
					t.Error(err)
				}
				synctest.Wait()
				took := time.Since(start)
				if took < 3*time.Second || took > 15*time.Second || tries != 4 {
					t.Errorf("got %d tries in %v", tries, took)
				}
				// The queue has room for one event. What is told of ordinary messages may be dropped then.
				durable := slices.DeleteFunc(a.told(), func(s string) bool { return s == "Success else" || s == "Success 3" })
				same(t, "told", durable, []string{"Success 1", "Success 2"})
				same(t, "arrived", arrived(ft), []string{"1", "else", "2", "3"})
				same(t, "files", outboxFiles(t, dir), nil)
			})
		})
	}
}

// A connection that is lost between the tries, or an answer that does not come, changes nothing of the order.
func TestOrderOverLostConnections(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, _ string, a *run) {
		n := 0
		ft.OnRequest(func(c *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetSendMessage() == nil {
				return ft.Answer(req)
			}
			switch n++; n % 5 {
			case 0:
				c.Drop()
			case 1:
				ft.Answer(req)
				c.Drop()
			case 2:
				return nil
			case 3:
				return &wire.Response{Error: &wire.Error{Code: 6000005, RetryAfterMs: 300}}
			}
			return ft.Answer(req)
		})
		var want []string
		var results []<-chan error
		for i := range 20 {
			s := fmt.Sprint(i)
			if want = append(want, "Success "+s); i%3 == 2 {
				results = append(results, a.ordinary(t.Context(), zim.Peer("bob"), s))
			} else {
				a.durable(t, zim.Peer("bob"), s)
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		time.Sleep(time.Hour / 2)
		synctest.Wait()
		// An ordinary message may have given up: then it is not told as sent, and not stored out of order either.
		failed := 0
		for _, result := range results {
			if <-result != nil {
				failed++
			}
		}
		if n := len(a.told()); n != 20 {
			t.Errorf("told of %d messages: %q", n, a.told())
		}
		var seq int64
		for i, m := range a.ended() {
			if m.SentStatus != zim.MessageSentStatusSuccess {
				if !strings.HasPrefix(a.told()[i], "Failed") {
					t.Errorf("%q", a.told()[i])
				}
				continue
			}
			if m.Seq <= seq {
				t.Errorf("%s has the number %d, the one before it %d", said(m), m.Seq, seq)
			}
			seq = m.Seq
		}
		if failed == 0 {
			same(t, "told", a.told(), want)
		}
	})
}

// After 24 hours a message is given up. Whether it may have been stored is told.
func TestAgeEnds(t *testing.T) {
	for name, c := range map[string]struct {
		before func(ft *faketransport.Transport)
		again  bool // the program starts again meanwhile
		want   string
	}{
		"never sent": {func(ft *faketransport.Transport) { ft.Refuse(errors.New("no network")); ft.Drop() }, false, "Failed 1"},
		"no answer":  {ignoring, false, "Failed 1, unknown"},
		"put off":    {func(ft *faketransport.Transport) { ft.OnRequest(refusing(6000005)) }, false, "Failed 1, unknown"},
		"restarted":  {ignoring, true, "Failed 1, unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ft, dir := faketransport.New(t), t.TempDir()
				ft.OnLogin(forADay)
				a := newRun(t, ft, dir)
				a.login(t)
				c.before(ft)
				synctest.Wait()
				a.durable(t, zim.Peer("bob"), "1")
				time.Sleep(23*time.Hour + 58*time.Minute)
				synctest.Wait()
				same(t, "told before", a.told(), nil)
				b := a
				if c.again {
					a.Destroy()
					b = newRun(t, ft, dir)
					time.Sleep(3 * time.Minute)
					synctest.Wait()
					b.login(t)
				}
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				same(t, "told", b.told(), []string{c.want})
				same(t, "files", outboxFiles(t, dir), nil)
				before := len(ft.Sends())
				time.Sleep(time.Hour)
				synctest.Wait()
				if n := len(ft.Sends()); n != before {
					t.Errorf("it was sent %d times more", n-before)
				}
				ft.Accept()
			})
		})
	}
}

func forADay(req *wire.LoginRequest) *wire.Response {
	return &wire.Response{Body: &wire.Response_Login{Login: &wire.LoginResponse{
		TokenTtlMs: (100 * time.Hour).Milliseconds(), Position: &wire.Position{Epoch: 1}, Last: &wire.Position{Epoch: 1},
	}}}
}

// A message that waits behind durable ones ends as others do: with its context, with its time, or with the session.
func TestBehindDurableMessages(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, _ string, a *run) {
		ignoring(ft)
		a.durable(t, zim.Peer("bob"), "1")
		ctx, cancel := context.WithCancel(t.Context())
		second := a.ordinary(ctx, zim.Peer("bob"), "2")
		third := a.ordinary(t.Context(), zim.Peer("bob"), "3")
		cancel()
		if err := <-second; !errors.Is(err, zim.ErrCanceled) || errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("canceled: got %v", err)
		}
		if err := <-third; !errors.Is(err, zim.ErrNetworkRequestTimeout) || errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("too late: got %v", err)
		}
		fourth := a.ordinary(t.Context(), zim.Peer("bob"), "4")
		if _, err := a.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("x")}, zim.Peer("bob"), nil); !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("a command does not wait: got %v, want that it was sent without an answer", err)
		}
		fifth := a.ordinary(t.Context(), zim.Peer("bob"), "5")
		if err := <-fourth; !errors.Is(err, zim.ErrNetworkRequestTimeout) {
			t.Errorf("too late: got %v", err)
		}
		a.Logout(t.Context(), nil)
		if err := <-fifth; !errors.Is(err, zim.ErrNetworkUserHasAlreadyLoggedOut) || errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("logged out: got %v", err)
		}
		ft.OnRequest(nil)
		a.login(t)
		for _, s := range arrived(ft) {
			if strings.ContainsAny(s, "2345") {
				t.Errorf("%q was sent after all", s)
			}
		}
	})
}

// What an earlier run has left goes out at the pace of the SDK, ahead of new messages to the same conversation, and leaves room for those to others.
func TestPaceOfReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft, dir := faketransport.New(t), t.TempDir()
		a := newRun(t, ft, dir)
		a.login(t)
		ignoring(ft)
		var want []string
		for i := range 60 {
			s := fmt.Sprint(i)
			want = append(want, "Success "+s)
			a.durable(t, zim.Peer("bob"), s)
		}
		a.Destroy()
		before := len(ft.Sends())
		times := []time.Time{}
		ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetSendMessage() != nil {
				times = append(times, time.Now())
			}
			return ft.Answer(req)
		})
		z, err := zim.New(zim.AppConfig{AppID: 1, Transport: ft, OutboxDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		var told []string
		zim.On(z, func(_ context.Context, e *zim.MessageSentStatusChanged) {
			told = append(told, e.Infos[0].Status.String()+" "+said(e.Infos[0].Message))
		})
		b := &run{ZIM: z}
		start := time.Now()
		b.login(t)
		last := b.ordinary(t.Context(), zim.Peer("bob"), "last")
		for range 3 {
			if err := <-b.ordinary(t.Context(), zim.Peer("carol"), "else"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if err := <-last; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if took := time.Since(start); took < 5*time.Second || took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
		for i := 10; i < len(times); i++ {
			if d := times[i].Sub(times[i-10]); d < 900*time.Millisecond && i >= 20 {
				t.Errorf("10 messages in %v", d)
			}
		}
		if n := len(ft.Sends()) - before; n != 64 {
			t.Errorf("got %d sends, want 64", n)
		}
		var bobs []string
		for _, s := range told {
			if !strings.HasSuffix(s, "else") {
				bobs = append(bobs, s)
			}
		}
		same(t, "told", bobs, append(want, "Success last"))
	})
}

// What an earlier run has left for other conversations does not delay a message that has just been sent.
func TestReplayDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft, dir := faketransport.New(t), t.TempDir()
		a := newRun(t, ft, dir)
		a.login(t)
		ignoring(ft)
		for i := range 60 {
			a.durable(t, zim.Peer(fmt.Sprint("user", i)), fmt.Sprint(i))
		}
		a.Destroy()
		ft.OnRequest(nil)
		z, err := zim.New(zim.AppConfig{AppID: 1, Transport: ft, OutboxDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		b := &run{ZIM: z}
		b.login(t)
		before := len(ft.Sends())
		for _, s := range []string{"new", "newer"} {
			b.durable(t, zim.Peer("carol"), s)
		}
		synctest.Wait()
		var sent []string
		for _, send := range ft.Sends()[before:] {
			sent = append(sent, text(send))
		}
		same(t, "sent at once", sent, []string{"new", "newer"})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		same(t, "files", outboxFiles(t, dir), nil)
	})
}

// Messages that are given up are told in the order of their calls, and before what follows them in their conversation can end.
func TestAgesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft, dir := faketransport.New(t), t.TempDir()
		ft.OnLogin(forADay)
		a := newRun(t, ft, dir)
		a.login(t)
		ignoring(ft)
		var want []string
		send := func(n int, result string) {
			for i := range n {
				s := fmt.Sprint(len(want))
				want = append(want, result+s)
				a.durable(t, zim.Peer(fmt.Sprint("user", i%5)), s)
				if i%7 == 6 {
					time.Sleep(time.Millisecond)
				}
			}
		}
		send(300, "Failed ")
		time.Sleep(12 * time.Hour)
		send(5, "Success ")
		check := func(what string, r *run) {
			t.Helper()
			got := r.told()
			for i := range got {
				got[i] = strings.TrimSuffix(got[i], ", unknown")
			}
			if len(got) == len(want) {
				slices.Sort(got[300:]) // these are in different conversations
			}
			same(t, what, got, want)
		}
		left := crashed(t, dir)
		time.Sleep(11*time.Hour + 50*time.Minute)
		ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			if send := req.GetSendMessage(); send != nil && slices.Contains(want, "Failed "+text(send)) {
				return nil
			}
			return ft.Answer(req)
		})
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		check("told", a)
		a.Destroy()
		b := newRun(t, ft, left)
		b.login(t)
		check("told in the next run", b)
	})
}
