package webhook_test

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/backend/zimtest"
)

// A receiver is an app's server: it checks each callback as strictly as one may, and takes it unless answer says something else.
type receiver struct {
	t      testing.TB
	answer func(w http.ResponseWriter, r *http.Request, c callback) // nil takes it

	mu   sync.Mutex
	got  []callback // guarded by mu
	came []time.Time
}

// A callback is one that came, with its numbers as they were written.
type callback map[string]any

func (c callback) text(name string) string {
	switch v := c[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case nil:
		return ""
	}
	b, _ := json.Marshal(c[name])
	return string(b)
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := rc.verify(r)
	rc.mu.Lock()
	rc.got, rc.came = append(rc.got, c), append(rc.came, time.Now())
	rc.mu.Unlock()
	if rc.answer != nil {
		rc.answer(w, r, c)
		return
	}
	io.WriteString(w, "{}")
}

var (
	hexadecimal  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	alphanumeric = regexp.MustCompile(`^[0-9A-Za-z]{1,32}$`)
)

func (rc *receiver) verify(r *http.Request) callback {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		rc.t.Error(err)
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		rc.t.Errorf("%s with a %q", r.Method, r.Header.Get("Content-Type"))
	}
	var c callback
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&c); err != nil {
		rc.t.Errorf("the body is no object of JSON: %v", err)
		return nil
	}
	nonce, _ := c["nonce"].(string)
	stamp, _ := c["timestamp"].(json.Number)
	parts := []string{zimtest.CallbackSecret.Reveal(), stamp.String(), nonce}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	seconds, err := stamp.Int64()
	age := time.Since(time.Unix(seconds, 0))
	switch {
	case c["appid"] != strconv.FormatUint(uint64(zimtest.AppID), 10):
		rc.t.Errorf("appid %v", c["appid"])
	case !alphanumeric.MatchString(nonce):
		rc.t.Errorf("nonce %q", nonce)
	case err != nil || len(stamp) != 10 || age > 300*time.Second || age < -300*time.Second:
		rc.t.Errorf("timestamp %v at %v", stamp, time.Now())
	case !hexadecimal.MatchString(c.text("signature")) || c["signature"] != hex.EncodeToString(sum[:]):
		rc.t.Error("the signature is wrong")
	case c.text("event") != webhook.BeforeSendMsg && !slices.Contains(webhook.Events(), c.text("event")):
		rc.t.Errorf("event %v", c["event"])
	}
	return c
}

// all returns what came of an event, or of all events.
func (rc *receiver) all(event string) []callback {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	var list []callback
	for _, c := range rc.got {
		if event == "" || c["event"] == event {
			list = append(list, c)
		}
	}
	return list
}

// told waits until nothing more happens, and returns what was told since the last time as lines of the fields.
func (rc *receiver) told(event string, fields ...string) []string {
	time.Sleep(time.Second)
	synctest.Wait()
	var lines []string
	for _, c := range rc.all(event) {
		var parts []string
		for _, f := range fields {
			parts = append(parts, c.text(f))
		}
		lines = append(lines, strings.Join(parts, " "))
	}
	rc.mu.Lock()
	rc.got, rc.came = nil, nil
	rc.mu.Unlock()
	return lines
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func send(t *testing.T, z *zim.ZIM, to zim.ConversationRef, text string) *zim.Message {
	t.Helper()
	m, err := z.SendMessage(t.Context(), &zim.TextMessage{Message: text}, to, &zim.MessageSendConfig{ExtendedData: "extra"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
