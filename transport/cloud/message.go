package cloud

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"

	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// where returns what names a conversation in requests about its messages, and whether it is a group's.
func where(ref *wire.ConversationRef) (Conversation, error) {
	switch ref.GetType() {
	case peer, group:
		return Conversation{ref.GetId(), ref.GetType() == group}, nil
	}
	return Conversation{}, unsupported("only conversations with users and groups have messages that are kept")
}

// ref is the inverse of where.
func (w Conversation) ref() *wire.ConversationRef {
	ref := &wire.ConversationRef{Type: peer, Id: w.ID}
	if w.Group {
		ref.Type = group
	}
	return ref
}

// target returns the parameters of a request of userID about a conversation.
func (w Conversation) target(userID string) object {
	if w.Group {
		return object{"FromUserId": userID, "GroupId": w.ID}
	}
	return object{"FromUserId": userID, "ToUserId": w.ID}
}

// pick returns the action for a user or a group.
func (w Conversation) pick(peer, group *action) *action {
	if w.Group {
		return group
	}
	return peer
}

// send sends a message, once. One that may have been sent before is looked for first.
func (c *conn) send(ctx context.Context, m *wire.SendMessageRequest) (*wire.Response, error) {
	switch {
	case m.ReplyTo != 0:
		return nil, unsupported("the service has no replies for servers")
	case len(m.MentionedUserIds) > 0 || m.IsMentionAll:
		return nil, unsupported("the service has no mentions for servers")
	}
	b, err := encode(m.Type, m.Content, hex.EncodeToString(m.LocalMessageId))
	if err != nil {
		return nil, wrong(err)
	}
	extended := wrap(m.ExtendedData, m.LocalMessageId)
	if len(extended) > maxExtended {
		return nil, refused{code: codeInvalid, why: "with the message's local ID, the extended data has more than 1024 bytes"}
	}
	if m.Again && m.ConversationType != room && m.Type != msgtype.Command {
		w, _ := where(&wire.ConversationRef{Type: m.ConversationType, Id: m.ConversationId})
		found, err := c.s.find(ctx, c.user, w, m.LocalMessageId)
		if err != nil && ctx.Err() == nil {
			return nil, notSent("it can't be looked for: " + err.Error())
		}
		if err != nil {
			return nil, err
		}
		if found != nil {
			return acknowledged(found.MessageId, found.MessageSeq, found.TimestampMs), nil
		}
	}
	args := object{"FromUserId": c.user, "MessageType": m.Type, "Priority": max(m.Priority, 1)}
	text := object{"Message": b.text, "ExtendedData": extended}
	args["MessageBody"] = text
	if b.base64 {
		text["IsBase64"] = 1
	}
	if m.Type == msgtype.Custom {
		args["SubMsgType"], args["SearchedContent"] = b.subType, b.searched
	}
	if m.ConversationType == room {
		args["RoomId"], args["SenderUnaware"] = m.ConversationId, 1
		answer, err := c.s.call(ctx, sendRoomMessage, m.ConversationId, args)
		if err == nil {
			err = audited(sendRoomMessage, answer)
		}
		if err != nil {
			return nil, err
		}
		return acknowledged(0, 0, c.s.now().UnixMilli()), nil
	}
	if m.HasReceipt {
		text["HasReceipt"] = 1
	}
	if m.PushConfig != nil {
		text["OfflinePush"] = push(m.PushConfig)
	}
	if m.DisableUnreadMessageCount {
		args["SendMsgOptions"] = object{"NoUnread": true}
	}
	if m.ConversationType == group {
		args["GroupId"] = m.ConversationId
		answer, err := c.s.call(ctx, sendGroupMessage, m.ConversationId, args)
		if err == nil {
			err = audited(sendGroupMessage, answer)
		}
		if err != nil {
			return nil, err
		}
		return acknowledged(answer.num("MsgId"), answer.num("MsgSeq"), c.s.now().UnixMilli()), nil
	}
	args["ToUserId"], args["SenderUnaware"] = []string{m.ConversationId}, 0
	answer, err := c.s.call(ctx, sendPeerMessage, "", args)
	return c.sentToPeer(answer, err)
}

