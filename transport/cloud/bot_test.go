package cloud_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/transport/cloud"
)

// A line is a Dialer whose Conns are a Service's, and can be broken.
type line struct {
	*cloud.Service
	mu    sync.Mutex
	conns []transport.Conn // guarded by mu
}

func (l *line) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := l.Service.Dial(ctx)
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
	return c, err
}

func (l *line) cut() {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// withCallbacks is with for a service that also takes callbacks.
func withCallbacks(t *testing.T, f func(t *testing.T, g *gateway, s *cloud.Service)) {
	t.Helper()
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s.CallbackSecret = callbackSecret
		f(t, g, s)
	})
}

// attend logs a user in through the service itself, for requests and events.
func attend(t *testing.T, s *cloud.Service, userID string) (*user, *line) {
	t.Helper()
	l := &line{Service: s}
	z, err := zim.New(zim.AppConfig{AppID: appID, Transport: l, Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		t.Fatal(err)
	}
	u := &user{ZIM: z}
	t.Cleanup(z.Destroy)
	describe(u)
	if err := z.Login(t.Context(), userID, &zim.LoginConfig{Token: "-"}); err != nil {
		t.Fatal(err)
	}
	return u, l
}

// groupsOf answers in which groups users are.
func groupsOf(m map[string]string) func(args) answer {
	return func(a args) answer {
		userID, _ := a["FromUserId"].(string)
		if m[userID] == "" {
			return answer{"NextRsp": ""}
		}
		return answer{"GroupInfoList": []any{answer{"GroupId": m[userID]}}, "NextRsp": "0"}
	}
}

const botID = "@RBT#helper"

func toBot(id int, s string) object { return hello(id, s).with("conv_id", botID) }

// A bot and a user share a Service: what they send goes to the service, and what it tells reaches those whom it concerns, once, also behind a broken
// connection.
func TestBot(t *testing.T) {
	withCallbacks(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		g.on("SendPeerMessage", sent)
		g.on("QueryGroupsInfoOfUser", groupsOf(map[string]string{botID: "chess"}))
		bot, wire := attend(t, s, botID)
		must(t, s, signed("bot_msg", toBot(1, "hello")), http.StatusOK)
		must(t, s, signed("send_msg", toBot(1, "hello").with("source", 0)), http.StatusOK)
		bot.saw(t, "peer alice 1/alice:hello")
		picture := object{"download_url": "https://files.example/a.png", "file_name": "a.png", "file_size": 9}.json()
		must(t, s, signed("send_msg", toBot(2, url.QueryEscape(picture)).with("msg_type", 11)), http.StatusOK)
		bot.saw(t, "peer alice 2/alice:https://files.example/a.png of 9 bytes")
		must(t, s, signed("send_msg", toBot(1, "hallo")), http.StatusOK)
		bot.saw(t, "edited 1/alice:hallo")
		in := func(id int, group string) object { return hello(id, "hi").with("conv_type", 2).with("conv_id", group) }
		must(t, s, signed("send_msg", in(3, "chess")), http.StatusOK)
		must(t, s, signed("send_msg", in(4, "go")), http.StatusOK)
		bot.saw(t, "group chess 3/alice:hi")

		// Another user of the same Service, and what comes while the bot is away.
		carol, _ := attend(t, s, "carol")
		wire.cut()
		must(t, s, signed("send_msg", toBot(5, "away")), http.StatusOK)
		must(t, s, signed("send_msg", in(6, "chess")), http.StatusOK)
		must(t, s, signed("send_msg", hello(7, "for carol").with("conv_id", "carol")), http.StatusOK)
		time.Sleep(time.Minute)
		bot.saw(t, "peer alice 5/alice:away", "group chess 6/alice:hi")
		carol.saw(t, "peer alice 7/alice:for carol")

		// What the bot sends is told to its receiver. The mark behind the extended data is nobody's business.
		m, err := bot.SendMessage(t.Context(), &zim.TextMessage{Message: "yes"}, zim.Peer("carol"), &zim.MessageSendConfig{ExtendedData: "mine"})
		if err != nil {
			t.Fatal(err)
		}
		body := g.one("SendPeerMessage")["MessageBody"].(args)
		zim.On(carol.ZIM, func(_ context.Context, e *zim.PeerMessageReceived) {
			carol.note("%s, %q", messages(e.Messages), e.Messages[0].ExtendedData)
		})
		must(t, s, signed("send_msg", object{
			"from_user_id": botID, "conv_id": "", "conv_type": 0, "msg_type": 1, "source": 1, "msg_body": body["Message"], "payload": body["ExtendedData"],
			"msg_time": time.Now().UnixMilli(), "send_result": 0,
			"user_list": []object{{"UserId": "carol", "MsgId": m.ID, "MsgSeq": m.Seq}, {"UserId": "nobody"}},
		}), http.StatusOK)
		carol.saw(t, " "+m.ID+"/"+botID+`:yes, "mine"`)
		bot.saw(t)
		must(t, s, signed("send_msg", toBot(8, "refused").with("send_result", 660500010)), http.StatusOK)
		must(t, s, signed("send_msg", toBot(9, "silenced").with("send_result", 660500009)), http.StatusOK)
		bot.saw(t)
	})
}

