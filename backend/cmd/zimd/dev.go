package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/token"
)

const devTTL = 24 * time.Hour // of the tokens

// A dev is what --dev makes: an app with a secret, and users.
type dev struct {
	appID  uint32
	secret token.Secret
	source string // of the secret
	users  []string
}

// prepareDev fills in what was not given.
func (c *serveCmd) prepareDev(secret token.Secret) (*dev, error) {
	if c.AppID == 0 {
		c.AppID = 1
	}
	source := "the secret in " + c.secretSource()
	if secret == "" {
		source = "a secret that was made up for this run: set $ZIM_APP_SECRET to know it"
		secret = token.Secret(rand.Text() + rand.Text())[:32]
	}
	if len(c.DevUser) == 0 {
		return nil, errors.New("--dev-user is empty: who is to log in?")
	}
	for _, user := range c.DevUser {
		if err := ident.CheckUserID(user); err != nil {
			return nil, fmt.Errorf("--dev-user: %q: the ID %w", user, err)
		}
	}
	return &dev{appID: c.AppID, secret: secret, source: source, users: c.DevUser}, nil
}

// print writes what a client of each user needs, as lines for a shell, and where the Server API is.
func (d *dev) print(w io.Writer, url, apiURL string) error {
	var b strings.Builder
	b.WriteString("# For trying things out on this machine. Paste a line into another shell to be that user, for a day.\n")
	for _, user := range d.users {
		tok, err := token.Issue04(d.appID, user, d.secret, devTTL, nil)
		if err != nil {
			return err
		}
		// A user ID can have anything that a shell minds, but no quotes.
		fmt.Fprintf(&b, "export ZIM_URL=%s ZIM_APP_ID=%d ZIM_USER='%s' ZIM_TOKEN=%s\n", url, d.appID, user, tok)
	}
	fmt.Fprintf(&b, "# The Server API is at %s?Action=..., for AppId %d, signed with %s.\n", apiURL, d.appID, d.source)
	_, err := io.WriteString(w, b.String())
	return err
}
