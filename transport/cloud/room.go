package cloud

import (
	"context"

	"github.com/zim-go/zim/wire"
)

const (
	roomExists = 660300014
	notInRoom  = 660300012
)

// enterRoom makes a room, or looks whether it is there. The user is in it for this process alone: the service has no way in for servers. To come back
// after a lost connection, and to leave another room, nothing need be asked.
func (c *conn) enterRoom(ctx context.Context, r *wire.EnterRoomRequest) (*wire.Response, error) {
	id := r.Room.GetRoomId()
	var err error
	switch r.Mode {
	case wire.EnterRoomMode_ENTER_ROOM_MODE_RESUME:
	case wire.EnterRoomMode_ENTER_ROOM_MODE_JOIN:
		_, err = c.s.call(ctx, queryRoomUserList, id, object{"RoomId": id, "Limit": 1})
	default:
		args := object{"FromUserId": c.user, "RoomId": id}
		if r.Room.GetName() != "" {
			args["RoomName"] = r.Room.Name
		}
		if r.DestroyDelay > 0 {
			args["DestroyDelayTime"] = r.DestroyDelay
		}
		_, err = c.s.call(ctx, createRoom, id, args)
		if was(err, roomExists) && r.Mode != wire.EnterRoomMode_ENTER_ROOM_MODE_CREATE {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	c.stream.enterRoom(id)
	if r.Leave != "" && r.Leave != id {
		c.stream.leaveRoom(r.Leave)
	}
	return &wire.Response{Body: &wire.Response_EnterRoom{EnterRoom: &wire.EnterRoomResponse{Room: r.Room}}}, nil
}

// leaveRoom leaves a room, or all that were entered on this Conn.
func (c *conn) leaveRoom(r *wire.LeaveRoomRequest) *wire.Response {
	return &wire.Response{Body: &wire.Response_LeaveRoom{LeaveRoom: &wire.LeaveRoomResponse{RoomIds: c.stream.leaveRoom(r.RoomId)}}}
}

// queryRoomMembers reads who is in a room: those that are named, a page, or how many.
func (c *conn) queryRoomMembers(ctx context.Context, r *wire.QueryRoomMembersRequest) (*wire.Response, error) {
	resp := new(wire.RoomMembers)
	if len(r.UserIds) > 0 {
		return c.namedRoomMembers(ctx, r)
	}
	args := object{"RoomId": r.RoomId, "Limit": limit(r.Count, 100)}
	if r.OnlyCount {
		args["Limit"] = 1
	}
	if r.Next != "" {
		args["NextFlag"] = r.Next
	}
	answer, err := c.s.call(ctx, queryRoomUserList, r.RoomId, args)
	if err != nil {
		return nil, err // not for an empty room, which is one without members
	}
	resp.Count = answer.num("Count")
	if !r.OnlyCount {
		if next := answer.text("NextFlag"); next != "0" {
			resp.Next = next
		}
		for _, o := range answer.objects("UserList") {
			resp.Members = append(resp.Members, &wire.UserInfo{UserId: o.text("UserId"), Name: o.text("UserName")})
		}
	}
	return &wire.Response{Body: &wire.Response_RoomMembers{RoomMembers: resp}}, nil
}

func (c *conn) namedRoomMembers(ctx context.Context, r *wire.QueryRoomMembersRequest) (*wire.Response, error) {
	answer, err := c.s.call(ctx, queryRoomMembers, r.RoomId, object{"RoomId": r.RoomId, "UserId": r.UserIds})
	failed, err := batch(answer, err, "ErrorList")
	if err != nil && !was(err, notInRoom) {
		return nil, err
	}
	resp := &wire.RoomMembers{Failed: userErrors(failed)}
	for _, o := range answer.objects("UserList") { // the only list whose keys are small
		resp.Members = append(resp.Members, &wire.UserInfo{
			UserId: o.text("user_id"), Name: o.text("user_name"), AvatarUrl: o.text("avatar"), ExtendedData: o.text("extra"),
		})
	}
	if len(resp.Members) == 0 {
		return nil, refused{code: 6000311, why: "none of the users is in the room"}
	}
	return &wire.Response{Body: &wire.Response_RoomMembers{RoomMembers: resp}}, nil
}
