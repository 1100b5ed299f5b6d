package zim

import (
	"context"
	"iter"
	"time"

	"github.com/zim-go/zim/wire"
)

// MessageRepliedInfo is the message that a reply quotes.
type MessageRepliedInfo struct {
	State        MessageRepliedInfoState
	MessageInfo  Content // what it said, or a [RevokeMessage] once it was revoked (documented as a lite info)
	SenderUserID string
	SentTime     time.Time
	MessageID    string
	MessageSeq   int64
}

// MessageRepliedInfoChanged brings replies whose quoted message was edited or revoked or, for this user, deleted.
type MessageRepliedInfoChanged struct {
	MessageList []*Message
}

// MessageRepliedCountChanged tells everybody in a conversation how many replies a message has, with the replies to its replies.
type MessageRepliedCountChanged struct {
	Infos []MessageRootRepliedCountInfo
}

// MessageRootRepliedCountInfo is how many replies the root of a tree has.
type MessageRootRepliedCountInfo struct {
	MessageID    string
	Conversation ConversationRef
	Count        int64
}

func (*MessageRepliedInfoChanged) event() eventKind  { return kindMessageRepliedInfoChanged }
func (*MessageRepliedCountChanged) event() eventKind { return kindMessageRepliedCountChanged }

// ReplyMessage is [ZIM.SendMessage] to the conversation of toOriginalMessage, as a reply to it. Both are messages to a user or a
// group, and neither commands, barrages, tips nor revoked messages. It fails with [ErrMessageTargetDoesNotExist] if the original is
// not there any more, and otherwise as SendMessage.
func (z *ZIM) ReplyMessage(ctx context.Context, content Content, toOriginalMessage *Message, config *MessageSendConfig) (*Message, error) {
	const op = "ReplyMessage"
	if config == nil {
		config = new(MessageSendConfig)
	}
	if e := stored(op, toOriginalMessage); e != nil {
		return nil, e
	}
	return z.sendOrRetry(ctx, op, content, toOriginalMessage.Conversation, config, toOriginalMessage)
}

// MessageRepliedListQueryConfig asks for a page of replies.
type MessageRepliedListQueryConfig struct {
	NextFlag int64 // what the page before returned; zero asks for the first one
	Count    int   // up to 100; zero means 30
}

// MessageRootRepliedInfo is the root of a tree of replies.
type MessageRootRepliedInfo struct {
	State        MessageRepliedInfoState
	Message      *Message // nil unless the state is MessageRepliedInfoStateNormal
	SenderUserID string
	SentTime     time.Time
	RepliedCount int64
}

// MessageRepliedListQueriedResult is a page of a tree of replies.
type MessageRepliedListQueriedResult struct {
	MessageList     []*Message // the oldest first
	NextFlag        int64      // asks for the next page; zero at the end
	RootRepliedInfo MessageRootRepliedInfo
}

// QueryMessageRepliedList returns a page of the replies of the tree that m is in: m may be its root, or any of the replies. For all of
// them, see [ZIM.MessageReplies].
func (z *ZIM) QueryMessageRepliedList(ctx context.Context, m *Message, config MessageRepliedListQueryConfig) (*MessageRepliedListQueriedResult, error) {
	const op = "QueryMessageRepliedList"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	if e := stored(op, m); e != nil {
		return nil, e
	}
	if config.Count < 0 || config.Count > maxPage {
		return nil, invalid(op, "the count is %d, it may be up to %d", config.Count, maxPage)
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryRepliedMessages{QueryRepliedMessages: &wire.QueryRepliedMessagesRequest{
		Message: wireMessageRef(m), Next: config.NextFlag, Count: int32(config.Count),
	}}})
	if err != nil {
		return nil, err
	}
	w := resp.GetRepliedMessages()
	result := &MessageRepliedListQueriedResult{
		MessageList: s.feed.messages(&wire.Messages{Messages: w.GetMessages()}),
		NextFlag:    w.GetNext(),
		RootRepliedInfo: MessageRootRepliedInfo{
			State: MessageRepliedInfoState(w.GetRootState()), SenderUserID: w.GetRootSenderUserId(),
			SentTime: timeOf(w.GetRootSentTimeMs()), RepliedCount: w.GetRootRepliedCount(),
		},
	}
	if w.GetRoot() != nil {
		result.RootRepliedInfo.Message = s.feed.localize([]*Message{message(w.Root, s.userID, s.feed.fileServer())})[0]
	}
	return result, nil
}

// MessageReplies yields all replies of the tree that m is in, the oldest first, and gets page after page. A page that fails ends
// the sequence with its error.
func (z *ZIM) MessageReplies(ctx context.Context, m *Message) iter.Seq2[*Message, error] {
	return paginate(ctx, int64(0), func(at int64) (list []*Message, next int64, more bool, err error) {
		page, err := z.QueryMessageRepliedList(ctx, m, MessageRepliedListQueryConfig{NextFlag: at, Count: maxPage})
		if err != nil {
			return nil, 0, false, err
		}
		return page.MessageList, page.NextFlag, page.NextFlag != 0, nil
	})
}

// MessagePinConfig refines the pinning of a message.
type MessagePinConfig struct {
	// DisableAutoReplace fails with [ErrMessageTheNumberOfPinnedMessagesExceedsLimit] if 10 messages are pinned, instead of
	// unpinning the one that was pinned first.
	DisableAutoReplace bool
}

// MessagePinStatusChanged tells everybody in a conversation, also the ZIM that did it, which messages were pinned or unpinned.
type MessagePinStatusChanged struct {
	Infos []MessagePinStatusChangeInfo
}

// MessagePinStatusChangeInfo is a message that was pinned or unpinned.
type MessagePinStatusChangeInfo struct {
	PinStatus MessagePinStatus
	Message   *Message // with its PinnedUserID and PinnedTime
}

func (*MessagePinStatusChanged) event() eventKind { return kindMessagePinStatusChanged }

// PinMessage pins a message to its conversation with a user or a group, for all, or unpins it. Any of them may. A nil config
// means the zero MessagePinConfig. It fails with [ErrMessageMessageIsNotPinned] if it is to be unpinned and isn't pinned.
func (z *ZIM) PinMessage(ctx context.Context, m *Message, isPinned bool, config *MessagePinConfig) error {
	const op = "PinMessage"
	if e := stored(op, m); e != nil {
		return e
	}
	_, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_PinMessage{PinMessage: &wire.PinMessageRequest{
		Message: wireMessageRef(m), Pin: isPinned, DisableAutoReplace: config != nil && config.DisableAutoReplace,
	}}})
	return err
}

// QueryPinnedMessageList returns the pinned messages of a conversation, the one that was pinned last first.
func (z *ZIM) QueryPinnedMessageList(ctx context.Context, c ConversationRef) ([]*Message, error) {
	const op = "QueryPinnedMessageList"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryPinnedMessages{
		QueryPinnedMessages: &wire.QueryPinnedMessagesRequest{Conversation: c.wire()},
	}})
	if err != nil {
		return nil, err
	}
	return s.feed.messages(resp.GetMessages()), nil
}
