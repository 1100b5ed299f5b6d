package restapi

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/zim-go/zim/backend/internal/apicode"
)

// A limit is how often an action may be called for an app, or if its input is weighed, for what that names.
type limit struct {
	perSecond float64 // in the long run, and so many at once, but one at least
	perDay    int     // beside it; zero is no limit
	code      int     // of the refusal
}

// The documented limits.
var (
	usual         = limit{perSecond: 20, code: apicode.AppRate}
	toMany        = limit{perSecond: 10, code: apicode.AppRate}
	toAll         = limit{perSecond: 1, perDay: 100, code: apicode.BroadcastRate}
	registering   = limit{perSecond: 20, code: apicode.RegisterRate}
	creatingGroup = limit{perSecond: 20, code: apicode.CreateGroupRate}
	kicking       = limit{perSecond: 20, code: apicode.KickRate}
	listing       = limit{perSecond: 20, code: apicode.MemberListRate}
	listingGroups = limit{perSecond: 1, code: apicode.GroupListRate}
	perGroup      = limit{perSecond: 1, code: apicode.GroupRoomRate}
	perRoom       = limit{perSecond: 5, code: apicode.GroupRoomRate}
)

// A weighed input says what it counts for: n of the calls for key, which is empty for the app as a whole.
type weighed interface{ weigh() (key string, n int) }

type limitKey struct {
	app         uint32
	action, key string
	day         bool
}

// maxLimiters is how many are remembered before all are forgotten.
const maxLimiters = 100_000

type limiters struct {
	mu  sync.Mutex
	all map[limitKey]*rate.Limiter // guarded by mu
}

// allow counts n calls, and reports whether they are within the limit.
func (l *limiters) allow(app uint32, action, key string, limit limit, n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	second := l.get(limitKey{app, action, key, false}, rate.Limit(limit.perSecond), max(int(limit.perSecond), 1))
	if !second.AllowN(time.Now(), n) {
		return false // what comes too fast does not use the day up
	}
	if limit.perDay == 0 {
		return true
	}
	return l.get(limitKey{app, action, key, true}, rate.Every(24*time.Hour/time.Duration(limit.perDay)), limit.perDay).AllowN(time.Now(), n)
}

func (l *limiters) get(key limitKey, perSecond rate.Limit, burst int) *rate.Limiter {
	found := l.all[key]
	if found == nil {
		if l.all == nil || len(l.all) >= maxLimiters {
			l.all = make(map[limitKey]*rate.Limiter)
		}
		found = rate.NewLimiter(perSecond, burst)
		l.all[key] = found
	}
	return found
}
