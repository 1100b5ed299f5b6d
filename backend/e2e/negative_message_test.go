package e2e_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// customTo, commandTo and textTo are messages with the local ID n.
func customTo(userID string, n int, c *wire.CustomContent) *wire.SendMessageRequest {
	m := textTo(userID, n, "")
	m.Type = 200
	m.Content, _ = proto.Marshal(c)
	return m
}

func commandTo(userID string, n int, command []byte) *wire.SendMessageRequest {
	m := textTo(userID, n, "")
	m.Type = 2
	m.Content, _ = proto.Marshal(&wire.CommandContent{Message: command})
	return m
}

func extended(m *wire.SendMessageRequest, data string) *wire.SendMessageRequest {
	m.ExtendedData = data
	return m
}

// The server has limits of its own, to the byte.
func TestNegativeContent(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for name, test := range map[string]struct {
		message *wire.SendMessageRequest
		code    int32 // zero: it is right
	}{
		"text of 2048 bytes":              {textTo("bob", 0, x(2048)), 0},
		"text of 2049 bytes":              {textTo("bob", 0, x(2049)), 6000001},
		"text of 60 KiB":                  {textTo("bob", 0, x(60<<10)), 6000001},
		"text of 2049 bytes in 683 runes": {textTo("bob", 0, strings.Repeat("界", 683)), 6000001},
		"custom of 2048 bytes":            {customTo("bob", 0, &wire.CustomContent{Message: x(2048), SubType: 200, SearchedContent: x(64)}), 0},
		"custom of 2049 bytes":            {customTo("bob", 0, &wire.CustomContent{Message: x(2049)}), 6000001},
		"searched content of 65 bytes":    {customTo("bob", 0, &wire.CustomContent{Message: "x", SearchedContent: x(65)}), 6000001},
		"command of 5120 bytes":           {commandTo("bob", 0, make([]byte, 5120)), 0},
		"command of 5121 bytes":           {commandTo("bob", 0, make([]byte, 5121)), 6000001},
		"empty command":                   {commandTo("bob", 0, nil), 6000001},
		"extended data of 1024 bytes":     {extended(textTo("bob", 0, "x"), x(1024)), 0},
		"extended data of 1025 bytes":     {extended(textTo("bob", 0, "x"), x(1025)), 6000001},
		"extended data with a command":    {extended(commandTo("bob", 0, []byte("x")), x(1025)), 6000001},
		"empty text":                      {textTo("bob", 0, ""), 6000001},
		"spaces":                          {textTo("bob", 0, "   "), 6000001},
		"tabs and lines":                  {textTo("bob", 0, "\t\r\n\v\f"), 6000001},
		"ideographic spaces":              {textTo("bob", 0, "\u3000\u2003\u00a0\u0085"), 6000001},
		"empty custom":                    {customTo("bob", 0, &wire.CustomContent{SubType: 1, SearchedContent: "x"}), 6000001},
		"to oneself":                      {textTo("alice", 0, "x"), 6000001},
		"command to oneself":              {commandTo("alice", 0, []byte("x")), 6000001},
		"to nobody":                       {textTo("nobody", 0, "x"), 6000204},
		"command to nobody":               {commandTo("nobody", 0, []byte("x")), 6000204},
		"case of the receiver":            {textTo("Bob", 0, "x"), 6000204},
	} {
		t.Run(name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				if test.code == 0 && test.message.Type != 2 {
					h.stored = 1
				}
				c := h.login(t, "alice")
				resp := c.call(test.message)
				if resp.GetError().GetCode() != test.code || (resp.GetSendMessage() != nil) != (test.code == 0) {
					t.Errorf("got %.100v, want %d", resp, test.code)
				}
				if h.registered(t, "nobody") || h.last(t, "alice") != 0 {
					t.Error("something is there that should not be")
				}
				// A message that was refused has used up no number.
				want := int64(h.stored) + 1
				h.stored++
				if resp := c.call(textTo("bob", 1, "next")); resp.GetSendMessage().GetMessageSeq() != want {
					t.Errorf("the next message: got %v, want number %d", resp, want)
				}
			})
		})
	}
}

