package cloud

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zim-go/zim/wire"
)

// Documented numbers.
const (
	stateQuit  = 0 // of a group, and of its members
	stateEnter = 1

	groupCreated   = 1
	groupDismissed = 2
	groupJoined    = 3
	groupInvited   = 4
	groupLeft      = 5
	groupKickedOut = 6

	memberJoined    = 1
	memberLeft      = 2
	memberKickedOut = 4
	memberInvited   = 5

	enteredCreated = 1
	enteredJoined  = 3
	enteredInvited = 4

	roomGone      = 3
	roomKickedOut = 8

	sourceServer = 1
	maxUsers     = 10_000  // named in one callback
	maxTime      = 1 << 43 // milliseconds, which is in the year 2248 and leaves room in an order key
)

// errFull is for what some user had no room for. What others got is known if it comes again.
var errFull = errors.New("cloud: the queue of a user is full")

// A callback is one under way.
type callback struct {
	*fields
	s        *Service
	in       *inbox
	now      time.Time
	failures int // of the log, before it was taken
}

// take puts what a callback tells into the feeds of those whom it concerns. Its error is errFull, errNoCounterpart, or says what is malformed.
func (c *callback) take() error {
	c.in.mu.Lock()
	c.in.sweep(c.now)
	if c.in.log != nil {
		c.failures = c.in.log.failures
	}
	c.in.mu.Unlock()
	switch c.name {
	case "send_msg", "bot_msg":
		return c.message()
	case "group_create":
		return c.groupCreate()
	case "group_join", "Apply_join_group": // an example in the documentation has the latter
		return c.groupJoin()
	case "group_exit":
		return c.groupExit()
	case "group_destroy":
		return c.groupDestroy()
	case "room_enter", "room_exit":
		return c.roomMembers()
	case "room_destroy":
		return c.roomDestroy()
	}
	return errNoCounterpart
}

// message takes a message that was sent, or edited: nothing says which. bot_msg and send_msg may tell of the same message. If what was sent
// first comes for the first time behind the edit, as it may when it had to be sent again, it is taken for another edit.
func (c *callback) message() error {
	from, to, convType := c.text("from_user_id"), c.text("conv_id"), c.number("conv_type")
	typ, subType := c.small("msg_type"), c.small("sub_msg_type")
	failed := c.number("send_result") != 0
	sent := cmp.Or(millis(c.number("msg_time")), c.now.UnixMilli())
	extended, _ := unwrap(c.text("payload")) // the local ID is the sender's business, who gets no event
	m := &wire.Message{
		SenderUserId: from, Type: typ, ExtendedData: extended, IsServerMessage: c.number("source") == sourceServer, TimestampMs: sent,
	}
	id, seq, body := c.id("msg_id"), c.number("msg_seq"), c.text("msg_body")
	users := c.objects("user_list")
	if from == "" || sent < 0 || sent > maxTime || seq < 0 || len(users) > maxUsers {
		c.fail("from_user_id, msg_time, msg_seq or user_list")
	}
	if c.err != nil {
		return c.err
	}
	if failed {
		c.s.events.counts.failed.Add(1)
		return nil
	}
	var err error
	if m.Content, err = decodeBody(typ, subType, body); err != nil {
		return err
	}
	switch convType {
	case peer:
		list, err := c.receivers(to, id, seq, users)
		if err != nil {
			return err
		}
		return c.peerMessage(m, list)
	case room:
		return c.roomMessage(m, to, id)
	case group:
		return c.groupMessage(m, to, id, seq)
	}
	return errNoCounterpart
}

// A receiver is a user who got a message, which has its own numbers for each of several.
type receiver struct {
	userID  string
	id, seq int64
}

// receivers returns who got a message to one user, or to several over the Server API. Those of a list who have no ID did not get it.
func (c *callback) receivers(to string, id, seq int64, users []*fields) ([]receiver, error) {
	if to != "" {
		if id == 0 {
			return nil, errSyntax
		}
		return []receiver{{to, id, seq}}, nil
	}
	var list []receiver
	for _, u := range users {
		r := receiver{u.text("UserId"), u.id("MsgId"), u.number("MsgSeq")}
		if u.err != nil || r.userID == "" || r.seq < 0 {
			return nil, errSyntax
		}
		if r.id != 0 {
			list = append(list, r)
		}
	}
	return list, nil
}

func (c *callback) peerMessage(m *wire.Message, list []receiver) error {
	m.ConversationType, m.ConversationId = peer, m.SenderUserId
	saying := said(m)
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	full := false
	for _, r := range list {
		full = c.putMessage(c.in.boxes[r.userID], m, saying, r.id, r.seq) == putFull || full
	}
	return fullness(full)
}

