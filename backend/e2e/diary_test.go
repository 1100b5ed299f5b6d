package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// several lets users have several devices, and send as fast as they can.
func several(a *backend.App) {
	a.Devices = backend.MultiDevice
	a.Limits.SendRate, a.Limits.ChangeRate, a.Limits.QueryRate = -1, -1, -1
}

// A user is somebody on one device, who writes down what happens, an entry an event.
type user struct {
	*zim.ZIM
	t  *testing.T
	mu sync.Mutex
	// entries are those since the last call of since.
	entries []string
	// last are the latest messages and conversations, by what they say and by their IDs.
	texts map[string]*zim.Message
	chats map[string]*zim.Conversation
}

// device logs a user in on a device.
func device(t *testing.T, srv *zimtest.Server, dialer transport.Dialer, userID, deviceID string) *user {
	t.Helper()
	u := newUser(t, dialer, deviceID)
	login(t, srv, u.ZIM, userID)
	synctest.Wait()
	u.since()
	return u
}

// newUser returns a device on which nobody has logged in.
func newUser(t *testing.T, dialer transport.Dialer, deviceID string) *user {
	t.Helper()
	z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, DeviceID: deviceID, Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	u := &user{ZIM: z, t: t, texts: map[string]*zim.Message{}, chats: map[string]*zim.Conversation{}}
	zim.On(z, func(_ context.Context, e zim.Event) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.entries = append(u.entries, u.entry(e))
	})
	return u
}

// since returns what has happened since the last call, once everything has happened that is going to.
func (u *user) since() []string {
	synctest.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.entries
	u.entries = nil
	return list
}

