package webhook_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/zimtest"
)

const body = "from_user_id conv_type conv_id msg_type source msg_body payload send_result user_list"

func names(s string) []string { return strings.Fields(s) }

// start starts a backend in a bubble, whose callbacks rc takes.
func start(t *testing.T, rc *receiver, options zimtest.Options) *zimtest.Server {
	rc.t, options.Callbacks = t, rc
	time.Sleep(time.Until(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))) // timestamps have the length that they have today
	return zimtest.NewServer(t, &options)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := new(receiver)
		srv := start(t, rc, zimtest.Options{})
		alice := srv.Login(t, "alice")
		srv.Register("bob", "@RBT#help")
		rc.told("")

		m := send(t, alice, zim.Peer("bob"), "hi <&> 100% + ü")
		time.Sleep(time.Second)
		list := rc.all("send_msg")
		if len(list) != 1 || list[0].text("msg_id") != m.ID || list[0].text("msg_seq") != "1" || list[0].text("sub_msg_type") != "0" {
			t.Fatalf("told %v of %v", list, m)
		}
		if at, _ := list[0]["msg_time"].(json.Number).Int64(); at != m.Time.UnixMilli() {
			t.Errorf("msg_time %v, want %v", at, m.Time)
		}
		same(t, rc.told("", names("event "+body)...), "send_msg alice 0 bob 1  hi <&> 100% + ü extra 0 ")

		_, err := alice.EditMessage(t.Context(), m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: "ho"}, ExtendedData: "more"})
		must(t, err)
		same(t, rc.told("", "event", "msg_id", "msg_body", "payload"), "send_msg "+m.ID+" ho more")

		// No callback is documented for what is not kept, and for what is withdrawn.
		_, err = alice.SendMessage(t.Context(), &zim.CommandMessage{Message: []byte("x")}, zim.Peer("bob"), nil)
		must(t, err)
		_, err = alice.RevokeMessage(t.Context(), m, nil)
		must(t, err)
		same(t, rc.told("", "event"))

		send(t, alice, zim.Peer("@RBT#help"), "help")
		same(t, rc.told("bot_msg", names(body)...), "alice 0 @RBT#help 1  help extra 0 ")
		send(t, alice, zim.Peer("@RBT#help"), "help")
		same(t, rc.told("send_msg", names(body)...), "alice 0 @RBT#help 1  help extra 0 ")

		_, err = alice.SendMessage(t.Context(), &zim.CustomMessage{Message: "c", SubType: 7}, zim.Peer("bob"), nil)
		must(t, err)
		same(t, rc.told("send_msg", "msg_type", "sub_msg_type", "msg_body"), "200 7 c")
	})
}

