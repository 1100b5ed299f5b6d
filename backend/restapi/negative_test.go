package restapi_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/token"
)

// register is the body of a request that makes a user.
func register(user string) *strings.Reader {
	return strings.NewReader(`{"UserInfo":[{"UserId":"` + user + `"}]}`)
}

// exists reports whether a request has made a user.
func (w *world) exists(user string) bool {
	w.t.Helper()
	list, err := w.Backend().Accounts(w.t.Context(), zimtest.AppID, user)
	if err != nil {
		w.t.Fatal(err)
	}
	return list[0].Exists
}

// refused sends what is to be refused, and fails the test if it is not, or does something.
func (w *world) refused(code string, q url.Values) {
	w.t.Helper()
	if _, a := w.send(http.MethodPost, q, register("intruder")); a.code() != code {
		w.t.Errorf("got %v, want code %s", a, code)
	}
	if w.exists("intruder") {
		w.t.Error("it was done nevertheless")
	}
}

// The documented example, and one more.
func TestSign(t *testing.T) {
	for _, test := range []struct {
		app     uint32
		nonce   string
		secret  token.Secret
		seconds int64
		want    string
	}{
		{12345, "4fd24687296dd9f3", "9193cc662a4c0ec135ec71fb57194b38", 1615186943, "43e5cfcca828314675f91b001390566a"},
		{1234567890, "00112233445566ff", "0123456789abcdef0123456789abcdef", 1700000000, "9d41696e1f9a5e0f4184214465b807c2"},
	} {
		q := restapi.Sign(test.app, test.secret, "UserRegister", test.nonce, time.Unix(test.seconds, 0))
		if got := q.Get("Signature"); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

// N50: a signature that is not exactly the right one.
func TestN50Signature(t *testing.T) {
	w := newWorld(t, nil)
	for name, change := range map[string]func(good string) string{
		"empty":         func(string) string { return "" },
		"upper case":    strings.ToUpper,
		"31 characters": func(s string) string { return s[:31] },
		"33 characters": func(s string) string { return s + "0" },
		"another":       func(string) string { return strings.Repeat("0", 32) },
		"its bytes": func(s string) string {
			b, _ := hex.DecodeString(s)
			return string(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := signed("UserRegister")
			good := q.Get("Signature")
			for change(good) == good { // without letters
				q = signed("UserRegister")
				good = q.Get("Signature")
			}
			q.Set("Signature", change(good))
			w.refused("100000005", q)
		})
	}
	q := restapi.Sign(zimtest.AppID, "another secret, of as many bytes", "UserRegister", "n", time.Now())
	w.refused("100000005", q)
}

// N51: a timestamp that is too far off, on either side.
func TestN51Skew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		time.Sleep(time.Hour)
		for off, code := range map[time.Duration]string{
			-601 * time.Second: "100000004", 601 * time.Second: "100000004", 24 * time.Hour: "100000004", -600 * time.Second: "0", 600 * time.Second: "0",
		} {
			q := restapi.Sign(zimtest.AppID, zimtest.Secret, "UserRegister", off.String(), time.Now().Add(off))
			if _, a := w.send(http.MethodPost, q, register(fmt.Sprint("u", int(off.Seconds()+1e6)))); a.code() != code {
				t.Errorf("%v off: got %v, want %s", off, a, code)
			}
		}
	})
}

// N52: a timestamp that is written in another way, although it is signed like that: nothing can be added to what was signed.
func TestN52TimestampFormat(t *testing.T) {
	w := newWorld(t, nil)
	now := fmt.Sprint(time.Now().Unix())
	for _, timestamp := range []string{
		" " + now, now + " ", "+" + now, "-" + now, "0" + now, now + "\x80\x00\x00", now + ".0", "1e9", "0x68000000", "١٧٠٠٠٠٠٠٠٠", "1_700_000_000",
		"9999999999999", "99999999999999999999999",
	} {
		q := signed("UserRegister")
		sum := md5.Sum([]byte(q.Get("AppId") + q.Get("SignatureNonce") + zimtest.Secret.Reveal() + timestamp))
		q.Set("Timestamp", timestamp)
		q.Set("Signature", hex.EncodeToString(sum[:]))
		w.refused("100000003", q)
	}
}

