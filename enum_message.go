package zim

// MessageType says of which kind a message is.
type MessageType int

const (
	// A kind that is newer than the SDK.
	MessageTypeUnknown MessageType = 0 // Unknown
	MessageTypeText    MessageType = 1 // Text
	// Bytes for whoever is online, not stored.
	MessageTypeCommand MessageType = 2 // Command
	// Several items of text and media in one message.
	MessageTypeMultiple MessageType = 10 // Multiple
	MessageTypeImage    MessageType = 11 // Image
	MessageTypeFile     MessageType = 12 // File
	MessageTypeAudio    MessageType = 13 // Audio
	MessageTypeVideo    MessageType = 14 // Video
	// A room's passing comment, not stored and without a limit on its rate.
	MessageTypeBarrage MessageType = 20 // Barrage
	// Local only; replaced by custom messages.
	MessageTypeSystem MessageType = 30 // System
	// What stands where a message was revoked.
	MessageTypeRevoke MessageType = 31 // Revoke
	// A note of the service about the group.
	MessageTypeTips MessageType = 32 // Tips
	// Other messages, forwarded as one.
	MessageTypeCombine MessageType = 100 // Combine
	MessageTypeCustom  MessageType = 200 // Custom
)

// MessageDirection says whether this user sent or received a message.
type MessageDirection int

const (
	MessageDirectionSend    MessageDirection = 0 // Send
	MessageDirectionReceive MessageDirection = 1 // Receive
)

// MessageSentStatus says how far sending a message got.
type MessageSentStatus int

const (
	MessageSentStatusSending MessageSentStatus = 0 // Sending
	MessageSentStatusSuccess MessageSentStatus = 1 // Success
	MessageSentStatusFailed  MessageSentStatus = 2 // Failed
)

// MessagePriority says who passes first when there is more to send than is allowed.
type MessagePriority int

const (
	// What a message without a priority has.
	MessagePriorityLow    MessagePriority = 1 // Low
	MessagePriorityMedium MessagePriority = 2 // Medium
	MessagePriorityHigh   MessagePriority = 3 // High
)

// MessageOrder says how messages that were found are sorted.
type MessageOrder int

const (
	// Newest first.
	MessageOrderDescending MessageOrder = 0 // Descending
	// Oldest first.
	MessageOrderAscending MessageOrder = 1 // Ascending
)

// MessageQueryMode says where history comes from.
type MessageQueryMode int

const (
	// From the local store, and from the service what is missing there.
	MessageQueryModeGeneral MessageQueryMode = 0 // General
	// From the service, as long as it can be reached.
	MessageQueryModePreferServer MessageQueryMode = 1 // PreferServer
	MessageQueryModeOnlyLocal    MessageQueryMode = 2 // OnlyLocal
)

// MessageReceiptStatus says whether the receivers read a message.
type MessageReceiptStatus int

const (
	MessageReceiptStatusUnknown MessageReceiptStatus = -1 // Unknown
	// The sender asked for no receipt.
	MessageReceiptStatusNone MessageReceiptStatus = 0 // None
	// Not everybody has read it yet.
	MessageReceiptStatusProcessing MessageReceiptStatus = 1 // Processing
	// Everybody has read it.
	MessageReceiptStatusDone    MessageReceiptStatus = 2 // Done
	MessageReceiptStatusExpired MessageReceiptStatus = 3 // Expired
	MessageReceiptStatusFailed  MessageReceiptStatus = 4 // Failed
)

// MessageRevokeStatus says by whom a message was revoked.
type MessageRevokeStatus int

const (
	MessageRevokeStatusUnknown MessageRevokeStatus = -1 // Unknown
	// By its sender.
	MessageRevokeStatusSelfRevoke MessageRevokeStatus = 0 // SelfRevoke
	// By the service.
	MessageRevokeStatusSystemRevoke MessageRevokeStatus = 1 // SystemRevoke
	// By the app's own server.
	MessageRevokeStatusServerAPIRevoke  MessageRevokeStatus = 2 // ServerAPIRevoke
	MessageRevokeStatusGroupAdminRevoke MessageRevokeStatus = 3 // GroupAdminRevoke
	MessageRevokeStatusGroupOwnerRevoke MessageRevokeStatus = 4 // GroupOwnerRevoke
	// By moderation that came after the sending.
	MessageRevokeStatusAuditRejectRevoke MessageRevokeStatus = 5 // AuditRejectRevoke
)

// RevokeType says for whom a message was revoked.
type RevokeType int

const (
	RevokeTypeUnknown RevokeType = -1 // Unknown
	// For both sides.
	RevokeTypeTwoWay RevokeType = 0 // TwoWay
	// For one side only.
	RevokeTypeOneWay RevokeType = 1 // OneWay
)

// MessageDeleteType says what was deleted.
type MessageDeleteType int

const (
	// The messages of a list.
	MessageDeleteTypeMessageListDeleted MessageDeleteType = 0 // MessageListDeleted
	// All messages of one conversation.
	MessageDeleteTypeConversationAllMessagesDeleted MessageDeleteType = 1 // ConversationAllMessagesDeleted
	// All messages of all conversations.
	MessageDeleteTypeAllConversationMessagesDeleted MessageDeleteType = 2 // AllConversationMessagesDeleted
)

