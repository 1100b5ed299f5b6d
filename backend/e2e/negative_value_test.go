package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

func TestNegativeProtobuf(t *testing.T) {
	// group returns n groups inside each other.
	group := func(n int, ended bool) []byte {
		b := bytes.Repeat(protowire.AppendTag(nil, 15, protowire.StartGroupType), n)
		if ended {
			b = append(b, bytes.Repeat(protowire.AppendTag(nil, 15, protowire.EndGroupType), n)...)
		}
		return b
	}
	nested := func(num protowire.Number, n int) (b []byte) {
		for range n {
			b = protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
		}
		return b
	}
	frame := func(b []byte) []byte { return protowire.AppendBytes(nil, b) }
	field := func(num protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
	}
	empty := func(num protowire.Number, n int) []byte { return bytes.Repeat(field(num, nil), n) }
	for name, test := range map[string]struct {
		payload []byte
		limit   uint64 // bytes that may be allocated
	}{
		"N13/5000 groups":              {frame(group(5000, true)), 256 << 10},
		"N13/5000 groups in a request": {frame(field(2, group(5000, true))), 256 << 10},
		"N13/20000 groups without end": {frame(group(20_000, false)), 256 << 10},
		"N13/20000 groups":             {frame(group(20_000, true)), 256 << 10},
		"N14/empty pushed messages":    {frame(field(4, empty(2, 30_000))), 1 << 20},
		"N14/empty events":             {frame(field(3, field(6, field(1, empty(3, 30_000))))), 1 << 20},
		"N14/empty fields":             {frame(empty(900, 20_000)), 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				c := h.login(t, "alice")
				if len(test.payload) > 64<<10 {
					t.Fatalf("the message has %d bytes", len(test.payload))
				}
				message := wsFrame(opBinary, test.payload)
				got := allocated(func() {
					c.out <- message
					c.next()
				})
				if got > test.limit {
					t.Errorf("%d bytes were allocated for %d", got, len(test.payload))
				}
				c.wantStatus(1002)
			})
		})
	}
	t.Run("N13/messages of unknown kind inside each other", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			b := nested(900, 10_000)
			c.send(frame(append(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 77), field(2, b)...)))
			if resp := c.answer(77); resp.GetError().GetCode() != 6000013 {
				t.Errorf("got %v, want the error 6000013: nobody looks inside", resp)
			}
		})
	})
	for name, content := range map[string][]byte{
		"N13/5000 groups in the content":              group(5000, false),
		"N13/20000 groups without end in the content": group(20_000, false),
		"N14/groups without end in the content":       group(60_000, false),
		"garbage content":                             bytes.Repeat([]byte{0xFF}, 1000),
		"content cut short":                           field(1, []byte("hello"))[:4],
		"empty content":                               nil,
		"content of another kind":                     field(2, []byte("hello")),
	} {
		t.Run(name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				c := h.login(t, "alice")
				for n, typ := range []int32{1, 2, 200} {
					m := textTo("bob", n, "")
					m.Type, m.Content = typ, content
					c.wantRefused(m, 6000001)
				}
			})
		})
	}
	t.Run("N15/unknown fields", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			c, bob := h.login(t, "alice"), h.login(t, "bob")
			m := textTo("bob", 0, "hello")
			plain := m.Content
			m.Content = append(field(99, make([]byte, 50<<10)), plain...)
			f := c.request(m)
			m.ProtoReflect().SetUnknown(field(99, make([]byte, 5<<10)))
			f.ProtoReflect().SetUnknown(field(99, make([]byte, 5<<10)))
			c.send(delimited(f))
			if resp := c.answer(f.Id); resp.GetSendMessage() == nil {
				t.Fatalf("got %v, want an acknowledgment", resp)
			}
			push := bob.next().GetPush()
			if push == nil || proto.Size(push) > 200 || !bytes.Equal(push.Events.Events[0].Message.Content, plain) {
				t.Errorf("bob got %d bytes: %.200v", proto.Size(push), push)
			}
			for name, e := range h.events(t, "bob") {
				if !bytes.Equal(e.Message.Content, plain) {
					t.Errorf("event %v has a content of %d bytes, want %d", name, len(e.Message.Content), len(plain))
				}
			}
			// It is the same message without them.
			if resp := c.call(textTo("bob", 0, "hello")); resp.GetSendMessage().GetMessageSeq() != 1 {
				t.Errorf("got %v, want message 1 again", resp)
			}
		})
	})
	t.Run("unknown kind of request", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			f := c.request(nil)
			f.Request.ProtoReflect().SetUnknown(field(100, []byte("something new")))
			c.send(delimited(f))
			if resp := c.answer(f.Id); resp.GetError().GetCode() != 6000013 {
				t.Errorf("got %v, want the error 6000013", resp)
			}
			if resp := c.call(&wire.HeartbeatRequest{}); resp.GetHeartbeat() == nil {
				t.Errorf("got %v, want a heartbeat: the connection stays", resp)
			}
		})
	})
	t.Run("two bodies", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 1
			c := h.login(t, "alice")
			// The last one of a oneof counts.
			a, _ := proto.Marshal(c.request(&wire.LogoutRequest{}).Request)
			b, _ := proto.Marshal(c.request(textTo("bob", 0, "hello")).Request)
			c.send(frame(append(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 9), field(2, append(a, b...))...)))
			if resp := c.answer(9); resp.GetSendMessage() == nil {
				t.Errorf("got %v, want an acknowledgment", resp)
			}
		})
	})
	t.Run("the same frame ID twice", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			c.send(delimited(&wire.Frame{Id: 5, Request: c.request(&wire.HeartbeatRequest{}).Request}, &wire.Frame{Id: 5, Request: c.request(nil).Request}))
			first, second := c.answer(5), c.answer(5)
			if first.GetHeartbeat() == nil || second.GetError().GetCode() != 6000013 {
				t.Errorf("got %v and %v, want an answer to each", first, second)
			}
		})
	})
}

