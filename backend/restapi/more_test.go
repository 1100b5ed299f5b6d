package restapi_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/token"
)

// Messages of a group are read and changed through the API as through a client.
func TestGroupMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("owner", "dave")
		bob := w.Login(t, "bob")
		w.want(w.post("CreateGroup", in{"GroupId": "g", "GroupOwner": "owner", "UserId": []string{"bob"}}), "0")
		send := func(body in) answer {
			return w.post("SendGroupMessage", in{"FromUserId": "owner", "GroupId": "g", "MessageType": 200, "SubMsgType": 5, "SearchedContent": "s", "Priority": 1, "MessageBody": body})
		}
		a := send(in{"Message": "one", "HasReceipt": 1, "ExtendedData": "x"})
		w.want(a, "0", "MsgSeq", "1", "AuditInfos", "[]")
		if id := string(a["MsgId"].(json.Number)); len(id) < 18 {
			t.Errorf("the ID is %s", id)
		}
		w.want(send(text("two")), "0", "MsgSeq", "2")

		w.want(w.post("GroupReadReceipt", in{"FromUserId": "bob", "GroupId": "g", "ConvMsgSeq": []int{1}}), "0", "ReadTime", strconv.FormatInt(time.Now().UnixMilli(), 10))
		w.want(w.post("GroupReadReceipt", in{"FromUserId": "bob", "GroupId": "g", "ConvMsgSeq": []int{2}}), "660400103")

		edit := in{"FromUserId": "owner", "ConvId": "g", "MsgType": 200, "ConvMsgSeq": 1, "EditType": 2 | 16, "SubMsgType": 6, "MessageBody": in{"ExtendedData": "y"}}
		w.want(w.post("EditGroupMsgBody", edit), "0", "LatestEditTime", strconv.FormatInt(time.Now().Unix(), 10))
		edit["FromUserId"] = "bob"
		w.want(w.post("EditGroupMsgBody", edit), "660000026")
		edit["MsgType"] = 1
		w.want(w.post("EditGroupMsgBody", edit), "660000002")
		list, err := bob.QueryHistoryMessage(t.Context(), zim.Group("g"), zim.MessageQueryConfig{})
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		if c := list[0].Content.(*zim.CustomMessage); c.Message != "one" || c.SubType != 6 || c.SearchedContent != "s" || list[0].ExtendedData != "y" || !list[0].IsServerMessage {
			t.Errorf("edited: %+v, %+v", list[0], c)
		}

		w.want(w.post("RevokeGroupMessage", in{"FromUserId": "bob", "GroupId": "g", "MsgSeq": 2}), "660000026")
		w.want(w.post("RevokeGroupMessage", in{"FromUserId": "dave", "GroupId": "g", "MsgSeq": 2}), "660600024")
		w.want(w.post("RevokeGroupMessage", in{"FromUserId": "owner", "GroupId": "g", "MsgSeq": 2, "Payload": "why"}), "0")
		got := w.post("QueryMessagesByMsgSeq", in{"FromUserId": "dave", "ConvId": "g", "ConvType": 2, "MsgSeqList": []int{2, 3}})["MessageList"].([]any)
		revoked := got[0].(map[string]any)
		if body := revoked["MsgBody"].(string); !strings.Contains(body, `"msg_status":4`) || !strings.Contains(body, `"payload":"why"`) {
			t.Errorf("revoked as %v", revoked)
		}
		if deleted := got[1].(map[string]any); len(got) != 2 || len(deleted) != 2 {
			t.Errorf("got %v", got)
		}
		w.want(w.post("ClearMemberGroupMessage", in{"FromUserId": "bob", "GroupId": "g"}), "0")
		if list, err := bob.QueryHistoryMessage(t.Context(), zim.Group("g"), zim.MessageQueryConfig{}); err != nil || len(list) != 0 {
			t.Error(list, err)
		}
	})
}