// N53: the same request again is refused, for as long as its timestamp could be good.
func TestN53Replay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Register("alice", "bob")
		q := restapi.Sign(zimtest.AppID, zimtest.Secret, "SendPeerMessage", "n", time.Now().Add(600*time.Second))
		body := `{"FromUserId":"alice","ToUserId":["bob"],"MessageType":1,"Priority":1,"MessageBody":{"Message":"once"}}`
		if _, a := w.send(http.MethodPost, q, strings.NewReader(body)); a.code() != "0" {
			t.Fatal(a)
		}
		for _, wait := range []time.Duration{0, 10 * time.Minute, 10 * time.Minute} {
			time.Sleep(wait)
			if _, a := w.send(http.MethodPost, q, strings.NewReader(body)); a.code() != "100000005" {
				t.Errorf("after %v: %v", wait, a)
			}
		}
		if a := w.post("QueryPeerMsg", in{"FromUserId": "alice", "ToUserId": "bob"}); len(a["List"].([]any)) != 1 {
			t.Errorf("it was sent more than once: %v", a)
		}
		// A wrong signature uses no nonce up, and after its time it can be used again.
		q = restapi.Sign(zimtest.AppID, "another secret, of as many bytes", "UserRegister", "m", time.Now())
		w.refused("100000005", q)
		for range 2 {
			q = restapi.Sign(zimtest.AppID, zimtest.Secret, "UserRegister", "m", time.Now())
			if _, a := w.send(http.MethodPost, q, register("carol")); a.code() != "0" && a.code() != "660700002" {
				t.Error(a)
			}
			time.Sleep(20*time.Minute + time.Second)
		}
	})
}

// The table of nonces has a bound, and what it has no room for is refused.
func TestNoncesBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &zimtest.Options{API: func(c *restapi.Config) { c.MaxNonces = 2 }})
		ask := func() string { return w.post("QueryUserInfos", in{"UserIds": []string{"nobody"}}).code() }
		codes := []string{ask(), ask(), ask()}
		time.Sleep(20*time.Minute + time.Second)
		if codes = append(codes, ask()); !slices.Equal(codes, []string{"660700008", "660700008", "7", "660700008"}) {
			t.Errorf("got %v", codes)
		}
	})
}

// N54: a signature says nothing of the action and the body, so that it is good for one request only.
func TestN54OtherRequest(t *testing.T) {
	w := newWorld(t, nil)
	q := signed("UserRegister")
	if _, a := w.send(http.MethodPost, q, register("alice")); a.code() != "0" {
		t.Fatal(a)
	}
	w.refused("100000005", q)
	q.Set("Action", "RobotRegister")
	if _, a := w.send(http.MethodPost, q, register("@RBT#intruder")); a.code() != "100000005" || w.exists("@RBT#intruder") {
		t.Error(a)
	}
	q.Set("Action", "QueryUserInfos")
	if _, a := w.send(http.MethodPost, q, strings.NewReader(`{"UserIds":["alice"]}`)); a.code() != "100000005" {
		t.Error(a)
	}
}