// events returns a user's feed.
func (h *host) events(t *testing.T, userID string) (list []store.Event) {
	t.Helper()
	err := h.store.View(t.Context(), func(tx *store.Tx) error {
		u, err := tx.User(zimtest.AppID, userID)
		if err != nil || u == nil {
			return errors.Join(err, fmt.Errorf("%s is %v", userID, u))
		}
		list, err = tx.Events(u, 0, 10_000, 1<<30)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestNegativeValues(t *testing.T) {
	// Bytes that are no UTF-8 can't be put into a message of the Go package; this one is put in their place.
	const placeholder = "~~PLACEHOLDER~~"
	for name, id := range map[string]string{
		"empty":          "",
		"33 bytes":       strings.Repeat("x", 33),
		"NUL":            "bob\x00",
		"bidi override":  "\u202ebob",
		"homoglyph":      "b\u043eb",
		"space behind":   "bob ",
		"space in front": " bob",
		"line break":     "bob\n",
		"slash":          "../bob",
		"quote":          "bob'--",
		"combining":      "bo\u0308b",
		"full width":     "ｂｏｂ",
	} {
		t.Run("N16/receiver/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				h.login(t, "alice").wantRefused(textTo(id, 0, "hello"), 6000001)
			})
		})
		t.Run("N42/user/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				req := loginRequest(h.srv, "bob")
				req.UserId = id
				c := h.dial(t)
				c.wantRefused(req, 6000001)
				c.wantStatus(4401)
				if h.registered(t, id) {
					t.Error("there is an account")
				}
			})
		})
	}
	for name, f := range map[string]func(c *rawConn) *wire.Frame{
		"receiver": func(c *rawConn) *wire.Frame { return c.request(textTo(placeholder, 0, "hello")) },
		"extended data": func(c *rawConn) *wire.Frame {
			m := textTo("bob", 0, "hello")
			m.ExtendedData = placeholder
			return c.request(m)
		},
		"token": func(c *rawConn) *wire.Frame { return c.request(&wire.RenewTokenRequest{Token: placeholder}) },
	} {
		t.Run("N16/no UTF-8/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				c := h.login(t, "alice")
				c.send(bytes.Replace(delimited(f(c)), []byte(placeholder), []byte("~~PLACEHOLDER~\xFF"), 1))
				c.wantStatus(1002)
			})
		})
	}
	t.Run("N16/no UTF-8/text", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			m := textTo("bob", 0, placeholder)
			m.Content = bytes.Replace(m.Content, []byte("~~"), []byte("\xC0\x80"), 1)
			c.wantRefused(m, 6000001)
		})
	})
	t.Run("N16/no UTF-8/custom status", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.dial(t)
			req := loginRequest(h.srv, "alice")
			req.CustomStatus = placeholder
			c.send(bytes.Replace(delimited(c.request(req)), []byte("~~"), []byte("\xFF~"), 1))
			c.wantStatus(1002)
			if h.registered(t, "alice") {
				t.Error("there is an account")
			}
		})
	})

	for name, test := range map[string]struct {
		change func(m *wire.SendMessageRequest)
		want   int32
	}{
		"priority -1":              {func(m *wire.SendMessageRequest) { m.Priority = -1 }, 6000001},
		"priority 4":               {func(m *wire.SendMessageRequest) { m.Priority = 4 }, 6000001},
		"priority 2^31-1":          {func(m *wire.SendMessageRequest) { m.Priority = math.MaxInt32 }, 6000001},
		"priority -2^31":           {func(m *wire.SendMessageRequest) { m.Priority = math.MinInt32 }, 6000001},
		"type 0":                   {func(m *wire.SendMessageRequest) { m.Type = 0 }, 6000013},
		"type 31":                  {func(m *wire.SendMessageRequest) { m.Type = 31 }, 6000001},
		"type -1":                  {func(m *wire.SendMessageRequest) { m.Type = -1 }, 6000013},
		"type 2^31-1":              {func(m *wire.SendMessageRequest) { m.Type = math.MaxInt32 }, 6000013},
		"room":                     {func(m *wire.SendMessageRequest) { m.ConversationType = 1 }, 6000322},
		"group":                    {func(m *wire.SendMessageRequest) { m.ConversationType = 2 }, 6000523},
		"conversation type -1":     {func(m *wire.SendMessageRequest) { m.ConversationType = -1 }, 6000013},
		"conversation type 2^31-1": {func(m *wire.SendMessageRequest) { m.ConversationType = math.MaxInt32 }, 6000013},
		"sub-type -1":              {customType(-1), 6000001},
		"sub-type 201":             {customType(201), 6000001},
		"sub-type 2^31-1":          {customType(math.MaxInt32), 6000001},
		"sub-type 2^32+1": {func(m *wire.SendMessageRequest) {
			m.Type = 200
			m.Content = protowire.AppendVarint(protowire.AppendTag(field1("hello"), 2, protowire.VarintType), 1<<31)
		}, 6000001},
		"no local ID":          {func(m *wire.SendMessageRequest) { m.LocalMessageId = nil }, 6000001},
		"local ID of 15 bytes": {func(m *wire.SendMessageRequest) { m.LocalMessageId = make([]byte, 15) }, 6000001},
		"local ID of 17 bytes": {func(m *wire.SendMessageRequest) { m.LocalMessageId = make([]byte, 17) }, 6000001},
		"local ID of 60 KiB":   {func(m *wire.SendMessageRequest) { m.LocalMessageId = make([]byte, 60<<10) }, 6000001},
	} {
		t.Run("N17/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				m := textTo("bob", 0, "hello")
				test.change(m)
				h.login(t, "alice").wantRefused(m, test.want)
			})
		})
	}
	for name, body := range map[string]any{
		"sync from nowhere":               &wire.SyncRequest{},
		"sync without limit and position": &wire.SyncRequest{Limit: -1},
	} {
		t.Run("N17/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				h.login(t, "alice").wantRefused(body, 6000001)
			})
		})
	}
	t.Run("N17/limits of a sync", func(t *testing.T) {
		hostile(t, zimtest.Options{App: unlimited}, func(t *testing.T, h *host) {
			const messages = 600
			h.stored = messages
			c := h.login(t, "alice")
			for i := range messages {
				c.call(textTo("bob", i, "hello"))
			}
			bob := h.login(t, "bob")
			for limit, want := range map[int32]int{0: 500, 1: 1, 499: 499, 1_000_000: 500, math.MaxInt32: 500, -1: 500, math.MinInt32: 500} {
				resp := bob.call(&wire.SyncRequest{After: &wire.Position{Epoch: h.store.Epoch()}, Limit: limit}).GetSync()
				if got := len(resp.GetEvents().GetEvents()); got != want {
					t.Errorf("limit %d: got %d events, want %d", limit, got, want)
				}
			}
		})
	})
	t.Run("N39/handled what is not there", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			h.stored = 3
			alice, bob := h.login(t, "alice"), h.login(t, "bob")
			alice.call(textTo("bob", 0, "hello"))
			synctest.Wait() // the sender may know before the receiver's session does
			for _, seq := range []uint64{math.MaxUint64, 1 << 63, 1 << 32, 1<<32 + 1} {
				resp := bob.call(&wire.HeartbeatRequest{Handled: &wire.Position{Epoch: h.store.Epoch(), Seq: seq}})
				if got := resp.GetHeartbeat().GetLast().GetSeq(); got != 1 {
					t.Errorf("handled %d: got %v, want the last event 1", seq, resp)
				}
			}
			bob.conn.Close()
			alice.call(textTo("bob", 1, "hello"))
			alice.call(textTo("bob", 2, "hello"))
			again := loginRequest(h.srv, "bob")
			again.InstanceId = instanceOf("another run")
			resp := h.dial(t).call(again).GetLogin()
			if resp.GetPosition().GetSeq() != 1 || resp.GetLast().GetSeq() != 3 {
				t.Errorf("got %v, want to start behind 1, up to 3", resp)
			}
		})
	})
	for name, change := range map[string]func(req *wire.LoginRequest){
		"user name of 257 bytes":    func(req *wire.LoginRequest) { req.UserName = strings.Repeat("x", 257) },
		"custom status of 65 bytes": func(req *wire.LoginRequest) { req.CustomStatus = strings.Repeat("x", 65) },
		"device of 65 bytes":        func(req *wire.LoginRequest) { req.DeviceId = strings.Repeat("x", 65) },
		"no instance":               func(req *wire.LoginRequest) { req.InstanceId = nil },
		"instance of 17 bytes":      func(req *wire.LoginRequest) { req.InstanceId = make([]byte, 17) },
	} {
		t.Run("N17/login/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				req := loginRequest(h.srv, "alice")
				change(req)
				c := h.dial(t)
				c.wantRefused(req, 6000001)
				c.wantStatus(4401)
				if h.registered(t, "alice") {
					t.Error("there is an account")
				}
			})
		})
	}
	for name, change := range map[string]func(req *wire.LoginRequest){
		"status for -2^63 seconds":  func(req *wire.LoginRequest) { req.CustomStatus, req.CustomStatusSeconds = "x", math.MinInt64 },
		"status for 2^63-1 seconds": func(req *wire.LoginRequest) { req.CustomStatus, req.CustomStatusSeconds = "x", math.MaxInt64 },
		"platform 77":               func(req *wire.LoginRequest) { req.Platform = 77 },
		"platform -2^31":            func(req *wire.LoginRequest) { req.Platform = math.MinInt32 },
		"position of 2^64-1": func(req *wire.LoginRequest) {
			req.Position = &wire.Position{Epoch: math.MaxUint64, Seq: math.MaxUint64}
		},
	} {
		t.Run("N17/harmless in a login/"+name, func(t *testing.T) {
			hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
				req := loginRequest(h.srv, "alice")
				change(req)
				resp := h.dial(t).call(req).GetLogin()
				if resp == nil || resp.GetPosition().GetSeq() != 0 || resp.GetPosition().GetEpoch() != h.store.Epoch() {
					t.Errorf("got %v, want a login at position 0", resp)
				}
			})
		})
	}
}

func field1(s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), s)
}

func customType(subType int32) func(m *wire.SendMessageRequest) {
	return func(m *wire.SendMessageRequest) {
		m.Type = 200
		m.Content, _ = proto.Marshal(&wire.CustomContent{Message: "hello", SubType: subType})
	}
}
