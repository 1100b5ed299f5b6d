package cloud_test

import (
	"crypto/sha1"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// extend returns the SHA-1 of a message of which only that of its first n bytes is known, and what is appended to these: the padding and
// tail. That is what a forger can do without the secret.
func extend(t *testing.T, known string, n int, tail string) (forged, appended string) {
	t.Helper()
	sum, err := hex.DecodeString(known)
	if err != nil {
		t.Fatal(err)
	}
	padding := append([]byte{0x80}, make([]byte, (119-n%64)%64)...)
	padding = binary.BigEndian.AppendUint64(padding, uint64(n)*8)
	// The state of the library's hash: a magic, the five words, a block, and the length so far.
	state := append([]byte("sha\x01"), sum...)
	state = append(state, make([]byte, sha1.BlockSize)...)
	state = binary.BigEndian.AppendUint64(state, uint64(n+len(padding)))
	h := sha1.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	h.Write([]byte(tail))
	return hex.EncodeToString(h.Sum(nil)), string(padding) + tail
}
