// Package arbitrary makes messages of the wire protocol out of arbitrary bytes, for fuzz tests: bytes that are no message at all are
// refused at the door, and teach little about what is behind it.
package arbitrary

import (
	"math"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const maxDepth = 8

// Fill fills m with what the first bytes say, and returns the rest. Each byte says which field is next, and those behind it what its value
// is; a zero ends the message. Whatever the bytes are, they say something, so that a small change of them is a small change of m.
func Fill(m proto.Message, b []byte) (rest []byte) {
	s := source(b)
	s.fill(m.ProtoReflect(), 0)
	return s
}

// A source is what is left of the bytes. At its end, it has zeros.
type source []byte

func (s *source) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	c := (*s)[0]
	*s = (*s)[1:]
	return c
}

// number returns what is more often small or extreme than not.
func (s *source) number() int64 {
	switch c := s.byte(); {
	case c < 0xf0:
		return int64(c) - 2
	case c == 0xf0:
		return math.MaxInt64
	case c == 0xf1:
		return math.MinInt64
	case c == 0xf2:
		return math.MaxInt32
	case c == 0xf3:
		return math.MinInt32
	default:
		return int64(s.byte())<<(c&0x3f) | int64(s.byte())
	}
}

// text returns a name that others may have, too, or as many bytes as the next one says.
func (s *source) text() string {
	names := []string{"", "alice", "bob", "g", "r", "\x00", "ä\u202e"}
	c := s.byte()
	if int(c) < len(names) {
		return names[c]
	}
	n := min(int(c)-len(names), len(*s))
	v := string((*s)[:n])
	*s = (*s)[n:]
	return v
}

func (s *source) fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for len(*s) > 0 {
		c := s.byte()
		if c == 0 || fields.Len() == 0 {
			return
		}
		fd := fields.Get(int(c-1) % fields.Len())
		if fd.IsMap() {
			key := protoreflect.ValueOfString(s.text()).MapKey()
			if fd.MapKey().Kind() == protoreflect.StringKind && fd.MapValue().Kind() == protoreflect.StringKind {
				m.Mutable(fd).Map().Set(key, protoreflect.ValueOfString(s.text()))
			}
			continue
		}
		v, ok := s.value(m, fd, depth)
		switch {
		case !ok:
		case fd.IsList():
			m.Mutable(fd).List().Append(v)
		default:
			m.Set(fd, v)
		}
	}
}

func (s *source) value(m protoreflect.Message, fd protoreflect.FieldDescriptor, depth int) (v protoreflect.Value, ok bool) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if depth >= maxDepth {
			return v, false
		}
		if fd.IsList() {
			v = m.NewField(fd).List().NewElement()
		} else {
			v = m.NewField(fd)
		}
		s.fill(v.Message(), depth+1)
		return v, true
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.ToValidUTF8(s.text(), "?")), true // what is no text can't be encoded
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(s.text())), true
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(s.byte()&1 == 1), true
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(s.number())), true
	case protoreflect.Int32Kind, protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(int32(s.number())), true
	case protoreflect.Int64Kind, protoreflect.Sint64Kind:
		return protoreflect.ValueOfInt64(s.number()), true
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(s.number())), true
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(s.number())), true
	default:
		return v, false
	}
}
