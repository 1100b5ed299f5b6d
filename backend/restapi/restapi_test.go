package restapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
)

func TestUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.want(w.post("UserRegister", in{"UserInfo": []in{{"UserId": "alice", "UserName": "Alice"}, {"UserId": "bob"}}}), "0", "Message", `"success"`, "ErrorList", `[]`)
		w.want(w.post("UserRegister", in{"UserInfo": []in{{"UserId": "alice"}, {"UserId": "carol"}, {"UserId": "c d"}}}), "0", "ErrorList",
			`[{"SubCode":660000002,"SubMessage":"the user ID is empty, or has characters that are not allowed","UserId":"c d"},`+
				`{"SubCode":660700002,"SubMessage":"the user exists already","UserId":"alice"}]`)
		w.want(w.post("RobotRegister", in{"UserInfo": []in{{"UserId": "@RBT#help", "UserName": "Help"}}}), "0")
		exists := `[{"SubCode":660700002,"SubMessage":"the user exists already","UserId":"@RBT#help"}]`
		w.want(w.post("RobotRegister", in{"UserInfo": []in{{"UserId": "@RBT#help"}}}), "660700002", "ErrorList", exists)
		w.want(w.post("RobotRegister", in{"UserInfo": []in{{"UserId": "help"}}}), "660000002")

		w.want(w.post("ModifyUserInfo", in{"UserInfo": []in{{"UserId": "bob", "UserName": "Bob"}}}), "0")
		w.want(w.post("ModifyUserInfo", in{"UserInfo": []in{{"UserId": "nobody", "UserName": "Bob"}}}), "660700012")
		w.want(w.post("QueryUserInfos", in{"UserIds": []string{"bob", "alice", "nobody"}}), "0",
			"Result", `[{"Extra":"","UserAvatar":"","UserId":"bob","UserName":"Bob"},{"Extra":"","UserAvatar":"","UserId":"alice","UserName":"Alice"}]`,
			"ErrorList", `[{"SubCode":660700008,"UserId":"nobody"}]`)

		z := w.Login(t, "alice")
		for _, name := range []string{"UserId", "UserId[]"} {
			w.want(w.get("QueryUserOnlineState", url.Values{name: {"alice", "bob", "nobody"}}), "0",
				"Result", `[{"Status":"Online","UserId":"alice"}]`,
				"ErrorList", `[{"SubCode":660200001,"UserId":"bob"},{"SubCode":660200001,"UserId":"nobody"}]`)
		}
		z.Destroy()
		time.Sleep(time.Minute)
		w.want(w.get("QueryUserOnlineState", url.Values{"UserId[]": {"alice"}}), "0", "Result", `[{"Status":"Offline","UserId":"alice"}]`)

		if last := w.asked()[len(w.asked())-1]; last.Action != "QueryUserOnlineState" || last.AppID != zimtest.AppID || last.Code != 0 ||
			!slices.Equal(last.Input["UserId"].([]string), []string{"alice"}) {
			t.Errorf("the audit has %+v", last)
		}
	})
}