// A client that believes in larger limits learns the server's.
func TestServerLimits(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		z, err := zim.New(zim.AppConfig{
			AppID:     zimtest.AppID,
			Transport: dialer,
			Limits:    zim.Limits{TextSize: 32 << 10, CustomSize: 32 << 10, CommandSize: 32 << 10, ExtendedDataSize: 16 << 10},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		bob := newZIM(t, dialer)
		in := newInbox(bob)
		login(t, srv, z, "alice")
		login(t, srv, bob, "bob")
		x := func(n int) string { return strings.Repeat("x", n) }
		for name, test := range map[string]struct {
			content  zim.Content
			extended string
			to       string
			code     zim.Code
		}{
			"text":          {&zim.TextMessage{Message: x(2049)}, "", "bob", zim.ErrCommonParamsInvalid},
			"custom":        {&zim.CustomMessage{Message: x(2049)}, "", "bob", zim.ErrCommonParamsInvalid},
			"command":       {&zim.CommandMessage{Message: make([]byte, 5121)}, "", "bob", zim.ErrCommonParamsInvalid},
			"extended data": {&zim.TextMessage{Message: "x"}, x(1025), "bob", zim.ErrCommonParamsInvalid},
			"receiver":      {&zim.TextMessage{Message: "x"}, "", "nobody", zim.ErrMessageTargetDoesNotExist},
		} {
			m, err := z.SendMessage(t.Context(), test.content, zim.Peer(test.to), &zim.MessageSendConfig{ExtendedData: test.extended})
			if zim.CodeOf(err) != test.code {
				t.Errorf("%s: got %v, want %v", name, err, test.code)
			}
			if m == nil || m.SentStatus != zim.MessageSentStatusFailed {
				t.Errorf("%s: got %+v, want a failed message", name, m)
			}
		}
		if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "right"}, zim.Peer("bob"), nil); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := in.texts(); !slices.Equal(got, []string{"right"}) {
			t.Errorf("bob got %q", got)
		}
	})
}

