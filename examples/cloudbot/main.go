// Cloudbot answers text messages and images, over the Server API and the callbacks that the real ZIM service has.
//
//	go run ./examples/cloudbot
//
// starts a backend that has the same, sends the bot a few messages, and ends. With ZIM_SERVER_SECRET, it is a bot on the real service, until SIGINT:
//
//	ZIM_APP_ID           the app's ID, a number
//	ZIM_SERVER_SECRET    signs what the bot asks for
//	ZIM_CALLBACK_SECRET  the other secret, with which the service signs what it tells
//	ZIM_REGION           sha, hkg, fra, lax, bom or sgp: the nearest to this machine. Empty: the service chooses
//	ZIM_BASE_URL         another service that has the same API, such as zimd. Empty: the real one
//	ZIM_CALLBACK_DIR     keeps what callbacks told until it was handled, over a restart. Empty: a restart forgets it
//	ZIM_LISTEN           where callbacks are taken, at the path /zim/callback. Empty: 127.0.0.1:8443
//
// Callbacks come in plain HTTP: what the service reaches must speak TLS, and hand them on.
//
// Zimd serve --dev prints a line that sets those that are needed:
//
//	go run ./backend/cmd/zimd serve --dev --callback-url http://127.0.0.1:8443/zim/callback
//	go run ./examples/cloudbot                        # in a second shell, after that line
//	go run ./examples/say -to @RBT#helper hello       # in a third one, after alice's line
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/cloud"
)

const bot = "@RBT#helper"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := error(nil)
	if os.Getenv("ZIM_SERVER_SECRET") == "" {
		err = demo(ctx)
	} else {
		err = production(ctx)
	}
	if err != nil {
		log.Fatal("cloudbot: ", err)
	}
}

// callbackPath is where callbacks are taken. On the internet, it is better one that nobody guesses.
const callbackPath = "/zim/callback"

// production runs the bot until ctx ends.
func production(ctx context.Context) error {
	appID, err := strconv.ParseUint(os.Getenv("ZIM_APP_ID"), 10, 32)
	switch {
	case err != nil || appID == 0:
		return fmt.Errorf("ZIM_APP_ID must be the app's ID, a number, and is %q", os.Getenv("ZIM_APP_ID"))
	case os.Getenv("ZIM_CALLBACK_SECRET") == "":
		return errors.New("ZIM_CALLBACK_SECRET is not set: without it, the bot hears nothing")
	}
	service := &cloud.Service{
		AppID:          uint32(appID),
		ServerSecret:   token.Secret(os.Getenv("ZIM_SERVER_SECRET")),
		CallbackSecret: token.Secret(os.Getenv("ZIM_CALLBACK_SECRET")),
		Region:         cloud.Region(os.Getenv("ZIM_REGION")),
		BaseURL:        os.Getenv("ZIM_BASE_URL"),
		Dir:            os.Getenv("ZIM_CALLBACK_DIR"),
		Logger:         slog.Default(),
	}
	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("ZIM_LISTEN"), "127.0.0.1:8443"))
	if err != nil {
		return fmt.Errorf("ZIM_LISTEN: %w", err)
	}
	web := &http.Server{Handler: callbacks(service), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	shutdown := func(what interface{ Shutdown(context.Context) error }) error {
		// A connection on which nothing has come yet is waited for, for 5 seconds.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return what.Shutdown(ctx)
	}
	serving := false
	err = run(ctx, service, func() error {
		// Only now: what is for a bot that has not logged in is taken, and dropped.
		serving = true
		go func() { served <- web.Serve(ln) }()
		log.Printf("%s is logged in, and takes callbacks at http://%s%s", bot, ln.Addr(), callbackPath)
		select {
		case err := <-served:
			served <- err
			return err
		case <-ctx.Done():
		}
		return shutdown(web)
	})
	web.Close()
	ln.Close()
	if serving {
		<-served
	}
	return errors.Join(err, shutdown(service)) // last, so that the bot's Logout still counts
}

func callbacks(service *cloud.Service) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+callbackPath, service)
	return mux
}

// run is the bot, for as long as during takes. It is the same wherever the service is.
func run(ctx context.Context, service *cloud.Service, during func() error) error {
	z, err := zim.New(zim.AppConfig{AppID: service.AppID, Transport: service})
	if err != nil {
		return err
	}
	defer z.Destroy()
	zim.On(z, func(ctx context.Context, e *zim.PeerMessageReceived) {
		for _, m := range e.Messages {
			if err := answer(ctx, z, m); err != nil {
				log.Printf("no answer for %s: %v", m.Sender, err)
			}
		}
	})
	zim.On(z, func(_ context.Context, e *zim.Error) { log.Print(e) })
	if err := z.Login(ctx, bot, &zim.LoginConfig{Token: "-", UserName: "Helper"}); err != nil {
		return err
	}
	// What it has handled is told by the Logout.
	return errors.Join(during(), z.Logout(context.WithoutCancel(ctx), nil))
}

// answer is what the bot has to say.
func answer(ctx context.Context, z *zim.ZIM, m *zim.Message) error {
	var reply string
	switch c := m.Content.(type) {
	case *zim.TextMessage:
		reply = "You said: " + c.Message
	case *zim.ImageMessage:
		reply = fmt.Sprintf("A fine picture, %s.", c.Name)
	default:
		reply = "I read text and look at images."
	}
	sent, err := z.SendMessage(ctx, &zim.TextMessage{Message: reply}, zim.Peer(m.Sender), nil)
	if errors.Is(err, zim.ErrOutcomeUnknown) && sent != nil {
		// The service would not know it again: a retry looks for it before it sends it.
		_, err = z.SendMessage(ctx, nil, zim.Peer(m.Sender), &zim.MessageSendConfig{Retry: sent})
	}
	return err
}
