package token_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/token"
)

var (
	edKey = ed25519.NewKeyFromSeed([]byte(secret))

	edSigner = token.JWTKey{ID: "ed", Algorithm: token.AlgorithmEdDSA, Key: edKey}
	edPublic = token.JWTKey{ID: "ed", Algorithm: token.AlgorithmEdDSA, Key: edKey.Public()}
	hsKey    = token.JWTKey{ID: "hs", Algorithm: token.AlgorithmHS256, Key: other}
)

const goodClaims = `{"sub":"alice","aud":"zim:1","iss":"app","iat":1700000000,"exp":1700003600}`

// sign makes a JWT of which every part may be wrong, with an EdDSA signature.
func sign(header, claims string) string {
	s := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return s + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(edKey, []byte(s)))
}

// mac is the same with HMAC-SHA256.
func mac(header, claims string, key []byte) string {
	s := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return s + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func TestJWT(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pairs := []struct{ signer, verifier token.JWTKey }{
		{edSigner, edPublic},
		{edSigner, edSigner},
		{hsKey, hsKey},
		{token.JWTKey{ID: "ec", Algorithm: token.AlgorithmES256, Key: ec}, token.JWTKey{ID: "ec", Algorithm: token.AlgorithmES256, Key: &ec.PublicKey}},
		{token.JWTKey{ID: "rs", Algorithm: token.AlgorithmRS256, Key: rs}, token.JWTKey{ID: "rs", Algorithm: token.AlgorithmRS256, Key: &rs.PublicKey}},
		{token.JWTKey{ID: "rs", Algorithm: token.AlgorithmRS256, Key: rs}, token.JWTKey{ID: "rs", Algorithm: token.AlgorithmRS256, Key: rs}},
	}
	want := token.Claims{AppID: 1, UserID: "alice", IssuedAt: start, Expires: start.Add(time.Hour)}
	for i, pair := range pairs {
		t.Run(fmt.Sprintf("%d/%s", i, pair.signer.Algorithm), func(t *testing.T) {
			tok := must(t)(token.IssueJWT(1, "alice", pair.signer, time.Hour, &token.OptionsJWT{IssuedAt: start}))
			v := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{pair.verifier}})
			if claims, err := v.Verify(tok, "alice", start); claims != want || err != nil {
				t.Errorf("got %v, %v, want %v", claims, err, want)
			}
			there := newVerifier(t, token.Config{AppID: 2, JWTKeys: []token.JWTKey{pair.verifier}})
			if _, err := there.Verify(tok, "alice", start); err != token.ErrInvalid {
				t.Errorf("other app: got %v, want %v", err, token.ErrInvalid)
			}
			for n := range len(tok) - 1 {
				if n == strings.LastIndex(tok, ".") {
					break
				}
				if _, err := v.Verify(tok[:n]+string(tok[n]^1)+tok[n+1:], "alice", start); err == nil {
					t.Errorf("accepted with another byte at %d", n)
				}
			}
			for n := range tok {
				if _, err := v.Verify(tok[:n], "alice", start); err == nil {
					t.Errorf("accepted when cut at %d", n)
				}
			}
		})
	}
	t.Run("all keys", func(t *testing.T) {
		v := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{pairs[0].verifier, pairs[2].verifier, pairs[3].verifier, pairs[4].verifier}})
		for _, pair := range pairs {
			tok := must(t)(token.IssueJWT(1, "alice", pair.signer, time.Hour, &token.OptionsJWT{IssuedAt: start}))
			if claims, err := v.Verify(tok, "alice", start); claims != want || err != nil {
				t.Errorf("%v: got %v, %v, want %v", pair.signer, claims, err, want)
			}
		}
	})
	t.Run("public keys don't sign", func(t *testing.T) {
		for _, i := range []int{0, 3, 4} {
			if tok, err := token.IssueJWT(1, "alice", pairs[i].verifier, time.Hour, nil); tok != "" || err == nil {
				t.Errorf("%v: got %q, %v, want an error", pairs[i].verifier, tok, err)
			}
		}
	})
	t.Run("N30/public key as secret", func(t *testing.T) {
		der, err := x509.MarshalPKIXPublicKey(&rs.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		edPub := edKey.Public().(ed25519.PublicKey)
		edDER, err := x509.MarshalPKIXPublicKey(edPub)
		if err != nil {
			t.Fatal(err)
		}
		v := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{pairs[0].verifier, pairs[2].verifier, pairs[4].verifier}})
		for _, key := range [][]byte{
			edPub, edDER, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: edDER}),
			der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
			{},
		} {
			for _, kid := range []string{"ed", "rs", "hs"} {
				tok := mac(`{"alg":"HS256","kid":"`+kid+`"}`, goodClaims, key)
				if _, err := v.Verify(tok, "alice", start); err != token.ErrInvalid {
					t.Errorf("kid %s: got %v, want %v", kid, err, token.ErrInvalid)
				}
			}
		}
		// The right secret, but under the name of a key for another algorithm.
		if _, err := v.Verify(mac(`{"alg":"HS256","kid":"ed"}`, goodClaims, []byte(other)), "alice", start); err != token.ErrInvalid {
			t.Errorf("got %v, want %v", err, token.ErrInvalid)
		}
		if _, err := v.Verify(mac(`{"alg":"HS256","kid":"hs"}`, goodClaims, []byte(other)), "alice", start); err != nil {
			t.Error(err)
		}
	})
}

