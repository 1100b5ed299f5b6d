// Package payload reads and writes the contents of messages that have one field, which are most, without a detour over a
// generated type. What it writes is the encoding of wire.TextContent and wire.CommandContent.
package payload

import "google.golang.org/protobuf/encoding/protowire"

const field = 1

// Append appends the encoding of a content whose field is v. An empty field is not encoded.
func Append[T string | []byte](b []byte, v T) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

// Size returns how many bytes Append adds for a field of n bytes.
func Size(n int) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(n)
}

// Split returns the field of the content in b, which it shares. It reports false if b is not exactly what Append writes:
// then it has fields of a newer version, or is malformed.
func Split(b []byte) (v []byte, ok bool) {
	if len(b) == 0 {
		return nil, true
	}
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != field || typ != protowire.BytesType {
		return nil, false
	}
	v, m := protowire.ConsumeBytes(b[n:])
	return v, m > 0 && n+m == len(b) && n+m == Size(len(v))
}
