package cloud_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/cloud"
)

// Whatever comes is answered, and with a signature as well as without one.
func FuzzCallback(f *testing.F) {
	hi := hello(1, "hi")
	for _, seed := range []struct {
		event  string
		fields object
	}{
		{"send_msg", hi}, {"bot_msg", hi.with("msg_type", 11).with("msg_body", `{"Origin":{"Url":"u","Width":1}}`)},
		{"send_msg", hi.with("msg_type", 10).with("msg_body", `{"multi_msg":[{"msg_type":12,"callback_content":"{}"}]}`)},
		{"send_msg", hi.with("msg_type", 12).with("msg_body", "%7B%22file_size%22%3A%2212%22%7D")},
		{"send_msg", hi.with("conv_id", "").with("user_list", []object{{"UserId": "bob", "MsgId": "7", "MsgSeq": 1}})},
		{"send_msg", hi.with("conv_type", 1).with("conv_id", "r")}, {"send_msg", hi.with("conv_type", 2).with("conv_id", "g")},
		{"group_create", object{"group_id": "g", "owner_account": "bob", "user_ids": []string{"alice"}}},
		{"group_exit", object{"group_id": "g", "exit_type": "Kickout", "exit_user_ids": []string{"bob"}}}, {"group_destroy", object{"group_id": "g"}},
		{"room_enter", object{"room_id": "r", "operator_account": "x"}}, {"room_exit", object{"room_id": "r", "exit_user_ids": `["bob"]`}},
		{"before_send_msg", question}, {"call_create", object{}},
	} {
		f.Add(seed.event, seed.fields.json())
		f.Add("", signed(seed.event, seed.fields).json())
		f.Add("", percent(seed.fields.json()))
	}
	f.Fuzz(func(t *testing.T, event, body string) {
		s := newService()
		bob := s.Attach("bob", "g", "r")
		defer bob.Close()
		var fields object
		if event != "" && json.Unmarshal([]byte(body), &fields) == nil && fields != nil {
			o := signed(event, nil)
			maps.Copy(fields, o)
			for range 2 {
				switch w := send(s, fields); w.Code {
				case http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge:
				default:
					t.Errorf("got %d for %q", w.Code, body)
				}
			}
			bob.Check(t)
			return
		}
		switch w := sendText(s, body); w.Code {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge:
		case http.StatusOK:
			if !strings.Contains(body, "signature") && !strings.Contains(body, "%") && !strings.Contains(body, `\u`) {
				t.Errorf("%q was taken without a signature", body)
			}
		default:
			t.Errorf("got %d for %q", w.Code, body)
		}
		bob.Check(t)
	})
}

var formats = map[string]*regexp.Regexp{
	"appid": regexp.MustCompile(`\A` + strconv.Itoa(callbackApp) + `\z`), "event": regexp.MustCompile(`\A[0-9A-Za-z_]{1,64}\z`),
	"nonce":     regexp.MustCompile(`\A[0-9A-Za-z]{1,32}\z`),
	"timestamp": regexp.MustCompile(`\A[1-9][0-9]{9}\z`), "signature": regexp.MustCompile(`\A[0-9A-Fa-f]{40}\z`),
}

// naive says what the documentation and the formats say, without regard to how long it takes.
func naive(o object, now time.Time, secrets ...string) bool {
	for key, format := range formats {
		if s, ok := o[key].(string); !ok || !format.MatchString(s) {
			return false
		}
	}
	timestamp, nonce := o["timestamp"].(string), o["nonce"].(string)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	at := time.Unix(seconds, 0)
	if err != nil || now.Before(at.Add(-300*time.Second)) || now.After(at.Add(300*time.Second)) {
		return false
	}
	for _, callbackSecret := range secrets {
		if callbackSecret != "" && strings.ToLower(o["signature"].(string)) == signature(callbackSecret, timestamp, nonce) {
			return true
		}
	}
	return false
}

// A callback is good if a simpler check says so, and never without a secret.
func FuzzVerify(f *testing.F) {
	const at = "1700000000"
	f.Add(strconv.Itoa(callbackApp), "send_msg", "350176", at, "8c88e944cbbfd435a2ab7700b11b0a7320087407", int64(1_700_000_000), callbackSecret, "")
	f.Add(strconv.Itoa(callbackApp), "send_msg", "123412", "1470820198", "5bd59fd62953a8059fb7eaba95720f66d19e4517", int64(1_470_820_198),
		callbackSecret, "secret")
	f.Add(strconv.Itoa(callbackApp), "send_msg", "9", at, "", int64(1_700_000_300), "1aaa", "")
	f.Add(strconv.Itoa(callbackApp), "send_msg", "9", at, "", int64(1_700_000_301), "1aaa", "")
	f.Add(strconv.Itoa(callbackApp), "send_msg", "9", at, "", int64(1_699_999_700), "", "")
	f.Add("", "", "9\x80", " 1700000000", "8C88E944CBBFD435A2AB7700B11B0A7320087407", int64(1_700_000_000), callbackSecret, callbackSecret)
	f.Fuzz(func(t *testing.T, app, event, nonce, timestamp, sig string, now int64, current, previous string) {
		for _, s := range []*string{&app, &event, &nonce, &timestamp, &sig} {
			*s = strings.ToValidUTF8(*s, "?")
		}
		if now < 0 || now > 1<<40 {
			return
		}
		s := rotating("")
		s.CallbackSecret, s.PreviousCallbackSecret = token.Secret(current), token.Secret(previous)
		for _, given := range []string{sig, signature(current, timestamp, nonce), signature(previous, timestamp, nonce), signature("",
			timestamp, nonce)} {
			o := object{"appid": app, "event": event, "nonce": nonce, "timestamp": timestamp, "signature": given}
			want := naive(o, time.Unix(now, 0), current, previous)
			if got := cloud.Verify(s, o.json(), time.Unix(now, 0)); got != want {
				t.Errorf("%v at %d: got %v, want %v", o, now, got, want)
			}
		}
	})
}

// Whatever is in a log: reading it ends, and what could be read is the same when it is written anew. b is a log, or the records of one.
func FuzzLog(f *testing.F) {
	whole := cloud.NewLog([]byte("\x01\x03bob\x00\x01\x00\x00"))
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(append(bytes.Clone(whole), whole[cloud.LogHeaderSize:]...))
	f.Add(whole[cloud.LogHeaderSize+cloud.FrameHeaderSize:])
	f.Add([]byte("\x01\x03bob\x00\x05\x07\x00\x06\x03bob\x01g\x00\x00\x00\x05\x03bob\x00\x07\x00\x00\x02\x03bob\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x03bob\x00\x05\x00\x00\x03\x03bob\x00\x01\x00\x00\x05\x03bob\x00\x01\x00\x00"))
	f.Add([]byte("\x08\x00\x34" + strings.Repeat("x", 52) + "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02{}"))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, log := range [][]byte{b, cloud.NewLog(b)} {
			got, err := cloud.ReadLog(log)
			if err != nil {
				continue
			}
			anew, err := cloud.WriteAnew(log)
			if err != nil {
				t.Fatal(err)
			}
			again, err := cloud.ReadLog(anew)
			if err != nil || !slices.Equal(again, got) {
				t.Errorf("got %q, %v when it was written anew, want %q", again, err, got)
			}
		}
	})
}