func TestNegativeIdentity(t *testing.T) {
	t.Run("N35/forged sender", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			c, bob := h.login(t, "alice"), h.login(t, "bob")
			m := textTo("bob", 0, "hello")
			// There is no field for a sender. These are what other messages have, and what one might guess.
			var fields []byte
			for num := protowire.Number(15); num < 40; num++ {
				fields = protowire.AppendString(protowire.AppendTag(fields, num, protowire.BytesType), "carol")
			}
			m.ProtoReflect().SetUnknown(fields)
			m.Content = append(m.Content, fields...)
			if resp := c.call(m); resp.GetSendMessage() == nil {
				t.Errorf("got %v, want an acknowledgment", resp)
			}
			got := bob.next().GetPush().GetEvents().GetEvents()[0].GetMessage()
			if got.ConversationId != "alice" || got.SenderUserId != "" {
				t.Errorf("bob got a message of %q in the conversation with %q, want alice's", got.SenderUserId, got.ConversationId)
			}
			if e := h.events(t, "bob")[0]; e.Message.Sender.UserID != "alice" || e.Message.Conversation.Name("bob") != "alice" {
				t.Errorf("the message of %q is in the conversation with %q, want alice's", e.Message.Sender.UserID, e.Message.Conversation.Name("bob"))
			}
			if h.last(t, "carol") != 0 {
				t.Error("carol has got something")
			}
		})
	})
	t.Run("N43/a local ID for something else", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			c := h.login(t, "alice")
			first := c.call(textTo("bob", 0, "hello")).GetSendMessage()
			for name, m := range map[string]*wire.SendMessageRequest{
				"text":          textTo("bob", 0, "other"),
				"longer":        textTo("bob", 0, "hello, hello"),
				"extended data": extended(textTo("bob", 0, "hello"), "more"),
				"type":          customTo("bob", 0, &wire.CustomContent{Message: "hello"}),
			} {
				resp := c.call(m)
				if resp.GetError().GetCode() != -4 || resp.GetSendMessage() != nil {
					t.Errorf("%s: got %v, want the error -4", name, resp)
				}
			}
			for range 3 {
				if got := c.call(textTo("bob", 0, "hello")).GetSendMessage(); !proto.Equal(got, first) {
					t.Errorf("a retry: got %v, want %v", got, first)
				}
			}
			if e := h.events(t, "bob")[0]; !bytes.Equal(e.Message.Content, textTo("bob", 0, "hello").Content) || e.Message.Extended != "" {
				t.Errorf("got %+v, want the first message", e)
			}
		})
	})
	t.Run("N43/after the receiver's events are gone", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 2
			c := h.login(t, "alice")
			c.call(textTo("bob", 0, "hello"))
			c.call(textTo("bob", 1, "hello"))
			if err := h.store.Prune(-time.Hour); err != nil {
				t.Fatal(err)
			}
			if resp := c.call(textTo("bob", 0, "hello")); resp.GetSendMessage().GetMessageSeq() != 1 {
				t.Errorf("got %v, want message 1", resp)
			}
			c.wantRefused(textTo("bob", 0, "other"), -4)
		})
	})
	t.Run("N43/on different connections", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			c := h.login(t, "alice")
			release := h.hold(t)
			c.send(delimited(c.request(textTo("bob", 0, "hello")), c.request(textTo("bob", 0, "hello")), c.request(textTo("bob", 0, "other"))))
			synctest.Wait()
			release()
			first, second, third := c.answer(2), c.answer(3), c.answer(4)
			if first.GetSendMessage() == nil || !proto.Equal(first, second) || third.GetError().GetCode() != -4 {
				t.Errorf("got %v, %v and %v, want the same twice and the error -4", first, second, third)
			}
		})
	})
	t.Run("N44/another sender", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			alice, bob := h.login(t, "alice"), h.login(t, "bob")
			if resp := alice.call(textTo("bob", 0, "hello")); resp.GetSendMessage().GetMessageSeq() != 1 {
				t.Errorf("got %v, want message 1", resp)
			}
			// Bob is told nothing of whether alice has used an ID: he stores a message of his own, whatever is in it.
			for i, text := range []string{"hello", "other"} {
				m := textTo("alice", i, text)
				if resp := bob.call(m); resp.GetSendMessage().GetMessageSeq() != int64(i+2) {
					t.Errorf("got %v, want message %d", resp, i+2)
				}
			}
			if got := h.events(t, "alice"); len(got) != 2 || got[0].Message.Sender.UserID != "bob" {
				t.Errorf("alice has %+v", got)
			}
		})
	})
	t.Run("N44/another conversation", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			h.srv.Register("frank")
			c := h.login(t, "alice")
			c.call(textTo("bob", 0, "hello"))
			if resp := c.call(textTo("frank", 0, "other")); resp.GetSendMessage().GetMessageSeq() != 1 {
				t.Errorf("got %v, want message 1 of another conversation", resp)
			}
		})
	})
	t.Run("N99/text that looks like SQL", func(t *testing.T) {
		for i, nasty := range []string{
			"'; DROP TABLE message; --", `" OR ""="`, "%_\\", "Robert'); DELETE FROM user; --", "nul \x00 behind", "\u202eesrever", "NULL", "?1 :a @b $c",
		} {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
					h.stored = 2
					h.srv.Register("x)--")
					req := loginRequest(h.srv, "alice")
					req.UserName, req.CustomStatus, req.DeviceId, req.SdkVersion = nasty, nasty, nasty, nasty
					c := h.dial(t)
					if resp := c.call(req); resp.GetLogin() == nil {
						t.Fatalf("got %v, want a login", resp)
					}
					text := extended(textTo("bob", 0, nasty), nasty)
					custom := customTo("bob", 1, &wire.CustomContent{Message: nasty, SearchedContent: nasty})
					for n, m := range []*wire.SendMessageRequest{text, custom, textTo("x)--", 2, nasty)} {
						if resp := c.call(m); resp.GetSendMessage() == nil {
							t.Errorf("message %d: got %v, want an acknowledgment", n, resp)
						}
					}
					got := h.events(t, "bob")
					if string(got[0].Message.Content) != string(text.Content) || got[0].Message.Extended != nasty || string(got[1].Message.Content) != string(custom.Content) {
						t.Errorf("got %+v", got)
					}
					if got := h.events(t, "x)--"); len(got) != 1 {
						t.Errorf("the user with the strange name has %+v", got)
					}
					err := h.store.View(t.Context(), func(tx *store.Tx) error {
						u, err := tx.User(zimtest.AppID, "alice")
						if u == nil || u.Name != nasty {
							t.Errorf("got %+v, want the name %q", u, nasty)
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				})
			})
		}
	})
}

