package backend

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/defect"
	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/wire"
)

const (
	localIDSize  = 16
	maxSubType   = 200
	maxSearched  = 64
	maxMentioned = 50
	hashSize     = 16
)

// sendMessage takes a message of the session's user. If excess is not nil, it is only looked for: if it is not there, that is the answer.
func (a *attachment) sendMessage(s *session, id uint64, req *wire.SendMessageRequest, excess *wire.Error) {
	if refused := check(s, req); refused != nil {
		a.refuse(id, refused)
		return
	}
	content, refused := s.app.Limits.check(req.Type, req.Content, false)
	if refused != nil {
		a.refuse(id, refused)
		return
	}
	req.Content = content
	var sum []byte
	if req.Type != msgtype.Command {
		sum = hash(req) // of what was asked for: what the server makes of it differs from one try to the next
	}
	if hasFiles(req.Type) {
		if req.Content, refused = a.server.attachFiles(s.key, req.Type, req.Content); refused != nil {
			a.refuse(id, refused)
			return
		}
	}
	hasty := false
	if req.Type != msgtype.Barrage {
		q := s.normal
		if req.Priority == priorityHigh {
			q = s.high
		}
		if !q.take(weight(req)) {
			excess, hasty = tooMany(), true
		}
	}
	sd := sending{s: s, id: id, req: req, content: req.Content, extended: req.ExtendedData, sum: sum, excess: excess, hasty: hasty}
	if excess == nil && a.server.asks(s, req.Type) {
		a.askFirst(sd)
		return
	}
	a.keep(sd)
}

// keep does with a message what is to be done with it.
func (a *attachment) keep(sd sending) {
	s, id, req := sd.s, sd.id, sd.req
	switch {
	case req.ConversationType == store.ConversationRoom:
		a.sendToRoom(sd)
		return
	case req.Type == msgtype.Command && sd.excess != nil:
		a.refuse(id, sd.excess)
		return
	case req.Type == msgtype.Command:
		a.sendCommand(s, id, req)
		return
	}
	op := &sendOp{a: a, sending: sd}
	op.change.s = s
	op.message = store.Message{
		ClientID: req.LocalMessageId,
		Hash:     sd.sum,
		Type:     req.Type,
		Priority: req.Priority,
		Content:  req.Content,
		Extended: req.ExtendedData,
	}
	if !req.DisableUnreadMessageCount {
		op.message.Flags = store.FlagCounts
	}
	if sd.hasty {
		op.answered = make(chan struct{})
	}
	if s.together != nil {
		s.together.ops = append(s.together.ops, op)
		return
	}
	if err := a.server.store.Submit(op); err != nil {
		a.storeFailed(id, err)
		return
	}
	if sd.hasty && !defect.On(defect.FloodsQueued) {
		<-op.answered // who sends too fast has one message at a time looked for, or the store would have no time for others
	}
}

// weight returns how many messages a message counts for: what it combines is copied.
func weight(req *wire.SendMessageRequest) int {
	if req.Type != msgtype.Combine {
		return 1
	}
	c := new(wire.CombineContent)
	proto.Unmarshal(req.Content, c) // it was checked
	return 1 + len(c.Messages)/10
}

func tooMany() *wire.Error {
	return &wire.Error{Code: codeFrequencyLimit, Message: "too many requests", RetryAfterMs: 1000}
}

