package e2e_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// onEach runs a test in a bubble, with a backend, over each transport.
func onEach(t *testing.T, options *zimtest.Options, f func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer)) {
	for _, name := range []string{"inproc", "websocket"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := zimtest.NewServer(t, options)
				f(t, srv, srv.Transports()[name])
			})
		})
	}
}

// newZIM returns a ZIM that is destroyed with the test.
func newZIM(t *testing.T, dialer transport.Dialer) *zim.ZIM {
	t.Helper()
	z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	return z
}

func login(t *testing.T, srv *zimtest.Server, z *zim.ZIM, userID string) {
	t.Helper()
	if err := z.Login(t.Context(), userID, &zim.LoginConfig{Token: srv.Token(userID)}); err != nil {
		t.Fatal(err)
	}
}

func TestLifecycle(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := newZIM(t, dialer), newZIM(t, dialer)
		var states []zim.ConnectionStateChanged
		zim.On(alice, func(_ context.Context, e *zim.ConnectionStateChanged) { states = append(states, *e) })
		var got []*zim.Message
		zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) { got = append(got, e.Messages...) })
		login(t, srv, alice, "alice")
		login(t, srv, bob, "bob")

		attached := 0
		sent, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), &zim.MessageSendConfig{
			ExtendedData: "more",
			Notification: zim.MessageSendNotification{OnMessageAttached: func(m *zim.Message) {
				attached++
				if m.SentStatus != zim.MessageSentStatusSending || m.LocalID == "" || m.ID != "" {
					t.Errorf("attached %+v", m)
				}
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if attached != 1 || sent.SentStatus != zim.MessageSentStatusSuccess || sent.ID == "" || sent.Seq != 1 {
			t.Errorf("attached %d times, sent %+v", attached, sent)
		}
		if len(got) != 1 || got[0].ID != sent.ID || got[0].Sender != "alice" || got[0].ExtendedData != "more" ||
			got[0].Conversation != zim.Peer("alice") || got[0].Content.(*zim.TextMessage).Message != "hello" || got[0].Seq != 1 {
			t.Fatalf("bob got %+v", got)
		}

		if err := alice.Logout(t.Context(), nil); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		want := []zim.ConnectionStateChanged{
			{State: zim.ConnectionStateConnecting, Event: zim.ConnectionEventActiveLogin, ExtendedData: "{}"},
			{State: zim.ConnectionStateConnected, Event: zim.ConnectionEventSuccess, ExtendedData: "{}"},
			{State: zim.ConnectionStateDisconnected, Event: zim.ConnectionEventSuccess, ExtendedData: "{}"},
		}
		if len(states) != len(want) {
			t.Fatalf("states %v, want %v", states, want)
		}
		for i := range want {
			if states[i] != want[i] {
				t.Errorf("state %d is %v, want %v", i, states[i], want[i])
			}
		}
		alice.Destroy()
		if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "late"}, zim.Peer("bob"), nil); zim.CodeOf(err) != zim.ErrCommonNotInit {
			t.Errorf("after Destroy: %v", err)
		}
	})
}
