package zimtest_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/inproc"
	"github.com/zim-go/zim/transport/transporttest"
	"github.com/zim-go/zim/wire"
)

// handler is a transporttest.Service in process.
type handler struct {
	a    *transporttest.Attachment
	peer *inproc.Peer
}

func (h handler) Handle(id uint64, req *wire.Request) {
	h.a.Handle(req, func(resp *wire.Response) { h.peer.Reply(id, resp) })
}

func (handler) Detached() {}

func service(s *transporttest.Service) transport.Dialer {
	return inproc.Dialer{Attach: func(peer *inproc.Peer) (inproc.Handler, error) {
		return handler{s.Attach(transporttest.Link{Push: peer.Push, Close: func() { peer.Close(0, "") }}), peer}, nil
	}}
}

// Without faults, and with delays only, a spoiled transport is a transport.
func TestFaultsConform(t *testing.T) {
	for name, profile := range map[string]zimtest.FaultProfile{
		"perfect": {},
		"slow":    {MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.TestConn(t, func(tb testing.TB, s *transporttest.Service) transport.Dialer {
				return zimtest.NewFaults(tb, 1, profile).Dialer("client", service(s))
			})
		})
	}
}

// chat lets alice send bob messages over a spoiled network, and returns what bob got and what went wrong.
func chat(t *testing.T, seed uint64, profile zimtest.FaultProfile, messages int) (texts, trace []string, counts map[string]int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		zimtest.Deterministic(t, seed)
		srv := zimtest.NewServer(t, nil)
		faults := zimtest.NewFaults(t, seed, profile)
		user := func(name string) *zim.ZIM {
			z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: faults.Dialer(name, srv.InProcess())})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(z.Destroy)
			return z
		}
		alice, bob := user("alice"), user("bob")
		zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) {
			for _, m := range e.Messages {
				texts = append(texts, m.Content.(*zim.TextMessage).Message)
			}
		})
		for i, z := range []*zim.ZIM{alice, bob} {
			name := []string{"alice", "bob"}[i]
			srv.Register(name)
			for z.Login(t.Context(), name, &zim.LoginConfig{Token: srv.TokenFor(name, 24*time.Hour)}) != nil {
				time.Sleep(time.Second)
			}
		}
		for n := range messages {
			text := fmt.Sprint(n)
			m, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: text}, zim.Peer("bob"), nil)
			for err != nil {
				if m == nil {
					t.Fatalf("message %d: %v", n, err)
				}
				time.Sleep(time.Second)
				m, err = alice.SendMessage(t.Context(), m.Content, zim.Peer("bob"), &zim.MessageSendConfig{Retry: m})
			}
			time.Sleep(time.Second)
		}
		faults.Heal()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		trace, counts = faults.Trace(), faults.Counts()
	})
	return texts, trace, counts
}

// Everything goes wrong, and bob gets each message once, in order.
func TestFaultsHappen(t *testing.T) {
	texts, trace, counts := chat(t, 50, zimtest.BadNetwork(), 200)
	var want []string
	for n := range 200 {
		want = append(want, fmt.Sprint(n))
	}
	if !slices.Equal(texts, want) {
		t.Errorf("bob got %q", texts)
	}
	for _, fault := range []string{"cut", "half-open", "zombie", "duplicate", "stall", "slow reader", "refused", "hang"} {
		if counts[fault] == 0 {
			t.Errorf("%q did not happen", fault)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(trace, "\n"))
	}
}

// What comes twice is only what is to be recognized: stored messages and those to rooms, but neither commands nor barrages.
func TestFaultsDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zimtest.NewServer(t, nil)
		faults := zimtest.NewFaults(t, 1, zimtest.FaultProfile{Duplicate: 1})
		alice, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: faults.Dialer("alice", srv.InProcess())})
		if err != nil {
			t.Fatal(err)
		}
		defer alice.Destroy()
		if err := alice.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.Token("alice")}); err != nil {
			t.Fatal(err)
		}
		bob := srv.Login(t, "bob")
		got := make(map[zim.MessageType]int)
		count := func(messages []*zim.Message) {
			for _, m := range messages {
				got[m.Content.Type()]++
			}
		}
		zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) { count(e.Messages) })
		zim.On(bob, func(_ context.Context, e *zim.RoomMessageReceived) { count(e.Messages) })
		for _, z := range []*zim.ZIM{alice, bob} {
			if _, err := z.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "r"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range []struct {
			content zim.Content
			to      zim.ConversationRef
		}{
			{&zim.TextMessage{Message: "x"}, zim.Peer("bob")},
			{&zim.TextMessage{Message: "x"}, zim.Room("r")},
			{&zim.CommandMessage{Message: []byte("x")}, zim.Peer("bob")},
			{&zim.BarrageMessage{Message: "x"}, zim.Room("r")},
		} {
			if _, err := alice.SendMessage(t.Context(), m.content, m.to, nil); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		want := map[zim.MessageType]int{zim.MessageTypeText: 2, zim.MessageTypeCommand: 1, zim.MessageTypeBarrage: 1}
		if !maps.Equal(got, want) {
			t.Errorf("bob got messages of the types %v, want %v", got, want)
		}
		if n := faults.Counts()["duplicate"]; n < 2 {
			t.Errorf("%d frames came twice, want those of two messages at least", n)
		}
	})
}

// A mute never answers.
type mute struct{}

func (mute) Handle(uint64, *wire.Request) {}
func (mute) Detached()                    {}

// Of a connection that is half-open both ways nobody is told, not even when the service gives it up.
func TestFaultsHalfOpen(t *testing.T) {
	silent := 0
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			var peer *inproc.Peer
			faults := zimtest.NewFaults(t, seed+1, zimtest.FaultProfile{CutEvery: 200, HalfOpen: 1})
			conn, err := faults.Dialer("client", inproc.Dialer{Attach: func(p *inproc.Peer) (inproc.Handler, error) {
				peer = p
				return mute{}, nil
			}}).Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			told := 0
			for faults.Counts()["half-open"] == 0 {
				req := &wire.Request{Body: &wire.Request_Heartbeat{Heartbeat: &wire.HeartbeatRequest{Handled: &wire.Position{Epoch: 1, Seq: 1}}}}
				conn.(transport.Pipeline).Start(req, func(*wire.Response, error) { told++ })
				synctest.Wait()
			}
			peer.Close(0, "")
			time.Sleep(time.Minute)
			synctest.Wait()
			if strings.Contains(strings.Join(faults.Trace(), ""), "both ways") {
				silent++
				if told > 0 {
					t.Errorf("seed %d: the client was told of %d requests", seed+1, told)
				}
			}
			conn.Close()
		})
	}
	if silent == 0 {
		t.Error("no connection was half-open both ways")
	}
}

// The same seed has the same faults, and another one has others.
func TestFaultsReplay(t *testing.T) {
	_, first, _ := chat(t, 7, zimtest.BadNetwork(), 40)
	for range 5 {
		if _, again, _ := chat(t, 7, zimtest.BadNetwork(), 40); exact && !slices.Equal(first, again) {
			t.Fatalf("the same seed gave\n%s\nand\n%s", strings.Join(first, "\n"), strings.Join(again, "\n"))
		}
	}
	if _, other, _ := chat(t, 8, zimtest.BadNetwork(), 40); slices.Equal(first, other) {
		t.Error("another seed has the same faults")
	}
}
