package media

import (
	"fmt"
	"io"
	"log/slog"
)

// A Key is a secret that doesn't get into logs by accident: formatted, logged or marshaled, it is "[redacted]", unless it is in an
// unexported field of what is printed.
type Key []byte

const redacted = "[redacted]"

// Format writes "[redacted]", whatever the verb.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format writes what s is, and nothing of what it has: its keys sign tickets and URLs.
func (*Server) Format(f fmt.State, _ rune) { io.WriteString(f, "media.Server") }
