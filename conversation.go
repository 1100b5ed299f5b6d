package zim

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/zim-go/zim/wire"
)

// A Conversation is what one user has of a conversation with a user or a group. All but the draft is kept by the service and
// the same on all of the user's devices. Conversations that this package hands out don't change any more.
type Conversation struct {
	ConversationID        string
	Type                  ConversationType
	ConversationName      string // the user's, or the group's
	ConversationAvatarUrl string
	NotificationStatus    ConversationNotificationStatus
	UnreadMessageCount    int
	ReadMessageSeq        int64    // the last message that was there when unread messages were cleared
	LastMessage           *Message // nil if there is none that the user can see
	OrderKey              int64    // larger is newer; it is the last message's
	IsPinned              bool
	PinnedTime            time.Time // zero unless it is pinned
	MentionedInfoList     []MessageMentionedInfo
	Draft                 string // kept by this device alone
	Marks                 []int  // 1 to 60
	IsDisabled            bool   // nothing can be sent to it: the user is not in the group, or there is none any more

	local bool // the service does not have it
}

// Ref returns what names the conversation.
func (c *Conversation) Ref() ConversationRef {
	return ConversationRef{ID: c.ConversationID, Type: c.Type}
}

// MessageMentionedInfo is a message that mentions the user, who has not read it.
type MessageMentionedInfo struct {
	MessageID  string
	MessageSeq int64
	FromUserID string
	Type       MessageMentionedType
}

// ConversationChanged tells how conversations are now. It comes for what the user did, on each of the user's devices, and for what
// others did.
type ConversationChanged struct {
	InfoList []ConversationChangeInfo
}

// ConversationChangeInfo is a conversation that changed. One that was deleted is there as it was.
type ConversationChangeInfo struct {
	Event        ConversationEvent
	Conversation *Conversation
}

// ConversationTotalUnreadMessageCountUpdated tells how much is unread in all conversations that are not muted: after a login or a
// lost connection, and whenever it changes.
type ConversationTotalUnreadMessageCountUpdated struct {
	TotalUnreadMessageCount int
}

// ConversationSyncStateChanged tells that what changed in conversations while there was no connection is being told, by
// [ConversationChanged], and that it was.
type ConversationSyncStateChanged struct {
	State ConversationSyncState
}

// ConversationsAllDeleted tells that all of the user's conversations were deleted, on this device or another one.
type ConversationsAllDeleted struct {
	Count int // how many there were
}

// ConversationMessageReceiptChanged tells that the other user has read all messages up to one of them, or that another device
// of this user has said so (IsSelfOperated).
type ConversationMessageReceiptChanged struct {
	Infos []MessageReceiptInfo
}

func (*ConversationChanged) event() eventKind { return kindConversationChanged }
func (*ConversationTotalUnreadMessageCountUpdated) event() eventKind {
	return kindConversationTotalUnreadMessageCountUpdated
}
func (*ConversationSyncStateChanged) event() eventKind { return kindConversationSyncStateChanged }
func (*ConversationsAllDeleted) event() eventKind      { return kindConversationsAllDeleted }
func (*ConversationMessageReceiptChanged) event() eventKind {
	return kindConversationMessageReceiptChanged
}

// ConversationFilterOption leaves conversations out. The zero value leaves none out.
type ConversationFilterOption struct {
	ConversationTypes        []ConversationType // empty: all
	Marks                    []int              // empty: whatever their marks; -1: with any mark, 0: with none, else with one of these
	IsOnlyUnreadConversation bool
	PinnedFilter             ConversationPinnedFilter
}

func (o ConversationFilterOption) wire() *wire.ConversationFilter {
	w := &wire.ConversationFilter{OnlyUnread: o.IsOnlyUnreadConversation, Pinned: int32(o.PinnedFilter)}
	for _, t := range o.ConversationTypes {
		w.Types = append(w.Types, int32(t))
	}
	for _, m := range o.Marks {
		w.Marks = append(w.Marks, int32(m))
	}
	return w
}

// ConversationQueryConfig asks for a page of the user's conversations.
type ConversationQueryConfig struct {
	// NextConversation is the last conversation of the page before. Nil asks for the first page.
	NextConversation *Conversation
	// Count is how many are wanted, up to 500. Zero means 100.
	Count int
	// Filter is documented as option, a parameter of its own.
	Filter ConversationFilterOption
}

