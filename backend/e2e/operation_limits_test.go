package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A watchedDialer counts the requests that leave the SDK.
type watchedDialer struct {
	transport.Dialer
	asked atomic.Int64
}

func (d *watchedDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &watchedConn{c.(transport.Pipeline), d}, nil
}

type watchedConn struct {
	transport.Pipeline
	d *watchedDialer
}

func (c *watchedConn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	c.d.asked.Add(1)
	return c.Pipeline.RoundTrip(ctx, req)
}

// What is wrong with a call is found before anything is sent.
func TestOperationLimits(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	text := &zim.TextMessage{Message: "x"}
	room := &zim.Message{Conversation: zim.Room("r"), Seq: 1, Content: text}
	unsent := &zim.Message{Conversation: ofPeer, Content: text}
	sending := &zim.Message{Conversation: ofPeer, LocalID: "x", Content: text}
	seqs := func(n int) []int64 { return make([]int64, n) }
	many := func(n int, m *zim.Message) (list []*zim.Message) {
		for range n {
			list = append(list, m)
		}
		return list
	}
	ids := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint("user", i))
		}
		return list
	}
	ctx := context.Background()
	for _, name := range []string{"inproc", "websocket"} {
		synctest.Test(t, func(t *testing.T) {
			srv := zimtest.NewServer(t, &zimtest.Options{App: several})
			srv.Register("bob")
			dialer := &watchedDialer{Dialer: srv.Transports()[name]}
			z := newZIM(t, dialer)
			login(t, srv, z, "alice")
			m, err := z.SendMessage(ctx, text, ofPeer, nil)
			if err != nil {
				t.Fatal(err)
			}
			edit := func(m *zim.Message, c zim.MessageEditConfig) error { return lastErr(z.EditMessage(ctx, m, c)) }
			calls := map[string]func() (zim.Code, error){}
			add := func(what string, code zim.Code, call func() error) {
				calls[what] = func() (zim.Code, error) { return code, call() }
			}
			for what, m := range map[string]*zim.Message{"nothing": nil, "a room": room, "what was not sent": unsent, "what is being sent": sending} {
				for op, call := range map[string]func() error{
					"edit": func() error { return edit(m, zim.MessageEditConfig{Content: text}) }, "revoke": func() error { return lastErr(z.RevokeMessage(ctx, m, nil)) },
					"react": func() error { return lastErr(z.AddMessageReaction(ctx, "x", m, nil)) }, "pin": func() error { return z.PinMessage(ctx, m, true, nil) },
					"delete reaction": func() error { return lastErr(z.DeleteMessageReaction(ctx, "x", m)) }, "delete reactions": func() error { return z.DeleteMessageAllReactions(ctx, m) },
					"reply":   func() error { return lastErr(z.ReplyMessage(ctx, text, m, nil)) },
					"replies": func() error { return lastErr(z.QueryMessageRepliedList(ctx, m, zim.MessageRepliedListQueryConfig{})) },
					"users": func() error {
						return lastErr(z.QueryMessageReactionUserList(ctx, m, zim.MessageReactionUserQueryConfig{}))
					},
					"readers": func() error {
						_, _, err := z.QueryGroupMessageReceiptReadMemberList(ctx, m, zim.GroupMessageReceiptMemberQueryConfig{})
						return err
					},
					"read": func() error { return lastErr(z.SendMessageReceiptsRead(ctx, ofPeer, many(1, m))) },
					"combine": func() error {
						return lastErr(z.SendMessage(ctx, &zim.CombineMessage{Title: "x", Summary: "x", MessageList: many(1, m)}, ofPeer, nil))
					},
				} {
					add(op+" "+what, zim.ErrCommonParamsInvalid, call)
				}
			}
			for what, call := range map[string]func() error{
				"edit to nothing":           func() error { return edit(m, zim.MessageEditConfig{}) },
				"edit to another kind":      func() error { return edit(m, zim.MessageEditConfig{Content: &zim.CustomMessage{Message: "x"}}) },
				"edit to 2049 bytes":        func() error { return edit(m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: x(2049)}}) },
				"edit with 1025 bytes more": func() error { return edit(m, zim.MessageEditConfig{Content: text, ExtendedData: x(1025)}) },
				"edit with 51 mentions":     func() error { return edit(m, zim.MessageEditConfig{Content: text, MentionedUserIDs: ids(51)}) },
				"revoke with 201 bytes more": func() error {
					return lastErr(z.RevokeMessage(ctx, m, &zim.MessageRevokeConfig{RevokeExtendedData: x(201)}))
				},
				"delete 101":                func() error { return z.DeleteMessages(ctx, ofPeer, many(101, m), nil) },
				"delete none":               func() error { return z.DeleteMessages(ctx, ofPeer, nil, nil) },
				"delete of another":         func() error { return z.DeleteMessages(ctx, zim.Peer("carol"), many(1, m), nil) },
				"delete nothing":            func() error { return z.DeleteMessages(ctx, ofPeer, many(1, nil), nil) },
				"delete what is being sent": func() error { return z.DeleteMessages(ctx, ofPeer, many(1, sending), nil) },
				"delete all of a room":      func() error { return z.DeleteAllMessage(ctx, zim.Room("r"), nil) },
				"react with nothing":        func() error { return lastErr(z.AddMessageReaction(ctx, "", m, nil)) },
				"react with 33 bytes":       func() error { return lastErr(z.AddMessageReaction(ctx, x(33), m, nil)) },
				"react -1 times": func() error {
					return lastErr(z.AddMessageReaction(ctx, "x", m, &zim.MessageReactionAddConfig{IncreaseCount: -1}))
				},
				"101 users": func() error {
					return lastErr(z.QueryMessageReactionUserList(ctx, m, zim.MessageReactionUserQueryConfig{Count: 101}))
				},
				"101 replies": func() error {
					return lastErr(z.QueryMessageRepliedList(ctx, m, zim.MessageRepliedListQueryConfig{Count: 101}))
				},
				"-1 replies": func() error {
					return lastErr(z.QueryMessageRepliedList(ctx, m, zim.MessageRepliedListQueryConfig{Count: -1}))
				},
				"-1 messages":        func() error { return lastErr(z.QueryHistoryMessage(ctx, ofPeer, zim.MessageQueryConfig{Count: -1})) },
				"11 numbers":         func() error { return lastErr(z.QueryMessages(ctx, ofPeer, seqs(11))) },
				"no numbers":         func() error { return lastErr(z.QueryMessages(ctx, ofPeer, nil)) },
				"read none":          func() error { return lastErr(z.SendMessageReceiptsRead(ctx, ofPeer, nil)) },
				"read of another":    func() error { return lastErr(z.SendMessageReceiptsRead(ctx, zim.Peer("carol"), many(1, m))) },
				"read a whole group": func() error { return z.SendConversationMessageReceiptRead(ctx, ofGroup) },
				"detail of nothing":  func() error { return lastErr(z.QueryCombineMessageDetail(ctx, nil)) },
				"301 combined": func() error {
					return lastErr(z.SendMessage(ctx, &zim.CombineMessage{Title: "x", Summary: "x", MessageList: many(301, m)}, ofPeer, nil))
				},
				"none combined": func() error {
					return lastErr(z.SendMessage(ctx, &zim.CombineMessage{Title: "x", Summary: "x"}, ofPeer, nil))
				},
				"title of 21 bytes": func() error {
					return lastErr(z.SendMessage(ctx, &zim.CombineMessage{Title: x(21), Summary: "x", MessageList: many(1, m)}, ofPeer, nil))
				},
				"-1 conversations":         func() error { return lastErr(z.QueryConversationList(ctx, zim.ConversationQueryConfig{Count: -1})) },
				"mark 0":                   func() error { return lastErr(z.SetConversationMark(ctx, 0, true, []zim.ConversationRef{ofPeer})) },
				"mark 61":                  func() error { return lastErr(z.SetConversationMark(ctx, 61, true, []zim.ConversationRef{ofPeer})) },
				"mark none":                func() error { return lastErr(z.SetConversationMark(ctx, 1, true, nil)) },
				"mark 101":                 func() error { return lastErr(z.SetConversationMark(ctx, 1, true, make([]zim.ConversationRef, 101))) },
				"draft of 8 KB and a byte": func() error { return z.SetConversationDraft(ctx, ofPeer, x(8<<10+1)) },
				"invite nobody":            func() error { return lastErr(z.InviteUsersIntoGroup(ctx, nil, "g")) },
				"invite 101":               func() error { return lastErr(z.InviteUsersIntoGroup(ctx, ids(101), "g")) },
				"kick 101":                 func() error { return lastErr(z.KickGroupMembers(ctx, ids(101), "g")) },
				"a group with a bad ID":    func() error { return lastErr(z.CreateGroup(ctx, zim.GroupInfo{GroupID: "g g"}, nil, nil)) },
			} {
				add(what, zim.ErrCommonParamsInvalid, call)
			}
			add("read 11", zim.ErrMessageMessageReceiptLimit, func() error { return lastErr(z.SendMessageReceiptsRead(ctx, ofPeer, many(11, m))) })
			add("receipts of 11", zim.ErrMessageMessageReceiptLimit, func() error {
				_, _, err := z.QueryMessageReceiptsInfo(ctx, ofPeer, many(11, m))
				return err
			})
			before := dialer.asked.Load()
			for what, call := range calls {
				code, err := call()
				wantCode(t, name+": "+what, err, code)
			}
			if n := dialer.asked.Load() - before; n != 0 {
				t.Errorf("%s: %d requests were sent", name, n)
			}

			// What is no text can't travel, and leaves the connection as it is. In process, it is a name that nobody has.
			const bad = "\xff"
			for what, call := range map[string]func() error{
				"history":     func() error { return lastErr(z.QueryHistoryMessage(ctx, zim.Peer(bad), zim.MessageQueryConfig{})) },
				"pin":         func() error { return z.UpdateConversationPinnedState(ctx, zim.Peer(bad), true) },
				"join":        func() error { return lastErr(z.JoinGroup(ctx, bad)) },
				"invite":      func() error { return lastErr(z.InviteUsersIntoGroup(ctx, []string{bad}, "g")) },
				"group name":  func() error { return lastErr(z.CreateGroup(ctx, zim.GroupInfo{GroupName: bad}, nil, nil)) },
				"group users": func() error { return lastErr(z.CreateGroup(ctx, zim.GroupInfo{GroupName: "x"}, []string{bad}, nil)) },
				"group":       func() error { return lastErr(z.SendMessage(ctx, text, zim.Group(bad), nil)) },
				"mention": func() error {
					return lastErr(z.SendMessage(ctx, text, ofPeer, &zim.MessageSendConfig{MentionedUserIDs: []string{bad}}))
				},
			} {
				if err := call(); name == "websocket" && zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
					t.Errorf("%s: %s with what is no text: got %v", name, what, err)
				}
			}
			if z.ConnectionState() != zim.ConnectionStateConnected {
				t.Errorf("%s: the connection is %v", name, z.ConnectionState())
			}
			if _, err := z.SendMessage(ctx, text, ofPeer, nil); err != nil {
				t.Error(name, err)
			}
		})
	}
}

