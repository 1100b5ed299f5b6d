package mux

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/zim-go/zim/wire"
)

// Limits bounds what is accepted from the other side before any of it is decoded.
type Limits struct {
	// Message is the size of one message of the stream, in bytes. A frame is never longer than its message.
	Message int
	// Elements is the number of fields in one frame, those of nested messages included. Each may cost some fifty times
	// its own size once it is decoded.
	Elements int
}

// The limits for what each side reads.
var (
	// PreLogin is what a backend grants somebody it does not know.
	PreLogin = Limits{Message: 8 << 10, Elements: 256}
	// ToServer is what a backend accepts of a user who has logged in.
	ToServer = Limits{Message: 64 << 10, Elements: 2048}
	// ToClient is what a client accepts: it holds a page of the feed.
	ToClient = Limits{Message: 512 << 10, Elements: 64 << 10}
)

// MaxDepth is how deep messages may nest in a frame.
const MaxDepth = 16

// ErrMalformed is what reading reports for bytes that are no frames, or frames beyond the limits.
var ErrMalformed = errors.New("mux: malformed frame")

var (
	decode = proto.UnmarshalOptions{Merge: true, DiscardUnknown: true, RecursionLimit: MaxDepth}
	encode = proto.MarshalOptions{UseCachedSize: true}
)

// appendFrame appends f behind its length.
func appendFrame(b []byte, f *wire.Frame) ([]byte, error) {
	b = protowire.AppendVarint(b, uint64(proto.Size(f)))
	return encode.MarshalAppend(b, f)
}

// nextFrame splits the encoding of the first frame off msg.
func nextFrame(msg []byte) (frame, rest []byte, err error) {
	size, n := protowire.ConsumeVarint(msg)
	if n < 0 || size > uint64(len(msg)-n) {
		return nil, nil, fmt.Errorf("%w: bad length", ErrMalformed)
	}
	return msg[n : n+int(size)], msg[n+int(size):], nil
}

// eachFrame decodes the frames of one message into f, one after the other. A client decodes acknowledgments into a, which is nil at a server. What else
// there is most of, sends at a server and events at a client, is decoded into one piece of memory each.
func eachFrame(msg []byte, limits Limits, f *wire.Frame, a *acknowledgment, visit func(*wire.Frame) error) error {
	for len(msg) > 0 {
		frame, rest, err := nextFrame(msg)
		if err != nil {
			return err
		}
		msg = rest
		// A field takes two bytes at least, so that most frames need not be counted.
		if len(frame) > 2*limits.Elements {
			left := limits.Elements
			if err := count(frame, frameFields, &left, MaxDepth); err != nil {
				return err
			}
		}
		proto.Reset(f)
		switch {
		case a == nil && field(field(frame, requestField), sendField) != nil:
			f.Request = newSend()
		case a != nil && field(field(frame, responseField), sentField) != nil:
			f.Response = a.take()
		case a != nil && field(field(frame, pushField), eventsField) != nil:
			f.Push = newEventPush()
		}
		if err := decode.Unmarshal(frame, f); err != nil {
			return fmt.Errorf("%w: %d bytes", ErrMalformed, len(frame))
		}
		if a != nil && f.Response == a.resp && f.Response.GetSendMessage() == nil {
			*a = acknowledgment{} // it has become something else, which whoever gets it may keep
		}
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// newSend makes a request to decode a send into.
func newSend() *wire.Request {
	r := new(struct {
		req  wire.Request
		body wire.Request_SendMessage
		send wire.SendMessageRequest
	})
	r.req.Body, r.body.SendMessage = &r.body, &r.send
	return &r.req
}

// newEventPush makes a push to decode events into. It has room for one, as most come alone.
func newEventPush() *wire.Push {
	p := new(struct {
		push   wire.Push
		events wire.EventBatch
		list   [1]*wire.Event
	})
	p.push.Events, p.events.Events = &p.events, p.list[:0]
	return &p.push
}

var (
	requestField  = frameFields.ByName("request").Number()
	responseField = frameFields.ByName("response").Number()
	pushField     = frameFields.ByName("push").Number()
	sendField     = (*wire.Request)(nil).ProtoReflect().Descriptor().Fields().ByName("send_message").Number()
	sentField     = (*wire.Response)(nil).ProtoReflect().Descriptor().Fields().ByName("send_message").Number()
	eventsField   = (*wire.Push)(nil).ProtoReflect().Descriptor().Fields().ByName("events").Number()
)

// field returns the bytes of the first field of that number in b, or nil.
func field(b []byte, number protowire.Number) []byte {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return nil
		}
		if num == number && typ == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b)
			return v
		}
		b = b[n:]
	}
	return nil
}

// An acknowledgment is the response that a client gets most, kept to be decoded into again and again.
type acknowledgment struct {
	resp *wire.Response
	body *wire.Response_SendMessage
}

// take returns the response, as good as new.
func (a *acknowledgment) take() *wire.Response {
	if a.resp == nil {
		a.resp, a.body = new(wire.Response), &wire.Response_SendMessage{SendMessage: new(wire.SendMessageResponse)}
	}
	proto.Reset(a.resp)
	proto.Reset(a.body.SendMessage)
	a.resp.Body = a.body
	return a.resp
}

var frameFields = (*wire.Frame)(nil).ProtoReflect().Descriptor().Fields()

// count takes the fields of the message in b off left.
func count(b []byte, fields protoreflect.FieldDescriptors, left *int, depth int) error {
	if depth == 0 {
		return fmt.Errorf("%w: nested too deep", ErrMalformed)
	}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 || typ == protowire.StartGroupType {
			return fmt.Errorf("%w: bad field", ErrMalformed)
		}
		b = b[n:]
		if *left--; *left < 0 {
			return fmt.Errorf("%w: too many fields", ErrMalformed)
		}
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return fmt.Errorf("%w: bad field", ErrMalformed)
		}
		if typ == protowire.BytesType {
			if fd := fields.ByNumber(num); fd != nil && fd.Message() != nil {
				v, _ := protowire.ConsumeBytes(b)
				if err := count(v, fd.Message().Fields(), left, depth-1); err != nil {
					return err
				}
			}
		}
		b = b[n:]
	}
	return nil
}
