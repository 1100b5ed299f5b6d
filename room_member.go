package zim

import (
	"context"
	"iter"

	"github.com/zim-go/zim/wire"
)

// RoomMemberQueryConfig says which page of a room's members is wanted.
type RoomMemberQueryConfig struct {
	NextFlag string // from the page before; empty for the first page
	Count    int    // up to 100; zero means 100
}

// QueryRoomMemberList returns one page of the members of a room that the user is in, in the order in which they entered it, and
// the NextFlag of the next page, empty if there is none. All pages together have 500 members at most. A member whose connection is
// lost is one until its place is no longer kept. [ZIM.RoomMembers] goes over all pages.
//
// It fails with [ErrCommonParamsInvalid] for what is wrong with the arguments, with [ErrRoomTheRoomDoesNotExist], and with
// [ErrRoomUserIsNotInTheRoom]. (Documented in the chapter on rooms.)
func (z *ZIM) QueryRoomMemberList(ctx context.Context, roomID string, config RoomMemberQueryConfig) (members []*UserInfo, nextFlag string, err error) {
	const op = "QueryRoomMemberList"
	if config.Count < 0 {
		return nil, "", invalid(op, "the count is %d", config.Count)
	}
	list, err := z.queryRoom(ctx, op, &wire.QueryRoomMembersRequest{
		RoomId: roomID,
		Next:   config.NextFlag,
		Count:  int32(min(config.Count, maxRoomPage)),
	})
	if err != nil {
		return nil, "", err
	}
	return roomMembers(list.GetMembers()), list.GetNext(), nil
}

// RoomMembers goes over the members of a room, page by page: see [ZIM.QueryRoomMemberList]. An error ends it.
func (z *ZIM) RoomMembers(ctx context.Context, roomID string) iter.Seq2[*UserInfo, error] {
	return paginate(ctx, "", func(flag string) ([]*UserInfo, string, bool, error) {
		members, next, err := z.QueryRoomMemberList(ctx, roomID, RoomMemberQueryConfig{NextFlag: flag})
		return members, next, next != "", err
	})
}

// QueryRoomMembers returns those of up to 10 users who are in a room that this user is in, and why the others are not among them.
//
// It fails with [ErrCommonParamsInvalid] for what is wrong with the arguments, with [ErrRoomTheRoomDoesNotExist], with
// [ErrRoomUserIsNotInTheRoom] if this user is not in the room, and with [ErrRoomTheRoomMembersQueryFailedCompletely] if nobody else
// is. (Documented in the chapter on rooms.)
func (z *ZIM) QueryRoomMembers(ctx context.Context, userIDs []string, roomID string) (members []*UserInfo, failed []ErrorUserInfo, err error) {
	const op = "QueryRoomMembers"
	if len(userIDs) == 0 || len(userIDs) > maxRoomUsers {
		return nil, nil, invalid(op, "%d users, it may be 1 to %d", len(userIDs), maxRoomUsers)
	}
	for _, id := range userIDs {
		if err := checkUserID(op, "user ID", id); err != nil {
			return nil, nil, err
		}
	}
	list, err := z.queryRoom(ctx, op, &wire.QueryRoomMembersRequest{RoomId: roomID, UserIds: userIDs})
	if err != nil {
		return nil, nil, err
	}
	return roomMembers(list.GetMembers()), errorUserInfos(list.GetFailed()), nil
}

// QueryRoomOnlineMemberCount returns how many users are in a room that this user is in. Those whose connection is lost do not
// count. It fails as [ZIM.QueryRoomMemberList] does. (Documented in the chapter on rooms.)
func (z *ZIM) QueryRoomOnlineMemberCount(ctx context.Context, roomID string) (int, error) {
	list, err := z.queryRoom(ctx, "QueryRoomOnlineMemberCount", &wire.QueryRoomMembersRequest{RoomId: roomID, OnlyCount: true})
	if err != nil {
		return 0, err
	}
	return int(list.GetCount()), nil
}

func (z *ZIM) queryRoom(ctx context.Context, op string, req *wire.QueryRoomMembersRequest) (*wire.RoomMembers, error) {
	if err := checkRoomID(op, "room", req.RoomId); err != nil {
		return nil, err
	}
	resp, err := z.call(ctx, op, &wire.Request{Body: &wire.Request_QueryRoomMembers{QueryRoomMembers: req}})
	if err != nil {
		return nil, err
	}
	return resp.GetRoomMembers(), nil
}

func roomMembers(list []*wire.UserInfo) []*UserInfo {
	members := make([]*UserInfo, len(list))
	for i, w := range list {
		u := userInfo(w)
		members[i] = &u
	}
	return members
}

func userInfo(w *wire.UserInfo) UserInfo {
	return UserInfo{UserID: w.GetUserId(), UserName: w.GetName(), UserAvatarUrl: w.GetAvatarUrl(), UserExtendedData: w.GetExtendedData()}
}

func userInfos(list []*wire.UserInfo) []UserInfo {
	users := make([]UserInfo, len(list))
	for i, w := range list {
		users[i] = userInfo(w)
	}
	return users
}

func errorUserInfos(list []*wire.UserError) []ErrorUserInfo {
	users := make([]ErrorUserInfo, len(list))
	for i, w := range list {
		users[i] = ErrorUserInfo{UserID: w.GetUserId(), Reason: Code(w.GetReason())}
	}
	return users
}
