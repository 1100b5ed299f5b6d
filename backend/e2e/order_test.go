package e2e_test

import (
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

// What each device of two users sees of one thing that is done, in its order.

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

func TestOrderOfSending(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		a.send(zim.Peer("bob"), "one", nil)
		a.saw("the first", "conversation Added bob 0 one Sending", "status Success one", "conversation Updated bob 0 one")
		a2.saw("the first", "peer message one sent", "conversation Added bob 0 one")
		b.saw("the first", "peer message one", "conversation Added alice 1 one", "total 1")
		a.send(zim.Peer("bob"), "two", nil)
		a.saw("the second", "conversation Updated bob 0 two Sending", "status Success two", "conversation Updated bob 0 two")
		a2.saw("the second", "peer message two sent", "conversation Updated bob 0 two")
		b.saw("the second", "peer message two", "conversation Updated alice 2 two", "total 2")
	})
}

func TestOrderOfClearingUnread(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		b.send(zim.Peer("alice"), "hello", nil)
		a.since()
		a2.since()
		b.since()
		a.must(a.ClearConversationUnreadMessageCount(t.Context(), zim.Peer("bob")))
		a.saw("clear", "conversation Updated bob 0 hello", "total 0")
		a2.saw("clear", "conversation Updated bob 0 hello", "total 0")
		b.saw("clear")
	})
}

func TestOrderOfRevoking(t *testing.T) {
	three(t, func(t *testing.T, srv *zimtest.Server, a, a2, b *user) {
		m := a.send(zim.Peer("bob"), "hello", nil)
		r, err := b.ReplyMessage(t.Context(), &zim.TextMessage{Message: "reply"}, b.message("hello"), nil)
		b.must(err)
		if r.RepliedInfo == nil || r.RepliedInfo.MessageSeq != m.Seq {
			t.Errorf("the reply quotes %+v", r.RepliedInfo)
		}
		a.since()
		a2.since()
		b.since()
		time.Sleep(time.Minute)
		_, err = a.RevokeMessage(t.Context(), m, nil)
		a.must(err)
		a.saw("revoke", "replied info reply quotes (revoked hello) Normal", "conversation Updated bob 1 reply")
		a2.saw("revoke", "revoked (revoked hello) sent", "replied info reply quotes (revoked hello) Normal", "conversation Updated bob 1 reply")
		b.saw("revoke", "revoked (revoked hello)", "replied info reply quotes (revoked hello) Normal", "conversation Updated alice 0 reply", "total 0")
	})
}
