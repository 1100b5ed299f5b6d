package token_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zim-go/zim/token"
)

const (
	secret = token.Secret("0123456789abcdef0123456789abcdef")
	other  = token.Secret("fedcba9876543210fedcba9876543210")
)

// start is when the tokens of these tests were issued.
var start = time.Unix(1700000000, 0).UTC()

func newVerifier(tb testing.TB, config token.Config) *token.Verifier {
	tb.Helper()
	v, err := token.NewVerifier(config)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// must returns a token, or stops the test.
func must(tb testing.TB) func(string, error) string {
	return func(s string, err error) string {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}
}

func TestSecretIsRedacted(t *testing.T) {
	private := ed25519.NewKeyFromSeed([]byte(secret))
	config := token.Config{
		AppID:   1,
		Secrets: []token.Secret{secret},
		JWTKeys: []token.JWTKey{
			{ID: "h", Algorithm: token.AlgorithmHS256, Key: secret},
			{ID: "e", Algorithm: token.AlgorithmEdDSA, Key: private},
		},
	}
	v := newVerifier(t, config)
	leaks := []string{
		string(secret), fmt.Sprintf("%x", string(secret)), fmt.Sprintf("%X", string(secret)),
		strings.Trim(fmt.Sprint([]byte(secret)), "[]"), strings.Trim(fmt.Sprintf("%#v", []byte(secret)), "[]byte{}"),
		"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZW",
	}
	check := func(how, got string) {
		t.Helper()
		for _, leak := range leaks {
			if strings.Contains(got, leak) {
				t.Errorf("%s shows the secret: %s", how, got)
			}
		}
	}
	for _, value := range []any{secret, &secretHolder{secret}, config, &config, config.JWTKeys[0], config.JWTKeys[1], v, *v, struct{ unexported *token.Verifier }{v}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %[1]v"} {
			check(fmt.Sprintf("%s of %T", verb, value), fmt.Sprintf(verb, value))
		}
		// Not everything can be marshaled, which is safe enough.
		b, _ := json.Marshal(value)
		check(fmt.Sprintf("JSON of %T", value), string(b))
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", "value", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "value", value)
		check(fmt.Sprintf("slog of %T", value), log.String())
	}
	b, err := json.Marshal(&secretHolder{secret})
	if want := `{"Secret":"[redacted]"}`; err != nil || string(b) != want {
		t.Errorf("JSON: got %s, %v, want %s", b, err, want)
	}
	text, _ := secret.MarshalText()
	for _, got := range []string{secret.String(), secret.GoString(), secret.LogValue().String(), string(text), fmt.Sprintf("%x", secret)} {
		if got != "[redacted]" {
			t.Errorf("got %q, want [redacted]", got)
		}
	}
	if secret.Reveal() != string(secret) {
		t.Error("Reveal doesn't")
	}
}

type secretHolder struct{ Secret token.Secret }

