package zim

import (
	"context"
	"time"

	"github.com/zim-go/zim/wire"
)

// RoomInfo names a room.
type RoomInfo struct {
	// RoomID is unique in the app: 1 to 128 bytes, of the characters that user IDs have.
	RoomID string
	// RoomName is up to 64 bytes. It counts only for the call that makes the room.
	RoomName string
}

// RoomFullInfo is what is known of a room.
type RoomFullInfo struct {
	BaseInfo RoomInfo
}

// RoomAdvancedConfig refines a room. It counts only for the call that makes the room.
type RoomAdvancedConfig struct {
	// RoomDestroyDelayTime is how long the room lives on without members, in whole seconds. Zero ends it with its last member;
	// up to 3 hours.
	RoomDestroyDelayTime time.Duration
}

// RoomStateChanged says whether this user is in a room now, and why.
type RoomStateChanged struct {
	RoomID string
	State  RoomState
	Event  RoomEvent
	// ExtendedData is a JSON object: {} or, after a failure, {"code":…,"message":…}.
	ExtendedData string
}

// RoomMemberJoined says who else has entered a room that this user is in. What happened while the connection was away is not told:
// query the members then.
type RoomMemberJoined struct {
	RoomID     string
	MemberList []UserInfo
}

// RoomMemberLeft says who else is in a room no more: see [RoomMemberJoined].
type RoomMemberLeft struct {
	RoomID     string
	MemberList []UserInfo
}

// RoomMessageReceived brings messages of one room, while this user is in it. All members see those that have a Seq in the same
// order. What was missed while the connection was away comes if the user is still in the room then, as far as the service keeps
// it: about the last 500 messages.
type RoomMessageReceived struct {
	FromConversationID string // the room
	Messages           []*Message
	Info               MessageReceivedInfo
}

func (*RoomStateChanged) event() eventKind    { return kindRoomStateChanged }
func (*RoomMemberJoined) event() eventKind    { return kindRoomMemberJoined }
func (*RoomMemberLeft) event() eventKind      { return kindRoomMemberLeft }
func (*RoomMessageReceived) event() eventKind { return kindRoomMessageReceived }

// A roomCall is a way into a room.
type roomCall struct {
	op     string
	mode   wire.EnterRoomMode
	from   string    // the room to leave; empty if there is none
	start  RoomEvent // what tells that it begins
	failed RoomEvent // what tells that it failed
}

// CreateRoom makes a room and enters it. A nil config means the zero RoomAdvancedConfig.
//
// [RoomStateChanged] tells how that goes: Connecting with RoomEventActiveCreate, then Connected, or Disconnected with
// RoomEventCreateFailed. What is wrong with the arguments, or with the time, is told by the error alone.
//
// It fails with [ErrCommonParamsInvalid] for what is wrong with the arguments, with [ErrRoomTheRoomAlreadyExists], with
// [ErrRoomUserIsAlreadyInTheRoom], with [ErrRoomTheRoomIsConnecting] while another call enters the room or the connection is being
// restored, with [ErrRoomTheNumberOfJoinedRoomsHasReachedLimit] for more than 5 rooms, and with
// [ErrRoomTheNumberOfExistingRoomsHasReachedLimit]. After an error that leaves the outcome open, as when ctx ended, the user is not
// in the room: what came of the request is undone. (Documented in the chapter on rooms.)
func (z *ZIM) CreateRoom(ctx context.Context, info RoomInfo, config *RoomAdvancedConfig) (*RoomFullInfo, error) {
	return z.enter(ctx, info, config, roomCall{
		op:     "CreateRoom",
		mode:   wire.EnterRoomMode_ENTER_ROOM_MODE_CREATE,
		start:  RoomEventActiveCreate,
		failed: RoomEventCreateFailed,
	})
}

// JoinRoom enters a room that exists. [RoomStateChanged] tells how that goes, and the other members get [RoomMemberJoined]. If
// the user is in the room on another device, that device drops out of it.
//
// It fails as [ZIM.CreateRoom] does, with RoomEventEnterFailed, and with [ErrRoomTheRoomDoesNotExist] or, if the room is full,
// [ErrRoomJoinRoomError]. (Documented in the chapter on rooms.)
func (z *ZIM) JoinRoom(ctx context.Context, roomID string) (*RoomFullInfo, error) {
	return z.enter(ctx, RoomInfo{RoomID: roomID}, nil, roomCall{
		op:     "JoinRoom",
		mode:   wire.EnterRoomMode_ENTER_ROOM_MODE_JOIN,
		start:  RoomEventActiveEnter,
		failed: RoomEventEnterFailed,
	})
}

// EnterRoom enters a room, which is made if there is none: see [ZIM.JoinRoom]. A nil config means the zero RoomAdvancedConfig.
// (Documented in the chapter on rooms.)
func (z *ZIM) EnterRoom(ctx context.Context, info RoomInfo, config *RoomAdvancedConfig) (*RoomFullInfo, error) {
	return z.enter(ctx, info, config, roomCall{
		op:     "EnterRoom",
		start:  RoomEventActiveEnter,
		failed: RoomEventEnterFailed,
	})
}

