package arbitrary_test

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/zim-go/zim/internal/arbitrary"
	"github.com/zim-go/zim/wire"
)

// Random bytes make messages that can be encoded, of every kind that there is.
func TestFill(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	seen := map[protoreflect.Name]bool{}
	b := make([]byte, 64)
	for range 20_000 {
		random.Read(b)
		req := new(wire.Request)
		arbitrary.Fill(req, b)
		if fd := req.ProtoReflect().WhichOneof(req.ProtoReflect().Descriptor().Oneofs().Get(0)); fd != nil {
			seen[fd.Name()] = true
		}
		if _, err := proto.Marshal(req); err != nil {
			t.Fatal(err)
		}
	}
	if want := (*wire.Request)(nil).ProtoReflect().Descriptor().Oneofs().Get(0).Fields().Len(); len(seen) != want {
		t.Errorf("got %d kinds of requests, want %d", len(seen), want)
	}
}

// The same bytes are the same message, and a message takes no more of them than it needs.
func TestFillRest(t *testing.T) {
	b := []byte{6, 3, 1, 0, 0, 6, 3, 2}
	first, second := new(wire.Request), new(wire.Request)
	rest := arbitrary.Fill(first, b)
	if len(rest) != 3 {
		t.Fatalf("got %d bytes left, %v", len(rest), first)
	}
	arbitrary.Fill(second, rest)
	if first.GetSendMessage().GetConversationId() != "alice" || second.GetSendMessage().GetConversationId() != "bob" {
		t.Errorf("got %v and %v", first, second)
	}
}
