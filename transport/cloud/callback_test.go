package cloud_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/memnet"
)

// N65: what is no callback by its method, kind or size is refused before anything is parsed.
func TestNoCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		do := func(method, contentType, encoding string, body io.Reader) int {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(method, "/callback", body)
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Content-Encoding", encoding)
			s.ServeHTTP(w, r)
			return w.Code
		}
		var bomb bytes.Buffer
		z := gzip.NewWriter(&bomb)
		z.Write(make([]byte, 10<<20))
		z.Close()
		padded := func(n int) string {
			o := signed("room_destroy", nobody)
			return o.with("padding", strings.Repeat("x", n-len(o.with("padding", "").json()))).json()
		}
		for _, c := range []struct {
			name, method, contentType, encoding string
			body                                io.Reader
			want                                int
		}{
			{"GET", http.MethodGet, "", "", nil, http.StatusMethodNotAllowed},
			{"PUT", http.MethodPut, "application/json", "", strings.NewReader(signed("room_destroy", nobody).json()), http.StatusMethodNotAllowed},
			{"an image", http.MethodPost, "image/png", "", strings.NewReader(signed("room_destroy", nobody).json()), http.StatusUnsupportedMediaType},
			{"no type at all", http.MethodPost, ";;", "", strings.NewReader(signed("room_destroy", nobody).json()), http.StatusUnsupportedMediaType},
			{"gzip", http.MethodPost, "application/json", "gzip", &bomb, http.StatusUnsupportedMediaType},
			{"as large as may be", http.MethodPost, "application/json; charset=utf-8", "identity", strings.NewReader(padded(256 << 10)), http.StatusOK},
			{"larger", http.MethodPost, "application/json", "", strings.NewReader(padded(256<<10 + 1)), http.StatusRequestEntityTooLarge},
			{"larger, without a length", http.MethodPost, "application/json", "", io.MultiReader(strings.NewReader(padded(256<<10 + 1))),
				http.StatusRequestEntityTooLarge},
		} {
			if got := do(c.method, c.contentType, c.encoding, c.body); got != c.want {
				t.Errorf("%s: got %d, want %d", c.name, got, c.want)
			}
		}
	})
}

// N65: a body that says that it is too large is not read.
func TestLargeBodyUnread(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/callback", readerFunc(func([]byte) (int, error) {
		t.Error("the body was read")
		return 0, io.EOF
	}))
	r.ContentLength = 256<<10 + 1
	w := httptest.NewRecorder()
	if newService().ServeHTTP(w, r); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d, want 413", w.Code)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// N65: a body that never ends does not keep anybody for long.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := memnet.Serve(t, newService())
		r, w := io.Pipe()
		var writer sync.WaitGroup
		writer.Go(func() {
			for {
				if _, err := w.Write([]byte(" ")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		start := time.Now()
		resp, err := client.Post("http://app.example/", "application/json", r)
		if err == nil {
			if resp.StatusCode != http.StatusRequestTimeout {
				t.Errorf("got %d, want 408", resp.StatusCode)
			}
			resp.Body.Close()
		}
		if took := time.Since(start); took > 11*time.Second {
			t.Errorf("it took %v, want 10 seconds", took)
		}
		r.Close()
		writer.Wait()
	})
}

// The documentation does not say how the body is encoded, and all of these were seen.
func TestEncodings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		form := func(o object) string {
			v := url.Values{}
			for key, field := range o {
				switch field := field.(type) {
				case int:
					v.Set(key, strconv.Itoa(field))
				case int64:
					v.Set(key, strconv.FormatInt(field, 10))
				case string:
					v.Set(key, field)
				}
			}
			return v.Encode()
		}
		for i, encode := range []func(o object) string{
			object.json,
			func(o object) string { return "\r\n " + o.json() + "\n" },
			func(o object) string { return url.QueryEscape(o.json()) },
			func(o object) string { return strings.Replace(url.QueryEscape(o.json()), "%7B", "%7b", 1) },
			func(o object) string {
				return strings.NewReplacer("%3D", "=", "%26", "&").Replace(url.QueryEscape(o.json()))
			},
			form,
			func(o object) string { return url.QueryEscape(o.json()) + "=" },
			func(o object) string { return "data=" + url.QueryEscape(o.json()) },
		} {
			id := strconv.Itoa(i + 1)
			if w := sendText(s, encode(signed("send_msg", hello(i+1, "100% a+b {}=&")))); w.Code != http.StatusOK || w.Body.String() != "{}" {
				t.Errorf("encoding %s: got %d %q, want 200 and an empty object", id, w.Code, w.Body)
			}
			bob.saw(t, "peer alice "+id+"/alice:100% a+b {}=&")
		}
	})
}

