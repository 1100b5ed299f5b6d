package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/backend/zimtest"
)

// moderated has the receiver asked about messages, and told of them, and of nothing else.
func moderated(c *webhook.Config) {
	c.Apps[0].URLs = webhook.To(zimtest.CallbackURL, webhook.SendMsg, webhook.BeforeSendMsg)
}

// moderator returns a receiver that answers questions with what decide returns, and takes the rest.
func moderator(decide func(r *http.Request, c callback) string) *receiver {
	return &receiver{answer: func(w http.ResponseWriter, r *http.Request, c callback) {
		if c.text("event") != webhook.BeforeSendMsg {
			io.WriteString(w, "{}")
			return
		}
		answer := decide(r, c)
		if answer == "" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.WriteString(w, answer)
	}}
}

// heard returns what tells what a user has got so far, once nothing more happens.
func heard(z *zim.ZIM) (got func() []string) {
	var list []string
	zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) { list = append(list, lines(e.Messages)...) })
	zim.On(z, func(_ context.Context, e *zim.GroupMessageReceived) { list = append(list, lines(e.Messages)...) })
	zim.On(z, func(_ context.Context, e *zim.RoomMessageReceived) { list = append(list, lines(e.Messages)...) })
	return func() []string {
		synctest.Wait()
		return list
	}
}

func lines(messages []*zim.Message) (list []string) {
	for _, m := range messages {
		text := ""
		switch c := m.Content.(type) {
		case *zim.TextMessage:
			text = c.Message
		case *zim.BarrageMessage:
			text = "barrage " + c.Message
		case *zim.CommandMessage:
			text = "command " + string(c.Message)
		case *zim.CustomMessage:
			text = fmt.Sprint(c.SubType, ":", c.Message)
		default:
			text = fmt.Sprintf("a %T", c)
		}
		list = append(list, text+"+"+m.ExtendedData)
	}
	return list
}

// The app's own server is asked about each message of a client, and each of its answers does what is documented.
func TestModeration(t *testing.T) {
	tests := map[string]struct {
		answer   string
		err      error  // of the sender
		reason   string // in it
		sent     string // as the sender has it
		received string // by the receiver; empty: nothing
		told     string // the documented result, afterwards
	}{
		"neutral":        {`{"result":0}`, nil, "", "hi+extra", "hi+extra", "0"},
		"no result":      {`{}`, nil, "", "hi+extra", "hi+extra", "0"},
		"another number": {`{"result":77}`, nil, "", "hi+extra", "hi+extra", "0"},
		"send":           {`{"result":1}`, nil, "", "hi+extra", "hi+extra", "0"},
		"swallow":        {`{"result":2}`, nil, "", "hi+extra", "", "660500009"},
		"refuse":         {`{"result":3}`, zim.ErrMessageAuditCustomSentRejected, "the app's own server refused it", "hi+extra", "", "660500010"},
		"with a reason":  {`{"result":3,"reason":"no ads"}`, zim.ErrMessageAuditCustomSentRejected, "no ads", "hi+extra", "", "660500010"},
		"another text":   {`{"result":1,"new_msg_body":"**"}`, nil, "", "**+extra", "**+extra", "0"},
		"another extra":  {`{"result":0,"new_payload":"checked"}`, nil, "", "hi+checked", "hi+checked", "0"},
		"both":           {`{"result":0,"new_payload":"checked","new_msg_body":"**"}`, nil, "", "**+checked", "**+checked", "0"},
		"too long": {`{"result":1,"new_msg_body":"` + strings.Repeat("x", 3000) + `"}`, zim.ErrMessageAuditCustomSentRejected,
			"made of it: the text has 3000 bytes, the limit is 2048", "hi+extra", "", "660500010"},
		"too much extra": {`{"result":1,"new_msg_body":"ho","new_payload":"` + strings.Repeat("x", 3000) + `"}`, zim.ErrMessageAuditCustomSentRejected,
			"made of it: the extended data has 3000 bytes", "hi+extra", "", "660500010"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked []string
				rc := moderator(func(_ *http.Request, c callback) string {
					asked = append(asked, strings.Join([]string{c.text("from_user_id"), c.text("conv_type"), c.text("conv_id"), c.text("msg_type"),
						c.text("sub_msg_type"), c.text("msg_body"), c.text("payload"), fmt.Sprint(len(c.text("request_id")))}, " "))
					return tt.answer
				})
				srv := start(t, rc, zimtest.Options{Webhook: moderated})
				alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
				got := heard(bob)
				m, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), &zim.MessageSendConfig{ExtendedData: "extra"})
				if !errors.Is(err, tt.err) || err != nil && (errors.Is(err, zim.ErrOutcomeUnknown) || !strings.Contains(err.Error(), tt.reason)) {
					t.Errorf("the sender was told %v, want %v, %q", err, tt.err, tt.reason)
				}
				if sent := lines([]*zim.Message{m}); sent[0] != tt.sent {
					t.Errorf("the sender has %q, want %q", sent[0], tt.sent)
				}
				told := rc.told("send_msg", "send_result", "msg_body", "payload")
				body, payload, _ := strings.Cut(tt.sent, "+")
				same(t, told, tt.told+" "+body+" "+payload)
				if tt.received == "" {
					same(t, got())
				} else {
					same(t, got(), tt.received)
				}
				same(t, asked, "alice 0 bob 1 0 hi extra 32")
				list, err := bob.QueryHistoryMessage(t.Context(), zim.Peer("alice"), zim.MessageQueryConfig{Count: 10, Reverse: true})
				must(t, err)
				if kept := len(list) == 1; kept != (tt.received != "") {
					t.Errorf("%q are kept", lines(list))
				}
			})
		})
	}
}