// sentToPeer reads the answer to a message to one user, which is a list.
func (c *conn) sentToPeer(answer object, err error) (*wire.Response, error) {
	failed, err := batch(answer, err, "ErrorList")
	if err != nil {
		return nil, err
	}
	if list := answer.objects("SuccList"); len(list) > 0 {
		return acknowledged(list[0].num("MsgId"), list[0].num("MsgSeq"), c.s.now().UnixMilli()), nil
	}
	if err := audited(sendPeerMessage, answer); err != nil {
		return nil, err
	}
	if len(failed) > 0 {
		err := &Error{Action: sendPeerMessage.name, Code: failed[0].Code, RequestID: answer.text("RequestId")}
		switch known := look(err.Code); {
		case known.zim == 0:
			return acknowledged(0, 0, c.s.now().UnixMilli()), nil // the sender is to take it for sent
		case known.kind.unclear():
			return nil, unknown(sendPeerMessage, err)
		}
		return nil, err
	}
	if answer.num("Code") != 0 { // as good as success
		return acknowledged(0, 0, c.s.now().UnixMilli()), nil
	}
	return nil, unknown(sendPeerMessage, errNoReceiver)
}

var errNoReceiver = errors.New("cloud: the answer says nothing of the receiver")

// audited returns the refusal of moderation that is in an answer.
func audited(a *action, answer object) error {
	if len(answer.objects("AuditInfos")) > 0 {
		return &Error{Action: a.name, Code: 660500005, RequestID: answer.text("RequestId")}
	}
	return nil
}

// wrong makes a refusal of what is wrong with a content.
func wrong(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if errors.Is(err, errNoURL) {
		return refused{code: codeInvalid, why: errNoURL.Error()}
	}
	return refused{code: codeInvalid, why: "the content can't be read"}
}

func acknowledged(id, seq, millis int64) *wire.Response {
	return &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{
		MessageId: id, MessageSeq: seq, TimestampMs: millis, OrderKey: orderKey(millis, seq),
	}}}
}

// orderKey makes what orders messages and conversations of what the service has instead: the time, and at the same time the number.
func orderKey(millis, seq int64) int64 { return millis<<20 | seq&(1<<20-1) }

func push(p *wire.PushConfig) object {
	o := object{
		"Enable": 1, "Title": p.Title, "Content": p.Content, "Payload": p.Payload, "ThreadId": p.ThreadId,
		"EnableBadge": p.EnableBadge, "BadgeIncrement": p.BadgeIncrement,
	}
	if t := p.PrivateMessageTemplate; t != nil {
		o["PrivateMessageTemplate"] = object{"TemplateId": t.TemplateId, "TitleParameters": t.TitleParameters, "ContentParameters": t.ContentParameters}
	}
	return o
}

// find looks for a message of userID's among the newest of a conversation. It returns nil if it isn't there.
func (s *Service) find(ctx context.Context, userID string, w Conversation, id []byte) (*wire.Message, error) {
	page, _, err := s.page(ctx, userID, w, 0, maxPage)
	for _, m := range page {
		if m.SenderUserId == userID && bytes.Equal(m.LocalMessageId, id) {
			return m, nil
		}
	}
	return nil, err
}

