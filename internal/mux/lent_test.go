package mux_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/wire"
)

// A dictated stream brings the messages that it is given.
type dictated struct {
	messages chan []byte
	close    func()
}

func newDictated() *dictated {
	messages := make(chan []byte)
	return &dictated{messages, sync.OnceFunc(func() { close(messages) })}
}

func (s *dictated) ReadMessage(use func(msg []byte) error) error {
	if msg, ok := <-s.messages; ok {
		return use(msg)
	}
	return errors.New("closed")
}

func (*dictated) WriteMessage([]byte) error { return nil }

func (s *dictated) Close(int, string) error {
	s.close()
	return nil
}

// An answer stays what it was, although a hostile service began it like an acknowledgment: those are decoded into one that is kept.
func TestAnswerThatBeganAsAnAcknowledgment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := newDictated()
		conn := mux.New(stream)
		defer conn.Close()
		response := func(id uint64, bodies ...*wire.Response) []byte {
			// A field that comes again is merged with what it was.
			frame := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), id)
			for _, body := range bodies {
				frame = append(frame, field(frameResponse, mustMarshal(body))...)
			}
			return framed(frame)
		}
		ack := &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{MessageId: 1}}}
		list := &wire.Response{Body: &wire.Response_Messages{Messages: &wire.Messages{Messages: []*wire.Message{{MessageId: 7}}}}}
		go func() { stream.messages <- response(1, ack, list) }()
		got, err := conn.RoundTrip(t.Context(), new(wire.Request))
		if err != nil || got.GetMessages() == nil {
			t.Fatalf("got %v, %v", got, err)
		}
		stream.messages <- slices.Concat(response(2, ack), response(3, ack))
		synctest.Wait()
		if m := got.GetMessages().GetMessages(); len(m) != 1 || m[0].MessageId != 7 {
			t.Errorf("the answer has become %v", got)
		}
	})
}

// That a client decodes acknowledgments into one that is kept, and events into one piece of memory, and a server sends, shows nowhere, if acknowledgments
// are copied and nothing else is.
func FuzzAcknowledgments(f *testing.F) {
	ack := field(frameResponse, mustMarshal(&wire.Response{EventSeq: 5, Body: &wire.Response_SendMessage{
		SendMessage: &wire.SendMessageResponse{MessageId: 1, Content: []byte("x"), RepliedInfo: new(wire.RepliedInfo)},
	}}))
	list := field(frameResponse, mustMarshal(&wire.Response{Body: &wire.Response_Messages{Messages: new(wire.Messages)}}))
	refused := field(frameResponse, mustMarshal(&wire.Response{Error: &wire.Error{Code: 1}}))
	empty := field(frameResponse, nil)
	push := func(n ...uint64) []byte {
		batch := &wire.EventBatch{Epoch: 1, FirstSeq: n[0]}
		for _, id := range n {
			batch.Events = append(batch.Events, &wire.Event{Message: &wire.Message{MessageId: int64(id)}})
		}
		return field(framePush, mustMarshal(&wire.Push{Events: batch}))
	}
	command := field(framePush, mustMarshal(&wire.Push{Transient: []*wire.Message{{MessageId: 1}}}))
	login := field(frameRequest, mustMarshal(&wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{UserId: "u"}}}))
	noEvents := field(framePush, mustMarshal(&wire.Push{Events: new(wire.EventBatch)}))
	for _, frames := range [][][]byte{
		{ack, ack}, {ack, list, ack}, {slices.Concat(ack, list), ack}, {slices.Concat(list, ack), ack}, {slices.Concat(ack, list, ack), ack, list},
		{slices.Concat(ack, refused), refused, ack}, {slices.Concat(ack, empty), empty, ack}, {ack[:len(ack)-1], ack}, {request, ack, request},
		{push(1), push(2), push(3, 4), push(5)}, {slices.Concat(push(1), push(2)), push(3)}, {slices.Concat(command, push(1)), push(2)},
		{slices.Concat(push(1), command), command}, {noEvents, push(1)}, {slices.Concat(push(1), ack), ack}, {push(1)[:9], push(2)},
		{request, request}, {slices.Concat(request, login), request}, {slices.Concat(login, request), login}, {slices.Concat(request, request), login},
	} {
		var msg []byte
		for _, frame := range frames {
			msg = append(msg, framed(frame)...)
		}
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var f wire.Frame
		var want, got []*wire.Frame
		wantErr := mux.EachFrame(msg, mux.ToClient, &f, func(f *wire.Frame) error {
			want = append(want, proto.CloneOf(f))
			return nil
		})
		gotErr := mux.EachFrameKept(msg, mux.ToClient, &f, func(f *wire.Frame) error {
			kept := &wire.Frame{Id: f.Id, Request: f.Request, Response: f.Response, Push: f.Push}
			if f.Response.GetSendMessage() != nil {
				kept.Response = proto.CloneOf(f.Response)
			}
			got = append(got, kept)
			return nil
		})
		if !slices.EqualFunc(got, want, func(a, b *wire.Frame) bool { return proto.Equal(a, b) }) || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("got %v, %v, want %v, %v", got, gotErr, want, wantErr)
		}
	})
}
