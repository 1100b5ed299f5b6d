package zim_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/websocket"
)

// The documented life cycle, as a bot lives it.
func Example() {
	ctx := context.Background()
	z, err := zim.New(zim.AppConfig{
		AppID:     1234567890,
		Transport: websocket.Dialer{URL: "wss://im.example.com/v1"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer z.Destroy()

	zim.On(z, func(ctx context.Context, e *zim.PeerMessageReceived) {
		for _, m := range e.Messages {
			text, ok := m.Content.(*zim.TextMessage)
			if !ok {
				continue
			}
			if _, err := z.SendMessage(ctx, &zim.TextMessage{Message: "You said: " + text.Message}, m.Conversation, nil); err != nil {
				log.Print(err)
			}
		}
	})
	if err := z.Login(ctx, "bot", &zim.LoginConfig{Token: fetchToken()}); err != nil {
		log.Fatal(err)
	}
	// …
	if err := z.Logout(ctx, nil); err != nil {
		log.Print(err)
	}
}

func fetchToken() string { return "" }

// A new token before the old one expires keeps the session going.
func ExampleOn() {
	var z *zim.ZIM // from New

	zim.On(z, func(ctx context.Context, e *zim.TokenWillExpire) {
		if err := z.RenewToken(ctx, fetchToken()); err != nil {
			log.Print(err)
		}
	})
	zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
		log.Printf("%v because of %v", e.State, e.Event)
	})
	// Whatever has no handler of its own.
	zim.On(z, func(_ context.Context, e zim.Event) {
		log.Printf("%T", e)
	})
}

// A send whose outcome is unknown is settled by sending the same message again.
func ExampleZIM_SendMessage() {
	var z *zim.ZIM // from New
	ctx := context.Background()

	m, err := z.SendMessage(ctx, &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), &zim.MessageSendConfig{
		Priority: zim.MessagePriorityHigh,
		Notification: zim.MessageSendNotification{
			OnMessageAttached: func(m *zim.Message) { log.Printf("%s is on its way", m.LocalID) },
		},
	})
	if errors.Is(err, zim.ErrOutcomeUnknown) {
		m, err = z.SendMessage(ctx, m.Content, m.Conversation, &zim.MessageSendConfig{Retry: m})
	}
	if err != nil {
		log.Print(err)
		return
	}
	log.Printf("message %s is number %d", m.ID, m.Seq)
}

// Errors carry the documented code, and a cause to act on.
func ExampleError() {
	_, err := zim.New(zim.AppConfig{AppID: 1})
	fmt.Println(err)
	fmt.Println(errors.Is(err, zim.ErrCommonParamsInvalid), zim.CodeOf(err) == zim.ErrCommonParamsInvalid)
	// Output:
	// zim: New: a parameter is invalid (6000001): Transport is nil
	// true true
}
