package token

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"
)

// The reasons for which [Verifier.Verify] refuses a token. They have no details, lest these help a forger: in particular, all
// tokens that may be forged get the same ErrInvalid. ErrExpired and ErrTooShort are for tokens of which everything else is right.
var (
	ErrVersion  = errors.New("token: unknown kind of token") // neither a token04 nor a JWT, or a kind that isn't configured
	ErrExpired  = errors.New("token: expired")
	ErrTooShort = errors.New("token: expires too soon")
	ErrInvalid  = errors.New("token: invalid")
)

// MaxTTL is the longest time for which a token may be valid.
const MaxTTL = 24 * 24 * time.Hour

const (
	leeway    = 60      // seconds by which clocks may differ
	maxToken  = 8 << 10 // bytes
	maxUserID = 64      // bytes; what the documented checkers take. ZIM's own limit is the caller's business
)

// Claims are what a token says.
type Claims struct {
	AppID    uint32
	UserID   string
	IssuedAt time.Time // whole seconds, in UTC
	Expires  time.Time // whole seconds, in UTC
	Nonce    int32     // tells tokens of the same second apart; zero in a JWT
	Payload  string    // permissions that other products put in a token04; ZIM has none. Empty in a JWT
}

// A Secret is a string that doesn't get into logs by accident: formatted, logged or marshaled, it is "[redacted]". Only
// [Secret.Reveal], or a conversion, gives it away; and two uses to avoid, in which nobody asks its methods: an unexported field
// of a struct that is printed, and a key of a map that becomes JSON.
type Secret string

const redacted = "[redacted]"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redacted }

// Format writes "[redacted]", whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "[redacted]", in quotes.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// validUserID looks for U+FFFD, which is what invalid UTF-8 is read as. Written out, it isn't wanted either: decoders put it
// in place of what is no text, and then one name stands for several.
func validUserID(id string) bool {
	return id != "" && len(id) <= maxUserID && !strings.ContainsRune(id, utf8.RuneError)
}

// newClaims checks what both kinds of token are made from.
func newClaims(appID uint32, userID string, ttl time.Duration, issuedAt time.Time) (Claims, error) {
	if appID == 0 {
		return Claims{}, errors.New("token: the app ID is zero")
	}
	if !validUserID(userID) {
		return Claims{}, fmt.Errorf("token: the user ID must be 1 to %d bytes of UTF-8", maxUserID)
	}
	if ttl < time.Second || ttl > MaxTTL {
		return Claims{}, fmt.Errorf("token: the ttl is %v, it may be 1s to %v", ttl, MaxTTL)
	}
	if issuedAt.IsZero() {
		issuedAt = time.Now()
	}
	issued := issuedAt.Unix()
	if issued <= 0 {
		return Claims{}, errors.New("token: IssuedAt is before 1970")
	}
	return Claims{
		AppID:    appID,
		UserID:   userID,
		IssuedAt: unix(issued),
		Expires:  unix(issued + int64(ttl/time.Second)),
	}, nil
}

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
