package backend

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/zim-go/zim/token"
)

// An App is one application: users of different apps don't know of each other.
type App struct {
	ID uint32 // required
	// Verifier checks the login tokens. Required.
	Verifier *token.Verifier
	// Devices says how many devices of a user may be online together. The zero value is the documented default: one.
	Devices DevicePolicy
	// Limits are enforced for every client. The zero value means the documented ones.
	Limits Limits
	// GroupTips puts notes of what happens to a group and its members into its conversation. (Documented as tips messages,
	// and off by default.)
	GroupTips bool
}

// DevicePolicy says which devices of a user may be online together. A login beyond it evicts the earliest.
type DevicePolicy struct {
	// Native and Web are how many devices of the native platforms and how many web ones may be online. Both zero means one
	// device of any kind; up to 10 each.
	Native, Web int
}

// The documented policies.
var (
	SingleDevice = DevicePolicy{}
	DualDevice   = DevicePolicy{Native: 1, Web: 1}
	MultiDevice  = DevicePolicy{Native: 10, Web: 10}
)

// single reports whether a user has one device, so that nobody else needs to know what it did.
func (p DevicePolicy) single() bool { return p.Native+p.Web <= 1 }

// Limits bound what a client may send. Zero fields mean the documented default.
type Limits struct {
	TextSize         int // bytes; default 2 KB, up to 32 KB
	CustomSize       int // bytes; default 2 KB, up to 32 KB
	CommandSize      int // bytes; default 5 KB, up to 32 KB
	BarrageSize      int // bytes; default 5 KB, up to 32 KB
	ExtendedDataSize int // bytes; default 1 KB, up to 16 KB

	ImageSize     int64 // bytes; default 10 MB
	FileSize      int64 // bytes; default 100 MB
	AudioSize     int64 // bytes; default 6 MB
	VideoSize     int64 // bytes; default 100 MB
	AudioDuration int64 // seconds; default 300

	// RevokeWindow is for how long messages can be revoked. Default 2 minutes, up to 24 hours.
	RevokeWindow time.Duration
	// PinnedConversations is how many conversations a user may pin. Default 100.
	PinnedConversations int
	// GroupMembers is how many members a group may have. Default 500, up to 6000.
	GroupMembers int
	// ChangeRate is how many things beside messages a user may do in a second in the long run, and four times as many at once. What
	// many users are told of counts for more. Default 50; negative means no limit.
	ChangeRate float64
	// QueryRate is the same for what only reads. Default 100.
	QueryRate float64

	// SendRate is how many messages a client may send in a second in the long run. Default 10, and twice as many of high
	// priority; negative means no limit.
	SendRate float64
	// SendBurst is how many it may send at once. The default is what a client holds back lawfully while its connection is
	// lost: 31 seconds' worth.
	SendBurst int
	// LoginRate is how many logins of a user are looked at in a second. Default 10; negative means no limit.
	LoginRate float64

	// Rooms is how many rooms the app may have at a time, RoomsPerUser how many a user may be in, and RoomMembers how many users
	// one may hold. Defaults 50, 5 and 10000; negative means no limit.
	Rooms, RoomsPerUser, RoomMembers int
}

func (l *Limits) fill() error {
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
		{"PinnedConversations", &l.PinnedConversations, 100, 1000},
		{"GroupMembers", &l.GroupMembers, 500, 6000},
	} {
		if *f.value = cmp.Or(*f.value, f.standard); *f.value < 0 || *f.value > f.ceiling {
			return fmt.Errorf("%s is %d, it may be 1 to %d", f.name, *f.value, f.ceiling)
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
		{"AudioDuration", &l.AudioDuration, 300},
		{"RevokeWindow", (*int64)(&l.RevokeWindow), int64(2 * time.Minute)},
	} {
		if *f.value = cmp.Or(*f.value, f.standard); *f.value < 0 {
			return fmt.Errorf("%s is negative", f.name)
		}
	}
	if l.RevokeWindow > 24*time.Hour {
		return fmt.Errorf("RevokeWindow is %v, it may be up to 24 hours", l.RevokeWindow)
	}
	if l.SendBurst < 0 || math.IsNaN(l.ChangeRate) || math.IsNaN(l.QueryRate) || math.IsNaN(l.SendRate) || math.IsNaN(l.LoginRate) {
		return fmt.Errorf("SendBurst is %d, SendRate %v, LoginRate %v, ChangeRate %v and QueryRate %v: they are no limits",
			l.SendBurst, l.SendRate, l.LoginRate, l.ChangeRate, l.QueryRate)
	}
	l.ChangeRate = cmp.Or(l.ChangeRate, 50)
	l.QueryRate = cmp.Or(l.QueryRate, 100)
	l.SendRate = cmp.Or(l.SendRate, 10)
	l.SendBurst = cmp.Or(l.SendBurst, max(int(31*l.SendRate), 1))
	l.LoginRate = cmp.Or(l.LoginRate, 10)
	l.Rooms = cmp.Or(l.Rooms, 50)
	l.RoomsPerUser = cmp.Or(l.RoomsPerUser, 5)
	l.RoomMembers = cmp.Or(l.RoomMembers, 10_000)
	return nil
}

func (a *App) fill() error {
	if a.ID == 0 {
		return errors.New("its ID is zero")
	}
	if a.Verifier == nil {
		return errors.New("it has no Verifier")
	}
	if a.Devices.Native < 0 || a.Devices.Web < 0 || a.Devices.Native > 10 || a.Devices.Web > 10 {
		return errors.New("its device policy allows 0 to 10 devices of a kind")
	}
	return a.Limits.fill()
}

// Limits returns an app's limits, with the defaults filled in, and false if there is no such app.
func (s *Server) Limits(app uint32) (Limits, bool) {
	a := s.apps[app]
	if a == nil {
		return Limits{}, false
	}
	return a.Limits, true
}