func (c *callback) groupMessage(m *wire.Message, groupID string, id, seq int64) error {
	m.ConversationType, m.ConversationId = group, groupID
	if groupID == "" || id == 0 {
		return errSyntax
	}
	saying := said(m)
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	full := false
	for b := range c.in.groups[groupID] {
		full = c.putMessage(b, m, saying, id, seq) == putFull || full
	}
	return fullness(full)
}

func fullness(full bool) error {
	if full {
		return errFull
	}
	return nil
}

// putMessage puts a message into the feed of one user, if it is a known one and not its sender. A known ID with another content is an edit. The
// caller holds in.mu.
func (c *callback) putMessage(b *box, m *wire.Message, saying key, id, seq int64) result {
	if b == nil || b.userID == m.SenderUserId {
		return putDone
	}
	own := &wire.Message{
		MessageId: id, MessageSeq: seq, OrderKey: orderKey(m.TimestampMs, seq), TimestampMs: m.TimestampMs, ConversationType: m.ConversationType,
		ConversationId: m.ConversationId, SenderUserId: m.SenderUserId, Type: m.Type, Content: m.Content, ExtendedData: m.ExtendedData,
		IsServerMessage: m.IsServerMessage,
	}
	name := nameOf(id)
	event := &wire.Event{Message: own}
	keys := []key{keyOf("said", string(name[:]), string(saying[:]))}
	if b.keys.has(name, c.now) {
		event = &wire.Event{Edited: own}
	} else {
		keys = append(keys, name)
	}
	return c.in.put(b, keys, event, c.now)
}

// nameOf is the key of a message, whatever it says.
func nameOf(id int64) key { return keyOf("message", strconv.FormatInt(id, 10)) }

// said is the key of what a message says. It takes a while for a large one, and so is made once, and without a lock.
func said(m *wire.Message) key {
	return keyOf("content", strconv.Itoa(int(m.Type)), m.ExtendedData, string(m.Content))
}