// N55: a parameter that comes twice could mean one thing to a proxy and another one here.
func TestN55Twice(t *testing.T) {
	w := newWorld(t, nil)
	for name, code := range map[string]string{
		"AppId": "100000001", "Action": "100000006", "SignatureVersion": "100000014", "Timestamp": "100000003", "SignatureNonce": "100000008", "Signature": "100000005",
	} {
		for _, second := range []string{"2", ""} {
			q := signed("UserRegister")
			q[name] = append(q[name], second)
			w.refused(code, q)
		}
		q := signed("UserRegister")
		q[name] = append(q[name], q[name][0])
		w.refused(code, q)
	}
	w.want(w.get("DismissGroup", url.Values{"FromUserId": {"a", "b"}, "GroupId": {"g"}}), "660000002")
	w.want(w.get("QueryUserOnlineState", url.Values{"UserId": {"a"}, "UserId[]": {"b"}}), "660000002")
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// N56: a body that is too large, comes too slowly or not as announced, or is JSON that can be read in two ways or is nested too deeply.
func TestN56Body(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for name, test := range map[string]struct {
			body   io.Reader
			status int
			code   string
		}{
			"more than 1 MiB": {bytes.NewReader(bytes.Repeat([]byte(" "), 1<<20+1)), 413, "100000012"},
			"endless":         {endless{}, 413, "100000012"},
			"deep":            {strings.NewReader(strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000)), 400, "660000002"},
			"deep list":       {strings.NewReader(`{"a":` + strings.Repeat("[", 100_000)), 400, "660000002"},
			"many values":     {strings.NewReader(`{"a":[` + strings.Repeat("1,", 60_000) + "1]}"), 400, "660000002"},
			"a name twice":    {strings.NewReader(`{"UserInfo":[],"UserInfo":[{"UserId":"intruder"}]}`), 400, "660000002"},
			"twice, escaped":  {strings.NewReader(`{"UserInfo":[],"\u0055serInfo":[{"UserId":"intruder"}]}`), 400, "660000002"},
			"twice, below":    {strings.NewReader(`{"UserInfo":[{"UserId":"a","UserId":"intruder"}]}`), 400, "660000002"},
			"another case":    {strings.NewReader(`{"userinfo":[{"UserId":"intruder"}]}`), 200, "660000002"},
			"no UTF-8":        {strings.NewReader("{\"UserInfo\":[{\"UserId\":\"intruder\",\"UserName\":\"\xff\"}]}"), 400, "660000002"},
			"more behind":     {strings.NewReader(`{"UserInfo":[{"UserId":"intruder"}]} {}`), 400, "660000002"},
			"a list":          {strings.NewReader(`[]`), 400, "660000002"},
			"nothing":         {strings.NewReader(``), 400, "660000002"},
			"form":            {strings.NewReader(`UserInfo=1`), 400, "660000002"},
			"wrong types":     {strings.NewReader(`{"UserInfo":{"UserId":"intruder"}}`), 200, "660000002"},
			"null in a list":  {strings.NewReader(`{"UserInfo":[null]}`), 200, "660000002"},
		} {
			if status, a := w.send(http.MethodPost, signed("UserRegister"), test.body); status != test.status || a.code() != test.code {
				t.Errorf("%s: got status %d and %v, want %d and %s", name, status, a, test.status, test.code)
			}
			if w.exists("intruder") {
				t.Errorf("%s: it was done nevertheless", name)
			}
			time.Sleep(time.Second)
		}

		// Less than announced, and never more than a byte.
		start := time.Now()
		slow, feed := io.Pipe()
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			for {
				if _, err := feed.Write([]byte(" ")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		for name, length := range map[string]int64{"chunked for ever": -1, "a Content-Length that is no such thing": 1000} {
			req, err := http.NewRequest(http.MethodPost, w.APIURL()+"?"+signed("UserRegister").Encode(), io.NopCloser(slow))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			if status, a := w.do(req); status != 408 || a.code() != "100000012" {
				t.Errorf("%s: got status %d and %v", name, status, a)
			}
		}
		if took := time.Since(start); took > 21*time.Second {
			t.Errorf("it took %v until they were told", took)
		}
		slow.Close()
		<-fed
	})
}

