package backend

import (
	"crypto/rand"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

const (
	editWindow      = 24 * time.Hour
	maxRevokeExtras = 200
	// Messages that quote one that changes, of which one user is told, and all users together.
	maxQuoting, maxQuotingTold = 100, 5000
)

// editMessage changes what a message of the user says.
func (a *attachment) editMessage(s *session, id uint64, req *wire.EditMessageRequest) {
	if len(req.ExtendedData) > s.app.Limits.ExtendedDataSize {
		a.refuse(id, tooLarge("extended data", len(req.ExtendedData), s.app.Limits.ExtendedDataSize))
		return
	}
	if refused := checkMentioned(req.MentionedUserIds); refused != nil {
		a.refuse(id, refused)
		return
	}
	// Here, because it looks at files. What the user may do comes first in the answer.
	content, bad := s.app.Limits.check(req.Type, req.Content, false)
	if bad == nil && hasFiles(req.Type) {
		content, bad = a.server.attachFiles(s.key, req.Type, content)
	}
	if !s.changes.Allow() {
		a.refuse(id, tooMany())
		return
	}
	if bad != nil || !a.server.asks(s, req.Type) {
		a.keepEdit(s, id, req, content, bad)
		return
	}
	room := a.ask(s, req.Type, content, webhook.Fields{
		"request_id": strings.ToLower(rand.Text()), "payload": req.ExtendedData,
		"conv_type": req.Message.GetConversation().GetType(), "conv_id": req.Message.GetConversation().GetId(),
	}, func(v webhook.Verdict, err error) {
		content, extended, refused := decided(s, v, err, req.Type, content, req.ExtendedData)
		if refused != nil {
			a.refuse(id, refused)
			return
		}
		req.ExtendedData = extended
		a.keepEdit(s, id, req, content, nil)
	})
	if !room {
		a.refuse(id, tooMany())
	}
}

// keepEdit changes a message, unless bad says why its new content can't be.
func (a *attachment) keepEdit(s *session, id uint64, req *wire.EditMessageRequest, content []byte, bad *wire.Error) {
	a.submit(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		m, _, refused, err := c.message(req.Message)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		if refused = c.editable(m); refused == nil && req.Type != m.Type {
			refused = refuse(codeParamsInvalid, "the type of a message does not change")
		}
		if refused == nil {
			refused = bad
		}
		if refused != nil {
			return nil, refused, nil
		}
		if err := c.edit(m, content, req); err != nil {
			return nil, nil, err
		}
		if err := c.callMessage(m); err != nil {
			return nil, nil, err
		}
		quoting, err := c.quoting(m)
		if err != nil {
			return nil, nil, err
		}
		err = c.tellAll(m.Conversation, m.Place, latest(m, quoting), func(*store.User) *wire.Event {
			return &wire.Event{Edited: at(m.Place), Replied: places(quoting)}
		})
		if err != nil {
			return nil, nil, err
		}
		w, err := c.render(m)
		return &wire.Response{Body: &wire.Response_Message{Message: w}}, nil, err
	})
}

func (c *change) editable(m *store.Message) *wire.Error {
	switch {
	case m.Flags&store.FlagRevoked != 0:
		return refuse(codeEditFailed, "the message was revoked")
	case m.Sender.ID != c.self.ID:
		return refuse(codeEditForeign, "only the sender edits a message")
	case m.Type != msgtype.Text && m.Type != msgtype.Custom && m.Type != msgtype.Multiple:
		return refuse(codeParamsInvalid, "only text, custom and multiple messages are edited")
	case c.now-m.Time > editWindow.Milliseconds():
		return refuse(codeEditLate, "the message is too old to be edited")
	}
	return nil
}

// edit writes the edited message.
func (c *change) edit(m *store.Message, content []byte, req *wire.EditMessageRequest) error {
	old := new(wire.Message)
	if err := proto.Unmarshal(m.More, old); err != nil {
		return err
	}
	if err := c.dropMentions(m, old); err != nil {
		return err
	}
	mentions := &wire.Message{MentionedUserIds: unique(req.MentionedUserIds), IsMentionAll: req.IsMentionAll}
	rows, err := c.mentioned(mentions)
	if err != nil {
		return err
	}
	if err := c.SetMentions(m.Place, rows); err != nil {
		return err
	}
	m.Content, m.Extended = content, req.ExtendedData
	if m.Flags &^= store.FlagMentions; len(rows) > 0 {
		m.Flags |= store.FlagMentions
	}
	return c.alter(m, func(more *wire.Message) {
		more.MentionedUserIds, more.IsMentionAll = mentions.MentionedUserIds, mentions.IsMentionAll
		more.EditorUserId, more.EditedTimeMs = c.self.UserID, c.now
	})
}

func (c *change) dropMentions(m *store.Message, more *wire.Message) error {
	if m.Flags&store.FlagMentions == 0 {
		return nil
	}
	rows, err := c.mentioned(more)
	if err != nil {
		return err
	}
	return c.DropMentions(m.Place, rows)
}

// quoting returns the places of the messages that quote m, the last ones of them: as many as all of its conversation can be told of
// while the store waits.
func (c *change) quoting(m *store.Message) ([]int64, error) {
	users, err := c.members(m.Conversation, maxSeq)
	if err != nil {
		return nil, err
	}
	return c.RepliesTo(m.Place, int64(min(max(maxQuotingTold/max(len(users), 1), 1), maxQuoting)))
}

