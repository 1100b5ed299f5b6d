package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// All members see the messages of a room in the same order, each sender's own in the order in which it sent them.
func TestRoomMessageOrder(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		const senders, each = 8, 50
		var all []*visitor
		for i := range senders {
			v := visit(t, srv, dialer, fmt.Sprint("user", i))
			v.enter(t, "r")
			all = append(all, v)
		}
		watcher := visit(t, srv, dialer, "watcher")
		watcher.enter(t, "r")
		sent := make([]map[int64]string, senders)
		var wg sync.WaitGroup
		for i, v := range all {
			sent[i] = make(map[int64]string)
			wg.Go(func() {
				for n := range each {
					m, err := v.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i, " ", n)}, zim.Room("r"), nil)
					if err != nil {
						t.Error(err)
						return
					}
					sent[i][m.Seq] = m.ID
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if len(watcher.messages) != senders*each {
			t.Fatalf("the watcher got %d messages", len(watcher.messages))
		}
		next := make([]int, senders)
		for i, m := range watcher.messages {
			var from, n int
			fmt.Sscan(text(m), &from, &n)
			if m.Seq != int64(i+1) || m.Sender != fmt.Sprint("user", from) || n != next[from] || sent[from][m.Seq] != m.ID {
				t.Fatalf("message %d is %+v", i, m)
			}
			next[from]++
		}
		for i, v := range all {
			want := slices.DeleteFunc(slices.Clone(watcher.messages), func(m *zim.Message) bool { return m.Sender == fmt.Sprint("user", i) })
			same := func(a, b *zim.Message) bool { return a.ID == b.ID && a.Seq == b.Seq && a.OrderKey == b.OrderKey }
			if !slices.EqualFunc(v.messages, want, same) {
				t.Errorf("user %d got %d messages, not those of the watcher", i, len(v.messages))
			}
		}
	})
}

// Who sends and receives in turn has no hole to ask about.
func TestRoomMessagesNeedNoQuestions(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		asking := &askingDialer{Dialer: dialer}
		alice, bob := visit(t, srv, asking, "alice"), visit(t, srv, asking, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		var wg sync.WaitGroup
		for _, v := range []*visitor{alice, bob} {
			wg.Go(func() {
				for range 100 {
					v.say(t, "r", "hello")
					if v == bob {
						v.say(t, "r", "again")
					}
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(alice.messages) != 200 || len(bob.messages) != 100 {
			t.Errorf("alice got %d messages, bob %d", len(alice.messages), len(bob.messages))
		}
		if n := asking.asked.Load(); n != 0 {
			t.Errorf("%d questions", n)
		}
	})
}

// An askingDialer counts the questions about missed messages of rooms.
type askingDialer struct {
	transport.Dialer
	asked atomic.Int64
}

func (d *askingDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &askingConn{c.(transport.Pipeline), d}, nil
}

type askingConn struct {
	transport.Pipeline
	d *askingDialer
}

func (c *askingConn) Start(req *wire.Request, done func(*wire.Response, error)) {
	if req.GetEnterRoom() != nil {
		c.d.asked.Add(1)
	}
	c.Pipeline.Start(req, done)
}

// Commands and barrages have no number, and barrages no rate limit.
func TestRoomTransientMessages(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice := &visitor{ZIM: newZIM(t, dialer)} // with the documented rates
		alice.watch()
		login(t, srv, alice.ZIM, "alice")
		bob := visit(t, srv, dialer, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		for i := range 500 {
			m, err := alice.SendMessage(ctx, &zim.BarrageMessage{Message: fmt.Sprint(i)}, zim.Room("r"), nil)
			if err != nil || m.Seq != 0 || m.ID == "" {
				t.Fatalf("barrage %d: %+v, %v", i, m, err)
			}
		}
		m, err := alice.SendMessage(ctx, &zim.CommandMessage{Message: []byte("now")}, zim.Room("r"), nil)
		if err != nil || m.Seq != 0 || m.ID == "" {
			t.Errorf("command: %+v, %v", m, err)
		}
		synctest.Wait()
		if n := len(bob.messages); n != 501 || bob.messages[499].Content.(*zim.BarrageMessage).Message != "499" || bob.messages[500].ID != m.ID || bob.dropped != 0 {
			t.Errorf("bob got %d messages, and missed %d", n, bob.dropped)
		}
		for range 20 {
			_, err = alice.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Room("r"), nil)
		}
		wantCode(t, "twenty texts at once", err, zim.ErrCommonTriggerSDKFrequencyLimit)
	})
}

// Messages of all kinds go through a room: files that each receiver can fetch, also later, and what was said elsewhere.
func TestRoomMessageKinds(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		gate := &gatedDialer{Dialer: dialer}
		alice, bob, carol := visit(t, srv, dialer, "alice"), visit(t, srv, dialer, "bob"), visit(t, srv, gate, "carol")
		for _, v := range []*visitor{alice, bob, carol} {
			v.enter(t, "r")
		}
		said, err := alice.SendMessage(ctx, &zim.TextMessage{Message: "said before"}, zim.Peer("bob"), nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		gate.shut(true)
		srv.Cut("carol") // and gets it all when she comes back
		for _, content := range []zim.Content{
			&zim.CustomMessage{Message: "{}", SubType: 7},
			&zim.FileMessage{File: zim.File{Name: "note.txt", Reader: strings.NewReader("what it says"), Size: 12}},
			&zim.CombineMessage{Title: "title", Summary: "summary", MessageList: []*zim.Message{said}},
			&zim.TextMessage{Message: "last"},
		} {
			if _, err := alice.SendMessage(ctx, content, zim.Room("r"), nil); err != nil {
				t.Fatalf("%T: %v", content, err)
			}
		}
		synctest.Wait()
		gate.shut(false)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for _, v := range []*visitor{bob, carol} {
			if len(v.messages) != 4 {
				t.Fatalf("%d messages: %q", len(v.messages), v.texts())
			}
			if c, ok := v.messages[0].Content.(*zim.CustomMessage); !ok || c.SubType != 7 {
				t.Errorf("got %+v", v.messages[0])
			}
			var file strings.Builder
			if err := v.DownloadMediaFile(ctx, v.messages[1], zim.MediaFileTypeOriginalFile, &file, nil); err != nil || file.String() != "what it says" {
				t.Errorf("the file has %q, %v", file.String(), err)
			}
			m, err := v.QueryCombineMessageDetail(ctx, v.messages[2])
			if err != nil || len(m.Content.(*zim.CombineMessage).MessageList) != 1 || text(m.Content.(*zim.CombineMessage).MessageList[0]) != "said before" {
				t.Errorf("combined are %+v, %v", m, err)
			}
		}
		a, b := bob.messages[1].Content.(*zim.FileMessage), carol.messages[1].Content.(*zim.FileMessage)
		if a.URL == b.URL || a.UID != b.UID {
			t.Errorf("bob's URL is %q, carol's %q", a.URL, b.URL)
		}
	})
}