// saw fails the test unless these entries were made since the last look, and no others.
func (u *user) saw(what string, want ...string) {
	u.t.Helper()
	if got := u.since(); !slices.Equal(got, want) {
		u.t.Errorf("%s:\ngot  %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func (u *user) entry(e zim.Event) string {
	switch e := e.(type) {
	case *zim.Error:
		return "error " + e.Error()
	case *zim.ConnectionStateChanged:
		return fmt.Sprintf("connection %d,%d", e.State, e.Event)
	case *zim.PeerMessageReceived:
		return "peer message " + u.say(e.Messages, e.Info)
	case *zim.GroupMessageReceived:
		return "group message " + u.say(e.Messages, e.Info)
	case *zim.BroadcastMessageReceived:
		return "broadcast " + u.say([]*zim.Message{e.Message}, zim.MessageReceivedInfo{})
	case *zim.MessageSentStatusChanged:
		return fmt.Sprintf("status %v %s", e.Infos[0].Status, u.text(e.Infos[0].Message))
	case *zim.ConversationChanged:
		var list []string
		for _, info := range e.InfoList {
			c := info.Conversation
			u.chats[c.ConversationID] = c
			s := fmt.Sprintf("%v %s %d", info.Event, c.ConversationID, c.UnreadMessageCount)
			if m := c.LastMessage; m != nil {
				s += " " + u.text(m)
				if m.SentStatus != zim.MessageSentStatusSuccess {
					s += " " + m.SentStatus.String()
				}
			}
			list = append(list, s)
		}
		slices.Sort(list)
		return "conversation " + strings.Join(list, ", ")
	case *zim.ConversationTotalUnreadMessageCountUpdated:
		return fmt.Sprint("total ", e.TotalUnreadMessageCount)
	case *zim.ConversationSyncStateChanged:
		return fmt.Sprint("sync ", e.State)
	case *zim.ConversationsAllDeleted:
		return fmt.Sprint("all conversations deleted ", e.Count)
	case *zim.ConversationMessageReceiptChanged:
		return "conversation receipt " + receipts(e.Infos)
	case *zim.MessageReceiptChanged:
		return "receipt " + receipts(e.Infos)
	case *zim.MessageRevokeReceived:
		return "revoked " + u.say(e.MessageList, zim.MessageReceivedInfo{})
	case *zim.MessageEdited:
		return "edited " + u.say(e.MessageList, zim.MessageReceivedInfo{})
	case *zim.MessageDeleted:
		return fmt.Sprintf("deleted %v %s %s", e.MessageDeleteType, e.Conversation.ID, u.say(e.MessageList, zim.MessageReceivedInfo{}))
	case *zim.MessageRepliedInfoChanged:
		var list []string
		for _, m := range e.MessageList {
			list = append(list, fmt.Sprintf("%s quotes %s %v", u.text(m), says(m.RepliedInfo.MessageInfo), m.RepliedInfo.State))
		}
		return "replied info " + strings.Join(list, ", ")
	case *zim.MessageRepliedCountChanged:
		return fmt.Sprint("replied count ", e.Infos[0].Count)
	case *zim.MessageReactionsChanged:
		var list []string
		for _, r := range e.Reactions {
			list = append(list, fmt.Sprintf("%s %d/%d %v", r.ReactionType, r.TotalCount, r.SumCount, r.IsSelfIncluded))
		}
		for _, ch := range e.ChangeInfoList[0].UserChangeInfoList {
			list = append(list, fmt.Sprintf("%s %v %s %d", ch.UserID, ch.Action, ch.ReactionType, ch.SumCount))
		}
		return "reactions " + strings.Join(list, ", ")
	case *zim.MessagePinStatusChanged:
		var list []string
		for _, info := range e.Infos {
			list = append(list, fmt.Sprintf("%v %s", info.PinStatus, u.text(info.Message)))
		}
		return "pins " + strings.Join(list, ", ")
	case *zim.GroupStateChanged:
		return fmt.Sprintf("group %s %v %v", e.GroupInfo.BaseInfo.GroupID, e.State, e.Event)
	case *zim.GroupMemberStateChanged:
		return fmt.Sprintf("members %s %v %v %s by %s", e.GroupID, e.State, e.Event, memberIDs(e.UserList), e.OperatedInfo.UserID)
	case *zim.GroupMemberInfoUpdated:
		return fmt.Sprintf("member info %s %s", e.GroupID, memberIDs(e.UserList))
	}
	return fmt.Sprintf("%T", e)
}

func (u *user) say(list []*zim.Message, info zim.MessageReceivedInfo) string {
	var texts []string
	for _, m := range list {
		s := u.text(m)
		if m.Direction == zim.MessageDirectionSend {
			s += " sent"
		}
		if info.IsOfflineMessage {
			s += " offline"
		}
		texts = append(texts, s)
	}
	return strings.Join(texts, ", ")
}

// text returns what a message says, and remembers it by that.
func (u *user) text(m *zim.Message) string {
	s := says(m.Content)
	if m.Seq != 0 {
		u.texts[s] = m
	}
	return s
}

// message returns the latest message that the user has seen with a text.
func (u *user) message(text string) *zim.Message {
	u.t.Helper()
	synctest.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	m := u.texts[text]
	if m == nil {
		u.t.Fatalf("no message %q has come", text)
	}
	return m
}

func says(c zim.Content) string {
	switch c := c.(type) {
	case *zim.TextMessage:
		return c.Message
	case *zim.RevokeMessage:
		return "(revoked " + c.OriginalTextMessageContent + ")"
	default:
		return fmt.Sprintf("(%v)", c.Type())
	}
}

func receipts(infos []zim.MessageReceiptInfo) string {
	var list []string
	for _, r := range infos {
		list = append(list, fmt.Sprintf("%d %v %d/%d self=%v", r.MessageSeq, r.Status, r.ReadMemberCount, r.ReadMemberCount+r.UnreadMemberCount, r.IsSelfOperated))
	}
	return strings.Join(list, ", ")
}

func memberIDs(list []*zim.GroupMemberInfo) string {
	var ids []string
	for _, m := range list {
		ids = append(ids, fmt.Sprintf("%s:%d", m.UserID, m.MemberRole))
	}
	return strings.Join(ids, ",")
}

// send sends a text and fails the test if that fails.
func (u *user) send(to zim.ConversationRef, text string, config *zim.MessageSendConfig) *zim.Message {
	u.t.Helper()
	m, err := u.SendMessage(u.t.Context(), &zim.TextMessage{Message: text}, to, config)
	if err != nil {
		u.t.Fatal(err)
	}
	return m
}

// must fails the test if a call failed.
func (u *user) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}
