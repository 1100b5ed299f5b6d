package token

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	prefix04      = "04"
	modeGCM       = 1 // the last byte of the GCM form; the CBC form has none
	secretSize    = 32
	gcmNonceSize  = 12
	maxCiphertext = 4096
)

// Options04 are the finer points of a token04.
type Options04 struct {
	// CBC makes the older form, for checkers that don't know GCM. It has no integrity: see the package comment.
	CBC bool
	// IssuedAt is when the token's time begins. Zero means now.
	IssuedAt time.Time
}

// Issue04 returns a token04 with which userID can log in to the app for ttl, which is rounded down to whole seconds. The secret
// is the app's ServerSecret, 32 bytes. Nil opts mean the zero Options04. The token's payload is empty.
//
// It fails if appID is zero, if userID doesn't have 1 to 64 bytes of UTF-8, if the secret has another length, or if ttl is
// not between a second and [MaxTTL].
func Issue04(appID uint32, userID string, secret Secret, ttl time.Duration, opts *Options04) (string, error) {
	if opts == nil {
		opts = new(Options04)
	}
	claims, err := newClaims(appID, userID, ttl, opts.IssuedAt)
	if err != nil {
		return "", err
	}
	key, err := newKey04(secret)
	if err != nil {
		return "", err
	}
	var random [4]byte
	rand.Read(random[:])
	// Some generators never make it negative, so some checkers may not expect that.
	claims.Nonce = int32(binary.NativeEndian.Uint32(random[:]) >> 1)

	iv := make([]byte, gcmNonceSize)
	if opts.CBC {
		iv = textIV()
	} else {
		rand.Read(iv)
	}
	return key.seal(opts.CBC, claims.Expires.Unix(), iv, marshal04(claims)), nil
}

// textIV returns an initialization vector of digits and letters, as the documented generators do: a checker might take it
// for text.
func textIV() []byte {
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
	iv := make([]byte, 0, aes.BlockSize)
	var random [aes.BlockSize]byte
	for {
		rand.Read(random[:])
		for _, b := range random {
			// The bytes beyond the last multiple of the alphabet would favor its beginning.
			if int(b) >= 256/len(alphabet)*len(alphabet) {
				continue
			}
			iv = append(iv, alphabet[int(b)%len(alphabet)])
			if len(iv) == aes.BlockSize {
				return iv
			}
		}
	}
}

// A key04 returns the ciphers for a ServerSecret. It is a function because fmt prints the inside of anything else, even of
// unexported fields and, with some verbs, behind pointers.
type key04 func() (cipher.Block, cipher.AEAD)

func newKey04(secret Secret) (key04, error) {
	if len(secret) != secretSize {
		return nil, fmt.Errorf("token: the secret has %d bytes, it must have %d", len(secret), secretSize)
	}
	block, err := aes.NewCipher([]byte(secret))
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return func() (cipher.Block, cipher.AEAD) { return block, gcm }, nil
}

func (k key04) seal(cbc bool, expire int64, iv, plaintext []byte) string {
	block, gcm := k()
	var ciphertext []byte
	if cbc {
		padding := aes.BlockSize - len(plaintext)%aes.BlockSize
		ciphertext = append(slices.Clip(plaintext), bytes.Repeat([]byte{byte(padding)}, padding)...)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(ciphertext, ciphertext)
	} else {
		ciphertext = gcm.Seal(nil, iv, plaintext, nil)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(expire))
	b = binary.BigEndian.AppendUint16(b, uint16(len(iv)))
	b = append(b, iv...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(ciphertext)))
	b = append(b, ciphertext...)
	if !cbc {
		b = append(b, modeGCM)
	}
	return prefix04 + base64.StdEncoding.EncodeToString(b)
}

// A sealed04 is a token04 that has been taken apart, but not decrypted. Nothing in it can be trusted.
type sealed04 struct {
	expire     int64
	cbc        bool
	iv         []byte
	ciphertext []byte
}

func parse04(token string) (s sealed04, ok bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(token[len(prefix04):])
	if err != nil || len(b) < 8 {
		return sealed04{}, false
	}
	s.expire = int64(binary.BigEndian.Uint64(b))
	if s.iv, b, ok = cutField(b[8:]); !ok {
		return sealed04{}, false
	}
	if s.ciphertext, b, ok = cutField(b); !ok {
		return sealed04{}, false
	}
	switch {
	case len(b) == 0:
		s.cbc = true
		ok = len(s.iv) == aes.BlockSize && len(s.ciphertext)%aes.BlockSize == 0
	case len(b) == 1 && b[0] == modeGCM:
		ok = len(s.iv) == gcmNonceSize
	default:
		ok = false
	}
	// 16 is a block, or a tag.
	return s, ok && len(s.ciphertext) >= 16 && len(s.ciphertext) <= maxCiphertext
}