// What the app's server sends arrives as what the user has sent, and it is told apart.
func TestPeerMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("bot")
		alice, bob := w.Login(t, "alice"), w.Login(t, "bob")
		got := make(chan *zim.Message, 10)
		for _, z := range []*zim.ZIM{alice, bob} {
			zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
				for _, m := range e.Messages {
					got <- m
				}
			})
		}
		a := w.post("SendPeerMessage", in{
			"FromUserId": "bot", "ToUserId": []string{"alice", "bob", "nobody"}, "MessageType": 1, "Priority": 1,
			"MessageBody": in{"Message": "hello", "ExtendedData": "marker"},
		})
		w.want(a, "0", "AuditInfos", `[]`, "ErrorList", `[{"SubCode":660700015,"SubMessage":"the receiver is not registered","UserId":"nobody"}]`)
		list := a["SuccList"].([]any)
		if len(list) != 2 {
			t.Fatalf("got %v", a)
		}
		sent := list[0].(map[string]any)
		id, err := strconv.ParseInt(sent["MsgId"].(string), 10, 64)
		if err != nil || id < 1<<53 || sent["MsgSeq"] != json.Number("1") {
			t.Errorf("sent as %v", sent)
		}
		for range 2 {
			m := <-got
			if m.Sender != "bot" || !m.IsServerMessage || m.ExtendedData != "marker" || m.Content.(*zim.TextMessage).Message != "hello" {
				t.Errorf("got %+v", m)
			}
		}

		// In the history, too, with numbers as they are.
		w.want(w.post("QueryPeerMsg", in{"FromUserId": "bot", "ToUserId": "alice"}), "0", "Next", "0", "List",
			`[{"IsEmpty":0,"MsgBody":"hello","MsgId":`+sent["MsgId"].(string)+`,"MsgSeq":1,"MsgTime":`+strconv.FormatInt(time.Now().UnixMilli(), 10)+
				`,"MsgType":1,"Payload":"marker","Sender":"bot"}]`)
		page, err := bob.QueryHistoryMessage(t.Context(), zim.Peer("bot"), zim.MessageQueryConfig{})
		if err != nil || len(page) != 1 || !page[0].IsServerMessage {
			t.Errorf("history %+v, %v", page, err)
		}

		// The sender's own devices are told, unless they are not to be.
		w.want(w.post("SendPeerMessage", in{
			"FromUserId": "alice", "ToUserId": []string{"bot"}, "MessageType": 200, "SubMsgType": 7, "Priority": 3, "MessageBody": text("{}"), "SenderUnaware": 1,
		}), "0")
		w.want(w.post("SendPeerMessage", in{
			"FromUserId": "alice", "ToUserId": []string{"bot"}, "MessageType": 2, "Priority": 3, "MessageBody": in{"Message": "AAE=", "IsBase64": 1},
		}), "0")
		w.want(w.post("SendPeerMessage", in{"FromUserId": "alice", "ToUserId": []string{"bot"}, "MessageType": 1, "Priority": 3, "MessageBody": text("mine")}), "0")
		if m := <-got; m.Sender != "alice" || m.Content.(*zim.TextMessage).Message != "mine" {
			t.Errorf("got %+v", m)
		}

		w.want(w.post("QueryMessagesByMsgSeq", in{"FromUserId": "bot", "ConvId": "alice", "ConvType": 0, "MsgSeqList": []int{2, 9}}), "0")
		w.want(w.post("RevokePeerMessage", in{"FromUserId": "alice", "ToUserId": "bot", "MsgSeq": 1}), "660000026")
		w.want(w.post("RevokePeerMessage", in{"FromUserId": "bot", "ToUserId": "alice", "MsgSeq": 99}), "660000022")
		w.want(w.post("RevokePeerMessage", in{"FromUserId": "bot", "ToUserId": "alice", "MsgSeq": 1}), "0")
		w.want(w.post("RevokePeerMessage", in{"FromUserId": "bot", "ToUserId": "alice", "MsgSeq": 1}), "660000023")
		time.Sleep(3 * time.Minute)
		w.want(w.post("RevokePeerMessage", in{"FromUserId": "alice", "ToUserId": "bot", "MsgSeq": 3}), "660000024")

		w.want(w.post("EditC2cMsgBody", in{"FromUserId": "alice", "ConvId": "bot", "MsgType": 1, "ConvMsgSeq": 3, "EditType": 1, "MessageBody": text("edited")}), "0")
		a = w.post("QueryPeerMsg", in{"FromUserId": "bot", "ToUserId": "alice", "Limit": 2, "WithEmptyMsg": 1})
		w.want(a, "0", "Next", "2")
		if list := a["List"].([]any); len(list) != 2 || list[0].(map[string]any)["MsgBody"] != "edited" {
			t.Errorf("history %v", a)
		}
		w.want(w.post("QueryConversationList", in{"FromUserId": "bot"}), "0", "TotalCount", "2")
		w.want(w.post("QueryConversationList", in{"FromUserId": "nobody"}), "660500002")
	})
}

