package main

import (
	"context"
	"fmt"
	"io"

	"github.com/zim-go/zim"
)

// A user prints what it does and what happens to it. Handlers run on a goroutine of their own, so that what happens is kept
// until it is awaited: then every run prints the same.
type user struct {
	*zim.ZIM
	name   string
	w      io.Writer
	events chan string
}

// listen sets the handlers, ahead of the login, so that they miss nothing.
func listen(z *zim.ZIM, name string, w io.Writer) *user {
	u := &user{ZIM: z, name: name, w: w, events: make(chan string, 16)}
	u.print("create")
	zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) {
		u.events <- fmt.Sprintf("connectionStateChanged: %v, %v", e.State, e.Event)
	})
	zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
		for _, m := range e.Messages {
			u.events <- fmt.Sprintf("peerMessageReceived: %s from %s", describe(m), m.Sender)
		}
	})
	zim.On(z, func(_ context.Context, e *zim.Error) { u.events <- e.Error() })
	u.print("on: connectionStateChanged, peerMessageReceived, error")
	return u
}

// await prints the next n things that happened.
func (u *user) await(ctx context.Context, n int) error {
	for range n {
		select {
		case e := <-u.events:
			u.print(e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (u *user) print(what string) { fmt.Fprintf(u.w, "%-6s %s\n", u.name, what) }

func describe(m *zim.Message) string {
	var what string
	switch c := m.Content.(type) {
	case *zim.TextMessage:
		what = c.Message
	case *zim.CommandMessage:
		what = string(c.Message)
	case *zim.CustomMessage:
		what = c.Message
	default: // a kind that is newer than this program
		what = "?"
	}
	if m.Seq == 0 { // not stored, or not yet
		return fmt.Sprintf("%v %q (%v)", m.Content.Type(), what, m.SentStatus)
	}
	return fmt.Sprintf("%v %q (%v, seq %d)", m.Content.Type(), what, m.SentStatus, m.Seq)
}