// A group that the user makes or joins is known from then on, and one that it leaves is not.
func TestGroupsOfAConn(t *testing.T) {
	withCallbacks(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		s.Operator = "root"
		g.on("QueryGroupsInfoOfUser", func(a args) answer {
			if a["Next"] == "" {
				return answer{"GroupInfoList": []any{answer{"GroupId": "one"}}, "NextRsp": "a page"}
			}
			return answer{"GroupInfoList": []any{answer{"GroupId": "two"}}, "NextRsp": "0"}
		})
		bob, _ := attend(t, s, "bob")
		id := 0
		say := func(group string) string {
			id++
			must(t, s, signed("send_msg", hello(id, "hi").with("conv_type", 2).with("conv_id", group)), http.StatusOK)
			return "group " + group + " " + strconv.Itoa(id) + "/alice:hi"
		}
		bob.saw(t)
		bob.saw(t, say("one"))
		bob.saw(t, say("two"))
		say("made")
		say("joined")
		bob.saw(t)
		if _, err := bob.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "made"}, nil, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := bob.JoinGroup(t.Context(), "joined"); err != nil {
			t.Fatal(err)
		}
		bob.saw(t, say("made"))
		bob.saw(t, say("joined"))
		if err := bob.LeaveGroup(t.Context(), "joined"); err != nil {
			t.Fatal(err)
		}
		say("joined")
		bob.saw(t)
	})
}

// It does not keep anybody from logging in that the service does not say, or not in time, in which groups the user is.
func TestLoginWithoutGroups(t *testing.T) {
	for name, groups := range map[string]func(args) answer{
		"refused": failure(660000003),
		"no end":  always(answer{"GroupInfoList": []any{answer{"GroupId": "g"}}, "NextRsp": "again"}),
		"slow": func(args) answer {
			time.Sleep(9 * time.Second)
			return answer{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			withCallbacks(t, func(t *testing.T, g *gateway, s *cloud.Service) {
				log := logTo(s)
				g.on("QueryGroupsInfoOfUser", groups)
				start := time.Now()
				bob, _ := attend(t, s, "bob")
				if took := time.Since(start); took > 6*time.Second {
					t.Errorf("the login took %v", took)
				}
				must(t, s, signed("send_msg", hello(1, "hi")), http.StatusOK)
				bob.saw(t, "peer alice 1/alice:hi")
				time.Sleep(10 * time.Second) // the service's answer
				if !strings.Contains(log.String(), "groups may be missed") {
					t.Errorf("nobody was told: %s", log)
				}
			})
		})
	}
}

// A user gets what happens in the rooms that its Conn is in, also after it came back, and no longer.
func TestRoomsOfAConn(t *testing.T) {
	withCallbacks(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		bob, wire := attend(t, s, "bob")
		id := 0
		say := func(room string) string {
			id++
			must(t, s, signed("send_msg", hello(id, "hi").with("conv_type", 1).with("conv_id", room)), http.StatusOK)
			return "room " + room + " " + strconv.Itoa(id) + "/alice:hi"
		}
		enter := func(room string) {
			t.Helper()
			if _, err := bob.EnterRoom(t.Context(), zim.RoomInfo{RoomID: room}, nil); err != nil {
				t.Fatal(err)
			}
			bob.saw(t, "room "+room+": Connecting ActiveEnter", "room "+room+": Connected Success")
		}
		say("a")
		bob.saw(t)
		enter("a")
		enter("b")
		bob.saw(t, say("a"))
		wire.cut()
		time.Sleep(time.Minute)
		bob.forget()
		bob.saw(t, say("a"))
		bob.saw(t, say("b"))
		if _, err := bob.SwitchRoom(t.Context(), "a", zim.RoomInfo{RoomID: "c"}, true, nil); err != nil {
			t.Fatal(err)
		}
		bob.forget()
		say("a")
		bob.saw(t)
		bob.saw(t, say("c"))
		if _, err := bob.LeaveAllRoom(t.Context()); err != nil {
			t.Fatal(err)
		}
		bob.forget()
		say("b")
		say("c")
		bob.saw(t)
		if s.InRoom("a")+s.InRoom("b")+s.InRoom("c") != 0 {
			t.Error("a Conn is still in a room")
		}
	})
}

