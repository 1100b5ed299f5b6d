package cloud

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"strconv"
	"time"

	"github.com/zim-go/zim/token"
)

// signature returns what signs a request: the MD5 of the four texts in a row. It covers neither the body nor the action.
func signature(appID uint32, nonce string, secret token.Secret, timestamp int64) string {
	sum := md5.Sum([]byte(strconv.FormatUint(uint64(appID), 10) + nonce + secret.Reveal() + strconv.FormatInt(timestamp, 10)))
	return hex.EncodeToString(sum[:])
}

// signed returns the parameters that every request has in its URL, made for this one. now is what the service's clock shows.
func (s *Service) signed(action string, now time.Time) url.Values {
	var random [8]byte
	rand.Read(random[:])
	nonce := hex.EncodeToString(random[:])
	return url.Values{
		"Action":           {action},
		"AppId":            {strconv.FormatUint(uint64(s.AppID), 10)},
		"SignatureNonce":   {nonce},
		"Timestamp":        {strconv.FormatInt(now.Unix(), 10)},
		"SignatureVersion": {"2.0"},
		"Signature":        {signature(s.AppID, nonce, s.ServerSecret, now.Unix())},
	}
}
