package zim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/wire"
)

// SendMessage sends content to a conversation and waits until the service has stored it, or, for a [CommandMessage], a
// [BarrageMessage] and whatever goes to a room, has handed it on. A nil config means the zero MessageSendConfig.
//
// Files are uploaded first, whatever becomes of the connection meanwhile. Messages to users and groups wait for a lost connection for up to
// 30 seconds (AppConfig.ResendWindow) and then are sent, in the order of their SendMessage calls; a command, and a message to a
// room, is sent at once or never. If ctx ends first, SendMessage returns, and what was not on its way yet is not sent.
//
// The content, and the slices and pointers in config, are kept: don't change them any more.
//
// With MessageSendConfig.Durable, SendMessage returns once the message is on this machine's disk, and the rest is told by an event.
//
// The returned message is what was stored. If the message was attached but not acknowledged, it comes with the error, and can be
// sent again as MessageSendConfig.Retry. If then errors.Is(err, [ErrOutcomeUnknown]), the message may have been stored; a retry
// cannot store it twice (over transport/cloud, which looks for it first, see there). Errors before that have a nil message: [ErrCommonParamsInvalid] for what is wrong with the message,
// [ErrCommonTriggerSDKFrequencyLimit] for more than 10 messages in a second, [ErrNetworkUserIsNotLogged]. The service refuses with
// [ErrCommonTriggerServerFrequencyLimit] if it has too much to do (Error.RetryAfter says when to try again), [ErrMessageTargetDoesNotExist] and other documented codes. (Documented in the chapter on messages.)
func (z *ZIM) SendMessage(ctx context.Context, content Content, to ConversationRef, config *MessageSendConfig) (*Message, error) {
	const op = "SendMessage"
	if config == nil {
		config = &defaultSendConfig
	}
	return z.sendOrRetry(ctx, op, content, to, config, nil)
}

var defaultSendConfig MessageSendConfig

func (z *ZIM) sendOrRetry(ctx context.Context, op string, content Content, to ConversationRef, config *MessageSendConfig, source *Message) (*Message, error) {
	m, err := z.send(ctx, op, content, to, config, source)
	if err == nil {
		return m, nil
	}
	if r := config.Retry; r != nil && r.uncertain && !errors.Is(err, ErrOutcomeUnknown) && !definite(err.Code) {
		unknown(err) // what is known of this try says nothing of the earlier one
	}
	return m, err
}

// definite reports whether the service refuses with that code only what it does not have.
func definite(code Code) bool {
	return code == ErrCommonTriggerServerFrequencyLimit || code == ErrMessageTargetDoesNotExist || code == ErrIdempotencyMismatch
}

// send sends a message, as a reply to source if that isn't nil.
func (z *ZIM) send(ctx context.Context, op string, content Content, to ConversationRef, config *MessageSendConfig, source *Message) (*Message, *Error) {
	s, err := z.active(op)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, canceled(op, ctx)
	}
	now := time.Now()
	o, err := s.newOutgoing(op, now, content, to, config)
	if err != nil {
		return nil, err
	}
	if source != nil {
		o.message.replyTo = source.Seq
	}
	o.send.ReplyTo = o.message.replyTo
	if config.Durable {
		if err := s.feed.durables.check(op, o); err != nil {
			return nil, err
		}
	}
	var files []*pendingFile
	if o.uploaded == nil {
		files, err = z.config.Limits.pending(op, o.message.Content, config.IsAllowMultipleMessagePartialFailed)
		defer closeFiles(files)
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		if err := o.encode(op); err != nil {
			return nil, err
		}
	}
	if o.message.Content.Type() != MessageTypeBarrage {
		if err := z.admit(op, now, config.Priority); err != nil {
			return nil, err
		}
	}
	var adopted *outgoing
	if r := config.Retry; r != nil {
		var busy bool
		if adopted, busy = s.adopt(o.id, config.Durable); busy {
			return nil, invalid(op, "the message to retry is still being sent")
		}
	}
	if config.Durable {
		if err := s.feed.durables.add(s, o); err != nil {
			return nil, err
		}
	}
	var uploading context.Context
	var done func() error
	if len(files) > 0 {
		// Before somebody sees the message, who may cancel it at once.
		if uploading, done = s.uploading(ctx, o.id); uploading == nil {
			return nil, invalid(op, "the message to retry is still being sent")
		}
		defer done()
	}
	if f := config.Notification.OnMessageAttached; f != nil {
		o.shown = true
		f(o.message)
		now = time.Now()
	}
	if adopted == nil && o.storable() && s.feed.chats.sending(o.message) {
		o.shown = true
	}
	if len(files) > 0 {
		uploaded, err := s.upload(uploading, done, op, o, files, config)
		if err == nil {
			o.uploaded = uploaded
			err = o.encode(op)
		}
		if err != nil {
			return s.sent(ctx, o, outcome{err: o.failure(err)})
		}
		now = time.Now()
	}
	if adopted != nil {
		o = adopted
	} else {
		s.enqueue(o, now)
	}
	if o.durable != nil {
		return o.message, nil
	}
	var out outcome
	select {
	case <-o.ended:
		out = o.out
	case <-ctx.Done():
		out = s.abandon(o, ctx)
	}
	return s.sent(ctx, o, out)
}

