// Say sends a text message to a user and prints the answer: the other half of examples/echobot.
//
//	ZIM_TOKEN=… go run ./examples/say -to bob hello
//
// ZIM_URL, ZIM_APP_ID and ZIM_USER say where and who it is. What they are by default, and the token, is what
// zimd serve --dev prints.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/websocket"
)

func main() {
	to := flag.String("to", "bob", "who is to get the message")
	wait := flag.Duration("wait", 10*time.Second, "how long to wait for the answer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *to, strings.Join(flag.Args(), " "), *wait); err != nil {
		fmt.Fprintln(os.Stderr, "say:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, to, text string, wait time.Duration) error {
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

	received := make(chan *zim.Message)
	zim.On(z, func(ctx context.Context, e *zim.PeerMessageReceived) {
		for _, m := range e.Messages {
			select {
			case received <- m:
			case <-ctx.Done(): // z is destroyed: nobody waits any more
			}
		}
	})
	user := cmp.Or(os.Getenv("ZIM_USER"), "alice")
	if err := z.Login(ctx, user, &zim.LoginConfig{Token: os.Getenv("ZIM_TOKEN")}); err != nil {
		return err
	}
	sent, err := z.SendMessage(ctx, &zim.TextMessage{Message: text}, zim.Peer(to), nil)
	if err != nil {
		return err
	}
	late := time.After(wait)
	for {
		select {
		case m := <-received:
			// Before the answer may come what was sent while nobody was logged in here. Both sides of a conversation count
			// its messages together, so that an answer has a higher number.
			if answer, ok := m.Content.(*zim.TextMessage); ok && m.Sender == to && m.Seq > sent.Seq {
				fmt.Printf("%s: %s\n", m.Sender, answer.Message)
				return z.Logout(ctx, nil)
			}
		case <-late:
			return fmt.Errorf("no answer from %s within %v", to, wait)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
