package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/backend/zimtest"
)

// quirky has the receiver told of messages, with quirks.
func quirky(q webhook.Quirks) func(*webhook.Config) {
	return func(c *webhook.Config) {
		messages(c)
		c.Quirks = q
	}
}

// Bodies can be percent-encoded as a whole, what messages of files say, too, and what is empty can be missing.
func TestEncodedCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		rc := new(receiver)
		decode := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			bodies = append(bodies, string(b))
			text, err := url.QueryUnescape(string(b))
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(strings.NewReader(text))
			rc.ServeHTTP(w, r)
		})
		rc.t = t
		time.Sleep(time.Until(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)))
		srv := zimtest.NewServer(t, &zimtest.Options{
			Callbacks: decode, Webhook: quirky(webhook.Quirks{EncodeBody: true, EncodeMsgBody: true, OmitZero: true}),
		})
		alice := srv.Login(t, "alice")
		srv.Register("@RBT#help")
		_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: "100% + more"}, zim.Peer("@RBT#help"), nil)
		must(t, err)
		fields := names("msg_type msg_body payload source msg_seq")
		same(t, rc.told("", fields...), "1 100% + more   1")
		if len(bodies) != 1 || !strings.HasPrefix(bodies[0], "%7B%22appid%22") || strings.Contains(bodies[0], "payload") {
			t.Errorf("the bodies are %q", bodies)
		}
		_, err = alice.SendMessage(t.Context(), &zim.FileMessage{File: zim.File{URL: "https://files.example/a%20b", Name: "a b"}},
			zim.Peer("@RBT#help"), nil)
		must(t, err)
		told := rc.told("", "msg_body")
		if len(told) != 1 || !strings.HasPrefix(told[0], "%7B%22download_url%22%3A%22https%3A%2F%2Ffiles.example%2Fa%2520b%22") {
			t.Errorf("told %q", told)
		}
	})
}

// Callbacks can come twice, late and out of order, and never, the same ones with the same seed.
func TestUnreliableCallbacks(t *testing.T) {
	const n = 100
	run := func(q webhook.Quirks) (got []string, longest time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			rc := new(receiver)
			srv := start(t, rc, zimtest.Options{Webhook: quirky(q)})
			alice := srv.Login(t, "alice")
			srv.Register("bob")
			for i := range n {
				_, err := alice.SendMessage(t.Context(), &zim.TextMessage{Message: fmt.Sprint(i)}, zim.Peer("bob"), nil)
				must(t, err)
				time.Sleep(200 * time.Millisecond)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			list := rc.all("")
			for i, c := range list {
				ms, err := c["msg_time"].(interface{ Int64() (int64, error) }).Int64()
				must(t, err)
				longest = max(longest, rc.came[i].Sub(time.UnixMilli(ms)))
				got = append(got, c.text("msg_body"))
			}
		})
		return got, longest
	}
	distinct := func(list []string) int {
		list = slices.Sorted(slices.Values(list))
		return len(slices.Compact(list))
	}
	if got, _ := run(webhook.Quirks{Repeat: 1}); len(got) != 2*n || distinct(got) != n {
		t.Errorf("of %d, each twice, %d came, %d of them different", n, len(got), distinct(got))
	}
	if got, _ := run(webhook.Quirks{Drop: 1}); len(got) != 0 {
		t.Errorf("of what is dropped, %d came", len(got))
	}
	late, longest := run(webhook.Quirks{Delay: 5 * time.Second})
	if len(late) != n || distinct(late) != n || slices.IsSortedFunc(late, func(a, b string) int { return len(a) - len(b) }) {
		t.Errorf("%q came", late)
	}
	if longest < 3*time.Second || longest > 6*time.Second {
		t.Errorf("the last one was %v late, want up to 5s", longest)
	}
	some := webhook.Quirks{Drop: 0.3, Repeat: 0.3, Seed: 7}
	first, _ := run(some)
	again, _ := run(some)
	if d := distinct(first); d < n/2 || d >= n || len(first) <= d || !slices.Equal(first, again) {
		t.Errorf("of %d, %d came, %d of them different, and then %d", n, len(first), d, len(again))
	}
	some.Seed = 8
	if other, _ := run(some); slices.Equal(first, other) {
		t.Error("another seed does the same")
	}
}

// Quirks that can't be are refused.
func TestNoSuchQuirks(t *testing.T) {
	for _, q := range []webhook.Quirks{{Repeat: -0.1}, {Repeat: 1.1}, {Drop: 2}, {Drop: -1}, {Delay: -time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			zimtest.NewServer(t, &zimtest.Options{Callbacks: new(receiver), Webhook: func(c *webhook.Config) {
				bad := *c
				bad.Quirks = q
				if _, err := webhook.New(bad); err == nil {
					t.Errorf("%+v are taken", q)
				}
			}})
		})
	}
}
