package zim

import "time"

// A ConversationRef names a conversation: by its type, and by who or what is at its other end.
type ConversationRef struct {
	ID   string
	Type ConversationType
}

// Peer returns the conversation with one other user.
func Peer(userID string) ConversationRef {
	return ConversationRef{ID: userID, Type: ConversationTypePeer}
}

// Room returns the conversation of all who are in a room.
func Room(roomID string) ConversationRef {
	return ConversationRef{ID: roomID, Type: ConversationTypeRoom}
}

// Group returns the conversation of a group's members.
func Group(groupID string) ConversationRef {
	return ConversationRef{ID: groupID, Type: ConversationTypeGroup}
}

// A Message is an envelope around its Content. Messages that this package hands out don't change any more: each step of a
// message's way is a Message of its own, and LocalID tells that they are the same one.
type Message struct {
	ID           string            // given by the service; empty until the message is stored
	LocalID      string            // made when the message is sent; empty in messages of others (documented as localMessageID)
	Seq          int64             // place in the conversation, 1, 2, 3 and so on; zero for messages that are not stored
	OrderKey     int64             // larger is newer, also across conversations
	Sender       string            // user ID
	Conversation ConversationRef   // for the receiver of a peer message: the sender
	Direction    MessageDirection  // from this user, or to this user
	SentStatus   MessageSentStatus // how sending it went
	Time         time.Time         // when the service got it; while it is on its way, when it was sent
	Priority     MessagePriority   // what the sender asked for
	ExtendedData string            // more from the sender, for the receivers
	Content      Content           // what it says

	// ReceiptStatus says, to the sender, how far the others have read the message, and to the others whether they have sent a
	// receipt. It is MessageReceiptStatusNone unless the sender asked for receipts.
	ReceiptStatus    MessageReceiptStatus
	MentionedUserIDs []string
	IsMentionAll     bool
	Reactions        []MessageReaction
	RepliedInfo      *MessageRepliedInfo // what it replies to; nil unless it is a reply
	RootRepliedCount int64               // how many replies descend from it, if it is the root of their tree
	EditorUserID     string              // who edited it last, if anybody did
	EditedTime       time.Time           // when; zero if nobody did
	PinnedUserID     string              // who pinned it, in what tells of pinned messages
	PinnedTime       time.Time

	LocalExtendedData string // kept by this device alone: see [ZIM.UpdateMessageLocalExtendedData]
	IsUserInserted    bool   // it is only on this device: see [ZIM.InsertMessageToLocalDB]

	IsBroadcastMessage bool // it went to all users
	IsServerMessage    bool // it was sent by the app's server

	uncertain bool    // it failed, and may have been stored nevertheless
	uploaded  Content // it failed after its files were uploaded: what was to be sent
	replyTo   int64   // while it is being sent, and if it failed: the number of what it replies to
}

// MessageSendConfig refines a send. The zero value is the documented default.
type MessageSendConfig struct {
	// Priority decides who passes when there is too much to send. Zero means MessagePriorityLow.
	Priority MessagePriority

	// ExtendedData goes with the message. Up to 1 KB.
	ExtendedData string

	// HasReceipt asks the receiver for a receipt.
	HasReceipt bool

	// DisableUnreadMessageCount leaves the receiver's unread count as it is.
	DisableUnreadMessageCount bool

	// MentionedUserIDs are those whom the message mentions: up to 50. With IsMentionAll it mentions everybody. The text says
	// nothing of it by itself.
	MentionedUserIDs []string
	IsMentionAll     bool
	// DisableNotifyMentionedUsers leaves those alone who are mentioned but have muted the conversation. (The documented
	// isNotifyMentionedUsers, the other way round.)
	DisableNotifyMentionedUsers bool

	// IsAllowMultipleMessagePartialFailed sends a [MultipleMessage] without the items whose files can't be uploaded, unless that
	// is all of them.
	IsAllowMultipleMessagePartialFailed bool

	// Durable has the message survive the end of the program. SendMessage writes it to AppConfig.OutboxDir and returns at once, with the
	// message as it is being sent; if it returns an error, nothing was kept. From then on the outbox owns the message: it is sent,
	// in the order of its conversation, by this ZIM or, after a crash, by the next one on which the user logs in, until the service has
	// taken or refused it, or 24 hours are over. Neither the context, a lost connection, Logout nor Destroy ends it, it can't be canceled,
	// and Retry refuses it. A service that is overloaded is asked again.
	//
	// [MessageSentStatusChanged] tells how it ended, with an Err that matches ErrOutcomeUnknown if it may have been stored nevertheless. That
	// event is never dropped, and comes again after a crash if its handler had not returned. The message is the application's then, and can
	// be sent again as Retry. Messages of an earlier run are sent at the pace of Limits.SendRate, and leave half a second's worth of it
	// to those that are not durable. What is sent to a conversation while it has durable messages waits behind them, up to AppConfig.ResendWindow
	// if it is not durable itself.
	//
	// Only messages to users and groups can be durable, but no commands, and none with files that are still to be uploaded: SendMessage
	// refuses others with [ErrCommonParamsInvalid]. It fails with [ErrDatabaseModifyDatabaseError] if the message can't be written, or if 8 MB of
	// durable messages wait already, of which each counts as 1 KB at least.
	Durable bool

	// PushConfig is for receivers that are offline. Nil means no push.
	PushConfig *PushConfig

	// Retry is a message to send again, with the identity that it has: if the service stored it before, it is not stored
	// again (documented as isRetrySend). It must be the message that SendMessage returned with an error, and is sent with its
	// own content, conversation and extended data, as a reply if it was one; the rest is this config's. Files that were uploaded
	// are not uploaded again. Nil sends a new message.
	Retry *Message

	// Notification observes the send.
	Notification MessageSendNotification
}

// MessageSendNotification observes one send. Any field may be nil.
type MessageSendNotification struct {
	// OnMessageAttached is called once, before anything is sent, by the goroutine that called SendMessage. It is not called
	// for a message that is refused for what it is.
	OnMessageAttached func(*Message)
	// OnMediaUploadingProgress is called while the file of a message is uploaded, with how many bytes of how many are there: at
	// first with 0, at last with all of them, never with less than before, and about ten times a second at most. It is called
	// by the goroutine that called SendMessage.
	OnMediaUploadingProgress func(m *Message, currentFileSize, totalFileSize int64)
	// OnMultipleMediaUploadingProgress is the same for a [MultipleMessage]: for all of its files together, and for the one of the
	// item with that index.
	OnMultipleMediaUploadingProgress func(m *Message, currentFileSize, totalFileSize int64, messageInfoIndex int, currentIndexFileSize, totalIndexFileSize int64)
}

// PushConfig is handed to the provider that reaches offline receivers.
type PushConfig struct {
	Title                  string
	Content                string
	Payload                string
	ResourcesID            string // up to 32 characters
	ThreadID               string
	EnableBadge            bool
	BadgeIncrement         int // 0 to 99
	VoIPConfig             *VoIPConfig
	PrivateMessageTemplate *OfflinePushPrivateMessageTemplate
}

// VoIPConfig makes a push ring.
type VoIPConfig struct {
	IOSVoIPHandleType  CXHandleType
	IOSVoIPHandleValue string
	IOSVoIPHasVideo    bool
}

// OfflinePushPrivateMessageTemplate names a text that the push provider knows.
type OfflinePushPrivateMessageTemplate struct {
	TemplateID        string
	TitleParameters   string
	ContentParameters string
}