// check checks what a message is beside its content.
func check(s *session, req *wire.SendMessageRequest) *wire.Error {
	limits := &s.app.Limits
	if len(req.LocalMessageId) != localIDSize {
		return refuse(codeParamsInvalid, "the local message ID must have 16 bytes")
	}
	switch req.ConversationType {
	case store.ConversationPeer:
		if err := ident.CheckUserID(req.ConversationId); err != nil {
			return refuse(codeParamsInvalid, "the receiver "+err.Error())
		}
		if req.ConversationId == s.key.id {
			return refuse(codeParamsInvalid, "the receiver is the sender")
		}
	case store.ConversationGroup, store.ConversationRoom:
		if req.ConversationId == "" {
			return refuse(codeParamsInvalid, "the receiver is empty")
		}
	default:
		return refuse(codeUnsupported, "the server does not know conversations of this type")
	}
	if req.Type == msgtype.Barrage && req.ConversationType != store.ConversationRoom {
		return refuse(codeParamsInvalid, "barrages are for rooms")
	}
	if req.Priority == 0 {
		req.Priority = priorityLow
	}
	if req.Priority < priorityLow || req.Priority > priorityHigh {
		return refuse(codeParamsInvalid, "there is no such priority")
	}
	if len(req.ExtendedData) > limits.ExtendedDataSize {
		return tooLarge("extended data", len(req.ExtendedData), limits.ExtendedDataSize)
	}
	extras := req.HasReceipt || req.ReplyTo != 0 || len(req.MentionedUserIds) > 0 || req.IsMentionAll
	if extras && (transient(req.Type) || req.ConversationType == store.ConversationRoom && (req.HasReceipt || req.ReplyTo != 0)) {
		return refuse(codeParamsInvalid, "a message of this type, or to a room, has no receipts, mentions or replies")
	}
	if req.ReplyTo != 0 && !ordinary(req.Type) {
		return refuse(codeParamsInvalid, "a message of this type is no reply")
	}
	return checkMentioned(req.MentionedUserIds)
}

func checkMentioned(ids []string) *wire.Error {
	if len(ids) > maxMentioned {
		return refuse(codeParamsInvalid, fmt.Sprintf("a message mentions up to %d users", maxMentioned))
	}
	for _, id := range ids {
		if err := ident.CheckUserID(id); err != nil {
			return refuse(codeParamsInvalid, "a mentioned user "+err.Error())
		}
	}
	return nil
}

// hash tells whether two sends with the same client ID ask for the same thing.
func hash(req *wire.SendMessageRequest) []byte {
	h := sha256.New()
	var b [12]byte
	binary.BigEndian.PutUint32(b[:], uint32(req.Type))
	binary.BigEndian.PutUint64(b[4:], uint64(len(req.Content)))
	h.Write(b[:])
	h.Write(req.Content)
	h.Write([]byte(req.ExtendedData))
	if req.ReplyTo != 0 || req.IsMentionAll || len(req.MentionedUserIds) > 0 {
		fmt.Fprintf(h, "\x00%d %t %q", req.ReplyTo, req.IsMentionAll, req.MentionedUserIds)
	}
	return h.Sum(nil)[:hashSize]
}

// A sendOp stores a message and puts it into the feeds of those who are to see it.
type sendOp struct {
	sending
	change   change
	a        *attachment
	answered chan struct{} // closed when it was answered, if somebody waits for that
	message  store.Message
	first    [2]told        // room for what most messages tell
	pair     [2]*store.User // and whom

	refused *wire.Error
	again   bool              // it was stored before
	quoted  *wire.RepliedInfo // what it quotes, if it is a reply
	push    []string          // users who are to be pushed
}

func (op *sendOp) Do(tx *store.Tx) error {
	op.again, op.push, op.quoted = false, nil, nil
	c, m, req := &op.change, &op.message, op.req
	// An earlier try may have made something else of it.
	m.Content, m.More, m.Flags = req.Content, nil, m.Flags&store.FlagCounts
	if op.refused = c.s.fence(); op.refused != nil {
		return nil
	}
	key := c.s.key
	sender, err := tx.User(key.app, key.id)
	if err != nil {
		return err
	}
	m.Sender = sender
	c.reader, c.now, c.told, c.seq = reader{Tx: tx, server: op.a.server, app: c.s.app, self: sender}, time.Now().UnixMilli(), op.first[:0], 0
	if op.excess != nil {
		op.refused = op.excess
		return op.unlessStored()
	}
	conv, users, err := op.receivers()
	if err != nil {
		return err
	}
	if op.refused != nil {
		return op.unlessStored()
	}
	extras, err := op.prepare()
	if err != nil {
		return err
	}
	if op.refused != nil {
		return op.unlessStored()
	}
	if conv == nil {
		if conv, err = tx.PeerConversation(sender, users[0]); err != nil {
			return err
		}
	}
	again, same, err := tx.AppendMessage(conv, m)
	if err != nil {
		return err
	}
	if again {
		return op.found(conv, same)
	}
	if extras != nil {
		if err := extras.keep(op, conv); err != nil {
			return err
		}
	}
	if err := op.quote(conv); err != nil {
		return err
	}
	return op.tell(conv, users, extras)
}