func TestJWTHeader(t *testing.T) {
	one := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{edPublic}})
	two := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{edPublic, hsKey}})
	for _, test := range []struct {
		name   string
		header string
		one    error
		two    error
	}{
		{"good", `{"alg":"EdDSA","typ":"JWT","kid":"ed"}`, nil, nil},
		{"no typ", `{"alg":"EdDSA","kid":"ed"}`, nil, nil},
		{"no kid", `{"alg":"EdDSA"}`, nil, token.ErrInvalid},
		{"N29/none", `{"alg":"none","kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/None", `{"alg":"None","kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/nOnE", `{"alg":"nOnE","kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/NONE", `{"alg":"NONE"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/no alg", `{"kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/empty alg", `{"alg":"","kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/null alg", `{"alg":null,"kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/number alg", `{"alg":1,"kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/array alg", `{"alg":["EdDSA"],"kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/alg in other case", `{"alg":"eddsa","kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N29/Alg", `{"Alg":"EdDSA","kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N30/HS256", `{"alg":"HS256","kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N30/HS512", `{"alg":"HS512","kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N30/RS256", `{"alg":"RS256","kid":"ed"}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/jku", `{"alg":"EdDSA","kid":"ed","jku":"https://evil.example/jwks"}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/x5u", `{"alg":"EdDSA","kid":"ed","x5u":"file:///etc/passwd"}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/x5c", `{"alg":"EdDSA","kid":"ed","x5c":[]}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/jwk", `{"alg":"EdDSA","kid":"ed","jwk":{"kty":"OKP"}}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/null jwk", `{"alg":"EdDSA","kid":"ed","jwk":null}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/crit", `{"alg":"EdDSA","kid":"ed","crit":["exp"]}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/empty crit", `{"alg":"EdDSA","kid":"ed","crit":[]}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/b64", `{"alg":"EdDSA","kid":"ed","b64":false,"crit":["b64"]}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/unknown kid", `{"alg":"EdDSA","kid":"de"}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/other key's kid", `{"alg":"EdDSA","kid":"hs"}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/empty kid", `{"alg":"EdDSA","kid":""}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/null kid", `{"alg":"EdDSA","kid":null}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/number kid", `{"alg":"EdDSA","kid":0}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/array kid", `{"alg":"EdDSA","kid":["ed"]}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/path", `{"alg":"EdDSA","kid":"../../dev/null"}`, token.ErrInvalid, token.ErrInvalid},
		{"N31/SQL", `{"alg":"EdDSA","kid":"x' UNION SELECT 'ed'--"}`, token.ErrInvalid, token.ErrInvalid},
		{"null", `null`, token.ErrInvalid, token.ErrInvalid},
		{"array", `[]`, token.ErrInvalid, token.ErrInvalid},
		{"empty", ``, token.ErrInvalid, token.ErrInvalid},
		{"JSON after", `{"alg":"EdDSA","kid":"ed"}{}`, token.ErrInvalid, token.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			tok := sign(test.header, goodClaims)
			if _, err := one.Verify(tok, "alice", start); err != test.one {
				t.Errorf("one key: got %v, want %v", err, test.one)
			}
			if _, err := two.Verify(tok, "alice", start); err != test.two {
				t.Errorf("two keys: got %v, want %v", err, test.two)
			}
			unsigned := tok[:strings.LastIndex(tok, ".")+1]
			for _, v := range []*token.Verifier{one, two} {
				if _, err := v.Verify(unsigned, "alice", start); err != token.ErrInvalid {
					t.Errorf("without signature: got %v, want %v", err, token.ErrInvalid)
				}
			}
		})
	}
	t.Run("no kid, although every key would do", func(t *testing.T) {
		twin := edPublic
		twin.ID = "twin"
		v := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{edPublic, twin}})
		if _, err := v.Verify(sign(`{"alg":"EdDSA"}`, goodClaims), "alice", start); err != token.ErrInvalid {
			t.Errorf("got %v, want %v", err, token.ErrInvalid)
		}
	})
	t.Run("one key without ID", func(t *testing.T) {
		key := edSigner
		key.ID = ""
		v := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{key}})
		tok := must(t)(token.IssueJWT(1, "alice", key, time.Hour, &token.OptionsJWT{IssuedAt: start}))
		if header, _, _ := strings.Cut(tok, "."); header != base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","typ":"JWT"}`)) {
			t.Errorf("got header %s", header)
		}
		if _, err := v.Verify(tok, "alice", start); err != nil {
			t.Error(err)
		}
		if _, err := v.Verify(sign(`{"alg":"EdDSA","kid":"ed"}`, goodClaims), "alice", start); err != token.ErrInvalid {
			t.Errorf("unknown kid: got %v, want %v", err, token.ErrInvalid)
		}
	})
}

