package mux_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"

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