func TestIssueArguments(t *testing.T) {
	key := token.JWTKey{Algorithm: token.AlgorithmHS256, Key: secret}
	for _, test := range []struct {
		name   string
		appID  uint32
		userID string
		ttl    time.Duration
		at     time.Time
		ok     bool
	}{
		{"good", 1, "alice", time.Hour, start, true},
		{"now", 1, "alice", time.Hour, time.Time{}, true},
		{"shortest", 1, "alice", time.Second, start, true},
		{"longest", 1, strings.Repeat("u", 64), token.MaxTTL, start, true},
		{"no app", 0, "alice", time.Hour, start, false},
		{"no user", 1, "", time.Hour, start, false},
		{"long user", 1, strings.Repeat("u", 65), time.Hour, start, false},
		{"user is no text", 1, "al\xffice", time.Hour, start, false},
		{"user with a replacement character", 1, "al\ufffdice", time.Hour, start, false},
		{"no time", 1, "alice", 0, start, false},
		{"too little time", 1, "alice", time.Second - 1, start, false},
		{"negative time", 1, "alice", -time.Hour, start, false},
		{"too much time", 1, "alice", token.MaxTTL + 1, start, false},
		{"before 1970", 1, "alice", time.Hour, time.Unix(-1, 0), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			tok, err := token.Issue04(test.appID, test.userID, secret, test.ttl, &token.Options04{IssuedAt: test.at})
			if (err == nil) != test.ok || (tok != "") != test.ok {
				t.Errorf("Issue04: got %q, %v, want ok %v", tok, err, test.ok)
			}
			tok, err = token.IssueJWT(test.appID, test.userID, key, test.ttl, &token.OptionsJWT{IssuedAt: test.at})
			if (err == nil) != test.ok || (tok != "") != test.ok {
				t.Errorf("IssueJWT: got %q, %v, want ok %v", tok, err, test.ok)
			}
		})
	}
	for _, s := range []token.Secret{"", secret[:31], secret + "0", secret[:16]} {
		_, err := token.Issue04(1, "alice", s, time.Hour, nil)
		if err == nil || s != "" && strings.Contains(err.Error(), string(s)) {
			t.Errorf("a secret of %d bytes: got error %v", len(s), err)
		}
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	private := ed25519.NewKeyFromSeed([]byte(secret))
	good := token.JWTKey{ID: "a", Algorithm: token.AlgorithmEdDSA, Key: private}
	for name, config := range map[string]token.Config{
		"no app":              {Secrets: []token.Secret{secret}},
		"nothing to verify":   {AppID: 1},
		"short secret":        {AppID: 1, Secrets: []token.Secret{secret, secret[:31]}},
		"long secret":         {AppID: 1, Secrets: []token.Secret{secret + "0"}},
		"two keys, one ID":    {AppID: 1, JWTKeys: []token.JWTKey{good, good}},
		"two keys, one no ID": {AppID: 1, JWTKeys: []token.JWTKey{good, {Algorithm: good.Algorithm, Key: good.Key}}},
	} {
		if v, err := token.NewVerifier(config); v != nil || err == nil {
			t.Errorf("%s: got %v, %v, want an error", name, v, err)
		}
	}
}

// Both kinds live by the same clock rules.
func TestTimes(t *testing.T) {
	key := token.JWTKey{Algorithm: token.AlgorithmHS256, Key: secret}
	config := token.Config{AppID: 1, Secrets: []token.Secret{secret}, JWTKeys: []token.JWTKey{key}}
	strict := newVerifier(t, config)
	config.MinRemaining = -1
	lenient := newVerifier(t, config)
	config.MinRemaining = 10 * time.Minute
	demanding := newVerifier(t, config)

	// The token is valid for an hour from start.
	for _, test := range []struct {
		name string
		v    *token.Verifier
		now  time.Duration
		want error
	}{
		{"N25/fresh", strict, 0, nil},
		{"N25/30 s left", strict, time.Hour - 30*time.Second, nil},
		{"N25/less than 30 s left", strict, time.Hour - 30*time.Second + 1, token.ErrTooShort},
		{"N25/expired by 59 s", strict, time.Hour + 59*time.Second, token.ErrTooShort},
		{"N25/expired by 60 s", strict, time.Hour + 60*time.Second, token.ErrExpired},
		{"N25/expired by 61 s", strict, time.Hour + 61*time.Second, token.ErrExpired},
		{"N25/expired by a year", strict, 365 * 24 * time.Hour, token.ErrExpired},
		{"N25/lenient, expired by 59 s", lenient, time.Hour + 59*time.Second, nil},
		{"N25/lenient, expired by 60 s less 1 ns", lenient, time.Hour + 60*time.Second - 1, nil},
		{"N25/lenient, expired by 60 s", lenient, time.Hour + 60*time.Second, token.ErrExpired},
		{"N25/demanding, 10 min left", demanding, 50 * time.Minute, nil},
		{"N25/demanding, 9 min left", demanding, 51 * time.Minute, token.ErrTooShort},
		{"N26/issued in 60 s", strict, -60 * time.Second, nil},
		{"N26/issued in 61 s", strict, -61 * time.Second, token.ErrInvalid},
		{"N26/issued in a year", strict, -365 * 24 * time.Hour, token.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, tok := range []string{
				must(t)(token.Issue04(1, "alice", secret, time.Hour, &token.Options04{IssuedAt: start})),
				must(t)(token.Issue04(1, "alice", secret, time.Hour, &token.Options04{IssuedAt: start, CBC: true})),
				must(t)(token.IssueJWT(1, "alice", key, time.Hour, &token.OptionsJWT{IssuedAt: start})),
			} {
				claims, err := test.v.Verify(tok, "alice", start.Add(test.now))
				if !errors.Is(err, test.want) {
					t.Errorf("%.3s…: got %v, want %v", tok, err, test.want)
				}
				if (claims == token.Claims{}) != (err != nil) {
					t.Errorf("%.3s…: got claims %v with error %v", tok, claims, err)
				}
				// For anybody else it is invalid, and nothing about its time.
				if _, err := test.v.Verify(tok, "bob", start.Add(test.now)); err != token.ErrInvalid {
					t.Errorf("%.3s… as bob: got %v, want %v", tok, err, token.ErrInvalid)
				}
			}
		})
	}
}

