package faketransport

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/wire"
)

const (
	tokenTTL        = 3_600_000 // milliseconds
	codeUnsupported = 6000013   // documented
)

// AcceptLogin returns the answer to a login that is accepted, with a token that is good for an hour.
func (t *Transport) AcceptLogin(req *wire.LoginRequest) *wire.Response {
	t.mu.Lock()
	defer t.mu.Unlock()
	login := &wire.LoginResponse{
		TokenTtlMs:   tokenTTL,
		Position:     &wire.Position{Epoch: t.epoch},
		Last:         t.last(),
		ServerTimeMs: now(),
	}
	if p := req.Position; p != nil {
		login.Position = p
		if login.Reset_ = t.reset(p); login.Reset_ != nil {
			login.Position = login.Reset_.Position
		}
	}
	return &wire.Response{Body: &wire.Response_Login{Login: login}}
}

// Answer returns how a service that works answers a request.
func (t *Transport) Answer(req *wire.Request) *wire.Response {
	if login := req.GetLogin(); login != nil {
		return t.AcceptLogin(login)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch b := req.Body.(type) {
	case *wire.Request_SendMessage:
		return &wire.Response{Body: &wire.Response_SendMessage{SendMessage: t.ack(b.SendMessage)}}
	case *wire.Request_Heartbeat:
		return &wire.Response{Body: &wire.Response_Heartbeat{Heartbeat: &wire.HeartbeatResponse{Last: t.last()}}}
	case *wire.Request_Sync:
		return &wire.Response{Body: &wire.Response_Sync{Sync: t.sync(b.Sync)}}
	case *wire.Request_RenewToken:
		return &wire.Response{Body: &wire.Response_RenewToken{RenewToken: &wire.RenewTokenResponse{TokenTtlMs: tokenTTL}}}
	case *wire.Request_Logout:
		return &wire.Response{Body: &wire.Response_Logout{Logout: new(wire.LogoutResponse)}}
	}
	return &wire.Response{Error: &wire.Error{Code: codeUnsupported, Message: "faketransport: unknown request"}}
}

// ack stores a message, once for each local ID. The caller holds mu, as it does for the functions below.
func (t *Transport) ack(m *wire.SendMessageRequest) *wire.SendMessageResponse {
	id := string(m.LocalMessageId)
	if ack := t.acks[id]; ack != nil {
		return ack
	}
	conversation := fmt.Sprint(m.ConversationType, m.ConversationId)
	t.sent[conversation]++
	n := int64(len(t.acks) + 1)
	ack := &wire.SendMessageResponse{MessageId: n, MessageSeq: t.sent[conversation], OrderKey: n, TimestampMs: now()}
	t.acks[id] = ack
	return ack
}

func (t *Transport) last() *wire.Position {
	return &wire.Position{Epoch: t.epoch, Seq: uint64(len(t.events))}
}

// reset returns why the feed can't be read behind p, or nil.
func (t *Transport) reset(p *wire.Position) *wire.FeedReset {
	switch {
	case p.GetEpoch() != t.epoch:
		return &wire.FeedReset{Reason: wire.FeedResetReason_FEED_RESET_REASON_EPOCH, Position: &wire.Position{Epoch: t.epoch}}
	case p.GetSeq() > uint64(len(t.events)):
		return &wire.FeedReset{Reason: wire.FeedResetReason_FEED_RESET_REASON_FUTURE, Position: t.last()}
	}
	return nil
}

func (t *Transport) sync(req *wire.SyncRequest) *wire.SyncResponse {
	resp := &wire.SyncResponse{Last: t.last(), Reset_: t.reset(req.After)}
	after := req.After.GetSeq()
	if resp.Reset_ != nil {
		after = resp.Reset_.Position.Seq
	}
	events := t.events[after:]
	if limit := int(req.Limit); limit > 0 && len(events) > limit {
		events = events[:limit]
	}
	if len(events) > 0 {
		resp.Events = &wire.EventBatch{Epoch: t.epoch, FirstSeq: after + 1, Events: events}
	}
	return resp
}

// Push adds events to the feed and pushes them. Messages without an ID get one.
func (t *Transport) Push(events ...*wire.Event) { t.add(events, true) }

// Store adds events to the feed, as if their push got lost.
func (t *Transport) Store(events ...*wire.Event) { t.add(events, false) }

func (t *Transport) add(events []*wire.Event, push bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	batch := &wire.EventBatch{Epoch: t.epoch, FirstSeq: uint64(len(t.events)) + 1}
	for _, e := range events {
		e = proto.CloneOf(e)
		t.events = append(t.events, e)
		if m := e.Message; m != nil && m.MessageId == 0 {
			n := int64(len(t.events))
			m.MessageId, m.MessageSeq, m.OrderKey, m.TimestampMs = n, n, n, now()
		}
		batch.Events = append(batch.Events, e)
	}
	if push {
		t.push(&wire.Push{Events: batch})
	}
}

// Replace replaces the service's store by an empty one: it has another epoch.
func (t *Transport) Replace() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
	t.events = nil
}

// Text returns the event of a text message from a peer.
func Text(from, text string) *wire.Event {
	content, err := proto.Marshal(&wire.TextContent{Message: text})
	if err != nil {
		panic(err) // text is no text
	}
	return &wire.Event{Message: &wire.Message{ConversationId: from, Type: 1, Content: content}}
}
