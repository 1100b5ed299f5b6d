package e2e_test

import (
	"fmt"
	"slices"
	"testing/synctest"

	"github.com/zim-go/zim"
)

// chosen returns the device that does a step, or nil if none can.
func (w *world) chosen(s *step) *modelDevice {
	for i := range w.devices {
		d := w.devices[(s.device+i)%len(w.devices)]
		if d.online != (s.act == "come back") || s.act == "restart" {
			return d
		}
	}
	return nil
}

// do has a device do a step, and the model, too. It reports false if there is nothing to do.
func (w *world) do(s *step, d *modelDevice) bool {
	switch s.act {
	case "restart":
		w.srv.Restart()
		w.settle()
		return true
	case "come back":
		w.comeBack(d)
		return true
	case "lose connection":
		d.online = false
		d.gate.down.Store(true)
		w.srv.Cut(d.user)
		w.settle()
		return true
	case "log out":
		d.online = false
		w.must(d.Logout(w.t.Context(), nil))
		return true
	case "crash":
		// What the program was about to be told would be lost with it.
		synctest.Wait()
		d.online, d.anew = false, true
		d.Destroy()
		w.begin(d)
		return true
	}
	c := w.model.peer
	if s.group || d.user == "carol" {
		c = w.model.group
	}
	switch s.act {
	case "leave or join", "kick or invite":
		return w.changeMembers(s, d)
	case "send", "revoke", "edit", "delete message", "read messages":
		return w.doMessage(s, d, c)
	}
	return w.doConversation(s, d, c)
}

// changeMembers changes who is in the group. Its owner, carol, stays, and does it to the one who is not asked.
func (w *world) changeMembers(s *step, d *modelDevice) bool {
	c, ctx, user, owner := w.model.group, w.t.Context(), d.user, w.devices[3]
	asked := s.act == "leave or join"
	if user == "carol" || !asked && !owner.online {
		return false
	}
	var err error
	switch in := c.sides[user].in; {
	case in && asked:
		err = d.LeaveGroup(ctx, "group")
	case in:
		_, err = owner.KickGroupMembers(ctx, []string{user}, "group")
	case asked:
		_, err = d.JoinGroup(ctx, "group")
	default:
		_, err = owner.InviteUsersIntoGroup(ctx, []string{user}, "group")
	}
	w.must(err)
	if c.sides[user].in {
		c.leave(user)
	} else {
		c.enter(user)
	}
	return true
}

func (w *world) doMessage(s *step, d *modelDevice, c *modelChat) bool {
	ctx, user, ref, side := w.t.Context(), d.user, c.ref(d.user), c.sides[d.user]
	if !side.in && s.act != "delete message" {
		return false
	}
	if s.act == "send" {
		w.sent++
		text := fmt.Sprint("text ", w.sent)
		m, err := d.SendMessage(ctx, &zim.TextMessage{Message: text}, ref, &s.config)
		w.must(err)
		w.equal(d, "number of the message", fmt.Sprint(m.Seq), fmt.Sprint(c.send(user, text, &s.config).seq))
		return true
	}
	list := slices.DeleteFunc(c.having(user), func(msg *modelMessage) bool {
		switch s.act {
		case "revoke":
			return msg.revoked || msg.sender != user && (user != "carol" || !c.group)
		case "edit":
			return msg.revoked || msg.sender != user
		}
		return false
	})
	if len(list) == 0 {
		return false
	}
	pick := s.pick % len(list)
	msg := list[pick]
	m := &zim.Message{Conversation: ref, Seq: msg.seq, SentStatus: zim.MessageSentStatusSuccess, Content: &zim.TextMessage{Message: msg.text}}
	switch s.act {
	case "revoke":
		_, err := d.RevokeMessage(ctx, m, nil)
		w.must(err)
		msg.revoke()
	case "edit":
		msg.text += "'"
		msg.mentions = mentionsOf(s.config.MentionedUserIDs, s.config.IsMentionAll)
		_, err := d.EditMessage(ctx, m, zim.MessageEditConfig{
			Content: &zim.TextMessage{Message: msg.text}, MentionedUserIDs: s.config.MentionedUserIDs, IsMentionAll: s.config.IsMentionAll,
		})
		w.must(err)
	case "delete message":
		w.must(d.DeleteMessages(ctx, ref, []*zim.Message{m}, nil))
		delete(side.has, msg.seq)
	case "read messages":
		// This one and the one before it.
		chosen, messages := list[pick:min(pick+2, len(list))], []*zim.Message(nil)
		var read []*modelMessage
		for _, msg := range chosen {
			messages = append(messages, &zim.Message{Conversation: ref, Seq: msg.seq})
			if msg.receipt && msg.sender != user {
				read = append(read, msg)
			}
		}
		failed, err := d.SendMessageReceiptsRead(ctx, ref, messages)
		if len(read) == 0 {
			w.refused(err, zim.ErrMessageReceiptReadError)
			return true
		}
		w.must(err)
		w.equal(d, "messages without receipts", fmt.Sprint(len(failed)), fmt.Sprint(len(chosen)-len(read)))
		for _, msg := range read {
			if !msg.readers[user] {
				msg.readers[user] = true
				msg.told = receiptView(c.receipt(msg, msg.sender))
			}
		}
	}
	return true
}

func (w *world) doConversation(s *step, d *modelDevice, c *modelChat) bool {
	ctx, user, ref, side := w.t.Context(), d.user, c.ref(d.user), c.sides[d.user]
	// listed does something with the conversation if it is in the user's list.
	listed := func(err error, change func()) {
		if !side.listed {
			w.refused(err, zim.ErrConversationConversationDoesNotExist)
			return
		}
		w.must(err)
		change()
	}
	// each does something with all conversations of the user.
	each := func(err error, change func(side *modelSide)) {
		w.must(err)
		for _, c := range w.model.chats(user) {
			change(c.sides[user])
		}
	}
	switch s.act {
	case "clear":
		listed(d.ClearConversationUnreadMessageCount(ctx, ref), side.readAll)
	case "clear all":
		each(d.ClearConversationTotalUnreadMessageCount(ctx), (*modelSide).readAll)
	case "delete messages":
		w.must(d.DeleteAllMessage(ctx, ref, nil))
		clear(side.has)
	case "delete all messages":
		each(d.DeleteAllConversationMessages(ctx, nil), func(side *modelSide) { clear(side.has) })
	case "delete conversation":
		listed(d.DeleteConversation(ctx, ref, nil), func() {
			side.readAll()
			side.listed = false
		})
	case "delete all conversations":
		each(d.DeleteAllConversations(ctx, nil), func(side *modelSide) {
			side.readAll()
			side.listed = false
		})
	case "mute":
		listed(d.SetConversationNotificationStatus(ctx, ref, zim.ConversationNotificationStatusDoNotDisturb), func() { side.muted = true })
	case "unmute":
		listed(d.SetConversationNotificationStatus(ctx, ref, zim.ConversationNotificationStatusNotify), func() { side.muted = false })
	case "read conversation":
		if c.group {
			return false
		}
		err := d.SendConversationMessageReceiptRead(ctx, ref)
		if len(c.messages) == 0 {
			w.refused(err, zim.ErrConversationConversationDoesNotExist)
			return true
		}
		w.must(err)
		side.saidRead = int64(len(c.messages))
	}
	return true
}