func TestKinds(t *testing.T) {
	key := token.JWTKey{Algorithm: token.AlgorithmHS256, Key: secret}
	both := newVerifier(t, token.Config{AppID: 1, Secrets: []token.Secret{secret}, JWTKeys: []token.JWTKey{key}})
	only04 := newVerifier(t, token.Config{AppID: 1, Secrets: []token.Secret{secret}})
	onlyJWT := newVerifier(t, token.Config{AppID: 1, JWTKeys: []token.JWTKey{key}})
	gcm := must(t)(token.Issue04(1, "alice", secret, time.Hour, &token.Options04{IssuedAt: start}))
	jwt := must(t)(token.IssueJWT(1, "alice", key, time.Hour, &token.OptionsJWT{IssuedAt: start}))
	for _, test := range []struct {
		name string
		v    *token.Verifier
		tok  string
		want error
	}{
		{"token04 by both", both, gcm, nil},
		{"token04 by token04", only04, gcm, nil},
		{"token04 by JWT", onlyJWT, gcm, token.ErrVersion},
		{"JWT by both", both, jwt, nil},
		{"JWT by token04", only04, jwt, token.ErrVersion},
		{"JWT by JWT", onlyJWT, jwt, nil},
		{"N19/empty", both, "", token.ErrInvalid},
		{"N19/1 byte", both, "0", token.ErrVersion},
		{"N19/prefix alone", both, "04", token.ErrInvalid},
		{"N19/other kind", both, "something else", token.ErrVersion},
		{"N19/03", both, "03" + gcm[2:], token.ErrVersion},
		{"N19/05", both, "05" + gcm[2:], token.ErrVersion},
		{"N19/space before", both, " " + gcm, token.ErrVersion},
		{"N19/space after", both, gcm + " ", token.ErrInvalid},
		{"N19/not base64", both, "04*" + gcm[3:], token.ErrInvalid},
		{"N19/base64 of URLs", both, "04" + strings.Repeat("_-", 60), token.ErrInvalid},
		{"N19/line break inside", both, gcm[:40] + "\n" + gcm[40:], token.ErrInvalid},
		{"N19/line break after", both, gcm + "\r\n", token.ErrInvalid},
		{"N19/line break in a JWT", both, jwt[:40] + "\n" + jwt[40:], token.ErrInvalid},
		{"N19/null", both, "04\x00", token.ErrInvalid},
		{"N19/8 KiB", both, "04" + strings.Repeat("A", 8190), token.ErrInvalid},
		{"N19/1 MiB", both, "04" + strings.Repeat("A", 1<<20), token.ErrInvalid},
		{"N32/8 KiB of dots", both, strings.Repeat(".", 8<<10), token.ErrVersion},
		{"N32/1 MiB of dots", both, strings.Repeat(".", 1<<20), token.ErrInvalid},
		{"N32/1 MiB between dots", both, strings.Repeat("e", 1<<19) + "." + strings.Repeat("e", 1<<19) + ".", token.ErrInvalid},
		{"two dots", both, "..", token.ErrInvalid},
		{"three dots", both, jwt + ".", token.ErrVersion},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := test.v.Verify(test.tok, "alice", start); err != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	for _, userID := range []string{"", strings.Repeat("u", 65), "\xff", "\ufffd"} {
		if _, err := both.Verify(gcm, userID, start); err != token.ErrInvalid {
			t.Errorf("user %q: got %v, want %v", userID, err, token.ErrInvalid)
		}
	}
}

func TestConcurrent(t *testing.T) {
	v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: []token.Secret{other, secret}, JWTKeys: []token.JWTKey{edPublic, hsKey}})
	jwt := must(t)(token.IssueJWT(alice.AppID, "alice", edSigner, time.Hour, &token.OptionsJWT{IssuedAt: start}))
	var wg sync.WaitGroup
	for range 4 {
		for _, tok := range []string{aliceCBC, aliceGCM, jwt} {
			wg.Go(func() {
				for range 20 {
					if _, err := v.Verify(tok, "alice", start); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
}
