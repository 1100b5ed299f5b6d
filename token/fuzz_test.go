package token_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/token"
)

// Nobody but an issuer can make claims that are accepted.
func FuzzVerify04(f *testing.F) {
	forAlice := newVerifier(f, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret, other}})
	forRobot := newVerifier(f, token.Config{AppID: robot.AppID, Secrets: []token.Secret{other, secret}})
	for _, vector := range vectors {
		f.Add(vector.token)
	}
	f.Fuzz(func(t *testing.T, tok string) {
		if claims, err := forAlice.Verify(tok, "alice", start); err == nil && claims != alice {
			t.Errorf("got %v, want %v", claims, alice)
		}
		if claims, err := forRobot.Verify(tok, robot.UserID, start); err == nil && claims != robot {
			t.Errorf("got %v, want %v", claims, robot)
		}
		if _, err := forAlice.Verify(tok, robot.UserID, start); err == nil {
			t.Error("accepted for a user who has no token")
		}
	})
}

// Nothing of a JWT can be changed at all.
func FuzzVerifyJWT(f *testing.F) {
	v := newVerifier(f, token.Config{AppID: 1, JWTKeys: []token.JWTKey{edPublic, hsKey}})
	issued := make(map[string]bool)
	for _, key := range []token.JWTKey{edSigner, hsKey} {
		tok := must(f)(token.IssueJWT(1, "alice", key, time.Hour, &token.OptionsJWT{IssuedAt: start}))
		issued[tok] = true
		f.Add(tok)
	}
	f.Add("..")
	f.Fuzz(func(t *testing.T, tok string) {
		if _, err := v.Verify(tok, "alice", start); err == nil && !issued[tok] {
			t.Error("accepted, but not issued")
		}
	})
}

// What is accepted of a token that an issuer with the secret has made, whatever is in it, is what anybody reads there: there is no second
// meaning for whoever reads less strictly.
func FuzzPlaintext(f *testing.F) {
	v := newVerifier(f, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret}, MinRemaining: -1})
	for _, s := range []string{
		alicePlaintext, strings.Replace(alicePlaintext, `"nonce"`, `"nonce":1,"nonce"`, 1), strings.Replace(alicePlaintext, "alice", `al\u0069ce`, 1),
		strings.Replace(alicePlaintext, "1700003600", "17000036e2", 1), strings.Replace(alicePlaintext, "app_id", "APP_ID", 1), alicePlaintext + " ",
		strings.Replace(alicePlaintext, "123456789,", "-0,", 1), "{}", "[]", "", "\x10",
	} {
		f.Add([]byte(s), alice.Expires.Unix())
	}
	f.Fuzz(func(t *testing.T, plaintext []byte, expire int64) {
		for _, cbc := range []bool{false, true} {
			iv := gcmNonce
			if cbc {
				iv = []byte("abcdefghijklmnop")
			}
			tok, err := token.Seal04(secret, cbc, expire, iv, plaintext)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := v.Verify(tok, "alice", start)
			if err != nil {
				continue
			}
			// As a sample from a handbook would read it.
			var naive struct {
				AppID   uint32 `json:"app_id"`
				UserID  string `json:"user_id"`
				Created int64  `json:"ctime"`
				Expire  int64  `json:"expire"`
				Nonce   int32  `json:"nonce"`
				Payload string `json:"payload"`
			}
			if err := json.Unmarshal([]byte(strings.TrimRight(string(plaintext), "\x00")), &naive); err != nil {
				t.Fatalf("%q was accepted, and is no JSON: %v", plaintext, err)
			}
			want := token.Claims{
				AppID: naive.AppID, UserID: naive.UserID, IssuedAt: time.Unix(naive.Created, 0).UTC(), Expires: time.Unix(naive.Expire, 0).UTC(),
				Nonce: naive.Nonce, Payload: naive.Payload,
			}
			if claims != want || claims.AppID != alice.AppID || claims.UserID != "alice" || naive.Expire != expire {
				t.Errorf("%q with %d: got %+v, want %+v", plaintext, expire, claims, want)
			}
		}
	})
}

// No error, and nothing that is printed, shows a secret or what a token says.
func FuzzRedaction(f *testing.F) {
	f.Add("c4n4ry of 32 bytes, more or less", "alice", aliceGCM)
	f.Add("c4n4ry", "c4n4ry", "04c4n4ry")
	f.Add("", "\x1b[31m", "c4n4ry.c4n4ry.c4n4ry")
	f.Fuzz(func(t *testing.T, hidden, userID, tok string) {
		const canary = "c4n4ry"
		s := token.Secret(canary + hidden)
		var printed strings.Builder
		show := func(values ...any) {
			for _, v := range values {
				fmt.Fprintf(&printed, "%v %+v %#v %s %q %x %d\n", v, v, v, v, v, v, v)
				b, err := json.Marshal(v)
				fmt.Fprintf(&printed, "%s %v\n", b, err)
			}
		}
		config := token.Config{AppID: 1, Secrets: []token.Secret{s}, JWTKeys: []token.JWTKey{{ID: "k", Algorithm: "HS256", Key: s}}}
		v, err := token.NewVerifier(config)
		show(s, &s, config, err)
		_, err = token.Issue04(1, canary+userID, s, time.Hour, nil)
		show(err)
		_, err = token.IssueJWT(1, userID, config.JWTKeys[0], time.Hour, nil)
		show(err)
		if v == nil {
			v = newVerifier(t, token.Config{AppID: 1, Secrets: []token.Secret{secret}, JWTKeys: []token.JWTKey{hsKey}})
		}
		for _, tok := range []string{tok, canary + tok, tok + canary, "04" + canary + tok, canary + "." + canary + "." + tok} {
			_, err := v.Verify(tok, userID, start)
			show(err)
		}
		for _, form := range []string{canary, fmt.Sprintf("%x", canary), strings.Trim(fmt.Sprint([]byte(canary)), "[]")} {
			if i := strings.Index(printed.String(), form); i >= 0 {
				t.Errorf("a secret is in %q", printed.String()[max(0, i-50):min(printed.Len(), i+50)])
			}
		}
	})
}
