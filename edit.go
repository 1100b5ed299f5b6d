package zim

import (
	"context"

	"github.com/zim-go/zim/wire"
)

// MessageEditConfig is what an edited message becomes. The documentation edits the message object; here, messages don't change.
type MessageEditConfig struct {
	Content          Content // of the same kind as before; its files are uploaded first
	ExtendedData     string
	MentionedUserIDs []string
	IsMentionAll     bool
	PushConfig       *PushConfig
	// Notification observes the upload of files.
	Notification MessageSendNotification
}

// MessageEdited brings messages as they are now, to everybody who can see them but the ZIM that edited them, unless its call ended
// without an answer.
type MessageEdited struct {
	MessageList []*Message
}

func (*MessageEdited) event() eventKind { return kindMessageEdited }

// EditMessage changes what a text, custom or multiple message says that this user sent less than 24 hours ago to a user or a
// group. It returns the message as it is now. It fails with [ErrCommonParamsInvalid] for a message of another kind and for what SendMessage
// would refuse, with [ErrMessageEditNoCorrespondingOperationAuthority] for a message of somebody else, with [ErrMessageMessageExceedsEditTime]
// for an old one, and with [ErrMessageEditMessageFailed] for one that was revoked. Then nothing has changed. If ctx or the connection ended
// first, something may have: then [MessageEdited] tells.
func (z *ZIM) EditMessage(ctx context.Context, m *Message, config MessageEditConfig) (*Message, error) {
	const op = "EditMessage"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	if e := stored(op, m); e != nil {
		return nil, e
	}
	limits := &z.config.Limits
	if e := limits.checkContent(op, config.Content); e != nil {
		return nil, e
	}
	if m.Content == nil || config.Content.Type() != m.Content.Type() {
		return nil, invalid(op, "the message is a %T, it can't become a %T", m.Content, config.Content)
	}
	if e := checkText(op, "extended data", config.ExtendedData, limits.ExtendedDataSize); e != nil {
		return nil, e
	}
	if e := checkMentioned(op, config.MentionedUserIDs); e != nil {
		return nil, e
	}
	if e := config.PushConfig.check(op); e != nil {
		return nil, e
	}
	content, e := z.uploadEdited(ctx, s, op, m, config)
	if e != nil {
		return nil, e
	}
	data, err := encodeContent(content)
	if err != nil {
		return nil, invalid(op, "%v", err)
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_EditMessage{EditMessage: &wire.EditMessageRequest{
		Message: wireMessageRef(m), Type: int32(content.Type()), Content: data, ExtendedData: config.ExtendedData,
		MentionedUserIds: config.MentionedUserIDs, IsMentionAll: config.IsMentionAll, PushConfig: config.PushConfig.wire(),
	}}})
	if s.feed.doubt(m, false, err) != nil {
		return nil, err
	}
	return s.feed.answer(op, resp)
}

// uploadEdited uploads what files the new content has.
func (z *ZIM) uploadEdited(ctx context.Context, s *session, op string, m *Message, config MessageEditConfig) (Content, *Error) {
	files, err := z.config.Limits.pending(op, config.Content, false)
	defer closeFiles(files)
	if err != nil || len(files) == 0 {
		return config.Content, err
	}
	edited := new(*m)
	edited.Content = config.Content
	id, _ := parseLocalID(m.LocalID)
	uploading, done := s.uploading(ctx, id)
	if uploading == nil {
		return nil, invalid(op, "the message is being edited")
	}
	defer done()
	o := &outgoing{id: id, message: edited, reliable: true}
	return s.upload(uploading, done, op, o, files, &MessageSendConfig{Notification: config.Notification})
}

// answer returns the message in the answer to a call.
func (f *feed) answer(op string, resp *wire.Response) (*Message, error) {
	w := resp.GetMessage()
	if w == nil {
		return nil, noAnswer(op)
	}
	return f.localize([]*Message{message(w, f.userID, f.fileServer())})[0], nil
}

// stored checks that a message is one that the service has, in a conversation whose messages it keeps.
func stored(op string, m *Message) *Error {
	switch {
	case m == nil:
		return invalid(op, "the message is nil")
	case m.Conversation.Type == ConversationTypeRoom:
		return invalid(op, "of rooms, no messages are kept")
	case m.Seq == 0:
		return invalid(op, "the service does not have the message")
	}
	return nil
}

// MessageRevokeConfig refines a revocation.
type MessageRevokeConfig struct {
	PushConfig         *PushConfig // nil means no push
	RevokeExtendedData string      // for everybody; up to 200 bytes
}

// MessageRevokeReceived brings what stands in the place of messages that were revoked: messages with a [RevokeMessage]. Everybody
// gets it who can see them, but the ZIM that revoked them, unless its call ended without an answer.
type MessageRevokeReceived struct {
	MessageList []*Message
}

func (*MessageRevokeReceived) event() eventKind { return kindMessageRevokeReceived }

// RevokeMessage withdraws a message for everybody, within 2 minutes: one's own, and in a group also those of others, if one is
// its owner, or an administrator and they are neither. It returns what stands in its place. A nil config means the zero MessageRevokeConfig.
//
// It fails with [ErrMessageMessageExceedsRevokeTime] for an old message, with [ErrMessageMessageHasBeenRevoked] for one that was revoked,
// with [ErrGroupGroupNoCorrespondingOperationAuthority] or, for a message of a peer, [ErrCommonParamsInvalid] for one that is not this
// user's to revoke.
func (z *ZIM) RevokeMessage(ctx context.Context, m *Message, config *MessageRevokeConfig) (*Message, error) {
	const op = "RevokeMessage"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	if config == nil {
		config = new(MessageRevokeConfig)
	}
	if e := stored(op, m); e != nil {
		return nil, e
	}
	if e := checkText(op, "extended data", config.RevokeExtendedData, maxRevokeExtras); e != nil {
		return nil, e
	}
	if e := config.PushConfig.check(op); e != nil {
		return nil, e
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_RevokeMessage{RevokeMessage: &wire.RevokeMessageRequest{
		Message: wireMessageRef(m), ExtendedData: config.RevokeExtendedData, PushConfig: config.PushConfig.wire(),
	}}})
	if s.feed.doubt(m, true, err) != nil {
		return nil, err
	}
	return s.feed.answer(op, resp)
}
