package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"
)

// BeforeSendMsg is the documented event that asks instead of telling: the app's server decides whether a message of a client is sent. It is
// not among [Events], and must be named in [App.URLs], as each message waits for the answer.
const BeforeSendMsg = "before_send_msg"

const (
	// The service tries twice, at once, and waits for so long each time.
	askTries = 2
	askTime  = 2500 * time.Millisecond
	// maxAsking is how many questions of an app are under way. Others wait for their turn, in the same time.
	maxAsking = 256
)

// A Decision is what is to become of a message. The numbers are the documented ones.
type Decision int

const (
	Neutral Decision = 0 // it is sent, as nothing else moderates here. Any other number means that, too
	Send    Decision = 1 // it is sent
	Swallow Decision = 2 // it is not sent, and its sender is told that it is
	Refuse  Decision = 3 // it is not sent, and its sender is told so
)

// A Verdict is what an app's server answers when it is asked about a message.
type Verdict struct {
	Result     Decision `json:"result"`
	Reason     string   `json:"reason"`       // for Refuse
	NewPayload string   `json:"new_payload"`  // in place of the extended data; empty: it stays
	NewMsgBody string   `json:"new_msg_body"` // in place of the body; empty: it stays
}

// An adviser is an app's server that is asked about messages.
type adviser struct {
	url  *url.URL
	turn chan struct{} // has an element for each question that is under way
}

// Asks reports whether an app's server is asked before messages are sent.
func (s *Sender) Asks(app uint32) bool { return s != nil && s.asks[app] != nil }

// Ask asks an app's server about a message, and waits for its answer for five seconds at most. Without one, it returns an error and the
// verdict for that: messages are refused, unless Config.SendUnanswered is set.
func (s *Sender) Ask(ctx context.Context, app uint32, fields Fields) (Verdict, error) {
	v, err := s.ask(ctx, app, fields)
	if err != nil {
		v = Verdict{Result: Refuse}
		if s.config.SendUnanswered {
			v.Result = Send
		}
		if ctx.Err() == nil {
			s.log.Warn("webhook: a question was not answered", "app", app, "event", BeforeSendMsg, "err", err)
		}
	}
	return v, err
}

func (s *Sender) ask(ctx context.Context, app uint32, fields Fields) (Verdict, error) {
	c, err := s.newCallback(app, BeforeSendMsg, fields)
	if err != nil {
		return Verdict{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTries*askTime)
	defer cancel()
	select {
	case s.asks[app].turn <- struct{}{}:
		defer func() { <-s.asks[app].turn }()
	case <-ctx.Done():
		return Verdict{}, errors.New("too many others wait for an answer")
	}
	body := s.payload(c)
	for range askTries {
		var v Verdict
		if v, err = s.askOnce(ctx, s.asks[app].url, body); err == nil || ctx.Err() != nil {
			return v, err
		}
	}
	return Verdict{}, err
}

func (s *Sender) askOnce(ctx context.Context, u *url.URL, body []byte) (v Verdict, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answer, err := s.exchange(ctx, u, body)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(answer, &v); err != nil || !bytes.HasPrefix(bytes.TrimSpace(answer), []byte("{")) {
		return v, errors.New("the answer is no object of JSON with a result")
	}
	return v, nil
}
