// Floor is what a client of any kind has in it that speaks protobuf over WebSocket: what is above it is the SDK's own.
package main

import (
	"context"
	"log"
	"os"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/wire"
)

func main() {
	ctx := context.Background()
	c, _, err := websocket.Dial(ctx, os.Getenv("ZIM_URL"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseNow()
	_, b, err := c.Read(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var f wire.Frame
	if err := proto.Unmarshal(b, &f); err != nil {
		log.Fatal(err)
	}
	log.Print(f.Id)
}
