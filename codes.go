package zim

import (
	"fmt"
	"strings"
)

//go:generate stringer -type=Code -linecomment -output=code_string.go

// A Code is a documented error code of ZIM, or one of the negative codes of this package. Codes are errors so that they can
// be targets of [errors.Is]; String returns the text that stands beside the constant.
//
// The names are the documented ones, spelled as there, with Err in front and without the word Module.
type Code int

// Error returns the code's text and number, as in "the token has expired (6000106)". A service may send codes that are newer
// than this version: they have a number only, as in "unknown code 6000999".
func (c Code) Error() string {
	text := c.String()
	if strings.HasPrefix(text, "Code(") {
		return fmt.Sprintf("unknown code %d", int(c))
	}
	return fmt.Sprintf("%s (%d)", text, int(c))
}

// Codes for what the documentation has no number for. They never travel.
const (
	ErrAlreadyCreated      Code = -1 // an instance exists, destroy it first
	ErrCanceled            Code = -2 // the context ended before the operation did
	ErrOutcomeUnknown      Code = -3 // sent but not acknowledged: it may or may not be stored
	ErrIdempotencyMismatch Code = -4 // the local message ID was used before for other content
)

// Codes of every outcome.
const (
	ErrSuccess Code = 0 // the operation succeeded
	ErrFailed  Code = 1 // the operation failed for an unknown reason
)

// Codes of all chapters.
const (
	ErrCommonParamsInvalid               Code = 6000001 // a parameter is invalid
	ErrCommonNotInit                     Code = 6000002 // the ZIM is not created yet or was destroyed
	ErrCommonInvalidAppID                Code = 6000003 // the app ID is unknown or has expired
	ErrCommonTriggerSDKFrequencyLimit    Code = 6000004 // too many calls for the SDK, slow down
	ErrCommonTriggerServerFrequencyLimit Code = 6000005 // too many calls for the service, slow down
	ErrCommonSwitchServerError           Code = 6000006 // the service is overloaded, try again later
	ErrCommonIMServerError               Code = 6000007 // internal error of the service
	ErrCommonIMDatabaseError             Code = 6000008 // internal error of the service's database
	ErrCommonIMServerDisconnect          Code = 6000009 // the connection broke during the operation
	ErrCommonUploadLogError              Code = 6000010 // the log could not be uploaded
	ErrCommonUserIsNotExist              Code = 6000011 // the user does not exist
	ErrCommonUserInfoQueriedLimit        Code = 6000012 // too many users queried, ask for fewer or wait
	ErrCommonUnsupportedRequest          Code = 6000013 // not supported, or not part of the plan
	ErrCommonUnactivatedIMServer         Code = 6000014 // the service is not activated for the app
	ErrCommonExceedDAULimit              Code = 6000015 // the app has too many daily active users
	ErrCommonExceedMAULimit              Code = 6000016 // the app has too many monthly active users
	ErrCommonBlacklistLimit              Code = 6000021 // a blacklist forbids the operation
)

// Codes of login, token and connection.
const (
	ErrNetworkCommonError             Code = 6000101 // login failed: the token or the app ID is wrong
	ErrNetworkServerError             Code = 6000102 // login failed: internal error of the service
	ErrNetworkTokenInvalid            Code = 6000103 // the token is invalid, or another user's
	ErrNetworkNetworkError            Code = 6000104 // there is no connection to the service
	ErrNetworkRequestTimeout          Code = 6000105 // the service did not answer in time
	ErrNetworkTokenExpired            Code = 6000106 // the token has expired
	ErrNetworkTokenVersionError       Code = 6000107 // the token's version is not supported
	ErrNetworkTokenTimeIsTooShort     Code = 6000108 // the token expires too soon
	ErrNetworkRspProtoParseError      Code = 6000109 // the service's answer could not be decoded
	ErrNetworkUserHasAlreadyLogged    Code = 6000111 // a user is logged in, log out first
	ErrNetworkUserIsNotLogged         Code = 6000121 // not logged in, log in first
	ErrNetworkUserHasAlreadyLoggedOut Code = 6000122 // the user logged out during the operation
	ErrNetworkUserOffline             Code = 6000123 // another user's session is offline, log out first
	ErrNetworkUserIDError             Code = 6000124 // only the last user can log in offline
)