func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("owner", "carol", "dave")
		bob := w.Login(t, "bob")
		var texts []string
		var ended []zim.GroupEvent
		zim.On(bob, func(_ context.Context, e *zim.GroupMessageReceived) {
			for _, m := range e.Messages {
				texts = append(texts, m.Sender+": "+m.Content.(*zim.TextMessage).Message)
			}
		})
		zim.On(bob, func(_ context.Context, e *zim.GroupStateChanged) { ended = append(ended, e.Event) })

		w.want(w.post("CreateGroup", in{"GroupId": "g", "GroupName": "G", "GroupOwner": "owner", "UserId": []string{"bob", "nobody"}}), "0",
			"GroupId", `"g"`, "Members", `[{"UserId":"owner","UserName":""},{"UserId":"bob","UserName":""}]`, "ErrorUsers", `[{"SubCode":660700015,"UserId":"nobody"}]`)
		w.want(w.post("CreateGroup", in{"GroupId": "g", "GroupOwner": "owner"}), "660600011")
		w.want(w.post("CreateGroup", in{"GroupId": "h", "GroupOwner": "nobody"}), "660600013")
		w.want(w.post("CreateGroup", in{"GroupId": "#h", "GroupOwner": "owner"}), "660000002")
		time.Sleep(time.Millisecond) // who enters later is later in the list

		// The app's server may do what nobody outside the group may.
		w.want(w.post("SendGroupMessage", in{"FromUserId": "dave", "GroupId": "g", "MessageType": 1, "Priority": 1, "MessageBody": text("hi")}), "0", "MsgSeq", "1")
		w.want(w.post("SendGroupMessage", in{"FromUserId": "dave", "GroupId": "none", "MessageType": 1, "Priority": 1, "MessageBody": text("hi")}), "660600001")
		w.want(w.post("InviteUsersIntoGroup", in{"FromUserId": "dave", "GroupId": "g", "UserIds": []string{"dave", "carol", "bob"}}), "0",
			"ErrorUsers", `[{"SubCode":660600017,"UserId":"bob"}]`)
		w.want(w.post("InviteUsersIntoGroup", in{"FromUserId": "dave", "GroupId": "g", "UserIds": []string{"carol"}}), "660300006")
		time.Sleep(time.Second)
		w.want(w.post("InviteUsersIntoGroup", in{"FromUserId": "dave", "GroupId": "g", "UserIds": []string{"carol"}}), "660600017",
			"ErrorUsers", `[{"SubCode":660600017,"UserId":"carol"}]`)
		w.want(w.post("KickoutGroupUser", in{"FromUserId": "dave", "GroupId": "g", "UserId": []string{"owner", "dave"}}), "0",
			"ErrorList", `[{"SubCode":660600008,"UserId":"dave"}]`)
		w.want(w.post("KickoutGroupUser", in{"FromUserId": "dave", "GroupId": "g", "UserId": []string{"owner"}}), "660600008")
		w.want(w.post("QueryGroupMemberList", in{"GroupId": "g", "Limit": 1}), "0",
			"TotalCount", "2", "Next", "1", "MemberList", `[{"Role":1,"UserId":"bob","UserName":"","UserNickName":""}]`)
		w.want(w.post("QueryGroupMemberList", in{"GroupId": "none"}), "660600001")
		w.want(w.post("QueryGroupInfo", in{"FromUserId": "dave", "GroupId": "g"}), "0", "GroupName", `"G"`)
		w.want(w.post("QueryGroupsInfoOfUser", in{"FromUserId": "bob", "Limit": 10}), "0",
			"NextRsp", `"0"`, "HasJoinGroupNum", "1", "GroupInfoList", `[{"GroupAvatar":"","GroupId":"g","GroupName":"G"}]`)
		w.want(w.get("QueryAppGroupList", url.Values{}), "0", "TotalCount", "1", "GroupIdList", `[{"GroupId":"g","GroupName":"G"}]`)
		a := w.post("QueryGroupMsg", in{"GroupId": "g"})
		if list := a["List"].([]any); len(list) != 1 || list[0].(map[string]any)["Sender"] != "dave" {
			t.Errorf("history %v", a)
		}
		w.want(w.get("DismissGroup", url.Values{"FromUserId": {"dave"}, "GroupId": {"g"}}), "0")
		time.Sleep(time.Second)
		w.want(w.get("DismissGroup", url.Values{"FromUserId": {"dave"}, "GroupId": {"g"}}), "660600001")
		w.want(w.post("QueryGroupMsg", in{"GroupId": "g"}), "660600001")

		synctest.Wait()
		if !slices.Equal(texts, []string{"dave: hi"}) || len(ended) != 2 || ended[1] != zim.GroupEventDismissed {
			t.Errorf("bob saw %v, %v", texts, ended)
		}
	})
}

func TestRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("bot")
		w.want(w.post("CreateRoom", in{"FromUserId": "bot", "RoomId": "r", "RoomName": "R", "DestroyDelayTime": 60}), "0", "AttributeSeq", "0")
		w.want(w.post("CreateRoom", in{"FromUserId": "bot", "RoomId": "r"}), "660300014")
		w.want(w.get("QueryRoomUserList", url.Values{"RoomId": {"r"}}), "660300008")
		alice, bob := w.Login(t, "alice"), w.Login(t, "bob")
		var saw []string
		for _, z := range []*zim.ZIM{alice, bob} {
			if _, err := z.JoinRoom(t.Context(), "r"); err != nil {
				t.Fatal(err)
			}
		}
		zim.On(alice, func(_ context.Context, e *zim.RoomMessageReceived) {
			for _, m := range e.Messages {
				saw = append(saw, m.Sender)
			}
		})
		send := func(from string, unaware ...int) answer {
			body := in{"FromUserId": from, "RoomId": "r", "MessageType": 20, "Priority": 1, "MessageBody": text("!")}
			if len(unaware) > 0 {
				body["SenderUnaware"] = unaware[0]
			}
			return w.post("SendRoomMessage", body)
		}
		w.want(send("bot"), "0")
		w.want(send("alice"), "0")
		w.want(send("alice", 0), "0")
		w.want(send("nobody"), "660500002")
		w.want(w.get("QueryRoomUserList", url.Values{"RoomId": {"r"}, "Limit": {"1"}}), "0", "Count", "2", "UserList", `[{"UserId":"alice","UserName":""}]`)
		a := w.get("QueryRoomUserList", url.Values{"RoomId": {"r"}, "Limit": {"1"}, "Mode": {"1"}})
		w.want(a, "0", "UserList", `[{"UserId":"bob","UserName":""}]`)
		w.want(w.get("QueryRoomUserList", url.Values{"RoomId": {"r"}, "Limit": {"1"}, "Mode": {"1"}, "NextFlag": {a["NextFlag"].(string)}}), "0",
			"NextFlag", `"0"`, "UserList", `[{"UserId":"alice","UserName":""}]`)
		w.want(w.get("QueryRoomMembers", url.Values{"RoomId": {"r"}, "UserId[]": {"bob", "bot", "nobody"}}), "0",
			"UserList", `[{"avatar":"","extra":"","user_id":"bob","user_name":""}]`,
			"ErrorList", `[{"SubCode":660300012,"UserId":"bot"},{"SubCode":660200001,"UserId":"nobody"}]`)
		w.want(w.get("KickoutRoomUser", url.Values{"RoomId": {"r"}, "UserId[]": {"bob", "bot"}}), "0")
		w.want(w.get("KickoutRoomUser", url.Values{"RoomId": {"r"}, "UserId[]": {"bob"}}), "660300002")
		w.want(w.get("DestroyRoom", url.Values{"RoomId": {"r"}}), "0")
		w.want(w.get("DestroyRoom", url.Values{"RoomId": {"r"}}), "660300001")
		synctest.Wait()
		if !slices.Equal(saw, []string{"bot", "alice"}) {
			t.Errorf("alice saw messages of %v", saw)
		}

		// A room that nobody enters ends after its delay.
		w.want(w.post("CreateRoom", in{"FromUserId": "bot", "RoomId": "later", "DestroyDelayTime": 60}), "0")
		time.Sleep(time.Minute)
		synctest.Wait()
		w.want(w.get("DestroyRoom", url.Values{"RoomId": {"later"}}), "660300001")
	})
}

