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

	uncertain bool // it failed, and may have been stored nevertheless
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

	// PushConfig is for receivers that are offline. Nil means no push.
	PushConfig *PushConfig

	// Retry is a message to send again, with the identity that it has: if the service stored it before, it is not stored
	// again (documented as isRetrySend). It must be the message that SendMessage returned with an error, and is sent with its
	// own content, conversation and extended data. Nil sends a new message.
	Retry *Message

	// Notification observes the send.
	Notification MessageSendNotification
}

// MessageSendNotification observes one send. Any field may be nil.
type MessageSendNotification struct {
	// OnMessageAttached is called once, before anything is sent, by the goroutine that called SendMessage. It is not called
	// for a message that is refused for what it is.
	OnMessageAttached func(*Message)
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