// N57: lists of receivers that are wrong are refused as a whole; nobody gets anything.
func TestN57Receivers(t *testing.T) {
	w := newWorld(t, nil)
	w.Register("alice", "bob")
	many := []string{"bob"}
	for i := range 100 {
		many = append(many, fmt.Sprint("user", i))
	}
	for name, test := range map[string]struct {
		to   any
		code string
	}{
		"101":        {many, "660000011"},
		"self":       {[]string{"bob", "alice"}, "660000002"},
		"duplicates": {[]string{"bob", "bob"}, "660000002"},
		"SQL":        {[]string{"bob", "x'; DROP TABLE user; --"}, "660000002"},
		"too long":   {[]string{"bob", strings.Repeat("x", 33)}, "660000012"},
		"empty":      {[]string{"bob", ""}, "660000002"},
		"none":       {[]string{}, "660000002"},
		"no list":    {"bob", "660000002"},
		"null":       {[]any{"bob", nil}, "660000002"},
		"numbers":    {[]any{"bob", 7}, "660000002"},
	} {
		a := w.post("SendPeerMessage", in{"FromUserId": "alice", "ToUserId": test.to, "MessageType": 1, "Priority": 1, "MessageBody": text("x")})
		if a.code() != test.code || a["SuccList"] != nil {
			t.Errorf("%s: got %v, want %s", name, a, test.code)
		}
	}
	w.want(w.post("QueryPeerMsg", in{"FromUserId": "alice", "ToUserId": "bob"}), "0", "List", "[]")
	for _, body := range []in{
		{"MessageType": 1, "Priority": 1, "MessageBody": text(strings.Repeat("x", 2049))},
		{"MessageType": 2, "Priority": 1, "MessageBody": text(strings.Repeat("x", 5<<10+1))},
	} {
		body["FromUserId"], body["ToUserId"] = "alice", []string{"bob"}
		w.want(w.post("SendPeerMessage", body), "660400001")
	}
	for _, body := range []in{
		{"MessageType": 1, "Priority": 1, "MessageBody": text("")}, {"MessageType": 1, "Priority": 4, "MessageBody": text("x")},
		{"MessageType": 20, "Priority": 1, "MessageBody": text("x")}, {"MessageType": 31, "Priority": 1, "MessageBody": text("x")},
		{"MessageType": 100, "Priority": 1, "MessageBody": text("x")}, {"MessageType": 1 << 40, "Priority": 1, "MessageBody": text("x")},
	} {
		body["FromUserId"], body["ToUserId"] = "alice", []string{"bob"}
		w.want(w.post("SendPeerMessage", body), "660000002")
	}
	w.want(w.post("SendPeerMessage", in{"FromUserId": "alice", "ToUserId": []string{"bob"}, "MessageType": 2, "Priority": 1, "MessageBody": in{"Message": "?", "IsBase64": 1}}), "660000025")
	w.want(w.post("SendPeerMessage", in{"FromUserId": "nobody", "ToUserId": []string{"bob"}, "MessageType": 1, "Priority": 1, "MessageBody": text("x")}), "660500002")
}

// The rest of the gateway's checks, in their order: the first that fails is told.
func TestGateway(t *testing.T) {
	w := newWorld(t, nil)
	without := func(names ...string) url.Values {
		q := signed("UserRegister")
		for _, name := range names {
			q.Del(name)
		}
		return q
	}
	with := func(name, value string) url.Values {
		q := signed("UserRegister")
		q.Set(name, value)
		return q
	}
	for _, test := range []struct {
		code string
		q    url.Values
	}{
		{"100000001", url.Values{}},
		{"100000001", with("AppId", "x")},
		{"100000001", with("AppId", "0")},
		{"100000001", with("AppId", "01234567890")},
		{"100000001", with("AppId", "4294967296")},
		{"100000006", without("Action", "SignatureVersion")},
		{"100000007", with("Action", "Nonsense")},
		{"100000013", without("SignatureVersion", "Timestamp")},
		{"100000014", with("SignatureVersion", "1.0")},
		{"100000002", without("Timestamp", "SignatureNonce")},
		{"100000008", without("SignatureNonce", "Signature")},
		{"100000009", without("Signature")},
		{"100000016", with("AppId", "7")},
		{"100000005", with("SignatureNonce", strings.Repeat("n", 65))},
	} {
		w.refused(test.code, test.q)
	}
	if status, a := w.send(http.MethodPost, with("more", strings.Repeat("x", 40_000)), register("intruder")); status != 414 || a.code() != "660000002" {
		t.Errorf("got %d, %v", status, a)
	}
}