// N47: whoever sends faster than is allowed gets as much stored as is allowed, in order, and is told about the rest.
func TestNegativeRate(t *testing.T) {
	slow := func(a *backend.App) { a.Limits.SendBurst = 10 }
	t.Run("N47/100 in a second, for 5 s", func(t *testing.T) {
		hostile(t, zimtest.Options{App: slow}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			var accepted []int
			for n := range 500 {
				resp := c.call(textTo("bob", n, fmt.Sprint(n)))
				switch e := resp.GetError(); {
				case e == nil:
					accepted = append(accepted, n)
					if got := resp.GetSendMessage().GetMessageSeq(); got != int64(len(accepted)) {
						t.Errorf("message %d: got number %d, want %d", n, got, len(accepted))
					}
				case e.Code != 6000005 || e.RetryAfterMs <= 0 || e.RetryAfterMs > 5*60*1000:
					t.Errorf("message %d: got %v, want the error 6000005 with a time", n, resp)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if n := len(accepted); n < 59 || n > 60 {
				t.Errorf("%d were accepted, want 10 at once and 10 in a second", n)
			}
			h.stored = uint32(len(accepted))
			for i, e := range h.events(t, "bob") {
				if got, want := string(e.Message.Content), string(textTo("bob", 0, fmt.Sprint(accepted[i])).Content); got != want {
					t.Errorf("event %d is %q, want %q", i, got, want)
				}
			}
		})
	})
	t.Run("N47/all in one WebSocket message", func(t *testing.T) {
		hostile(t, zimtest.Options{App: slow}, func(t *testing.T, h *host) {
			h.stored = 10
			c := h.login(t, "alice")
			var frames []*wire.Frame
			for n := range 100 {
				frames = append(frames, c.request(textTo("bob", n, "hello")))
			}
			c.send(delimited(frames...))
			got := map[int32]int{}
			for _, f := range frames {
				got[c.answer(f.Id).GetError().GetCode()]++
			}
			if got[0] != 10 || got[6000005] != 90 {
				t.Errorf("got %v, want 10 acknowledgments and 90 times 6000005", got)
			}
		})
	})
	t.Run("N47/retries", func(t *testing.T) {
		hostile(t, zimtest.Options{App: slow}, func(t *testing.T, h *host) {
			h.stored = 10
			c := h.login(t, "alice")
			var acks []*wire.SendMessageResponse
			for n := range 10 {
				acks = append(acks, c.call(textTo("bob", n, "hello")).GetSendMessage())
			}
			c.wantRefused(textTo("bob", 10, "hello"), 6000005)
			for range 3 {
				for n, want := range acks {
					if got := c.call(textTo("bob", n, "hello")); !proto.Equal(got.GetSendMessage(), want) {
						t.Errorf("message %d again: got %v, want %v", n, got, want)
					}
				}
			}
			c.wantRefused(textTo("bob", 3, "other"), -4)
			c.wantRefused(textTo("bob", 10, "hello"), 6000005)
			// What was refused can be sent later, under the same ID.
			time.Sleep(time.Second)
			h.stored++
			if resp := c.call(textTo("bob", 10, "hello")); resp.GetSendMessage().GetMessageSeq() != 11 {
				t.Errorf("got %v, want message 11", resp)
			}
		})
	})
	t.Run("N47/high priority has a quota of its own", func(t *testing.T) {
		hostile(t, zimtest.Options{App: slow}, func(t *testing.T, h *host) {
			h.stored = 30
			c := h.login(t, "alice")
			got := map[int32]map[int32]int{1: {}, 2: {}, 3: {}}
			for _, priority := range []int32{1, 2, 3} {
				for n := range 50 {
					m := textTo("bob", int(priority)*1000+n, "hello")
					m.Priority = priority
					got[priority][c.call(m).GetError().GetCode()]++
				}
			}
			if got[1][0] != 10 || got[2][0] != 0 || got[3][0] != 20 {
				t.Errorf("got %v, want 10 of low and medium priority and 20 of high priority", got)
			}
		})
	})
	t.Run("N47/commands", func(t *testing.T) {
		hostile(t, zimtest.Options{App: slow}, func(t *testing.T, h *host) {
			c, bob := h.login(t, "alice"), h.login(t, "bob")
			got := map[int32]int{}
			for n := range 100 {
				got[c.call(commandTo("bob", n, []byte{byte(n)})).GetError().GetCode()]++
			}
			if got[0] != 10 || got[6000005] != 90 {
				t.Errorf("got %v, want 10 acknowledgments and 90 times 6000005", got)
			}
			bob.call(&wire.HeartbeatRequest{})
			if len(bob.pushes) != 10 {
				t.Errorf("bob got %d commands, want 10", len(bob.pushes))
			}
		})
	})
	t.Run("N47/SDK", func(t *testing.T) {
		onEach(t, &zimtest.Options{App: slow}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
			alice, bob := newFastZIM(t, dialer), newZIM(t, dialer)
			in := newInbox(bob)
			login(t, srv, alice, "alice")
			login(t, srv, bob, "bob")
			var want []string
			for n := range 30 {
				text := fmt.Sprint(n)
				_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: text}, zim.Peer("bob"), nil)
				if err == nil {
					want = append(want, text)
				} else if zim.CodeOf(err) != zim.ErrCommonTriggerServerFrequencyLimit {
					t.Errorf("message %d: got %v, want %v", n, err, zim.ErrCommonTriggerServerFrequencyLimit)
				}
			}
			synctest.Wait()
			if got := in.texts(); len(want) != 10 || !slices.Equal(got, want) {
				t.Errorf("acknowledged are %v, bob got %v", want, got)
			}
		})
	})
}

