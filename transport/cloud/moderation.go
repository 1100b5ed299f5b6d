package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

const (
	// The service waits for 2.5 s, and then does not send the message.
	moderationTime = 2 * time.Second
	// maxModerating is how many handlers run at once. One that ignores the end of its context counts until it returns.
	maxModerating = 256
)

// Moderation is a message that a client wants to send, and about which the service asks before it does. The service asks only if a callback is
// configured for that, and not about messages that come over the Server API.
type Moderation struct {
	RequestID        string // the same if the service asks again
	FromUserID       string
	ConversationType int // documented: 0 one user, 1 room, 2 group, 3 community channel
	ConversationID   string
	MessageID        string
	MessageType      int    // documented
	SubMsgType       int    // of a custom message
	Body             string // the text, or the documented JSON of what is no text
	ExtendedData     string
}

var errGone = errors.New("cloud: whoever asked is gone")

// A Decision is what becomes of a message. The numbers are the documented ones.
type Decision int

const (
	DecisionNeutral Decision = 0 // it is sent, unless the service's own moderation is against it
	DecisionSend    Decision = 1 // it is sent, whatever the service's own moderation says
	DecisionSwallow Decision = 2 // it is not sent, and the sender is not told
	DecisionRefuse  Decision = 3 // it is not sent, and the sender is told
)

// A Verdict is what OnModeration decides. Zero is DecisionNeutral.
type Verdict struct {
	Decision        Decision
	Reason          string // for DecisionRefuse; empty: none
	NewExtendedData string // in place of the message's; empty: it stays
	NewBody         string // in place of Moderation.Body; empty: it stays
}

func (v Verdict) answer() []byte {
	b, err := json.Marshal(struct {
		Result     Decision `json:"result"`
		Reason     string   `json:"reason,omitempty"`
		NewPayload string   `json:"new_payload,omitempty"`
		NewMsgBody string   `json:"new_msg_body,omitempty"`
	}{v.Decision, v.Reason, v.NewExtendedData, v.NewBody})
	if err != nil {
		panic(err) // numbers and strings
	}
	return b
}

// moderate asks OnModeration, and answers when it does or when the time is over.
func (c *callback) moderate(asking context.Context) ([]byte, error) {
	m := &Moderation{
		RequestID: c.text("request_id"), FromUserID: c.text("from_user_id"), ConversationType: int(c.small("conv_type")),
		ConversationID: c.text("conv_id"),
		MessageID:      c.text("msg_id"), MessageType: int(c.small("msg_type")), SubMsgType: int(c.small("sub_msg_type")),
		Body: c.text("msg_body"), ExtendedData: c.text("payload"),
	}
	if c.err != nil {
		return nil, c.err
	}
	s := c.s
	if s.OnModeration == nil {
		return s.DefaultVerdict.answer(), nil
	}
	if !s.events.begin(maxModerating) {
		s.events.counts.undecided.Add(1)
		return s.DefaultVerdict.answer(), nil
	}
	ctx, cancel := context.WithDeadline(asking, c.now.Add(moderationTime))
	decided := make(chan Verdict, 1)
	go func() { // Shutdown waits for it
		defer s.events.end()
		defer cancel()
		if v, ok := s.ask(ctx, m); ok {
			decided <- v
		} else {
			close(decided)
		}
	}()
	var v Verdict
	var ok bool
	select {
	case v, ok = <-decided:
	case <-ctx.Done():
		select {
		case v, ok = <-decided: // its own end ended ctx
		default:
		}
	}
	switch {
	case asking.Err() != nil:
		// The service hears no answer, and asks again. It is to get one that was made, and not what there is without, or what the handler said
		// because its context ended.
		return nil, errGone
	case ok:
		return v.answer(), nil
	}
	s.events.counts.undecided.Add(1)
	return s.DefaultVerdict.answer(), nil
}

// ask calls OnModeration. A panic there must not cost the sender's message, nor a bot its other users.
func (s *Service) ask(ctx context.Context, m *Moderation) (v Verdict, ok bool) {
	defer func() {
		if p := recover(); p != nil { // what it says may be what the message says
			s.log().Error("cloud: OnModeration panicked", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		}
	}()
	return s.OnModeration(ctx, m), true
}
