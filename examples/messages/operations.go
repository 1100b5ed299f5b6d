package main

import (
	"context"

	"github.com/zim-go/zim"
)

// operations does with messages what can be done.
func operations(ctx context.Context, alice, bob *user) error {
	m, err := alice.SendMessage(ctx, &zim.TextMessage{Message: "lunch at noon?"}, zim.Peer("bob"), &zim.MessageSendConfig{HasReceipt: true})
	if err != nil {
		return err
	}
	if err := bob.await(ctx, 1); err != nil {
		return err
	}
	page, err := bob.QueryHistoryMessage(ctx, zim.Peer("alice"), zim.MessageQueryConfig{Count: 1, Reverse: true})
	if err != nil {
		return err
	}
	got := page[0]
	for _, step := range []struct {
		who, sees *user
		what      string
		do        func() error
	}{
		{bob, alice, "sendMessageReceiptsRead", func() error {
			_, err := bob.SendMessageReceiptsRead(ctx, zim.Peer("alice"), []*zim.Message{got})
			return err
		}},
		{bob, alice, "addMessageReaction", func() error {
			_, err := bob.AddMessageReaction(ctx, "👍", got, nil)
			return err
		}},
		{bob, alice, "pinMessage", func() error { return bob.PinMessage(ctx, got, true, nil) }},
		{bob, alice, "replyMessage", func() error {
			_, err := bob.ReplyMessage(ctx, &zim.TextMessage{Message: "yes"}, got, nil)
			return err
		}},
		{alice, bob, "editMessage", func() error {
			_, err := alice.EditMessage(ctx, m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: "lunch at one?"}})
			return err
		}},
		{alice, bob, "revokeMessage", func() error {
			_, err := alice.RevokeMessage(ctx, m, nil)
			return err
		}},
	} {
		step.who.print("%s", step.what)
		if err := step.do(); err != nil {
			return err
		}
		if err := drain(ctx, step.sees, step.what); err != nil {
			return err
		}
	}
	return combine(ctx, alice, bob)
}

// drain prints what a user sees of an operation. Some tell of more than one thing.
func drain(ctx context.Context, u *user, what string) error {
	n := map[string]int{"replyMessage": 2, "editMessage": 4, "revokeMessage": 2}[what]
	return u.await(ctx, max(n, 1))
}

// combine forwards two messages as one.
func combine(ctx context.Context, alice, bob *user) error {
	list, err := alice.QueryMessages(ctx, zim.Peer("bob"), []int64{1, 2})
	if err != nil {
		return err
	}
	m, err := alice.SendMessage(ctx, &zim.CombineMessage{Title: "the beginning", Summary: "hello and a move", MessageList: list}, zim.Peer("bob"), nil)
	if err != nil {
		return err
	}
	if err := bob.await(ctx, 1); err != nil {
		return err
	}
	full, err := alice.QueryCombineMessageDetail(ctx, m)
	if err != nil {
		return err
	}
	alice.print("queryCombineMessageDetail: %s", say(full.Content.(*zim.CombineMessage).MessageList...))
	return nil
}
