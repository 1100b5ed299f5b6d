package zim

// UserInfo is what others see of a user.
type UserInfo struct {
	UserID           string
	UserName         string
	UserAvatarUrl    string
	UserExtendedData string
}

// ErrorUserInfo is why something was not done for one of several users.
type ErrorUserInfo struct {
	UserID string
	Reason Code
}
