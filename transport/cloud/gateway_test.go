package cloud_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/transport/cloud"
)

const (
	appID  = 1234567890
	secret = "0123456789abcdef0123456789abcdef"
)

// args are the parameters of a request, from its URL or body, and answer is what the gateway says.
type (
	args   = map[string]any
	answer = map[string]any
)

// A request is one that came.
type request struct {
	action string
	args   args
	at     time.Time
}

// A gateway plays the service: it checks what every request must have, and does what a test says.
type gateway struct {
	t       *testing.T
	methods map[string]string
	skew    time.Duration // how much later its clock is

	mu      sync.Mutex
	came    []request                            // guarded by mu
	nonces  map[string]bool                      // guarded by mu
	answers map[string]func(args) answer         // guarded by mu; by action. Without one: success
	raw     map[string]func(http.ResponseWriter) // guarded by mu; by action, instead
}

// with runs a test in a bubble with a gateway, and a service that reaches it.
func with(t *testing.T, f func(t *testing.T, g *gateway, s *cloud.Service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{
			t: t, methods: methods(t), nonces: map[string]bool{}, answers: map[string]func(args) answer{}, raw: map[string]func(http.ResponseWriter){},
		}
		client := memnet.Serve(t, g)
		f(t, g, &cloud.Service{AppID: appID, ServerSecret: secret, BaseURL: "http://gateway", HTTPClient: client})
	})
}

// methods reads which method the documentation gives each action.
func methods(t *testing.T) map[string]string {
	m := map[string]string{}
	for _, row := range readTSV(t, "actions.tsv") {
		m[row[0]] = row[1]
	}
	return m
}

func readTSV(t *testing.T, name string) (rows [][]string) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows
}

// on sets what answers an action.
func (g *gateway) on(action string, f func(args) answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers[action] = f
}

// onRaw sets what answers an action without any rules.
func (g *gateway) onRaw(action string, f func(http.ResponseWriter)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.raw[action] = f
}

func always(a answer) func(args) answer { return func(args) answer { return a } }

func failure(code int64) func(args) answer { return always(answer{"Code": code}) }

// requests returns what came, of one action if it has a name.
func (g *gateway) requests(action string) (list []request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.came {
		if action == "" || r.action == action {
			list = append(list, r)
		}
	}
	return list
}

// one returns the only request of an action.
func (g *gateway) one(action string) args {
	g.t.Helper()
	list := g.requests(action)
	if len(list) != 1 {
		g.t.Fatalf("%d requests %s, want 1", len(list), action)
	}
	return list[0].args
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, code := g.read(r)
	now := time.Now().Add(g.skew)
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	q := r.URL.Query()
	action := q.Get("Action")
	if at, err := strconv.ParseInt(q.Get("Timestamp"), 10, 64); err != nil || now.Sub(time.Unix(at, 0)).Abs() > 600*time.Second {
		code = 100000004
	}
	g.mu.Lock()
	g.came = append(g.came, request{action, a, time.Now()})
	answers, raw := g.answers[action], g.raw[action]
	g.mu.Unlock()
	out := answer{}
	switch {
	case code != 0:
		out["Code"] = code
	case raw != nil:
		raw(w)
		return
	case answers != nil:
		maps.Copy(out, answers(a))
	}
	if out["Code"] == nil {
		out["Code"] = 0
	}
	out["RequestId"] = "4711"
	json.NewEncoder(w).Encode(out)
}

// read checks a request and returns its parameters.
func (g *gateway) read(r *http.Request) (args, int64) {
	q := r.URL.Query()
	action, nonce := q.Get("Action"), q.Get("SignatureNonce")
	sum := md5.Sum([]byte(q.Get("AppId") + nonce + secret + q.Get("Timestamp")))
	if q.Get("AppId") != strconv.Itoa(appID) || q.Get("Signature") != hex.EncodeToString(sum[:]) || q.Get("SignatureVersion") != "2.0" || len(nonce) != 16 {
		g.t.Errorf("%s: the signature is wrong", action)
		return nil, 100000005
	}
	g.mu.Lock()
	if g.nonces[nonce] {
		g.t.Errorf("%s: the nonce was used before", action)
	}
	g.nonces[nonce] = true
	g.mu.Unlock()
	if r.Method != g.methods[action] {
		g.t.Errorf("%s: method %s, want %s", action, r.Method, g.methods[action])
	}
	a := args{}
	for _, key := range []string{"Action", "AppId", "SignatureNonce", "Timestamp", "SignatureVersion", "Signature"} {
		q.Del(key)
	}
	for key, v := range q {
		if list, ok := strings.CutSuffix(key, "[]"); ok {
			a[list] = v
		} else {
			a[key] = v[0]
		}
	}
	b, _ := io.ReadAll(r.Body)
	if r.Method == http.MethodGet {
		if len(b) > 0 || r.ProtoMajor == 1 && (r.ContentLength != 0 || r.Header.Get("Content-Length") != "" || len(r.TransferEncoding) > 0) {
			g.t.Errorf("%s: GET with a body", action)
		}
		if strings.Contains(r.URL.RawQuery, "+") {
			g.t.Errorf("%s: a space is a + in the URL", action)
		}
		return a, 0
	}
	if len(a) > 0 || r.Header.Get("Content-Type") != "application/json" {
		g.t.Errorf("%s: parameters in the URL, or no JSON", action)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&a); err != nil {
		g.t.Errorf("%s: %v", action, err)
	}
	return a, 0
}

// login makes a ZIM and logs in.
func login(t *testing.T, s *cloud.Service, userID string) *zim.ZIM {
	t.Helper()
	z := newZIM(t, s)
	if err := z.Login(t.Context(), userID, &zim.LoginConfig{Token: "-"}); err != nil {
		t.Fatal(err)
	}
	return z
}

func newZIM(t *testing.T, s *cloud.Service) *zim.ZIM {
	t.Helper()
	z, err := zim.New(zim.AppConfig{AppID: appID, Transport: s, Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	return z
}

// has checks that parameters are there. Numbers and texts are compared as they are written.
func has(t *testing.T, got args, want args) {
	t.Helper()
	for key, v := range want {
		if fmt.Sprint(got[key]) != fmt.Sprint(v) {
			t.Errorf("%s is %v, want %v", key, got[key], v)
		}
	}
}

// names returns the actions that came, without those of the login.
func (g *gateway) names() (list []string) {
	for _, r := range g.requests("") {
		if r.action != "UserRegister" && r.action != "RobotRegister" {
			list = append(list, r.action)
		}
	}
	return list
}

func (g *gateway) want(names ...string) {
	g.t.Helper()
	if got := g.names(); !slices.Equal(got, names) {
		g.t.Errorf("requests %v, want %v", got, names)
	}
}