// SwitchRoom goes over from one room to another in one step: if the other one can't be entered, the user stays. The other one is
// made if there is none and isCreateWhenRoomNotExisted is set. A nil config means the zero RoomAdvancedConfig.
//
// [RoomStateChanged] tells how that goes: for the other room Connecting with RoomEventActiveSwitch, then Connected, and after it
// Disconnected for the first room; or, for the other room, Disconnected with RoomEventSwitchFailed.
//
// It fails as [ZIM.JoinRoom] does, and with [ErrRoomUserIsNotInTheRoom] if the user is not in the first room. (Documented in the
// chapter on rooms.)
func (z *ZIM) SwitchRoom(ctx context.Context, fromRoomID string, to RoomInfo, isCreateWhenRoomNotExisted bool, config *RoomAdvancedConfig) (*RoomFullInfo, error) {
	call := roomCall{op: "SwitchRoom", from: fromRoomID, start: RoomEventActiveSwitch, failed: RoomEventSwitchFailed}
	if err := checkRoomID(call.op, "room to leave", fromRoomID); err != nil {
		return nil, err
	}
	if fromRoomID == to.RoomID {
		return nil, invalid(call.op, "the rooms to leave and to enter are the same")
	}
	if !isCreateWhenRoomNotExisted {
		call.mode = wire.EnterRoomMode_ENTER_ROOM_MODE_JOIN
	}
	return z.enter(ctx, to, config, call)
}

func (z *ZIM) enter(ctx context.Context, info RoomInfo, config *RoomAdvancedConfig, call roomCall) (*RoomFullInfo, error) {
	if config == nil {
		config = new(RoomAdvancedConfig)
	}
	if err := checkRoom(call.op, info, config); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, canceled(call.op, ctx)
	}
	s, e := z.active(call.op)
	if e != nil {
		return nil, e
	}
	m, e := s.rooms.begin(info.RoomID, &call)
	if e != nil {
		return nil, e
	}
	resp, err := s.call(ctx, call.op, &wire.Request{Body: &wire.Request_EnterRoom{EnterRoom: &wire.EnterRoomRequest{
		Room:         &wire.RoomInfo{RoomId: info.RoomID, Name: info.RoomName},
		Mode:         call.mode,
		DestroyDelay: int32(config.RoomDestroyDelayTime / time.Second),
		Leave:        call.from,
	}}})
	if err != nil {
		s.rooms.failed(m, &call, err)
		return nil, err
	}
	room := resp.GetEnterRoom()
	if e := s.rooms.entered(m, &call, room); e != nil {
		return nil, e
	}
	return &RoomFullInfo{BaseInfo: RoomInfo{RoomID: info.RoomID, RoomName: room.GetRoom().GetName()}}, nil
}

func checkRoom(op string, info RoomInfo, config *RoomAdvancedConfig) error {
	err := checkRoomID(op, "room", info.RoomID)
	if err == nil {
		err = checkText(op, "room name", info.RoomName, maxRoomName)
	}
	if d := config.RoomDestroyDelayTime; err == nil && (d < 0 || d > maxDestroyDelay || d%time.Second != 0) {
		err = invalid(op, "RoomDestroyDelayTime is %v, it may be 0 to %v in whole seconds", d, maxDestroyDelay)
	}
	if err != nil {
		return err
	}
	return nil
}

// LeaveRoom leaves a room. The other members get [RoomMemberLeft]. It fails with [ErrCommonParamsInvalid] for what is wrong with
// the ID, with [ErrRoomUserIsNotInTheRoom], with [ErrRoomLeaveRoomError] if there is no such room, and with
// [ErrRoomTheRoomIsConnecting] while another call enters the room. (Documented in the chapter on rooms.)
func (z *ZIM) LeaveRoom(ctx context.Context, roomID string) error {
	const op = "LeaveRoom"
	if err := checkRoomID(op, "room", roomID); err != nil {
		return err
	}
	s, e := z.active(op)
	if e != nil {
		return e
	}
	m, e := s.rooms.find(op, roomID)
	if e != nil {
		return e
	}
	return s.leave(ctx, op, roomID, m)
}

// leave leaves a room. m is the room as far as this session is in it, or nil.
func (s *session) leave(ctx context.Context, op, roomID string, m *room) error {
	_, err := s.call(ctx, op, leaveRequest(roomID))
	code := CodeOf(err)
	out := err == nil || code == ErrRoomUserIsNotInTheRoom || code == ErrRoomLeaveRoomError
	if out && s.rooms.left(m) {
		return nil // also if an earlier call, or the service, was faster
	}
	return err
}

func leaveRequest(roomID string) *wire.Request {
	return &wire.Request{Body: &wire.Request_LeaveRoom{LeaveRoom: &wire.LeaveRoomRequest{RoomId: roomID}}}
}

// LeaveAllRoom leaves all rooms that were entered on this device, one after the other, and returns the IDs of those that it left.
// It fails with [ErrRoomUserIsNotInTheRoom] if there are none, and else as [ZIM.LeaveRoom] does. (Documented in the chapter on
// rooms.)
func (z *ZIM) LeaveAllRoom(ctx context.Context) ([]string, error) {
	const op = "LeaveAllRoom"
	s, e := z.active(op)
	if e != nil {
		return nil, e
	}
	list := s.rooms.inside()
	if len(list) == 0 {
		return nil, &Error{Op: op, Code: ErrRoomUserIsNotInTheRoom}
	}
	var ids []string
	for _, m := range list {
		if err := s.leave(ctx, op, m.id, m); err != nil {
			return ids, err
		}
		ids = append(ids, m.id)
	}
	return ids, nil
}
