package e2e_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/internal/arbitrary"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A fuzzer is a client that knows no SDK, and others whom it must not disturb.
type fuzzer struct {
	f    *testing.F
	srv  *zimtest.Server
	conn transport.Conn // nil: not logged in
	said int
	from *zim.ZIM
	got  chan *zim.Message // by dave, and by bob
}

// newFuzzer starts a backend for all runs. They are not in bubbles: one backend could not be in all.
func newFuzzer(f *testing.F) *fuzzer {
	boundless := func(a *backend.App) {
		several(a)
		a.Limits.LoginRate = -1
	}
	z := &fuzzer{f: f, srv: zimtest.NewServer(f, &zimtest.Options{App: boundless}), got: make(chan *zim.Message, 1000)}
	z.srv.Register("alice", "bob")
	z.from = z.login("carol")
	for _, id := range []string{"dave", "bob"} {
		zim.On(z.login(id), func(_ context.Context, e *zim.PeerMessageReceived) {
			for _, m := range e.Messages {
				if id == "bob" || m.Sender == "carol" {
					z.got <- m
				}
			}
		})
	}
	f.Cleanup(func() {
		if z.conn != nil {
			z.conn.Close()
		}
	})
	return z
}

func (z *fuzzer) login(userID string) *zim.ZIM {
	z.f.Helper()
	c, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: z.srv.InProcess(), Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		z.f.Fatal(err)
	}
	z.f.Cleanup(c.Destroy)
	if err := c.Login(context.Background(), userID, &zim.LoginConfig{Token: z.srv.TokenFor(userID, 24*time.Hour)}); err != nil {
		z.f.Fatal(err)
	}
	return c
}

// call sends a request of alice's, who logs in first if that is needed. Every request has an answer, or the connection is closed.
func (z *fuzzer) call(t *testing.T, req *wire.Request) *wire.Response {
	t.Helper()
	if z.conn == nil {
		conn, err := z.srv.InProcess().Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		z.conn = conn
		if resp := z.call(t, &wire.Request{Body: &wire.Request_Login{Login: loginRequest(z.srv, "alice")}}); resp.GetLogin() == nil {
			t.Fatalf("the login was answered with %v", resp)
		}
	}
	resp, err := z.conn.RoundTrip(t.Context(), req)
	switch {
	case errors.Is(err, transport.ErrClosed):
		z.conn.Close()
		z.conn = nil
		return nil
	case err != nil || resp == nil || resp.Body != nil && resp.Error != nil:
		t.Fatalf("%v was answered with %v, %v", req, resp, err)
	case resp.GetError().GetCode() == 6000007 || resp.GetError().GetCode() == 6000008:
		t.Fatalf("%v was too much for the server: %v", req, resp)
	}
	return resp
}

// undisturbed checks that carol can still talk to dave.
func (z *fuzzer) undisturbed(t *testing.T) {
	t.Helper()
	z.said++
	text := fmt.Sprint(z.said)
	if _, err := z.from.SendMessage(t.Context(), &zim.TextMessage{Message: text}, zim.Peer("dave"), nil); err != nil {
		t.Fatal(err)
	}
	for m := range z.got {
		if m.Sender == "carol" {
			if got := m.Content.(*zim.TextMessage).Message; got != text {
				t.Fatalf("dave got %q, want %q", got, text)
			}
			return
		}
	}
}

// Whatever a user who has logged in asks for, the server answers or hangs up, keeps its wits, and nobody else notices.
func FuzzRequests(f *testing.F) {
	f.Add([]byte{})
	for kind := byte(1); kind <= 31; kind++ {
		for _, b := range [][]byte{
			nil, {1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6}, {1, 2, 1, 1, 2, 2, 0, 2, 4, 3, 0xf0, 4, 0xf1, 5, 9, 'x', 'y'}, {1, 1, 2, 1, 1, 4, 2, 3, 0, 2, 3, 3, 1},
		} {
			f.Add(append([]byte{kind}, b...))
			f.Add(append([]byte{26, 1, 1, 3, 2, 8, 'x', 0, 0, 0, kind}, b...)) // in a group of alice's
		}
	}
	z := newFuzzer(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for range 8 {
			if len(b) == 0 {
				break
			}
			req := new(wire.Request)
			b = arbitrary.Fill(req, b)
			if len(req.GetSendMessage().GetLocalMessageId()) == 8 { // or else most are refused
				req.GetSendMessage().LocalMessageId = append(req.GetSendMessage().LocalMessageId, make([]byte, 8)...)
			}
			z.call(t, req)
		}
		z.undisturbed(t)
	})
}

