package restapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/token"
)

// Whatever a signed request says, the answer is JSON with a code, and what was refused has said nothing of it.
func FuzzRequest(f *testing.F) {
	const canary = "c4n4ry"
	for action, bodies := range map[string][]string{
		"UserRegister":          {`{"UserInfo":[{"UserId":"alice"}]}`, `{"UserInfo":null}`, `{"UserInfo":[[]]}`, `{"a":1e999}`},
		"SendPeerMessage":       {`{"FromUserId":"bot","ToUserId":["bob"],"MessageType":10,"Priority":1,"MessageBody":{"Message":"{\"MultiMsg\":[{\"MsgType\":11,\"Msg\":\"{}\"}]}"}}`},
		"SetConvMark":           {`{"FromUserId":"bot","ConvMarkInfoList":[{"UserId":"bot","SetMarkC2c":{"bob":{"MarkContent":1}},"Action":true}]}`},
		"EditC2cMsgBody":        {`{"FromUserId":"bot","ConvId":"bob","MsgType":1,"ConvMsgSeq":1,"EditType":31,"AtListInfo":{"AtList":[]}}`},
		"QueryGroupsInfoOfUser": {`{"FromUserId":"bot","Limit":1,"Next":"-1"}`},
		"QueryMessagesByMsgSeq": {`{"FromUserId":"bot","ConvId":"bob","MsgSeqList":[-1,0,9223372036854775807]}`},
	} {
		for _, body := range bodies {
			f.Add(action, "", body)
		}
	}
	f.Add("QueryUserOnlineState", "UserId[]=a&UserId[]=b", "")
	f.Add("QueryRoomUserList", "RoomId=r&NextFlag=%ff&Limit=x", "")
	srv := zimtest.NewServer(f, nil)
	srv.Register("bot", "bob")
	api, err := restapi.New(restapi.Config{Server: srv.Backend(), Secrets: map[uint32][]token.Secret{zimtest.AppID: {zimtest.Secret}}, NoLimits: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, action, query, body string) {
		q := signed(action).Encode()
		method := http.MethodPost
		if query != "" {
			method, q = http.MethodGet, q+"&"+query
		}
		r := httptest.NewRequest(method, "http://localhost/", strings.NewReader(body))
		r.URL.RawQuery = q
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		var a struct {
			Code               *int
			Message, RequestId *string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.Code == nil || a.Message == nil || a.RequestId == nil {
			t.Fatalf("got %s", w.Body)
		}
		if *a.Code != 0 && strings.Contains(*a.Message, canary) {
			t.Errorf("the refusal has what was sent: %s", *a.Message)
		}
	})
}