// sent tells how a send ended, and what follows for the conversation, before SendMessage returns.
func (s *session) sent(ctx context.Context, o *outgoing, out outcome) (*Message, *Error) {
	m, err := out.message, out.err
	if m == nil {
		m, err = o.settled(out, s.filesOf(out.ack))
		s.tellStatus(m, err)
	}
	if out.event != 0 {
		s.feed.await(ctx, out.event)
	}
	if o.storable() {
		s.feed.keepFailed(m, err != nil, o.retry)
		s.feed.keep(m)
		s.feed.chats.sent(ctx, m, err)
	}
	return m, err
}

// encode makes o's content ready to be sent.
func (o *outgoing) encode(op string) *Error {
	content := o.message.Content
	if o.uploaded != nil {
		content = o.uploaded
	}
	data, err := encodeContent(content)
	if err != nil {
		return invalid(op, "%v", err)
	}
	o.send.Content = data
	if n := proto.Size(&o.send); n > maxRequest {
		return invalid(op, "the message has %d bytes with all that belongs to it, the limit is %d", n, maxRequest)
	}
	return nil
}

// admit takes a message from the quota of its priority.
func (z *ZIM) admit(op string, now time.Time, p MessagePriority) *Error {
	l := z.normal
	if p == MessagePriorityHigh {
		l = z.high
	}
	if l.AllowN(now, 1) {
		return nil
	}
	wait := time.Duration((1 - l.TokensAt(now)) / float64(l.Limit()) * float64(time.Second))
	return &Error{Op: op, Code: ErrCommonTriggerSDKFrequencyLimit, RetryAfter: max(wait, time.Millisecond)}
}

