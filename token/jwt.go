package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// An Algorithm is a way to sign JWTs, under its registered name.
type Algorithm string

// The algorithms, and the types of the keys they take.
const (
	AlgorithmHS256 Algorithm = "HS256" // Secret of at least 32 bytes
	AlgorithmEdDSA Algorithm = "EdDSA" // ed25519.PrivateKey or ed25519.PublicKey
	AlgorithmES256 Algorithm = "ES256" // *ecdsa.PrivateKey or *ecdsa.PublicKey, on P-256
	AlgorithmRS256 Algorithm = "RS256" // *rsa.PrivateKey or *rsa.PublicKey of at least 2048 bits
)

// A JWTKey signs JWTs, or verifies them, or both. It does so with one algorithm, whatever a token says of itself. Formatted or
// marshaled, it doesn't show the key.
type JWTKey struct {
	ID        string // tells a Verifier's keys apart (kid). May be empty if there is only one
	Algorithm Algorithm
	Key       any `json:"-"` // of the type that the Algorithm takes. Verifying needs no more than a public key
}

// Format writes the ID and the algorithm, whatever the verb.
func (k JWTKey) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{%s %s %s}", k.ID, k.Algorithm, redacted)
}

// resolve checks k. The private key is nil if k can only verify.
func (k JWTKey) resolve() (method jwt.SigningMethod, private, public any, err error) {
	var takes string
	fits := false
	switch k.Algorithm {
	case AlgorithmHS256:
		method, takes = jwt.SigningMethodHS256, "a Secret of at least 32 bytes"
		key, _ := k.Key.(Secret)
		private, public, fits = []byte(key), []byte(key), len(key) >= 32
	case AlgorithmEdDSA:
		method, takes = jwt.SigningMethodEdDSA, "an ed25519.PrivateKey or ed25519.PublicKey"
		switch key := k.Key.(type) {
		case ed25519.PrivateKey:
			if fits = len(key) == ed25519.PrivateKeySize; fits {
				private, public = key, key.Public()
			}
		case ed25519.PublicKey:
			public, fits = key, len(key) == ed25519.PublicKeySize
		}
	case AlgorithmES256:
		method, takes = jwt.SigningMethodES256, "an *ecdsa.PrivateKey or *ecdsa.PublicKey on P-256"
		pub, _ := k.Key.(*ecdsa.PublicKey)
		if key, _ := k.Key.(*ecdsa.PrivateKey); key != nil {
			private, pub = key, &key.PublicKey
		}
		public, fits = pub, pub != nil && pub.Curve == elliptic.P256()
	case AlgorithmRS256:
		method, takes = jwt.SigningMethodRS256, "an *rsa.PrivateKey or *rsa.PublicKey of at least 2048 bits"
		pub, _ := k.Key.(*rsa.PublicKey)
		if key, _ := k.Key.(*rsa.PrivateKey); key != nil {
			private, pub = key, &key.PublicKey
		}
		public, fits = pub, pub != nil && pub.N != nil && pub.N.BitLen() >= 2048
	default:
		return nil, nil, nil, fmt.Errorf("token: JWT key %q: unknown algorithm %q", k.ID, string(k.Algorithm))
	}
	if !fits {
		return nil, nil, nil, fmt.Errorf("token: JWT key %q: %s takes %s", k.ID, k.Algorithm, takes)
	}
	return method, private, public, nil
}

// OptionsJWT are the finer points of a JWT.
type OptionsJWT struct {
	// Audience is for whom the token is. Empty means "zim:" and the app's ID in decimal.
	Audience string
	// Issuer is who issued the token. Empty means that it doesn't say.
	Issuer string
	// IssuedAt is when the token's time begins. Zero means now.
	IssuedAt time.Time
}

