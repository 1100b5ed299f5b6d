package restapi

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/token"
)

const (
	maxNonce  = 64               // bytes
	maxSkew   = 10 * time.Minute // between the clocks
	keepNonce = 2 * maxSkew      // a signature made by a clock that is ahead is good for so long
)

// The common parameters. Each comes once.
const (
	paramAction    = "Action"
	paramAppID     = "AppId"
	paramVersion   = "SignatureVersion"
	paramTimestamp = "Timestamp"
	paramNonce     = "SignatureNonce"
	paramSignature = "Signature"
)

// A request that passed the gateway.
type admitted struct {
	app    uint32
	name   string
	action *action
}

// admit makes the checks of the gateway, in their order, and takes the common parameters out of the query.
func (a *API) admit(q url.Values) (*admitted, *failure) {
	twice := func(name string) bool { return len(q[name]) > 1 }
	appText := q.Get(paramAppID)
	app, ok := digits(appText, 10)
	switch {
	case twice(paramAppID) || !ok || app == 0 || app > 1<<32-1:
		return nil, fail(apicode.GatewayAppID, "the AppId is malformed")
	case twice(paramAction) || q.Get(paramAction) == "":
		return nil, fail(apicode.GatewayActionMissing, "the Action is missing")
	}
	r := &admitted{app: uint32(app), name: q.Get(paramAction)}
	if r.action = actions[r.name]; r.action == nil {
		return r, fail(apicode.GatewayActionUnknown, "there is no such Action")
	}
	text := q.Get(paramTimestamp)
	seconds, ok := digits(text, 12)
	nonce := q.Get(paramNonce)
	switch {
	case q.Get(paramVersion) == "":
		return r, fail(apicode.GatewayVersionMissing, "the SignatureVersion is missing")
	case twice(paramVersion) || q.Get(paramVersion) != "2.0":
		return r, fail(apicode.GatewayVersionUnsupported, "the SignatureVersion must be 2.0")
	case text == "":
		return r, fail(apicode.GatewayTimestampMissing, "the Timestamp is missing")
	case twice(paramTimestamp) || !ok:
		return r, fail(apicode.GatewayTimestampFormat, "the Timestamp is malformed")
	case nonce == "" || twice(paramNonce):
		return r, fail(apicode.GatewayNonceMissing, "the SignatureNonce is missing")
	case !q.Has(paramSignature):
		return r, fail(apicode.GatewaySignatureMissing, "the Signature is missing")
	case len(a.secrets[r.app]) == 0:
		return r, fail(apicode.GatewayAppNotLive, "there is no such app")
	}
	now := time.Now()
	if skew := now.Sub(time.Unix(seconds, 0)); skew > maxSkew || skew < -maxSkew {
		return r, fail(apicode.GatewayExpired, "the Timestamp is more than 10 minutes off")
	}
	if seconds < a.started {
		// Nobody knows what was done before.
		return r, fail(apicode.GatewayExpired, "the Timestamp is from before the server started: sign the request anew")
	}
	if twice(paramSignature) || len(nonce) > maxNonce || !signed(a.secrets[r.app], appText, nonce, text, q.Get(paramSignature)) {
		return r, fail(apicode.GatewaySignature, "the Signature is wrong")
	}
	if used, full := a.nonces.use(r.app, nonce, now); full {
		return r, fail(apicode.Overload, "too many requests to remember")
	} else if used {
		return r, fail(apicode.GatewaySignature, "the SignatureNonce was used before")
	}
	for _, name := range []string{paramAction, paramAppID, paramVersion, paramTimestamp, paramNonce, paramSignature} {
		delete(q, name)
	}
	return r, nil
}

// digits reads a number of ASCII digits, up to so many and without zeros in front: what was signed can be written in one way only, and
// nothing can be added to it.
func digits(s string, limit int) (n int64, ok bool) {
	if s == "" || len(s) > limit || s[0] == '0' {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// signed reports whether one of the secrets made the signature. It takes as long for a wrong one as for a right one.
func signed(secrets []token.Secret, app, nonce, timestamp, signature string) bool {
	good := 0
	for _, secret := range secrets {
		sum := md5.Sum([]byte(app + nonce + secret.Reveal() + timestamp))
		good |= subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(signature))
	}
	return good == 1
}

// Sign returns the query with the common parameters of a request to an action: what is to follow the ? of its URL. The nonce is a text that
// is used once, of up to 64 bytes.
func Sign(app uint32, secret token.Secret, action, nonce string, now time.Time) url.Values {
	id, timestamp := strconv.FormatUint(uint64(app), 10), strconv.FormatInt(now.Unix(), 10)
	sum := md5.Sum([]byte(id + nonce + secret.Reveal() + timestamp))
	return url.Values{
		paramAction: {action}, paramAppID: {id}, paramVersion: {"2.0"},
		paramTimestamp: {timestamp}, paramNonce: {nonce}, paramSignature: {hex.EncodeToString(sum[:])},
	}
}

// A nonces remembers which nonces were used, each for 20 minutes: a request can't be made twice, nor another one with its signature, which
// says nothing of the action and the body.
type nonces struct {
	limit int // immutable

	mu    sync.Mutex
	known map[nonceKey]struct{} // guarded by mu
	queue []usedNonce           // guarded by mu; the oldest first
}

// A nonceKey is the app and a part of the nonce's hash, so that each takes the same room.
type nonceKey struct {
	app uint32
	sum [16]byte
}

type usedNonce struct {
	key nonceKey
	at  time.Time
}

// use takes note of a nonce. It reports whether it was used before, or can't be remembered.
func (n *nonces) use(app uint32, nonce string, now time.Time) (used, full bool) {
	sum := sha256.Sum256([]byte(nonce))
	key := nonceKey{app, [16]byte(sum[:16])}
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.queue) > 0 && now.Sub(n.queue[0].at) > keepNonce {
		delete(n.known, n.queue[0].key)
		n.queue = n.queue[1:]
	}
	if _, used := n.known[key]; used {
		return true, false
	}
	if len(n.queue) >= n.limit {
		return false, true
	}
	if n.known == nil {
		n.known = make(map[nonceKey]struct{})
	}
	n.known[key] = struct{}{}
	n.queue = append(n.queue, usedNonce{key, now})
	return false, false
}
