package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/cloud"
	"github.com/zim-go/zim/transport/websocket"
)

const (
	appID          = 1
	serverSecret   = token.Secret("a secret of 32 bytes, for trials")
	callbackSecret = token.Secret("another one, for the callbacks..")
)

// demo runs the bot on a backend of its own, with one user.
func demo(ctx context.Context) (err error) {
	var receiver, service net.Listener
	for _, ln := range []*net.Listener{&receiver, &service} {
		if *ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		defer (*ln).Close()
	}
	s := &cloud.Service{
		AppID: appID, ServerSecret: serverSecret, CallbackSecret: callbackSecret,
		BaseURL: "http://" + service.Addr().String(),
	}
	web := &http.Server{Handler: callbacks(s), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(receiver) }()
	defer func() {
		web.Close()
		<-served
	}()
	return withBackend(service, "http://"+receiver.Addr().String()+callbackPath, func() error {
		return run(ctx, s, func() error { return talk(ctx, "ws://"+service.Addr().String()+"/v1") })
	})
}

// talk is what the user says to the bot.
func talk(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	alice, err := zim.New(zim.AppConfig{AppID: appID, Transport: websocket.Dialer{URL: url}})
	if err != nil {
		return err
	}
	defer alice.Destroy()
	answers := make(chan string, 1)
	zim.On(alice, func(_ context.Context, e *zim.PeerMessageReceived) {
		for _, m := range e.Messages {
			answers <- m.Content.(*zim.TextMessage).Message
		}
	})
	tok, err := token.Issue04(appID, "alice", serverSecret, time.Hour, nil)
	if err != nil {
		return err
	}
	if err := alice.Login(ctx, "alice", &zim.LoginConfig{Token: tok}); err != nil {
		return err
	}
	for _, content := range []zim.Content{
		&zim.TextMessage{Message: "Hello!"},
		&zim.ImageMessage{File: zim.File{URL: "https://example.com/cat.jpg", Name: "cat.jpg"}},
		&zim.CustomMessage{Message: "e2-e4", SubType: 1},
	} {
		if _, err := alice.SendMessage(ctx, content, zim.Peer(bot), nil); err != nil {
			return err
		}
		select {
		case answer := <-answers:
			fmt.Printf("alice sent a message (%v), and the bot answered: %s\n", content.Type(), answer)
		case <-ctx.Done():
			return fmt.Errorf("the bot did not answer: %w", ctx.Err())
		}
	}
	return alice.Logout(ctx, nil)
}