// IssueJWT returns a JWT with which userID can log in to the app for ttl, which is rounded down to whole seconds. Nil opts mean
// the zero OptionsJWT.
//
// It fails if appID is zero, if userID doesn't have 1 to 64 bytes of UTF-8, if ttl is not between a second and [MaxTTL], if
// the key can't sign, or if the JWT would have more than 8 KiB, which no Verifier takes.
func IssueJWT(appID uint32, userID string, key JWTKey, ttl time.Duration, opts *OptionsJWT) (string, error) {
	if opts == nil {
		opts = new(OptionsJWT)
	}
	claims, err := newClaims(appID, userID, ttl, opts.IssuedAt)
	if err != nil {
		return "", err
	}
	method, private, _, err := key.resolve()
	if err != nil {
		return "", err
	}
	if private == nil {
		return "", fmt.Errorf("token: JWT key %q: a public key can't sign", key.ID)
	}
	registered := jwt.MapClaims{
		"sub": claims.UserID,
		"aud": audience(appID, opts.Audience),
		"iat": claims.IssuedAt.Unix(),
		"exp": claims.Expires.Unix(),
	}
	if opts.Issuer != "" {
		registered["iss"] = opts.Issuer
	}
	t := jwt.NewWithClaims(method, registered)
	if key.ID != "" {
		t.Header["kid"] = key.ID
	}
	s, err := t.SignedString(private)
	if err != nil {
		return "", fmt.Errorf("token: JWT key %q: %w", key.ID, err)
	}
	if len(s) > maxToken {
		return "", fmt.Errorf("token: the JWT has %d bytes, the limit is %d", len(s), maxToken)
	}
	return s, nil
}

func audience(appID uint32, custom string) string {
	if custom != "" {
		return custom
	}
	return "zim:" + strconv.FormatUint(uint64(appID), 10)
}

func (v *Verifier) setJWTKeys(keys []JWTKey) error {
	v.jwtKeys = make(map[string]jwt.Keyfunc, len(keys))
	var algorithms []string
	for _, key := range keys {
		method, _, public, err := key.resolve()
		if err != nil {
			return err
		}
		if key.ID == "" && len(keys) > 1 {
			return errors.New("token: one of several JWT keys has no ID")
		}
		if v.jwtKeys[key.ID] != nil {
			return fmt.Errorf("token: two JWT keys have the ID %q", key.ID)
		}
		v.jwtKeys[key.ID] = func(t *jwt.Token) (any, error) {
			// The algorithm is the key's, not the token's: or a public key could be passed off as a secret.
			if t.Method.Alg() != method.Alg() {
				return nil, ErrInvalid
			}
			return public, nil
		}
		algorithms = append(algorithms, method.Alg())
	}
	v.jwtParser = jwt.NewParser(
		jwt.WithValidMethods(algorithms),
		jwt.WithStrictDecoding(),
		jwt.WithoutClaimsValidation(), // verifyJWT has its own order for that
	)
	return nil
}

// selectKey returns the key for an unverified token.
func (v *Verifier) selectKey(t *jwt.Token) (any, error) {
	// A crit names what must be understood, and nothing is. The others offer a key to verify the token with.
	for _, name := range []string{"crit", "jku", "jwk", "x5u", "x5c"} {
		if _, ok := t.Header[name]; ok {
			return nil, ErrInvalid
		}
	}
	var key jwt.Keyfunc
	if kid, ok := t.Header["kid"]; ok {
		if id, ok := kid.(string); ok {
			key = v.jwtKeys[id]
		}
	} else if len(v.jwtKeys) == 1 {
		for _, key = range v.jwtKeys {
		}
	}
	if key == nil {
		return nil, ErrInvalid
	}
	return key(t)
}

// verifyJWT checks everything but the times that checkTimes does.
func (v *Verifier) verifyJWT(token, userID string, now time.Time) (Claims, bool) {
	claims := jwt.MapClaims{}
	if _, err := v.jwtParser.ParseWithClaims(token, claims, v.selectKey); err != nil {
		return Claims{}, false
	}
	issued, err := claims.GetIssuedAt()
	if err != nil || issued == nil {
		return Claims{}, false
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return Claims{}, false
	}
	// Only a token of which everything else is right is told to have expired.
	delete(claims, "exp")
	err = jwt.NewValidator(
		jwt.WithAudience(v.audience),
		jwt.WithIssuer(v.issuer),
		jwt.WithSubject(userID),
		jwt.WithLeeway(leeway*time.Second),
		jwt.WithTimeFunc(func() time.Time { return now }),
	).Validate(claims)
	if err != nil {
		return Claims{}, false
	}
	return Claims{AppID: v.appID, UserID: userID, IssuedAt: unix(issued.Unix()), Expires: unix(expires.Unix())}, true
}