// cutField takes a field with a two-byte length off b.
func cutField(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// open decrypts s, and reports whether its tag or its padding is right. It returns a plaintext even if the padding is not.
func (k key04) open(s sealed04) (plaintext []byte, ok bool) {
	block, gcm := k()
	if !s.cbc {
		plaintext, err := gcm.Open(nil, s.iv, s.ciphertext, nil)
		return plaintext, err == nil
	}
	plaintext = make([]byte, len(s.ciphertext))
	cipher.NewCBCDecrypter(block, s.iv).CryptBlocks(plaintext, s.ciphertext)
	n, ok := padding(plaintext)
	return plaintext[:len(plaintext)-n], ok
}

// padding returns the length of the PKCS#7 padding at the end of b, or zero if it is wrong. How long it takes tells nothing
// about b.
func padding(b []byte) (n int, ok bool) {
	last := int(b[len(b)-1])
	good := subtle.ConstantTimeLessOrEq(1, last) & subtle.ConstantTimeLessOrEq(last, aes.BlockSize)
	for i := 1; i <= aes.BlockSize; i++ {
		beyond := 1 ^ subtle.ConstantTimeLessOrEq(i, last)
		good &= beyond | subtle.ConstantTimeEq(int32(b[len(b)-i]), int32(last))
	}
	return subtle.ConstantTimeSelect(good, last, 0), good == 1
}

// verify04 checks everything but the time.
func (v *Verifier) verify04(token, userID string) (Claims, bool) {
	s, ok := parse04(token)
	if !ok || s.cbc && v.rejectCBC {
		return Claims{}, false
	}
	for _, key := range v.secrets {
		plaintext, intact := key.open(s)
		// The plaintext is parsed even if the padding is wrong, which must take as long as if only the JSON were wrong:
		// who can tell one from the other can decrypt, and encrypt, block by block.
		c, appIDFirst, parsed := unmarshal04(plaintext)
		if !intact || !parsed || c.AppID != v.appID || c.UserID != userID || c.Expires.Unix() != s.expire {
			continue
		}
		// In the CBC form the IV is anybody's to change, and with it the first 16 bytes of the plaintext. Behind
		// {"app_id": there is no room left for the value of another member. But issuers that begin with the user's ID
		// make tokens with which bob can become joe, and none of them can be told from a forgery.
		if s.cbc && !appIDFirst {
			continue
		}
		return c, true
	}
	return Claims{}, false
}

// marshal04 returns the plaintext of a token04. The app's ID comes first: see verify04.
func marshal04(c Claims) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// Strings and integers can't fail.
	_ = enc.Encode(struct {
		AppID   uint32 `json:"app_id"`
		UserID  string `json:"user_id"`
		CTime   int64  `json:"ctime"`
		Expire  int64  `json:"expire"`
		Nonce   int32  `json:"nonce"`
		Payload string `json:"payload"`
	}{c.AppID, c.UserID, c.IssuedAt.Unix(), c.Expires.Unix(), c.Nonce, c.Payload})
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// unmarshal04 parses what issuers write and nothing else: an object with the six members, in any order, each once, of which
// only the payload may be missing. It reports whether app_id is the first of them.
func unmarshal04(b []byte) (c Claims, appIDFirst, ok bool) {
	// From the front to the back, because the back is where wrong padding would show. Valid makes sure that nothing follows
	// the object, and that the decoder finds no syntax errors.
	if !utf8.Valid(b) || !json.Valid(b) || b[0] != '{' || b[len(b)-1] != '}' {
		return Claims{}, false, false
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	dec.Token()
	seen := make(map[string]bool, 6)
	for dec.More() {
		t, _ := dec.Token()
		name, _ := t.(string)
		value, _ := dec.Token()
		var n int64
		switch name {
		case "app_id":
			appIDFirst = len(seen) == 0
			n, ok = integer(value, 1, math.MaxUint32)
			c.AppID = uint32(n)
		case "user_id":
			c.UserID, ok = value.(string)
		case "ctime":
			n, ok = integer(value, 0, math.MaxInt64)
			c.IssuedAt = unix(n)
		case "expire":
			n, ok = integer(value, 0, math.MaxInt64)
			c.Expires = unix(n)
		case "nonce":
			n, ok = integer(value, math.MinInt32, math.MaxInt32)
			c.Nonce = int32(n)
		case "payload":
			c.Payload, ok = value.(string)
		default:
			ok = false
		}
		if !ok || seen[name] {
			return Claims{}, false, false
		}
		seen[name] = true
	}
	return c, appIDFirst, len(seen) == 6 || len(seen) == 5 && !seen["payload"]
}

// integer returns a JSON number that is written as an integer, without fraction or exponent.
func integer(value json.Token, low, high int64) (n int64, ok bool) {
	number, _ := value.(json.Number)
	n, err := strconv.ParseInt(number.String(), 10, 64)
	return n, err == nil && n >= low && n <= high
}
