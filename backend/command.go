package backend

import (
	"context"
	"time"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

// sendCommand hands a command on to the receiver's devices. It is not kept.
func (a *attachment) sendCommand(s *session, id uint64, req *wire.SendMessageRequest) {
	if refused := s.fence(); refused != nil {
		a.refuse(id, refused)
		return
	}
	if req.ConversationType == store.ConversationGroup {
		a.sendGroupCommand(s, id, req)
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
		m.Content, m.ExtendedData, m.IsServerMessage = req.Content, req.ExtendedData, s.server
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

// sendGroupCommand hands a command on to those who are in a group. The store's goroutine knows them.
func (a *attachment) sendGroupCommand(s *session, id uint64, req *wire.SendMessageRequest) {
	a.submit(s, id, func(c *change) (*wire.Response, *wire.Error, error) {
		conv, refused, err := c.audience(req.ConversationId)
		if refused != nil || err != nil {
			return nil, refused, err
		}
		users, err := c.members(conv, maxSeq)
		if err != nil {
			return nil, nil, err
		}
		message := &wire.Message{
			MessageId: c.server.store.NextID(), TimestampMs: c.now,
			ConversationType: req.ConversationType, ConversationId: req.ConversationId, SenderUserId: s.key.id,
			Type: req.Type, Priority: req.Priority, Content: req.Content, ExtendedData: req.ExtendedData, IsServerMessage: s.server,
		}
		message.OrderKey = message.MessageId
		push := &wire.Push{Transient: []*wire.Message{message}}
		// Not here: the transaction may be undone, and tried again.
		c.after = func() {
			for _, u := range users {
				if u.ID == c.self.ID {
					continue
				}
				for _, r := range a.server.hub.sessions(userKey{u.AppID, u.UserID}) {
					r.link.Push(push)
				}
			}
		}
		return &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{
			MessageId: message.MessageId, OrderKey: message.MessageId, TimestampMs: c.now,
		}}}, nil, nil
	})
}

func (s *Server) registered(key userKey) (known bool, err error) {
	err = s.store.View(context.Background(), func(tx *store.Tx) error {
		u, err := tx.User(key.app, key.id)
		known = u != nil
		return err
	})
	return known, err
}
