package backend

import (
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/internal/msgtype"
	"github.com/zim-go/zim/internal/payload"
	"github.com/zim-go/zim/wire"
)

const (
	// maxAsked is how many messages of one connection may wait for the app's server. More are refused.
	maxAsked  = 64
	maxReason = 256 // bytes of what the app's server says to the sender
)

// A sending is a message on its way in. It is used by one goroutine at a time.
type sending struct {
	s   *session
	id  uint64
	req *wire.SendMessageRequest
	// content and extended are what was asked for: the server, or the app's own, may make something else of it.
	content  []byte
	extended string
	sum      []byte      // of what was asked for
	excess   *wire.Error // not nil if the message is refused unless it was stored before
	hasty    bool        // it was sent too fast
	// swallowed says that the excess is the app's own server's, and that the sender is to take it for a success.
	swallowed bool
	result    int // the documented one, if the app's server was against it
}

// A question is a message that waits for what the app's own server says, and those behind it wait for it: they are kept in the order in which they came.
type question struct {
	sending
	answered chan struct{} // closed when verdict and err are there
	verdict  webhook.Verdict
	err      error
}

// asks reports whether the app's own server is to be asked about a message: the documentation has that for messages of clients that are kept.
func (s *Server) asks(sd *sending) bool {
	return !sd.s.server && sd.excess == nil && !transient(sd.req.Type) && s.config.Callbacks.Asks(sd.s.key.app)
}

// ask asks about a message without waiting for the answer, and keeps it once that is there.
func (a *attachment) ask(sd sending) {
	s := a.server
	fields := s.messageFields(sd.s.key, sd.req.Type, sd.req.Content)
	delete(fields, "send_result")
	fields["request_id"] = hex.EncodeToString(sd.req.LocalMessageId)
	fields["conv_type"], fields["conv_id"] = sd.req.ConversationType, sd.req.ConversationId
	fields["msg_id"], fields["payload"] = "", sd.req.ExtendedData // it has no ID before it is kept
	m := &question{sending: sd, answered: make(chan struct{})}
	a.mu.Lock()
	n := len(a.questions)
	if n < maxAsked {
		a.questions = append(a.questions, m)
	}
	a.mu.Unlock()
	if n >= maxAsked {
		sd.excess = tooMany()
		a.keep(sd)
		return
	}
	s.work.Go(func() {
		defer close(m.answered)
		m.verdict, m.err = s.config.Callbacks.Ask(s.ctx, sd.s.key.app, fields)
	})
	if n == 0 {
		s.work.Go(a.settle)
	}
}

// settle does what was decided about the messages that wait. It ends when there are no more, and each waits for a few seconds at most.
func (a *attachment) settle() {
	for {
		a.mu.Lock()
		m := a.questions[0]
		a.mu.Unlock()
		<-m.answered
		// A server that shuts down does not answer: the client asks another one, or this one when it is back.
		if a.server.ctx.Err() == nil {
			a.decide(m)
			a.keep(m.sending)
		}
		a.mu.Lock()
		a.questions = a.questions[1:]
		more := len(a.questions) > 0
		a.mu.Unlock()
		if !more {
			return
		}
	}
}

// decide makes of a message what its verdict says. One that is not to be sent is looked for nevertheless: it may be there from an earlier try, of
// which the sender had no answer.
func (a *attachment) decide(m *question) {
	req, v := m.req, &m.verdict
	switch v.Result {
	case webhook.Swallow:
		m.swallowed, m.result = true, apicode.Silenced
		m.excess = refuse(codeRejected, "the app's own server swallowed it")
		return
	case webhook.Refuse:
		reason := strings.ToValidUTF8(v.Reason[:min(len(v.Reason), maxReason)], "")
		if reason == "" {
			reason = "the app's own server refused it"
		}
		if m.err != nil {
			reason = "the app's own server did not answer"
		}
		m.excess, m.result = refuse(codeRejected, reason), apicode.Refused
		return
	}
	limits := &m.s.app.Limits
	if v.NewPayload != "" {
		req.ExtendedData = v.NewPayload
	}
	content, refused := req.Content, (*wire.Error)(nil)
	if v.NewMsgBody != "" {
		if content = reworded(req.Type, req.Content, v.NewMsgBody); content != nil {
			content, refused = limits.check(req.Type, content, false)
		}
	}
	if refused != nil || len(req.ExtendedData) > limits.ExtendedDataSize {
		m.excess, m.result = refuse(codeRejected, "what the app's own server made of it is too large"), apicode.Refused
		return
	}
	if content != nil {
		req.Content = content
	}
}

// reworded returns the content of a message with another body, or nil if a message of its type can't have one.
func reworded(typ int32, content []byte, body string) []byte {
	switch typ {
	case msgtype.Text:
		return payload.Append(nil, body)
	case msgtype.Custom:
		c := new(wire.CustomContent)
		proto.Unmarshal(content, c) // it was checked
		c.Message = body
		content, err := proto.Marshal(c)
		if err != nil {
			return nil
		}
		return content
	}
	return nil
}

// refuseSend answers a message that was not kept, and tells the app's server of it.
func (a *attachment) refuseSend(sd *sending, e *wire.Error) {
	decided := sd.result != 0 && e == sd.excess
	switch {
	case decided:
		a.server.callFailed(sd, sd.result)
	case e.Code == codeTargetNotExist && sd.req.ReplyTo == 0: // else it may be the message that is replied to
		a.server.callFailed(sd, apicode.UserUnregistered)
	case e.Code != codeNotLogged && e.Code != codeFrequencyLimit && e.Code != codeIdempotency:
		// What has another answer the next time, or is about the session, says nothing of the message.
		a.server.callFailed(sd, apicode.Of(e.Code))
	}
	if !decided || !sd.swallowed {
		a.refuse(sd.id, e)
		return
	}
	id := a.server.store.NextID()
	a.link.Reply(sd.id, &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{
		MessageId: id, OrderKey: id, TimestampMs: time.Now().UnixMilli(),
	}}})
}

// callFailed posts what is told of a message that was not kept.
func (s *Server) callFailed(sd *sending, result int) {
	app, req := sd.s.key.app, sd.req
	if transient(req.Type) || !s.config.Callbacks.Wants(app, webhook.SendMsg) {
		return
	}
	fields := s.messageFields(sd.s.key, req.Type, req.Content)
	fields["conv_type"], fields["conv_id"] = req.ConversationType, req.ConversationId
	fields["msg_id"], fields["msg_seq"], fields["msg_time"] = "", 0, time.Now().UnixMilli()
	fields["payload"], fields["send_result"] = req.ExtendedData, result
	if sd.s.server {
		fields["msg_body"], fields["source"] = sd.s.said, sourceServer
		if req.ConversationType == store.ConversationPeer {
			fields["conv_id"] = ""
			fields["user_list"] = []webhook.Fields{{"UserId": req.ConversationId, "MsgId": "", "MsgSeq": 0}}
		}
	}
	s.config.Callbacks.Post(app, webhook.SendMsg, fields)
}
