package zim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/wire"
)

// SendMessage sends content to a conversation and waits until the service has stored it, or, for a [CommandMessage], has
// handed it on. A nil config means the zero MessageSendConfig.
//
// Messages wait for a lost connection for up to 30 seconds (AppConfig.ResendWindow) and then are sent, in the order of their
// SendMessage calls; a command is sent at once or never. If ctx ends first, SendMessage returns, and what was not on its way
// yet is not sent.
//
// The returned message is what was stored. If the message was attached but not acknowledged, it comes with the error, and can be
// sent again as MessageSendConfig.Retry. If then errors.Is(err, [ErrOutcomeUnknown]), the message may have been stored; a retry
// cannot store it twice. Errors before that have a nil message: [ErrCommonParamsInvalid] for what is wrong with the message,
// [ErrCommonTriggerSDKFrequencyLimit] for more than 10 messages in a second, [ErrNetworkUserIsNotLogged]. The service refuses with
// [ErrMessageTargetDoesNotExist] and other documented codes. (Documented in the chapter on messages.)
func (z *ZIM) SendMessage(ctx context.Context, content Content, to ConversationRef, config *MessageSendConfig) (*Message, error) {
	const op = "SendMessage"
	if config == nil {
		config = new(MessageSendConfig)
	}
	m, err := z.send(ctx, op, content, to, config)
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

func (z *ZIM) send(ctx context.Context, op string, content Content, to ConversationRef, config *MessageSendConfig) (*Message, *Error) {
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
	if err := z.admit(op, now, config.Priority); err != nil {
		return nil, err
	}
	var adopted *outgoing
	if r := config.Retry; r != nil {
		var busy bool
		if adopted, busy = s.adopt(o.id); busy {
			return nil, invalid(op, "the message to retry is still being sent")
		}
	}
	if f := config.Notification.OnMessageAttached; f != nil {
		o.shown = true
		f(o.message)
		now = time.Now()
	}
	if adopted != nil {
		o = adopted
	} else {
		s.enqueue(o, now)
	}
	var out outcome
	select {
	case out = <-o.result:
	case <-ctx.Done():
		out = s.abandon(o, ctx)
	}
	m, err := o.settled(op, out)
	if !out.told {
		s.tellStatus(m, err)
	}
	return m, err
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
	extended := config.ExtendedData
	id, earlier := s.z.newLocalID(now), false
	if r := config.Retry; r != nil {
		var ok bool
		if id, ok = parseLocalID(r.LocalID); !ok || r.SentStatus != MessageSentStatusFailed || r.Sender != s.userID {
			return nil, invalid(op, "Retry is no message of this user that failed")
		}
		earlier = r.uncertain
		if content == nil {
			content = r.Content
		}
		if content != r.Content || to != r.Conversation {
			return nil, invalid(op, "a retry has the content and conversation of the message")
		}
		extended = r.ExtendedData
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
	if to.Type != ConversationTypePeer {
		return nil, &Error{Op: op, Code: ErrCommonUnsupportedRequest, Message: fmt.Sprintf("conversations of type %v", to.Type), Err: errors.ErrUnsupported}
	}
	if err := checkUserID(op, "receiver", to.ID); err != nil {
		return nil, err
	}
	if to.ID == s.userID {
		return nil, invalid(op, "the receiver is the sender")
	}
	data, err := encodeContent(content)
	if err != nil {
		return nil, invalid(op, "%v", err)
	}
	o := &outgoing{
		id:       id,
		earlier:  earlier,
		reliable: content.Type() != MessageTypeCommand && content.Type() != MessageTypeBarrage,
		result:   make(chan outcome, 1),
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
		},
	}
	o.send = wire.SendMessageRequest{
		LocalMessageId:            o.id[:],
		ConversationType:          int32(to.Type),
		ConversationId:            to.ID,
		Type:                      int32(content.Type()),
		Content:                   data,
		ExtendedData:              extended,
		Priority:                  int32(o.message.Priority),
		PushConfig:                config.PushConfig.wire(),
		HasReceipt:                config.HasReceipt,
		DisableUnreadMessageCount: config.DisableUnreadMessageCount,
	}
	o.body.SendMessage = &o.send
	o.req.Body = &o.body
	if n := proto.Size(&o.send); n > maxRequest {
		return nil, invalid(op, "the message has %d bytes with all that belongs to it, the limit is %d", n, maxRequest)
	}
	return o, nil
}

// settled returns the message as it is after out, and the error.
func (o *outgoing) settled(op string, out outcome) (*Message, *Error) {
	m := o.message
	if o.shown || out.err != nil {
		// What others may hold doesn't change; an error may still be corrected.
		m = new(*o.message)
	}
	if out.err != nil {
		m.SentStatus = MessageSentStatusFailed
		m.uncertain = errors.Is(out.err, ErrOutcomeUnknown)
		out.err.Op = op
		return m, out.err
	}
	m.stored(out.ack)
	return m, nil
}

// stored makes m the message that was acknowledged.
func (m *Message) stored(ack *wire.SendMessageResponse) {
	m.SentStatus = MessageSentStatusSuccess
	m.ID = strconv.FormatInt(ack.MessageId, 10)
	m.Seq = ack.MessageSeq
	m.OrderKey = ack.OrderKey
	m.Time = time.UnixMilli(ack.TimestampMs)
}

// tellStatus reports how a send ended to the handler for it.
func (s *session) tellStatus(m *Message, err *Error) {
	if !s.z.dispatch.wants(kindMessageSentStatusChanged) {
		return
	}
	info := MessageSentStatusChangeInfo{Status: m.SentStatus, Message: m}
	if err != nil {
		info.Reason = err.Message
		if info.Reason == "" {
			info.Reason = err.Code.String()
		}
	}
	q := queued{event: &MessageSentStatusChanged{Infos: []MessageSentStatusChangeInfo{info}}, count: 1}
	if !s.z.dispatch.tryPush(q) {
		s.z.dispatch.drop(1)
	}
}
