package e2e_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A countingDialer counts the messages that leave the SDK.
type countingDialer struct {
	transport.Dialer
	sent atomic.Int64
}

func (d *countingDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &countingConn{c.(transport.Pipeline), &d.sent}, nil
}

type countingConn struct {
	transport.Pipeline
	sent *atomic.Int64
}

func (c *countingConn) Start(req *wire.Request, done func(*wire.Response, error)) {
	if req.GetSendMessage() != nil {
		c.sent.Add(1)
	}
	c.Pipeline.Start(req, done)
}

// What is wrong with a message is found before anything is sent, and before the message is attached; the largest that is
// right arrives.
func TestMessageLimits(t *testing.T) {
	text := func(n int) zim.Content { return &zim.TextMessage{Message: strings.Repeat("x", n)} }
	custom := func(n, subType int) zim.Content {
		return &zim.CustomMessage{Message: strings.Repeat("x", n), SubType: subType}
	}
	command := func(n int) zim.Content { return &zim.CommandMessage{Message: make([]byte, n)} }
	bob := zim.Peer("bob")
	tests := map[string]struct {
		content zim.Content
		to      zim.ConversationRef
		config  zim.MessageSendConfig
		code    zim.Code // zero: it is right
	}{
		"largest text":                 {text(2048), bob, zim.MessageSendConfig{}, 0},
		"text too large":               {text(2049), bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"empty text":                   {text(0), bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"blank text":                   {&zim.TextMessage{Message: " \t\n\u3000"}, bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"text that is none":            {&zim.TextMessage{Message: "\xff"}, bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"no content":                   {nil, bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"largest custom":               {custom(2048, 200), bob, zim.MessageSendConfig{}, 0},
		"custom too large":             {custom(2049, 0), bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"sub-type too large":           {custom(1, 201), bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"negative sub-type":            {custom(1, -1), bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"searched content too large":   {&zim.CustomMessage{Message: "x", SearchedContent: strings.Repeat("x", 65)}, bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"largest command":              {command(5120), bob, zim.MessageSendConfig{}, 0},
		"command too large":            {command(5121), bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"empty command":                {command(0), bob, zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"largest extended data":        {text(1), bob, zim.MessageSendConfig{ExtendedData: strings.Repeat("x", 1024)}, 0},
		"extended data too large":      {text(1), bob, zim.MessageSendConfig{ExtendedData: strings.Repeat("x", 1025)}, zim.ErrCommonParamsInvalid},
		"no such priority":             {text(1), bob, zim.MessageSendConfig{Priority: 4}, zim.ErrCommonParamsInvalid},
		"resourcesID of 32":            {text(1), bob, zim.MessageSendConfig{PushConfig: &zim.PushConfig{ResourcesID: strings.Repeat("推", 32)}}, 0},
		"resourcesID of 33":            {text(1), bob, zim.MessageSendConfig{PushConfig: &zim.PushConfig{ResourcesID: strings.Repeat("x", 33)}}, zim.ErrCommonParamsInvalid},
		"to nobody":                    {text(1), zim.Peer(""), zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"to oneself":                   {text(1), zim.Peer("alice"), zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"receiver too long":            {text(1), zim.Peer(strings.Repeat("x", 33)), zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"receiver with a space":        {text(1), zim.Peer("bob "), zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"receiver with a homoglyph":    {text(1), zim.Peer("bоb"), zim.MessageSendConfig{}, zim.ErrCommonParamsInvalid},
		"retry of nothing that failed": {text(1), bob, zim.MessageSendConfig{Retry: &zim.Message{}}, zim.ErrCommonParamsInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := zimtest.NewServer(t, nil)
				srv.Register("bob")
				dialer := &countingDialer{Dialer: srv.InProcess()}
				alice := newZIM(t, dialer)
				login(t, srv, alice, "alice")
				attached := 0
				test.config.Notification.OnMessageAttached = func(*zim.Message) { attached++ }
				m, err := alice.SendMessage(t.Context(), test.content, test.to, &test.config)
				if zim.CodeOf(err) != test.code {
					t.Errorf("got %v, want code %d", err, test.code)
				}
				if right := test.code == 0; (attached == 1) != right || (dialer.sent.Load() == 1) != right || (m != nil) != right {
					t.Errorf("attached %d times, sent %d times, got %+v", attached, dialer.sent.Load(), m)
				}
			})
		})
	}
}

// Limits can be raised for a backend that allows more, up to what the documentation says.
func TestRaisedLimits(t *testing.T) {
	config := zim.AppConfig{AppID: 1, Transport: hangingDialer{}}
	config.Limits.TextSize = 32 << 10
	if z, err := zim.New(config); err != nil {
		t.Error(err)
	} else {
		z.Destroy()
	}
	config.Limits.TextSize++
	if _, err := zim.New(config); zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
		t.Errorf("got %v", err)
	}
}

// Ten messages a second, of any kind; those of high priority have twenty of their own.
func TestSendRate(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		alice := newZIM(t, dialer)
		login(t, srv, alice, "alice")
		burst := func(n int, content zim.Content, priority zim.MessagePriority) (passed int) {
			t.Helper()
			for range n {
				attached := false
				config := &zim.MessageSendConfig{Priority: priority, Notification: zim.MessageSendNotification{
					OnMessageAttached: func(*zim.Message) { attached = true },
				}}
				_, err := alice.SendMessage(t.Context(), content, zim.Peer("bob"), config)
				var e *zim.Error
				switch {
				case err == nil:
					passed++
				case !errors.As(err, &e) || e.Code != zim.ErrCommonTriggerSDKFrequencyLimit || e.RetryAfter <= 0 || e.RetryAfter > time.Second:
					t.Errorf("got %v", err)
				case attached:
					t.Error("a refused message was attached")
				}
			}
			return passed
		}
		text, command := &zim.TextMessage{Message: "x"}, &zim.CommandMessage{Message: []byte("x")}
		if got := burst(15, text, 0); got != 10 {
			t.Errorf("%d of 15 at once, want 10", got)
		}
		if got := burst(5, command, zim.MessagePriorityMedium); got != 0 {
			t.Errorf("%d commands beyond the rate", got)
		}
		if got := burst(25, text, zim.MessagePriorityHigh); got != 20 {
			t.Errorf("%d of 25 with high priority, want 20", got)
		}
		time.Sleep(time.Second)
		if got := burst(15, command, 0); got != 10 {
			t.Errorf("%d of 15 a second later, want 10", got)
		}
	})
}

// What is wrong with a login is found before anything is dialed.
func TestLoginLimits(t *testing.T) {
	tests := map[string]struct {
		userID string
		config *zim.LoginConfig
	}{
		"no user":           {"", &zim.LoginConfig{Token: "04"}},
		"user too long":     {strings.Repeat("x", 33), &zim.LoginConfig{Token: "04"}},
		"user with a slash": {"a/b", &zim.LoginConfig{Token: "04"}},
		"user with a NUL":   {"a\x00", &zim.LoginConfig{Token: "04"}},
		"no config":         {"alice", nil},
		"no token":          {"alice", &zim.LoginConfig{}},
		"token too long":    {"alice", &zim.LoginConfig{Token: strings.Repeat("0", 8<<10+1)}},
		"name too long":     {"alice", &zim.LoginConfig{Token: "04", UserName: strings.Repeat("x", 257)}},
		"name that is none": {"alice", &zim.LoginConfig{Token: "04", UserName: "\xff"}},
		"status too long":   {"alice", &zim.LoginConfig{Token: "04", CustomStatus: strings.Repeat("x", 65)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := newZIM(t, hangingDialer{})
				seen := states(z)
				if err := z.Login(t.Context(), test.userID, test.config); zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
					t.Errorf("got %v", err)
				}
				wantStates(t, seen)
			})
		})
	}
}