// unlessStored takes a refusal back if the message was stored before: then it is answered as such, whether its sender is in too much of a
// hurry now, or has left the group, or what it replies to is gone.
func (op *sendOp) unlessStored() error {
	c, req := &op.change, op.req
	conv, err := c.FindConversation(c.self.AppID, req.ConversationType, c.self.UserID, req.ConversationId)
	if conv == nil || err != nil || defect.On(defect.CheckBeforeDedupe) {
		return err
	}
	found, same, err := c.FindMessage(conv, &op.message)
	if !found {
		return err
	}
	op.refused = nil
	return op.found(conv, same)
}

// receivers returns the conversation, or nil if there is none yet with that user, and who is in it, the sender last or in a
// group at any place.
func (op *sendOp) receivers() (*store.Conversation, []*store.User, error) {
	c, req := &op.change, op.req
	if req.ConversationType == store.ConversationPeer {
		receiver, err := c.User(c.self.AppID, req.ConversationId)
		if err != nil {
			return nil, nil, err
		}
		if receiver == nil {
			op.refused = refuse(codeTargetNotExist, "the receiver is not registered")
			return nil, nil, nil
		}
		conv, err := c.FindConversation(c.self.AppID, req.ConversationType, c.self.UserID, req.ConversationId)
		op.pair = [2]*store.User{receiver, c.self}
		return conv, op.pair[:], err
	}
	conv, refused, err := c.audience(req.ConversationId)
	if op.refused = refused; refused != nil || err != nil {
		return nil, nil, err
	}
	users, err := c.members(conv, maxSeq)
	return conv, users, err
}

// audience returns the conversation of a group that the user may send to: a member, or the app's server in whomever's name.
func (c *change) audience(groupID string) (*store.Conversation, *wire.Error, error) {
	if !c.s.server {
		m, refused, err := c.joined(&wire.ConversationRef{Type: store.ConversationGroup, Id: groupID})
		if refused != nil || err != nil {
			return nil, refused, err
		}
		return m.Conversation, nil, nil
	}
	op, refused, err := c.open(groupID)
	if refused != nil || err != nil {
		return nil, refused, err
	}
	return op.group.Conversation, nil, nil
}

const maxSeq = 1<<32 - 1

// tellsOwn reports whether there may be a device of the user that does not know of what the session sends.
func (s *session) tellsOwn() bool { return s.server || !s.app.Devices.single() }

// tell puts the message into the feeds. Most messages are the same for all who receive them.
func (op *sendOp) tell(conv *store.Conversation, users []*store.User, extras *extras) error {
	c, m := &op.change, &op.message
	each := hasFiles(m.Type) // URLs are for one user
	if extras.replies() {
		c.shared = newShared()
		defer func() { c.shared = nil }()
	}
	var shared *wire.Event
	for _, u := range users {
		own := u.ID == c.self.ID
		if own && c.s.unaware {
			continue
		}
		if extras.replies() {
			e := &wire.Event{Message: at(m.Place), RepliedCount: extras.count(conv, u)}
			if err := c.tell(u, m.Place, e); err != nil {
				return err
			}
			continue
		}
		if own && !c.s.tellsOwn() {
			continue
		}
		seq, err := c.AppendEvent(u, store.EventMessage, m.Place, m.Time, nil)
		if err != nil {
			return err
		}
		if each && !op.a.server.hub.reaches(userKey{u.AppID, u.UserID}) {
			continue
		}
		e := shared
		if e == nil || own || each {
			r := c.reader
			r.self = u
			w, err := r.render(m)
			if err != nil {
				return err
			}
			if e = (&wire.Event{Message: w}); !own {
				shared = e
			}
		}
		c.told = append(c.told, told{userKey{u.AppID, u.UserID}, seq, e})
	}
	if err := c.callMessage(m); err != nil {
		return err
	}
	return op.planPush(conv, users)
}

