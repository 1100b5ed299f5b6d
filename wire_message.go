package zim

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/zim-go/zim/wire"
)

// A localID is 128 bits: 48 of time, so that a service's index over them grows at one end, and the rest random, in the
// layout of a UUID of version 7.
type localID [16]byte

// The last four bytes name the ZIM that made it, so that it knows its own messages again.
func (z *ZIM) newLocalID(now time.Time) (id localID) {
	rand.Read(id[6:12])
	copy(id[12:], z.run[:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// sentHere reports whether a message with that local ID was sent by z. The ID is empty in messages of others.
func (z *ZIM) sentHere(id []byte) bool {
	return len(id) == len(localID{}) && string(id[12:]) == string(z.run[:4])
}

func (id localID) String() string {
	b := id.text()
	return string(b[:])
}

func (id localID) text() (b [36]byte) {
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return b
}

func parseLocalID(s string) (id localID, ok bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(id) {
		return id, false
	}
	id = localID(b)
	return id, id.String() == s
}

// message makes a message of w. self is the user who is logged in.
func message(w *wire.Message, self string, files *fileServer) *Message {
	m := &Message{
		Seq:          w.MessageSeq,
		OrderKey:     w.OrderKey,
		Sender:       w.SenderUserId,
		Conversation: ConversationRef{ID: w.ConversationId, Type: ConversationType(w.ConversationType)},
		Direction:    MessageDirectionReceive,
		SentStatus:   MessageSentStatusSuccess,
		Time:         time.UnixMilli(w.TimestampMs),
		Priority:     MessagePriority(w.Priority),
		ExtendedData: w.ExtendedData,
		Content:      decodeContent(MessageType(w.Type), w.Content, files),

		ReceiptStatus:      MessageReceiptStatus(w.ReceiptStatus),
		MentionedUserIDs:   w.MentionedUserIds,
		IsMentionAll:       w.IsMentionAll,
		RepliedInfo:        repliedInfo(w.RepliedInfo, files),
		RootRepliedCount:   w.RootRepliedCount,
		EditorUserID:       w.EditorUserId,
		EditedTime:         timeOf(w.EditedTimeMs),
		PinnedUserID:       w.PinnedUserId,
		PinnedTime:         timeOf(w.PinnedTimeMs),
		IsBroadcastMessage: w.IsBroadcast,
		IsServerMessage:    w.IsServerMessage,
	}
	if m.Sender == "" {
		m.Sender = w.ConversationId
	}
	if m.Sender == self {
		m.Direction = MessageDirectionSend
	}
	m.ID, m.LocalID = identities(w)
	for _, r := range w.Reactions {
		m.Reactions = append(m.Reactions, reaction(r, m))
	}
	return m
}

// identities returns the ID and the local ID of a message. They share their memory.
func identities(w *wire.Message) (id, local string) {
	b := make([]byte, 0, 64)
	b = strconv.AppendInt(b, w.MessageId, 10)
	n := len(b)
	if len(w.LocalMessageId) == len(localID{}) {
		text := localID(w.LocalMessageId).text()
		b = append(b, text[:]...)
	}
	both := string(b)
	return both[:n], both[n:]
}

func repliedInfo(w *wire.RepliedInfo, files *fileServer) *MessageRepliedInfo {
	if w == nil {
		return nil
	}
	return &MessageRepliedInfo{
		State:        MessageRepliedInfoState(w.State),
		MessageInfo:  decodeContent(MessageType(w.Type), w.Content, files),
		SenderUserID: w.SenderUserId,
		SentTime:     timeOf(w.SentTimeMs),
		MessageID:    strconv.FormatInt(w.MessageId, 10),
		MessageSeq:   w.MessageSeq,
	}
}

func reaction(w *wire.Reaction, m *Message) MessageReaction {
	return MessageReaction{
		ReactionType: w.Type, Conversation: m.Conversation, MessageID: m.ID,
		TotalCount: w.TotalCount, SumCount: w.SumCount, IsSelfIncluded: w.IsSelfIncluded, UserIDs: w.UserIds,
	}
}

func (c ConversationRef) wire() *wire.ConversationRef {
	return &wire.ConversationRef{Type: int32(c.Type), Id: c.ID}
}

func conversationRef(w *wire.ConversationRef) ConversationRef {
	return ConversationRef{ID: w.GetId(), Type: ConversationType(w.GetType())}
}

func wireMessageRef(m *Message) *wire.MessageRef {
	return &wire.MessageRef{Conversation: m.Conversation.wire(), Seq: m.Seq}
}

func (p *PushConfig) check(op string) *Error {
	if p == nil {
		return nil
	}
	if n := len([]rune(p.ResourcesID)); n > maxResourcesID {
		return invalid(op, "the push resourcesID has %d characters, the limit is %d", n, maxResourcesID)
	}
	if p.BadgeIncrement < 0 || p.BadgeIncrement > maxBadge {
		return invalid(op, "the push badge increment is %d, it may be 0 to %d", p.BadgeIncrement, maxBadge)
	}
	texts := []string{p.Title, p.Content, p.Payload, p.ResourcesID, p.ThreadID}
	if v := p.VoIPConfig; v != nil {
		texts = append(texts, v.IOSVoIPHandleValue)
	}
	if t := p.PrivateMessageTemplate; t != nil {
		texts = append(texts, t.TemplateID, t.TitleParameters, t.ContentParameters)
	}
	for _, s := range texts {
		if err := checkText(op, "push config", s, maxPushText); err != nil {
			return err
		}
	}
	return nil
}

func (p *PushConfig) wire() *wire.PushConfig {
	if p == nil {
		return nil
	}
	w := &wire.PushConfig{
		Title:          p.Title,
		Content:        p.Content,
		Payload:        p.Payload,
		ResourcesId:    p.ResourcesID,
		ThreadId:       p.ThreadID,
		EnableBadge:    p.EnableBadge,
		BadgeIncrement: int32(p.BadgeIncrement),
	}
	if v := p.VoIPConfig; v != nil {
		w.VoipConfig = &wire.VoIPConfig{HandleType: int32(v.IOSVoIPHandleType), HandleValue: v.IOSVoIPHandleValue, HasVideo: v.IOSVoIPHasVideo}
	}
	if t := p.PrivateMessageTemplate; t != nil {
		w.PrivateMessageTemplate = &wire.PrivateMessageTemplate{TemplateId: t.TemplateID, TitleParameters: t.TitleParameters, ContentParameters: t.ContentParameters}
	}
	return w
}
