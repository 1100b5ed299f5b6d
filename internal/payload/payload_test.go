package payload_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

// The encoding is that of the generated types.
func TestSameAsGenerated(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 2048, 40_000} {
		s := strings.Repeat("x", n)
		text, err := proto.Marshal(&wire.TextContent{Message: s})
		if err != nil {
			t.Fatal(err)
		}
		command, err := proto.Marshal(&wire.CommandContent{Message: []byte(s)})
		if err != nil {
			t.Fatal(err)
		}
		if got := payload.Append(nil, s); !bytes.Equal(got, text) || len(got) != payload.Size(n) {
			t.Errorf("%d bytes of text: got %d bytes, want %d", n, len(got), len(text))
		}
		if got := payload.Append(nil, []byte(s)); !bytes.Equal(got, command) {
			t.Errorf("%d bytes of a command: got %d bytes, want %d", n, len(got), len(command))
		}
		if v, ok := payload.Split(text); !ok || string(v) != s {
			t.Errorf("%d bytes: split into %d bytes, %v", n, len(v), ok)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	one := payload.Append(nil, "one")
	tests := map[string][]byte{
		"two fields":     append(bytes.Clone(one), one...),
		"cut off":        one[:len(one)-1],
		"another field":  append([]byte{2<<3 | 2}, one[1:]...),
		"another type":   {1 << 3, 1},
		"longer length":  {1<<3 | 2, 0x81, 0x00, 'x'},
		"trailing bytes": append(bytes.Clone(one), 0),
		"empty field":    {1<<3 | 2, 0},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			if v, ok := payload.Split(b); ok {
				t.Errorf("got %q", v)
			}
		})
	}
}