// QueryConversationList returns one page of the user's conversations with users and groups: the pinned ones, then the others, each
// the newest first. An empty page is the end. The service has the newest 1000. For all of them, see [ZIM.Conversations].
// It fails with the codes of any call: [ErrNetworkUserIsNotLogged], [ErrNetworkNetworkError] without a connection,
// [ErrNetworkRequestTimeout], [ErrCommonIMServerDisconnect] if the connection breaks.
func (z *ZIM) QueryConversationList(ctx context.Context, config ConversationQueryConfig) ([]*Conversation, error) {
	list, _, err := z.conversationPage(ctx, "QueryConversationList", config)
	return list, err
}

// QueryConversationPinnedList is [ZIM.QueryConversationList] for pinned conversations.
func (z *ZIM) QueryConversationPinnedList(ctx context.Context, config ConversationQueryConfig) ([]*Conversation, error) {
	config.Filter.PinnedFilter = ConversationPinnedFilterOnlyPinned
	list, _, err := z.conversationPage(ctx, "QueryConversationPinnedList", config)
	return list, err
}

// Conversations yields all of the user's conversations that a filter lets through, in the order of [ZIM.QueryConversationList], and
// gets page after page. A page that fails ends the sequence with its error. A conversation that a message comes to meanwhile may be missing.
func (z *ZIM) Conversations(ctx context.Context, filter ConversationFilterOption) iter.Seq2[*Conversation, error] {
	return paginate(ctx, (*Conversation)(nil), func(after *Conversation) (list []*Conversation, next *Conversation, more bool, err error) {
		list, more, err = z.conversationPage(ctx, "Conversations", ConversationQueryConfig{NextConversation: after, Count: 500, Filter: filter})
		if len(list) > 0 {
			next = list[len(list)-1]
		}
		return list, next, more && len(list) > 0, err
	})
}

func (z *ZIM) conversationPage(ctx context.Context, op string, config ConversationQueryConfig) ([]*Conversation, bool, error) {
	if config.Count < 0 {
		return nil, false, invalid(op, "the count is %d", config.Count)
	}
	req := &wire.QueryConversationsRequest{Count: int32(min(config.Count, 500)), Filter: config.Filter.wire()}
	if after := config.NextConversation; after != nil {
		req.After = &wire.ConversationPlace{IsPinned: after.IsPinned, OrderKey: after.OrderKey, Ref: after.Ref().wire()}
	}
	s, e := z.active(op)
	if e != nil {
		return nil, false, e
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryConversations{QueryConversations: req}})
	if err != nil {
		return nil, false, err
	}
	list := s.feed.chats.queried(resp.GetConversations())
	return list, resp.GetConversations().GetMore(), nil
}

// QueryConversation returns one conversation. It fails with [ErrConversationConversationDoesNotExist] if the user does not have it, and
// otherwise as [ZIM.QueryConversationList].
func (z *ZIM) QueryConversation(ctx context.Context, c ConversationRef) (*Conversation, error) {
	const op = "QueryConversation"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	req := &wire.QueryConversationsRequest{Refs: []*wire.ConversationRef{c.wire()}}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryConversations{QueryConversations: req}})
	if err != nil {
		return nil, err
	}
	list := s.feed.chats.queried(resp.GetConversations())
	if len(list) == 0 {
		if v := s.feed.chats.local(c); v != nil {
			return v, nil
		}
		return nil, &Error{Op: op, Code: ErrConversationConversationDoesNotExist}
	}
	return list[0], nil
}

// ConversationTotalUnreadMessageCountQueryConfig says which conversations count.
type ConversationTotalUnreadMessageCountQueryConfig struct {
	ConversationTypes []ConversationType // empty: all
	Marks             []int              // as in ConversationFilterOption
}