func TestJWTClaims(t *testing.T) {
	v := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{edPublic}})
	fromApp := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{edPublic}, Issuer: "app"})
	forOther := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{edPublic}, Audience: "other"})
	replaced := func(old, new string) string {
		t.Helper()
		if !strings.Contains(goodClaims, old) {
			t.Fatalf("no %s to replace", old)
		}
		return strings.Replace(goodClaims, old, new, 1)
	}
	for _, test := range []struct {
		name   string
		v      *token.Verifier
		claims string
		want   error
	}{
		{"good", v, goodClaims, nil},
		{"good, issuer", fromApp, goodClaims, nil},
		{"other claims", v, replaced(`{`, `{"jti":"1","roles":["admin"],`), nil},
		{"fraction of a second", v, replaced(`1700003600`, `1700003600.5`), nil},
		{"N33/no exp", v, replaced(`,"exp":1700003600`, ``), token.ErrInvalid},
		{"N33/null exp", v, replaced(`1700003600`, `null`), token.ErrInvalid},
		{"N33/string exp", v, replaced(`1700003600`, `"1700003600"`), token.ErrInvalid},
		{"N33/no iat", v, replaced(`"iat":1700000000,`, ``), token.ErrInvalid},
		{"N33/string iat", v, replaced(`1700000000`, `"1700000000"`), token.ErrInvalid},
		{"N33/no sub", v, replaced(`"sub":"alice",`, ``), token.ErrInvalid},
		{"N33/no aud", v, replaced(`"aud":"zim:1",`, ``), token.ErrInvalid},
		{"N33/empty aud", v, replaced(`"zim:1"`, `""`), token.ErrInvalid},
		{"N33/number aud", v, replaced(`"zim:1"`, `1`), token.ErrInvalid},
		{"N33/empty auds", v, replaced(`"zim:1"`, `[]`), token.ErrInvalid},
		{"N33/other aud", v, replaced(`zim:1`, `zim:2`), token.ErrInvalid},
		{"N33/longer aud", v, replaced(`zim:1`, `zim:11`), token.ErrInvalid},
		{"N33/aud in capitals", v, replaced(`zim:1`, `ZIM:1`), token.ErrInvalid},
		{"N33/other auds", v, replaced(`"zim:1"`, `["zim:2","zim"]`), token.ErrInvalid},
		{"N33/our aud and another", v, replaced(`"zim:1"`, `["zim:2","zim:1"]`), nil},
		{"N33/our aud among what is none", v, replaced(`"zim:1"`, `["zim:1",1]`), token.ErrInvalid},
		{"N33/configured aud missing", forOther, goodClaims, token.ErrInvalid},
		{"N33/configured aud", forOther, replaced(`zim:1`, `other`), nil},
		{"N33/no iss", fromApp, replaced(`"iss":"app",`, ``), token.ErrInvalid},
		{"N33/no iss, none wanted", v, replaced(`"iss":"app",`, ``), nil},
		{"N33/other iss", fromApp, replaced(`"app"`, `"App"`), token.ErrInvalid},
		{"N33/iss as array", fromApp, replaced(`"app"`, `["app"]`), token.ErrInvalid},
		{"N33/nbf in 61 s", v, replaced(`{`, `{"nbf":1700000061,`), token.ErrInvalid},
		{"N33/nbf in 60 s", v, replaced(`{`, `{"nbf":1700000060,`), nil},
		{"N33/nbf past", v, replaced(`{`, `{"nbf":1600000000,`), nil},
		{"N33/nbf as string", v, replaced(`{`, `{"nbf":"0",`), token.ErrInvalid},
		{"N25/24 days", v, replaced(`1700003600`, `1702073600`), nil},
		{"N25/24 days and a second", v, replaced(`1700003600`, `1702073601`), token.ErrInvalid},
		{"N25/no time", v, replaced(`1700003600`, `1700000000`), token.ErrInvalid},
		{"N25/until the end of time", v, replaced(`1700003600`, `1e300`), token.ErrInvalid},
		{"N25/until the end of int64", v, replaced(`1700003600`, `9223372036854775807`), token.ErrInvalid},
		{"N25/from the beginning of time", v, replaced(`1700000000`, `-1e300`), token.ErrInvalid},
		{"N25/expired", v, strings.NewReplacer(`1700000000`, `1699990000`, `1700003600`, `1699999000`).Replace(goodClaims), token.ErrExpired},
		{"N25/expired, other app", v, strings.NewReplacer(`1700000000`, `1699990000`, `1700003600`, `1699999000`, `zim:1`, `zim:2`).Replace(goodClaims), token.ErrInvalid},
		{"N25/ends soon", v, replaced(`1700003600`, `1700000029`), token.ErrTooShort},
		{"N25/ends soon, other issuer", fromApp, strings.NewReplacer(`1700003600`, `1700000029`, `"app"`, `"ppa"`).Replace(goodClaims), token.ErrInvalid},
		{"N26/issued in 61 s", v, replaced(`1700000000`, `1700000061`), token.ErrInvalid},
		{"N27/other user", v, replaced(`alice`, `bob`), token.ErrInvalid},
		{"N27/user as array", v, replaced(`"alice"`, `["alice"]`), token.ErrInvalid},
		{"N27/user under another name", v, replaced(`sub`, `Sub`), token.ErrInvalid},
		{"null", v, `null`, token.ErrInvalid},
		{"array", v, `[` + goodClaims + `]`, token.ErrInvalid},
		{"empty", v, ``, token.ErrInvalid},
		{"JSON after", v, goodClaims + `{}`, token.ErrInvalid},
		{"deep", v, strings.Repeat(`{"a":`, 600) + `1` + strings.Repeat(`}`, 600), token.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := test.v.Verify(sign(`{"alg":"EdDSA","kid":"ed"}`, test.claims), "alice", start); err != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}

	t.Run("issued", func(t *testing.T) {
		tok := must(t)(token.IssueJWT(1, "alice", edSigner, time.Hour, &token.OptionsJWT{Issuer: "app", Audience: "other", IssuedAt: start}))
		claims, _ := base64.RawURLEncoding.DecodeString(strings.Split(tok, ".")[1])
		if want := `{"aud":"other","exp":1700003600,"iat":1700000000,"iss":"app","sub":"alice"}`; string(claims) != want {
			t.Errorf("got %s, want %s", claims, want)
		}
		if _, err := forOther.Verify(tok, "alice", start); err != nil {
			t.Error(err)
		}
		if tok, err := token.IssueJWT(1, "alice", edSigner, time.Hour, &token.OptionsJWT{Issuer: strings.Repeat("x", 8<<10)}); tok != "" || err == nil {
			t.Errorf("long issuer: got %d bytes, %v, want an error", len(tok), err)
		}
		now := must(t)(token.IssueJWT(1, "alice", edSigner, time.Hour, nil))
		if _, err := v.Verify(now, "alice", time.Now()); err != nil {
			t.Error(err)
		}
	})
	t.Run("non-canonical base64", func(t *testing.T) {
		tok := sign(`{"alg":"EdDSA","kid":"ed"}`, goodClaims)
		// 64 bytes leave two bits of the last character unused: four spellings, one of them right.
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := strings.IndexByte(alphabet, tok[len(tok)-1])
		for i := 1; i < 4; i++ {
			if _, err := v.Verify(tok[:len(tok)-1]+alphabet[last+i:last+i+1], "alice", start); err != token.ErrInvalid {
				t.Errorf("got %v, want %v", err, token.ErrInvalid)
			}
		}
		if _, err := v.Verify(tok+"==", "alice", start); err != token.ErrInvalid {
			t.Errorf("padded: got %v, want %v", err, token.ErrInvalid)
		}
	})
}

