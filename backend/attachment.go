package backend

import (
	"sync"
	"time"

	"github.com/zim-go/zim/transport/inproc"
	"github.com/zim-go/zim/wire"
)

// A Link is the server's end of an attachment. Its methods don't wait.
type Link interface {
	// Reply answers a request. The response may be changed afterwards.
	Reply(id uint64, resp *wire.Response) error
	// Push sends what nobody asked for. The push may be changed afterwards.
	Push(push *wire.Push) error
	// Close ends the attachment after what was sent: with a WebSocket status, or without a word if that is zero.
	Close(status int, reason string)
	// Trust says that the client has logged in and may send more at once.
	Trust()
}

// The WebSocket statuses that say why a connection was closed.
const (
	statusGoingAway       = 1001
	statusPolicyViolation = 1008
	statusInternalError   = 1011
	statusTryLater        = 1013
	statusBadLogin        = 4401
	statusLoginTimeout    = 4408
	statusKickedOut       = 4409
	statusReplaced        = 4410
	statusTooMuch         = 4429
)

// Documented codes that the server answers with.
const (
	codeParamsInvalid  = 6000001
	codeInvalidAppID   = 6000003
	codeFrequencyLimit = 6000005
	codeServerError    = 6000007
	codeDatabaseError  = 6000008
	codeUnsupported    = 6000013
	codeTokenInvalid   = 6000103
	codeTokenExpired   = 6000106
	codeTokenVersion   = 6000107
	codeTokenTooShort  = 6000108
	codeAlreadyLogged  = 6000111
	codeNotLogged      = 6000121
	codeTargetNotExist = 6000204
	codeIdempotency    = -4 // not documented: the client ID was used for something else

	codeNoUser          = 6000011
	codeEditFailed      = 6000205
	codeNotPinned       = 6000208
	codeFileError       = 6000210
	codeFileServer      = 6000212
	codeFileType        = 6000213
	codeFileSize        = 6000214
	codeFileDuration    = 6000215
	codeURL             = 6000219
	codeRejected        = 6000230
	codeReceiptFailed   = 6000277
	codeRevokeLate      = 6000278
	codeRevoked         = 6000279
	codeReactionExists  = 6000280
	codeTooManyReceipts = 6000282
	codeEditForeign     = 6000285
	codeEditLate        = 6000286
	codeTooManyPins     = 6000287

	codeRoomFull       = 6000304
	codeCannotLeave    = 6000306
	codeNoneInRoom     = 6000311
	codeNotInRoom      = 6000321
	codeNoRoom         = 6000322
	codeRoomExists     = 6000323
	codeTooManyRooms   = 6000324
	codeTooManyEntered = 6000325

	codeNotInGroup        = 6000521
	codeAlreadyInGroup    = 6000522
	codeNoGroup           = 6000523
	codeGroupExists       = 6000524
	codeGroupFull         = 6000525
	codeGroupWasDismissed = 6000527
	codeNoAuthority       = 6000541
	codeJoinForbidden     = 6000542
	codeMustApply         = 6000543
	codeMustAccept        = 6000544

	codeNoConversation = 6000603
	codeTooManyPinned  = 6000604
)

func refuse(code int32, message string) *wire.Error { return &wire.Error{Code: code, Message: message} }

// An attachment is one connection of a client. It implements [inproc.Handler].
type attachment struct {
	server  *Server
	link    Link
	address string // of the client, for the limits; empty if it is in the process
	leave   func() // tells the gate that the client has logged in
	refused bool   // nothing is handled any more; for Handle
	command command

	mu        sync.Mutex
	session   *session    // guarded by mu; nil until the login
	questions []*question // guarded by mu; settle exists while there are any
	login     *time.Timer // guarded by mu; how long that may take
}

// Attach attaches a client of the same process: see [inproc.Dialer].
func (s *Server) Attach(peer *inproc.Peer) (inproc.Handler, error) {
	return s.attach(peer, "", func() {})
}

func (s *Server) attach(link Link, address string, leave func()) (*attachment, error) {
	if err := s.enter(link); err != nil {
		return nil, err
	}
	a := &attachment{server: s, link: link, address: address, leave: leave}
	a.command.init()
	a.login = time.AfterFunc(s.config.LoginTimeout, func() { link.Close(statusLoginTimeout, "no login came") })
	return a, nil
}

// Detached is called when the connection ended.
func (a *attachment) Detached() { a.detached(StatusOnline) }

// detached takes the attachment away. status is what the user is now unless the session was ended.
func (a *attachment) detached(status OnlineStatus) {
	a.mu.Lock()
	s := a.session
	a.login.Stop()
	a.mu.Unlock()
	if s != nil {
		if s.ending() != nil {
			status = StatusOffline
		}
		a.server.hub.remove(s, status)
		s.expiry.Stop()
	}
	a.server.hub.detach(a.link)
	a.server.work.Done()
}