// What the Server API sends to users names them in a list.
func TestServerMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := new(receiver)
		srv := start(t, rc, zimtest.Options{})
		srv.Register("alice", "bob", "carol")
		nonce := 0
		ask := func(action, input string) {
			t.Helper()
			nonce++
			q := restapi.Sign(zimtest.AppID, zimtest.Secret, action, strconv.Itoa(nonce), time.Now())
			resp, err := srv.Client().Post(srv.APIURL()+"?"+q.Encode(), "application/json", strings.NewReader(input))
			must(t, err)
			defer resp.Body.Close()
			var a struct{ Code int }
			if must(t, json.NewDecoder(resp.Body).Decode(&a)); a.Code != 0 {
				t.Fatalf("%s: code %d", action, a.Code)
			}
		}
		ask("SendPeerMessage", `{"FromUserId":"alice","ToUserId":["bob","carol"],"MessageType":1,"Priority":2,"MessageBody":{"Message":"hi"}}`)
		time.Sleep(time.Second)
		list := rc.all("send_msg")
		if len(list) != 1 || list[0].text("conv_id") != "" || list[0].text("msg_id") != "" || list[0].text("msg_seq") != "0" || list[0].text("source") != "1" {
			t.Fatalf("told %v", list)
		}
		if users := regexp.MustCompile(`"MsgId":"[0-9]{18,19}"`).ReplaceAllString(list[0].text("user_list"), `"MsgId":"N"`); users !=
			`[{"MsgId":"N","MsgSeq":1,"UserId":"bob"},{"MsgId":"N","MsgSeq":1,"UserId":"carol"}]` {
			t.Errorf("user_list %s", users)
		}
		rc.told("")

		// One of several is told of as if it were alone, and those who get nothing on their own.
		ask("SendPeerMessage", `{"FromUserId":"alice","ToUserId":["bob","nobody"],"MessageType":1,"Priority":2,"MessageBody":{"Message":"ho"}}`)
		told := rc.told("", "conv_id", "msg_seq", "msg_body", "send_result")
		if slices.Sort(told); !slices.Equal(told, []string{" 0 ho 660700015", " 2 ho 0"}) {
			t.Errorf("told %q", told)
		}

		// What was said of files is told as it was said, and not as clients say it.
		image := `{"Uid":"1","Origin":{"Url":"https://files.example/a.png","Width":2,"Height":1},"FileName":"a.png"}`
		ask("SendPeerMessage", `{"FromUserId":"alice","ToUserId":["bob"],"MessageType":11,"Priority":2,"MessageBody":{"Message":`+strconv.Quote(image)+`}}`)
		same(t, rc.told("", "msg_type", "msg_body"), "11 "+image)

		ask("CreateGroup", `{"GroupId":"g","GroupName":"G","GroupOwner":"alice","UserId":["bob"]}`)
		same(t, rc.told("", "event", "operator_account", "user_ids"), `group_create alice ["alice","bob"]`)
		ask("SendGroupMessage", `{"FromUserId":"carol","GroupId":"g","MessageType":1,"Priority":2,"MessageBody":{"Message":"hi"}}`)
		same(t, rc.told("", names("event "+body)...), "send_msg carol 2 g 1 1 hi  0 ")
		ask("CreateRoom", `{"FromUserId":"alice","RoomId":"r"}`)
		ask("SendRoomMessage", `{"FromUserId":"alice","RoomId":"r","MessageType":1,"Priority":2,"MessageBody":{"Message":"hi"}}`)
		same(t, rc.told("send_msg", names(body)...), "alice 1 r 1 1 hi  0 ")
	})
}

func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := new(receiver)
		srv := start(t, rc, zimtest.Options{})
		alice, dora := srv.Login(t, "alice"), srv.Login(t, "dora")
		srv.Register("bob", "carol")
		rc.told("")

		_, err := alice.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "g", GroupName: "G"}, []string{"bob", "nobody"}, nil)
		must(t, err)
		same(t, rc.told("", names("event group_id operator_account owner_account group_name attributes user_ids")...),
			`group_create g alice alice G [] ["alice","bob"]`)
		_, err = alice.InviteUsersIntoGroup(t.Context(), []string{"carol"}, "g")
		must(t, err)
		same(t, rc.told("", names("event group_id join_type operator_account new_user_ids")...), `group_join g Invited alice ["carol"]`)
		_, err = dora.JoinGroup(t.Context(), "g")
		must(t, err)
		same(t, rc.told("", names("event group_id join_type new_user_ids")...), `group_join g Apply ["dora"]`)
		send(t, dora, zim.ConversationRef{ID: "g", Type: zim.ConversationTypeGroup}, "all")
		same(t, rc.told("", names("event "+body)...), "send_msg dora 2 g 1  all extra 0 ")
		_, err = alice.KickGroupMembers(t.Context(), []string{"carol"}, "g")
		must(t, err)
		same(t, rc.told("", names("event group_id exit_type operator_account exit_user_ids")...), `group_exit g Kickout alice ["carol"]`)
		must(t, dora.LeaveGroup(t.Context(), "g"))
		same(t, rc.told("", names("event group_id exit_type exit_user_ids")...), `group_exit g Quit ["dora"]`)
		must(t, alice.DismissGroup(t.Context(), "g"))
		same(t, rc.told("", names("event group_id operator_account owner_account user_ids")...), `group_destroy g alice alice ["alice","bob"]`)
	})
}

func TestRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := new(receiver)
		srv := start(t, rc, zimtest.Options{})
		alice, bob := srv.Login(t, "alice"), srv.Login(t, "bob")
		rc.told("")
		fields := names("event room_id operator_account exit_type exit_user_ids user_ids")
		exact := func(want ...string) {
			t.Helper()
			got := map[string]bool{} // in any order
			for _, line := range rc.told("", fields...) {
				got[strings.TrimRight(line, " ")] = true
			}
			for _, w := range want {
				if !got[w] {
					t.Errorf("not told: %s", w)
				}
			}
			if len(got) != len(want) {
				t.Errorf("told %v, want %v", got, want)
			}
		}
		_, err := alice.CreateRoom(t.Context(), zim.RoomInfo{RoomID: "r", RoomName: "R"}, nil)
		must(t, err)
		exact("room_create r alice", "room_enter r alice")
		_, err = bob.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "r"}, nil)
		must(t, err)
		exact("room_enter r bob")
		room := zim.ConversationRef{ID: "r", Type: zim.ConversationTypeRoom}
		_, err = alice.SendMessage(t.Context(), &zim.BarrageMessage{Message: "not kept"}, room, nil)
		must(t, err)
		send(t, alice, room, "kept")
		same(t, rc.told("", names("event "+body)...), "send_msg alice 1 r 1  kept extra 0 ")
		_, err = srv.Backend().KickRoomMembers(zimtest.AppID, "r", "bob")
		must(t, err)
		exact(`room_exit r  Kickout ["bob"]`)
		must(t, alice.LeaveRoom(t.Context(), "r"))
		exact(`room_exit r alice Quit ["alice"]`, `room_destroy r    []`)

		_, err = bob.CreateRoom(t.Context(), zim.RoomInfo{RoomID: "s"}, nil)
		must(t, err)
		rc.told("")
		must(t, srv.Backend().DestroyRoom(zimtest.AppID, "s"))
		exact(`room_destroy s    ["bob"]`)
	})
}

func TestUserActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := new(receiver)
		srv := start(t, rc, zimtest.Options{})
		fields := names("user_id action relogin logout_reason")
		alice := srv.Login(t, "alice")
		list := rc.told("user_action", append(fields, "session_id", "logout_time", "offline_time")...)
		same(t, list, "alice 0 0  1 0 0")
		srv.Cut("alice")
		time.Sleep(10 * time.Second)
		same(t, rc.told("user_action", fields...), "alice 0 1 ")
		must(t, alice.Logout(t.Context(), nil))
		same(t, rc.told("user_action", fields...), "alice 1 0 logout")

		bob := srv.Login(t, "bob")
		same(t, rc.told("user_action", fields...), "bob 0 0 ")
		srv.Kick("bob")
		same(t, rc.told("user_action", fields...), "bob 2 0 ")
		bob.Destroy()

		carol := srv.Login(t, "carol")
		carol.Destroy() // without a logout
		same(t, rc.told("user_action", fields...), "carol 0 0 ")
		time.Sleep(time.Minute)
		same(t, rc.told("user_action", fields...), "carol 2 0 ")
	})
}

// No secret, text or URL is in the log, whatever happens.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		rc := &receiver{answer: func(w http.ResponseWriter, _ *http.Request, _ callback) {
			http.Error(w, "text of the answer", http.StatusTeapot)
		}}
		srv := start(t, rc, zimtest.Options{Webhook: logTo(&log)})
		send(t, srv.Login(t, "alice"), registered(srv, "bob"), "the weather")
		time.Sleep(2 * time.Minute)
		srv.Stop()
		for _, word := range []string{"status 418", "given up", "event=send_msg", "app=1234567890"} {
			if !strings.Contains(log.String(), word) {
				t.Errorf("the log has no %q", word)
			}
		}
		for _, word := range []string{"weather", "callbacks\"", "localhost", "text of", zimtest.CallbackSecret.Reveal(), "extra", "signature"} {
			if strings.Contains(log.String(), word) {
				t.Errorf("the log has %q", word)
			}
		}
	})
}