// A newerConn brings messages of a kind that is newer than the SDK.
type newerConn struct{ transport.Pipeline }

type newerDialer struct{ transport.Dialer }

func (d newerDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return newerConn{c.(transport.Pipeline)}, nil
}

const newer zim.MessageType = 77

func (c newerConn) Receive(ctx context.Context) (*wire.Push, error) {
	p, err := c.Pipeline.Receive(ctx)
	for _, e := range p.GetEvents().GetEvents() {
		if e.Message != nil {
			e.Message = &wire.Message{
				MessageId: e.Message.MessageId, MessageSeq: e.Message.MessageSeq, OrderKey: e.Message.OrderKey, TimestampMs: e.Message.TimestampMs,
				ConversationId: e.Message.ConversationId, Type: int32(newer), Content: []byte{1, 2, 3},
			}
		}
	}
	return p, err
}

// Kinds that one side does not know pass through it unharmed.
func TestUnknownKind(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a, b := device(t, srv, dialer, "alice", "one"), device(t, srv, newerDialer{dialer}, "bob", "one")
		a.send(ofPeer, "hello", nil)
		b.since()
		b.mu.Lock()
		m := b.texts[fmt.Sprintf("(%v)", newer)]
		b.mu.Unlock()
		if m == nil {
			t.Fatal("bob got nothing")
		}
		if u, ok := m.Content.(*zim.UnknownMessage); !ok || u.Kind != newer || string(u.Data) != "\x01\x02\x03" || m.Sender != "alice" {
			t.Errorf("bob got %+v", m)
		}
		_, err := b.SendMessage(t.Context(), m.Content, zim.Peer("alice"), nil)
		wantCode(t, "a service that does not know it", err, zim.ErrCommonUnsupportedRequest)
		kind, data, err := zim.EncodeContent(&zim.CustomMessage{Message: "x", SubType: 3})
		b.must(err)
		_, err = b.SendMessage(t.Context(), &zim.UnknownMessage{Kind: kind, Data: data}, zim.Peer("alice"), nil)
		b.must(err)
		if c, ok := a.message("(Custom)").Content.(*zim.CustomMessage); !ok || c.Message != "x" || c.SubType != 3 {
			t.Errorf("alice got %+v", c)
		}
	})
}
