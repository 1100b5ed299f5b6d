// Messages goes through every kind of message, what can be done with messages, and the conversation list of two users, and prints
// what each of them sees. It needs nothing: the backend runs in the same process, and is gone when it ends.
//
//	go run ./examples/messages
package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"strings"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "messages:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return withBackend(func(url string, b *backend.Server) error {
		bob, err := login(ctx, url, "bob", w)
		if err != nil {
			return err
		}
		defer bob.Destroy()
		alice, err := login(ctx, url, "alice", w)
		if err != nil {
			return err
		}
		defer alice.Destroy()
		for _, step := range []func(context.Context, *user, *user) error{kinds, operations, groupsAndRooms, conversations} {
			if err := step(ctx, alice, bob); err != nil {
				return err
			}
		}
		kind, data, err := zim.EncodeContent(&zim.TextMessage{Message: "maintenance tonight"})
		if err == nil {
			err = b.Broadcast(appID, backend.Broadcast{Sender: "admin", Type: int32(kind), Content: data})
		}
		if err == nil {
			err = bob.await(ctx, 1)
		}
		return err
	})
}

// kinds sends a message of each kind that a user can get.
func kinds(ctx context.Context, alice, bob *user) error {
	picture := new(bytes.Buffer)
	if err := png.Encode(picture, image.NewGray(image.Rect(0, 0, 640, 480))); err != nil {
		return err
	}
	for _, content := range []zim.Content{
		&zim.TextMessage{Message: "Hello, Bob!"},
		&zim.CommandMessage{Message: []byte("typing")}, // for those who are online: it is not stored
		&zim.CustomMessage{SubType: 7, Message: "e2-e4"},
		&zim.ImageMessage{File: zim.File{Name: "gray.png", Size: int64(picture.Len()), Reader: picture}},
		&zim.FileMessage{File: zim.File{Name: "notes.txt", Size: 5, Reader: strings.NewReader("notes")}},
		&zim.AudioMessage{File: zim.File{Name: "voice.mp3", Size: 5, Reader: strings.NewReader("voice")}, AudioDuration: 3 * time.Second},
		&zim.VideoMessage{File: zim.File{Name: "far.mp4", URL: "https://example.com/far.mp4"}, VideoDuration: time.Minute}, // hosted elsewhere
		&zim.MultipleMessage{MessageInfoList: []zim.Content{
			&zim.TextMessage{Message: "two in one"},
			&zim.FileMessage{File: zim.File{Name: "b.txt", Size: 1, Reader: strings.NewReader("b")}},
		}},
	} {
		config := &zim.MessageSendConfig{Notification: zim.MessageSendNotification{
			OnMediaUploadingProgress: func(_ *zim.Message, current, total int64) {
				if current == total {
					alice.print("onMediaUploadingProgress: %d of %d", current, total)
				}
			},
		}}
		m, err := alice.SendMessage(ctx, content, zim.Peer("bob"), config)
		if err != nil {
			return err
		}
		alice.print("sendMessage: %s", say(m))
		if err := bob.await(ctx, 1); err != nil {
			return err
		}
	}
	return download(ctx, bob)
}

// download gets the thumbnail of the picture in the history.
func download(ctx context.Context, bob *user) error {
	for m, err := range bob.HistoryMessages(ctx, zim.Peer("alice"), zim.MessageOrderDescending) {
		if err != nil {
			return err
		}
		if _, ok := m.Content.(*zim.ImageMessage); !ok {
			continue
		}
		thumbnail := new(bytes.Buffer)
		if err := bob.DownloadMediaFile(ctx, m, zim.MediaFileTypeThumbnail, thumbnail, nil); err != nil {
			return err
		}
		config, format, err := image.DecodeConfig(thumbnail)
		bob.print("downloadMediaFile: %s of %d x %d", format, config.Width, config.Height)
		return err
	}
	return nil
}
