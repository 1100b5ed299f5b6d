package zim

// GroupState says whether this user is a member of a group.
type GroupState int

const (
	GroupStateQuit  GroupState = 0 // Quit
	GroupStateEnter GroupState = 1 // Enter
)

// GroupEvent says why the group state changed.
type GroupEvent int

const (
	GroupEventUnknown GroupEvent = -1 // Unknown
	GroupEventCreated GroupEvent = 1  // Created
	// The owner ended the group.
	GroupEventDismissed GroupEvent = 2 // Dismissed
	GroupEventJoined    GroupEvent = 3 // Joined
	// A member brought this user in.
	GroupEventInvited   GroupEvent = 4 // Invited
	GroupEventLeft      GroupEvent = 5 // Left
	GroupEventKickedOut GroupEvent = 6 // KickedOut
)

// GroupMemberState says whether a user is a member of a group.
type GroupMemberState int

const (
	GroupMemberStateQuit  GroupMemberState = 0 // Quit
	GroupMemberStateEnter GroupMemberState = 1 // Enter
)

// GroupMemberEvent says why a member's state changed.
type GroupMemberEvent int

const (
	GroupMemberEventUnknown   GroupMemberEvent = -1 // Unknown
	GroupMemberEventJoined    GroupMemberEvent = 1  // Joined
	GroupMemberEventLeft      GroupMemberEvent = 2  // Left
	GroupMemberEventKickedOut GroupMemberEvent = 4  // KickedOut
	// A member brought the user in.
	GroupMemberEventInvited GroupMemberEvent = 5 // Invited
)

// GroupMessageNotificationStatus says whether messages of a group are to be noticed.
type GroupMessageNotificationStatus int

const (
	GroupMessageNotificationStatusNotify GroupMessageNotificationStatus = 1 // Notify
	// Not to be noticed, in spite of the documented name.
	GroupMessageNotificationStatusDisturb GroupMessageNotificationStatus = 2 // Disturb
)

// GroupAttributesUpdateAction says what happened to attributes of a group.
type GroupAttributesUpdateAction int

const (
	GroupAttributesUpdateActionSet    GroupAttributesUpdateAction = 0 // Set
	GroupAttributesUpdateActionDelete GroupAttributesUpdateAction = 1 // Delete
)

// GroupMuteMode says which members of a group may not send.
type GroupMuteMode int

const (
	GroupMuteModeNone GroupMuteMode = 0 // None
	// Those with no special role.
	GroupMuteModeNormal GroupMuteMode = 1 // Normal
	GroupMuteModeAll    GroupMuteMode = 2 // All
	// Those with one of the listed roles.
	GroupMuteModeCustom GroupMuteMode = 3 // Custom
)

// GroupJoinMode says what it takes to join a group.
type GroupJoinMode int

const (
	// Nothing.
	GroupJoinModeAny GroupJoinMode = 0 // Any
	// An application that the owner or an admin accepts.
	GroupJoinModeAuth GroupJoinMode = 1 // Auth
	// Nobody can join, except by invitation.
	GroupJoinModeForbid GroupJoinMode = 2 // Forbid
)

// GroupInviteMode says who may invite users into a group.
type GroupInviteMode int

const (
	// Every member.
	GroupInviteModeAny GroupInviteMode = 0 // Any
	// The owner and admins.
	GroupInviteModeAdmin GroupInviteMode = 1 // Admin
)

// GroupBeInviteMode says whether users who are invited into a group are asked.
type GroupBeInviteMode int

const (
	// They are members at once.
	GroupBeInviteModeNone GroupBeInviteMode = 0 // None
	// They have to accept first.
	GroupBeInviteModeAuth GroupBeInviteMode = 1 // Auth
)

// GroupEnterType says how a member came into a group.
type GroupEnterType int

const (
	GroupEnterTypeUnknown GroupEnterType = 0 // Unknown
	// With the making of the group.
	GroupEnterTypeCreated GroupEnterType = 1 // Created
	// By an application that was accepted.
	GroupEnterTypeJoinApply GroupEnterType = 2 // JoinApply
	GroupEnterTypeJoined    GroupEnterType = 3 // Joined
	// By a member, without being asked.
	GroupEnterTypeInvited GroupEnterType = 4 // Invited
	// By an invitation that the member accepted.
	GroupEnterTypeInviteApply GroupEnterType = 5 // InviteApply
)

// GroupApplicationType says what a group application is, from where its reader stands.
type GroupApplicationType int

const (
	GroupApplicationTypeUnknown GroupApplicationType = -1 // Unknown
	GroupApplicationTypeNone    GroupApplicationType = 0  // None
	// A user applied to join.
	GroupApplicationTypeJoin GroupApplicationType = 1 // Join
	// A member invited somebody else.
	GroupApplicationTypeInvite GroupApplicationType = 2 // Invite
	// A member invited the reader.
	GroupApplicationTypeBeInvite GroupApplicationType = 3 // BeInvite
)

// GroupApplicationState says what became of a group application.
type GroupApplicationState int

const (
	GroupApplicationStateUnknown  GroupApplicationState = -1 // Unknown
	GroupApplicationStateWaiting  GroupApplicationState = 1  // Waiting
	GroupApplicationStateAccepted GroupApplicationState = 2  // Accepted
	GroupApplicationStateRejected GroupApplicationState = 3  // Rejected
	GroupApplicationStateExpired  GroupApplicationState = 4  // Expired
	// It can't be answered any more, as after the group's end.
	GroupApplicationStateDisabled GroupApplicationState = 5 // Disabled
)

// GroupApplicationListChangeAction says how the list of group applications changed.
type GroupApplicationListChangeAction int

const (
	GroupApplicationListChangeActionAdded GroupApplicationListChangeAction = 0 // Added
)
