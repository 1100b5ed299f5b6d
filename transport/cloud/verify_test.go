package cloud_test

import (
	"encoding/hex"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/cloud"
)

// nobody is an event for nobody here.
var nobody = object{"room_id": "r", "user_ids": []string{}, "operator_account": "x"}

// The first signature is the one in the documentation.
func TestDocumentedSignatures(t *testing.T) {
	for _, c := range []struct {
		callbackSecret token.Secret
		timestamp      int64
		nonce          string
		signature      string
	}{
		{"secret", 1470820198, "123412", "5bd59fd62953a8059fb7eaba95720f66d19e4517"},
		{callbackSecret, 1700000000, "350176", "8c88e944cbbfd435a2ab7700b11b0a7320087407"},
		{"1aaa", 1700000000, "9", "f228d6da5b89fefc316af3b78c86dba796e52526"},
		{"Zsecret", 1700000000, "17", "2f50f7fba86e204c0b82f242e0b842d252848575"},
	} {
		t.Run(c.signature[:4], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Unix(c.timestamp, 0)))
				s := &cloud.Service{AppID: callbackApp, CallbackSecret: c.callbackSecret}
				o := object{"appid": strconv.Itoa(callbackApp), "event": "room_destroy", "nonce": c.nonce, "timestamp": c.timestamp,
					"signature": c.signature, "room_id": "r"}
				must(t, s, o, http.StatusOK)
				must(t, rotating(c.callbackSecret), o.with("timestamp", strconv.FormatInt(c.timestamp, 10)), http.StatusOK)
			})
		})
	}
}

// N58, N59: without a signature that only who knows the secret can make, nothing happens.
func TestUnsigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		good := signed("send_msg", hello(1, "hi"))
		digest := good["signature"].(string)
		bad := map[string]object{
			"another secret":     signedBy("another secret", time.Now(), "send_msg", hello(1, "hi")),
			"no secret":          signedBy("", time.Now(), "send_msg", hello(1, "hi")),
			"short":              good.with("signature", digest[:39]),
			"long":               good.with("signature", digest+"0"),
			"not hex":            good.with("signature", digest[:39]+"g"),
			"one digit":          good.with("signature", flip(digest)),
			"another app":        good.with("appid", strconv.Itoa(callbackApp+1)),
			"app with a zero":    good.with("appid", "0"+strconv.Itoa(callbackApp)),
			"event with a blank": good.with("event", "send_msg "),
			"signature a list":   good.with("signature", []string{digest}),
			"signature a number": good.with("signature", 7),
			"timestamp short":    good.with("timestamp", "170000000"),
			"timestamp long":     good.with("timestamp", "17000000000"),
		}
		// These are signed as they are.
		for name, o := range map[string]object{
			"timestamp with a zero":  {"timestamp": "01700000000", "nonce": "1"},
			"timestamp with a sign":  {"timestamp": "+1700000000", "nonce": "1"},
			"timestamp with a blank": {"timestamp": " 1700000000", "nonce": "1"},
			"timestamp a float":      {"timestamp": "1.7000e+09", "nonce": "1"},
			"timestamp in ms":        {"timestamp": "1700000000000", "nonce": "1"},
			"other digits":           {"timestamp": "\u0661700000000", "nonce": "1"},
			"nonce long":             {"timestamp": "1700000000", "nonce": strings.Repeat("1", 33)},
			"nonce with a blank":     {"timestamp": "1700000000", "nonce": "1 2"},
			"nonce with another":     {"timestamp": "1700000000", "nonce": "é"},
		} {
			o["signature"] = signature(callbackSecret, o["timestamp"].(string), o["nonce"].(string))
			maps.Copy(o, object{"appid": good["appid"], "event": "room_destroy", "room_id": "r"})
			bad[name] = o
		}
		for _, key := range []string{"appid", "event", "nonce", "timestamp", "signature"} {
			o := good.with(key, nil)
			delete(o, key)
			bad["no "+key], bad["empty "+key] = o, good.with(key, "")
		}
		for name, o := range bad {
			if w := send(s, o); w.Code != http.StatusUnauthorized {
				t.Errorf("%s: got %d, want 401", name, w.Code)
			}
		}
		bob.saw(t)
		must(t, s, good.with("signature", strings.ToUpper(digest)), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:hi")
		if got := s.CallbackCounts(); got.Refused != int64(len(bad)) || got.Taken != 1 {
			t.Errorf("got %+v, want %d refused and 1 taken", got, len(bad))
		}
	})
}