func TestJWTKeyTypes(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []token.JWTKey{
		{},
		{Algorithm: "none", Key: secret},
		{Algorithm: "HS512", Key: secret},
		{Algorithm: "hs256", Key: secret},
		{Key: secret},
		{Algorithm: token.AlgorithmHS256},
		{Algorithm: token.AlgorithmHS256, Key: secret[:31]},
		{Algorithm: token.AlgorithmHS256, Key: string(secret)},
		{Algorithm: token.AlgorithmHS256, Key: []byte(secret)},
		{Algorithm: token.AlgorithmHS256, Key: edKey},
		{Algorithm: token.AlgorithmHS256, Key: edKey.Public()},
		{Algorithm: token.AlgorithmEdDSA},
		{Algorithm: token.AlgorithmEdDSA, Key: secret},
		{Algorithm: token.AlgorithmEdDSA, Key: edKey[:32]},
		{Algorithm: token.AlgorithmEdDSA, Key: ed25519.PublicKey(edKey)},
		{Algorithm: token.AlgorithmEdDSA, Key: ed25519.PrivateKey(nil)},
		{Algorithm: token.AlgorithmEdDSA, Key: &p384.PublicKey},
		{Algorithm: token.AlgorithmES256},
		{Algorithm: token.AlgorithmES256, Key: p384},
		{Algorithm: token.AlgorithmES256, Key: &p384.PublicKey},
		{Algorithm: token.AlgorithmES256, Key: (*ecdsa.PrivateKey)(nil)},
		{Algorithm: token.AlgorithmES256, Key: (*ecdsa.PublicKey)(nil)},
		{Algorithm: token.AlgorithmES256, Key: edKey},
		{Algorithm: token.AlgorithmRS256},
		{Algorithm: token.AlgorithmRS256, Key: small},
		{Algorithm: token.AlgorithmRS256, Key: &small.PublicKey},
		{Algorithm: token.AlgorithmRS256, Key: new(rsa.PublicKey)},
		{Algorithm: token.AlgorithmRS256, Key: (*rsa.PrivateKey)(nil)},
		{Algorithm: token.AlgorithmRS256, Key: secret},
	} {
		what := fmt.Sprintf("%q with %T", key.Algorithm, key.Key)
		_, err := token.NewVerifier(token.Config{AppID: 1, JWTKeys: []token.JWTKey{key}})
		if err == nil || strings.Contains(err.Error(), string(secret[:31])) {
			t.Errorf("%s: NewVerifier: got %v, want an error", what, err)
		}
		if tok, err := token.IssueJWT(1, "alice", key, time.Hour, nil); tok != "" || err == nil {
			t.Errorf("%s: IssueJWT: got %q, %v, want an error", what, tok, err)
		}
	}
}
