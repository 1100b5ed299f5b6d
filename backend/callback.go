package backend

import (
	"strconv"
	"strings"
	"time"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

// The app's own server is told of what happens by callbacks (package webhook). What is stored is told in the same transaction; rooms and
// connections live in memory, and what happens to them is told a moment later.

// Documented numbers and words of callbacks.
const (
	sourceServer = 1

	actionLogin   = 0
	actionLogout  = 1
	actionOffline = 2

	exitQuit, exitKickout   = "Quit", "Kickout"
	enterApply, enterInvite = "Apply", "Invited"

	botPrefix = "@RBT#"
)

// platforms are the names of platforms in callbacks. The others have none.
var platforms = map[int32]string{
	1: "PC", 2: "IOS_PHONE", 3: "ANDROID", 4: "MAC", 5: "LINUX", platformWeb: "WEB", platformMiniProgram: "MINIPROGRAM",
}

// calls reports whether an event of the user's app is to be told.
func (c *change) calls(event string) bool {
	return c.server.config.Callbacks.Wants(c.self.AppID, event)
}

// A messageCall is a message as callbacks tell of it.
type messageCall struct {
	sender   userKey
	typ      int32
	content  []byte
	extended string
	convType int32
	convID   string // as the sender has it
	id       int64  // zero if it was not kept
	seq      int64
	time     int64  // Unix milliseconds
	result   int    // the documented one: zero if it was sent
	server   bool   // the app's own server has sent it
	said     string // in its words; empty: in the backend's
}

func (m *messageCall) idText() string {
	if m.id == 0 {
		return ""
	}
	return strconv.FormatInt(m.id, 10)
}

// listed is the message in a list of the users to whom one request has sent it.
func (m *messageCall) listed() webhook.Fields {
	return webhook.Fields{"UserId": m.convID, "MsgId": m.idText(), "MsgSeq": m.seq}
}

// fields are what bot_msg says, and send_msg of what a client has sent.
func (m *messageCall) fields(s *Server) webhook.Fields {
	fields := s.messageFields(m.sender, m.typ, m.content)
	fields["conv_type"], fields["conv_id"] = m.convType, m.convID
	fields["msg_id"], fields["msg_seq"], fields["msg_time"] = m.idText(), m.seq, m.time
	fields["payload"], fields["send_result"] = m.extended, m.result
	if m.said != "" {
		fields["msg_body"] = m.said
	}
	return fields
}

// sent makes of fields what send_msg says.
func (m *messageCall) sent(fields webhook.Fields) webhook.Fields {
	if m.server {
		fields["source"] = sourceServer
		if m.convType == store.ConversationPeer {
			fields["conv_id"], fields["user_list"] = "", []webhook.Fields{m.listed()}
		}
	}
	return fields
}

// called returns a message that was stored or edited.
func (c *change) called(m *store.Message) *messageCall {
	conv := m.Conversation
	return &messageCall{
		sender: userKey{conv.App, m.Sender.UserID}, typ: m.Type, content: m.Content, extended: m.Extended,
		convType: conv.Type, convID: conv.Name(m.Sender.UserID), id: m.ID, seq: m.Seq(), time: m.Time, server: c.s.server, said: c.s.said,
	}
}

// callMessage queues what is told of a message that was stored or edited: twice the same for a receiver who is a bot, by two names.
func (c *change) callMessage(stored *store.Message) error {
	peer := stored.Conversation.Type == store.ConversationPeer
	bot := peer && stored.Type != msgtype.Combine && strings.HasPrefix(stored.Conversation.Name(stored.Sender.UserID), botPrefix) &&
		c.calls(webhook.BotMsg)
	if !bot && !c.calls(webhook.SendMsg) {
		return nil
	}
	m, callbacks := c.called(stored), c.server.config.Callbacks
	fields := m.fields(c.server)
	if bot {
		if err := callbacks.Put(c.Tx, m.sender.app, webhook.BotMsg, fields); err != nil {
			return err
		}
	}
	if c.s.together != nil && peer {
		return nil // callBatch tells of all of them
	}
	return callbacks.Put(c.Tx, m.sender.app, webhook.SendMsg, m.sent(fields))
}

// callBatch queues what is told of messages that one request has sent to several users: one callback, with the list of those who got it.
func (s *Server) callBatch(tx *store.Tx, ops []*sendOp) error {
	app := ops[0].s.key.app
	if !s.config.Callbacks.Wants(app, webhook.SendMsg) {
		return nil
	}
	var first *messageCall
	var users []webhook.Fields
	for _, op := range ops {
		if op.refused != nil || op.again || op.message.Conversation.Type != store.ConversationPeer {
			continue
		}
		m := op.change.called(&op.message)
		if first == nil {
			first = m
		}
		users = append(users, m.listed())
	}
	if first == nil {
		return nil
	}
	fields := first.sent(first.fields(s))
	if fields["user_list"] = users; len(users) > 1 {
		fields["msg_id"], fields["msg_seq"] = "", 0
	}
	return s.config.Callbacks.Put(tx, app, webhook.SendMsg, fields)
}

// messageFields are those that depend on what a message says. URLs in it are the sender's.
func (s *Server) messageFields(sender userKey, typ int32, content []byte) webhook.Fields {
	body, subType := s.config.Callbacks.Body(typ, s.sign(sender, typ, content))
	return webhook.Fields{"from_user_id": sender.id, "msg_type": typ, "sub_msg_type": subType, "msg_body": body}
}

// postMessage posts what is told of a message that is in no transaction: a room has it, or nobody.
func (s *Server) postMessage(m *messageCall) {
	if s.config.Callbacks.Wants(m.sender.app, webhook.SendMsg) {
		s.config.Callbacks.Post(m.sender.app, webhook.SendMsg, m.sent(m.fields(s)))
	}
}

// callRoomMessage posts what is told of a message that a room keeps. said is what the app's own server said, if it did.
func (s *Server) callRoomMessage(app uint32, m *wire.Message, said string) {
	s.postMessage(&messageCall{
		sender: userKey{app, m.SenderUserId}, typ: m.Type, content: m.Content, extended: m.ExtendedData,
		convType: m.ConversationType, convID: m.ConversationId, id: m.MessageId, seq: m.MessageSeq, time: m.TimestampMs,
		server: m.IsServerMessage, said: said,
	})
}

// callFailed posts what is told of a message that was not kept.
func (s *Server) callFailed(sd *sending, result int) {
	if req := sd.req; !transient(req.Type) {
		s.postMessage(&messageCall{
			sender: sd.s.key, typ: req.Type, content: req.Content, extended: req.ExtendedData,
			convType: req.ConversationType, convID: req.ConversationId, time: time.Now().UnixMilli(), result: result,
			server: sd.s.server, said: sd.s.said,
		})
	}
}

// callMembers queues what is told of users who entered or left a group. own is what happened to them.
func (op *groupOp) callMembers(own int32) error {
	event := webhook.GroupExit
	switch {
	case own == groupDismissed:
		event = webhook.GroupDestroy
	case own == groupInvited && op.changed[0].EnterType == enterCreated:
		event = webhook.GroupCreate
	case own == groupInvited || own == groupJoined:
		event = webhook.GroupJoin
	}
	if !op.calls(event) {
		return nil
	}
	ids := make([]string, len(op.users))
	for i, u := range op.users {
		ids[i] = u.UserID
	}
	g := op.group
	fields := webhook.Fields{"group_id": g.Conversation.A, "operator_account": op.self.UserID}
	switch event {
	case webhook.GroupDestroy:
		owner, err := op.owner()
		if err != nil {
			return err
		}
		fields["user_ids"], fields["owner_account"] = ids, owner
	case webhook.GroupCreate:
		fields["user_ids"], fields["owner_account"] = ids, op.self.UserID
		fields["group_name"], fields["attributes"] = g.Name, []string{}
	case webhook.GroupJoin:
		fields["new_user_ids"], fields["join_type"] = ids, enterApply
		if own == groupInvited {
			fields["join_type"] = enterInvite
		}
	case webhook.GroupExit:
		fields["exit_user_ids"], fields["exit_type"] = ids, exitQuit
		if own == groupKicked {
			fields["exit_type"] = exitKickout
		}
	}
	return op.server.config.Callbacks.Put(op.Tx, op.self.AppID, event, fields)
}

// owner returns the ID of the group's owner, who is among its members.
func (op *groupOp) owner() (string, error) {
	for after, limit := int64(0), int64(maxGroupUsers); ; after += limit {
		list, err := op.GroupMembers(op.group.Conversation, after, limit)
		if len(list) == 0 || err != nil {
			return "", err
		}
		for _, m := range list {
			if m.Role == roleOwner {
				return m.UserID, nil
			}
		}
	}
}

// callLogin queues what is told of a login.
func (op *loginOp) callLogin(tx *store.Tx, u *store.User) error {
	fields := op.session.fields(actionLogin, u.Name)
	fields["login_time"] = time.Now().Unix()
	if op.req.Resume {
		fields["relogin"] = "1"
	}
	return op.a.server.config.Callbacks.Put(tx, op.app.ID, webhook.UserAction, fields)
}

func (op *logoutOp) callLogout(tx *store.Tx, u *store.User) error {
	fields := op.s.fields(actionLogout, u.Name)
	fields["logout_time"], fields["logout_reason"] = time.Now().Unix(), "logout"
	return op.a.server.config.Callbacks.Put(tx, op.s.key.app, webhook.UserAction, fields)
}

// callOffline posts what is told of a session that is over without a logout.
func (h *hub) callOffline(s *session) {
	if !h.server.config.Callbacks.Wants(s.key.app, webhook.UserAction) {
		return
	}
	fields := s.fields(actionOffline, s.name)
	fields["offline_time"] = time.Now().Unix()
	h.server.config.Callbacks.Post(s.key.app, webhook.UserAction, fields)
}

// fields are what is told of a session, whatever happened to it.
func (s *session) fields(action int, name string) webhook.Fields {
	return webhook.Fields{
		"user_id": s.key.id, "user_name": name, "os": platforms[s.platform], "action": action, "session_id": strconv.FormatInt(s.generation, 10),
		"relogin": "0", "login_time": 0, "logout_time": 0, "logout_reason": "", "offline_time": 0,
	}
}

// call posts what is told of a room. operator is empty if nobody of its users did it.
func (r *room) call(event, operator string, fields webhook.Fields) {
	if sender := r.server.config.Callbacks; sender.Wants(r.key.app, event) {
		fields["room_id"], fields["operator_account"] = r.key.id, operator
		sender.Post(r.key.app, event, fields)
	}
}

// callExit posts that users left, or were taken out because of ended.
func (r *room) callExit(left []*seat, ended int32) {
	if !r.server.config.Callbacks.Wants(r.key.app, webhook.RoomExit) {
		return
	}
	how, operator := exitQuit, left[0].user.id
	if ended == roomKickedOut {
		how, operator = exitKickout, ""
	}
	r.call(webhook.RoomExit, operator, webhook.Fields{"exit_type": how, "exit_user_ids": seated(left)})
}

func seated(seats []*seat) []string {
	ids := make([]string, len(seats))
	for i, st := range seats {
		ids[i] = st.user.id
	}
	return ids
}

// afterBatch does what follows each transaction.
func (s *Server) afterBatch() {
	s.hub.flush()
	s.config.Callbacks.Flush()
}