// latest returns the number of the last of m and the messages that quote it: whoever sees that one is told of a change to m.
func latest(m *store.Message, quoting []int64) int64 {
	if n := len(quoting); n > 0 {
		return int64(uint32(quoting[n-1]))
	}
	return m.Seq()
}

// The documented ways to revoke.
const revokedTwoWay, revokedBySelf, revokedByAdmin, revokedByOwner = 0, 0, 3, 4

// revokeMessage withdraws a message for everybody.
func (a *attachment) revokeMessage(s *session, id uint64, req *wire.RevokeMessageRequest) {
	if len(req.ExtendedData) > maxRevokeExtras {
		a.refuse(id, tooLarge("extended data of the revocation", len(req.ExtendedData), maxRevokeExtras))
		return
	}
	a.change(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		m, member, refused, err := c.message(req.Message)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		status, refused, err := c.revocable(m, member)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		e, quoting, count, err := c.revoke(m, &wire.RevokeContent{
			RevokeType: revokedTwoWay, RevokeTimeMs: c.now, OperatorUserId: c.self.UserID, OriginalType: m.Type,
			ExtendedData: req.ExtendedData, Status: status,
		})
		if err != nil {
			return nil, nil, err
		}
		err = c.tellAll(m.Conversation, m.Place, latest(m, quoting), func(u *store.User) *wire.Event {
			told := proto.CloneOf(e)
			if count != nil {
				told.RepliedCount = proto.CloneOf(count)
				told.RepliedCount.Conversation = refOf(m.Conversation, u.UserID)
			}
			return told
		})
		if err != nil {
			return nil, nil, err
		}
		w, err := c.render(m)
		return &wire.Response{Body: &wire.Response_Message{Message: w}}, nil, err
	})
}

// revocable returns as whom the user may revoke m.
func (c *change) revocable(m *store.Message, member *store.Member) (status int32, refused *wire.Error, err error) {
	status = revokedBySelf
	switch {
	case m.Flags&store.FlagRevoked != 0:
		return 0, refuse(codeRevoked, "the message was revoked before"), nil
	case !ordinary(m.Type):
		return 0, refuse(codeParamsInvalid, "a message of this type can't be revoked"), nil
	case m.Sender.ID == c.self.ID:
	case c.s.server:
		return 0, refuse(codeNoAuthority, "the user did not send the message"), nil
	case m.Conversation.Type == store.ConversationPeer:
		return 0, refuse(codeParamsInvalid, "only the sender revokes a message"), nil
	default:
		sender, err := c.GroupMember(m.Conversation, m.Sender.UserID)
		if err != nil {
			return 0, nil, err
		}
		switch {
		case member.Role == roleOwner:
			status = revokedByOwner
		case member.Role == roleAdmin && (sender == nil || sender.Role >= roleMember):
			status = revokedByAdmin
		default:
			return 0, refuse(codeNoAuthority, "only the sender and the group's administrators revoke a message"), nil
		}
	}
	if c.now-m.Time > c.app.Limits.RevokeWindow.Milliseconds() {
		return 0, refuse(codeRevokeLate, "the message is too old to be revoked"), nil
	}
	return status, nil, nil
}

// revoke writes what is left of m: it counts no more, and nobody is mentioned, has reacted or has pinned.
func (c *change) revoke(m *store.Message, content *wire.RevokeContent) (e *wire.Event, quoting []int64, count *wire.RepliedCount, err error) {
	if m.Type == msgtype.Text {
		text, ok := payload.Split(m.Content)
		if ok {
			content.OriginalText = string(text)
		}
	}
	more := new(wire.Message)
	if err := proto.Unmarshal(m.More, more); err != nil {
		return nil, nil, nil, err
	}
	if m.Flags&store.FlagCounts != 0 {
		if err := c.Uncount(m); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := c.dropMentions(m, more); err != nil {
		return nil, nil, nil, err
	}
	if err := c.DropReactions(m.Place); err != nil {
		return nil, nil, nil, err
	}
	e = &wire.Event{Revoked: at(m.Place)}
	if pinned, err := c.DropPin(m.Place); err != nil {
		return nil, nil, nil, err
	} else if pinned {
		e.Pins = []*wire.PinChange{{Status: notPinned, Message: at(m.Place)}}
	}
	m.Type, m.Extended, m.Flags = msgtype.Revoke, "", m.Flags&store.FlagCounts|store.FlagRevoked
	if m.Content, err = proto.Marshal(content); err != nil {
		return nil, nil, nil, err
	}
	left := &wire.Message{RootRepliedCount: more.RootRepliedCount}
	if m.More, err = proto.Marshal(left); err != nil {
		return nil, nil, nil, err
	}
	if err := c.UpdateMessage(m); err != nil {
		return nil, nil, nil, err
	}
	if info := more.RepliedInfo; info != nil {
		if count, err = c.unreply(m, info); err != nil {
			return nil, nil, nil, err
		}
	}
	quoting, err = c.quoting(m)
	e.Replied = places(quoting)
	return e, quoting, count, err
}

// unreply takes a revoked reply out of its tree.
func (c *change) unreply(m *store.Message, info *wire.RepliedInfo) (*wire.RepliedCount, error) {
	place := m.Conversation.Place(info.RootSeq)
	dropped, err := c.DropReply(place, m.Place)
	if err != nil {
		return nil, err
	}
	root, err := c.MessageAt(place)
	if root == nil || err != nil {
		return nil, err
	}
	count := &wire.RepliedCount{MessageId: root.ID}
	return count, c.alter(root, func(more *wire.Message) {
		if dropped {
			more.RootRepliedCount--
		}
		count.Count = more.RootRepliedCount
	})
}
