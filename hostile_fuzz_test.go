package zim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/arbitrary"
	"github.com/zim-go/zim/internal/mux"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// kinds are the message types of the documentation, and some that there are not.
var kinds = []zim.MessageType{
	zim.MessageTypeText, zim.MessageTypeCommand, zim.MessageTypeBarrage, zim.MessageTypeCustom, zim.MessageTypeImage, zim.MessageTypeFile,
	zim.MessageTypeAudio, zim.MessageTypeVideo, zim.MessageTypeMultiple, zim.MessageTypeCombine, zim.MessageTypeRevoke, zim.MessageTypeTips, 0, -1, 77,
}

// contents are encodings to begin with.
func contents(tb testing.TB) (list [][]byte) {
	tb.Helper()
	file := &wire.File{Object: "o", Url: "https://x/y", Name: "a.png", Size: 5}
	text := &wire.TextContent{Message: "hello"}
	data, err := proto.Marshal(text)
	if err != nil {
		tb.Fatal(err)
	}
	user := &wire.TipsUser{UserId: "alice", UserName: "Alice", MemberRole: 1}
	for _, m := range []proto.Message{
		text, &wire.CommandContent{Message: []byte{0, 0xff}}, &wire.CustomContent{Message: "m", SubType: 7, SearchedContent: "s"},
		&wire.ImageContent{File: file, Size: &wire.Size{Width: 1, Height: 2}, LargeUrl: "l", ThumbnailUrl: "t"}, &wire.FileContent{File: file},
		&wire.AudioContent{File: file, Duration: 1 << 40}, &wire.VideoContent{File: file, Duration: -1, FirstFrameUrl: "f"},
		&wire.MultipleContent{Items: []*wire.MultipleItem{{Type: 1, Content: data}, {Type: 10, Content: data}, {Type: 12}}},
		&wire.CombineContent{Title: "t", Summary: "s", CombineId: "1"}, &wire.RevokeContent{OriginalType: 1, OriginalText: "x", RevokeTimeMs: -1},
		&wire.TipsContent{Event: 1, Operator: user, Targets: []*wire.TipsUser{user, nil}, Change: &wire.TipsChange{Type: 1, GroupNewOwner: user}},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, b)
	}
	return append(list, nil, []byte{0xff}, bytes.Repeat([]byte{0x0a}, 100))
}

// forgetUID takes away what only the service may say of a file.
func forgetUID(content zim.Content) {
	switch c := content.(type) {
	case *zim.ImageMessage:
		c.UID = ""
	case *zim.FileMessage:
		c.UID = ""
	case *zim.AudioMessage:
		c.UID = ""
	case *zim.VideoMessage:
		c.UID = ""
	case *zim.MultipleMessage:
		for _, item := range c.MessageInfoList {
			forgetUID(item)
		}
	default:
	}
}

// Whatever bytes a message has, they are some content; and what this version can send, it sends as it understood it.
func FuzzContent(f *testing.F) {
	for _, data := range contents(f) {
		for i := range kinds {
			f.Add(uint8(i), data)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		typ := kinds[int(kind)%len(kinds)]
		content := zim.DecodeContent(typ, bytes.Clone(data))
		if content == nil || content.Type() != typ {
			t.Fatalf("got %T of the type %v, want %v", content, content.Type(), typ)
		}
		if unknown, ok := content.(*zim.UnknownMessage); ok && !bytes.Equal(unknown.Data, data) {
			t.Errorf("got %q, want what came", unknown.Data)
		}
		again, encoded, err := zim.EncodeContent(content)
		if err != nil {
			return // it is beyond what may be sent
		}
		forgetUID(content)
		if got := zim.DecodeContent(again, encoded); !reflect.DeepEqual(got, content) {
			t.Errorf("got  %+v\nwant %+v", got, content)
		}
	})
}

// A script is the stream of a service that accepts a login and then sends whatever it likes.
type script struct {
	messages chan []byte
	closed   chan struct{}
	close    func()
}

func newScript(messages ...[]byte) *script {
	s := &script{messages: make(chan []byte, len(messages)), closed: make(chan struct{})}
	s.close = sync.OnceFunc(func() { close(s.closed) })
	for _, m := range messages {
		s.messages <- m
	}
	return s
}

func (s *script) ReadMessage(use func(msg []byte) error) error {
	select {
	case m := <-s.messages:
		return use(m)
	case <-s.closed:
		return errors.New("closed")
	}
}

func (s *script) WriteMessage([]byte) error {
	select {
	case <-s.closed:
		return errors.New("closed")
	default:
		return nil
	}
}

func (s *script) Close(int, string) error {
	s.close()
	return nil
}

type dialerFunc func(context.Context) (transport.Conn, error)

func (f dialerFunc) Dial(ctx context.Context) (transport.Conn, error) { return f(ctx) }

// framed returns a message of a stream with frames.
func framed(tb testing.TB, frames ...*wire.Frame) (b []byte) {
	tb.Helper()
	for _, f := range frames {
		data, err := proto.Marshal(f)
		if err != nil {
			tb.Fatal(err)
		}
		b = protowire.AppendBytes(b, data)
	}
	return b
}