// N40: a cursor that can't be served is answered with one reset, and what follows is the user's own feed.
func TestNegativeCursor(t *testing.T) {
	const n = 5
	for name, test := range map[string]struct {
		epoch  uint64 // added to the right one
		seq    uint64
		pruned bool
		reason wire.FeedResetReason
		at     uint64   // where the client goes on
		events []uint64 // what it gets
	}{
		"right":               {0, 3, false, 0, 3, []uint64{4, 5}},
		"at the end":          {0, 5, false, 0, 5, nil},
		"future":              {0, 6, false, wire.FeedResetReason_FEED_RESET_REASON_FUTURE, 5, nil},
		"future, 2^32":        {0, 1 << 32, false, wire.FeedResetReason_FEED_RESET_REASON_FUTURE, 5, nil},
		"future, 2^32+3":      {0, 1<<32 + 3, false, wire.FeedResetReason_FEED_RESET_REASON_FUTURE, 5, nil},
		"future, 2^63":        {0, 1 << 63, false, wire.FeedResetReason_FEED_RESET_REASON_FUTURE, 5, nil},
		"future, 2^64-1":      {0, 1<<64 - 1, false, wire.FeedResetReason_FEED_RESET_REASON_FUTURE, 5, nil},
		"other epoch":         {1, 3, false, wire.FeedResetReason_FEED_RESET_REASON_EPOCH, 0, []uint64{1, 2, 3, 4, 5}},
		"other epoch, 2^64-1": {1, 1<<64 - 1, false, wire.FeedResetReason_FEED_RESET_REASON_EPOCH, 0, []uint64{1, 2, 3, 4, 5}},
		"too old":             {0, 0, true, wire.FeedResetReason_FEED_RESET_REASON_TOO_OLD, 4, []uint64{5}},
		"too old by one":      {0, 3, true, wire.FeedResetReason_FEED_RESET_REASON_TOO_OLD, 4, []uint64{5}},
		"just not too old":    {0, 4, true, 0, 4, []uint64{5}},
		"other epoch, pruned": {1, 0, true, wire.FeedResetReason_FEED_RESET_REASON_EPOCH, 4, []uint64{5}},
	} {
		t.Run("N40/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				h.stored = n
				alice := h.login(t, "alice")
				h.srv.Register("frank")
				for i := range n {
					alice.call(textTo("bob", i, "for bob"))
					alice.call(textTo("frank", i, "for frank"))
					alice.call(textTo("frank", 100+i, "for frank"))
				}
				if test.pruned {
					if err := h.store.Prune(-time.Hour); err != nil {
						t.Fatal(err)
					}
				}
				cursor := &wire.Position{Epoch: h.store.Epoch() + test.epoch, Seq: test.seq}
				check := func(how string, position *wire.Position, reset *wire.FeedReset) {
					t.Helper()
					if reset.GetReason() != test.reason || (reset != nil) != (test.reason != 0) {
						t.Errorf("%s: got the reset %v, want %v", how, reset, test.reason)
					}
					if position.GetSeq() != test.at || position.GetEpoch() != h.store.Epoch() {
						t.Errorf("%s: goes on at %v, want %d", how, position, test.at)
					}
				}
				req := loginRequest(h.srv, "bob")
				req.Position = cursor
				bob := h.dial(t)
				resp := bob.call(req).GetLogin()
				check("login", resp.GetPosition(), resp.GetReset_())

				sync := bob.call(&wire.SyncRequest{After: cursor}).GetSync()
				at := cursor
				if sync.GetReset_() != nil {
					at = sync.Reset_.Position
				}
				check("sync", at, sync.GetReset_())
				var got []uint64
				for i, e := range sync.GetEvents().GetEvents() {
					got = append(got, sync.Events.FirstSeq+uint64(i))
					if e.GetMessage().GetConversationId() != "alice" || !bytes.Equal(e.Message.Content, textTo("", 0, "for bob").Content) {
						t.Errorf("bob got %v", e)
					}
				}
				if !slices.Equal(got, test.events) || sync.GetLast().GetSeq() != n {
					t.Errorf("got the events %v of %d, want %v of %d", got, sync.GetLast().GetSeq(), test.events, n)
				}
				if again := bob.call(&wire.SyncRequest{After: at}).GetSync(); again == nil || again.Reset_ != nil {
					t.Errorf("the next sync: got %v, want no other reset", again)
				}
			})
		})
	}
	t.Run("N40/of another user", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			alice, frank := h.login(t, "alice"), h.login(t, "frank")
			alice.call(textTo("bob", 0, "for bob"))
			for seq := range uint64(3) {
				resp := frank.call(&wire.SyncRequest{After: &wire.Position{Epoch: h.store.Epoch(), Seq: seq}}).GetSync()
				if resp == nil || resp.Events != nil || (resp.Reset_ != nil) != (seq > 0) {
					t.Errorf("behind %d: got %v, want no events", seq, resp)
				}
			}
		})
	})
}
