package zim

// All enumerations are typed ints with the documented numbers. A line comment is what String returns: the name of the value
// without that of the type. Numbers that are newer than this version print as in PlatformType(42).
//
//go:generate stringer -linecomment -output=enum_string.go -type=ConnectionState,ConnectionEvent,PlatformType,UserOnlineStatus,GeofencingType,CXHandleType,MessageType,MessageDirection,MessageSentStatus,MessagePriority,MessageOrder,MessageQueryMode,MessageReceiptStatus,MessageRevokeStatus,RevokeType,MessageDeleteType,MessageMentionedType,MessageRepliedInfoState,MessagePinStatus,MessageReactionUserChangeAction,MediaFileType,TipsMessageEvent,TipsMessageChangeInfoType,ConversationType,ConversationEvent,ConversationNotificationStatus,ConversationSyncState,ConversationPinnedFilter,ConversationSearchMode,RoomState,RoomEvent,RoomAttributesUpdateAction,RoomMemberAttributesUpdateAction,GroupState,GroupEvent,GroupMemberState,GroupMemberEvent,GroupMessageNotificationStatus,GroupAttributesUpdateAction,GroupMuteMode,GroupJoinMode,GroupInviteMode,GroupBeInviteMode,GroupEnterType,GroupApplicationType,GroupApplicationState,GroupApplicationListChangeAction,CallInvitationMode,CallState,CallUserState,FriendListChangeAction,FriendDeleteType,FriendRelationCheckType,UserRelationType,FriendApplicationType,FriendApplicationState,FriendApplicationListChangeAction,BlacklistChangeAction

// ConnectionState says how the connection to the service is.
type ConnectionState int

const (
	// No session: before a login, or after its end. The SDK does not connect by itself.
	ConnectionStateDisconnected ConnectionState = 0 // Disconnected
	// A login is under way.
	ConnectionStateConnecting ConnectionState = 1 // Connecting
	ConnectionStateConnected  ConnectionState = 2 // Connected
	// The connection broke and the SDK is at work to bring it back.
	ConnectionStateReconnecting ConnectionState = 3 // Reconnecting
)

// ConnectionEvent says why the connection state changed.
type ConnectionEvent int

const (
	// The connection stands; or, with ConnectionStateDisconnected, the user logged out.
	ConnectionEventSuccess ConnectionEvent = 0 // Success
	// A login was started.
	ConnectionEventActiveLogin ConnectionEvent = 1 // ActiveLogin
	// The service could not be reached, or did not answer the login.
	ConnectionEventLoginTimeout ConnectionEvent = 2 // LoginTimeout
	// The connection broke.
	ConnectionEventLoginInterrupted ConnectionEvent = 3 // LoginInterrupted
	// Another device took over, or the service ended the session.
	ConnectionEventKickedOut ConnectionEvent = 4 // KickedOut
	// The token ran out before it was renewed.
	ConnectionEventTokenExpired ConnectionEvent = 5 // TokenExpired
	// The account was removed.
	ConnectionEventUnregistered ConnectionEvent = 6 // Unregistered
)

// PlatformType says what a device of a user runs on.
type PlatformType int

const (
	PlatformTypeWin         PlatformType = 1 // Win
	PlatformTypeIPhoneOS    PlatformType = 2 // IPhoneOS
	PlatformTypeAndroid     PlatformType = 3 // Android
	PlatformTypeMacOS       PlatformType = 4 // MacOS
	PlatformTypeLinux       PlatformType = 5 // Linux
	PlatformTypeWeb         PlatformType = 6 // Web
	PlatformTypeMiniProgram PlatformType = 7 // MiniProgram
	PlatformTypeIPadOS      PlatformType = 9 // IPadOS
	// OpenHarmony.
	PlatformTypeOHOS    PlatformType = 10 // OHOS
	PlatformTypeUnknown PlatformType = 32 // Unknown
)

// UserOnlineStatus says whether a user can be reached now.
type UserOnlineStatus int

const (
	// At least one device is connected.
	UserOnlineStatusOnline UserOnlineStatus = 0 // Online
	// The last connection was lost.
	UserOnlineStatusOffline UserOnlineStatus = 1 // Offline
	// The user logged out on the last device.
	UserOnlineStatusLogout UserOnlineStatus = 2 // Logout
	// Not told, as in what users hear about themselves.
	UserOnlineStatusUnknown UserOnlineStatus = 99 // Unknown
)

// GeofencingType says how a list of areas restricts which servers are used.
type GeofencingType int

const (
	// No restriction.
	GeofencingTypeNone GeofencingType = 0 // None
	// Only the listed areas.
	GeofencingTypeInclude GeofencingType = 1 // Include
	// All but the listed areas.
	GeofencingTypeExclude GeofencingType = 2 // Exclude
)

// CXHandleType says what kind of address a VoIP push on iOS shows as the caller. The name is that of Apple's CallKit.
type CXHandleType int

const (
	CXHandleTypeGeneric      CXHandleType = 1 // Generic
	CXHandleTypePhoneNumber  CXHandleType = 2 // PhoneNumber
	CXHandleTypeEmailAddress CXHandleType = 3 // EmailAddress
)
