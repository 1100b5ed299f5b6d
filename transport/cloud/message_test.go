package cloud_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport/cloud"
)

// sent is the answer to a message that the service took. The ID has more digits than a float.
func sent(a args) answer {
	return answer{"SuccList": []any{answer{"UserId": "bob", "MsgId": "1234567890123456789", "MsgSeq": 7}}, "ErrorList": nil}
}

// dialer fails as a network does that has no such host.
func dialer(tried func()) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		tried()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}
	}
}

// stored makes the page of history that a message would be in which was sent with a.
func stored(a args) answer {
	text := a["MessageBody"].(args)
	return answer{"Next": 0, "List": []any{answer{
		"Sender": a["FromUserId"], "MsgType": 1, "MsgBody": text["Message"], "Payload": text["ExtendedData"],
		"MsgId": json.Number("1234567890123456789"), "MsgSeq": "7", "MsgTime": 946_684_800_123,
	}}}
}

// mark is what the service sees behind the extended data of a message.
func mark(m *zim.Message) string {
	id, _ := hex.DecodeString(strings.ReplaceAll(m.LocalID, "-", ""))
	return "\nzim:" + base64.RawURLEncoding.EncodeToString(id)
}

func TestSendToPeer(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "@RBT#b")
		g.on("SendPeerMessage", sent)
		m, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "hello"}, zim.Peer("bob"), &zim.MessageSendConfig{
			ExtendedData: `{"a":1}`, Priority: zim.MessagePriorityHigh, HasReceipt: true, DisableUnreadMessageCount: true,
			PushConfig: &zim.PushConfig{Title: "title", EnableBadge: true, BadgeIncrement: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		if m.ID != "1234567890123456789" || m.Seq != 7 || m.ExtendedData != `{"a":1}` || m.SentStatus != zim.MessageSentStatusSuccess {
			t.Errorf("got %+v", m)
		}
		a := g.one("SendPeerMessage")
		has(t, a, args{
			"FromUserId": "@RBT#b", "ToUserId": []any{"bob"}, "MessageType": 1, "Priority": 3, "SenderUnaware": 0, "SendMsgOptions": args{"NoUnread": true},
		})
		body := a["MessageBody"].(args)
		has(t, body, args{"Message": "hello", "ExtendedData": `{"a":1}` + mark(m), "HasReceipt": 1})
		has(t, body["OfflinePush"].(args), args{"Enable": 1, "Title": "title", "EnableBadge": true, "BadgeIncrement": 1})
	})
}