func flip(digest string) string {
	if digest[0] == '0' {
		return "1" + digest[1:]
	}
	return "0" + digest[1:]
}

// N60, N61: a timestamp is good for five minutes, either way.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		for seconds, status := range map[time.Duration]int{
			-301: http.StatusUnauthorized, -300: http.StatusOK, 0: http.StatusOK, 300: http.StatusOK, 301: http.StatusUnauthorized,
		} {
			must(t, s, signedBy(callbackSecret, time.Now().Add(seconds*time.Second), "room_destroy", nobody), status)
		}
	})
}

// While the secret is changed, both are good, and an empty one never is.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := rotating("the one before")
		must(t, s, signed("room_destroy", nobody), http.StatusOK)
		must(t, s, signedBy("the one before", time.Now(), "room_destroy", nobody), http.StatusOK)
		must(t, s, signedBy("", time.Now(), "room_destroy", nobody), http.StatusUnauthorized)
		must(t, newService(), signedBy("", time.Now(), "room_destroy", nobody), http.StatusUnauthorized)
		must(t, &cloud.Service{AppID: callbackApp}, signedBy("", time.Now(), "room_destroy", nobody), http.StatusServiceUnavailable)
	})
}

// N62: what comes again is answered again, and told once.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		o := signed("send_msg", hello(1, "hi"))
		for range 3 {
			must(t, s, o, http.StatusOK)
		}
		bob.saw(t, "peer alice 1/alice:hi")
		if got := s.CallbackCounts(); got.Taken != 1 || got.Repeated != 2 {
			t.Errorf("got %+v, want 1 taken and 2 repeated", got)
		}
		time.Sleep(301 * time.Second)
		must(t, s, o, http.StatusUnauthorized)
	})
}

// N63: a signature that was seen with one body is good for no other.
func TestOtherBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		log := logTo(s)
		bob := arrive(t, s, "bob")
		o := signed("send_msg", hello(1, "hi"))
		must(t, s, o, http.StatusOK)
		for range 2 {
			must(t, s, o.with("msg_id", "2").with("msg_body", "forged"), http.StatusUnauthorized)
		}
		bob.saw(t, "peer alice 1/alice:hi")
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "another body") || strings.Contains(got, "forged") {
			t.Errorf("got %q, want one line about another body", got)
		}
		must(t, s, o, http.StatusOK)
	})
}

// N64: three strings are signed as one. Neither another way to cut it, nor what SHA-1 lets anybody append to it, makes a new callback.
func TestSameSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		o := object{"appid": strconv.Itoa(callbackApp), "event": "room_destroy", "room_id": "r"}
		first := o.with("timestamp", "1700000000").with("nonce", "91700000001").with("signature", signature(callbackSecret, "1700000000", "91700000001"))
		second := o.with("timestamp", "1700000001").with("nonce", "17000000009").with("signature", signature(callbackSecret, "1700000001", "17000000009"))
		if first["signature"] != second["signature"] {
			t.Fatal("the signatures differ")
		}
		must(t, s, first, http.StatusOK)
		must(t, s, second, http.StatusUnauthorized)

		// What was signed ends with the nonce here, so that a longer nonce can be signed without the secret.
		timestamp, nonce := "1700000000", "zz"
		signed := callbackSecret + timestamp + nonce
		forged, tail := extend(t, signature(callbackSecret, timestamp, nonce), len(signed), "x")
		longer := nonce + tail
		if signature(callbackSecret, timestamp, longer) != forged {
			t.Fatal("the extension is wrong")
		}
		body := `{"appid":"` + strconv.Itoa(callbackApp) + `","event":"room_destroy","room_id":"r","timestamp":"` + timestamp + `","signature":"` + forged + `","nonce":"`
		for _, form := range []string{body + escaped(longer) + `"}`, body + longer + `"}`} {
			if w := sendText(s, form); w.Code == http.StatusOK {
				t.Errorf("got %d for a nonce that was made longer, want a refusal", w.Code)
			}
		}
		if w := sendText(s,
			"appid="+strconv.Itoa(callbackApp)+"&event=room_destroy&timestamp="+timestamp+"&signature="+forged+"&nonce="+percent(longer)); w.Code == http.StatusOK {
			t.Errorf("got %d for a form with it, want a refusal", w.Code)
		}
	})
}

// escaped writes bytes as JSON's escapes.
func escaped(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString(`\u00` + hex.EncodeToString([]byte{c}))
	}
	return b.String()
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString("%" + hex.EncodeToString([]byte{c}))
	}
	return b.String()
}
