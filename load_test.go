package zim_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// A service that has too much to do looks for a message before it refuses it only if it is told that the message may be there: so each try
// but the first says so, as does a retry of a message whose fate is not known, and no other one.
func TestSendsSayThatTheyComeAgain(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		var again []bool
		answer := func(*faketransport.Conn) *wire.Response { return nil }
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			if send := req.GetSendMessage(); send != nil {
				again = append(again, send.Again)
				return answer(conn)
			}
			return c.ft.Answer(req)
		})
		busy := &wire.Response{Error: &wire.Error{Code: 6000005, RetryAfterMs: 1500}}
		send := func(retry *zim.Message) (*zim.Message, error) {
			t.Helper()
			content := zim.Content(&zim.TextMessage{Message: "x"})
			if retry != nil {
				content = retry.Content
			}
			return c.SendMessage(t.Context(), content, zim.Peer("bob"), &zim.MessageSendConfig{Retry: retry})
		}
		saw := func(what string, want ...bool) {
			t.Helper()
			synctest.Wait()
			if fmt.Sprint(again) != fmt.Sprint(want) {
				t.Errorf("%s, the sends said %v, want %v", what, again, want)
			}
			again = nil
		}

		answer = func(*faketransport.Conn) *wire.Response { return busy }
		m, err := send(nil)
		e, ok := errors.AsType[*zim.Error](err)
		if !ok || e.RetryAfter != 1500*time.Millisecond || errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("a service that is busy: %v", err)
		}
		saw("after a refusal", false)
		if _, err := send(m); errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("a service that is still busy: %v", err)
		}
		saw("for a message that is not there", false)

		dropped := false
		answer = func(conn *faketransport.Conn) *wire.Response {
			if dropped {
				return busy
			}
			dropped = true
			conn.Drop()
			return nil
		}
		if _, err := send(nil); zim.CodeOf(err) != zim.ErrCommonTriggerServerFrequencyLimit || errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("refused on another connection: %v", err)
		}
		saw("over two connections", false, true)

		answer = func(*faketransport.Conn) *wire.Response { return nil }
		m, err = send(nil)
		if !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Fatalf("without an answer: %v", err)
		}
		saw("without an answer", false)
		answer = func(*faketransport.Conn) *wire.Response { return acknowledged() }
		if _, err := send(m); err != nil {
			t.Error(err)
		}
		saw("for a message that may be there", true)
	})
}

// A login that is refused because there is too much to do fails, and says when to try again. After a lost connection, the client waits for
// as long by itself.
func TestLoginWhenTheServiceIsBusy(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		var logins []time.Time
		refuse := func(*wire.LoginRequest) *wire.Response {
			logins = append(logins, time.Now())
			return &wire.Response{Error: &wire.Error{Code: 6000005, RetryAfterMs: 60_000}}
		}
		c.ft.OnLogin(refuse)
		err := c.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"})
		if e, ok := errors.AsType[*zim.Error](err); !ok || e.Code != zim.ErrCommonTriggerServerFrequencyLimit || e.RetryAfter != time.Minute {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		logins = nil
		c.ft.OnLogin(nil)
		c.login(t)
		c.ft.OnLogin(refuse)
		c.ft.Drop()
		time.Sleep(5 * time.Minute)
		c.ft.OnLogin(nil)
		time.Sleep(2 * time.Minute)
		equal(t, "states", &c.states, []string{"1,1", "0,1", "1,1", "2,0", "3,3", "2,0"})
		if n := len(logins); n < 4 || n > 5 {
			t.Errorf("the client tried %d times", n)
		}
		for i := 1; i < len(logins); i++ {
			if pause := logins[i].Sub(logins[i-1]); pause < time.Minute || pause > 90*time.Second {
				t.Errorf("it tried again after %v, want a minute and up to half of one", pause)
			}
		}
	})
}
