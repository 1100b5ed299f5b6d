package backend

import (
	"sync"

	"golang.org/x/time/rate"
)

// A gate bounds what those may do who have not logged in.
type gate struct {
	total, each int        // immutable; connections without a login, in all and for an address
	failing     rate.Limit // immutable; refused logins of an address

	mu       sync.Mutex
	waiting  map[*attachment]string    // guarded by mu; attachments without a login, and their addresses
	counts   map[string]int            // guarded by mu; of waiting
	failures map[string]*rate.Limiter  // guarded by mu
	logins   map[userKey]*rate.Limiter // guarded by mu
}

// maxLimiters is how many addresses or users are remembered before all are forgotten.
const maxLimiters = 100_000

func newGate(total, each int, failing rate.Limit) *gate {
	g := &gate{total: total, each: each, failing: failing, waiting: make(map[*attachment]string), counts: make(map[string]int)}
	g.forget()
	return g
}

// forget drops what is remembered of addresses and users.
func (g *gate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures = make(map[string]*rate.Limiter)
	g.logins = make(map[userKey]*rate.Limiter)
}

// open reports whether another connection from an address may come in.
func (g *gate) open(address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.failures[address]; l != nil && l.Tokens() < 1 {
		return false
	}
	return len(g.waiting) < g.total && g.counts[address] < g.each
}

// came counts an attachment that has not logged in.
func (g *gate) came(a *attachment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting[a] = a.address
	g.counts[a.address]++
}

// loggedIn counts an attachment out: it has logged in, or is gone.
func (g *gate) loggedIn(a *attachment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.waiting[a]; !ok {
		return
	}
	delete(g.waiting, a)
	if g.counts[a.address]--; g.counts[a.address] == 0 {
		delete(g.counts, a.address)
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

func limiter[K comparable](m map[K]*rate.Limiter, key K, limit rate.Limit) *rate.Limiter {
	l := m[key]
	if l == nil {
		if len(m) >= maxLimiters {
			clear(m)
		}
		l = rate.NewLimiter(limit, max(int(limit), 1))
		m[key] = l
	}
	return l
}