// It is asked about what is kept, of clients, in all kinds of conversations, and about nothing else.
func TestAskedAboutWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := moderator(func(_ *http.Request, c callback) string {
			if strings.Contains(c.text("msg_body"), "bad") {
				return `{"result":3}`
			}
			return `{"result":1,"new_msg_body":"seen"}`
		})
		srv := start(t, rc, zimtest.Options{Webhook: moderated})
		alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
		got := heard(bob)
		_, err := alice.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g", GroupName: "G"}, []string{"bob"}, nil)
		must(t, err)
		for _, z := range []*zim.ZIM{alice, bob} {
			_, err = z.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "r"}, nil)
			must(t, err)
		}
		rc.told("")
		fields := names("event conv_type conv_id msg_type sub_msg_type msg_body send_result")
		try := func(c zim.Content, to zim.ConversationRef, want error, told ...string) {
			t.Helper()
			if _, err := alice.SendMessage(t.Context(), c, to, nil); !errors.Is(err, want) {
				t.Errorf("%T to %v: %v, want %v", c, to, err, want)
			}
			same(t, rc.told("", fields...), told...)
		}
		rejected := zim.ErrMessageAuditCustomSentRejected
		try(&zim.TextMessage{Message: "hi"}, zim.Group("g"), nil, "before_send_msg 2 g 1 0 hi ", "send_msg 2 g 1 0 seen 0")
		try(&zim.TextMessage{Message: "bad"}, zim.Group("g"), rejected, "before_send_msg 2 g 1 0 bad ", "send_msg 2 g 1 0 bad 660500010")
		try(&zim.TextMessage{Message: "hi"}, zim.Room("r"), nil, "before_send_msg 1 r 1 0 hi ", "send_msg 1 r 1 0 seen 0")
		try(&zim.TextMessage{Message: "bad"}, zim.Room("r"), rejected, "before_send_msg 1 r 1 0 bad ", "send_msg 1 r 1 0 bad 660500010")
		try(&zim.CustomMessage{Message: "c", SubType: 7}, zim.Peer("bob"), nil, "before_send_msg 0 bob 200 7 c ", "send_msg 0 bob 200 7 seen 0")
		// What can't be said in other words is not sent as it was.
		try(&zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.TextMessage{Message: "hi"}}}, zim.Peer("bob"), rejected,
			`before_send_msg 0 bob 10 0 {"multi_msg":[{"callback_content":"hi","msg_type":1}]} `,
			`send_msg 0 bob 10 0 {"multi_msg":[{"callback_content":"hi","msg_type":1}]} 660500010`)
		try(&zim.BarrageMessage{Message: "bad"}, zim.Room("r"), nil)
		try(&zim.CommandMessage{Message: []byte("bad")}, zim.Peer("bob"), nil)
		same(t, got(), "seen+", "seen+", "7:seen+", "barrage bad+", "command bad+")

		q := restapi.Sign(zimtest.AppID, zimtest.Secret, "SendPeerMessage", "1", time.Now())
		resp, err := srv.Client().Post(srv.APIURL()+"?"+q.Encode(), "application/json", strings.NewReader(
			`{"FromUserId":"alice","ToUserId":["bob"],"MessageType":1,"Priority":2,"MessageBody":{"Message":"bad"}}`))
		must(t, err)
		resp.Body.Close()
		same(t, rc.told("", "event", "msg_body"), "send_msg bad")
	})
}