// The pages of the conversation list are in the order of time.
func TestConversationPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var want []string
		for i := range 5 {
			want = append(want, "user"+strconv.Itoa(i))
		}
		w.Register(append(want, "bot")...)
		for _, to := range want {
			w.want(w.post("SendPeerMessage", in{"FromUserId": "bot", "ToUserId": []string{to}, "MessageType": 1, "Priority": 1, "MessageBody": text("x")}), "0")
			time.Sleep(time.Second)
		}
		var got []string
		next := any(0)
		for pages := 0; pages == 0 || next != any("0"); pages++ {
			a := w.post("QueryConversationList", in{"FromUserId": "bot", "Limit": 2, "Next": next})
			w.want(a, "0", "TotalCount", "5")
			for _, c := range a["List"].([]any) {
				got = append(got, c.(map[string]any)["ConvId"].(string))
			}
			next = string(a["Next"].(json.Number))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// What users have uploaded can be had by the URLs in the history.
func TestUploadedFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("bot")
		alice := w.Login(t, "alice")
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
			t.Fatal(err)
		}
		picture := &zim.ImageMessage{File: zim.File{Reader: bytes.NewReader(b.Bytes()), Name: "a.png", Size: int64(b.Len())}}
		if _, err := alice.SendMessage(t.Context(), picture, zim.Peer("bot"), nil); err != nil {
			t.Fatal(err)
		}
		a := w.post("QueryPeerMsg", in{"FromUserId": "bot", "ToUserId": "alice"})
		body := a["List"].([]any)[0].(map[string]any)["MsgBody"].(string)
		_, rest, _ := strings.Cut(body, `"download_url":"`)
		url, _, _ := strings.Cut(rest, `"`)
		resp, err := w.Client().Get(strings.ReplaceAll(url, `\u0026`, "&"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", url, resp.Status)
		}
	})
}

// While a secret is replaced, both are good, and a config without one is none.
func TestSecrets(t *testing.T) {
	const previous token.Secret = "the secret before, also 32 bytes"
	w := newWorld(t, &zimtest.Options{API: func(c *restapi.Config) {
		c.Secrets = map[uint32][]token.Secret{zimtest.AppID: {zimtest.Secret, previous}}
	}})
	q := restapi.Sign(zimtest.AppID, previous, "UserRegister", "n", time.Now())
	if _, a := w.send(http.MethodPost, q, register("alice")); a.code() != "0" {
		t.Error(a)
	}
	w.want(w.post("QueryUserInfos", in{"UserIds": []string{"alice"}}), "0")
	for _, list := range [][]token.Secret{nil, {""}} {
		if _, err := restapi.New(restapi.Config{Server: w.Backend(), Secrets: map[uint32][]token.Secret{7: list}}); err == nil {
			t.Errorf("%d secrets were taken", len(list))
		}
	}
	if _, err := restapi.New(restapi.Config{}); err == nil {
		t.Error("a config without a Server was taken")
	}
}

// What was signed before a restart is not good after it, as nobody knows then what was done.
func TestReplayAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("alice", "bob")
		q := restapi.Sign(zimtest.AppID, zimtest.Secret, "SendPeerMessage", "n", time.Now())
		body := `{"FromUserId":"alice","ToUserId":["bob"],"MessageType":1,"Priority":1,"MessageBody":{"Message":"once"}}`
		if _, a := w.send(http.MethodPost, q, strings.NewReader(body)); a.code() != "0" {
			t.Errorf("got %v", a)
		}
		time.Sleep(2 * time.Second)
		w.Restart()
		if _, a := w.send(http.MethodPost, q, strings.NewReader(body)); a.code() != "100000004" {
			t.Errorf("after a restart: %v", a)
		}
	})
}

// Broadcasts that come too fast are refused, and don't count for the day.
func TestBroadcastsOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("alice")
		broadcast := func() string {
			return w.post("SendMessageToAllUsers", in{"FromUserId": "alice", "MessageType": 1, "MessageBody": text("x")}).code()
		}
		codes := make(map[string]int)
		for range 110 {
			codes[broadcast()]++
		}
		time.Sleep(time.Minute)
		for range 110 {
			codes[broadcast()]++
			time.Sleep(time.Second)
		}
		if codes["0"] < 99 || codes["0"] > 102 || codes["0"]+codes["660500003"] != 220 {
			t.Errorf("got %v", codes)
		}
	})
}
