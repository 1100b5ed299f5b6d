package backend

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/internal/ident"
	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

// Documented message types and priorities.
const (
	typeText    = 1
	typeCommand = 2
	typeCustom  = 200

	priorityLow  = 1
	priorityHigh = 3
)

const (
	localIDSize = 16
	maxSubType  = 200
	maxSearched = 64
	hashSize    = 16
)

// sendMessage takes a message of the session's user.
func (a *attachment) sendMessage(s *session, id uint64, req *wire.SendMessageRequest) {
	if refused := check(s, req); refused != nil {
		a.refuse(id, refused)
		return
	}
	limiter := s.normal
	if req.Priority == priorityHigh {
		limiter = s.high
	}
	admitted := limiter.Allow()
	if req.Type == typeCommand {
		if !admitted {
			a.refuse(id, tooMany())
			return
		}
		a.sendCommand(s, id, req)
		return
	}
	op := &sendOp{a: a, s: s, id: id, req: req, admitted: admitted}
	op.message = store.Message{
		ClientID: req.LocalMessageId,
		Hash:     hash(req),
		Type:     req.Type,
		Priority: req.Priority,
		Content:  req.Content,
		Extended: req.ExtendedData,
	}
	if err := a.server.store.Submit(op); err != nil {
		a.storeFailed(id, err)
	}
}

func tooMany() *wire.Error {
	return &wire.Error{Code: codeFrequencyLimit, Message: "too many messages", RetryAfterMs: 1000}
}

// check holds a message against the limits, and brings its content into the form in which it is kept.
func check(s *session, req *wire.SendMessageRequest) *wire.Error {
	limits := &s.app.Limits
	if req.ConversationType != store.ConversationPeer {
		return refuse(codeUnsupported, "the server does not know conversations of this type")
	}
	if len(req.LocalMessageId) != localIDSize {
		return refuse(codeParamsInvalid, "the local message ID must have 16 bytes")
	}
	if err := ident.CheckUserID(req.ConversationId); err != nil {
		return refuse(codeParamsInvalid, "the receiver "+err.Error())
	}
	if req.ConversationId == s.key.id {
		return refuse(codeParamsInvalid, "the receiver is the sender")
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
	switch req.Type {
	case typeText:
		if v, ok := payload.Split(req.Content); ok {
			return checkText("text", v, limits.TextSize)
		}
		c := new(wire.TextContent)
		return checkContent(req, c, func() *wire.Error {
			return checkText("text", []byte(c.Message), limits.TextSize)
		})
	case typeCommand:
		if v, ok := payload.Split(req.Content); ok {
			return checkCommand(v, limits.CommandSize)
		}
		c := new(wire.CommandContent)
		return checkContent(req, c, func() *wire.Error {
			return checkCommand(c.Message, limits.CommandSize)
		})
	case typeCustom:
		c := new(wire.CustomContent)
		return checkContent(req, c, func() *wire.Error {
			if c.SubType < 0 || c.SubType > maxSubType {
				return refuse(codeParamsInvalid, "the sub-type must be 0 to 200")
			}
			if len(c.SearchedContent) > maxSearched {
				return tooLarge("searched content", len(c.SearchedContent), maxSearched)
			}
			return checkText("custom message", []byte(c.Message), limits.CustomSize)
		})
	}
	return refuse(codeUnsupported, "the server does not know messages of this type")
}

// checkContent decodes the content into c and calls check. Fields that the server does not know are dropped: they would be a
// way around the limits.
func checkContent(req *wire.SendMessageRequest, c proto.Message, check func() *wire.Error) *wire.Error {
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(req.Content, c); err != nil {
		return refuse(codeParamsInvalid, "the content is malformed")
	}
	if refused := check(); refused != nil {
		return refused
	}
	if proto.Size(c) != len(req.Content) {
		req.Content, _ = proto.Marshal(c)
	}
	return nil
}

func checkText(what string, s []byte, limit int) *wire.Error {
	switch {
	case len(s) > limit:
		return tooLarge(what, len(s), limit)
	case !utf8.Valid(s):
		return refuse(codeParamsInvalid, "the "+what+" is not valid UTF-8")
	case len(bytes.TrimSpace(s)) == 0:
		return refuse(codeParamsInvalid, "the "+what+" is blank")
	}
	return nil
}

func checkCommand(b []byte, limit int) *wire.Error {
	if len(b) == 0 {
		return refuse(codeParamsInvalid, "the command is empty")
	}
	if len(b) > limit {
		return tooLarge("command", len(b), limit)
	}
	return nil
}

func tooLarge(what string, size, limit int) *wire.Error {
	return refuse(codeParamsInvalid, fmt.Sprintf("the %s has %d bytes, the limit is %d", what, size, limit))
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
	return h.Sum(nil)[:hashSize]
}

// A sendOp stores a message and puts it into the feeds of those who are to see it.
type sendOp struct {
	a        *attachment
	s        *session
	id       uint64
	req      *wire.SendMessageRequest
	admitted bool // by the rate limit
	message  store.Message

	refused  *wire.Error
	again    bool   // it was stored before
	received uint32 // the number of the receiver's event
	sent     uint32 // the number of the sender's event; zero if there is none
}

func (op *sendOp) Do(tx *store.Tx) error {
	op.refused, op.again, op.sent = nil, false, 0
	if op.s.fenced() {
		op.refused = &wire.Error{Code: codeNotLogged, Message: "the session is over", SessionEnd: op.s.ending()}
		return nil
	}
	key, m := op.s.key, &op.message
	sender, err := tx.User(key.app, key.id)
	if err != nil {
		return err
	}
	m.Sender = sender
	if !op.admitted {
		// A message that was stored is answered as such, also when its sender is in too much of a hurry.
		found, same, err := tx.FindMessage(key.app, key.id, op.req.ConversationId, m)
		if !found {
			op.refused = tooMany()
		} else {
			op.found(same)
		}
		return err
	}
	receiver, err := tx.User(key.app, op.req.ConversationId)
	if err != nil {
		return err
	}
	if receiver == nil {
		op.refused = refuse(codeTargetNotExist, "the receiver is not registered")
		return nil
	}
	c, err := tx.PeerConversation(key.app, key.id, op.req.ConversationId)
	if err != nil {
		return err
	}
	again, same, err := tx.AppendMessage(c, m)
	if err != nil {
		return err
	}
	if again {
		op.found(same)
		return nil
	}
	if op.received, err = tx.AppendEvent(receiver, store.EventMessage, m.Place, m.Time); err != nil {
		return err
	}
	if !op.s.app.Devices.single() {
		op.sent, err = tx.AppendEvent(sender, store.EventMessage, m.Place, m.Time)
	}
	return err
}

func (op *sendOp) found(same bool) {
	op.again = true
	if !same {
		op.refused = refuse(codeIdempotency, "the local message ID was used for another message")
	}
}

func (op *sendOp) Done(err error) {
	if err != nil {
		op.a.storeFailed(op.id, err)
		return
	}
	if op.refused != nil {
		op.a.refuse(op.id, op.refused)
		return
	}
	m := &op.message
	op.a.link.Reply(op.id, &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{
		MessageId:   m.ID,
		MessageSeq:  m.Seq(),
		OrderKey:    m.ID,
		TimestampMs: m.Time,
	}}})
	if op.again {
		return
	}
	hub, to := op.a.server.hub, userKey{op.s.key.app, op.req.ConversationId}
	hub.deliver(to, op.received, &wire.Event{Message: op.wireMessage(op.s.key.id)})
	if op.sent != 0 {
		own := op.wireMessage(to.id)
		own.SenderUserId, own.LocalMessageId = op.s.key.id, m.ClientID
		hub.deliver(op.s.key, op.sent, &wire.Event{Message: own})
	}
	if push := op.a.server.config.OfflinePush; push != nil && op.req.PushConfig != nil && len(hub.sessions(to)) == 0 {
		push(OfflinePush{AppID: to.app, UserID: to.id, MessageID: m.ID, Config: op.req.PushConfig})
	}
}

