// Minimal is the least program that sends a message: its size is what the SDK costs.
package main

import (
	"context"
	"log"
	"os"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/websocket"
)

func main() {
	z, err := zim.New(zim.AppConfig{AppID: 1, Transport: websocket.Dialer{URL: os.Getenv("ZIM_URL")}})
	if err != nil {
		log.Fatal(err)
	}
	defer z.Destroy()
	ctx := context.Background()
	if err := z.Login(ctx, "alice", &zim.LoginConfig{Token: os.Getenv("ZIM_TOKEN")}); err != nil {
		log.Fatal(err)
	}
	if _, err := z.SendMessage(ctx, &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), nil); err != nil {
		log.Fatal(err)
	}
}
