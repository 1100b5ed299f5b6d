package zim

// ConversationType says what is at the other end of a conversation.
type ConversationType int

const (
	ConversationTypeUnknown ConversationType = -1 // Unknown
	// One other user.
	ConversationTypePeer             ConversationType = 0 // Peer
	ConversationTypeRoom             ConversationType = 1 // Room
	ConversationTypeGroup            ConversationType = 2 // Group
	ConversationTypeCommunityChannel ConversationType = 3 // CommunityChannel
)

// ConversationEvent says how a conversation changed.
type ConversationEvent int

const (
	ConversationEventAdded ConversationEvent = 0 // Added
	// Something in it changed: its last message, unread count, name and so on.
	ConversationEventUpdated ConversationEvent = 1 // Updated
	// Nothing can be sent to it any more, as after leaving the group.
	ConversationEventDisabled ConversationEvent = 2 // Disabled
	ConversationEventDeleted  ConversationEvent = 3 // Deleted
)

// ConversationNotificationStatus says whether messages of a conversation are to be noticed.
type ConversationNotificationStatus int

const (
	ConversationNotificationStatusNotify ConversationNotificationStatus = 1 // Notify
	// No offline push, and no part in the total unread count.
	ConversationNotificationStatusDoNotDisturb ConversationNotificationStatus = 2 // DoNotDisturb
)

// ConversationSyncState says how far bringing the conversations up to date got, after a login or a lost connection.
type ConversationSyncState int

const (
	ConversationSyncStateStarted  ConversationSyncState = 0 // Started
	ConversationSyncStateFinished ConversationSyncState = 1 // Finished
	ConversationSyncStateFailed   ConversationSyncState = 2 // Failed
)

// ConversationPinnedFilter says which conversations a query returns.
type ConversationPinnedFilter int

const (
	ConversationPinnedFilterAll          ConversationPinnedFilter = 0 // All
	ConversationPinnedFilterOnlyPinned   ConversationPinnedFilter = 1 // OnlyPinned
	ConversationPinnedFilterOnlyUnpinned ConversationPinnedFilter = 2 // OnlyUnpinned
)

// ConversationSearchMode says what a search for conversations looks at.
type ConversationSearchMode int

const (
	// What their messages say.
	ConversationSearchModeMatchMessage          ConversationSearchMode = 0 // MatchMessage
	ConversationSearchModeMatchConversationName ConversationSearchMode = 1 // MatchConversationName
)
