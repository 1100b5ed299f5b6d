//go:build unix

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

func TestToken(t *testing.T) {
	for _, c := range []struct {
		args      string
		rejectCBC bool
		want      error
	}{
		{"", true, nil},
		{"--cbc", false, nil},
		{"--cbc", true, token.ErrInvalid},
	} {
		args := append([]string{"token", "--app-id=7", "--user=alice", "--ttl=1h"}, strings.Fields(c.args)...)
		p := start(t, []string{"ZIM_APP_SECRET=" + testSecret.Reveal()}, args...)
		if status := p.exit(t); status != 0 {
			t.Fatalf("exit status %d", status)
		}
		v, err := token.NewVerifier(token.Config{AppID: 7, Secrets: []token.Secret{testSecret}, RejectCBC: c.rejectCBC})
		if err != nil {
			t.Fatal(err)
		}
		tok, end, _ := strings.Cut(p.stdout.String(), "\n")
		claims, err := v.Verify(tok, "alice", time.Now())
		if err != c.want || end != "" {
			t.Errorf("%v: %v, want %v; and %q", args, err, c.want, end)
		}
		if err == nil && claims.Expires.Sub(claims.IssuedAt) != time.Hour {
			t.Errorf("%v: good for %v", args, claims.Expires.Sub(claims.IssuedAt))
		}
	}
}

func TestJWT(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for algorithm, private := range map[token.Algorithm]crypto.Signer{
		token.AlgorithmEdDSA: ed, token.AlgorithmES256: ec, token.AlgorithmRS256: rs,
	} {
		t.Run(string(algorithm), func(t *testing.T) {
			der, err := x509.MarshalPKIXPublicKey(private.Public())
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, nil, "serve", "--app-id=7", "--jwt-key-file", path, "--jwt-key-id=2026-01",
				"--listen=127.0.0.1:0", "--log-format=json", "--db=zim.db")
			dialer := websocket.Dialer{URL: "ws://" + p.address(t) + "/v1"}
			for kid, want := range map[string]error{"2026-01": nil, "2025-12": zim.ErrNetworkTokenInvalid} {
				tok, err := token.IssueJWT(7, "alice", token.JWTKey{ID: kid, Algorithm: algorithm, Key: private}, time.Hour, nil)
				if err != nil {
					t.Fatal(err)
				}
				z, _ := connect(t, 7, dialer)
				if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: tok}); zim.CodeOf(err) != zim.CodeOf(want) {
					t.Errorf("kid %s: %v, want %v", kid, err, want)
				}
			}
		})
	}
}

func TestPrivateKeyIsRefused(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readPublicKey(path); err == nil || !strings.Contains(err.Error(), "belongs to the issuer alone") {
		t.Errorf("got %v", err)
	}
}
