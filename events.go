package zim

import "time"

// Event is implemented by pointers to the event types of this package, and by nothing else. They are:
//
//   - of the connection: [ConnectionStateChanged], [TokenWillExpire], [Error]
//   - of messages: [PeerMessageReceived], [GroupMessageReceived], [RoomMessageReceived], [BroadcastMessageReceived],
//     [MessageSentStatusChanged], [MessageReceiptChanged], [MessageRevokeReceived], [MessageEdited], [MessageDeleted],
//     [MessageReactionsChanged], [MessageRepliedInfoChanged], [MessageRepliedCountChanged], [MessagePinStatusChanged]
//   - of conversations: [ConversationChanged], [ConversationTotalUnreadMessageCountUpdated], [ConversationMessageReceiptChanged],
//     [ConversationsAllDeleted], [ConversationSyncStateChanged]
//   - of rooms: [RoomStateChanged], [RoomMemberJoined], [RoomMemberLeft]
//   - of groups: [GroupStateChanged], [GroupMemberStateChanged], [GroupMemberInfoUpdated]
//   - the SDK's own: [SyncReset], [EventsDropped]
type Event interface{ event() eventKind }

type eventKind int

//go:generate stringer -type=eventKind -trimprefix=kind -output=eventkind_string.go

const (
	kindAny eventKind = iota // Event itself: what has no handler of its own
	kindError
	kindTokenWillExpire
	kindConnectionStateChanged
	kindConversationChanged
	kindConversationTotalUnreadMessageCountUpdated
	kindConversationMessageReceiptChanged
	kindConversationsAllDeleted
	kindConversationSyncStateChanged
	kindPeerMessageReceived
	kindRoomMessageReceived
	kindGroupMessageReceived
	kindBroadcastMessageReceived
	kindMessageSentStatusChanged
	kindMessageReceiptChanged
	kindMessageRevokeReceived
	kindMessageReactionsChanged
	kindMessageDeleted
	kindMessageRepliedInfoChanged
	kindMessageRepliedCountChanged
	kindMessageEdited
	kindMessagePinStatusChanged
	kindRoomStateChanged
	kindRoomMemberJoined
	kindRoomMemberLeft
	kindGroupStateChanged
	kindGroupMemberStateChanged
	kindGroupMemberInfoUpdated
	kindSyncReset
	kindEventsDropped
	kindCount
)

// TokenWillExpire says that the login token is about to expire: call [ZIM.RenewToken] with a new one. It comes once for a
// token, 30 seconds before its end.
type TokenWillExpire struct {
	Remaining time.Duration // never negative
}

// ConnectionStateChanged says how the connection is now, and why. After [ConnectionStateDisconnected] the ZIM does not
// reconnect by itself.
type ConnectionStateChanged struct {
	State ConnectionState
	Event ConnectionEvent
	// ExtendedData is a JSON object: {} or, after a failure, {"code":…,"message":…}, or, after an eviction, {"platform":…}
	// with the platform of the device that took over.
	ExtendedData string
}

// PeerMessageReceived brings messages of one peer conversation, in the order of their Seq. Messages that this user sent
// from another device come too, with MessageDirectionSend.
type PeerMessageReceived struct {
	FromConversationID string // the other user
	Messages           []*Message
	Info               MessageReceivedInfo
}

// BroadcastMessageReceived brings a message that the app's server sent to all users who are online. It belongs to no conversation, and
// is not stored.
type BroadcastMessageReceived struct {
	Message *Message
}

// MessageReceivedInfo says how messages came.
type MessageReceivedInfo struct {
	// IsOfflineMessage is set for messages that were sent while this device was not connected.
	IsOfflineMessage bool
}

// MessageSentStatusChanged says how sends of this ZIM ended. It also corrects an outcome that was unknown, when the
// acknowledgment came after SendMessage had returned. For durable messages, also those of earlier runs of the program, nothing else tells:
// see MessageSendConfig.Durable.
type MessageSentStatusChanged struct {
	Infos []MessageSentStatusChangeInfo
}

// MessageSentStatusChangeInfo is how one send ended.
type MessageSentStatusChangeInfo struct {
	Status  MessageSentStatus
	Message *Message
	Reason  string // why it failed
	Err     error  // the same, an *Error as SendMessage returns it; nil if it did not fail
}

// SyncReset says that the service could not go on where this device stopped, so that events may be missing: history still
// has the messages. The documentation has no such event; this SDK does not skip events silently. Three in a minute are taken, then an
// [Error] tells that there are more.
type SyncReset struct {
	Reason string // as in "the events are no longer kept"
}

// EventsDropped says that handlers were too slow for events that the service cannot repeat: commands, barrages, broadcasts, messages of
// rooms that the service no longer keeps, and what
// [MessageSentStatusChanged] tells of messages that are not durable, which SendMessage returned too. Stored messages are never dropped. The documentation has
// no such event.
type EventsDropped struct {
	Count int
}

func (*TokenWillExpire) event() eventKind          { return kindTokenWillExpire }
func (*ConnectionStateChanged) event() eventKind   { return kindConnectionStateChanged }
func (*PeerMessageReceived) event() eventKind      { return kindPeerMessageReceived }
func (*BroadcastMessageReceived) event() eventKind { return kindBroadcastMessageReceived }
func (*MessageSentStatusChanged) event() eventKind { return kindMessageSentStatusChanged }
func (*SyncReset) event() eventKind                { return kindSyncReset }
func (*EventsDropped) event() eventKind            { return kindEventsDropped }
