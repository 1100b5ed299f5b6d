package backend

import (
	"crypto/rand"
	"encoding/hex"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// extras are what few messages have.
type extras struct {
	mentions []int64 // rows of users
	combine  [][]byte
	id       string

	root, source *store.Message // of a reply
	replied      int64          // how many replies the root has
}

func (e *extras) replies() bool { return e != nil && e.root != nil }

// prepare looks at what few messages have, before anything is written. It returns nil if there is nothing of that.
func (op *sendOp) prepare() (*extras, error) {
	c, m, req := &op.change, &op.message, op.req
	if !req.HasReceipt && req.ReplyTo == 0 && len(req.MentionedUserIds) == 0 && !req.IsMentionAll && req.Type != msgtype.Combine && !c.s.server {
		return nil, nil
	}
	e := new(extras)
	more := &wire.Message{MentionedUserIds: unique(req.MentionedUserIds), IsMentionAll: req.IsMentionAll, IsServerMessage: c.s.server}
	if req.HasReceipt {
		m.Flags |= store.FlagReceipt
	}
	var err error
	if e.mentions, err = c.mentioned(more); err != nil {
		return nil, err
	}
	if len(e.mentions) > 0 {
		m.Flags |= store.FlagMentions
	}
	if req.ReplyTo != 0 {
		if more.RepliedInfo, err = op.reply(e); op.refused != nil || err != nil {
			return nil, err
		}
	}
	if req.Type == msgtype.Combine {
		if err := op.combine(e); op.refused != nil || err != nil {
			return nil, err
		}
	}
	m.More, err = proto.Marshal(more)
	return e, err
}

// unique returns the different ones of list, in their order.
func unique(list []string) []string {
	var different []string
	for _, v := range list {
		if !slices.Contains(different, v) {
			different = append(different, v)
		}
	}
	return different
}

// mentioned returns the rows of those whom a message mentions.
func (c *change) mentioned(more *wire.Message) ([]int64, error) {
	var rows []int64
	if more.IsMentionAll {
		rows = append(rows, store.Everybody)
	}
	for _, id := range more.MentionedUserIds {
		u, err := c.User(c.self.AppID, id)
		if err != nil {
			return nil, err
		}
		if u != nil {
			rows = append(rows, u.ID)
		}
	}
	return rows, nil
}

// reply finds what a reply quotes.
func (op *sendOp) reply(e *extras) (*wire.RepliedInfo, error) {
	c := &op.change
	source, _, refused, err := c.message(&wire.MessageRef{
		Conversation: &wire.ConversationRef{Type: op.req.ConversationType, Id: op.req.ConversationId},
		Seq:          op.req.ReplyTo,
	})
	if op.refused = refused; refused != nil || err != nil {
		return nil, err
	}
	if !ordinary(source.Type) {
		op.refused = refuse(codeParamsInvalid, "a message of this type can't be replied to")
		return nil, nil
	}
	e.source, e.root = source, source
	root := source.Seq()
	if source.More != nil {
		more := new(wire.Message)
		if err := proto.Unmarshal(source.More, more); err != nil {
			return nil, err
		}
		if more.RepliedInfo != nil {
			root = more.RepliedInfo.RootSeq
		}
	}
	if root != source.Seq() {
		if e.root, err = c.MessageAt(source.Conversation.Place(root)); err != nil {
			return nil, err
		}
	}
	// What it says is not kept twice: it may be edited, or revoked.
	return &wire.RepliedInfo{
		SenderUserId: source.Sender.UserID, SentTimeMs: source.Time, MessageId: source.ID, MessageSeq: source.Seq(), RootSeq: root,
	}, nil
}

// combine copies the messages that are to be combined, which the sender must see.
func (op *sendOp) combine(e *extras) error {
	c, m := &op.change, &op.message
	content := new(wire.CombineContent)
	if err := proto.Unmarshal(m.Content, content); err != nil {
		return err
	}
	if len(content.Messages) == 0 {
		some, _, err := c.Combined(content.CombineId, 0, 1)
		if err == nil && len(some) == 0 {
			op.refused = refuse(codeTargetNotExist, "there is no such combine message")
		}
		return err
	}
	size := 0
	for _, ref := range content.Messages {
		child, _, refused, err := c.message(ref)
		if op.refused = refused; refused != nil || err != nil {
			return err
		}
		if !ordinary(child.Type) {
			op.refused = refuse(codeParamsInvalid, "a message of this type can't be combined")
			return nil
		}
		b, err := proto.Marshal(&wire.Message{
			MessageId: child.ID, MessageSeq: child.Seq(), OrderKey: child.ID, TimestampMs: child.Time,
			ConversationType: ref.Conversation.Type, ConversationId: ref.Conversation.Id,
			SenderUserId: child.Sender.UserID, Type: child.Type, Content: child.Content, ExtendedData: child.Extended,
		})
		if err != nil {
			return err
		}
		// What is copied may be a thousand times what was sent.
		if size += len(b); size > maxCombinedBytes {
			op.refused = tooLarge("messages that are combined", size, maxCombinedBytes)
			return nil
		}
		e.combine = append(e.combine, b)
	}
	var id [16]byte
	rand.Read(id[:])
	e.id = hex.EncodeToString(id[:])
	content.CombineId, content.Messages = e.id, nil
	var err error
	m.Content, err = proto.Marshal(content)
	return err
}

// keep writes what belongs to the message that was just stored.
func (e *extras) keep(op *sendOp, conv *store.Conversation) (err error) {
	c, m := &op.change, &op.message
	if err := c.SetMentions(m.Place, e.mentions); err != nil {
		return err
	}
	if err := c.AddCombined(e.id, e.combine); err != nil {
		return err
	}
	if e.root == nil {
		return nil
	}
	if err := c.AddReply(e.root.Place, e.source.Place, m.Place); err != nil {
		return err
	}
	return c.alter(e.root, func(more *wire.Message) {
		more.RootRepliedCount++ // counting them takes the longer the more there are
		e.replied = more.RootRepliedCount
	})
}

// count is what the users are told of the tree that a reply is in.
func (e *extras) count(conv *store.Conversation, u *store.User) *wire.RepliedCount {
	return &wire.RepliedCount{MessageId: e.root.ID, Conversation: refOf(conv, u.UserID), Count: e.replied}
}

// alter changes what few messages have.
func (c *change) alter(m *store.Message, f func(more *wire.Message)) error {
	more := new(wire.Message)
	if err := proto.Unmarshal(m.More, more); err != nil {
		return err
	}
	f(more)
	var err error
	if m.More, err = proto.Marshal(more); err != nil {
		return err
	}
	return c.UpdateMessage(m)
}
