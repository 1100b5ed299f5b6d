// Echobot is a user who answers every text message with the same text.
//
//	ZIM_TOKEN=… go run ./examples/echobot
//
// ZIM_URL, ZIM_APP_ID and ZIM_USER say where and who it is. What they are by default, and the token, is what
// zimd serve --dev prints.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/websocket"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal("echobot: ", err)
	}
}

func run(ctx context.Context) error {
	user := cmp.Or(os.Getenv("ZIM_USER"), "bob")
	appID, err := strconv.ParseUint(cmp.Or(os.Getenv("ZIM_APP_ID"), "1"), 10, 32)
	if err != nil {
		return fmt.Errorf("ZIM_APP_ID: %w", err)
	}
	z, err := zim.New(zim.AppConfig{
		AppID:     uint32(appID),
		Transport: websocket.Dialer{URL: cmp.Or(os.Getenv("ZIM_URL"), "ws://127.0.0.1:8080/v1")},
	})
	if err != nil {
		return err
	}
	defer z.Destroy()

	ended := make(chan zim.ConnectionEvent, 1)
	zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
		log.Printf("%v (%v)", e.State, e.Event)
		if e.State == zim.ConnectionStateDisconnected {
			ended <- e.Event
		}
	})
	zim.On(z, func(_ context.Context, e *zim.TokenWillExpire) {
		// A bot in earnest gets a new token from its app server here, and calls z.RenewToken.
		log.Printf("the token expires in %v: start again with a new one", e.Remaining)
	})
	zim.On(z, func(ctx context.Context, e *zim.PeerMessageReceived) {
		for _, m := range e.Messages {
			if err := echo(ctx, z, m); err != nil {
				log.Printf("no echo for %s: %v", m.Sender, err)
			}
		}
	})

	if err := z.Login(ctx, user, &zim.LoginConfig{Token: os.Getenv("ZIM_TOKEN")}); err != nil {
		return err
	}
	log.Printf("%s answers text messages, until you press Ctrl-C", user)
	select {
	case event := <-ended: // the SDK reconnects by itself, so that this is final
		return fmt.Errorf("the session ended: %v", event)
	case <-ctx.Done():
	}
	// ctx is over, and a logout takes a moment.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return z.Logout(ctx, nil)
}

// mark is in the extended data of echoes, so that two bots don't answer each other for ever.
const mark = "echo"

func echo(ctx context.Context, z *zim.ZIM, m *zim.Message) error {
	text, ok := m.Content.(*zim.TextMessage)
	if !ok || m.ExtendedData == mark || m.Direction != zim.MessageDirectionReceive {
		return nil
	}
	log.Printf("%s: %s", m.Sender, text.Message)
	for {
		_, err := z.SendMessage(ctx, text, zim.Peer(m.Sender), &zim.MessageSendConfig{ExtendedData: mark})
		e, ok := errors.AsType[*zim.Error](err)
		if !ok || e.Code != zim.ErrCommonTriggerSDKFrequencyLimit {
			return err
		}
		// Handlers may take their time: what comes meanwhile waits.
		select {
		case <-time.After(e.RetryAfter):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