// Codes of messages.
const (
	ErrMessageCommonError                   Code = 6000201 // the message operation failed
	ErrMessageServerError                   Code = 6000202 // message operation: internal error of the service
	ErrMessageSendMessageFailed             Code = 6000203 // the message could not be sent
	ErrMessageTargetDoesNotExist            Code = 6000204 // the receiver does not exist
	ErrMessageEditMessageFailed             Code = 6000205 // the message could not be edited
	ErrMessageSendMessageFailedForCancelled Code = 6000206 // sending the message was canceled
	ErrMessageCancelSendingMessageFailed    Code = 6000207 // the message can no longer be canceled
	ErrMessageMessageIsNotPinned            Code = 6000208 // the message is not pinned

	ErrMessageFileError                          Code = 6000210 // the file could not be transferred
	ErrMessageFileNotExist                       Code = 6000211 // the file does not exist
	ErrMessageFileServerError                    Code = 6000212 // upload: internal error of the file service
	ErrMessageFileTypeUnsupported                Code = 6000213 // files of this type are not supported
	ErrMessageFileSizeInvalid                    Code = 6000214 // the file is too large or empty
	ErrMessageFileDurationInvalid                Code = 6000215 // the recording is too long, or its duration missing
	ErrMessageFilePermissionDenied               Code = 6000216 // no permission to read or write the file
	ErrMessageFileDownloadFailed                 Code = 6000217 // the file could not be downloaded
	ErrMessageFileDownloadLimit                  Code = 6000218 // the file is too large to download
	ErrMessageFileDownloadUrlNotFound            Code = 6000219 // nothing was found at the download URL
	ErrMessageFileDownloadHttpRequestServerError Code = 6000220 // download: the HTTP request failed
	ErrMessageAuditRejected                      Code = 6000221 // moderation rejected the message
	ErrMessageAuditFailed                        Code = 6000222 // moderation failed, the message was not sent
	ErrMessageAuditCustomSentRejected            Code = 6000230 // the app's own server rejected the message
	// ErrMessageSendMessageFailedBanned is documented as a number without a constant.
	ErrMessageSendMessageFailedBanned                      Code = 6000231 // the sender is muted or banned
	ErrMessageCacheFileOpenFailed                          Code = 6000240 // the message archive could not be opened
	ErrMessageCacheFileExportOrImportIsInProgressCurrently Code = 6000241 // another export or import of messages is running
	ErrMessageCacheFileOnlyCanImportCacheOfOneself         Code = 6000242 // the message archive is another user's
	ErrMessageCacheFileExportFailed                        Code = 6000243 // the messages could not be exported
	ErrMessageCacheFileImportFailed                        Code = 6000244 // the messages could not be imported
	ErrMessageCacheFileJsonParseFailed                     Code = 6000245 // the message archive is not valid JSON
	ErrMessageFileConnectError                             Code = 6000251 // the connection broke during the file transfer
	ErrMessageFileHttpError                                Code = 6000252 // file transfer: the HTTP request failed
	ErrMessageFileVerificationError                        Code = 6000253 // file transfer: the certificate was not accepted
	ErrMessageFileClientError                              Code = 6000254 // file transfer: out of local space or permission

	ErrMessageReceiptReadError                      Code = 6000277 // no read receipt could be sent
	ErrMessageMessageExceedsRevokeTime              Code = 6000278 // the message is too old to be revoked
	ErrMessageMessageHasBeenRevoked                 Code = 6000279 // the message was already revoked
	ErrMessageMessageReactionTypeExisted            Code = 6000280 // the reaction exists already, or not any more
	ErrMessageMessageReceiptLimit                   Code = 6000282 // too many receipts in one call
	ErrMessageSenderInBlacklist                     Code = 6000284 // the sender is on the receiver's blacklist
	ErrMessageEditNoCorrespondingOperationAuthority Code = 6000285 // only the sender may edit the message
	ErrMessageMessageExceedsEditTime                Code = 6000286 // the message is too old to be edited
	ErrMessageTheNumberOfPinnedMessagesExceedsLimit Code = 6000287 // the conversation has too many pinned messages
)

// Codes of call invitations.
const (
	ErrCallCommonError            Code = 6000270 // the call operation failed
	ErrCallCancelError            Code = 6000271 // an accepted call cannot be canceled
	ErrCallServerError            Code = 6000272 // call: service error, or too many invitees
	ErrCallIsNotInvitor           Code = 6000273 // only the inviter may do this
	ErrCallIsNotInvitee           Code = 6000274 // only an invitee may do this
	ErrCallAlreadyExists          Code = 6000275 // the user is already in a call
	ErrCallDoesNotExist           Code = 6000276 // the call does not exist or has ended
	ErrCallInviteUserDoesNotExist Code = 6000281 // none of the invited users exists
	ErrCallUserAlreadyInTheCall   Code = 6000283 // the user is already in this call
)