// Each kind of content goes to where it can go in the service's words, and those that it has no words for are not sent.
func TestContents(t *testing.T) {
	file := zim.File{URL: "https://example.com/a.jpg", Name: "a.jpg", Size: 5}
	tests := []struct {
		content zim.Content
		typ     int
		text    string
	}{
		{&zim.CommandMessage{Message: []byte("go")}, 2, "go"},
		{&zim.CommandMessage{Message: []byte{0xff}}, 2, "/w=="},
		{&zim.CustomMessage{Message: "c", SubType: 9, SearchedContent: "s"}, 200, "c"},
		{&zim.ImageMessage{File: file}, 11, `{"FileName":"a.jpg","Origin":{"Height":0,"Url":"https://example.com/a.jpg","Width":0},"Size":5,"Uid":"ID"}`},
		{&zim.FileMessage{File: file}, 12, `{"FileName":"a.jpg","Size":5,"Uid":"ID","Url":"https://example.com/a.jpg"}`},
		{&zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.TextMessage{Message: "t"}, &zim.FileMessage{File: file}}}, 10,
			`{"MultiMsg":[{"Msg":"t","MsgType":1},{"Msg":"{\"FileName\":\"a.jpg\",\"Size\":5,\"Uid\":\"ID-1\",\"Url\":\"https://example.com/a.jpg\"}","MsgType":12}]}`},
	}
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.on("SendPeerMessage", sent)
		for i, test := range tests {
			m, err := z.SendMessage(t.Context(), test.content, zim.Peer("bob"), nil)
			if err != nil {
				t.Errorf("%T: %v", test.content, err)
				continue
			}
			a := g.requests("SendPeerMessage")[i].args
			has(t, a, args{"MessageType": test.typ})
			body := a["MessageBody"].(args)
			has(t, body, args{"Message": strings.ReplaceAll(test.text, "ID", strings.ReplaceAll(m.LocalID, "-", ""))})
			if test.text == "/w==" {
				has(t, body, args{"IsBase64": 1})
			}
			if test.typ == 200 {
				has(t, a, args{"SubMsgType": 9, "SearchedContent": "s"})
			}
		}
		before := len(g.names())
		if _, err := z.SendMessage(t.Context(), &zim.CombineMessage{Title: "t", Summary: "s", CombineID: "c"}, zim.Peer("bob"), nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a combine message: %v", err)
		}
		if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Group("g"), &zim.MessageSendConfig{IsMentionAll: true}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a mention: %v", err)
		}
		local := &zim.FileMessage{File: zim.File{Name: "a", Size: 1, Reader: strings.NewReader("a")}}
		if _, err := z.SendMessage(t.Context(), local, zim.Peer("bob"), nil); zim.CodeOf(err) == 0 {
			t.Error("a file that must be uploaded was sent")
		}
		long := &zim.MessageSendConfig{ExtendedData: strings.Repeat("x", 998)}
		if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), long); zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
			t.Errorf("extended data without room for the ID: %v", err)
		}
		if n := len(g.names()); n != before {
			t.Errorf("%d requests for what can't be sent", n-before)
		}
	})
}

func TestSendToGroupAndRoom(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.on("SendGroupMessage", always(answer{"MsgId": json.Number("1234567890123456789"), "MsgSeq": 3}))
		m, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Group("g#1"), nil)
		if err != nil || m.ID != "1234567890123456789" || m.Seq != 3 {
			t.Errorf("got %+v, %v", m, err)
		}
		has(t, g.one("SendGroupMessage"), args{"FromUserId": "alice", "GroupId": "g#1"})
		if _, err := z.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "r"}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := z.SendMessage(t.Context(), &zim.BarrageMessage{Message: "b"}, zim.Room("r"), nil); err != nil {
			t.Error(err)
		}
		has(t, g.one("SendRoomMessage"), args{"RoomId": "r", "MessageType": 20, "SenderUnaware": 1})
	})
}

func TestRefusedSends(t *testing.T) {
	tests := []struct {
		name string
		says answer
		want zim.Code
	}{
		{"the receiver is unknown", answer{"Code": 660000002, "ErrorList": []any{answer{"UserId": "bob", "SubCode": 660700015}}}, zim.ErrCommonUserIsNotExist},
		{"the receiver blocks the sender", answer{"ErrorList": []any{answer{"UserId": "bob", "SubCode": 660800045}}}, zim.ErrMessageSenderInBlacklist},
		{"moderation", answer{"AuditInfos": []any{answer{"Index": 0, "Reason": "bad"}}}, zim.ErrMessageAuditRejected},
		{"too big", answer{"Code": 660400001}, zim.ErrMessageSendMessageFailed},
		{"wrong secret", answer{"Code": 100000005}, zim.ErrNetworkTokenInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
				z := login(t, s, "alice")
				g.on("SendPeerMessage", always(test.says))
				_, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
				if zim.CodeOf(err) != test.want || errors.Is(err, zim.ErrOutcomeUnknown) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				g.want("SendPeerMessage")
			})
		})
	}
}

