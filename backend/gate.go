package backend

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A gate bounds what those may do who have not logged in.
type gate struct {
	total, each int        // immutable; connections without a login, in all and for an address
	failing     rate.Limit // immutable; refused logins of an address

	mu       sync.Mutex
	waiting  int                       // guarded by mu; connections without a login
	counts   map[string]int            // guarded by mu; the same by address
	failures map[string]*rate.Limiter  // guarded by mu
	logins   map[userKey]*rate.Limiter // guarded by mu
	senders  map[sender]*rate.Limiter  // guarded by mu
	askers   map[asker]*rate.Limiter   // guarded by mu
}

// A sender is a client whose messages are counted, from one connection to the next; or with an empty instance, a user, on whichever device: a new
// run of a client is no way around the limit.
type sender struct {
	user     userKey
	instance string
	high     bool // messages of high priority are counted apart
}

// An asker is a user whose requests are counted, on whichever device: a new connection is no way around what earlier ones cost.
type asker struct {
	user userKey
	what asked
}

// An asked is a kind of requests that are counted apart.
type asked int

const (
	askedChanges asked = iota
	askedQueries
	askedSyncs
)

// maxLimiters is how many addresses or users are remembered before all are forgotten.
const maxLimiters = 100_000

func newGate(total, each int, failing rate.Limit) *gate {
	g := &gate{total: total, each: each, failing: failing, counts: make(map[string]int)}
	g.forget()
	return g
}

// forget drops what is remembered of addresses and users.
func (g *gate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures = make(map[string]*rate.Limiter)
	g.logins = make(map[userKey]*rate.Limiter)
	g.senders = make(map[sender]*rate.Limiter)
	g.askers = make(map[asker]*rate.Limiter)
}

// enter counts another connection from an address in, unless there are too many. leave counts it out once it has logged in
// or is gone; it may be called more than once.
func (g *gate) enter(address string) (leave func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.failures[address]; l != nil && l.Tokens() < 1 {
		return nil, false
	}
	if g.waiting >= g.total || g.counts[address] >= g.each {
		return nil, false
	}
	g.waiting++
	g.counts[address]++
	return sync.OnceFunc(func() { g.leave(address) }), true
}

func (g *gate) leave(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting--
	if g.counts[address]--; g.counts[address] == 0 {
		delete(g.counts, address)
	}
}

// mayFail counts a refused login, and reports whether the address is still within its rate.
func (g *gate) mayFail(address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return limiter(g.failures, address, g.failing).Allow()
}

// mayLogin counts a login of a user, and reports whether that is within the rate.
func (g *gate) mayLogin(user userKey, perSecond float64) bool {
	if perSecond < 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return limiter(g.logins, user, rate.Limit(perSecond)).Allow()
}

// A quota is how many messages a client may send: within its own limit, and within that of all clients of its user that may be online.
type quota struct{ own, all *rate.Limiter }

// take counts n messages, and reports whether they are within the limits.
func (q quota) take(n int) bool {
	now := time.Now()
	return allowed(q.own, now, n) && allowed(q.all, now, n)
}

func allowed(l *rate.Limiter, now time.Time, n int) bool {
	return l.AllowN(now, min(n, max(l.Burst(), 1)))
}

// sends returns the quota of a client's messages.
func (g *gate) sends(user userKey, instance string, high bool, app *App) quota {
	if app.Limits.SendRate < 0 {
		return quota{unlimited, unlimited}
	}
	factor := 1
	if high {
		factor = 2
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	limiter := func(instance string, clients int) *rate.Limiter {
		return remember(g.senders, sender{user, instance, high}, func() *rate.Limiter {
			return rate.NewLimiter(rate.Limit(app.Limits.SendRate*float64(clients*factor)), app.Limits.SendBurst*clients*factor)
		})
	}
	return quota{limiter(instance, 1), limiter("", max(app.Devices.Native+app.Devices.Web, 1))}
}

// asks returns the limiter for a user's requests, which lets four seconds' worth through at once.
func (g *gate) asks(user userKey, what asked, perSecond float64) *rate.Limiter {
	if perSecond < 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return remember(g.askers, asker{user, what}, func() *rate.Limiter {
		return rate.NewLimiter(rate.Limit(perSecond), max(int(4*perSecond), 1))
	})
}

// limiter returns the limiter for a key, which lets a second's worth through at once.
func limiter[K comparable](m map[K]*rate.Limiter, key K, limit rate.Limit) *rate.Limiter {
	return remember(m, key, func() *rate.Limiter { return rate.NewLimiter(limit, max(int(limit), 1)) })
}

func remember[K comparable](m map[K]*rate.Limiter, key K, fresh func() *rate.Limiter) *rate.Limiter {
	l := m[key]
	if l == nil {
		if len(m) >= maxLimiters {
			clear(m)
		}
		l = fresh()
		m[key] = l
	}
	return l
}
