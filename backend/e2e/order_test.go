package e2e_test

import (
	"bytes"
	"image"
	"image/png"
	"slices"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// three logs alice in on two devices, and bob on one.
func three(t *testing.T, f func(t *testing.T, srv *zimtest.Server, a, a2, b *user)) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		a, a2 := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "alice", "two")
		f(t, srv, a, a2, device(t, srv, dialer, "bob", "one"))
	})
}

// What each device of two users sees of one thing that is done, in its order. Alice does it on her first device.
func TestOrder(t *testing.T) {
	text := func(s string) zim.Content { return &zim.TextMessage{Message: s} }
	hello := func(t *testing.T, a, b *user) { a.send(zim.Peer("bob"), "hello", nil) }
	heard := func(t *testing.T, a, b *user) {
		b.send(zim.Peer("alice"), "one", nil)
		b.send(zim.Peer("alice"), "two", &zim.MessageSendConfig{HasReceipt: true, IsMentionAll: true})
		_, err := b.ReplyMessage(t.Context(), text("reply"), b.message("one"), nil)
		b.must(err)
	}
	quoted := func(t *testing.T, a, b *user) {
		hello(t, a, b)
		_, err := b.ReplyMessage(t.Context(), text("reply"), b.message("hello"), nil)
		b.must(err)
	}
	list := func(messages ...*zim.Message) []*zim.Message { return messages }
	for name, test := range map[string]struct {
		before   func(t *testing.T, a, b *user) // nil: nothing was there
		do       func(t *testing.T, a *user) error
		code     zim.Code
		a, a2, b []string
	}{
		"send": {
			do: func(t *testing.T, a *user) error {
				_, err := a.SendMessage(t.Context(), text("hello"), zim.Peer("bob"), nil)
				return err
			},
			a:  []string{"conversation Added bob 0 hello Sending", "status Success hello", "conversation Updated bob 0 hello"},
			a2: []string{"peer message hello sent", "conversation Added bob 0 hello"},
			b:  []string{"peer message hello", "conversation Added alice 1 hello", "total 1"},
		},
		"send again": {
			before: hello,
			do: func(t *testing.T, a *user) error {
				_, err := a.SendMessage(t.Context(), text("two"), zim.Peer("bob"), nil)
				return err
			},
			a:  []string{"conversation Updated bob 0 two Sending", "status Success two", "conversation Updated bob 0 two"},
			a2: []string{"peer message two sent", "conversation Updated bob 0 two"},
			b:  []string{"peer message two", "conversation Updated alice 2 two", "total 2"},
		},
		"send an image": {
			do: func(t *testing.T, a *user) error { return a.sendImage(zim.Peer("bob")) },
			a:  []string{"conversation Added bob 0 (Image) Sending", "status Success (Image)", "conversation Updated bob 0 (Image)"},
			a2: []string{"peer message (Image) sent", "conversation Added bob 0 (Image)"},
			b:  []string{"peer message (Image)", "conversation Added alice 1 (Image)", "total 1"},
		},
		"send a command": {
			do: func(t *testing.T, a *user) error {
				_, err := a.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("x")}, zim.Peer("bob"), nil)
				return err
			},
			a: []string{"status Success (Command)"},
			b: []string{"peer message (Command)"},
		},
		"send what is invalid": {
			do: func(t *testing.T, a *user) error {
				m, err := a.SendMessage(t.Context(), text(" "), zim.Peer("bob"), &zim.MessageSendConfig{Notification: zim.MessageSendNotification{
					OnMessageAttached: func(m *zim.Message) { t.Errorf("attached %+v", m) },
				}})
				if m != nil {
					t.Errorf("got %+v, want no message", m)
				}
				return err
			},
			code: zim.ErrCommonParamsInvalid,
		},
		"send to nobody": {
			do: func(t *testing.T, a *user) error {
				_, err := a.SendMessage(t.Context(), text("hello"), zim.Peer("nobody"), nil)
				return err
			},
			code: zim.ErrMessageTargetDoesNotExist,
			a: []string{
				"conversation Added nobody 0 hello Sending", "status Failed hello", "conversation Updated nobody 0 hello Failed",
				"conversation Disabled nobody 0 hello Failed",
			},
		},
		"send to a group that is none": {
			do: func(t *testing.T, a *user) error {
				_, err := a.SendMessage(t.Context(), text("hello"), zim.Group("g"), nil)
				return err
			},
			code: zim.ErrGroupGroupDoesNotExist,
			a: []string{
				"conversation Added g 0 hello Sending", "status Failed hello", "conversation Updated g 0 hello Failed",
				"conversation Disabled g 0 hello Failed",
			},
		},
		"clear unread": {
			before: heard,
			do: func(t *testing.T, a *user) error {
				return a.ClearConversationUnreadMessageCount(t.Context(), zim.Peer("bob"))
			},
			a:  []string{"conversation Updated bob 0 reply", "total 0"},
			a2: []string{"conversation Updated bob 0 reply", "total 0"},
		},
		"clear all unread": {
			before: heard,
			do:     func(t *testing.T, a *user) error { return a.ClearConversationTotalUnreadMessageCount(t.Context()) },
			a:      []string{"conversation Updated bob 0 reply", "total 0"},
			a2:     []string{"conversation Updated bob 0 reply", "total 0"},
		},
		"read a message": {
			before: heard,
			do: func(t *testing.T, a *user) error {
				_, err := a.SendMessageReceiptsRead(t.Context(), zim.Peer("bob"), list(a.message("two")))
				return err
			},
			a:  []string{"conversation Updated bob 3 reply"},
			a2: []string{"receipt 2 Done 0/0 self=true", "conversation Updated bob 3 reply"},
			b:  []string{"receipt 2 Done 1/1 self=false", "conversation Updated alice 0 reply"},
		},
		"read a conversation": {
			before: heard,
			do: func(t *testing.T, a *user) error {
				return a.SendConversationMessageReceiptRead(t.Context(), zim.Peer("bob"))
			},
			a:  []string{"conversation Updated bob 3 reply"},
			a2: []string{"conversation receipt 3 Done 0/0 self=true", "conversation Updated bob 3 reply"},
			b:  []string{"conversation receipt 3 Done 0/0 self=false", "conversation Updated alice 0 reply"},
		},
		"revoke": {
			before: quoted,
			do: func(t *testing.T, a *user) error {
				time.Sleep(time.Minute)
				_, err := a.RevokeMessage(t.Context(), a.message("hello"), nil)
				return err
			},
			a:  []string{"replied info reply quotes (revoked hello) Normal", "conversation Updated bob 1 reply"},
			a2: []string{"revoked (revoked hello) sent", "replied info reply quotes (revoked hello) Normal", "conversation Updated bob 1 reply"},
			b:  []string{"revoked (revoked hello)", "replied info reply quotes (revoked hello) Normal", "conversation Updated alice 0 reply", "total 0"},
		},
		"edit": {
			before: quoted,
			do: func(t *testing.T, a *user) error {
				_, err := a.EditMessage(t.Context(), a.message("hello"), zim.MessageEditConfig{Content: text("hi")})
				return err
			},
			a:  []string{"replied info reply quotes hi Normal", "conversation Updated bob 1 reply"},
			a2: []string{"edited hi sent", "replied info reply quotes hi Normal", "conversation Updated bob 1 reply"},
			b:  []string{"edited hi", "replied info reply quotes hi Normal", "conversation Updated alice 1 reply"},
		},
		"react": {
			before: hello,
			do: func(t *testing.T, a *user) error {
				_, err := a.AddMessageReaction(t.Context(), "+1", a.message("hello"), nil)
				return err
			},
			a:  []string{"reactions +1 1/1 true, alice Added +1 1", "conversation Updated bob 0 hello"},
			a2: []string{"reactions +1 1/1 true, alice Added +1 1", "conversation Updated bob 0 hello"},
			b:  []string{"reactions +1 1/1 false, alice Added +1 1", "conversation Updated alice 1 hello"},
		},
		"pin": {
			before: hello,
			do:     func(t *testing.T, a *user) error { return a.PinMessage(t.Context(), a.message("hello"), true, nil) },
			a:      []string{"pins Pinned hello", "conversation Updated bob 0 hello"},
			a2:     []string{"pins Pinned hello", "conversation Updated bob 0 hello"},
			b:      []string{"pins Pinned hello", "conversation Updated alice 1 hello"},
		},
		"delete messages": {
			before: heard,
			do: func(t *testing.T, a *user) error {
				return a.DeleteMessages(t.Context(), zim.Peer("bob"), list(a.message("one"), a.message("two")), nil)
			},
			a:  []string{"replied info reply quotes one Deleted", "conversation Updated bob 1 reply", "total 1"},
			a2: []string{"deleted MessageListDeleted bob one, two", "replied info reply quotes one Deleted", "conversation Updated bob 1 reply", "total 1"},
		},
		"delete the last message": {
			before: heard,
			do: func(t *testing.T, a *user) error {
				return a.DeleteMessages(t.Context(), zim.Peer("bob"), list(a.message("reply")), nil)
			},
			a:  []string{"conversation Updated bob 2 two", "total 2"},
			a2: []string{"deleted MessageListDeleted bob reply", "conversation Updated bob 2 two", "total 2"},
		},
		"delete all messages": {
			before: heard,
			do:     func(t *testing.T, a *user) error { return a.DeleteAllMessage(t.Context(), zim.Peer("bob"), nil) },
			a:      []string{"conversation Updated bob 0", "total 0"},
			a2:     []string{"deleted ConversationAllMessagesDeleted bob ", "conversation Updated bob 0", "total 0"},
		},
		"delete all messages of all conversations": {
			before: heard,
			do:     func(t *testing.T, a *user) error { return a.DeleteAllConversationMessages(t.Context(), nil) },
			a:      []string{"deleted AllConversationMessagesDeleted  ", "conversation Updated bob 0", "total 0"},
			a2:     []string{"deleted AllConversationMessagesDeleted  ", "conversation Updated bob 0", "total 0"},
		},
		"delete a conversation": {
			before: heard,
			do:     func(t *testing.T, a *user) error { return a.DeleteConversation(t.Context(), zim.Peer("bob"), nil) },
			a:      []string{"conversation Deleted bob 3 reply", "total 0"},
			a2:     []string{"conversation Deleted bob 3 reply", "total 0"},
		},
		"delete all conversations": {
			before: heard,
			do:     func(t *testing.T, a *user) error { return a.DeleteAllConversations(t.Context(), nil) },
			a:      []string{"all conversations deleted 1", "total 0"},
			a2:     []string{"all conversations deleted 1", "total 0"},
		},
		"reply": {
			before: heard,
			do: func(t *testing.T, a *user) error {
				_, err := a.ReplyMessage(t.Context(), text("answer"), a.message("reply"), nil)
				return err
			},
			a:  []string{"conversation Updated bob 3 answer Sending", "status Success answer", "replied count 2", "conversation Updated bob 3 answer"},
			a2: []string{"peer message answer sent", "replied count 2", "conversation Updated bob 3 answer"},
			b:  []string{"peer message answer", "replied count 2", "conversation Updated alice 1 answer", "total 1"},
		},
		"pin a conversation": {
			before: hello,
			do: func(t *testing.T, a *user) error {
				return a.UpdateConversationPinnedState(t.Context(), zim.Peer("bob"), true)
			},
			a:  []string{"conversation Updated bob 0 hello"},
			a2: []string{"conversation Updated bob 0 hello"},
		},
		"mute a conversation": {
			before: heard,
			do: func(t *testing.T, a *user) error {
				return a.SetConversationNotificationStatus(t.Context(), zim.Peer("bob"), zim.ConversationNotificationStatusDoNotDisturb)
			},
			a:  []string{"conversation Updated bob 3 reply", "total 0"},
			a2: []string{"conversation Updated bob 3 reply", "total 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
				if test.before != nil {
					test.before(t, a, b)
				}
				a.since()
				a2.since()
				b.since()
				if err := test.do(t, a); zim.CodeOf(err) != test.code {
					t.Errorf("got %v, want code %d", err, test.code)
				}
				a.saw("alice", test.a...)
				a2.saw("alice's other device", test.a2...)
				b.saw("bob", test.b...)
			})
		})
	}
}