// planPush finds out who is to be pushed if they are offline: those who did not mute the conversation, or are mentioned in
// a message that is to notify them nevertheless.
func (op *sendOp) planPush(conv *store.Conversation, users []*store.User) error {
	c, req := &op.change, op.req
	if op.a.server.config.OfflinePush == nil || req.PushConfig == nil {
		return nil
	}
	plan := func(u *store.User, muted bool) {
		mentioned := !req.DisableNotifyMentioned && (req.IsMentionAll || slices.Contains(req.MentionedUserIds, u.UserID))
		if u.ID != c.self.ID && (!muted || mentioned) {
			op.push = append(op.push, u.UserID)
		}
	}
	if conv.Type == store.ConversationGroup {
		roster, err := c.Roster(conv)
		for _, p := range roster {
			plan(p.User, p.Muted)
		}
		return err
	}
	receiver := users[0]
	m, err := c.Member(conv, receiver.ID)
	if err == nil {
		plan(receiver, m.Muted)
	}
	return err
}

// found answers with the message that was stored before.
func (op *sendOp) found(conv *store.Conversation, same bool) error {
	op.again = true
	if !same {
		op.refused = refuse(codeIdempotency, "the local message ID was used for another message")
		return nil
	}
	return op.quote(conv)
}

// quote finds what the message quotes, for the answer.
func (op *sendOp) quote(conv *store.Conversation) error {
	if op.req.ReplyTo == 0 {
		return nil
	}
	more := new(wire.Message)
	if err := proto.Unmarshal(op.message.More, more); err != nil || more.RepliedInfo == nil {
		return err
	}
	op.quoted = more.RepliedInfo
	return op.change.quote(conv, op.quoted)
}

func (op *sendOp) Done(err error) {
	if op.answered != nil {
		defer close(op.answered)
	}
	if err != nil {
		op.a.storeFailed(op.id, err)
		return
	}
	if op.refused != nil {
		op.a.refuseSend(&op.sending, op.refused)
		return
	}
	m, s := &op.message, op.change.s
	ack := &wire.SendMessageResponse{MessageId: m.ID, MessageSeq: m.Seq(), OrderKey: m.ID, TimestampMs: m.Time}
	op.made(ack, op.a.server, m.Content, m.Extended)
	if info := op.quoted; info != nil {
		info.Content = op.a.server.sign(s.key, info.Type, info.Content)
		ack.RepliedInfo = info
	}
	resp := &wire.Response{Body: &wire.Response_SendMessage{SendMessage: ack}}
	hub := op.a.server.hub
	if !op.again {
		resp.EventSeq = uint64(op.change.seq)
	}
	op.a.link.Reply(op.id, resp)
	if op.again {
		return
	}
	hub.deliverAll(op.change.told)
	for _, id := range op.push {
		if to := (userKey{s.key.app, id}); len(hub.sessions(to)) == 0 {
			op.a.server.config.OfflinePush(OfflinePush{AppID: to.app, UserID: id, MessageID: m.ID, Config: op.req.PushConfig})
		}
	}
}

// made tells the sender what became of the message, if that is not what was asked for.
func (sd *sending) made(ack *wire.SendMessageResponse, s *Server, content []byte, extended string) {
	switch typ := sd.req.Type; {
	case typ == msgtype.Combine || hasFiles(typ):
		ack.Content = s.sign(sd.s.key, typ, content)
	case !bytes.Equal(content, sd.content):
		ack.Content = content
	}
	if extended != sd.extended {
		ack.ExtendedData = proto.String(extended)
	}
}

// storeFailed answers a request that the store did not take. If nobody knows whether it did, there is no answer: the client
// asks again on another connection.
func (a *attachment) storeFailed(id uint64, err error) {
	switch {
	case errors.Is(err, store.ErrFull):
		a.refuse(id, &wire.Error{Code: codeDatabaseError, Message: "the disk is full", RetryAfterMs: 1000})
	case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed):
		a.link.Close(statusInternalError, "the store takes nothing")
	default:
		a.server.log.Error("backend: not stored", "err", err)
		a.refuse(id, refuse(codeServerError, "the server could not store it"))
	}
}