// Codes of rooms.
const (
	ErrRoomCommonError                             Code = 6000301 // the room operation failed
	ErrRoomServerError                             Code = 6000302 // room operation: internal error of the service
	ErrRoomCreateRoomError                         Code = 6000303 // the room could not be created
	ErrRoomJoinRoomError                           Code = 6000304 // the room could not be joined
	ErrRoomLeaveRoomError                          Code = 6000306 // the room could not be left
	ErrRoomTheRoomMemberQueryFailed                Code = 6000310 // the room's members could not be queried
	ErrRoomTheRoomMembersQueryFailedCompletely     Code = 6000311 // none of the room members was found
	ErrRoomUserIsAlreadyInTheRoom                  Code = 6000320 // the user is already in the room
	ErrRoomUserIsNotInTheRoom                      Code = 6000321 // the user is not in the room
	ErrRoomTheRoomDoesNotExist                     Code = 6000322 // the room does not exist
	ErrRoomTheRoomAlreadyExists                    Code = 6000323 // the room exists already, join it instead
	ErrRoomTheNumberOfExistingRoomsHasReachedLimit Code = 6000324 // the app has too many rooms
	ErrRoomTheNumberOfJoinedRoomsHasReachedLimit   Code = 6000325 // the user is in too many rooms
	ErrRoomTheRoomIsConnecting                     Code = 6000326 // the room is being entered already
	ErrRoomRoomMemberIsBlocked                     Code = 6000327 // the user is banned from the room

	ErrRoomRoomAttributesCommonError                       Code = 6000330 // the room attribute operation failed
	ErrRoomRoomAttributesOperationFailedCompletely         Code = 6000331 // none of the room attributes was changed
	ErrRoomRoomAttributesOperationFailedPartly             Code = 6000332 // some of the room attributes were not changed
	ErrRoomRoomAttributesQueryFailed                       Code = 6000333 // the room attributes could not be queried
	ErrRoomTheNumberOfRoomAttributesExceedsLimit           Code = 6000334 // the room has too many attributes
	ErrRoomTheLengthOfRoomAttributeKeyExceedsLimit         Code = 6000335 // a key of the room attributes is too long
	ErrRoomTheLengthOfRoomAttributeValueExceedsLimit       Code = 6000336 // a value of the room attributes is too long
	ErrRoomTheTotalLengthOfRoomAttributesValueExceedsLimit Code = 6000337 // the room attributes are too long together

	ErrRoomRoomMemberAttributesCommonError                   Code = 6000350 // the room member attribute operation failed
	ErrRoomTheTotalLengthOfRoomMemberAttributesExceedsLimit  Code = 6000351 // the attributes of a room member are too long together
	ErrRoomTheLengthOfRoomMemberAttributesKeyExceedsLimit    Code = 6000352 // a key of room member attributes is too long
	ErrRoomTheLengthOfRoomMemberAttributesValueExceedsLimit  Code = 6000353 // a value of room member attributes is too long
	ErrRoomTheMemberNumberOfRoomMemberAttributesExceedsLimit Code = 6000357 // too many members of the room have attributes
)

// Codes of offline push.
const (
	ErrZpnsPushIDInvalid Code = 6000401 // the push ID is invalid
)

