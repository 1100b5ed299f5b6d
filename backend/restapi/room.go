package restapi

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/internal/apicode"
)

// roomFailure is why something was not done to a room.
func (c *call) roomFailure(err error) *failure {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, backend.ErrNoRoom):
		return fail(apicode.NoRoom, "there is no such room")
	case errors.Is(err, backend.ErrRoomExists):
		return fail(apicode.RoomExists, "the room exists already")
	case errors.Is(err, backend.ErrTooManyRooms):
		return fail(apicode.RoomQuota, "the app has as many rooms as it may")
	case errors.Is(err, backend.ErrDraining):
		return fail(apicode.Generic, "the server is going away")
	}
	return badInput("there can be no such room")
}

type createRoomIn struct {
	FromUserId       string `zim:"needed,user"`
	RoomId           string `zim:"needed,id"`
	RoomName         string `zim:"max=64"`
	DestroyDelayTime int64
	Attributes       []attribute
}

type createRoomOut struct {
	AttributeSeq int
}

// createRoom makes a room that nobody is in.
func createRoom(c *call, in *createRoomIn) (any, *failure) {
	const longest = 10_800 // seconds
	switch {
	case in.DestroyDelayTime < 0 || in.DestroyDelayTime > longest:
		return nil, badInput("DestroyDelayTime is 0 to 10800")
	case len(in.Attributes) > 0:
		return nil, badInput("the server keeps no attributes of rooms")
	}
	if f := c.actors(apicode.Actor, in.FromUserId); f != nil {
		return nil, f
	}
	err := c.server().CreateRoom(c.app, in.RoomId, in.RoomName, time.Duration(in.DestroyDelayTime)*time.Second)
	if f := c.roomFailure(err); f != nil {
		return nil, f
	}
	return createRoomOut{}, nil
}

type destroyRoomIn struct {
	RoomId     string `zim:"needed,id"`
	FromUserId string `zim:"user"`
}

func destroyRoom(c *call, in *destroyRoomIn) (any, *failure) {
	return nil, c.roomFailure(c.server().DestroyRoom(c.app, in.RoomId))
}

type roomUsersIn struct {
	RoomId      string `zim:"needed,id"`
	Mode, Limit int64
	NextFlag    string
}

type roomUsersOut struct {
	Count    int
	NextFlag string
	UserList []memberOut
}

// queryRoomUserList pages through the members of a room, in the order of their entries or backwards. NextFlag has the place of the last one.
func queryRoomUserList(c *call, in *roomUsersIn) (any, *failure) {
	var place int64
	if in.NextFlag != "" {
		var err error
		if place, err = strconv.ParseInt(in.NextFlag, 10, 64); err != nil || place < 0 {
			return nil, badInput("NextFlag is none of the service's")
		}
	}
	if in.Mode != 0 && in.Mode != 1 {
		return nil, badInput("Mode is 0 or 1")
	}
	members, err := c.server().RoomMembers(c.app, in.RoomId)
	if f := c.roomFailure(err); f != nil {
		return nil, f
	}
	if len(members) == 0 {
		return nil, fail(apicode.RoomEmpty, "nobody is in the room")
	}
	out := roomUsersOut{Count: len(members), NextFlag: "0", UserList: []memberOut{}}
	if in.Mode == 1 {
		slices.Reverse(members)
	}
	if place != 0 {
		members = slices.DeleteFunc(members, func(m backend.RoomMember) bool {
			if in.Mode == 1 {
				return m.Place >= place
			}
			return m.Place <= place
		})
	}
	limit := 500
	if in.Limit > 0 && in.Limit < 500 {
		limit = int(in.Limit)
	}
	if len(members) > limit {
		members = members[:limit]
		out.NextFlag = strconv.FormatInt(members[limit-1].Place, 10)
	}
	for _, m := range members {
		out.UserList = append(out.UserList, memberOut{m.UserID, m.Name})
	}
	return out, nil
}

type roomMembersIn struct {
	UserId []string `zim:"needed,max=10,user"`
	RoomId string   `zim:"needed,id"`
}

func (in *roomMembersIn) weigh() (string, int) { return in.RoomId, 1 }

// A roomMember has names of its own, as documented.
type roomMember struct {
	UserID string `json:"user_id"`
	Name   string `json:"user_name"`
	Avatar string `json:"avatar"`
	Extra  string `json:"extra"`
}

type roomMembersOut struct {
	UserList  []roomMember
	ErrorList []userError
}

func queryRoomMembers(c *call, in *roomMembersIn) (any, *failure) {
	members, err := c.server().RoomMembers(c.app, in.RoomId)
	if f := c.roomFailure(err); f != nil {
		return nil, f
	}
	known, err := c.server().Accounts(c.ctx, c.app, in.UserId...)
	if err != nil {
		return nil, c.storage(err)
	}
	out := roomMembersOut{[]roomMember{}, []userError{}}
	for _, account := range known {
		i := slices.IndexFunc(members, func(m backend.RoomMember) bool { return m.UserID == account.UserID })
		switch {
		case i >= 0:
			out.UserList = append(out.UserList, roomMember{UserID: members[i].UserID, Name: members[i].Name})
		case account.Exists:
			out.ErrorList = append(out.ErrorList, userError{UserId: account.UserID, SubCode: apicode.NotInThisRoom})
		default:
			out.ErrorList = append(out.ErrorList, userError{UserId: account.UserID, SubCode: apicode.UserAbsent})
		}
	}
	return out, batch(out.ErrorList, len(known))
}

type kickRoomIn struct {
	RoomId       string   `zim:"needed,id"`
	UserId       []string `zim:"needed,max=50,user"`
	CustomReason string   `zim:"max=32"`
	FromUserId   string   `zim:"user"`
}

// kickoutRoomUser takes users out of a room. It fails if none of them was in it.
func kickoutRoomUser(c *call, in *kickRoomIn) (any, *failure) {
	absent, err := c.server().KickRoomMembers(c.app, in.RoomId, in.UserId...)
	if f := c.roomFailure(err); f != nil {
		return nil, f
	}
	if len(absent) == len(in.UserId) {
		return nil, fail(apicode.NotInRoom, "none of the users is in the room")
	}
	return nil, nil
}