// What is refused for other reasons is told, too, with the documented result.
func TestFailedSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := new(receiver)
		srv := start(t, rc, zimtest.Options{Webhook: messages})
		alice := srv.Login(t, "alice")
		srv.Register("bob")
		send := func(to zim.ConversationRef, want error) {
			t.Helper()
			if _, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hi"}, to, nil); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		}
		fields := names("from_user_id conv_type conv_id msg_id msg_seq source msg_body send_result user_list")
		send(zim.Peer("nobody"), zim.ErrMessageTargetDoesNotExist)
		same(t, rc.told("", fields...), "alice 0 nobody  0  hi 660700015 ")
		send(zim.Group("none"), zim.ErrGroupGroupDoesNotExist)
		same(t, rc.told("", fields...), "alice 2 none  0  hi 660600001 ")
		send(zim.Room("none"), zim.ErrRoomTheRoomDoesNotExist)
		same(t, rc.told("", fields...), "alice 1 none  0  hi 660300001 ")

		q := restapi.Sign(zimtest.AppID, zimtest.Secret, "SendPeerMessage", "1", time.Now())
		resp, err := srv.Client().Post(srv.APIURL()+"?"+q.Encode(), "application/json", strings.NewReader(
			`{"FromUserId":"alice","ToUserId":["nobody","bob"],"MessageType":1,"Priority":2,"MessageBody":{"Message":"hi"}}`))
		must(t, err)
		resp.Body.Close()
		told := rc.told("", "conv_id", "msg_id", "source", "send_result", "user_list")
		if len(told) != 2 || !slices.Contains(told, `  1 660700015 [{"MsgId":"","MsgSeq":0,"UserId":"nobody"}]`) {
			t.Errorf("told %q", told)
		}
	})
}

// An app's server that does not answer is asked twice, for 2.5 seconds each; then the message is not sent, unless the backend is told otherwise.
func TestUnanswered(t *testing.T) {
	hang := func(r *http.Request, _ callback) string {
		<-r.Context().Done()
		return ""
	}
	fail := func(*http.Request, callback) string { return "" }
	tests := map[string]struct {
		decide func(r *http.Request, c callback) string
		anyway bool
		took   time.Duration
		asked  int
		err    error
	}{
		"hangs":                {hang, false, 5 * time.Second, 2, zim.ErrMessageAuditCustomSentRejected},
		"hangs, sent anyway":   {hang, true, 5 * time.Second, 2, nil},
		"fails":                {fail, false, 0, 2, zim.ErrMessageAuditCustomSentRejected},
		"fails, sent anyway":   {fail, true, 0, 2, nil},
		"says something else":  {func(*http.Request, callback) string { return "ok" }, false, 0, 2, zim.ErrMessageAuditCustomSentRejected},
		"says something wrong": {func(*http.Request, callback) string { return `{"result":"1"}` }, false, 0, 2, zim.ErrMessageAuditCustomSentRejected},
		"says null":            {func(*http.Request, callback) string { return "null" }, false, 0, 2, zim.ErrMessageAuditCustomSentRejected},
		"says too much": {func(*http.Request, callback) string {
			return `{"result":1,"reason":"` + strings.Repeat("x", 1<<17) + `"}`
		}, false, 0, 2,
			zim.ErrMessageAuditCustomSentRejected},
		"too late once": {func() func(r *http.Request, c callback) string {
			var questions atomic.Int64
			return func(r *http.Request, c callback) string {
				if questions.Add(1) == 1 {
					return hang(r, c)
				}
				return `{"result":1}`
			}
		}(), false, 2500 * time.Millisecond, 2, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				rc := moderator(tt.decide)
				srv := start(t, rc, zimtest.Options{Webhook: func(c *webhook.Config) {
					moderated(c)
					logTo(&log)(c)
					c.SendUnanswered = tt.anyway
				}})
				alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
				got := heard(bob)
				began := time.Now()
				_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "the weather"}, zim.Peer("bob"), nil)
				if took := time.Since(began); took != tt.took || !errors.Is(err, tt.err) || errors.Is(err, zim.ErrOutcomeUnknown) {
					t.Errorf("after %v, the sender was told %v; want %v after %v", took, err, tt.err, tt.took)
				}
				if n := len(rc.all(webhook.BeforeSendMsg)); n != tt.asked {
					t.Errorf("it was asked %d times, want %d", n, tt.asked)
				}
				ids := rc.told(webhook.BeforeSendMsg, "request_id")
				if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
					t.Errorf("the questions have the IDs %q, want the same", ids)
				}
				if sent := len(got()) == 1; sent != (tt.err == nil) {
					t.Errorf("bob got %q", got())
				}
				if strings.Contains(log.String(), "weather") || strings.Contains(log.String(), "localhost") {
					t.Errorf("the log has what it is not to have: %s", &log)
				}
				if strings.Contains(log.String(), "was not answered") == (name == "too late once") {
					t.Errorf("the log says: %s", &log)
				}
			})
		})
	}
}

