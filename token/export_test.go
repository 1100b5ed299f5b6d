package token

// Seal04 is the deterministic part of Issue04.
func Seal04(secret Secret, cbc bool, expire int64, iv, plaintext []byte) (string, error) {
	key, err := newKey04(secret)
	if err != nil {
		return "", err
	}
	return key.seal(cbc, expire, iv, plaintext), nil
}

// Marshal04 returns the plaintext of a token04.
var Marshal04 = marshal04
