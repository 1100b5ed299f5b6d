package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/token"
)

const (
	maxAnswer       = 64 << 10 // bytes that are read of an answer
	maxAnswerHeader = 16 << 10
)

// newClient returns a client that makes connections to where it is allowed, and to nowhere else: it follows no redirect, and asks no proxy.
func newClient(config *Config) *http.Client {
	dial := config.DialContext
	if dial == nil {
		d := &net.Dialer{Timeout: config.Timeout, Resolver: config.Resolver}
		if !config.AllowPrivate {
			d.Control = control
		}
		dial = d.DialContext
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dial,
			TLSHandshakeTimeout:    config.Timeout,
			MaxIdleConnsPerHost:    max(config.Concurrency, maxAsking),
			MaxResponseHeaderBytes: maxAnswerHeader,
			IdleConnTimeout:        30 * time.Second,
			DisableCompression:     true, // what is read stays what came
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post sends a callback, and returns nil if it was taken: the answer is a 2xx, whatever it says.
func (s *Sender) post(ctx context.Context, u *url.URL, c *store.Callback) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	_, err := s.exchange(ctx, u, s.payload(c))
	return err
}

// exchange sends a body, and returns the first maxAnswer bytes of the answer if that is a 2xx.
func (s *Sender) exchange(ctx context.Context, u *url.URL, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the request can't be made")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "zimd")
	resp, err := s.client.Do(req)
	if err != nil {
		// An error of the client has the URL.
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fmt.Errorf("the answer has the status %d", resp.StatusCode)
	}
	// Read, so that the connection can be used again. More than that, or later, breaks it.
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return answer, nil
}

// payload is the body of a callback: what it says, behind what all callbacks have.
func (s *Sender) payload(c *store.Callback) []byte {
	common, _ := json.Marshal(struct {
		AppID     string `json:"appid"`
		Event     string `json:"event"`
		Nonce     string `json:"nonce"`
		Timestamp int64  `json:"timestamp"`
		Signature string `json:"signature"`
	}{strconv.FormatUint(uint64(c.App), 10), c.Event, c.Nonce, c.Stamp, sign(s.secrets[c.App], strconv.FormatInt(c.Stamp, 10), c.Nonce)})
	rest := bytes.TrimPrefix(c.Body, []byte("{"))
	if len(rest) > 1 { // there is more than the closing brace
		common = slices.Concat(common[:len(common)-1], []byte(","), rest)
	}
	return s.config.Quirks.encode(common)
}

// sign returns the documented signature of a callback.
func sign(secret token.Secret, timestamp, nonce string) string {
	parts := []string{secret.Reveal(), timestamp, nonce}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(parts[0] + parts[1] + parts[2]))
	return hex.EncodeToString(sum[:])
}

func newNonce() string { return rand.Text() }