// newOutgoing checks a message and makes it ready to be sent.
func (s *session) newOutgoing(op string, now time.Time, content Content, to ConversationRef, config *MessageSendConfig) (*outgoing, *Error) {
	extended, replyTo := config.ExtendedData, int64(0)
	id, earlier := s.z.newLocalID(now), false
	var uploaded Content
	if r := config.Retry; r != nil {
		var ok bool
		if id, ok = parseLocalID(r.LocalID); ok && s.feed.durables.owns(id) {
			return nil, notEnded(op)
		}
		if !ok || r.SentStatus != MessageSentStatusFailed || r.Sender != s.userID {
			return nil, invalid(op, "Retry is no message of this user that failed")
		}
		earlier, uploaded = r.uncertain, r.reusable()
		if content == nil {
			content = r.Content
		}
		if content != r.Content || to != r.Conversation {
			return nil, invalid(op, "a retry has the content and conversation of the message")
		}
		extended, replyTo = r.ExtendedData, r.replyTo
	}
	if err := s.z.config.Limits.checkContent(op, content); err != nil {
		return nil, err
	}
	if err := checkText(op, "extended data", extended, s.z.config.Limits.ExtendedDataSize); err != nil {
		return nil, err
	}
	if err := config.PushConfig.check(op); err != nil {
		return nil, err
	}
	if config.Priority < 0 || config.Priority > MessagePriorityHigh {
		return nil, invalid(op, "the priority is %d", config.Priority)
	}
	if err := s.checkReceiver(op, content, to, config); err != nil {
		return nil, err
	}
	o := &outgoing{
		op:       op,
		id:       id,
		earlier:  earlier,
		uploaded: uploaded,
		retry:    config.Retry != nil,
		reliable: content.Type() != MessageTypeCommand && to.Type != ConversationTypeRoom,
		ended:    make(chan struct{}, 1),
		message: &Message{
			LocalID:      id.String(),
			Sender:       s.userID,
			Conversation: to,
			Direction:    MessageDirectionSend,
			SentStatus:   MessageSentStatusSending,
			Time:         now,
			Priority:     max(config.Priority, MessagePriorityLow),
			ExtendedData: extended,
			Content:      content,

			MentionedUserIDs: config.MentionedUserIDs,
			IsMentionAll:     config.IsMentionAll,

			replyTo: replyTo,
		},
	}
	if config.HasReceipt {
		o.message.ReceiptStatus = MessageReceiptStatusProcessing
	}
	o.send = wire.SendMessageRequest{
		LocalMessageId:            o.id[:],
		ConversationType:          int32(to.Type),
		ConversationId:            to.ID,
		Type:                      int32(content.Type()),
		ExtendedData:              extended,
		Priority:                  int32(o.message.Priority),
		PushConfig:                config.PushConfig.wire(),
		HasReceipt:                config.HasReceipt,
		DisableUnreadMessageCount: config.DisableUnreadMessageCount,
		MentionedUserIds:          config.MentionedUserIDs,
		IsMentionAll:              config.IsMentionAll,
		DisableNotifyMentioned:    config.DisableNotifyMentionedUsers,
	}
	o.body.SendMessage = &o.send
	o.req.Body = &o.body
	return o, nil
}

// checkReceiver checks where a message goes, and what only some conversations have.
func (s *session) checkReceiver(op string, content Content, to ConversationRef, config *MessageSendConfig) *Error {
	typ := content.Type()
	switch to.Type {
	case ConversationTypePeer:
		if err := checkUserID(op, "receiver", to.ID); err != nil {
			return err
		}
		if to.ID == s.userID {
			return invalid(op, "the receiver is the sender")
		}
	case ConversationTypeGroup, ConversationTypeRoom:
		if to.ID == "" || !utf8.ValidString(to.ID) {
			return invalid(op, "the receiver is empty, or no text")
		}
	default:
		return &Error{Op: op, Code: ErrCommonUnsupportedRequest, Message: fmt.Sprintf("conversations of type %v", to.Type), Err: errors.ErrUnsupported}
	}
	if typ == MessageTypeBarrage && to.Type != ConversationTypeRoom {
		return invalid(op, "barrages are for rooms")
	}
	transient := typ == MessageTypeBarrage || typ == MessageTypeCommand
	mentions := len(config.MentionedUserIDs) > 0 || config.IsMentionAll
	if transient && (mentions || config.HasReceipt) || to.Type == ConversationTypeRoom && config.HasReceipt {
		return invalid(op, "a message of this type, or to a room, has no receipts or mentions")
	}
	return checkMentioned(op, config.MentionedUserIDs)
}

func checkMentioned(op string, ids []string) *Error {
	if len(ids) > maxMentioned {
		return invalid(op, "%d users are mentioned, it may be %d", len(ids), maxMentioned)
	}
	for _, id := range ids {
		if err := checkUserID(op, "mentioned user", id); err != nil {
			return err
		}
	}
	return nil
}