// MessageMentionedType says who a message mentions.
type MessageMentionedType int

const (
	MessageMentionedTypeUnknown         MessageMentionedType = 0 // Unknown
	MessageMentionedTypeMentionMe       MessageMentionedType = 1 // MentionMe
	MessageMentionedTypeMentionAll      MessageMentionedType = 2 // MentionAll
	MessageMentionedTypeMentionAllAndMe MessageMentionedType = 3 // MentionAllAndMe
)

// MessageRepliedInfoState says what became of the message that a reply answers.
type MessageRepliedInfoState int

const (
	// It is still there.
	MessageRepliedInfoStateNormal   MessageRepliedInfoState = 0 // Normal
	MessageRepliedInfoStateDeleted  MessageRepliedInfoState = 1 // Deleted
	MessageRepliedInfoStateNotFound MessageRepliedInfoState = 2 // NotFound
)

// MessagePinStatus says how a message's pin changed.
type MessagePinStatus int

const (
	MessagePinStatusNotPinned MessagePinStatus = 0 // NotPinned
	MessagePinStatusPinned    MessagePinStatus = 1 // Pinned
	// A pinned message was pinned again.
	MessagePinStatusUpdated MessagePinStatus = 2 // Updated
)

// MessageReactionUserChangeAction says what a user did with a reaction.
type MessageReactionUserChangeAction int

const (
	MessageReactionUserChangeActionAdded   MessageReactionUserChangeAction = 0 // Added
	MessageReactionUserChangeActionDeleted MessageReactionUserChangeAction = 1 // Deleted
)

// MediaFileType says which file of a media message is meant.
type MediaFileType int

const (
	MediaFileTypeOriginalFile MediaFileType = 1 // OriginalFile
	// An image, scaled down to a large size.
	MediaFileTypeLargeImage      MediaFileType = 2 // LargeImage
	MediaFileTypeThumbnail       MediaFileType = 3 // Thumbnail
	MediaFileTypeVideoFirstFrame MediaFileType = 4 // VideoFirstFrame
)

// TipsMessageEvent says what a tips message is about.
type TipsMessageEvent int

const (
	TipsMessageEventUnknown                 TipsMessageEvent = 0   // Unknown
	TipsMessageEventGroupCreated            TipsMessageEvent = 1   // GroupCreated
	TipsMessageEventGroupDismissed          TipsMessageEvent = 2   // GroupDismissed
	TipsMessageEventGroupJoined             TipsMessageEvent = 3   // GroupJoined
	TipsMessageEventGroupInvited            TipsMessageEvent = 4   // GroupInvited
	TipsMessageEventGroupLeft               TipsMessageEvent = 5   // GroupLeft
	TipsMessageEventGroupKickedOut          TipsMessageEvent = 6   // GroupKickedOut
	TipsMessageEventGroupInfoChanged        TipsMessageEvent = 7   // GroupInfoChanged
	TipsMessageEventGroupMemberInfoChanged  TipsMessageEvent = 8   // GroupMemberInfoChanged
	TipsMessageEventGroupMessagePinned      TipsMessageEvent = 9   // GroupMessagePinned
	TipsMessageEventCommunityCreated        TipsMessageEvent = 101 // CommunityCreated
	TipsMessageEventCommunityJoined         TipsMessageEvent = 103 // CommunityJoined
	TipsMessageEventCommunityInvited        TipsMessageEvent = 104 // CommunityInvited
	TipsMessageEventCommunityChannelCreated TipsMessageEvent = 151 // CommunityChannelCreated
)

// TipsMessageChangeInfoType says which change a tips message tells.
type TipsMessageChangeInfoType int

const (
	TipsMessageChangeInfoTypeUnknown TipsMessageChangeInfoType = 0 // Unknown
	// Several of the group's name, notice and avatar.
	TipsMessageChangeInfoTypeGroupDataChanged       TipsMessageChangeInfoType = 1  // GroupDataChanged
	TipsMessageChangeInfoTypeGroupNoticeChanged     TipsMessageChangeInfoType = 2  // GroupNoticeChanged
	TipsMessageChangeInfoTypeGroupNameChanged       TipsMessageChangeInfoType = 3  // GroupNameChanged
	TipsMessageChangeInfoTypeGroupAvatarUrlChanged  TipsMessageChangeInfoType = 4  // GroupAvatarUrlChanged
	TipsMessageChangeInfoTypeGroupMuteChanged       TipsMessageChangeInfoType = 5  // GroupMuteChanged
	TipsMessageChangeInfoTypeGroupOwnerTransferred  TipsMessageChangeInfoType = 10 // GroupOwnerTransferred
	TipsMessageChangeInfoTypeGroupMemberRoleChanged TipsMessageChangeInfoType = 11 // GroupMemberRoleChanged
	TipsMessageChangeInfoTypeGroupMemberMuteChanged TipsMessageChangeInfoType = 12 // GroupMemberMuteChanged
	// A message of the group was pinned or unpinned.
	TipsMessageChangeInfoTypeGroupMessagePinInfoChanged TipsMessageChangeInfoType = 21 // GroupMessagePinInfoChanged
)
