package zim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"time"

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

// A file is uploaded ahead of its message. Ending the context ends the upload.
func ExampleZIM_SendMessage_file() {
	var z *zim.ZIM // from New
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	image := &zim.ImageMessage{File: zim.File{Path: "/var/lib/bot/cat.jpg"}}
	m, err := z.SendMessage(ctx, image, zim.Group("cats"), &zim.MessageSendConfig{
		IsMentionAll: true,
		Notification: zim.MessageSendNotification{
			OnMediaUploadingProgress: func(_ *zim.Message, current, total int64) { log.Printf("%d %%", 100*current/total) },
		},
	})
	if errors.Is(err, zim.ErrMessageFileNotExist) {
		log.Fatal("there is no such cat: ", err)
	} else if err != nil {
		log.Fatal(err)
	}
	sent := m.Content.(*zim.ImageMessage)
	log.Printf("%s, %v, is at %s for a while", sent.Name, sent.OriginalImageSize, sent.URL)
}

// What others sent is downloaded in the size that is wanted.
func ExampleZIM_DownloadMediaFile() {
	var z *zim.ZIM // from New

	zim.On(z, func(ctx context.Context, e *zim.GroupMessageReceived) {
		for _, m := range e.Messages {
			if _, ok := m.Content.(*zim.ImageMessage); !ok {
				continue
			}
			var thumbnail bytes.Buffer
			err := z.DownloadMediaFile(ctx, m, zim.MediaFileTypeThumbnail, &thumbnail, &zim.MediaDownloadConfig{
				OnMediaDownloadingProgress: func(_ *zim.Message, current, total int64) { log.Printf("%d of %d bytes", current, total) },
			})
			if err != nil {
				log.Print(err)
			}
		}
	})
}

// A sequence gets page after page; breaking out of the loop gets no more.
func ExampleZIM_HistoryMessages() {
	var z *zim.ZIM // from New
	ctx := context.Background()

	for m, err := range z.HistoryMessages(ctx, zim.Peer("bob"), zim.MessageOrderDescending) {
		if err != nil {
			log.Print(err)
			return
		}
		if time.Since(m.Time) > 24*time.Hour {
			break
		}
		fmt.Println(m.Sender, m.Content)
	}
}

// Only what is unread, and then nothing is.
func ExampleZIM_Conversations() {
	var z *zim.ZIM // from New
	ctx := context.Background()

	for c, err := range z.Conversations(ctx, zim.ConversationFilterOption{IsOnlyUnreadConversation: true}) {
		if err != nil {
			log.Print(err)
			return
		}
		fmt.Println(c.ConversationName, c.UnreadMessageCount)
	}
	if err := z.ClearConversationTotalUnreadMessageCount(ctx); err != nil {
		log.Print(err)
	}
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
