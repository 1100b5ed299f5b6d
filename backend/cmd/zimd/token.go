package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/token"
)

type tokenCmd struct {
	appFlags
	User string        `help:"Who logs in with the token." placeholder:"ID" required:""`
	TTL  time.Duration `name:"ttl" help:"How long the token is good." default:"24h"`
	CBC  bool          `name:"cbc" help:"Make the older form, for what does not know AES-GCM. It is less safe."`
}

func (c *tokenCmd) run(stdout io.Writer) error {
	secret, err := c.secret()
	if err != nil {
		return err
	}
	if c.AppID == 0 {
		return errors.New("which app? Set --app-id")
	}
	if secret == "" {
		return errors.New("tokens are made with the app's secret: set $ZIM_APP_SECRET or --app-secret-file")
	}
	// Package token takes more, for other services. Here nobody could log in with it.
	if err := ident.CheckUserID(c.User); err != nil {
		return fmt.Errorf("--user: the ID %w", err)
	}
	tok, err := token.Issue04(c.AppID, c.User, secret, c.TTL, &token.Options04{CBC: c.CBC})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, tok)
	return err
}
