package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zim-go/zim"
)

// A numbersModel is what users should see of two conversations: sets of messages, and nothing that is counted ahead.
type numbersModel struct {
	peer, group *modelChat
}

// A modelChat is a conversation.
type modelChat struct {
	group    bool
	messages []*modelMessage // the first has the number 1
	sides    map[string]*modelSide
}

// A modelSide is what a conversation is for one of its users.
type modelSide struct {
	in, listed, muted bool
	has, read         map[int64]bool // numbers of messages
	saidRead          int64          // the message up to which the other user was told that all was read
}

type modelMessage struct {
	seq                     int64
	sender, text            string
	quiet, receipt, revoked bool
	mentions                []string        // users, or "all"
	audience                map[string]bool // who got it and never left since
	readers                 map[string]bool // who has sent a receipt
	told                    string          // what the sender was told of receipts last
}

func newNumbersModel() *numbersModel {
	chat := func(group bool, users ...string) *modelChat {
		c := &modelChat{group: group, sides: map[string]*modelSide{}}
		for _, u := range users {
			c.sides[u] = &modelSide{in: true, has: map[int64]bool{}, read: map[int64]bool{}}
		}
		return c
	}
	return &numbersModel{chat(false, "alice", "bob"), chat(true, "alice", "bob", "carol")}
}

// chats returns the user's conversations.
func (m *numbersModel) chats(user string) []*modelChat {
	if m.peer.sides[user] == nil {
		return []*modelChat{m.group}
	}
	return []*modelChat{m.peer, m.group}
}

// ref returns what the user calls the conversation.
func (c *modelChat) ref(user string) zim.ConversationRef {
	switch {
	case c.group:
		return zim.Group("group")
	case user == "alice":
		return zim.Peer("bob")
	}
	return zim.Peer("alice")
}

func (c *modelChat) send(sender, text string, config *zim.MessageSendConfig) *modelMessage {
	msg := &modelMessage{
		seq: int64(len(c.messages)) + 1, sender: sender, text: text, quiet: config.DisableUnreadMessageCount, receipt: config.HasReceipt,
		mentions: mentionsOf(config.MentionedUserIDs, config.IsMentionAll), audience: map[string]bool{}, readers: map[string]bool{},
	}
	c.messages = append(c.messages, msg)
	for user, s := range c.sides {
		if s.in {
			s.listed, s.has[msg.seq] = true, true
			msg.audience[user] = user != sender
		}
	}
	return msg
}

func mentionsOf(users []string, all bool) []string {
	if all {
		return append(slices.Clone(users), "all")
	}
	return users
}

func (msg *modelMessage) revoke() {
	msg.text, msg.revoked, msg.receipt, msg.mentions = "(revoked "+msg.text+")", true, false, nil
}

// readAll makes all that the user has of the conversation read.
func (s *modelSide) readAll() { maps.Copy(s.read, s.has) }

// leave takes the user out. What the user has stays.
func (c *modelChat) leave(user string) {
	c.sides[user].in = false
	for _, msg := range c.messages {
		delete(msg.audience, user)
	}
}

// enter brings the user in again: everything begins anew, but for what the user has set, and the place in the list.
func (c *modelChat) enter(user string) {
	old := c.sides[user]
	c.sides[user] = &modelSide{in: true, listed: old.listed, muted: old.muted, has: map[int64]bool{}, read: map[int64]bool{}}
}

// having returns the messages that the user has, the latest first.
func (c *modelChat) having(user string) (list []*modelMessage) {
	for _, msg := range slices.Backward(c.messages) {
		if c.sides[user].has[msg.seq] {
			list = append(list, msg)
		}
	}
	return list
}

func (c *modelChat) unread(user string) (n int) {
	for _, msg := range c.having(user) {
		if msg.sender != user && !msg.quiet && !msg.revoked && !c.sides[user].read[msg.seq] {
			n++
		}
	}
	return n
}

