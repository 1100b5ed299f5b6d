package token_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/token"
)

var (
	alice = token.Claims{
		AppID: 1234567890, UserID: "alice", Nonce: 123456789,
		IssuedAt: start, Expires: start.Add(time.Hour),
	}
	robot = token.Claims{
		AppID: 1, UserID: "@RBT#b1", Nonce: -626114709,
		IssuedAt: start, Expires: start.Add(token.MaxTTL),
	}
	gcmNonce = []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
)

const (
	alicePlaintext = `{"app_id":1234567890,"user_id":"alice","ctime":1700000000,"expire":1700003600,"nonce":123456789,"payload":""}`
	robotPlaintext = `{"app_id":1,"user_id":"@RBT#b1","nonce":-626114709,"ctime":1700000000,"expire":1702073600,"payload":""}`

	aliceCBC = "04AAAAAGVT/xAAEGFiY2RlZmdoaWprbG1ub3AAcJwJclIKyjW0qO9Z//dHZNvpYQpx2Mz+KL+DfnprnEsqrw1L8laIC4CDIlLZj1VGGyG/d3crivBrdW2GziPP0BasSzdfSroGCMfDFOyO0MhEMhEqwc/n7HPYYZHKzJ1DG6ppV0WOCuyvi1lElsp3Gi0="
	aliceGCM = "04AAAAAGVT/xAADAABAgMEBQYHCAkKCwB9VsfaDKlHu8iK5kCMQvvkMtEwOrcQngH4Ra7k3dwHlqbcx199LJc7MvJR0jG/jvkLG9utwTiApfIYbxYrZGt2DMggXgABE2ubbVp+LcldLlZruaEVZlfU1rOEcumVd6p5zuB68eHA/3Ik0hUxuHsVR/wbx3lJHAx/VjosTP0B"
	robotCBC = "04AAAAAGVzlQAAEDAxMjM0NTY3ODkwMTIzNDUAcO6bczGUpqyGOSPWmGGIeWaLvrWrSluzpqXmcgt8mfSVCcKSBGA4n6h6AY6SKn1rIkroQ5i9kkM6xoqHrIH1BRb+m6rR7HiHeNJyZfgGL5hG90e73Mc4U87vvksApOEtA7prIJMsi2artgkj1M/jqHY="
	robotGCM = "04AAAAAGVzlQAADAABAgMEBQYHCAkKCwB3VsfaDKlHu8iK5kCSU7qiYZRXauMehlbLcp7vl9oUjqifxVlwKtA1KrwTiWrrnfcNHNKx02vE/K9NYQ5/KysvTp0yVAEGD3nOJRkhb5xTNgkz5/BAc17T1LCcZa/DNv86jfQ5sq+N4zwzEGRaO2Qpe+w0GRywzxwB"
)

var vectors = []struct {
	name      string
	token     string
	cbc       bool
	iv        []byte
	plaintext string
	claims    token.Claims
}{
	{"A-CBC", aliceCBC, true, []byte("abcdefghijklmnop"), alicePlaintext, alice},
	{"A-GCM", aliceGCM, false, gcmNonce, alicePlaintext, alice},
	{"B-CBC", robotCBC, true, []byte("0123456789012345"), robotPlaintext, robot},
	{"B-GCM", robotGCM, false, gcmNonce, robotPlaintext, robot},
}

func TestVectors(t *testing.T) {
	for _, vector := range vectors {
		t.Run(vector.name, func(t *testing.T) {
			got := must(t)(token.Seal04(secret, vector.cbc, vector.claims.Expires.Unix(), vector.iv, []byte(vector.plaintext)))
			if got != vector.token {
				t.Errorf("got  %s\nwant %s", got, vector.token)
			}
			v := newVerifier(t, token.Config{AppID: vector.claims.AppID, Secrets: []token.Secret{secret}})
			claims, err := v.Verify(vector.token, vector.claims.UserID, start.Add(time.Minute))
			if claims != vector.claims || err != nil {
				t.Errorf("got %v, %v, want %v", claims, err, vector.claims)
			}
		})
	}
	if got := string(token.Marshal04(alice)); got != alicePlaintext {
		t.Errorf("got  %s\nwant %s", got, alicePlaintext)
	}
}

