package webhook

import "github.com/zim-go/zim/token"

// Control is asked before a connection is made.
var Control = control

// CheckURL says what is wrong with a URL.
func CheckURL(raw string) error {
	_, err := checkURL(raw, new(Config))
	return err
}

// Sign returns a signature.
func Sign(secret, timestamp, nonce string) string {
	return sign(token.Secret(secret), timestamp, nonce)
}
