package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

// A user prints what it does, and what it sees.
type user struct {
	*zim.ZIM
	name   string
	w      io.Writer
	events chan string
}

func login(ctx context.Context, url, name string, w io.Writer) (*user, error) {
	// It sends more in a second than a program in earnest may.
	z, err := zim.New(zim.AppConfig{AppID: appID, Transport: websocket.Dialer{URL: url}, Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		return nil, err
	}
	u := &user{ZIM: z, name: name, w: w, events: make(chan string, 256)}
	saw := func(format string, args ...any) { u.events <- fmt.Sprintf(format, args...) }
	zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
		saw("peerMessageReceived: %s", say(e.Messages...))
	})
	zim.On(z, func(_ context.Context, e *zim.GroupMessageReceived) {
		saw("groupMessageReceived: %s", say(e.Messages...))
	})
	zim.On(z, func(_ context.Context, e *zim.RoomMessageReceived) {
		saw("roomMessageReceived: %s", say(e.Messages...))
	})
	zim.On(z, func(_ context.Context, e *zim.BroadcastMessageReceived) {
		saw("broadcastMessageReceived: %s", say(e.Message))
	})
	zim.On(z, func(_ context.Context, e *zim.MessageEdited) { saw("messageEdited: %s", say(e.MessageList...)) })
	zim.On(z, func(_ context.Context, e *zim.MessageRevokeReceived) {
		saw("messageRevokeReceived: %s", say(e.MessageList...))
	})
	zim.On(z, func(_ context.Context, e *zim.MessageReceiptChanged) {
		saw("messageReceiptChanged: %v", e.Infos[0].Status)
	})
	zim.On(z, func(_ context.Context, e *zim.MessageRepliedCountChanged) {
		saw("messageRepliedCountChanged: %d", e.Infos[0].Count)
	})
	zim.On(z, func(_ context.Context, e *zim.MessageReactionsChanged) {
		saw("messageReactionsChanged: %s, %d users", e.Reactions[0].ReactionType, e.Reactions[0].TotalCount)
	})
	zim.On(z, func(_ context.Context, e *zim.MessagePinStatusChanged) {
		saw("messagePinStatusChanged: %v: %s", e.Infos[0].PinStatus, say(e.Infos[0].Message))
	})
	zim.On(z, func(_ context.Context, e *zim.GroupStateChanged) {
		saw("groupStateChanged: %v %s, %v", e.State, e.GroupInfo.BaseInfo.GroupName, e.Event)
	})
	zim.On(z, func(_ context.Context, e *zim.RoomStateChanged) {
		saw("roomStateChanged: %v %s, %v", e.State, e.RoomID, e.Event)
	})
	zim.On(z, func(_ context.Context, e *zim.RoomMemberJoined) { saw("roomMemberJoined: %s", e.MemberList[0].UserID) })
	tok, err := token.Issue04(appID, name, secret, time.Hour, nil)
	if err == nil {
		err = z.Login(ctx, name, &zim.LoginConfig{Token: tok, UserName: strings.ToUpper(name[:1]) + name[1:]})
	}
	if err != nil {
		z.Destroy()
		return nil, err
	}
	return u, nil
}

// await prints the next n things that the user sees. They are kept until then, so that every run prints the same.
func (u *user) await(ctx context.Context, n int) error {
	for range n {
		select {
		case e := <-u.events:
			u.print("%s", e)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", u.name, ctx.Err())
		}
	}
	return nil
}

func (u *user) print(format string, args ...any) {
	fmt.Fprintf(u.w, "%-6s %s\n", u.name, fmt.Sprintf(format, args...))
}
