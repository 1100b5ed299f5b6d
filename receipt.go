package zim

import (
	"context"
	"strconv"
	"time"

	"github.com/zim-go/zim/wire"
)

// MessageReceiptInfo is how far a message was read: by the others, if this user sent it, or by this user.
type MessageReceiptInfo struct {
	// Status is MessageReceiptStatusDone once all have read it who are to read it, else MessageReceiptStatusProcessing.
	Status       MessageReceiptStatus
	MessageID    string // for a whole conversation, the last message that was read
	MessageSeq   int64
	Conversation ConversationRef
	// ReadMemberCount and UnreadMemberCount are for messages that this user sent: of those who got it and are still there.
	ReadMemberCount   int
	UnreadMemberCount int
	IsSelfOperated    bool      // this user has read it, on another device
	ReadTime          time.Time // when the last of them read it, or this user did; zero if that is not known
}

func receiptInfo(r *wire.Receipt) MessageReceiptInfo {
	return MessageReceiptInfo{
		Status: MessageReceiptStatus(r.Status), MessageID: strconv.FormatInt(r.MessageId, 10), MessageSeq: r.MessageSeq,
		Conversation: conversationRef(r.Conversation), ReadMemberCount: int(r.ReadCount), UnreadMemberCount: int(r.UnreadCount),
		IsSelfOperated: r.IsSelfOperated, ReadTime: timeOf(r.ReadTimeMs),
	}
}

// MessageReceiptChanged tells the sender of messages how far they were read, and the reader's other devices that they were
// (IsSelfOperated).
type MessageReceiptChanged struct {
	Infos []MessageReceiptInfo
}

func (*MessageReceiptChanged) event() eventKind { return kindMessageReceiptChanged }

// SendMessageReceiptsRead tells the senders of up to 10 messages of a conversation that this user has read them. They must have asked
// for receipts (MessageSendConfig.HasReceipt). Unread counts stay as they are. It returns the messages for which no receipt was
// sent because they want none or are not there, and fails with [ErrMessageReceiptReadError] if that is all of them, with
// [ErrMessageMessageReceiptLimit] for more than 10.
func (z *ZIM) SendMessageReceiptsRead(ctx context.Context, c ConversationRef, messageList []*Message) (errorMessages []*Message, err error) {
	_, errorMessages, err = z.receipts(ctx, "SendMessageReceiptsRead", c, messageList, true)
	return errorMessages, err
}

// QueryMessageReceiptsInfo returns how far up to 10 messages of a conversation were read, and those that have no receipts.
func (z *ZIM) QueryMessageReceiptsInfo(ctx context.Context, c ConversationRef, messageList []*Message) (infos []MessageReceiptInfo, errorMessages []*Message, err error) {
	return z.receipts(ctx, "QueryMessageReceiptsInfo", c, messageList, false)
}

func (z *ZIM) receipts(ctx context.Context, op string, c ConversationRef, list []*Message, read bool) ([]MessageReceiptInfo, []*Message, error) {
	if n := len(list); n > maxReceipts {
		return nil, nil, &Error{Op: op, Code: ErrMessageMessageReceiptLimit, Message: "there are " + strconv.Itoa(n) + " messages, it may be 10"}
	} else if n == 0 {
		return nil, nil, invalid(op, "there are no messages")
	}
	req := &wire.ReceiptsRequest{Conversation: c.wire(), Read: read}
	for _, m := range list {
		if e := stored(op, m); e != nil {
			return nil, nil, e
		}
		if m.Conversation != c {
			return nil, nil, invalid(op, "the messages are of several conversations")
		}
		req.Seqs = append(req.Seqs, m.Seq)
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_Receipts{Receipts: req}})
	if err != nil {
		return nil, nil, err
	}
	var infos []MessageReceiptInfo
	for _, r := range resp.GetReceipts().GetReceipts() {
		infos = append(infos, receiptInfo(r))
	}
	var failed []*Message
	for _, seq := range resp.GetReceipts().GetFailed() {
		for _, m := range list {
			if m.Seq == seq {
				failed = append(failed, m)
				break
			}
		}
	}
	return infos, failed, nil
}

// GroupMessageReceiptMemberQueryConfig asks for a page of members.
type GroupMessageReceiptMemberQueryConfig struct {
	NextFlag int64 // what the page before returned; zero asks for the first one
	Count    int   // up to 100; zero means 100
}

// QueryGroupMessageReceiptReadMemberList returns a page of those of a group who have read a message of this user's, and what to ask
// for next, zero at the end. Those count who were in the group when it was sent, and still are.
func (z *ZIM) QueryGroupMessageReceiptReadMemberList(ctx context.Context, m *Message, config GroupMessageReceiptMemberQueryConfig) (members []*GroupMemberInfo, nextFlag int64, err error) {
	return z.receiptMembers(ctx, "QueryGroupMessageReceiptReadMemberList", m, config, false)
}

// QueryGroupMessageReceiptUnreadMemberList is [ZIM.QueryGroupMessageReceiptReadMemberList] for those who have not read it.
func (z *ZIM) QueryGroupMessageReceiptUnreadMemberList(ctx context.Context, m *Message, config GroupMessageReceiptMemberQueryConfig) (members []*GroupMemberInfo, nextFlag int64, err error) {
	return z.receiptMembers(ctx, "QueryGroupMessageReceiptUnreadMemberList", m, config, true)
}

func (z *ZIM) receiptMembers(ctx context.Context, op string, m *Message, config GroupMessageReceiptMemberQueryConfig, unread bool) ([]*GroupMemberInfo, int64, error) {
	if e := stored(op, m); e != nil {
		return nil, 0, e
	}
	if config.Count < 0 || config.Count > maxPage {
		return nil, 0, invalid(op, "the count is %d, it may be up to %d", config.Count, maxPage)
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryReceiptMembers{QueryReceiptMembers: &wire.QueryReceiptMembersRequest{
		Message: wireMessageRef(m), Unread: unread, Next: config.NextFlag, Count: int32(config.Count),
	}}})
	if err != nil {
		return nil, 0, err
	}
	return groupMembers(resp.GetGroupMembers().GetMembers()), resp.GetGroupMembers().GetNext(), nil
}