func (op *sendOp) wireMessage(conversation string) *wire.Message {
	m := &op.message
	return &wire.Message{
		MessageId:      m.ID,
		MessageSeq:     m.Seq(),
		OrderKey:       m.ID,
		TimestampMs:    m.Time,
		ConversationId: conversation,
		Type:           m.Type,
		Content:        m.Content,
		ExtendedData:   m.Extended,
		Priority:       m.Priority,
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

// sendCommand hands a command on to the receiver's devices. It is not kept.
func (a *attachment) sendCommand(s *session, id uint64, req *wire.SendMessageRequest) {
	if s.fenced() {
		a.refuse(id, &wire.Error{Code: codeNotLogged, Message: "the session is over", SessionEnd: s.ending()})
		return
	}
	to := userKey{s.key.app, req.ConversationId}
	sessions := a.server.hub.sessions(to)
	if len(sessions) == 0 {
		known, err := a.server.registered(to)
		if err != nil {
			a.refuse(id, refuse(codeDatabaseError, "the receiver can't be looked up"))
			return
		}
		if !known {
			a.refuse(id, refuse(codeTargetNotExist, "the receiver is not registered"))
			return
		}
	}
	c := &a.command
	ack := &c.ack
	ack.MessageId, ack.TimestampMs = a.server.store.NextID(), time.Now().UnixMilli()
	ack.OrderKey = ack.MessageId
	if len(sessions) > 0 {
		m := &c.message
		m.MessageId, m.OrderKey, m.TimestampMs = ack.MessageId, ack.OrderKey, ack.TimestampMs
		m.ConversationId, m.Type, m.Priority = s.key.id, req.Type, req.Priority
		m.Content, m.ExtendedData = req.Content, req.ExtendedData
		for _, r := range sessions {
			r.link.Push(&c.push) // a receiver that is too slow misses it
		}
	}
	a.link.Reply(id, &c.resp)
}

// A command is what it takes to hand one on, used again for the next one of the connection: a Link keeps nothing.
type command struct {
	ack     wire.SendMessageResponse
	body    wire.Response_SendMessage
	resp    wire.Response
	message wire.Message
	push    wire.Push
}

func (c *command) init() {
	c.body.SendMessage = &c.ack
	c.resp.Body = &c.body
	c.push.Transient = []*wire.Message{&c.message}
}

func (s *Server) registered(key userKey) (known bool, err error) {
	err = s.store.View(context.Background(), func(tx *store.Tx) error {
		u, err := tx.User(key.app, key.id)
		known = u != nil
		return err
	})
	return known, err
}
