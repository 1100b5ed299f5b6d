package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/token"
)

const devTTL = 24 * time.Hour // of the tokens

// A dev is what --dev makes: an app with secrets, and users.
type dev struct {
	appID          uint32
	secret         token.Secret
	callbackSecret token.Secret // empty if nobody is told what happens
	users          []string

	// How a shell gets the secrets: one that was made up is there, and one that was given is where it was.
	showSecret, showCallbackSecret string
}

// prepareDev fills in what was not given.
func (c *serveCmd) prepareDev(secret, callbackSecret token.Secret) (*dev, error) {
	if c.AppID == 0 {
		c.AppID = 1
	}
	if len(c.DevUser) == 0 {
		return nil, errors.New("--dev-user is empty: who is to log in?")
	}
	for _, user := range c.DevUser {
		if err := ident.CheckUserID(user); err != nil {
			return nil, fmt.Errorf("--dev-user: %q: the ID %w", user, err)
		}
	}
	d := &dev{appID: c.AppID, users: c.DevUser}
	d.secret, d.showSecret = devSecret(secret, c.AppSecretFile, "ZIM_APP_SECRET")
	if c.CallbackURL != "" {
		d.callbackSecret, d.showCallbackSecret = devSecret(callbackSecret, c.CallbackSecretFile, "ZIM_CALLBACK_SECRET")
	}
	return d, nil
}

// devSecret returns a secret and how a shell gets it. It makes one up if none was given.
func devSecret(given token.Secret, file, variable string) (secret token.Secret, show string) {
	switch {
	case given == "":
		show = (rand.Text() + rand.Text())[:32]
		return token.Secret(show), show
	case file != "":
		if abs, err := filepath.Abs(file); err == nil {
			file = abs // the other shell may be in another directory
		}
		return given, `"$(cat '` + strings.ReplaceAll(file, "'", `'\''`) + `')"`
	}
	return given, `"$` + variable + `"`
}

// print writes what a client of each user needs, and what an app's server does, as lines for a shell.
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
	b.WriteString("# Or this line to be the app's server, which may do everything. Secrets that were not given are good until zimd ends.\n")
	fmt.Fprintf(&b, "export ZIM_BASE_URL=%s ZIM_APP_ID=%d ZIM_SERVER_SECRET=%s", apiURL, d.appID, d.showSecret)
	if d.callbackSecret != "" {
		fmt.Fprintf(&b, " ZIM_CALLBACK_SECRET=%s", d.showCallbackSecret)
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}
