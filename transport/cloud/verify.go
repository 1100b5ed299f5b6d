package cloud

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zim-go/zim/token"
)

// A digest is what a callback's signature is, whichever way it is written.
type digest [sha1.Size]byte

const (
	// maxSkew is how old a timestamp may be, and how far in the future.
	maxSkew  = 300 * time.Second
	maxNonce = 32
)

// verify reports whether the callback was signed by somebody who knows one of the secrets, for this app and at about this time.
// What is signed is the concatenation of three strings, so that strict formats decide what they are: a nonce that was made longer
// without the secret, as SHA-1 allows, has bytes that are none of a nonce's.
func (s *Service) verify(f *fields, now time.Time) (digest, bool) {
	appID, nonce, timestamp, signature := f.text("appid"), f.text("nonce"), f.text("timestamp"), f.text("signature")
	if f.err != nil || appID != strconv.FormatUint(uint64(s.AppID), 10) || !alphanumeric(nonce) || len(nonce) > maxNonce ||
		!alphanumeric(strings.ReplaceAll(f.name, "_", "")) || len(f.name) > maxName {
		return digest{}, false
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || len(timestamp) != 10 || seconds < 1e9 { // which leaves no room for a sign
		return digest{}, false
	}
	if d := now.Sub(time.Unix(seconds, 0)); d > maxSkew || d < -maxSkew {
		return digest{}, false
	}
	var given digest
	if len(signature) != 2*len(given) {
		return digest{}, false
	}
	if _, err := hex.Decode(given[:], []byte(signature)); err != nil {
		return digest{}, false
	}
	good := 0
	for _, secret := range []token.Secret{s.CallbackSecret, s.PreviousCallbackSecret} {
		want := sign(secret, timestamp, nonce)
		if ok := subtle.ConstantTimeCompare(want[:], given[:]); secret != "" { // else everybody knows it
			good |= ok
		}
	}
	return given, good == 1
}

// sign returns the signature of a timestamp and a nonce, as documented.
func sign(secret token.Secret, timestamp, nonce string) digest {
	parts := []string{secret.Reveal(), timestamp, nonce}
	slices.Sort(parts)
	return sha1.Sum([]byte(parts[0] + parts[1] + parts[2]))
}

// alphanumeric reports whether s has letters and digits of ASCII, and nothing else.
func alphanumeric(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' && c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}