// N66: what can't be read is refused, signed or not.
func TestMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		whole := signed("send_msg", hello(1, "hi")).json()
		deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
		for _, body := range []string{
			"", "{", "{}x", "[]", "null", `"{}"`, "1", whole[:len(whole)-1], whole + whole, whole[:len(whole)-1] + `,"msg_id":"2"}`, deep,
			"%7B%zz", "%7B%ff%7D",
			"a=%zz", "appid=1&appid=2", "{\"a\":\"\xff\"}", `{"a":[` + strings.Repeat("1,", 60_000) + `1]}`, "a=1" + strings.Repeat("&b", 1000),
			`{"event":{}}`, `{"event":["send_msg"]}`,
		} {
			if w := sendText(s, body); w.Code != http.StatusBadRequest {
				t.Errorf("%.40q: got %d, want 400", body, w.Code)
			}
		}
		hi := hello(1, "hi")
		for _, fields := range []object{
			hi.with("msg_id", "1x"), hi.with("msg_id", "-1"), hi.with("msg_id", 1e30), hi.with("msg_id", "18446744073709551616"),
			hi.with("msg_id", ""), hi.with("msg_id", []int{1}),
			hi.with("msg_seq", -1), hi.with("msg_type", "x"), hi.with("msg_type", int64(1)<<40), hi.with("sub_msg_type", -1),
			hi.with("msg_time", -5), hi.with("msg_time", int64(1)<<60),
			hi.with("from_user_id", ""), hi.with("from_user_id", object{}), hi.with("payload", object{}), hi.with("user_list", "x"),
			hi.with("user_list", []int{1}),
			hi.with("conv_id", "").with("user_list", []object{{"UserId": "bob", "MsgId": "x"}}),
		} {
			must(t, s, signed("send_msg", fields), http.StatusBadRequest)
		}
		must(t, s, signed("group_join", object{"new_user_ids": []string{"bob"}}), http.StatusBadRequest)
		must(t, s, signed("group_join", object{"group_id": "g", "new_user_ids": []int{1}}), http.StatusBadRequest)
		must(t, s, signed("room_enter", object{"operator_account": "alice"}), http.StatusBadRequest)
		must(t, s, signed("room_destroy", object{}), http.StatusBadRequest)
		bob.saw(t)
		must(t, s, signed("send_msg", hi), http.StatusOK)
		bob.saw(t, "peer alice 1/alice:hi")
	})
}

// What a message says may be unreadable, as a whole or in part. The message counts nevertheless: refused, it would be lost.
func TestUnreadableBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		var got zim.Content
		zim.On(bob.ZIM, func(_ context.Context, e *zim.PeerMessageReceived) { got = e.Messages[0].Content })
		deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
		for i, tt := range []struct {
			typ     int
			body    string
			unknown bool
		}{
			{12, "hello there", true}, {12, "{%zz", true}, {12, "%7B%zz", true}, {12, `{"download_url":1,"download_url":2}`, true}, {12, deep, true},
			{12, `{"file_size":99999999999999999999}`, false}, {12, `{"download_url":{}}`, false},
			{11, `{"Origin":[]}`, false}, {11, `{"Origin":{"Width":-1}}`, false},
			{10, `{"multi_msg":{}}`, false}, {10, `{"multi_msg":[1]}`, false},
		} {
			got = nil
			must(t, s, signed("send_msg", hello(i+1, tt.body).with("msg_type", tt.typ)), http.StatusOK)
			synctest.Wait()
			u, unknown := got.(*zim.UnknownMessage)
			if unknown != tt.unknown || unknown && (int(u.Kind) != tt.typ || string(u.Data) != tt.body) || got == nil || int(got.Type()) != tt.typ {
				t.Errorf("%.40q of type %d: got %T", tt.body, tt.typ, got)
			}
		}
	})
}

// N67: a callback for which there is no room is answered 503, and taken when it comes again. It costs others nothing.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob, carol := arrive(t, s, "bob"), arrive(t, s, "carol")
		release := make(chan struct{})
		zim.On(bob.ZIM, func(context.Context, *zim.PeerMessageReceived) { <-release })
		for i := range 1024 {
			must(t, s, signed("send_msg", hello(i+1, "x")), http.StatusOK)
		}
		both := hello(5000, "both").with("conv_id", "").with("msg_id", "").with("user_list", []object{
			{"UserId": "bob", "MsgId": "5000"}, {"UserId": "carol", "MsgId": "5001"}, {"UserId": "dave", "MsgId": "5002"}, {"UserId": "carol", "MsgId": ""},
		})
		o := signed("send_msg", both)
		for range 3 {
			w := send(s, o)
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("got %d and %v, want 503 and when to come again", w.Code, w.Header())
			}
		}
		carol.saw(t, "peer alice 5001/alice:both")
		describe(bob)
		close(release)
		time.Sleep(time.Second) // what was handled is told now and then
		synctest.Wait()
		if n, bytes := s.Waiting("bob"); n != 0 {
			t.Errorf("%d events, %d bytes wait, want none", n, bytes)
		}
		bob.mu.Lock()
		bob.told = nil
		bob.mu.Unlock()
		must(t, s, o, http.StatusOK)
		bob.saw(t, "peer alice 5000/alice:both")
		carol.saw(t)
		if got := s.CallbackCounts(); got.Full != 3 {
			t.Errorf("got %+v, want 3 that came when the queue was full", got)
		}
	})
}

// N67: duplicates that come at the same time are one callback.
func TestConcurrentDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		bob := arrive(t, s, "bob")
		first, again := signed("send_msg", hello(1, "hi")), signed("send_msg", hello(1, "hi"))
		again["msg_time"] = first["msg_time"]
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { must(t, s, first, http.StatusOK) })
			all.Go(func() { must(t, s, again, http.StatusOK) })
		}
		all.Wait()
		bob.saw(t, "peer alice 1/alice:hi")
		if got := s.CallbackCounts(); got.Taken != 2 || got.Repeated != 38 {
			t.Errorf("got %+v, want 2 taken and 38 repeated", got)
		}
	})
}

// What the SDK has nothing for is counted, and logged by its name, once.
func TestUnhandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		s := newService()
		log := logTo(s)
		for range 3 {
			must(t, s, signed("call_create", object{"call_id": "secret call"}), http.StatusOK)
		}
		must(t, s, signed("send_msg", hello(1, "hi").with("send_result", 660500003)), http.StatusOK)
		if got := s.CallbackCounts(); got.Unhandled["call_create"] != 3 || got.Failed != 1 {
			t.Errorf("got %+v, want 3 calls and a message that was not sent", got)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "call_create") || strings.Contains(got, "secret") {
			t.Errorf("got %q, want one line with the name", got)
		}
	})
}
