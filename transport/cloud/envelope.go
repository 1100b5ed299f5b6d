package cloud

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// maxExtended is how much extended data the service takes, in bytes.
const maxExtended = 1024

const (
	mark       = "\nzim:"
	idLength   = 16
	markedSize = len(mark) + 22 // the ID is in unpadded Base64
)

// wrap puts a message's local ID behind its extended data. Without an ID, there is nothing to put.
func wrap(extended string, id []byte) string {
	if len(id) != idLength {
		return extended
	}
	return extended + mark + base64.RawURLEncoding.EncodeToString(id)
}

// unwrap is the inverse of wrap. id is nil if there was none.
func unwrap(payload string) (extended string, id []byte) {
	n := len(payload) - markedSize
	if n < 0 || !strings.HasPrefix(payload[n:], mark) {
		return payload, nil
	}
	id, err := base64.RawURLEncoding.Strict().DecodeString(payload[n+len(mark):])
	if err != nil || len(id) != idLength {
		return payload, nil
	}
	return payload[:n], id
}

// parseLocalID reads a local ID as the SDK shows it.
func parseLocalID(s string) ([]byte, bool) {
	id, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	return id, err == nil && len(id) == idLength
}
