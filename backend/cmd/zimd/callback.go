package main

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/token"
)

type callbackFlags struct {
	CallbackURL            string   `name:"callback-url" help:"URL of the app's server that is told what happens, by POST requests that are signed with the callback secret." placeholder:"URL" env:"ZIM_CALLBACK_URL" group:"Callbacks"`
	CallbackEvents         []string `help:"The events that it is told of, such as send_msg. Without it, all. With before_send_msg, it is also asked about each message before that is sent." placeholder:"EVENT" env:"ZIM_CALLBACK_EVENTS" group:"Callbacks"`
	CallbackSendUnanswered bool     `help:"Send messages about which the app's server was asked, and did not answer within 5 seconds. Without it, they are refused." env:"ZIM_CALLBACK_SEND_UNANSWERED" group:"Callbacks"`
	CallbackSecretFile     string   `help:"File with the callback secret, 32 bytes; not the app's secret. Without it, it is taken from $$ZIM_CALLBACK_SECRET; --dev makes one up." placeholder:"PATH" env:"ZIM_CALLBACK_SECRET_FILE" group:"Callbacks"`
	CallbackAllowHTTP      bool     `name:"callback-allow-http" help:"Take an http URL: anybody on the way can read and repeat what is sent." env:"ZIM_CALLBACK_ALLOW_HTTP" group:"Callbacks"`
	CallbackAllowPrivate   bool     `help:"Take a URL of this machine or its network, http included. --dev does, too." env:"ZIM_CALLBACK_ALLOW_PRIVATE" group:"Callbacks"`
}

// callbacks returns what tells the app's server what happens, or nil if nobody is told. url is the one of the Server API, and appSecret the app's secret.
func (c *serveCmd) callbacks(st *store.Store, url string, appSecret, secret token.Secret, log *slog.Logger) (*webhook.Sender, error) {
	switch {
	case c.CallbackURL == "" && len(c.CallbackEvents) == 0:
		return nil, nil
	case c.CallbackURL == "":
		return nil, errors.New("--callback-events needs --callback-url: who is to be told?")
	case secret == "":
		return nil, errors.New("--callback-url needs the callback secret: set $ZIM_CALLBACK_SECRET or --callback-secret-file")
	case hmac.Equal([]byte(appSecret), []byte(secret)):
		return nil, errors.New("the callback secret is the app's secret: who receives callbacks could do everything")
	}
	return webhook.New(webhook.Config{
		Store: st, Apps: []webhook.App{{ID: c.AppID, Secret: secret, URLs: webhook.To(c.CallbackURL, c.CallbackEvents...)}},
		SendUnanswered: c.CallbackSendUnanswered, AllowHTTP: c.CallbackAllowHTTP, AllowPrivate: c.CallbackAllowPrivate || c.Dev, FileURL: url + "v1/", Logger: log,
	})
}

type replayCmd struct {
	DB    string `name:"db" help:"The database." required:"" placeholder:"PATH" env:"ZIM_DB"`
	AppID uint32 `name:"app-id" help:"The app whose callbacks are meant. Without it, all." placeholder:"N"`
}

func (c *replayCmd) run(stdout io.Writer) error {
	if _, err := os.Stat(c.DB); err != nil { // which is not to be made
		return fmt.Errorf("--db: %w", err)
	}
	st, err := store.Open(c.DB, store.Options{})
	if err != nil {
		return err
	}
	n, err := st.ReviveCallbacks(c.AppID)
	if err := errors.Join(err, st.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d callbacks will be sent again when zimd serve starts\n", n)
	return err
}
