package restapi

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/internal/ident"
)

const (
	maxUserName = 256
	maxAvatar   = 500
	maxExtra    = 32 << 10
	robotPrefix = "@RBT#"
)

// A userError is why something failed for one user.
type userError struct {
	UserId     string
	SubCode    int
	SubMessage string `json:",omitempty"`
}

// batch is the failure of a request whose items have all failed: the first one's. Nil means that something was done.
func batch(errs []userError, items int) *failure {
	if len(errs) == 0 || len(errs) < items {
		return nil
	}
	return fail(errs[0].SubCode, "every item has failed")
}

type userInfo struct {
	UserId, UserName, UserAvatar, Extra string
}

type registerIn struct {
	UserInfo []userInfo `zim:"needed,max=100"`
}

type robotsIn struct {
	UserInfo []userInfo `zim:"needed,max=20"`
}

type errorListOut struct {
	ErrorList []userError
}

func (u *userInfo) check() *userError {
	switch {
	case len(u.UserId) > ident.MaxUserID:
		return &userError{u.UserId, apicode.UserIDTooLong, "the user ID has more than 32 bytes"}
	case ident.CheckUserID(u.UserId) != nil:
		return &userError{u.UserId, apicode.Input, "the user ID is empty, or has characters that are not allowed"}
	case len(u.UserName) > maxUserName || !utf8.ValidString(u.UserName):
		return &userError{u.UserId, apicode.UserNameTooLong, "the name has more than 256 bytes"}
	case len(u.UserAvatar) > maxAvatar:
		return &userError{u.UserId, apicode.AvatarTooLong, "the avatar's URL has more than 500 bytes"}
	case len(u.Extra) > maxExtra:
		return &userError{u.UserId, apicode.Input, "the extended info has more than 32 KB"}
	}
	return nil
}

// accounts returns the users that can be made or changed, and why the others can't.
func accounts(list []userInfo, check func(*userInfo) *userError) (good []backend.Account, errs []userError) {
	errs = []userError{}
	for _, u := range list {
		e := check(&u)
		if e == nil && slices.ContainsFunc(good, func(a backend.Account) bool { return a.UserID == u.UserId }) {
			e = &userError{u.UserId, apicode.Input, "the user comes twice"}
		}
		if e != nil {
			errs = append(errs, *e)
		} else {
			good = append(good, backend.Account{UserID: u.UserId, Name: u.UserName})
		}
	}
	return good, errs
}

// register makes users. Avatars are checked, but the backend does not keep any.
func register(c *call, in *registerIn) (any, *failure) {
	return c.enroll(in.UserInfo, (*userInfo).check)
}

func registerRobots(c *call, in *robotsIn) (any, *failure) {
	return c.enroll(in.UserInfo, func(u *userInfo) *userError {
		if !strings.HasPrefix(u.UserId, robotPrefix) || u.UserId == robotPrefix {
			return &userError{u.UserId, apicode.Input, "the ID of a bot begins with " + robotPrefix}
		}
		return u.check()
	})
}

func (c *call) enroll(list []userInfo, check func(*userInfo) *userError) (any, *failure) {
	good, errs := accounts(list, check)
	existing, err := c.server().Enroll(c.app, good)
	if err != nil {
		return nil, c.storage(err)
	}
	for _, id := range existing {
		errs = append(errs, userError{id, apicode.UserExists, "the user exists already"})
	}
	return errorListOut{errs}, batch(errs, len(list))
}

// modifyUserInfo gives users names. An empty one, an avatar and extended info are accepted, and change nothing.
func modifyUserInfo(c *call, in *registerIn) (any, *failure) {
	good, errs := accounts(in.UserInfo, (*userInfo).check)
	unknown, err := c.server().Rename(c.app, good)
	if err != nil {
		return nil, c.storage(err)
	}
	for _, id := range unknown {
		errs = append(errs, userError{id, apicode.UserNotFound, "there is no such user"})
	}
	return errorListOut{errs}, batch(errs, len(in.UserInfo))
}

type queryUsersIn struct {
	UserIds []string `zim:"needed,max=100,each=64"`
}

type queryUsersOut struct {
	Result    []userInfo
	ErrorList []userError
}

func queryUserInfos(c *call, in *queryUsersIn) (any, *failure) {
	list, err := c.server().Accounts(c.ctx, c.app, in.UserIds...)
	if err != nil {
		return nil, c.storage(err)
	}
	out := queryUsersOut{[]userInfo{}, []userError{}}
	for _, a := range list {
		if a.Exists {
			out.Result = append(out.Result, userInfo{UserId: a.UserID, UserName: a.Name})
		} else {
			out.ErrorList = append(out.ErrorList, userError{UserId: a.UserID, SubCode: apicode.UserInfo})
		}
	}
	return out, batch(out.ErrorList, len(list))
}

type onlineIn struct {
	UserId []string `zim:"needed,max=100,each=64"`
}

type userState struct {
	UserId, Status string
}

type onlineOut struct {
	Result    []userState
	ErrorList []userError
}

// queryUserOnlineState tells who is online, or offline but logged in. Others, such as bots, are absent.
func queryUserOnlineState(c *call, in *onlineIn) (any, *failure) {
	list, err := c.server().Accounts(c.ctx, c.app, in.UserId...)
	if err != nil {
		return nil, c.storage(err)
	}
	out := onlineOut{[]userState{}, []userError{}}
	for _, a := range list {
		switch {
		case a.Online:
			out.Result = append(out.Result, userState{a.UserID, "Online"})
		case a.LoggedIn:
			out.Result = append(out.Result, userState{a.UserID, "Offline"})
		default:
			out.ErrorList = append(out.ErrorList, userError{UserId: a.UserID, SubCode: apicode.UserAbsent})
		}
	}
	return out, batch(out.ErrorList, len(list))
}
