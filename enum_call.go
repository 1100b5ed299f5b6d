package zim

// CallInvitationMode says what can be done with a call.
type CallInvitationMode int

const (
	CallInvitationModeUnknown CallInvitationMode = -1 // Unknown
	// Invite, accept, reject and cancel.
	CallInvitationModeGeneral CallInvitationMode = 0 // General
	// Also invite more users, join, quit and end.
	CallInvitationModeAdvanced CallInvitationMode = 1 // Advanced
)

// CallState says whether a call goes on.
type CallState int

const (
	CallStateUnknown CallState = -1 // Unknown
	CallStateStarted CallState = 1  // Started
	CallStateEnded   CallState = 2  // Ended
)

// CallUserState says how one user stands to a call.
type CallUserState int

const (
	CallUserStateUnknown CallUserState = -1 // Unknown
	// Invited; no device has shown it yet.
	CallUserStateInviting CallUserState = 0 // Inviting
	// In the call. The caller is from the start.
	CallUserStateAccepted CallUserState = 1 // Accepted
	CallUserStateRejected CallUserState = 2 // Rejected
	// The invitation was taken back.
	CallUserStateCancelled CallUserState = 3 // Cancelled
	// Not in use any more.
	CallUserStateOffline CallUserState = 4 // Offline
	// A device of the user has the invitation.
	CallUserStateReceived CallUserState = 5 // Received
	// The user did not answer in time.
	CallUserStateTimeout CallUserState = 6 // Timeout
	// The user left the call.
	CallUserStateQuit  CallUserState = 7 // Quit
	CallUserStateEnded CallUserState = 8 // Ended
	// No device of the user has had the invitation for some seconds.
	CallUserStateNotYetReceived CallUserState = 9 // NotYetReceived
	// Take it for CallUserStateCancelled.
	CallUserStateBeCancelled CallUserState = 10 // BeCancelled
)