// Messages of a room come from those who are in it, and go to those who are in it.
func TestRoomMessagesOfOutsiders(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, dialer, "bob")
		alice.enter(t, "r")
		for _, content := range []zim.Content{&zim.TextMessage{Message: "x"}, &zim.BarrageMessage{Message: "x"}, &zim.CommandMessage{Message: []byte("x")}} {
			m, err := bob.SendMessage(ctx, content, zim.Room("r"), nil)
			wantCode(t, "a message from outside", err, zim.ErrRoomUserIsNotInTheRoom)
			if m == nil || m.SentStatus != zim.MessageSentStatusFailed || errors.Is(err, zim.ErrOutcomeUnknown) {
				t.Errorf("got %+v, %v", m, err)
			}
		}
		alice.say(t, "r", "alone")
		bob.enter(t, "r")
		bob.say(t, "r", "one")
		if err := bob.LeaveRoom(ctx, "r"); err != nil {
			t.Error(err)
		}
		_, err := bob.SendMessage(ctx, &zim.TextMessage{Message: "x"}, zim.Room("r"), nil)
		wantCode(t, "a message after leaving", err, zim.ErrRoomUserIsNotInTheRoom)
		alice.say(t, "r", "gone?")
		bob.heard(t)
		alice.heard(t, "one")
		bob.enter(t, "r")
		alice.say(t, "r", "again")
		bob.heard(t, "again")
	})
}

// A message that is sent again is the same one, and no other message can have its ID.
func TestRoomMessageRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		bob := visit(t, srv, srv.InProcess(), "bob")
		bob.enter(t, "r")
		conn, err := srv.WebSocket().Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ask := func(req *wire.Request) *wire.Response {
			t.Helper()
			resp, err := conn.RoundTrip(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		ask(&wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{
			AppId: zimtest.AppID, UserId: "alice", Token: srv.Token("alice"), InstanceId: make([]byte, 16),
		}}})
		ask(&wire.Request{Body: &wire.Request_EnterRoom{EnterRoom: &wire.EnterRoomRequest{Room: &wire.RoomInfo{RoomId: "r"}}}})
		send := func(id byte, content string) *wire.Response {
			t.Helper()
			return ask(&wire.Request{Body: &wire.Request_SendMessage{SendMessage: &wire.SendMessageRequest{
				LocalMessageId: append(make([]byte, 15), id), ConversationType: 1, ConversationId: "r", Type: 1,
				Content: append([]byte{0x0a, byte(len(content))}, content...),
			}}})
		}
		first := send(1, "one").GetSendMessage()
		if first.GetMessageSeq() != 1 || first.GetMessageId() == 0 {
			t.Fatalf("the first answer is %v", first)
		}
		second := send(2, "two").GetSendMessage()
		if again := send(1, "one").GetSendMessage(); again.String() != first.String() {
			t.Errorf("the second answer is %v, the first was %v", again, first)
		}
		if code := send(2, "three").GetError().GetCode(); code != int32(zim.ErrIdempotencyMismatch) {
			t.Errorf("another message with the same ID: code %d", code)
		}
		if again := send(2, "two").GetSendMessage(); again.String() != second.String() {
			t.Errorf("the last answer is %v, the first was %v", again, second)
		}
		bob.heard(t, "one", "two")
	})
}
