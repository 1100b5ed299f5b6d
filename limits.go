package zim

import (
	"cmp"
	"math"
	"time"
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
	BarrageSize      int // bytes in a barrage message; default 5 KB, up to 32 KB
	ExtendedDataSize int // bytes in a message's extended data; default 1 KB, up to 16 KB

	ImageSize     int64         // bytes in an image; default 10 MB
	FileSize      int64         // bytes in a file; default 100 MB
	AudioSize     int64         // bytes in a recording; default 6 MB
	VideoSize     int64         // bytes in a video; default 100 MB
	AudioDuration time.Duration // of a recording; default 300 seconds
	DownloadSize  int64         // bytes in a file that is downloaded; default 200 MB

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
	maxRoomName     = 64
	maxDestroyDelay = 3 * time.Hour
	maxRoomPage     = 100
	maxRoomUsers    = 10
	maxMentioned    = 50
	maxItems        = 20
	maxMediaItems   = 10
	maxCombined     = 300
	maxTitle        = 20
	maxSummary      = 100
	maxFileName     = 150
	maxURL          = 500
	maxNumbered     = 10 // messages that are asked for by their numbers
	maxReceipts     = 10
	maxDeleted      = 100
	maxPage         = 100
	maxReactionType = 32
	maxRevokeExtras = 200
	maxDraft        = 8 << 10
	maxMark         = 60
	maxLocalData    = 128 << 10
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
		{"BarrageSize", &l.BarrageSize, 5 << 10, 32 << 10},
		{"ExtendedDataSize", &l.ExtendedDataSize, 1 << 10, 16 << 10},
	} {
		if *f.value = cmp.Or(*f.value, f.standard); *f.value < 0 || *f.value > f.ceiling {
			return invalid(op, "Limits.%s is %d, it may be 1 to %d", f.name, *f.value, f.ceiling)
		}
	}
	for _, f := range []struct {
		name     string
		value    *int64
		standard int64
	}{
		{"ImageSize", &l.ImageSize, 10 << 20},
		{"FileSize", &l.FileSize, 100 << 20},
		{"AudioSize", &l.AudioSize, 6 << 20},
		{"VideoSize", &l.VideoSize, 100 << 20},
		{"AudioDuration", (*int64)(&l.AudioDuration), int64(300 * time.Second)},
		{"DownloadSize", &l.DownloadSize, 200 << 20},
	} {
		if *f.value = cmp.Or(*f.value, f.standard); *f.value < 0 {
			return invalid(op, "Limits.%s is negative", f.name)
		}
	}
	if math.IsNaN(l.SendRate) || math.IsNaN(l.HighPrioritySendRate) {
		return invalid(op, "Limits.SendRate and HighPrioritySendRate must be numbers")
	}
	l.SendRate = cmp.Or(l.SendRate, 10)
	l.HighPrioritySendRate = cmp.Or(l.HighPrioritySendRate, 20)
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

func checkRoomID(op, what, id string) *Error {
	if err := ident.CheckRoomID(id); err != nil {
		return invalid(op, "the ID of the %s %v", what, err)
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