// edit changes a message.
func (c *conn) edit(ctx context.Context, r *wire.EditMessageRequest) (*wire.Response, error) {
	w, err := where(r.Message.GetConversation())
	if err != nil {
		return nil, err
	}
	old, err := c.message(ctx, w, r.Message.GetSeq())
	if err != nil {
		return nil, err
	}
	if old.SenderUserId != c.user {
		return nil, refused{code: 6000285, why: "the message is somebody else's"}
	}
	b, err := encode(r.Type, r.Content, hex.EncodeToString(old.LocalMessageId))
	if err != nil {
		return nil, wrong(err)
	}
	extended := wrap(r.ExtendedData, old.LocalMessageId)
	if len(extended) > maxExtended {
		return nil, refused{code: codeInvalid, why: "with the message's local ID, the extended data has more than 1024 bytes"}
	}
	const content, extra, mentions, all, custom = 1, 2, 4, 8, 16
	args := object{
		"FromUserId": c.user, "SenderId": c.user, "ConvId": w.ID, "MsgType": r.Type, "ConvMsgSeq": r.Message.GetSeq(),
		"EditType":    content | extra | mentions | all,
		"MessageBody": object{"Message": b.text, "ExtendedData": extended},
		"AtListInfo":  object{"AtList": append([]string{}, r.MentionedUserIds...)},
		"IsAtAll":     r.IsMentionAll,
	}
	if r.Type == msgtype.Custom {
		args["EditType"], args["SubMsgType"] = content|extra|mentions|all|custom, b.subType
	}
	answer, err := c.s.call(ctx, w.pick(editC2cMsgBody, editGroupMsgBody), "", args)
	if err != nil {
		return nil, err
	}
	// The answer has only the time. The rest is known.
	old.Content, old.ExtendedData, old.MentionedUserIds, old.IsMentionAll = r.Content, r.ExtendedData, r.MentionedUserIds, r.IsMentionAll
	old.EditorUserId, old.EditedTimeMs = c.user, answer.millis("LatestEditTime")
	return &wire.Response{Body: &wire.Response_Message{Message: old}}, nil
}

// revoke withdraws a message of the user's.
func (c *conn) revoke(ctx context.Context, r *wire.RevokeMessageRequest) (*wire.Response, error) {
	w, err := where(r.Message.GetConversation())
	if err != nil {
		return nil, err
	}
	args := w.target(c.user)
	args["MsgSeq"] = r.Message.GetSeq()
	if r.ExtendedData != "" {
		args["Payload"] = r.ExtendedData
	}
	if r.PushConfig != nil {
		args["OfflinePush"] = push(r.PushConfig)
	}
	_, err = c.s.call(ctx, w.pick(revokePeerMessage, revokeGroupMessage), "", args)
	if err != nil && !was(err, alreadyRevoked) {
		return nil, err
	}
	m, err := c.message(ctx, w, r.Message.GetSeq())
	if err != nil {
		return nil, err
	}
	return &wire.Response{Body: &wire.Response_Message{Message: m}}, nil
}

// alreadyRevoked also answers the second try of what the first one did.
const alreadyRevoked = 660000023

// message reads one message.
func (c *conn) message(ctx context.Context, w Conversation, seq int64) (*wire.Message, error) {
	list, err := c.numbered(ctx, w, []int64{seq})
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, refused{code: 6000204, why: "there is no such message"}
	}
	return list[0], nil
}

// deleteMessages empties the user's side of one conversation, or of all.
func (c *conn) deleteMessages(ctx context.Context, r *wire.DeleteMessagesRequest) (*wire.Response, error) {
	if len(r.Seqs) > 0 {
		return nil, unsupported("the service deletes all messages of a conversation, not some")
	}
	var refs []*wire.ConversationRef
	if r.Conversation != nil {
		refs = append(refs, r.Conversation)
	}
	list, err := c.named(ctx, refs...)
	if err != nil {
		return nil, err
	}
	for _, w := range list {
		if _, err := c.s.call(ctx, w.pick(clearPeerMessage, clearMemberGroupMsg), "", w.target(c.user)); err != nil {
			return nil, err
		}
	}
	return new(wire.Response), nil
}

// receipts tells that messages were read.
func (c *conn) receipts(ctx context.Context, r *wire.ReceiptsRequest) (*wire.Response, error) {
	if !r.Read {
		return nil, unsupported("the service tells nobody how far a message was read")
	}
	w, err := where(r.Conversation)
	if err != nil {
		return nil, err
	}
	if err := c.read(ctx, w, r.Seqs); err != nil {
		return nil, err
	}
	return &wire.Response{Body: &wire.Response_Receipts{Receipts: new(wire.ReceiptsResponse)}}, nil
}

func (c *conn) read(ctx context.Context, w Conversation, seqs []int64) error {
	args := object{"FromUserId": c.user, "ConvId": w.ID}
	if w.Group {
		args = object{"FromUserId": c.user, "GroupId": w.ID}
	}
	return c.s.confirm(ctx, w.pick(c2cReadReceipt, groupReadReceipt), args, seqs)
}