// settled returns the message as it is after out, and the error.
func (o *outgoing) settled(out outcome, files *fileServer) (*Message, *Error) {
	m := o.message
	if o.shown || out.err != nil {
		// What others may hold doesn't change; an error may still be corrected.
		m = new(*o.message)
	}
	if out.err != nil {
		m.SentStatus = MessageSentStatusFailed
		m.OrderKey = orderKeyAt(m.Time) // its place in the history of this device
		m.uncertain = errors.Is(out.err, ErrOutcomeUnknown)
		if m.uploaded = o.uploaded; out.err.Code == ErrMessageFileError && !m.uncertain {
			m.uploaded = nil // the service has lost it
		}
		out.err.Op = o.op
		return m, out.err
	}
	m.stored(out.ack, files)
	if out.ack.Content != nil { // else the content is the application's own
		m.keepLocal(o.uploaded)
	}
	return m, nil
}

// reusable returns what a retry of m need not upload again. If m may have been stored, it must not: what came of another upload would be
// another message to the service.
func (m *Message) reusable() Content {
	if multiple, ok := m.uploaded.(*MultipleMessage); ok && len(multiple.FailedIndexList) > 0 && !m.uncertain {
		return nil
	}
	return m.uploaded
}

// stored makes m the message that was acknowledged.
func (m *Message) stored(ack *wire.SendMessageResponse, files *fileServer) {
	m.SentStatus = MessageSentStatusSuccess
	m.ID = strconv.FormatInt(ack.MessageId, 10)
	m.Seq = ack.MessageSeq
	m.OrderKey = ack.OrderKey
	m.Time = time.UnixMilli(ack.TimestampMs)
	if ack.Content != nil {
		m.Content = decodeContent(m.Content.Type(), ack.Content, files)
	}
	if ack.ExtendedData != nil {
		m.ExtendedData = *ack.ExtendedData
	}
	if ack.RepliedInfo != nil {
		m.RepliedInfo = repliedInfo(ack.RepliedInfo, files)
	}
}

// keepLocal adds to the content of a message that was sent what only the sender knows: where its files came from, and which
// items of it failed.
func (m *Message) keepLocal(uploaded Content) {
	multiple, ok := uploaded.(*MultipleMessage)
	if !ok {
		if f := fileOf(m.Content); f != nil && uploaded != nil {
			f.Path = fileOf(uploaded).Path
		}
		return
	}
	sent, ok := m.Content.(*MultipleMessage)
	if !ok {
		return
	}
	var items []Content
	for i, item := range multiple.MessageInfoList {
		if slices.Contains(multiple.FailedIndexList, i) || len(sent.MessageInfoList) == 0 {
			items = append(items, item)
			continue
		}
		there := sent.MessageInfoList[0]
		sent.MessageInfoList = sent.MessageInfoList[1:]
		if f, from := fileOf(there), fileOf(item); f != nil && from != nil {
			f.Path = from.Path
		}
		items = append(items, there)
	}
	m.Content = &MultipleMessage{MessageInfoList: items, FailedIndexList: multiple.FailedIndexList}
}

// storable reports whether the message is to be kept in a conversation.
func (o *outgoing) storable() bool {
	return o.message.Conversation.Type != ConversationTypeRoom && o.message.Content.Type() != MessageTypeCommand
}

// tellStatus reports how a send ended to the handler for it.
func (s *session) tellStatus(m *Message, err *Error) {
	if !s.z.dispatch.wants(kindMessageSentStatusChanged) {
		return
	}
	if !s.z.dispatch.tryPush(queued{event: statusChanged(m, err), count: 1}) {
		s.z.dispatch.drop(1)
	}
}

func statusChanged(m *Message, err *Error) *MessageSentStatusChanged {
	info := MessageSentStatusChangeInfo{Status: m.SentStatus, Message: m}
	if err != nil {
		info.Err = new(*err) // SendMessage may still correct what it returns
		info.Reason = err.Message
		if info.Reason == "" {
			info.Reason = err.Code.String()
		}
	}
	return &MessageSentStatusChanged{Infos: []MessageSentStatusChangeInfo{info}}
}