// roomMessage passes a message on to those who are in the room here. It has no number for them: the SDK would ask for those that it misses,
// and the service has no history of rooms.
func (c *callback) roomMessage(m *wire.Message, roomID string, id int64) error {
	m.ConversationType, m.ConversationId, m.MessageId = room, roomID, id
	m.OrderKey = orderKey(m.TimestampMs, id)
	if roomID == "" || id == 0 {
		return errSyntax
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if !c.first(nameOf(id)) {
		return nil // a repetition; messages in rooms are not edited
	}
	for st := range c.in.rooms[roomID] {
		if st.box.userID != m.SenderUserId {
			st.pass(&wire.Push{Transient: []*wire.Message{m}})
		}
	}
	return nil
}

// first takes note of what is passed on, and reports whether it was not before. The caller holds in.mu.
func (c *callback) first(k key) bool {
	if c.in.passed.has(k, c.now) {
		return false
	}
	c.in.passed.push(k, struct{}{}, c.now)
	return true
}

// key names what happened. The nonce tells it from the same thing that happens again within a second; the timestamp can be another one when it is
// told again.
func (c *callback) key(id string, users []string) key {
	users = slices.Sorted(slices.Values(users))
	return keyOf(c.name, id, c.text("operator_account"), c.text("nonce"), strings.Join(users, "\x00"))
}

// A groupChange is something that happened to users of a group.
type groupChange struct {
	info     *wire.GroupInfo
	operator string // empty: nothing is known
	users    []string
	members  []*wire.GroupMember
	state    int32 // of the users, and of them as members
	event    int32 // what happened to them
	member   int32 // the same, for the others
}

// tell tells the users whom it happened to, and the members that are known.
func (c *callback) tell(g *groupChange) error {
	if g.info.GroupId == "" || len(g.users) > maxUsers {
		c.fail("group_id or the list of users")
	}
	if c.err != nil {
		return c.err
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	concerned := make(map[*box]bool)
	for b := range c.in.groups[g.info.GroupId] {
		concerned[b] = g.event == groupDismissed
	}
	for _, userID := range g.users {
		if b := c.in.boxes[userID]; b != nil {
			concerned[b] = true
		}
	}
	k := []key{c.key(g.info.GroupId, g.users)}
	full := false
	for b, own := range concerned {
		w := &wire.GroupChange{Group: g.info, MemberState: g.state, MemberEvent: g.member, Members: g.members}
		if g.operator != "" {
			w.Operator = &wire.GroupMember{User: &wire.UserInfo{UserId: g.operator}}
		}
		if own {
			w.State = &wire.GroupStateChange{State: g.state, Event: g.event}
			if g.member == memberInvited && c.name == "group_create" && b.userID == g.operator {
				w.State.Event = groupCreated
			}
		}
		switch r := c.in.put(b, k, &wire.Event{Group: w}, c.now); {
		case r == putAgain: // which says nothing of who is in the group now
		case own && g.state == stateEnter:
			c.in.follow(b, g.info.GroupId)
			full = r == putFull || full
		case r == putFull:
			full = true
		case own:
			if l := c.in.log; l != nil && b.groups[g.info.GroupId] {
				l.open.puts[len(l.open.puts)-1].left = g.info.GroupId
			}
			c.in.unfollow(b, g.info.GroupId)
		}
	}
	return fullness(full)
}

func members(users []string, ownerID, operator string, enterType int32) (list []*wire.GroupMember) {
	for _, userID := range users {
		m := &wire.GroupMember{User: &wire.UserInfo{UserId: userID}, Role: member, EnterType: enterType, OperatorUserId: operator}
		if userID == ownerID {
			m.Role = owner
		}
		list = append(list, m)
	}
	return list
}

func (c *callback) groupCreate() error {
	ownerID, operator := c.text("owner_account"), c.text("operator_account")
	users := c.texts("user_ids")
	if ownerID != "" && !slices.Contains(users, ownerID) {
		users = append([]string{ownerID}, users...)
	}
	return c.tell(&groupChange{
		info: &wire.GroupInfo{GroupId: c.text("group_id"), Name: c.text("group_name")}, operator: operator,
		users: users, members: members(users, ownerID, operator, enteredCreated), state: stateEnter, event: groupInvited, member: memberInvited,
	})
}

func (c *callback) groupJoin() error {
	g := &groupChange{info: &wire.GroupInfo{GroupId: c.text("group_id")}, users: c.texts("new_user_ids"), state: stateEnter}
	if c.text("join_type") == "Invited" {
		g.operator, g.event, g.member = c.text("operator_account"), groupInvited, memberInvited
		g.members = members(g.users, "", g.operator, enteredInvited)
	} else { // who the operator is means nothing then
		g.event, g.member = groupJoined, memberJoined
		g.members = members(g.users, "", "", enteredJoined)
	}
	return c.tell(g)
}

func (c *callback) groupExit() error {
	g := &groupChange{info: &wire.GroupInfo{GroupId: c.text("group_id")}, users: c.texts("exit_user_ids"), state: stateQuit}
	g.members = members(g.users, "", "", 0)
	g.event, g.member = groupLeft, memberLeft
	if c.text("exit_type") == "Kickout" {
		g.operator, g.event, g.member = c.text("operator_account"), groupKickedOut, memberKickedOut
	}
	return c.tell(g)
}

func (c *callback) groupDestroy() error {
	return c.tell(&groupChange{
		info: &wire.GroupInfo{GroupId: c.text("group_id")}, operator: c.text("operator_account"), users: c.texts("user_ids"),
		state: stateQuit, event: groupDismissed,
	})
}

// roomMembers tells those who are in a room here who came and who left, and those who were kicked out that they were.
func (c *callback) roomMembers() error {
	roomID, kicked := c.text("room_id"), c.text("exit_type") == "Kickout"
	users := c.texts("exit_user_ids")
	enter := c.name == "room_enter"
	if enter {
		users = []string{c.text("operator_account")}
	}
	if roomID == "" || len(users) > maxUsers {
		c.fail("room_id or the list of users")
	}
	if c.err != nil {
		return c.err
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if !c.first(c.key(roomID, users)) {
		return nil
	}
	c.in.number++
	for st := range c.in.rooms[roomID] {
		var infos []*wire.UserInfo
		for _, userID := range users {
			if userID != st.box.userID {
				infos = append(infos, &wire.UserInfo{UserId: userID})
			}
		}
		w := &wire.RoomChange{RoomId: roomID, Number: c.in.number}
		switch {
		case kicked && len(infos) < len(users):
			w.Ended = roomKickedOut
			c.in.quit(st, roomID)
		case len(infos) == 0:
			continue // only this user, who knows
		case enter:
			w.Joined = infos
		default:
			w.Left = infos
		}
		st.pass(&wire.Push{Room: w})
	}
	return nil
}

func (c *callback) roomDestroy() error {
	roomID := c.text("room_id")
	if roomID == "" {
		c.fail("room_id")
	}
	if c.err != nil {
		return c.err
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if !c.first(c.key(roomID, nil)) {
		return nil
	}
	c.in.number++
	for st := range c.in.rooms[roomID] {
		st.pass(&wire.Push{Room: &wire.RoomChange{RoomId: roomID, Ended: roomGone, Number: c.in.number}})
		c.in.quit(st, roomID)
	}
	return nil
}
