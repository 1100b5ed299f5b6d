package token_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/zim-go/zim/token"
)

func ExampleIssue04() {
	const appID = 1234567890
	secret := token.Secret("0123456789abcdef0123456789abcdef") // the app's ServerSecret

	// In the app server, once it knows that this is alice:
	tok, err := token.Issue04(appID, "alice", secret, time.Hour, nil)
	if err != nil {
		log.Fatal(err)
	}

	// In the backend, when alice logs in:
	v, err := token.NewVerifier(token.Config{AppID: appID, Secrets: []token.Secret{secret}})
	if err != nil {
		log.Fatal(err)
	}
	claims, err := v.Verify(tok, "alice", time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims.UserID, "for", claims.Expires.Sub(claims.IssuedAt))

	_, err = v.Verify(tok, "bob", time.Now())
	fmt.Println(err)
	_, err = v.Verify(tok, "alice", time.Now().Add(2*time.Hour))
	fmt.Println(errors.Is(err, token.ErrExpired))
	// Output:
	// alice for 1h0m0s
	// token: invalid
	// true
}

func ExampleIssueJWT() {
	const appID = 1234567890
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}

	// In the app server:
	key := token.JWTKey{ID: "2026-01", Algorithm: token.AlgorithmEdDSA, Key: private}
	tok, err := token.IssueJWT(appID, "alice", key, time.Hour, nil)
	if err != nil {
		log.Fatal(err)
	}

	// In the backend, which can't issue tokens itself:
	key.Key = public
	v, err := token.NewVerifier(token.Config{AppID: appID, JWTKeys: []token.JWTKey{key}})
	if err != nil {
		log.Fatal(err)
	}
	claims, err := v.Verify(tok, "alice", time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims.AppID, claims.UserID)
	// Output: 1234567890 alice
}