func TestIssue04(t *testing.T) {
	v := newVerifier(t, token.Config{AppID: 7, Secrets: []token.Secret{secret}})
	seen := make(map[string]bool)
	for _, userID := range []string{"a", "<>&'", `"quoted"\`, "雪\u2028", strings.Repeat("u", 64)} {
		for i := range 200 {
			cbc := i%2 == 0
			tok := must(t)(token.Issue04(7, userID, secret, time.Hour+999*time.Millisecond, &token.Options04{CBC: cbc, IssuedAt: start.Add(time.Millisecond)}))
			if seen[tok] {
				t.Fatal("the same token twice")
			}
			seen[tok] = true
			claims, err := v.Verify(tok, userID, start)
			if err != nil {
				t.Fatalf("%q: %v", userID, err)
			}
			want := token.Claims{AppID: 7, UserID: userID, IssuedAt: start, Expires: start.Add(time.Hour), Nonce: claims.Nonce}
			if claims != want || claims.Nonce < 0 {
				t.Fatalf("got %v, want %v", claims, want)
			}
			b, _ := base64.StdEncoding.DecodeString(tok[2:])
			if isCBC := b[9] == 16 && len(b)%16 == 28%16; isCBC != cbc {
				t.Fatalf("got CBC %v, want %v", isCBC, cbc)
			}
		}
	}
	tok := must(t)(token.Issue04(7, "alice", secret, time.Hour, nil))
	if _, err := v.Verify(tok, "alice", time.Now()); err != nil {
		t.Error(err)
	}
}

func TestTextIV(t *testing.T) {
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
	counts := make(map[byte]int)
	for range 12_500 {
		tok := must(t)(token.Issue04(7, "alice", secret, time.Hour, &token.Options04{CBC: true}))
		b, _ := base64.StdEncoding.DecodeString(tok[2:])
		for _, c := range b[10:26] {
			counts[c]++
		}
	}
	// Of 200 000 characters the first four are 22 222, with a standard deviation of 141. A bare modulo makes them 25 000.
	first := counts['0'] + counts['1'] + counts['2'] + counts['3']
	if first < 22_222-1000 || first > 22_222+1000 {
		t.Errorf("got %d of the first four characters, want about 22222", first)
	}
	for _, c := range []byte(alphabet) {
		if counts[c] < 5000 {
			t.Errorf("got %d of %q, want about 5556", counts[c], c)
		}
		delete(counts, c)
	}
	if len(counts) > 0 {
		t.Errorf("got other characters: %v", counts)
	}
}

func TestRotation(t *testing.T) {
	now := start.Add(time.Minute)
	for _, tok := range []string{aliceGCM, aliceCBC} {
		for _, secrets := range [][]token.Secret{{secret, other}, {other, secret}} {
			v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: secrets})
			if claims, err := v.Verify(tok, "alice", now); claims != alice || err != nil {
				t.Errorf("got %v, %v, want %v", claims, err, alice)
			}
		}
		v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: []token.Secret{other}})
		if _, err := v.Verify(tok, "alice", now); err != token.ErrInvalid {
			t.Errorf("other secret: got %v, want %v", err, token.ErrInvalid)
		}
	}
}

func TestRejectCBC(t *testing.T) {
	v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret}, RejectCBC: true})
	if _, err := v.Verify(aliceGCM, "alice", start); err != nil {
		t.Errorf("GCM: %v", err)
	}
	if _, err := v.Verify(aliceCBC, "alice", start); err != token.ErrInvalid {
		t.Errorf("CBC: got %v, want %v", err, token.ErrInvalid)
	}
}

// pack builds a token04 of which every part may be wrong.
func pack(expire int64, ivSize int, iv []byte, size int, ciphertext []byte, rest ...byte) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(expire))
	b = binary.BigEndian.AppendUint16(b, uint16(ivSize))
	b = append(b, iv...)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = append(b, ciphertext...)
	return "04" + base64.StdEncoding.EncodeToString(append(b, rest...))
}

func TestStructure(t *testing.T) {
	v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret}})
	expire := alice.Expires.Unix()
	cbc, _ := base64.StdEncoding.DecodeString(aliceCBC[2:])
	gcm, _ := base64.StdEncoding.DecodeString(aliceGCM[2:])
	iv, ct := cbc[10:26], cbc[28:]
	nonce, sealed := gcm[10:22], gcm[24:len(gcm)-1]
	if pack(expire, 16, iv, len(ct), ct) != aliceCBC || pack(expire, 12, nonce, len(sealed), sealed, 1) != aliceGCM {
		t.Fatal("pack is wrong")
	}
	big := make([]byte, 5000)
	for name, tok := range map[string]string{
		"N20/CBC, ciphertext of 15":           pack(expire, 16, iv, 15, ct[:15]),
		"N20/CBC, ciphertext of 111":          pack(expire, 16, iv, 111, ct[:111]),
		"N20/CBC, no ciphertext":              pack(expire, 16, iv, 0, nil),
		"N20/CBC, ciphertext of 4112":         pack(expire, 16, iv, 4112, big[:4112]),
		"N20/CBC, IV of 0":                    pack(expire, 0, nil, len(ct), ct),
		"N20/CBC, IV of 3":                    pack(expire, 3, iv[:3], len(ct), ct),
		"N20/CBC, IV of 12":                   pack(expire, 12, iv[:12], len(ct), ct),
		"N20/CBC, IV of 17":                   pack(expire, 17, append(iv[:16:16], 0), len(ct), ct),
		"N20/CBC, IV of 65535":                pack(expire, 65535, iv, len(ct), ct),
		"N20/CBC, length one block too long":  pack(expire, 16, iv, len(ct)+16, ct),
		"N20/CBC, length one byte too long":   pack(expire, 16, iv, len(ct)+1, ct),
		"N20/CBC, length 65535":               pack(expire, 16, iv, 65535, ct),
		"N20/CBC, length one block too short": pack(expire, 16, iv, len(ct)-16, ct),
		"N20/CBC, mode 0":                     pack(expire, 16, iv, len(ct), ct, 0),
		"N20/CBC, mode 1":                     pack(expire, 16, iv, len(ct), ct, 1),
		"N20/CBC, mode 2":                     pack(expire, 16, iv, len(ct), ct, 2),
		"N20/CBC, two bytes after":            pack(expire, 16, iv, len(ct), ct, 0, 0),
		"N20/GCM, no mode":                    pack(expire, 12, nonce, len(sealed), sealed),
		"N20/GCM, mode 0":                     pack(expire, 12, nonce, len(sealed), sealed, 0),
		"N20/GCM, mode 2":                     pack(expire, 12, nonce, len(sealed), sealed, 2),
		"N20/GCM, byte after the mode":        pack(expire, 12, nonce, len(sealed), sealed, 1, 1),
		"N20/GCM, nonce of 0":                 pack(expire, 0, nil, len(sealed), sealed, 1),
		"N20/GCM, nonce of 11":                pack(expire, 11, nonce[:11], len(sealed), sealed, 1),
		"N20/GCM, nonce of 16":                pack(expire, 16, iv, len(sealed), sealed, 1),
		"N20/GCM, shorter than a tag":         pack(expire, 12, nonce, 15, sealed[:15], 1),
		"N20/GCM, ciphertext of 4097":         pack(expire, 12, nonce, 4097, big[:4097], 1),
		"N20/GCM, other tag":                  pack(expire, 12, nonce, len(sealed), append(sealed[:len(sealed)-1:len(sealed)-1], 0), 1),
		"N19/non-canonical base64":            aliceCBC[:len(aliceCBC)-2] + "1=",
		"N19/no padding":                      strings.TrimRight(aliceCBC, "="),
		"N19/padding inside":                  aliceCBC + "AAAA",
		"N24/header expires earlier, CBC":     pack(expire-1, 16, iv, len(ct), ct),
		"N24/header expires later, CBC":       pack(expire+1, 16, iv, len(ct), ct),
		"N24/header never expires, CBC":       pack(1<<63-1, 16, iv, len(ct), ct),
		"N24/header expires in the past, CBC": pack(-1<<63, 16, iv, len(ct), ct),
		"N24/header expires later, GCM":       pack(expire+1, 12, nonce, len(sealed), sealed, 1),
		"N24/header of an expired one, GCM":   pack(0, 12, nonce, len(sealed), sealed, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := v.Verify(tok, "alice", start); err != token.ErrInvalid {
				t.Errorf("got %v, want %v", err, token.ErrInvalid)
			}
		})
	}
}

// Whatever is cut off or added, nothing panics, and there is one error.
func TestTruncated(t *testing.T) {
	for _, vector := range vectors {
		v := newVerifier(t, token.Config{AppID: vector.claims.AppID, Secrets: []token.Secret{secret}})
		check := func(tok string) {
			t.Helper()
			if _, err := v.Verify(tok, vector.claims.UserID, start); err != token.ErrInvalid {
				t.Errorf("%s, %d bytes: got %v, want %v", vector.name, len(tok), err, token.ErrInvalid)
			}
		}
		for n := 2; n < len(vector.token); n++ {
			check(vector.token[:n])
			check("04" + vector.token[n+1:])
		}
		b, _ := base64.StdEncoding.DecodeString(vector.token[2:])
		for n := range b {
			check("04" + base64.StdEncoding.EncodeToString(b[:n]))
		}
		check("04" + base64.StdEncoding.EncodeToString(append(b, 1)))
	}
}

// encrypt encrypts with AES-CBC what has its padding already.
func encrypt(iv, padded []byte) []byte {
	block, err := aes.NewCipher([]byte(secret))
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(padded))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, padded)
	return out
}

func TestPadding(t *testing.T) {
	const plaintext = alicePlaintext // 109 bytes: the padding has 3
	iv := []byte("abcdefghijklmnop")
	v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret}})
	for _, test := range []struct {
		name   string
		padded string
		want   error
	}{
		{"right", plaintext + "\x03\x03\x03", nil},
		{"a whole block", strings.Replace(plaintext, ",", ",   ", 1) + strings.Repeat("\x10", 16), nil},
		{"N23/only the last byte right", plaintext + "\x00\x00\x03", token.ErrInvalid},
		{"N23/only the last two right", plaintext + "\x00\x03\x03", token.ErrInvalid},
		{"N23/0", plaintext + "\x00\x00\x00", token.ErrInvalid},
		{"N23/1", plaintext + "\x01\x01\x01", token.ErrInvalid},
		{"N23/4", plaintext + "\x04\x04\x04", token.ErrInvalid},
		{"N23/17", plaintext + "\x11\x11\x11", token.ErrInvalid},
		{"N23/17 of 17", plaintext[:95] + strings.Repeat("\x11", 17), token.ErrInvalid},
		{"N23/255", plaintext + "\xff\xff\xff", token.ErrInvalid},
		{"N23/a block of 16, one wrong", strings.Replace(plaintext, ",", ",   ", 1) + "\x0f" + strings.Repeat("\x10", 15), token.ErrInvalid},
		{"N23/spaces", plaintext + "   ", token.ErrInvalid},
		{"N23/none", strings.Replace(plaintext, ",", ",   ", 1), token.ErrInvalid},
		{"N23/nothing but padding", strings.Repeat("\x10", 16), token.ErrInvalid},
		{"N23/right, but the JSON is not", strings.Replace(plaintext, "{", "[", 1) + "\x03\x03\x03", token.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			ct := encrypt(iv, []byte(test.padded))
			if _, err := v.Verify(pack(alice.Expires.Unix(), 16, iv, len(ct), ct), "alice", start); err != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	v := newVerifier(t, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret}})
	replaced := func(old, new string) string {
		t.Helper()
		if !strings.Contains(alicePlaintext, old) {
			t.Fatalf("no %s to replace", old)
		}
		return strings.Replace(alicePlaintext, old, new, 1)
	}
	for _, test := range []struct {
		name      string
		plaintext string
		want      error
	}{
		{"spaces", replaced(`,`, ` , `), nil},
		{"no payload", replaced(`,"payload":""`, ``), nil},
		{"payload", replaced(`"payload":""`, `"payload":"{\"room_id\":\"r\"}"`), nil},
		{"other order", `{"app_id":1234567890,"expire":1700003600,"payload":"","ctime":1700000000,"nonce":-1,"user_id":"al\u0069ce"}`, nil},
		{"N24/duplicate app_id", replaced(`"app_id":1234567890`, `"app_id":1234567890,"app_id":1234567890`), token.ErrInvalid},
		{"N24/duplicate user_id", replaced(`"user_id":"alice"`, `"user_id":"bob","user_id":"alice"`), token.ErrInvalid},
		{"N24/duplicate expire", replaced(`"nonce"`, `"expire":1700003600,"nonce"`), token.ErrInvalid},
		{"N24/duplicate expire, escaped", replaced(`"nonce"`, `"\u0065xpire":1700003600,"nonce"`), token.ErrInvalid},
		{"N24/duplicate payload", replaced(`"payload":""`, `"payload":"","payload":""`), token.ErrInvalid},
		{"N24/unknown key", replaced(`"nonce"`, `"admin":1,"nonce"`), token.ErrInvalid},
		{"N24/unknown key for payload", replaced(`"payload"`, `"payloads"`), token.ErrInvalid},
		{"N24/empty key", replaced(`"nonce"`, `"":1,"nonce"`), token.ErrInvalid},
		{"N24/other case", replaced(`"nonce"`, `"Nonce"`), token.ErrInvalid},
		{"N24/no app_id", replaced(`"app_id":1234567890,`, ``), token.ErrInvalid},
		{"N24/no user_id", replaced(`"user_id":"alice",`, ``), token.ErrInvalid},
		{"N24/no ctime", replaced(`"ctime":1700000000,`, ``), token.ErrInvalid},
		{"N24/no expire", replaced(`"expire":1700003600,`, ``), token.ErrInvalid},
		{"N24/no nonce", replaced(`"nonce":123456789,`, ``), token.ErrInvalid},
		{"N24/no nonce, no payload", replaced(`,"nonce":123456789,"payload":""`, ``), token.ErrInvalid},
		{"N24/JSON after", alicePlaintext + `{}`, token.ErrInvalid},
		{"N24/brace after", alicePlaintext + `}`, token.ErrInvalid},
		{"N24/space after", alicePlaintext + ` `, token.ErrInvalid},
		{"N24/space before", ` ` + alicePlaintext, token.ErrInvalid},
		{"N24/NUL after", alicePlaintext + "\x00", token.ErrInvalid},
		{"N24/byte order mark", "\ufeff" + alicePlaintext, token.ErrInvalid},
		{"N24/array", `[` + alicePlaintext + `]`, token.ErrInvalid},
		{"N24/null", `null`, token.ErrInvalid},
		{"N24/empty object", `{}`, token.ErrInvalid},
		{"N24/empty", ``, token.ErrInvalid},
		{"N24/half", alicePlaintext[:50], token.ErrInvalid},
		{"N24/comma at the end", replaced(`"payload":""`, `"payload":"",`), token.ErrInvalid},
		{"N24/no comma", replaced(`,"user_id"`, `"user_id"`), token.ErrInvalid},
		{"N24/float expire", replaced(`1700003600`, `1700003600.0`), token.ErrInvalid},
		{"N24/exponent expire", replaced(`1700003600`, `17000036e2`), token.ErrInvalid},
		{"N24/huge expire", replaced(`1700003600`, `99999999999999999999`), token.ErrInvalid},
		{"N24/float app_id", replaced(`1234567890`, `1234567890.0`), token.ErrInvalid},
		{"N24/exponent app_id", replaced(`1234567890`, `123456789e1`), token.ErrInvalid},
		{"N24/app_id beyond 32 bits", replaced(`1234567890`, `5529535186`), token.ErrInvalid}, // 2^32 more
		{"N24/app_id as string", replaced(`1234567890`, `"1234567890"`), token.ErrInvalid},
		{"N24/leading zero", replaced(`1234567890`, `01234567890`), token.ErrInvalid},
		{"N24/plus", replaced(`1234567890`, `+1234567890`), token.ErrInvalid},
		{"N24/float nonce", replaced(`123456789,"p`, `0.5,"p`), token.ErrInvalid},
		{"N24/nonce beyond 32 bits", replaced(`123456789,"p`, `2147483648,"p`), token.ErrInvalid},
		{"N24/nonce as string", replaced(`123456789,"p`, `"1","p`), token.ErrInvalid},
		{"N24/negative ctime", replaced(`"ctime":17`, `"ctime":-17`), token.ErrInvalid},
		{"N24/ctime null", replaced(`"ctime":1700000000`, `"ctime":null`), token.ErrInvalid},
		{"N24/user_id as number", replaced(`"alice"`, `1`), token.ErrInvalid},
		{"N24/user_id as object", replaced(`"alice"`, `{"alice":"alice"}`), token.ErrInvalid},
		{"N24/payload as object", replaced(`"payload":""`, `"payload":{}`), token.ErrInvalid},
		{"N24/payload as null", replaced(`"payload":""`, `"payload":null`), token.ErrInvalid},
		{"N24/not UTF-8", replaced(`"payload":""`, "\"payload\":\"\xff\""), token.ErrInvalid},
		{"N24/control character", replaced(`"payload":""`, "\"payload\":\"\n\""), token.ErrInvalid},
		{"N25/24 days", replaced(`1700003600`, `1702073600`), nil},
		{"N25/24 days and a second", replaced(`1700003600`, `1702073601`), token.ErrInvalid},
		{"N25/24 days in the future", replaced(`"ctime":1700000000`, `"ctime":1700003599`), token.ErrInvalid},
		{"N25/no time", replaced(`1700003600`, `1700000000`), token.ErrInvalid},
		{"N25/expires before it is issued", replaced(`1700003600`, `1699999999`), token.ErrInvalid},
		{"N25/expires at the end of time", replaced(`1700003600`, `9223372036854775807`), token.ErrInvalid},
		{"N25/from the beginning of time", replaced(`"ctime":1700000000`, `"ctime":0`), token.ErrInvalid},
		{"N26/issued at the end of time", strings.NewReplacer(`1700000000`, `9223372036854775806`, `1700003600`, `9223372036854775807`).Replace(alicePlaintext), token.ErrInvalid},
		{"N27/other user", replaced(`"alice"`, `"bob"`), token.ErrInvalid},
		{"N27/longer user", replaced(`"alice"`, `"alice2"`), token.ErrInvalid},
		{"N27/user in capitals", replaced(`"alice"`, `"Alice"`), token.ErrInvalid},
		{"N27/no user", replaced(`"alice"`, `""`), token.ErrInvalid},
		{"N28/other app", replaced(`1234567890`, `1234567891`), token.ErrInvalid},
		{"N28/no app", replaced(`1234567890`, `0`), token.ErrInvalid},
		{"N28/negative app", replaced(`1234567890`, `-1`), token.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			expire := alice.Expires.Unix()
			// The clear expiry agrees with the plaintext's, so that the plaintext is what is judged.
			if _, rest, ok := strings.Cut(test.plaintext, `"expire":`); ok {
				fmt.Sscan(rest[:strings.IndexAny(rest, ",}")], &expire)
			}
			for _, cbc := range []bool{false, true} {
				iv := gcmNonce
				if cbc {
					iv = []byte("abcdefghijklmnop")
				}
				tok := must(t)(token.Seal04(secret, cbc, expire, iv, []byte(test.plaintext)))
				if _, err := v.Verify(tok, "alice", start); err != test.want {
					t.Errorf("CBC %v: got %v, want %v", cbc, err, test.want)
				}
			}
		})
	}

	t.Run("N20/longest", func(t *testing.T) {
		for _, test := range []struct {
			cbc  bool
			size int // of the plaintext
			want error
		}{
			{false, 4080, nil}, {false, 4081, token.ErrInvalid}, {true, 4095, nil}, {true, 4096, token.ErrInvalid},
		} {
			plaintext := replaced(`"payload":""`, `"payload":"`+strings.Repeat("p", test.size-len(alicePlaintext))+`"`)
			iv := gcmNonce
			if test.cbc {
				iv = []byte("abcdefghijklmnop")
			}
			tok := must(t)(token.Seal04(secret, test.cbc, alice.Expires.Unix(), iv, []byte(plaintext)))
			if _, err := v.Verify(tok, "alice", start); err != test.want {
				t.Errorf("CBC %v, %d bytes: got %v, want %v", test.cbc, test.size, err, test.want)
			}
		}
	})
	t.Run("N27/invalid surrogate for a replacement character", func(t *testing.T) {
		tok := must(t)(token.Seal04(secret, false, alice.Expires.Unix(), gcmNonce, []byte(replaced("alice", `\ud800`))))
		if _, err := v.Verify(tok, "\ufffd", start); err != token.ErrInvalid {
			t.Errorf("got %v, want %v", err, token.ErrInvalid)
		}
	})
	t.Run("N28/token of another app", func(t *testing.T) {
		for _, s := range []token.Secret{secret, other} {
			v := newVerifier(t, token.Config{AppID: robot.AppID, Secrets: []token.Secret{s}})
			for _, tok := range []string{aliceGCM, aliceCBC} {
				if _, err := v.Verify(tok, "alice", start); err != token.ErrInvalid {
					t.Errorf("got %v, want %v", err, token.ErrInvalid)
				}
			}
		}
	})
}

func BenchmarkVerify04(b *testing.B) {
	v := newVerifier(b, token.Config{AppID: alice.AppID, Secrets: []token.Secret{secret}})
	for _, vector := range vectors[:2] {
		b.Run(vector.name[2:], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(vector.token, "alice", start); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