// Codes of groups.
const (
	ErrGroupCommonError                    Code = 6000501 // the group operation failed
	ErrGroupServerError                    Code = 6000502 // group operation: internal error of the service
	ErrGroupCreateGroupError               Code = 6000503 // the group could not be created
	ErrGroupDismissGroupError              Code = 6000504 // the group could not be dismissed
	ErrGroupJoinGroupError                 Code = 6000505 // the group could not be joined
	ErrGroupLeaveGroupError                Code = 6000506 // the group could not be left
	ErrGroupKickoutGroupMemberError        Code = 6000507 // the members could not be removed from the group
	ErrGroupInviteUserIntoGroupError       Code = 6000508 // the users could not be invited into the group
	ErrGroupTransferOwnerError             Code = 6000509 // the group's ownership could not be transferred
	ErrGroupUpdateGroupInfoError           Code = 6000510 // the group's profile could not be changed
	ErrGroupQueryGroupInfoError            Code = 6000511 // the group's profile could not be queried
	ErrGroupGroupAttributesOperationFailed Code = 6000512 // the group attributes could not be changed
	ErrGroupGroupAttributesQueryFailed     Code = 6000513 // the group attributes could not be queried
	ErrGroupUpdateGroupMemberInfoError     Code = 6000514 // the group member's profile could not be changed
	ErrGroupQueryGroupMemberInfoError      Code = 6000515 // the group member's profile could not be queried
	ErrGroupQueryGroupListError            Code = 6000516 // the user's groups could not be queried
	ErrGroupQueryGroupMemberListError      Code = 6000517 // the group's members could not be queried
	ErrGroupUserIsNotInTheGroup            Code = 6000521 // the user is not in the group
	ErrGroupMemberIsAlreadyInTheGroup      Code = 6000522 // the user is already in the group
	ErrGroupGroupDoesNotExist              Code = 6000523 // the group does not exist
	ErrGroupGroupAlreadyExists             Code = 6000524 // the group exists already
	ErrGroupGroupMemberHasReachedLimit     Code = 6000525 // the group is full
	ErrGroupGroupAttributeDoesNotExist     Code = 6000526 // the group attribute does not exist
	ErrGroupCreateGroupWithDismissed       Code = 6000527 // the group ID belonged to a dismissed group

	ErrGroupTheNumberOfGroupAttributesExceedsLimit           Code = 6000531 // the group has too many attributes
	ErrGroupTheLengthOfGroupAttributeKeyExceedsLimit         Code = 6000532 // a key of the group attributes is too long
	ErrGroupTheLengthOfGroupAttributeValueExceedsLimit       Code = 6000533 // a value of the group attributes is too long
	ErrGroupTheTotalLengthOfGroupAttributesValueExceedsLimit Code = 6000534 // the group attributes are too long together

	ErrGroupGroupNoCorrespondingOperationAuthority Code = 6000541 // the user's role in the group forbids this
	ErrGroupForbidJoinGroupError                   Code = 6000542 // nobody may join the group
	ErrGroupNeedApplyJoinGroupError                Code = 6000543 // the group must be applied to
	ErrGroupNeedApplyInviteGroupError              Code = 6000544 // the invited user must accept first
)

// Codes of conversations.
const (
	ErrConversationCommonError                        Code = 6000601 // the conversation operation failed
	ErrConversationServerError                        Code = 6000602 // conversation operation: internal error of the service
	ErrConversationConversationDoesNotExist           Code = 6000603 // the conversation does not exist
	ErrConversationConversationPinnedListReachedLimit Code = 6000604 // too many conversations are pinned
)

// Codes of the local store.
const (
	ErrDatabaseOpenDatabaseError   Code = 6000701 // the local store could not be opened
	ErrDatabaseModifyDatabaseError Code = 6000702 // the local store could not be written
	ErrDatabaseDeleteDatabaseError Code = 6000703 // the local store could not be deleted from
	ErrDatabaseSeleteDatabaseError Code = 6000704 // the local store could not be read
	ErrDatabaseDbIsNotOpened       Code = 6000710 // the local store is not open
)

// Codes of friends and the blacklist.
const (
	ErrFriendFriendNumsLimit              Code = 6000801 // one of the users has too many friends
	ErrFriendFriendApplicationStatusError Code = 6000802 // the friend application was answered already
	ErrFriendIsAlreadyYourFriend          Code = 6000803 // the user is already a friend
	ErrFriendAlreadyAddToBlacklist        Code = 6000804 // the user is already on the blacklist
	ErrFriendCannotAddSelfToBlacklist     Code = 6000805 // users cannot blacklist themselves
	ErrFriendAlreadyDeleteFromBlacklist   Code = 6000806 // the user was already removed from the blacklist
	ErrFriendUserNotInBlacklist           Code = 6000807 // the user is not on the blacklist
	ErrFriendBlacklistListQuantityLimit   Code = 6000808 // the blacklist is full
	ErrFriendFriendOperationLimitExceeded Code = 6000809 // too many users in one call
	ErrFriendCannotAddSelfToFriendList    Code = 6000810 // users cannot befriend themselves
	ErrFriendFriendAreUnregistered        Code = 6000811 // the user to befriend does not exist
	ErrFriendNotYourFriend                Code = 6000812 // the user is not a friend
	ErrFriendCannotDeleteSelf             Code = 6000813 // users cannot unfriend themselves
	ErrFriendFriendApplicationExpired     Code = 6000814 // the friend application has expired
	ErrFriendAddBlacklistFail             Code = 6000815 // none of the users could be blacklisted
	ErrFriendDelBlacklistFail             Code = 6000816 // none of the users could be taken off the blacklist
)
