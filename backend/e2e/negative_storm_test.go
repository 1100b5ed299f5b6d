package e2e_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// A message has up to 100 kinds of reactions.
func TestNegativeReactionKinds(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		h.stored = 102
		alice, bob := h.login(t, "alice"), h.login(t, "bob")
		alice.call(textTo("bob", 0, "x"))
		for n := range 100 {
			alice.call(&wire.ReactRequest{Message: messageRef(peerRef("bob"), 1), Type: fmt.Sprint(n)})
		}
		bob.wantRefused(&wire.ReactRequest{Message: messageRef(peerRef("alice"), 1), Type: "one more"}, 6000001)
		resp := bob.call(&wire.ReactRequest{Message: messageRef(peerRef("alice"), 1), Type: "99"})
		if r := resp.GetReact().GetReaction(); r.GetTotalCount() != 2 {
			t.Errorf("got %v, want one kind for both", resp)
		}
	})
}

// N48: who toggles without end is slowed down, and the feeds grow no faster.
func TestNegativeStorm(t *testing.T) {
	t.Run("N48/reactions", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			c := h.login(t, "alice")
			c.call(textTo("bob", 0, "x"))
			got := map[int32]int{}
			for n := range 10_000 {
				resp := c.call(&wire.ReactRequest{Message: messageRef(peerRef("bob"), 1), Type: "x", Remove: n%2 == 1})
				if got[resp.GetError().GetCode()]++; resp.GetError().GetCode() == 6000005 && resp.Error.RetryAfterMs == 0 {
					t.Fatalf("got %v, want to know when to try again", resp)
				}
			}
			h.stored = uint32(1 + got[0])
			if got[0] > 200 || got[6000005] < 9_000 {
				t.Errorf("got %v, want 200 at most", got)
			}
		})
	})
	t.Run("N48/join and leave", func(t *testing.T) {
		hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
			alice, bob := h.login(t, "alice"), h.login(t, "bob")
			alice.call(&wire.CreateGroupRequest{Group: &wire.GroupInfo{GroupId: "g"}})
			got := map[int32]int{}
			for n := range 2_000 {
				action := []wire.GroupRequest_Action{wire.GroupRequest_ACTION_JOIN, wire.GroupRequest_ACTION_LEAVE}[n%2]
				got[bob.call(&wire.GroupRequest{GroupId: "g", Action: action}).GetError().GetCode()]++
			}
			h.stored = h.last(t, "bob")
			if h.stored > 200 || h.last(t, "alice") > 201 || got[6000005] < 1_800 {
				t.Errorf("got %v, and bob has %d events, want 200 at most", got, h.stored)
			}
		})
	})
}

// N49: what is only asked for is not made.
func TestNegativeReads(t *testing.T) {
	hostile(t, zimtest.Options{App: boundless}, func(t *testing.T, h *host) {
		c := h.login(t, "alice")
		for n := range 1000 {
			peer := peerRef(fmt.Sprint("user", n))
			h.srv.Register(peer.Id)
			for _, req := range []proto.Message{
				&wire.QueryMessagesRequest{Conversation: peer}, &wire.QueryConversationsRequest{Refs: []*wire.ConversationRef{peer}},
				&wire.DeleteMessagesRequest{Conversation: peer}, &wire.QueryPinnedMessagesRequest{Conversation: peer},
				&wire.ReceiptsRequest{Conversation: peer, Seqs: []int64{1}},
			} {
				if resp := c.call(req); resp == nil || resp.Error != nil {
					t.Fatalf("%v: got %v", req, resp)
				}
			}
		}
		if got := h.everything(t, "alice", "user0"); got != "alice, 0 events\nuser0, 0 events\n" {
			t.Errorf("there is %s", got)
		}
	})
}