// Messages stay in the order in which they were sent, however long the answers take, and nothing else waits for these.
func TestModeratedOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := moderator(func(_ *http.Request, c callback) string {
			if c.text("msg_body") == "0" {
				time.Sleep(2 * time.Second)
			}
			return `{"result":1}`
		})
		srv := start(t, rc, zimtest.Options{Webhook: moderated})
		alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
		got := heard(bob)
		began := time.Now()
		done := make(chan error)
		var want []string
		for i := range 10 {
			want = append(want, fmt.Sprint(i, "+"))
			go func() {
				_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i)}, zim.Peer("bob"), nil)
				done <- err
			}()
			synctest.Wait()
		}
		_, err := alice.QueryHistoryMessage(t.Context(), zim.Peer("bob"), zim.MessageQueryConfig{Count: 10, Reverse: true})
		if took := time.Since(began); err != nil || took > 0 {
			t.Errorf("a query took %v: %v", took, err)
		}
		for range 10 {
			must(t, <-done)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("ten messages took %v, want 2s", took)
		}
		same(t, got(), want...)
	})
}

// A client has so many messages waiting for answers, and is told to wait with the others.
func TestTooManyQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := moderator(func(*http.Request, callback) string {
			time.Sleep(2 * time.Second)
			return `{"result":1}`
		})
		srv := start(t, rc, zimtest.Options{Webhook: moderated})
		bob := srv.Login(t, "bob")
		config := srv.Config()
		config.Limits.SendRate = -1
		alice, err := zim.New(config)
		must(t, err)
		defer alice.Destroy()
		must(t, alice.Login(t.Context(), "alice", &zim.LoginConfig{Token: srv.Token("alice")}))
		got := heard(bob)
		done := make(chan error)
		for i := range 80 {
			go func() {
				_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i)}, zim.Peer("bob"), nil)
				done <- err
			}()
		}
		sent, late := 0, 0
		for range 80 {
			switch err := <-done; {
			case err == nil:
				sent++
			case errors.Is(err, zim.ErrCommonTriggerServerFrequencyLimit):
				late++
			default:
				t.Error(err)
			}
		}
		if sent < 64 || sent+late != 80 || len(got()) != sent {
			t.Errorf("%d were sent, %d refused, %d received", sent, late, len(got()))
		}
	})
}

// A message that was stored stays sent: whatever is said of it when its sender, who missed the acknowledgement, tries again.
func TestRefusedTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var srv *zimtest.Server
		var questions atomic.Int64
		rc := moderator(func(*http.Request, callback) string {
			if questions.Add(1) == 1 {
				srv.Cut("alice") // who will not hear that it is stored
				return `{"result":1,"new_msg_body":"first"}`
			}
			return `{"result":3}`
		})
		srv = start(t, rc, zimtest.Options{Webhook: moderated})
		alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
		got := heard(bob)
		m, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), nil)
		must(t, err)
		if sent := lines([]*zim.Message{m}); sent[0] != "first+" || questions.Load() != 2 {
			t.Errorf("after %d questions, the sender has %q", questions.Load(), sent)
		}
		same(t, got(), "first+")
	})
}