// sendImage sends an image, and checks what is told of its upload.
func (u *user) sendImage(to zim.ConversationRef) error {
	var file bytes.Buffer
	u.must(png.Encode(&file, image.NewGray(image.Rect(0, 0, 3, 2))))
	size := int64(file.Len())
	var steps []int64
	_, err := u.SendMessage(u.t.Context(), &zim.ImageMessage{File: zim.File{Reader: &file, Name: "a.png", Size: size}}, to, &zim.MessageSendConfig{
		Notification: zim.MessageSendNotification{
			OnMessageAttached: func(m *zim.Message) { steps = append(steps, -1) },
			OnMediaUploadingProgress: func(m *zim.Message, current, total int64) {
				if steps = append(steps, current); total != size || m.SentStatus != zim.MessageSentStatusSending {
					u.t.Errorf("%d bytes of %d are there of %+v", current, total, m)
				}
			},
		},
	})
	if !slices.IsSorted(steps) || len(steps) < 3 || steps[0] != -1 || steps[1] != 0 || steps[len(steps)-1] != size {
		u.t.Errorf("the steps are %v, want attached, 0 and up to %d", steps, size)
	}
	return err
}

func TestOrderOfLogin(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("alice")
		b := device(t, srv, dialer, "bob", "one")
		b.send(zim.Peer("alice"), "hello", nil)
		a := newUser(t, dialer, "one")
		login(t, srv, a.ZIM, "alice")
		a.saw("login", "connection 1,1", "connection 2,0", "total 1", "sync Started", "conversation Added bob 1 hello", "sync Finished", "peer message hello offline",
			"conversation Updated bob 1 hello")
	})
}