// Handle takes a request.
func (a *attachment) Handle(id uint64, req *wire.Request) {
	a.mu.Lock()
	s := a.session
	a.mu.Unlock()
	busy := a.server.busy(req)
	if s == nil {
		if a.refused {
			return
		}
		if login := req.GetLogin(); login != nil && busy == nil {
			a.handleLogin(id, login)
			return
		} else if login != nil {
			a.refused = true
			a.refuse(id, busy)
			a.link.Close(statusTryLater, busy.Message)
			return
		}
		a.refused = true
		a.refuse(id, refuse(codeNotLogged, "the first request must be a login"))
		a.link.Close(statusPolicyViolation, "the first request must be a login")
		return
	}
	if end := s.ending(); end != nil {
		a.refuse(id, &wire.Error{Code: codeNotLogged, Message: "the session is over", SessionEnd: end})
		return
	}
	if busy != nil && !req.GetSendMessage().GetAgain() {
		a.refuse(id, busy)
		return
	}
	a.handle(s, id, req, busy)
}

// handle takes a request of a session. A message is only looked for if busy is not nil, which is then the answer.
func (a *attachment) handle(s *session, id uint64, req *wire.Request, busy *wire.Error) {
	switch b := req.Body.(type) {
	case *wire.Request_SendMessage:
		a.sendMessage(s, id, b.SendMessage, busy)
	case *wire.Request_Heartbeat:
		a.heartbeat(s, id, b.Heartbeat)
		a.server.rooms.remind(s)
	case *wire.Request_Sync:
		a.sync(s, id, b.Sync)
	case *wire.Request_RenewToken:
		a.renewToken(s, id, b.RenewToken)
	case *wire.Request_Logout:
		a.logout(s, id, b.Logout)
	case *wire.Request_EditMessage:
		a.editMessage(s, id, b.EditMessage)
	case *wire.Request_RevokeMessage:
		a.revokeMessage(s, id, b.RevokeMessage)
	case *wire.Request_DeleteMessages:
		a.deleteMessages(s, id, b.DeleteMessages)
	case *wire.Request_QueryMessages:
		a.queryMessages(s, id, b.QueryMessages)
	case *wire.Request_QueryPinnedMessages:
		a.queryPinned(s, id, b.QueryPinnedMessages)
	case *wire.Request_QueryCombineMessage:
		a.queryCombine(s, id, b.QueryCombineMessage)
	case *wire.Request_QueryRepliedMessages:
		a.queryReplied(s, id, b.QueryRepliedMessages)
	case *wire.Request_Receipts:
		a.receipts(s, id, b.Receipts)
	case *wire.Request_QueryReceiptMembers:
		a.queryReceiptMembers(s, id, b.QueryReceiptMembers)
	case *wire.Request_React:
		a.react(s, id, b.React)
	case *wire.Request_QueryReactionUsers:
		a.queryReactionUsers(s, id, b.QueryReactionUsers)
	case *wire.Request_PinMessage:
		a.pinMessage(s, id, b.PinMessage)
	case *wire.Request_QueryConversations:
		a.queryConversations(s, id, b.QueryConversations)
	case *wire.Request_QueryTotalUnread:
		a.queryTotalUnread(s, id, b.QueryTotalUnread)
	case *wire.Request_ChangeConversations:
		a.changeConversations(s, id, b.ChangeConversations)
	case *wire.Request_ReadConversation:
		a.readConversation(s, id, b.ReadConversation)
	case *wire.Request_EnterRoom:
		a.enterRoom(s, id, b.EnterRoom)
	case *wire.Request_LeaveRoom:
		a.leaveRoom(s, id, b.LeaveRoom)
	case *wire.Request_QueryRoomMembers:
		a.queryRoomMembers(s, id, b.QueryRoomMembers)
	case *wire.Request_CreateGroup:
		a.createGroup(s, id, b.CreateGroup)
	case *wire.Request_Group:
		a.changeGroup(s, id, b.Group)
	case *wire.Request_GroupUsers:
		a.changeGroupUsers(s, id, b.GroupUsers)
	case *wire.Request_QueryGroups:
		a.queryGroups(s, id, b.QueryGroups)
	case *wire.Request_QueryGroupMembers:
		a.queryGroupMembers(s, id, b.QueryGroupMembers)
	case *wire.Request_Upload:
		a.upload(s, id, b.Upload)
	case *wire.Request_Login:
		a.refuse(id, refuse(codeAlreadyLogged, "this connection has logged in"))
	default:
		a.refuse(id, refuse(codeUnsupported, "the server does not know this kind of request"))
	}
}

func (a *attachment) refuse(id uint64, e *wire.Error) {
	a.link.Reply(id, &wire.Response{Error: e})
}
