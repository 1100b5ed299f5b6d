package zimtest_test

import (
	"fmt"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
)

// A message was acknowledged, and is not there in the end. In a test with a Server, Send, Received and Collect tell what happened; here it
// is told by hand.
func ExampleHistory_Check() {
	var h zimtest.History
	hello, bye := &zim.TextMessage{Message: "hello"}, &zim.TextMessage{Message: "bye"}
	first := &zim.Message{ID: "101", LocalID: "a-1", Seq: 1, Sender: "alice", Conversation: zim.Peer("bob"), Content: hello}
	second := &zim.Message{ID: "102", LocalID: "a-2", Seq: 2, Sender: "alice", Conversation: zim.Peer("bob"), Content: bye}

	s := h.Invoked(hello, zim.Peer("bob"))
	s.Ended(first, nil)
	s = h.Invoked(bye, zim.Peer("bob"))
	s.Ended(second, nil)
	h.Received("bob", &zim.Message{ID: "101", Seq: 1, Sender: "alice", Conversation: zim.Peer("alice"), Content: hello})
	h.Stored("alice", zim.Peer("bob"), []*zim.Message{first})

	for _, v := range h.Check() {
		fmt.Println(v)
	}
	// Output: Durable: message 2 of alice and bob, from alice, ID 102, local ID a-2 was acknowledged, and is not stored
}
