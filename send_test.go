package zim_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// holdSends makes the service keep what it is sent, without an answer, and returns what it keeps.
func (c *client) holdSends() *[]func(resp *wire.Response) {
	held := new([]func(*wire.Response))
	c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
		if req.GetSendMessage() == nil {
			return c.ft.Answer(req)
		}
		*held = append(*held, func(resp *wire.Response) { conn.Reply(req, resp) })
		return nil
	})
	return held
}

func acknowledged() *wire.Response {
	return &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{MessageId: 7, MessageSeq: 1}}}
}

// canceledSend sends a message whose context ends while it is on its way.
func (c *client) canceledSend(t *testing.T) *zim.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	m, err := c.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
	if !errors.Is(err, zim.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) || m == nil {
		t.Fatalf("got %v, %v, want an unknown outcome", m, err)
	}
	synctest.Wait()
	return m
}

// An acknowledgment that comes after SendMessage returned is told, and told last.
func TestLateAcknowledgment(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		var told []string
		zim.On(c.ZIM, func(_ context.Context, e *zim.MessageSentStatusChanged) {
			for _, info := range e.Infos {
				told = append(told, info.Status.String()+info.Message.ID)
			}
		})
		c.login(t)
		held := c.holdSends()
		c.canceledSend(t)
		(*held)[0](acknowledged())
		equal(t, "status", &told, []string{"Failed", "Success7"})
	})
}

// A retry of a send that nobody waits for any more waits for that one: the message is not sent twice.
func TestRetryFindsTheFirstTry(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		held := c.holdSends()
		m := c.canceledSend(t)
		result := make(chan error, 1)
		go func() {
			again, err := c.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m, ExtendedData: "ignored"})
			if again == nil || again.LocalID != m.LocalID || again.ID != "7" {
				t.Errorf("got %+v, %v", again, err)
			}
			result <- err
		}()
		synctest.Wait()
		_, err := c.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m})
		if zim.CodeOf(err) != zim.ErrCommonParamsInvalid || !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("while it is being retried: %v", err)
		}
		(*held)[0](acknowledged())
		if err := <-result; err != nil {
			t.Error(err)
		}
		if got := len(c.ft.Sends()); got != 1 {
			t.Errorf("got %d sends, want 1", got)
		}
	})
}

// What is not known of the first try is not known after a second one that failed.
func TestUnknownStaysUnknown(t *testing.T) {
	for name, fail := range map[string]func(c *client){
		"no network":  func(c *client) { c.ft.Refuse(errors.New("no network")) },
		"kicked":      func(c *client) { c.ft.PushRaw(&wire.Push{SessionEnd: &wire.SessionEnd{}}) },
		"not stored?": func(c *client) { c.ft.OnRequest(refusing(6000008)) },
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(t *testing.T, c *client) {
				c.login(t)
				c.holdSends()
				m := c.canceledSend(t)
				c.ft.Drop()
				time.Sleep(time.Minute)
				fail(c)
				if name == "no network" {
					c.ft.Drop()
				}
				synctest.Wait()
				_, err := c.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m})
				if err == nil || !errors.Is(err, zim.ErrOutcomeUnknown) {
					t.Errorf("got %v, want an outcome that is still unknown", err)
				}
			})
		})
	}
	t.Run("looked for and not found", func(t *testing.T) {
		with(t, func(t *testing.T, c *client) {
			c.login(t)
			c.holdSends()
			m := c.canceledSend(t)
			c.ft.Drop()
			time.Sleep(time.Minute)
			c.ft.OnRequest(refusing(6000204))
			_, err := c.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m})
			if zim.CodeOf(err) != zim.ErrMessageTargetDoesNotExist || errors.Is(err, zim.ErrOutcomeUnknown) {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	})
}

func refusing(code int32) func(*faketransport.Conn, *wire.Request) *wire.Response {
	return func(*faketransport.Conn, *wire.Request) *wire.Response {
		return &wire.Response{Error: &wire.Error{Code: code}}
	}
}

// A resend that is refused does not mean that the first try was.
func TestRefusedResend(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			c.ft.OnRequest(refusing(6000008))
			conn.Drop()
			return nil
		})
		_, err := c.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
		if !errors.Is(err, zim.ErrCommonIMDatabaseError) || !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("got %v, want an unknown outcome", err)
		}
	})
}

// A command is sent once: if its connection breaks, nobody knows whether it arrived, and it does not come late.
func TestCommandIsSentOnce(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.OnRequest(func(conn *faketransport.Conn, _ *wire.Request) *wire.Response {
			c.ft.OnRequest(nil)
			conn.Drop()
			return nil
		})
		_, err := c.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("x")}, zim.Peer("bob"), nil)
		if zim.CodeOf(err) != zim.ErrCommonIMServerDisconnect || !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("got %v, want an unknown outcome", err)
		}
		time.Sleep(time.Minute)
		if got := len(c.ft.Sends()); got != 1 {
			t.Errorf("got %d sends, want 1", got)
		}
	})
}

// A message does not wait without end, however often the connection comes back and breaks.
func TestSendEndsOnABadConnection(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		c.ft.OnRequest(func(conn *faketransport.Conn, req *wire.Request) *wire.Response {
			if req.GetSendMessage() != nil {
				conn.Drop()
				return nil
			}
			return c.ft.Answer(req)
		})
		start := time.Now()
		_, err := c.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
		if !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("got %v, want an unknown outcome", err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// A message that no service would read is refused before it is attached, and nothing else has to wait for it.
func TestOversizeUnknownMessage(t *testing.T) {
	with(t, func(t *testing.T, c *client) {
		c.login(t)
		m, err := c.SendMessage(t.Context(), &zim.UnknownMessage{Kind: 99, Data: make([]byte, 70<<10)}, zim.Peer("bob"), nil)
		if m != nil || zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
			t.Errorf("got %v, %v", m, err)
		}
		if _, err := c.SendMessage(t.Context(), &zim.UnknownMessage{Kind: 99, Data: []byte("small")}, zim.Peer("bob"), nil); err != nil {
			t.Error(err)
		}
	})
}