func TestConversations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("bot", "alice")
		w.want(w.post("SendPeerMessage", in{"FromUserId": "bot", "ToUserId": []string{"alice"}, "MessageType": 1, "Priority": 1,
			"MessageBody": in{"Message": "read me", "HasReceipt": 1}}), "0")
		bot := in{"ConvId": "bot", "ConvType": 0}
		w.want(w.post("ConvPinned", in{"FromUserId": "alice", "ConvList": []in{bot, {"ConvId": "nobody"}}, "PinnedType": 1}), "0",
			"ErrorList", `[{"ConvId":"nobody","SubCode":660800002,"SubMessage":"there is no such conversation"}]`)
		w.want(w.post("SilenceConvNotification", in{"FromUserId": "alice", "ConvType": 0, "ConvIds": []string{"bot"}, "Enable": true}), "0", "ErrorList", `[]`)
		w.want(w.post("SetConvMark", in{"FromUserId": "alice", "ConvMarkInfoList": []in{{"UserId": "alice", "SetMarkC2c": in{"bot": in{"MarkContent": 3}}, "Action": true}}}), "0",
			"FailList", `[]`)
		w.want(w.post("C2cReadReceipt", in{"FromUserId": "alice", "ConvId": "bot", "ConvMsgSeq": []int{1}}), "0")
		w.want(w.post("C2cReadReceipt", in{"FromUserId": "alice", "ConvId": "bot", "ConvMsgSeq": []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}), "660400102")
		z := w.Login(t, "alice")
		query := func() *zim.Conversation {
			page, err := z.QueryConversationList(t.Context(), zim.ConversationQueryConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				return nil
			}
			return page[0]
		}
		if c := query(); !c.IsPinned || c.NotificationStatus != zim.ConversationNotificationStatusDoNotDisturb || !slices.Equal(c.Marks, []int{3}) || c.UnreadMessageCount != 1 {
			t.Errorf("got %+v", c)
		}
		w.want(w.get("ClearConversationUnread", url.Values{"FromUserId": {"alice"}, "ConvId": {"bot"}, "ConvType": {"0"}}), "0")
		if c := query(); c.UnreadMessageCount != 0 {
			t.Errorf("got %+v", c)
		}
		w.want(w.post("ClearPeerMessage", in{"FromUserId": "alice", "ToUserId": "bot"}), "0")
		w.want(w.post("QueryPeerMsg", in{"FromUserId": "alice", "ToUserId": "bot"}), "0", "List", `[]`)
		w.want(w.post("DeleteConv", in{"FromUserId": "alice", "ConvId": "bot", "ConvType": 0}), "0")
		if c := query(); c != nil {
			t.Errorf("got %+v", c)
		}
	})
}

func TestBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("bot")
		z := w.Login(t, "alice")
		got := make(chan *zim.Message, 1)
		zim.On(z, func(_ context.Context, e *zim.BroadcastMessageReceived) { got <- e.Message })
		body := in{"FromUserId": "bot", "MessageType": 200, "SubMsgType": 1, "MessageBody": text("news")}
		w.want(w.post("SendMessageToAllUsers", body), "0")
		if m := <-got; m.Content.(*zim.CustomMessage).Message != "news" {
			t.Errorf("got %+v", m)
		}
		w.want(w.post("SendMessageToAllUsers", body), "660500003")
		time.Sleep(time.Second)
		body["MessageType"] = 2
		w.want(w.post("SendMessageToAllUsers", body), "660000002")
	})
}

