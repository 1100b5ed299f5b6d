package token_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/token"
)

func TestBitFlips(t *testing.T) {
	v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret}})
	elsewhere := newVerifier(t, token.Config{AppID: robot.AppID, Secrets: []token.Secret{other}})
	for _, tok := range []string{aliceCBC, aliceGCM} {
		sealed, _ := base64.StdEncoding.DecodeString(tok[2:])
		for i := range len(sealed) * 8 {
			b := append([]byte(nil), sealed...)
			b[i/8] ^= 1 << (i % 8)
			flipped := "04" + base64.StdEncoding.EncodeToString(b)
			for _, userID := range []string{"alice", "bob", "alicf"} {
				for _, v := range []*token.Verifier{v, elsewhere} {
					if _, err := v.Verify(flipped, userID, start); err != token.ErrInvalid {
						t.Errorf("N21/bit %d of byte %d as %s: got %v, want %v", i%8, i/8, userID, err, token.ErrInvalid)
					}
				}
			}
		}
	}
}

// rewrite gives a CBC token another first block, which takes no secret.
func rewrite(tok, old, new string) string {
	b, _ := base64.StdEncoding.DecodeString(tok[2:])
	for i := range 16 {
		b[10+i] ^= old[i] ^ new[i]
	}
	return "04" + base64.StdEncoding.EncodeToString(b)
}

func TestRewrittenFirstBlock(t *testing.T) {
	iv := []byte("abcdefghijklmnop")
	verify := func(v *token.Verifier, tok, userID string) error {
		_, err := v.Verify(tok, userID, start)
		return err
	}
	v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret}})

	t.Run("N21/other app", func(t *testing.T) {
		const old, new = `{"app_id":123456`, `{"app_id":103456`
		tok := rewrite(aliceCBC, old, new)
		there := newVerifier(t, token.Config{AppID: 1034567890, Secrets: []token.Secret{other}})
		if err := verify(v, tok, "alice"); err != token.ErrInvalid {
			t.Errorf("here: got %v, want %v", err, token.ErrInvalid)
		}
		if err := verify(there, tok, "alice"); err != token.ErrInvalid {
			t.Errorf("there: got %v, want %v", err, token.ErrInvalid)
		}
		if verify(v, rewrite(tok, new, old), "alice") != nil {
			t.Error("rewrite is wrong")
		}
	})
	// What issuers write that don't begin with the app's ID.
	const tail = `,"nonce":1,"payload":"","app_id":1234567890}`
	for _, test := range []struct{ name, plaintext, forged, as string }{
		{"N21/other user", `{"user_id":"bob","ctime":1700000000,"expire":1700003600` + tail, `{"user_id":"joe"`, "joe"},
		{"N22/later expiry", `{"expire":1700003600,"user_id":"bob","ctime":1700000000` + tail, `{"expire":170200`, "bob"},
		{"N22/other nonce", `{"nonce":12345678,"user_id":"bob","ctime":1700000000,"expire":1700003600,"app_id":1234567890}`, `{"nonce":87654321`[:16], "bob"},
	} {
		t.Run(test.name, func(t *testing.T) {
			expire := alice.Expires.Unix()
			tok := must(t)(token.Seal04(secret, true, expire, iv, []byte(test.plaintext)))
			forged := rewrite(tok, test.plaintext, test.forged)
			if test.as == "bob" && strings.Contains(test.name, "expiry") {
				b, _ := base64.StdEncoding.DecodeString(forged[2:])
				binary.BigEndian.PutUint64(b, 1702003600)
				forged = "04" + base64.StdEncoding.EncodeToString(b)
			}
			if err := verify(v, forged, test.as); err != token.ErrInvalid {
				t.Errorf("forged: got %v, want %v", err, token.ErrInvalid)
			}
			if err := verify(v, tok, "bob"); err != token.ErrInvalid {
				t.Errorf("genuine, but no better: got %v, want %v", err, token.ErrInvalid)
			}
			gcm := must(t)(token.Seal04(secret, false, expire, gcmNonce, []byte(test.plaintext)))
			if err := verify(v, gcm, "bob"); err != nil {
				t.Errorf("authenticated: %v", err)
			}
		})
	}
}

// A holder who has a say in the payload rewrites one of its blocks, at the price of noise in the block before, so that the
// token lasts longer. A lenient decoder takes the noise for text in every tenth try.
func TestBlockSplices(t *testing.T) {
	const plaintext = `{"app_id":1234567890,"user_id":"alice","ctime":1799990000,"expire":1799993600,"nonce":123456,` +
		`"payload":"........ and a payload of four more blocks, more or less, of what somebody else has written"}`
	const injected = `","expire":18e8}` // as long as a block
	const later = 1_800_000_000
	now := time.Unix(1_799_995_000, 0)

	v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret}})
	block, err := aes.NewCipher([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	iv := make([]byte, 16)
	lenient, accepted := 0, 0
	for range 20_000 {
		binary.NativeEndian.PutUint64(iv, rnd.Uint64())
		tok := must(t)(token.Seal04(secret, true, 1_799_993_600, iv, []byte(plaintext)))
		b, _ := base64.StdEncoding.DecodeString(tok[2:])
		ct := b[28:]
		at := 16 * (8 + rnd.IntN(4)) // the payload begins in the seventh block
		for i := range 16 {
			ct[at-16+i] ^= plaintext[at+i] ^ injected[i]
		}
		if _, err := v.Verify(pack(later, 16, iv, len(ct), ct), "alice", now); err == nil {
			accepted++
		}

		decrypted := make([]byte, len(ct))
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(decrypted, ct)
		var claims struct {
			UserID string  `json:"user_id"`
			Expire float64 `json:"expire"`
		}
		if json.NewDecoder(bytes.NewReader(decrypted)).Decode(&claims) == nil && claims.UserID == "alice" && claims.Expire == later {
			lenient++
		}
	}
	if accepted > 0 {
		t.Errorf("N22/got %d of 20000 accepted, want 0", accepted)
	}
	if lenient < 1000 {
		t.Errorf("a lenient decoder accepts %d of 20000: the attack is none", lenient)
	}
}
