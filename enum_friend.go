package zim

// FriendListChangeAction says how the list of friends changed.
type FriendListChangeAction int

const (
	FriendListChangeActionAdded   FriendListChangeAction = 0 // Added
	FriendListChangeActionDeleted FriendListChangeAction = 1 // Deleted
)

// FriendDeleteType says from which lists a friend is deleted.
type FriendDeleteType int

const (
	// From both users' lists.
	FriendDeleteTypeBoth FriendDeleteType = 0 // Both
	// From this user's list.
	FriendDeleteTypeSingle FriendDeleteType = 1 // Single
)

// FriendRelationCheckType says which lists a check looks at.
type FriendRelationCheckType int

const (
	// Both users' lists.
	FriendRelationCheckTypeBoth FriendRelationCheckType = 0 // Both
	// This user's list.
	FriendRelationCheckTypeSingle FriendRelationCheckType = 1 // Single
)

// UserRelationType says what a check of a friendship found.
type UserRelationType int

const (
	UserRelationTypeUnknown UserRelationType = 0 // Unknown
	// The other user is not on this user's list; that one's was not looked at.
	UserRelationTypeSingleNo UserRelationType = 1 // SingleNo
	// The other user is on this user's list; that one's was not looked at.
	UserRelationTypeSingleHave UserRelationType = 2 // SingleHave
	// Neither is on the other's list.
	UserRelationTypeBothAllNo UserRelationType = 3 // BothAllNo
	// Only this user has the other one on the list.
	UserRelationTypeBothSelfHave UserRelationType = 4 // BothSelfHave
	// Only the other user has this one on the list.
	UserRelationTypeBothOtherHave UserRelationType = 5 // BothOtherHave
	// Each is on the other's list.
	UserRelationTypeBothAllHave UserRelationType = 6 // BothAllHave
)

// FriendApplicationType says who applied for a friendship.
type FriendApplicationType int

const (
	FriendApplicationTypeUnknown FriendApplicationType = -1 // Unknown
	FriendApplicationTypeNone    FriendApplicationType = 0  // None
	// The other user did.
	FriendApplicationTypeReceived FriendApplicationType = 1 // Received
	// This user did.
	FriendApplicationTypeSent FriendApplicationType = 2 // Sent
	FriendApplicationTypeBoth FriendApplicationType = 3 // Both
)

// FriendApplicationState says what became of a friend application.
type FriendApplicationState int

const (
	FriendApplicationStateUnknown  FriendApplicationState = -1 // Unknown
	FriendApplicationStateWaiting  FriendApplicationState = 1  // Waiting
	FriendApplicationStateAccepted FriendApplicationState = 2  // Accepted
	FriendApplicationStateRejected FriendApplicationState = 3  // Rejected
	FriendApplicationStateExpired  FriendApplicationState = 4  // Expired
	// It can't be answered any more, as when the users became friends another way.
	FriendApplicationStateDisabled FriendApplicationState = 5 // Disabled
)

// FriendApplicationListChangeAction says how the list of friend applications changed.
type FriendApplicationListChangeAction int

const (
	FriendApplicationListChangeActionAdded   FriendApplicationListChangeAction = 0 // Added
	FriendApplicationListChangeActionDeleted FriendApplicationListChangeAction = 1 // Deleted
)

// BlacklistChangeAction says how the blacklist changed.
type BlacklistChangeAction int

const (
	BlacklistChangeActionAdded   BlacklistChangeAction = 0 // Added
	BlacklistChangeActionRemoved BlacklistChangeAction = 1 // Removed
)
