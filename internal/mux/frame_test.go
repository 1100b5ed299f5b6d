package mux_test

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/wire"
)

// framed returns a message of one frame.
func framed(frame []byte) []byte { return protowire.AppendBytes(nil, frame) }

// field returns a field of bytes.
func field(num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), value)
}

// groups returns an unknown field that is so many groups in each other.
func groups(depth int) []byte {
	open := protowire.AppendTag(nil, 15, protowire.StartGroupType)
	shut := protowire.AppendTag(nil, 15, protowire.EndGroupType)
	return append(bytes.Repeat(open, depth), bytes.Repeat(shut, depth)...)
}

// request is the encoding of a request in a frame.
var request = mustMarshal(&wire.Frame{Id: 1, Request: sending("hi")})

func mustMarshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// Numbers of the fields of Frame, Push and Request.
const (
	frameRequest, frameResponse, framePush = 2, 3, 4
	pushTransient                          = 2
	requestLogin, requestMessage           = 1, 6
	messageConversationID                  = 3
)

// malformed are messages that neither side accepts.
var malformed = map[string][]byte{
	"cut off length":        {0x80},
	"length beyond the end": {5, 1},
	"length of 1 GiB":       protowire.AppendVarint(nil, 1<<30),
	"length of 2^63":        protowire.AppendVarint(nil, 1<<63),
	"length of 2^64-1":      protowire.AppendVarint(nil, 1<<64-1),
	"length without end":    bytes.Repeat([]byte{0xff}, 11),
	"no tag":                framed([]byte{0xff}),
	"field number zero":     framed([]byte{0, 0}),
	"unknown wire type":     framed([]byte{1<<3 | 7}),
	"cut off field":         framed(request[:len(request)-1]),
	"field beyond the end":  framed([]byte{frameRequest<<3 | 2, 100}),
	"end without a group":   framed([]byte{15<<3 | 4}),
	"group without end":     framed([]byte{15<<3 | 3}),
	"20000 groups":          framed(append(groups(20_000), request...)),
	"no UTF-8":              framed(field(frameRequest, field(requestMessage, field(messageConversationID, []byte{0xff})))),
	"too many elements":     framed(append(field(framePush, bytes.Repeat(field(pushTransient, nil), mux.ToClient.Elements)), request...)),
	"good, then bad":        append(framed(request), 0x80),
}

// allocated returns how many bytes f allocates: the least of a few calls, since the runtime allocates, too.
func allocated(f func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// read decodes a message, as a backend does for which the first frame that is no request is the last.
func read(msg []byte, limits mux.Limits) (frames []*wire.Frame, err error) {
	var f wire.Frame
	err = mux.EachFrame(msg, limits, &f, func(f *wire.Frame) error {
		if f.Request == nil {
			return mux.ErrMalformed
		}
		frames = append(frames, &wire.Frame{Id: f.Id, Request: f.Request})
		f.Request = nil
		return nil
	})
	return frames, err
}

// What is beyond the limits is found before it is decoded, and what is within them costs no more than it may.
func TestLimits(t *testing.T) {
	emptyPushes := bytes.Repeat(field(pushTransient, nil), 64<<10/2-16)
	deep := request
	for range 5000 {
		deep = field(15, deep)
	}
	logins := slices.Concat(field(requestLogin, nil), field(requestMessage, nil))
	tests := []struct {
		name   string
		limits mux.Limits
		msg    []byte
		frames int // that are read before the message is over, or refused
		ok     bool
		cost   uint64 // bytes that may be allocated
	}{
		{"64 KiB of empty messages", mux.ToServer, framed(field(framePush, emptyPushes)), 0, false, 4 << 10},
		{"64 KiB of empty messages for a client", mux.ToClient, framed(append(field(framePush, emptyPushes), request...)), 1, true, 16 << 20},
		{"512 KiB of empty messages for a client", mux.ToClient, framed(field(framePush, bytes.Repeat(emptyPushes, 8))), 0, false, 4 << 10},
		{"64 KiB of fields that take each other's place", mux.ToServer, framed(field(frameRequest, bytes.Repeat(logins, 16<<10))), 0, false, 4 << 10},
		{"as many as there may be", mux.ToServer, framed(field(frameRequest, bytes.Repeat(logins, 1023))), 1, true, 1 << 20},
		{"as many as a stranger may have", mux.PreLogin, framed(field(frameRequest, bytes.Repeat(logins, 127))), 1, true, 128 << 10},
		{"more than a stranger may have", mux.PreLogin, framed(field(frameRequest, bytes.Repeat(logins, 129))), 0, false, 4 << 10},
		{"5000 groups", mux.ToServer, framed(append(groups(5000), request...)), 0, false, 4 << 10},
		{"20000 groups", mux.ToServer, framed(append(groups(20_000), request...)), 0, false, 4 << 10},
		{"groups in a small frame", mux.ToServer, framed(append(groups(1000), request...)), 1, true, 4 << 10},
		{"5000 unknown messages in each other", mux.ToServer, framed(append(field(15, deep), request...)), 1, true, 8 << 10},
		{"60 KiB of an unknown field", mux.ToServer, framed(append(field(15, make([]byte, 60<<10)), request...)), 1, true, 4 << 10},
		{"frames behind a bad one", mux.ToServer, slices.Concat(framed(request), framed(nil), framed(request)), 1, false, 4 << 10},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var frames []*wire.Frame
			var err error
			cost := allocated(func() { frames, err = read(test.msg, test.limits) })
			if test.ok != (err == nil) || err != nil && !errors.Is(err, mux.ErrMalformed) || len(frames) != test.frames {
				t.Errorf("%d bytes: got %d frames, %v, want %d", len(test.msg), len(frames), err, test.frames)
			}
			if cost > test.cost {
				t.Errorf("%d bytes: got %d bytes allocated, want at most %d", len(test.msg), cost, test.cost)
			}
			t.Logf("%d bytes cost %d", len(test.msg), cost)
		})
	}
}

