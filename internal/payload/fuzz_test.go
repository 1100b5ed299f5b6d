package payload_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

// What Split takes apart is what the generated types understand, and what Append makes; the rest it leaves to them.
func FuzzSplit(f *testing.F) {
	for _, b := range [][]byte{
		nil, {0x0a, 0}, {0x0a, 1, 'x'}, {0x0a, 0x81, 0, 'x'}, {0x0a, 2, 'x'}, {0x8a, 0, 1, 'x'}, {0x12, 1, 'x'},
		{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := new(wire.CommandContent)
		err := proto.Unmarshal(b, want)
		v, ok := payload.Split(b)
		if ok && (err != nil || !bytes.Equal(v, want.Message)) {
			t.Errorf("%x: got %x, want %x, %v", b, v, want.Message, err)
		}
		if ok && !bytes.Equal(payload.Append(nil, v), b) {
			t.Errorf("%x was taken for what %x is written as", b, v)
		}
		if again, whole := payload.Split(payload.Append(nil, b)); !whole || !bytes.Equal(again, b) || len(payload.Append(nil, b)) != payload.Size(len(b)) {
			t.Errorf("%x comes back as %x, %v", b, again, whole)
		}
	})
}