// messages makes messages of bytes: if the first is even, those that follow are one; if it is odd, they say what is in the frames.
func messages(tb testing.TB, b []byte) (list [][]byte) {
	tb.Helper()
	if len(b) == 0 {
		return nil
	}
	if b[0]&1 == 0 {
		return [][]byte{b[1:min(len(b), 1+mux.ToClient.Message)]}
	}
	for b = b[1:]; len(b) > 0; {
		frame := new(wire.Frame)
		b = arbitrary.Fill(frame, b)
		list = append(list, framed(tb, frame))
	}
	return list
}

// Whatever a service sends to a client that has logged in: no panic, no goroutine that stays, no more memory than what came justifies, and
// the client can be used and ended.
func FuzzService(f *testing.F) {
	raw := func(frames ...*wire.Frame) []byte { return append([]byte{0}, framed(f, frames...)...) }
	event := func(events ...*wire.Event) *wire.Frame {
		return &wire.Frame{Push: &wire.Push{Events: &wire.EventBatch{Epoch: 1, FirstSeq: 1, Events: events}}}
	}
	message := func(content []byte) *wire.Message {
		return &wire.Message{ConversationId: "bob", MessageId: 1, MessageSeq: 1, Type: 1, Content: content}
	}
	for i, data := range contents(f) {
		m := message(data)
		m.Type = int32(kinds[i%len(kinds)])
		f.Add(raw(event(&wire.Event{Message: m, Revoked: m}, &wire.Event{Edited: m}, &wire.Event{Replied: []*wire.Message{m, nil}})))
	}
	f.Add(raw(
		event(&wire.Event{Reaction: &wire.ReactionChange{Message: message(nil), Changes: []*wire.ReactionUserChange{{}}}},
			&wire.Event{Pins: []*wire.PinChange{{}}}, &wire.Event{Receipts: []*wire.Receipt{{}}},
			&wire.Event{Group: &wire.GroupChange{State: new(wire.GroupStateChange), Members: []*wire.GroupMember{{}}}},
			&wire.Event{ConversationsDeleted: new(wire.ConversationsDeleted)}, &wire.Event{Conversations: []*wire.ConversationRef{{Id: "bob"}}}),
		&wire.Frame{Push: &wire.Push{Transient: []*wire.Message{{ConversationType: 1, ConversationId: "r"}, {IsBroadcast: true}}}},
		&wire.Frame{Id: 2, Response: &wire.Response{Body: &wire.Response_Heartbeat{Heartbeat: &wire.HeartbeatResponse{Last: &wire.Position{Epoch: 2}}}}},
		&wire.Frame{Id: 3, Response: &wire.Response{Body: &wire.Response_Sync{Sync: &wire.SyncResponse{Reset_: new(wire.FeedReset)}}}},
		&wire.Frame{Id: 4, Response: &wire.Response{Error: &wire.Error{Code: -1, RetryAfterMs: 1 << 62}}},
		&wire.Frame{Push: &wire.Push{SessionEnd: &wire.SessionEnd{Reason: 9}}},
	))
	for _, seq := range [][]byte{{2, 1}, {3, 3}, {4, 1, 3}, {4, 3, 1}, {4, 2}, {4, 1, 3, 1, 2, 1}} {
		f.Add(append([]byte{1}, append(seq, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)...))
	}
	login := framed(f, &wire.Frame{Id: 1, Response: &wire.Response{Body: &wire.Response_Login{Login: &wire.LoginResponse{
		TokenTtlMs: 3_600_000, Position: &wire.Position{Epoch: 1}, Last: &wire.Position{Epoch: 1},
	}}}})
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			dials := 0
			z, err := zim.New(zim.AppConfig{AppID: 1, EventBuffer: 64, Transport: dialerFunc(func(context.Context) (transport.Conn, error) {
				if dials++; dials > 1 {
					return nil, errors.New("gone")
				}
				return mux.New(newScript(append([][]byte{login}, messages(t, b)...)...)), nil
			})})
			if err != nil {
				t.Fatal(err)
			}
			defer z.Destroy()
			events := 0
			zim.On(z, func(_ context.Context, e zim.Event) {
				events++
				_ = fmt.Sprint(e)
			})
			zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
				for _, m := range e.Messages {
					if m.Content == nil {
						t.Error("a message has no content")
					}
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := z.Login(ctx, "alice", &zim.LoginConfig{Token: "04"}); err != nil {
				return
			}
			z.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
			z.QueryConversation(ctx, zim.Peer("bob"))
			time.Sleep(time.Minute)
			z.Logout(ctx, nil)
			synctest.Wait()
			runtime.ReadMemStats(&after)
			if got, most := after.TotalAlloc-before.TotalAlloc, uint64(16<<20+2000*len(b)); got > most {
				t.Errorf("%d bytes: %d bytes were allocated, want at most %d", len(b), got, most)
			}
			if events > 1000+len(b) {
				t.Errorf("%d bytes made %d events", len(b), events)
			}
		})
	})
}
