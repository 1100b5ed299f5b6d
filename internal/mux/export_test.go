package mux

import "github.com/zim-go/zim/wire"

// AppendFrame and EachFrame are the two directions of the encoding.
var AppendFrame = appendFrame

func EachFrame(msg []byte, limits Limits, f *wire.Frame, visit func(*wire.Frame) error) error {
	return eachFrame(msg, limits, f, nil, visit)
}

// EachFrameKept is what a client does: it decodes acknowledgments into one that is kept.
func EachFrameKept(msg []byte, limits Limits, f *wire.Frame, visit func(*wire.Frame) error) error {
	return eachFrame(msg, limits, f, new(acknowledgment), visit)
}

// Encode returns a message of frames.
func Encode(frames ...*wire.Frame) []byte {
	var msg []byte
	for _, f := range frames {
		var err error
		if msg, err = appendFrame(msg, f); err != nil {
			panic(err)
		}
	}
	return msg
}

// SetLimit sets how many bytes may wait for c's server.
func SetLimit(c *Conn, limit int) { c.limit = limit }