// A message that waits for an answer while the server goes down is asked about again when it is back.
func TestRestartWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var questions atomic.Int64
		rc := moderator(func(r *http.Request, _ callback) string {
			if questions.Add(1) == 1 {
				<-r.Context().Done()
			}
			return `{"result":1}`
		})
		srv := start(t, rc, zimtest.Options{Webhook: moderated})
		alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
		got := heard(bob)
		done := make(chan error)
		go func() {
			_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), nil)
			done <- err
		}()
		time.Sleep(time.Second)
		srv.Restart()
		must(t, <-done)
		time.Sleep(time.Minute)
		same(t, got(), "hi+")
	})
}

// An edit is asked about, too, or it would be a way around.
func TestModeratedEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := moderator(func(_ *http.Request, c callback) string {
			switch body := c.text("msg_body"); {
			case strings.Contains(body, "spam"):
				return `{"result":3,"reason":"no spam"}`
			case strings.Contains(body, "secret"):
				return `{"result":2}`
			case strings.Contains(body, "darn"):
				return `{"result":1,"new_msg_body":"d***","new_payload":"seen"}`
			}
			return `{"result":1}`
		})
		srv := start(t, rc, zimtest.Options{Webhook: moderated})
		alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
		var edited []string
		zim.On(bob, func(_ context.Context, e *zim.MessageEdited) { edited = append(edited, lines(e.MessageList)...) })
		m, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "hi"}, zim.Peer("bob"), nil)
		must(t, err)
		rc.told("")
		edit := func(text string) (string, error) {
			m, err := alice.EditMessage(t.Context(), m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: text}})
			if err != nil {
				return "", err
			}
			return lines([]*zim.Message{m})[0], nil
		}
		for text, reason := range map[string]string{"spam": "no spam", "secret": "refused it"} {
			if _, err := edit(text); !errors.Is(err, zim.ErrMessageAuditCustomSentRejected) || !strings.Contains(err.Error(), reason) {
				t.Errorf("an edit to %q: %v", text, err)
			}
		}
		same(t, rc.told("send_msg", "msg_body"))
		for text, want := range map[string]string{"ho": "ho+", "darn": "d***+seen"} {
			if got, err := edit(text); err != nil || got != want {
				t.Errorf("an edit to %q: %q, %v; want %q", text, got, err, want)
			}
		}
		synctest.Wait()
		if slices.Sort(edited); !slices.Equal(edited, []string{"d***+seen", "ho+"}) {
			t.Errorf("bob saw %q", edited)
		}
		if n := len(rc.all(webhook.BeforeSendMsg)); n != 2 {
			t.Errorf("it was asked about %d edits since", n)
		}
	})
}

// One app's server that hangs costs another app nothing.
func TestAppsAreAskedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // else nobody notices that the client is gone
			if r.URL.Path == "/hangs" {
				<-r.Context().Done()
			}
			io.WriteString(w, `{"result":1}`)
		})
		var other *webhook.Sender
		zimtest.NewServer(t, &zimtest.Options{Callbacks: hook, Webhook: func(c *webhook.Config) {
			two := *c
			two.Apps = []webhook.App{
				{ID: 1, Secret: zimtest.CallbackSecret, URLs: map[string]string{webhook.BeforeSendMsg: "http://localhost/hangs"}},
				{ID: zimtest.AppID, Secret: zimtest.CallbackSecret, URLs: map[string]string{webhook.BeforeSendMsg: zimtest.CallbackURL}},
			}
			var err error
			other, err = webhook.New(two)
			must(t, err)
		}})
		defer other.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		for range 1000 {
			asking.Go(func() { other.Ask(ctx, 1, webhook.Fields{}) })
		}
		synctest.Wait()
		began := time.Now()
		if v, err := other.Ask(ctx, zimtest.AppID, webhook.Fields{}); err != nil || v.Result != webhook.Send || time.Since(began) > 0 {
			t.Errorf("after %v: %+v, %v", time.Since(began), v, err)
		}
		cancel()
		asking.Wait()
	})
}