// What the server takes from a client that knows no SDK, every client understands: as it comes, and in the history.
func FuzzMessages(f *testing.F) {
	file := &wire.File{Url: "https://x/y.png", Name: "y.png", Size: 1}
	for typ, m := range map[int32]proto.Message{
		1: &wire.TextContent{Message: "x"}, 2: &wire.CommandContent{Message: []byte{0xff}}, 200: &wire.CustomContent{Message: "x", SubType: 200},
		11: &wire.ImageContent{File: file, Size: &wire.Size{Width: -1}}, 12: &wire.FileContent{File: file},
		100: &wire.CombineContent{Title: "t", Summary: "s", CombineId: "1"},
		13:  &wire.AudioContent{File: &wire.File{Url: "x", Name: "a.mp3"}, Duration: 300},
		14:  &wire.VideoContent{File: &wire.File{Url: "x", Name: "a.mp4"}, Duration: 1 << 62},
		10:  &wire.MultipleContent{Items: []*wire.MultipleItem{{Type: 1, Content: []byte{10, 1, 'x'}}}}, 20: &wire.TextContent{Message: "barrage"},
		31: &wire.RevokeContent{OriginalText: "x"}, 32: new(wire.TipsContent), 77: new(wire.TextContent),
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(typ, b)
		f.Add(typ, append(b, b...))
		f.Add(typ, append(b, 0xfa, 1, 1, 'x')) // a field that is not known
		f.Add(typ, append(b, 0x80))
	}
	z := newFuzzer(f)
	sent := uint64(0)
	f.Fuzz(func(t *testing.T, typ int32, content []byte) {
		sent++
		id := binary.BigEndian.AppendUint64(make([]byte, 8), sent)
		resp := z.call(t, &wire.Request{Body: &wire.Request_SendMessage{SendMessage: &wire.SendMessageRequest{
			LocalMessageId: id, ConversationId: "bob", Type: typ, Content: content,
		}}})
		if resp.GetSendMessage() == nil {
			if resp.GetError() == nil {
				t.Fatalf("got %v", resp)
			}
			return
		}
		m := <-z.got
		if _, unknown := m.Content.(*zim.UnknownMessage); unknown || m.Content.Type() != zim.MessageType(typ) || m.Sender != "alice" {
			t.Fatalf("a message of type %d with %q came as %T from %s", typ, content, m.Content, m.Sender)
		}
		if m.Seq == 0 {
			return // it is not kept
		}
		req := &wire.QueryMessagesRequest{Conversation: &wire.ConversationRef{Id: "bob"}, Seqs: []int64{m.Seq}}
		list := z.call(t, &wire.Request{Body: &wire.Request_QueryMessages{QueryMessages: req}}).GetMessages().GetMessages()
		if len(list) != 1 || list[0].Type != typ {
			t.Fatalf("the history has %v", list)
		}
		again := z.call(t, &wire.Request{Body: &wire.Request_SendMessage{SendMessage: &wire.SendMessageRequest{
			LocalMessageId: append(id[8:], id[:8]...), ConversationId: "bob", Type: typ, Content: list[0].Content,
		}}})
		if again.GetSendMessage() == nil {
			t.Fatalf("type %d: what was kept of %q is %q, and was refused: %v", typ, content, list[0].Content, again)
		}
		if m2 := <-z.got; !reflect.DeepEqual(m.Content, m2.Content) {
			t.Errorf("got %+v, and when that is sent again %+v", m.Content, m2.Content)
		}
	})
}