// What a device that was away sees when it comes back.
func TestOrderOfComingBack(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		a.send(zim.Peer("bob"), "zero", nil)
		b.since()
		b.must(b.Logout(t.Context(), nil))
		a2.must(a2.Logout(t.Context(), nil))
		a.since()
		a2.since()
		b.since()
		for _, s := range []string{"one", "two", "three"} {
			a.send(zim.Peer("bob"), s, nil)
		}
		_, err := a.EditMessage(t.Context(), a.message("one"), zim.MessageEditConfig{Content: &zim.TextMessage{Message: "ONE"}})
		a.must(err)
		_, err = a.RevokeMessage(t.Context(), a.message("two"), nil)
		a.must(err)
		_, err = a.AddMessageReaction(t.Context(), "+1", a.message("zero"), nil)
		a.must(err)
		a.must(a.DeleteMessages(t.Context(), zim.Peer("bob"), []*zim.Message{a.message("zero")}, nil))
		login(t, srv, b.ZIM, "bob")
		b.saw("bob", "connection 1,1", "connection 2,0", "total 3", "sync Started", "conversation Updated alice 3 three", "sync Finished",
			"peer message ONE offline, (revoked two) offline, three offline", "edited ONE", "revoked (revoked two)", "reactions +1 1/1 false, alice Added +1 1",
			"conversation Updated alice 3 three")
		login(t, srv, a2.ZIM, "alice")
		a2.saw("alice's other device", "connection 1,1", "connection 2,0", "total 0", "sync Started", "conversation Updated bob 0 three", "sync Finished",
			"peer message ONE sent offline, (revoked two) sent offline, three sent offline", "edited ONE sent", "revoked (revoked two) sent",
			"deleted MessageListDeleted bob zero sent", "conversation Updated bob 0 three")
	})
}
