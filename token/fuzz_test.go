package token_test

import (
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