// A user whose queue is full makes callbacks wait at the service, which tries again for a minute. Once there is room, they come, each once.
func TestFullQueueOfAConn(t *testing.T) {
	withCallbacks(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := newZIM(t, s)
		held, n := make(chan struct{}), 0
		zim.On(z, func(ctx context.Context, e *zim.PeerMessageReceived) {
			n += len(e.Messages)
			select {
			case <-held:
			case <-ctx.Done():
			}
		})
		if err := z.Login(t.Context(), "bob", &zim.LoginConfig{Token: "-"}); err != nil {
			t.Fatal(err)
		}
		id := 0
		for {
			id++
			w := send(s, signed("send_msg", hello(id, "hi")))
			if w.Code == http.StatusOK && id < 10_000 {
				continue
			}
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Fatalf("message %d: %d %s", id, w.Code, w.Body)
			}
			break
		}
		again := signed("send_msg", hello(id, "hi"))
		must(t, s, again, http.StatusServiceUnavailable)
		close(held)
		time.Sleep(2 * time.Second)
		must(t, s, again, http.StatusOK)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n != id {
			t.Errorf("%d messages came, want %d", n, id)
		}
		if events, bytes := s.Waiting("bob"); events != 0 || bytes != 0 {
			t.Errorf("%d events, %d bytes wait, want none", events, bytes)
		}
	})
}

// Who comes back soon gets what came meanwhile. Who stays away for long is told that something may be missing, and gets what comes then.
func TestAwayFromAService(t *testing.T) {
	withCallbacks(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		bob, _ := attend(t, s, "bob")
		again := func(away time.Duration) {
			t.Helper()
			time.Sleep(away)
			if err := bob.Login(t.Context(), "bob", &zim.LoginConfig{Token: "-"}); err != nil {
				t.Fatal(err)
			}
		}
		leave := func() {
			t.Helper()
			if err := bob.Logout(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		must(t, s, signed("send_msg", hello(1, "one")), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:one")
		leave()
		must(t, s, signed("send_msg", hello(2, "two")), http.StatusOK)
		again(9 * time.Minute)
		bob.saw(t, "peer alice 2/alice:two")
		leave()
		must(t, s, signed("send_msg", hello(3, "three")), http.StatusOK)
		again(11 * time.Minute)
		must(t, s, signed("send_msg", hello(4, "four")), http.StatusOK)
		bob.saw(t, "reset", "peer alice 4/alice:four")

		// The same, if nothing comes any more.
		leave()
		again(11 * time.Minute)
		bob.saw(t, "reset")
	})
}

// History says the same as callbacks do. What can't be read of it is left out, and never taken for a file.
func TestHistoricContents(t *testing.T) {
	with(t, func(t *testing.T, g *gateway, s *cloud.Service) {
		z := login(t, s, "bob")
		read := func(typ int, body string) zim.Content {
			t.Helper()
			g.on("QueryMessagesByMsgSeq", always(answer{"MessageList": []any{
				answer{"Sender": "alice", "MsgType": typ, "MsgBody": body, "MsgId": json.Number("5"), "MsgSeq": 3, "MsgTime": 946_684_800_000},
			}}))
			list, err := z.QueryMessages(t.Context(), zim.Peer("alice"), []int64{3})
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			return list[0].Content
		}
		for _, bad := range []string{"", "no object", "[]", "%zz", `{"Origin":[],"file_size":{},"Width":-1}`} {
			if c := read(11, bad).(*zim.ImageMessage); c.URL != "" || c.Size != 0 {
				t.Errorf("%q: got %+v, want nothing", bad, c)
			}
			if c := read(10, bad).(*zim.MultipleMessage); len(c.MessageInfoList) != 0 {
				t.Errorf("%q: got %+v, want nothing", bad, c)
			}
		}
		if c := read(11, `{"Origin":{"Url":"https://f/o","Width":"x"},"file_size":{},"FileName":"a.png"}`).(*zim.ImageMessage); c.URL != "https://f/o" || c.Name != "a.png" {
			t.Errorf("got %+v, want what can be read", c)
		}
		items := read(10, `{"multi_msg":[{"msg_type":10},{"msg_type":12,"callback_content":"x"},{"msg_type":1,"callback_content":"t"}]}`).(*zim.MultipleMessage)
		if len(items.MessageInfoList) != 2 || items.MessageInfoList[1].(*zim.TextMessage).Message != "t" {
			t.Errorf("got %+v", items.MessageInfoList)
		}
		if c := read(31, `{"msg_status":4,"msg_type":1,"user_id":"alice","revoke_time":1700000000}`).(*zim.RevokeMessage); c.OperatedUserID != "alice" ||
			c.RevokeTime.Unix() != 1_700_000_000 {
			t.Errorf("got %+v", c)
		}
		if c := read(32, `%7B%22type%22%3A1%2C%22op_user_info%22%3A%7B%22user_id%22%3A%22alice%22%7D%7D`).(*zim.TipsMessage); c.OperatedUser.UserID != "alice" {
			t.Errorf("got %+v", c)
		}
		if c := read(300, "new").(*zim.UnknownMessage); string(c.Data) != "new" {
			t.Errorf("got %+v", c)
		}
	})
}