// The limit of elements is exact, and counts those of nested messages.
func TestElements(t *testing.T) {
	limits := mux.Limits{Message: 1 << 10, Elements: 10}
	// The field of the frame and those of the request, all longer than the frames that need no count.
	full := field(frameRequest, bytes.Repeat(field(1000, make([]byte, 10)), 9))
	if frames, err := read(framed(full), limits); err != nil || len(frames) != 1 {
		t.Errorf("10 fields: got %d frames, %v, want 1", len(frames), err)
	}
	over := field(frameRequest, bytes.Repeat(field(1000, make([]byte, 10)), 10))
	if frames, err := read(framed(over), limits); !errors.Is(err, mux.ErrMalformed) {
		t.Errorf("11 fields: got %d frames, %v, want mux.ErrMalformed", len(frames), err)
	}
}

func TestMalformed(t *testing.T) {
	for name, msg := range malformed {
		t.Run(name, func(t *testing.T) {
			var err error
			cost := allocated(func() { _, err = read(msg, mux.ToClient) })
			if !errors.Is(err, mux.ErrMalformed) || cost > 8<<10 {
				t.Errorf("got %v for %d bytes of memory, want mux.ErrMalformed for next to nothing", err, cost)
			}
		})
	}
}

// What a version does not know it does not keep.
func TestUnknownFields(t *testing.T) {
	inside := field(frameRequest, slices.Concat(
		field(requestMessage, append(field(messageConversationID, []byte("bob")), field(1000, make([]byte, 1000))...)),
		field(1000, make([]byte, 1000)),
	))
	frames, err := read(framed(append(inside, field(1000, make([]byte, 1000))...)), mux.ToServer)
	want := &wire.Frame{Request: &wire.Request{Body: &wire.Request_SendMessage{SendMessage: &wire.SendMessageRequest{ConversationId: "bob"}}}}
	if err != nil || len(frames) != 1 || !proto.Equal(frames[0], want) {
		t.Errorf("got %v, %v, want %v", frames, err, want)
	}
}

// Whatever comes: no panic, no more memory than the limits grant, and what was understood can be said again.
func FuzzFrames(f *testing.F) {
	for _, msg := range malformed {
		if len(msg) < 1<<10 { // those that are small teach as much
			f.Add(msg, false)
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte, login bool) {
		limits := mux.ToServer
		if login {
			limits = mux.PreLogin
		}
		if len(msg) > limits.Message {
			return // the stream refuses it
		}
		var f wire.Frame
		var frames []*wire.Frame
		cost := allocated(func() {
			mux.EachFrame(msg, limits, &f, func(f *wire.Frame) error {
				frames = append(frames, &wire.Frame{Id: f.Id, Request: f.Request, Response: f.Response, Push: f.Push})
				return nil
			})
		})
		// The fuzzer allocates as well.
		if most := uint64(64<<10 + 4*len(msg) + (len(frames)+1)*512*limits.Elements); cost > most {
			t.Errorf("%d bytes, %d frames: got %d bytes allocated, want at most %d", len(msg), len(frames), cost, most)
		}
		again, i := mux.Encode(frames...), 0
		err := mux.EachFrame(again, mux.ToClient, &f, func(f *wire.Frame) error {
			if i < len(frames) && !proto.Equal(f, frames[i]) {
				t.Errorf("frame %d: got %v, want %v", i, f, frames[i])
			}
			i++
			return nil
		})
		if err != nil || i != len(frames) {
			t.Errorf("encoded again: got %d frames, %v, want %d", i, err, len(frames))
		}
	})
}
