package zim

// RoomState says whether this user is in a room.
type RoomState int

const (
	RoomStateDisconnected RoomState = 0 // Disconnected
	// The room is being entered, or re-entered after the connection broke.
	RoomStateConnecting RoomState = 1 // Connecting
	RoomStateConnected  RoomState = 2 // Connected
)

// RoomEvent says why the room state changed.
type RoomEvent int

const (
	// The room was entered; or, with RoomStateDisconnected, left on purpose.
	RoomEventSuccess RoomEvent = 0 // Success
	// The connection broke.
	RoomEventNetworkInterrupted RoomEvent = 1 // NetworkInterrupted
	// The connection was away for too long.
	RoomEventNetworkDisconnected RoomEvent = 2 // NetworkDisconnected
	// The room was destroyed.
	RoomEventRoomNotExist RoomEvent = 3 // RoomNotExist
	// Creating the room was started.
	RoomEventActiveCreate RoomEvent = 4 // ActiveCreate
	RoomEventCreateFailed RoomEvent = 5 // CreateFailed
	// Entering the room was started.
	RoomEventActiveEnter RoomEvent = 6 // ActiveEnter
	RoomEventEnterFailed RoomEvent = 7 // EnterFailed
	// The app's own server removed the user.
	RoomEventKickedOut RoomEvent = 8 // KickedOut
	// The service did not answer.
	RoomEventConnectTimeout RoomEvent = 9 // ConnectTimeout
	// Another device of the user entered the room.
	RoomEventKickedOutByOtherDevice RoomEvent = 10 // KickedOutByOtherDevice
	// Going over from another room was started.
	RoomEventActiveSwitch RoomEvent = 11 // ActiveSwitch
	// Going over failed; the user is still in the other room.
	RoomEventSwitchFailed RoomEvent = 12 // SwitchFailed
)

// RoomAttributesUpdateAction says what happened to attributes of a room.
type RoomAttributesUpdateAction int

const (
	RoomAttributesUpdateActionSet    RoomAttributesUpdateAction = 0 // Set
	RoomAttributesUpdateActionDelete RoomAttributesUpdateAction = 1 // Delete
)

// RoomMemberAttributesUpdateAction says what happened to attributes of a member of a room.
type RoomMemberAttributesUpdateAction int

const (
	RoomMemberAttributesUpdateActionSet RoomMemberAttributesUpdateAction = 0 // Set
)