// QueryConversationTotalUnreadMessageCount returns how much is unread in all conversations that are not muted.
func (z *ZIM) QueryConversationTotalUnreadMessageCount(ctx context.Context, config ConversationTotalUnreadMessageCountQueryConfig) (int, error) {
	filter := ConversationFilterOption{ConversationTypes: config.ConversationTypes, Marks: config.Marks}
	resp, err := z.call(ctx, "QueryConversationTotalUnreadMessageCount", &wire.Request{Body: &wire.Request_QueryTotalUnread{
		QueryTotalUnread: &wire.QueryTotalUnreadRequest{Filter: filter.wire()},
	}})
	return int(resp.GetTotalUnread().GetCount()), err
}

// changeConversations changes something in conversations, in all of them if refs is empty. It returns those where that failed.
func (z *ZIM) changeConversations(ctx context.Context, op string, refs []ConversationRef, req *wire.ChangeConversationsRequest) ([]ConversationRef, error) {
	for _, ref := range refs {
		req.Refs = append(req.Refs, ref.wire())
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_ChangeConversations{ChangeConversations: req}})
	var failed []ConversationRef
	for _, ref := range resp.GetChangeConversations().GetFailed() {
		failed = append(failed, conversationRef(ref))
	}
	return failed, err
}

// UpdateConversationPinnedState pins a conversation, so that it comes before others in the list, or unpins it. It fails with
// [ErrConversationConversationDoesNotExist], and with [ErrConversationConversationPinnedListReachedLimit] if 100 are pinned.
func (z *ZIM) UpdateConversationPinnedState(ctx context.Context, c ConversationRef, isPinned bool) error {
	_, err := z.changeConversations(ctx, "UpdateConversationPinnedState", []ConversationRef{c}, &wire.ChangeConversationsRequest{
		Change: &wire.ChangeConversationsRequest_Pin{Pin: isPinned},
	})
	return err
}

// SetConversationNotificationStatus mutes a conversation or gives it its voice back. A muted one counts its unread messages, but
// is no part of the total, and nobody is pushed for it. It fails with [ErrConversationConversationDoesNotExist].
func (z *ZIM) SetConversationNotificationStatus(ctx context.Context, c ConversationRef, status ConversationNotificationStatus) error {
	_, err := z.changeConversations(ctx, "SetConversationNotificationStatus", []ConversationRef{c}, &wire.ChangeConversationsRequest{
		Change: &wire.ChangeConversationsRequest_NotificationStatus{NotificationStatus: int32(status)},
	})
	return err
}

// SetConversationMark gives a mark of 1 to 60 to up to 100 conversations, or takes it away. What marks mean is up to the
// application. It returns the conversations for which that failed, and fails if it failed for all.
func (z *ZIM) SetConversationMark(ctx context.Context, markType int, enable bool, conversations []ConversationRef) ([]ConversationRef, error) {
	const op = "SetConversationMark"
	if markType < 1 || markType > maxMark {
		return nil, invalid(op, "the mark is %d, it may be 1 to %d", markType, maxMark)
	}
	if n := len(conversations); n == 0 || n > 100 {
		return nil, invalid(op, "there are %d conversations, it may be 1 to 100", n)
	}
	return z.changeConversations(ctx, op, conversations, &wire.ChangeConversationsRequest{
		Change: &wire.ChangeConversationsRequest_Mark{Mark: &wire.ConversationMark{Mark: int32(markType), Enable: enable}},
	})
}

// ClearConversationUnreadMessageCount makes all that came so far in a conversation read, for this user; nobody else learns of it.
// It fails with [ErrConversationConversationDoesNotExist].
func (z *ZIM) ClearConversationUnreadMessageCount(ctx context.Context, c ConversationRef) error {
	_, err := z.changeConversations(ctx, "ClearConversationUnreadMessageCount", []ConversationRef{c}, &wire.ChangeConversationsRequest{
		Change: &wire.ChangeConversationsRequest_ClearUnread{ClearUnread: true},
	})
	return err
}

// ClearConversationTotalUnreadMessageCount is [ZIM.ClearConversationUnreadMessageCount] for all conversations.
func (z *ZIM) ClearConversationTotalUnreadMessageCount(ctx context.Context) error {
	_, err := z.changeConversations(ctx, "ClearConversationTotalUnreadMessageCount", nil, &wire.ChangeConversationsRequest{
		Change: &wire.ChangeConversationsRequest_ClearUnread{ClearUnread: true},
	})
	return err
}

