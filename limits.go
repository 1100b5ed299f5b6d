package zim

import (
	"math"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"github.com/zim-go/zim/internal/ident"
)

// Limits are checked before anything is sent. In each field, zero means the documented default. Raise one only for a
// service that was configured to allow more. (Documented in the chapters on message types and login.)
type Limits struct {
	TextSize         int // bytes in a text message; default 2 KB, up to 32 KB
	CustomSize       int // bytes in a custom message; default 2 KB, up to 32 KB
	CommandSize      int // bytes in a command message; default 5 KB, up to 32 KB
	ExtendedDataSize int // bytes in a message's extended data; default 1 KB, up to 16 KB

	// SendRate is how many messages of low and medium priority may be sent in a second, and at once. Default 10; negative
	// means no limit.
	SendRate float64
	// HighPrioritySendRate is the same for messages of high priority, which have a quota of their own. Default 20.
	HighPrioritySendRate float64
}

// Sizes that no service raises.
const (
	maxUserName     = 256
	maxCustomStatus = 64
	maxDeviceID     = 64
	maxToken        = 7 << 10 // with the rest of a login, no more than a service reads of strangers
	maxSubType      = 200
	maxSearched     = 64
	maxResourcesID  = 32
	maxBadge        = 99
	maxPushText     = 4 << 10
	maxRequest      = 60 << 10 // a message with all that belongs to it
)

func (l *Limits) fill(op string) *Error {
	for _, f := range []struct {
		name              string
		value             *int
		standard, ceiling int
	}{
		{"TextSize", &l.TextSize, 2 << 10, 32 << 10},
		{"CustomSize", &l.CustomSize, 2 << 10, 32 << 10},
		{"CommandSize", &l.CommandSize, 5 << 10, 32 << 10},
		{"ExtendedDataSize", &l.ExtendedDataSize, 1 << 10, 16 << 10},
	} {
		if *f.value == 0 {
			*f.value = f.standard
		}
		if *f.value < 0 || *f.value > f.ceiling {
			return invalid(op, "Limits.%s is %d, it may be 1 to %d", f.name, *f.value, f.ceiling)
		}
	}
	if math.IsNaN(l.SendRate) || math.IsNaN(l.HighPrioritySendRate) {
		return invalid(op, "Limits.SendRate and HighPrioritySendRate must be numbers")
	}
	if l.SendRate == 0 {
		l.SendRate = 10
	}
	if l.HighPrioritySendRate == 0 {
		l.HighPrioritySendRate = 20
	}
	return nil
}

// limiter returns a limiter that lets a second's worth through at once.
func (l *Limits) limiter(perSecond float64) *rate.Limiter {
	if perSecond < 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(int(perSecond), 1))
}

func checkUserID(op, what, id string) *Error {
	if err := ident.CheckUserID(id); err != nil {
		return invalid(op, "the %s %v", what, err)
	}
	return nil
}

// checkText checks a string that users see: its size, and that it is text.
func checkText(op, what, s string, limit int) *Error {
	if len(s) > limit {
		return invalid(op, "the %s has %d bytes, the limit is %d", what, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return invalid(op, "the %s is not valid UTF-8", what)
	}
	return nil
}
