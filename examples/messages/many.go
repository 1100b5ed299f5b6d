package main

import (
	"context"

	"github.com/zim-go/zim"
)

// groupsAndRooms sends to many at once.
func groupsAndRooms(ctx context.Context, alice, bob *user) error {
	g, err := alice.CreateGroup(ctx, zim.GroupInfo{GroupID: "chess", GroupName: "Chess"}, []string{"bob"}, nil)
	if err != nil {
		return err
	}
	if err := bob.await(ctx, 1); err != nil {
		return err
	}
	all := &zim.MessageSendConfig{IsMentionAll: true}
	if _, err := alice.SendMessage(ctx, &zim.TextMessage{Message: "who plays?"}, zim.Group(g.GroupInfo.BaseInfo.GroupID), all); err != nil {
		return err
	}
	if err := bob.await(ctx, 1); err != nil {
		return err
	}
	if _, err := bob.EnterRoom(ctx, zim.RoomInfo{RoomID: "final", RoomName: "The final"}, nil); err != nil {
		return err
	}
	if _, err := alice.JoinRoom(ctx, "final"); err != nil {
		return err
	}
	if err := bob.await(ctx, 3); err != nil { // connecting, connected, alice joined
		return err
	}
	for _, content := range []zim.Content{&zim.TextMessage{Message: "it begins"}, &zim.BarrageMessage{Message: "wow"}} {
		if _, err := alice.SendMessage(ctx, content, zim.Room("final"), nil); err != nil {
			return err
		}
		if err := bob.await(ctx, 1); err != nil {
			return err
		}
	}
	_, err = alice.LeaveAllRoom(ctx)
	return err
}

// conversations prints each user's list, before and after it was read.
func conversations(ctx context.Context, alice, bob *user) error {
	if err := bob.UpdateConversationPinnedState(ctx, zim.Peer("alice"), true); err != nil {
		return err
	}
	for range 2 {
		for _, u := range []*user{alice, bob} {
			for c, err := range u.Conversations(ctx, zim.ConversationFilterOption{}) {
				if err != nil {
					return err
				}
				u.print("conversation with %s: %d unread, %d mentions, pinned %v, last: %s",
					c.ConversationName, c.UnreadMessageCount, len(c.MentionedInfoList), c.IsPinned, say(c.LastMessage))
			}
		}
		if err := bob.ClearConversationTotalUnreadMessageCount(ctx); err != nil {
			return err
		}
	}
	return nil
}