// ConversationDeleteConfig refines the deletion of conversations.
type ConversationDeleteConfig struct {
	// KeepServerConversation deletes only what this device has: until something changes in the conversation, or the list is
	// queried. (The documented isAlsoDeleteServerConversation, the other way round.)
	KeepServerConversation bool
}

// DeleteConversation takes a conversation off the user's list, at the service and on this device. Its messages stay, and the next one
// brings it back. To delete them too, call [ZIM.DeleteAllMessage] first. A nil config means the zero ConversationDeleteConfig. It fails with
// [ErrConversationConversationDoesNotExist].
func (z *ZIM) DeleteConversation(ctx context.Context, c ConversationRef, config *ConversationDeleteConfig) error {
	const op = "DeleteConversation"
	s, e := z.active(op)
	if e != nil {
		return e
	}
	chats := s.feed.chats
	if config != nil && config.KeepServerConversation {
		chats.forget(c, true)
		return nil
	}
	_, err := z.changeConversations(ctx, op, []ConversationRef{c}, &wire.ChangeConversationsRequest{
		Change: &wire.ChangeConversationsRequest_Delete{Delete: true},
	})
	if CodeOf(err) == ErrConversationConversationDoesNotExist && chats.local(c) != nil {
		err = nil
	}
	if err == nil {
		chats.forget(c, false) // also if this device did not know that the service has it, too
	}
	return err
}

// DeleteAllConversations is [ZIM.DeleteConversation] for all of them, which [ConversationsAllDeleted] tells.
func (z *ZIM) DeleteAllConversations(ctx context.Context, config *ConversationDeleteConfig) error {
	const op = "DeleteAllConversations"
	s, e := z.active(op)
	if e != nil {
		return e
	}
	if config != nil && config.KeepServerConversation {
		n := s.feed.chats.count()
		s.feed.chats.forgetAll()
		z.dispatch.push(&ConversationsAllDeleted{Count: n})
		return nil
	}
	_, err := z.changeConversations(ctx, op, nil, &wire.ChangeConversationsRequest{
		Change: &wire.ChangeConversationsRequest_Delete{Delete: true},
	})
	return err
}

// SendConversationMessageReceiptRead tells the other user of a peer conversation that all messages so far were read. Use it, or
// [ZIM.SendMessageReceiptsRead], but not both. It fails with [ErrConversationConversationDoesNotExist].
func (z *ZIM) SendConversationMessageReceiptRead(ctx context.Context, c ConversationRef) error {
	const op = "SendConversationMessageReceiptRead"
	if c.Type != ConversationTypePeer {
		return invalid(op, "receipts for a whole conversation are for conversations with one user")
	}
	_, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_ReadConversation{
		ReadConversation: &wire.ReadConversationRequest{Conversation: c.wire()},
	}})
	return err
}

// conversation makes a conversation of w. The caller holds mu.
func (c *chats) conversation(w *wire.Conversation, files *fileServer) *Conversation {
	ref := conversationRef(w.Ref)
	v := &Conversation{
		ConversationID:        ref.ID,
		Type:                  ref.Type,
		ConversationName:      w.Name,
		ConversationAvatarUrl: w.AvatarUrl,
		NotificationStatus:    ConversationNotificationStatus(w.NotificationStatus),
		UnreadMessageCount:    int(w.UnreadCount),
		ReadMessageSeq:        w.ReadSeq,
		OrderKey:              w.OrderKey,
		IsPinned:              w.PinnedTimeMs != 0,
		PinnedTime:            timeOf(w.PinnedTimeMs),
		IsDisabled:            w.IsDisabled,
		Draft:                 c.drafts[ref],
	}
	if w.LastMessage != nil {
		v.LastMessage = message(w.LastMessage, c.feed.userID, files)
	}
	for _, m := range w.Mentions {
		v.MentionedInfoList = append(v.MentionedInfoList, MessageMentionedInfo{
			MessageID: strconv.FormatInt(m.MessageId, 10), MessageSeq: m.MessageSeq, FromUserID: m.FromUserId, Type: MessageMentionedType(m.Type),
		})
	}
	for _, m := range w.Marks {
		v.Marks = append(v.Marks, int(m))
	}
	slices.Sort(v.Marks)
	return v
}
