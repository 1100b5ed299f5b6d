package backend

import (
	"cmp"
	"encoding/hex"
	"maps"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/backend/internal/apicode"
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

// A question about a message waits for what the app's own server says, and those behind it wait for it: what they are about is done in the
// order in which it came.
type question struct {
	answered chan struct{} // closed when verdict and err are there
	verdict  webhook.Verdict
	err      error
	then     func(v webhook.Verdict, err error)
}

// asks reports whether the app's own server is to be asked about messages of a type: the documentation has that for those of clients that are
// kept.
func (s *Server) asks(from *session, typ int32) bool {
	return !from.server && !transient(typ) && s.config.Callbacks.Asks(from.key.app)
}

// ask asks about a message, without waiting, and reports whether there was room for another question. then is called once there is an answer,
// in another goroutine.
func (a *attachment) ask(s *session, typ int32, content []byte, fields webhook.Fields, then func(v webhook.Verdict, err error)) bool {
	server := a.server
	maps.Copy(fields, server.messageFields(s.key, typ, content))
	fields["msg_id"] = "" // it has none before it is kept
	q := &question{answered: make(chan struct{}), then: then}
	a.mu.Lock()
	n := len(a.questions)
	if n < maxAsked {
		a.questions = append(a.questions, q)
	}
	a.mu.Unlock()
	if n >= maxAsked {
		return false
	}
	server.work.Go(func() {
		defer close(q.answered)
		q.verdict, q.err = server.config.Callbacks.Ask(server.ctx, s.key.app, fields)
	})
	if n == 0 {
		server.work.Go(a.settle)
	}
	return true
}

// settle does what was decided about the messages that wait. It ends when there are no more, and each waits for a few seconds at most.
func (a *attachment) settle() {
	for {
		a.mu.Lock()
		q := a.questions[0]
		a.mu.Unlock()
		<-q.answered
		// A server that shuts down does not answer: the client asks another one, or this one when it is back.
		if a.server.ctx.Err() == nil {
			q.then(q.verdict, q.err)
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

// askFirst keeps a message once the app's own server has said what is to become of it. One that is not to be sent is looked for nevertheless: it
// may be there from an earlier try, of which the sender had no answer.
func (a *attachment) askFirst(sd sending) {
	req := sd.req
	room := a.ask(sd.s, req.Type, req.Content, webhook.Fields{
		"request_id": hex.EncodeToString(req.LocalMessageId), "payload": req.ExtendedData,
		"conv_type": req.ConversationType, "conv_id": req.ConversationId,
	}, func(v webhook.Verdict, err error) {
		if v.Result == webhook.Swallow {
			sd.swallowed, sd.result, sd.excess = true, apicode.Silenced, refuse(codeRejected, "the app's own server swallowed it")
		} else if content, extended, refused := decided(sd.s, v, err, req.Type, req.Content, req.ExtendedData); refused != nil {
			sd.result, sd.excess = apicode.Refused, refused
		} else {
			req.Content, req.ExtendedData = content, extended
		}
		a.keep(sd)
	})
	if !room {
		sd.excess = tooMany()
		a.keep(sd)
	}
}

// decided returns what a verdict makes of a message, or why it is not to be sent.
func decided(s *session, v webhook.Verdict, err error, typ int32, content []byte, extended string) ([]byte, string, *wire.Error) {
	reason := strings.ToValidUTF8(v.Reason[:min(len(v.Reason), maxReason)], "")
	switch {
	case v.Result != webhook.Refuse && v.Result != webhook.Swallow:
	case err != nil:
		return nil, "", refuse(codeRejected, "the app's own server did not answer")
	default:
		return nil, "", refuse(codeRejected, cmp.Or(reason, "the app's own server refused it"))
	}
	extended = cmp.Or(v.NewPayload, extended)
	limits := &s.app.Limits
	var refused *wire.Error
	if v.NewMsgBody != "" {
		if content = reworded(typ, content, v.NewMsgBody); content == nil {
			// As it was, the app's server does not want it.
			return nil, "", refuse(codeRejected, "the app's own server wants it to say something else, which a message of its type can't")
		}
		content, refused = limits.check(typ, content, false)
	}
	if refused == nil && len(extended) > limits.ExtendedDataSize {
		refused = tooLarge("extended data", len(extended), limits.ExtendedDataSize)
	}
	if refused != nil {
		return nil, "", refuse(codeRejected, "what the app's own server made of it: "+refused.Message)
	}
	return content, extended, nil
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
