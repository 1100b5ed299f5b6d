package cloud_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/cloud"
)

const (
	callbackApp    = 1234567890
	callbackSecret = "0123456789abcdef0123456789abcdef"
)

// An object is a JSON object, as the service sends it.
type object map[string]any

func (o object) with(key string, v any) object {
	o = maps.Clone(o)
	o[key] = v
	return o
}

func (o object) json() string {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// signature is the documented one.
func signature(callbackSecret, timestamp, nonce string) string {
	parts := []string{callbackSecret, timestamp, nonce}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

var nonces struct {
	sync.Mutex
	n int
}

// signed returns a callback that the service signs now.
func signed(event string, fields object) object {
	return signedBy(callbackSecret, time.Now(), event, fields)
}

func signedBy(callbackSecret string, at time.Time, event string, fields object) object {
	nonces.Lock()
	nonces.n++
	nonce := strconv.Itoa(100000 + nonces.n)
	nonces.Unlock()
	o := object{"appid": strconv.Itoa(callbackApp), "event": event, "nonce": nonce, "timestamp": at.Unix()}
	o["signature"] = signature(callbackSecret, strconv.FormatInt(at.Unix(), 10), nonce)
	maps.Copy(o, fields)
	return o
}

// send has the service send a callback, and returns how it is answered.
func send(s *cloud.Service, o object) *httptest.ResponseRecorder { return sendText(s, o.json()) }

func sendText(s *cloud.Service, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/callback", strings.NewReader(body)))
	return w
}

// must fails the test unless the callback is answered like that.
func must(t *testing.T, s *cloud.Service, o object, status int) {
	t.Helper()
	if w := send(s, o); w.Code != status {
		t.Errorf("%v: got %d %q, want %d", o, w.Code, w.Body, status)
	}
}

// hello is a message from alice to bob.
func hello(id int, s string) object {
	return object{
		"from_user_id": "alice", "conv_id": "bob", "conv_type": 0, "msg_type": 1, "msg_body": s, "msg_id": strconv.Itoa(id), "msg_seq": id,
		"msg_time": time.Now().UnixMilli(), "send_result": 0,
	}
}

// A user is a ZIM that is logged in, and what its handlers were told.
type user struct {
	*zim.ZIM
	sink *cloud.Sink
	mu   sync.Mutex
	told []string
}

func (u *user) note(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.told = append(u.told, fmt.Sprintf(format, args...))
}

// saw waits until nothing happens any more, and fails the test unless the handlers were told exactly that since the last time.
func (u *user) saw(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	if !slices.Equal(u.told, want) {
		t.Errorf("got %q, want %q", u.told, want)
	}
	u.told = nil
}

// forget waits until nothing happens any more, and looks away from what did.
func (u *user) forget() {
	synctest.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.told = nil
}

func newService() *cloud.Service {
	return &cloud.Service{AppID: callbackApp, CallbackSecret: callbackSecret}
}

// rotating returns a service whose secret was another one before.
func rotating(before token.Secret) *cloud.Service {
	s := newService()
	s.PreviousCallbackSecret = before
	return s
}

// arrive makes a user of the service that ends with the test.
func arrive(t *testing.T, s *cloud.Service, userID string) *user {
	t.Helper()
	u := &user{sink: &cloud.Sink{Service: s}}
	z, err := zim.New(zim.AppConfig{AppID: callbackApp, Transport: u.sink})
	if err != nil {
		t.Fatal(err)
	}
	u.ZIM = z
	t.Cleanup(z.Destroy)
	describe(u)
	if err := z.Login(t.Context(), userID, &zim.LoginConfig{Token: "any"}); err != nil {
		t.Fatal(err)
	}
	return u
}

func messages(list []*zim.Message) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, " %s/%s:", m.ID, m.Sender)
		switch c := m.Content.(type) {
		case *zim.TextMessage:
			b.WriteString(c.Message)
		case *zim.ImageMessage:
			fmt.Fprintf(&b, "%s of %d bytes", c.URL, c.Size)
		default:
			fmt.Fprintf(&b, "%T", c)
		}
	}
	return b.String()
}

// A logged is what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// logTo returns what the service logs from now on.
func logTo(s *cloud.Service) *logged {
	l := new(logged)
	s.Logger = slog.New(slog.NewTextHandler(l, nil))
	return l
}