// Media are what the documentation makes of them on the way in and, differently, on the way out.
func TestMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("bot", "alice")
		image := `{"Uid":"1","Origin":{"Url":"https://example.com/a.png","Width":3,"Height":2},"FileName":"a.png","Size":9}`
		multi, _ := json.Marshal(in{"MultiMsg": []in{{"MsgType": 1, "Msg": "look"}, {"MsgType": 11, "Msg": image}}})
		for _, m := range []struct {
			typ        int
			text, want string
		}{
			{11, image, `{"download_url":"https://example.com/a.png","file_name":"a.png","file_size":"9","large_image_download_url":"","large_image_height":0,` +
				`"large_image_width":0,"md5":"","origin_image_height":2,"origin_image_width":3,"thumbnail_download_url":"","thumbnail_height":0,"thumbnail_width":0}`},
			{13, `{"Uid":"1","Url":"https://example.com/a.mp3","FileName":"a.mp3","MediaDuration":5}`,
				`{"download_url":"https://example.com/a.mp3","file_name":"a.mp3","file_size":"0","md5":"","media_duration":"5"}`},
			{10, string(multi), `{"multi_msg":[{"callback_content":"look","msg_type":1},{"callback_content":{"download_url":"https://example.com/a.png","file_name":"a.png","file_size":"9",` +
				`"large_image_download_url":"","large_image_height":0,"large_image_width":0,"md5":"","origin_image_height":2,"origin_image_width":3,` +
				`"thumbnail_download_url":"","thumbnail_height":0,"thumbnail_width":0},"msg_type":11}]}`},
		} {
			w.want(w.post("SendPeerMessage", in{"FromUserId": "bot", "ToUserId": []string{"alice"}, "MessageType": m.typ, "Priority": 1, "MessageBody": text(m.text)}), "0")
			a := w.post("QueryPeerMsg", in{"FromUserId": "bot", "ToUserId": "alice", "Limit": 1})
			if got := a["List"].([]any)[0].(map[string]any)["MsgBody"]; got != m.want {
				t.Errorf("type %d: got %s, want %s", m.typ, got, m.want)
			}
		}
		w.want(w.post("SendPeerMessage", in{"FromUserId": "bot", "ToUserId": []string{"alice"}, "MessageType": 12, "Priority": 1, "MessageBody": text("no JSON")}), "660000002")
	})
}

// The documented limits are on, and come back with time.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("bot", "alice")
		count := func(n int, ask func() answer) (good int, refused string) {
			for range n {
				if a := ask(); a.code() == "0" {
					good++
				} else {
					refused = a.code()
				}
			}
			return good, refused
		}
		for _, test := range []struct {
			name string
			good int
			code string
			ask  func() answer
		}{
			{"usual", 20, "660300005", func() answer { return w.post("QueryUserInfos", in{"UserIds": []string{"bot"}}) }},
			{"messages by number", 2, "660300005", func() answer {
				return w.post("QueryMessagesByMsgSeq", in{"FromUserId": "bot", "ConvId": "alice", "MsgSeqList": []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}})
			}},
			{"groups of the app", 1, "660600007", func() answer { return w.get("QueryAppGroupList", nil) }},
		} {
			for range 2 {
				if good, refused := count(25, test.ask); good != test.good || refused != test.code {
					t.Errorf("%s: %d of 25 were answered, want %d; the others got %s", test.name, good, test.good, refused)
				}
				time.Sleep(time.Second)
			}
		}
	})
}

// Actions that the backend has nothing of are names that nobody knows.
func TestUnknownActions(t *testing.T) {
	w := newWorld(t, nil)
	for _, name := range []string{"AddFriends", "CallInvite", "userRegister", "Nonsense"} {
		w.want(w.post(name, in{}), "100000007")
	}
	if status, a := w.send(http.MethodPut, signed("UserRegister"), nil); status != 405 || a.code() != "660000002" {
		t.Errorf("PUT: %d, %v", status, a)
	}
}