// total returns what is unread in all conversations that count.
func (m *numbersModel) total(user string) (n int) {
	for _, c := range m.chats(user) {
		if s := c.sides[user]; s.listed && !s.muted {
			n += c.unread(user)
		}
	}
	return n
}

// view says what the user sees of the conversation.
func (c *modelChat) view(user string) string {
	s := c.sides[user]
	if !s.listed {
		return "none"
	}
	v := &zim.Conversation{
		UnreadMessageCount: c.unread(user), IsDisabled: !s.in, NotificationStatus: zim.ConversationNotificationStatusNotify,
	}
	if s.muted {
		v.NotificationStatus = zim.ConversationNotificationStatusDoNotDisturb
	}
	for _, msg := range slices.Backward(c.having(user)) {
		all, me := slices.Contains(msg.mentions, "all"), slices.Contains(msg.mentions, user)
		if msg.sender == user || s.read[msg.seq] || !all && !me {
			continue
		}
		typ := zim.MessageMentionedTypeMentionMe
		if all && me {
			typ = zim.MessageMentionedTypeMentionAllAndMe
		} else if all {
			typ = zim.MessageMentionedTypeMentionAll
		}
		v.MentionedInfoList = append(v.MentionedInfoList, zim.MessageMentionedInfo{MessageSeq: msg.seq, FromUserID: msg.sender, Type: typ})
	}
	if list := c.having(user); len(list) > 0 {
		last := list[0]
		v.LastMessage = &zim.Message{Seq: last.seq, Content: &zim.TextMessage{Message: last.text}, SentStatus: zim.MessageSentStatusSuccess}
		if last.receipt {
			v.LastMessage.ReceiptStatus = c.receipt(last, user).Status
		}
	}
	return viewOf(v)
}

// viewOf says what is to agree of a conversation.
func viewOf(v *zim.Conversation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "unread %d, mentions", v.UnreadMessageCount)
	for _, m := range v.MentionedInfoList {
		fmt.Fprintf(&b, " %d:%s:%d", m.MessageSeq, m.FromUserID, m.Type)
	}
	if m := v.LastMessage; m == nil {
		b.WriteString(", no last message")
	} else {
		fmt.Fprintf(&b, ", last %d %s, sent %d", m.Seq, says(m.Content), m.SentStatus)
		if !v.IsDisabled { // who left is not told how far the messages are read that are left
			fmt.Fprintf(&b, ", receipt %d", m.ReceiptStatus)
		}
	}
	fmt.Fprintf(&b, ", notification %d, disabled %v", v.NotificationStatus, v.IsDisabled)
	return b.String()
}

// receipt returns how far a message was read: for its sender by the others, and for the others by the user.
func (c *modelChat) receipt(msg *modelMessage, user string) (r zim.MessageReceiptInfo) {
	said := func(user string) bool { return msg.readers[user] || !c.group && c.sides[user].saidRead >= msg.seq }
	r.Status = zim.MessageReceiptStatusProcessing
	if msg.sender != user {
		if said(user) {
			r.Status = zim.MessageReceiptStatusDone
		}
		return r
	}
	for other, got := range msg.audience {
		if got && said(other) {
			r.ReadMemberCount++
		} else if got {
			r.UnreadMemberCount++
		}
	}
	if r.UnreadMemberCount == 0 && r.ReadMemberCount > 0 {
		r.Status = zim.MessageReceiptStatusDone
	}
	return r
}

func receiptView(r zim.MessageReceiptInfo) string {
	return fmt.Sprintf("%d/%d status %d", r.ReadMemberCount, r.UnreadMemberCount, r.Status)
}

// receipts says how far the latest messages were read, at most ten, as the user can ask for it.
func (c *modelChat) receipts(user string) (seqs []int64, views []string) {
	for _, msg := range c.having(user) {
		if len(seqs) == 10 {
			break
		}
		seqs = append(seqs, msg.seq)
		view := fmt.Sprint(msg.seq, " none")
		if msg.receipt {
			view = fmt.Sprint(msg.seq, " ", receiptView(c.receipt(msg, user)))
		}
		views = append(views, view)
	}
	return seqs, views
}