// Who is silenced by moderation is not to know.
func TestSilencedSend(t *testing.T) {
	for name, says := range map[string]answer{
		"whole": {"Code": 660500009}, "item": {"Code": 660600033, "ErrorList": []any{answer{"UserId": "bob", "SubCode": 660500009}}},
	} {
		with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
			z := login(t, s, "alice")
			g.on("SendPeerMessage", always(says))
			if _, err := z.SendMessage(t.Context(), text, bob, nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// A send without an answer is unknown, and stays so: nothing sends it again. Its caller can look, and a retry looks by itself.
func TestUnknownOutcome(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.onRaw("SendPeerMessage", func(w http.ResponseWriter) { w.WriteHeader(504) })
		m, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), &zim.MessageSendConfig{ExtendedData: "mine"})
		if !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		g.want("SendPeerMessage")

		with := cloud.Conversation{ID: "bob"}
		if found, err := s.CheckSent(t.Context(), "alice", with, m.LocalID); found != nil || err != nil {
			t.Errorf("not stored: %+v, %v", found, err)
		}
		g.on("QueryPeerMsg", func(args) answer { return stored(g.one("SendPeerMessage")) })
		found, err := s.CheckSent(t.Context(), "alice", with, m.LocalID)
		if err != nil || found == nil || found.MessageID != "1234567890123456789" || found.MessageSeq != 7 {
			t.Errorf("stored: %+v, %v", found, err)
		}
		again, err := z.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m})
		if err != nil || again.ID != "1234567890123456789" || again.Seq != 7 {
			t.Errorf("the retry: %+v, %v", again, err)
		}
		g.want("SendPeerMessage", "QueryPeerMsg", "QueryPeerMsg", "QueryPeerMsg")
	})
}

// A retry of what was not stored sends it, with the same ID. One that can't look sends nothing.
func TestRetry(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.on("SendPeerMessage", failure(660000001))
		m, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
		if !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		g.on("QueryPeerMsg", failure(660300005))
		if m, err = z.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m}); !errors.Is(err, zim.ErrOutcomeUnknown) {
			t.Errorf("without an answer to the question: %v", err)
		}
		g.on("QueryPeerMsg", always(answer{"List": nil}))
		g.on("SendPeerMessage", sent)
		if _, err = z.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m}); err != nil {
			t.Fatal(err)
		}
		list := g.requests("SendPeerMessage")
		if len(list) != 2 || list[0].args["MessageBody"].(args)["ExtendedData"] != list[1].args["MessageBody"].(args)["ExtendedData"] {
			t.Errorf("%d sends, or with different IDs", len(list))
		}
	})
}

// Messages of one ZIM go one after the other, in the order of their sends.
func TestOrder(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.on("SendPeerMessage", func(a args) answer { time.Sleep(100 * time.Millisecond); return sent(a) })
		results := make(chan error)
		const text = "abcdefgh"
		for _, c := range text {
			go func() {
				_, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: string(c)}, zim.Peer("bob"), nil)
				results <- err
			}()
			synctest.Wait()
		}
		got := ""
		for range text {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		for _, r := range g.requests("SendPeerMessage") {
			got += r.args["MessageBody"].(args)["Message"].(string)
		}
		if got != text {
			t.Errorf("came as %s", got)
		}
	})
}

// A logout while a message is on its way ends it as unknown, and one behind it as not sent.
func TestLogoutWhileSending(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		g.onRaw("SendPeerMessage", func(http.ResponseWriter) { time.Sleep(time.Minute) })
		results := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil)
				results <- err
			}()
			synctest.Wait()
		}
		if err := z.Logout(t.Context(), nil); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-results; !errors.Is(err, zim.ErrOutcomeUnknown) {
				t.Errorf("got %v", err) // the SDK has started both
			}
		}
		if n := len(g.requests("SendPeerMessage")); n != 1 {
			t.Errorf("%d requests", n)
		}
		time.Sleep(time.Minute)
	})
}

// A connection lives on, however slow the service is: heartbeats don't wait behind messages.
func TestSlowServiceKeepsTheConnection(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "alice")
		synctest.Wait()
		changes := 0
		zim.On(z, func(context.Context, *zim.ConnectionStateChanged) { changes++ })
		g.on("SendPeerMessage", func(a args) answer { time.Sleep(9 * time.Second); return sent(a) })
		for range 2 {
			if _, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Peer("bob"), nil); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(5 * time.Minute)
		if changes != 0 {
			t.Errorf("the connection changed %d times", changes)
		}
	})
}
