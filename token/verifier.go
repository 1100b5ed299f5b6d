package token

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Config says which tokens a [Verifier] accepts. It needs at least one secret or key.
type Config struct {
	AppID uint32 // required

	// Secrets are the app's ServerSecrets, for token04: the current one, and while it is being replaced, the one before. Each
	// has 32 bytes. No two apps may share one. Empty means that token04 is not accepted.
	Secrets []Secret

	// RejectCBC accepts token04 only in its authenticated form, AES-GCM.
	RejectCBC bool

	// JWTKeys verify JWTs. If there are several, each needs an ID. Empty means that JWTs are not accepted.
	JWTKeys []JWTKey

	// Audience must be among the audiences of a JWT. Empty means "zim:" and the AppID in decimal.
	Audience string

	// Issuer must be the issuer of a JWT. Empty means any.
	Issuer string

	// MinRemaining is for how long a token must still be valid. Zero means 30 seconds. Negative means that even a token that
	// has expired will do, if by the verifier's clock that was less than a minute ago.
	MinRemaining time.Duration
}

// A Verifier verifies login tokens for one app. It may be used concurrently. It keeps no record of tokens: it accepts one as
// often as it comes.
type Verifier struct {
	appID        uint32
	secrets      []key04
	rejectCBC    bool
	jwtKeys      map[string]jwt.Keyfunc // by ID; functions, like key04
	jwtParser    *jwt.Parser
	audience     string
	issuer       string
	minRemaining time.Duration
}

// NewVerifier returns a Verifier. It fails if the config has no AppID, if it has neither a secret nor a key, or if one of these
// is unfit: too short, of another type than its algorithm's, or with the ID of another.
func NewVerifier(config Config) (*Verifier, error) {
	if config.AppID == 0 {
		return nil, errors.New("token: AppID is zero")
	}
	if len(config.Secrets) == 0 && len(config.JWTKeys) == 0 {
		return nil, errors.New("token: there are neither Secrets nor JWTKeys")
	}
	v := &Verifier{
		appID:        config.AppID,
		rejectCBC:    config.RejectCBC,
		audience:     audience(config.AppID, config.Audience),
		issuer:       config.Issuer,
		minRemaining: config.MinRemaining,
	}
	if v.minRemaining == 0 {
		v.minRemaining = 30 * time.Second
	}
	for i, secret := range config.Secrets {
		key, err := newKey04(secret)
		if err != nil {
			return nil, fmt.Errorf("%w (Secrets[%d])", err, i)
		}
		v.secrets = append(v.secrets, key)
	}
	if err := v.setJWTKeys(config.JWTKeys); err != nil {
		return nil, err
	}
	return v, nil
}

// Verify returns the claims of a token with which userID may log in at the time now, which is usually time.Now().
//
// What begins with "04" is a token04, and what has two dots is a JWT. Verify fails with [ErrVersion] for anything else and for
// the kind that v has no keys for, and with [ErrInvalid] for a token that is empty, too long or malformed, or not meant for this app
// and user. A token of which all that is right may still fail with [ErrExpired] or [ErrTooShort].
func (v *Verifier) Verify(token, userID string, now time.Time) (Claims, error) {
	// Line breaks: what decodes base64 skips them, and there would be many tokens for one.
	if token == "" || len(token) > maxToken || strings.ContainsAny(token, "\r\n") || !validUserID(userID) {
		return Claims{}, ErrInvalid
	}
	var claims Claims
	var ok bool
	switch {
	case strings.HasPrefix(token, prefix04) && len(v.secrets) > 0:
		claims, ok = v.verify04(token, userID)
	case !strings.HasPrefix(token, prefix04) && strings.Count(token, ".") == 2 && len(v.jwtKeys) > 0:
		claims, ok = v.verifyJWT(token, userID, now)
	default:
		return Claims{}, ErrVersion
	}
	if !ok {
		return Claims{}, ErrInvalid
	}
	if err := v.checkTimes(claims, now); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

func (v *Verifier) checkTimes(c Claims, now time.Time) error {
	issued, expires := c.IssuedAt.Unix(), c.Expires.Unix()
	switch {
	// In this order nothing overflows: once issued is positive and expires is later, so is their difference, and once that is
	// bounded, expires is near enough to now for the rest.
	case issued <= 0, issued > now.Unix()+leeway, expires <= issued, expires-issued > int64(MaxTTL/time.Second):
		return ErrInvalid
	case expires <= now.Unix()-leeway:
		return ErrExpired
	case v.minRemaining > 0 && c.Expires.Sub(now) < v.minRemaining:
		return ErrTooShort
	}
	return nil
}
