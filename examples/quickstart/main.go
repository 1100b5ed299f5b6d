// Quickstart takes two users through the documented life cycle: create, on, login, sendMessage, peerMessageReceived,
// logout, destroy. It needs nothing: the backend runs in the same process, and is gone when it ends.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return withBackend(func(url string) error { return chat(ctx, url, w) })
}

func chat(ctx context.Context, url string, w io.Writer) error {
	config := zim.AppConfig{AppID: appID, Transport: websocket.Dialer{URL: url}}

	// Create is the documented way, for programs that act for one user: from then on zim.GetInstance returns its ZIM, and a
	// second Create fails. In programs that act for more, the others get theirs from New.
	az, err := zim.Create(config)
	if err != nil {
		return err
	}
	defer az.Destroy()
	bz, err := zim.New(config)
	if err != nil {
		return err
	}
	defer bz.Destroy()
	alice, bob := listen(az, "alice", w), listen(bz, "bob", w)

	// Bob first: a message to somebody whom the service has never seen is refused.
	for _, u := range []*user{bob, alice} {
		// In earnest, an app server that knows who the user is makes the token.
		tok, err := token.Issue04(appID, u.name, secret, time.Hour, nil)
		if err != nil {
			return err
		}
		u.print("login")
		if err := u.Login(ctx, u.name, &zim.LoginConfig{Token: tok}); err != nil {
			return err
		}
		if err := u.await(ctx, 2); err != nil { // connecting, connected
			return err
		}
	}

	for _, content := range []zim.Content{
		&zim.TextMessage{Message: "Hello, Bob!"},
		&zim.CommandMessage{Message: []byte("typing")},   // for those who are online: it is not stored
		&zim.CustomMessage{SubType: 7, Message: "e2-e4"}, // a kind of the app's own: a move, say
	} {
		sent, err := alice.SendMessage(ctx, content, zim.Peer("bob"), &zim.MessageSendConfig{
			Priority: zim.MessagePriorityHigh,
			Notification: zim.MessageSendNotification{
				OnMessageAttached: func(m *zim.Message) { alice.print("onMessageAttached: " + describe(m)) },
			},
		})
		if err != nil {
			return err
		}
		alice.print("sendMessage: " + describe(sent))
		if err := bob.await(ctx, 1); err != nil {
			return err
		}
	}

	for _, u := range []*user{alice, bob} {
		u.print("logout")
		if err := u.Logout(ctx, nil); err != nil {
			return err
		}
		if err := u.await(ctx, 1); err != nil { // disconnected
			return err
		}
		u.Destroy()
		u.print("destroy")
	}
	return nil
}
