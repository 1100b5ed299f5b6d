package restapi_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/zimtest"
)

// A world is a backend, and what its Server API was asked.
type world struct {
	*zimtest.Server
	t *testing.T

	mu    sync.Mutex
	audit []restapi.Entry // guarded by mu
}

func newWorld(t *testing.T, options *zimtest.Options) *world {
	t.Helper()
	w := &world{t: t}
	if options == nil {
		options = new(zimtest.Options)
	}
	configure := options.API
	options.API = func(c *restapi.Config) {
		c.Audit = func(e restapi.Entry) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.audit = append(w.audit, e)
		}
		if configure != nil {
			configure(c)
		}
	}
	w.Server = zimtest.NewServer(t, options)
	return w
}

func (w *world) asked() []restapi.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.audit
}

// in is the input of an action.
type in = map[string]any

// An answer is the JSON of one, with its numbers as they were written.
type answer map[string]any

func (a answer) code() string { return string(a["Code"].(json.Number)) }

// signed is the query of a request that is good now.
func signed(action string) url.Values {
	return restapi.Sign(zimtest.AppID, zimtest.Secret, action, strings.ToLower(rand.Text()), time.Now())
}

// post asks for an action with JSON, and returns what came back.
func (w *world) post(action string, input in) answer {
	w.t.Helper()
	body, err := json.Marshal(input)
	if err != nil {
		w.t.Fatal(err)
	}
	_, a := w.send(http.MethodPost, signed(action), bytes.NewReader(body))
	return a
}

// get asks for an action with parameters.
func (w *world) get(action string, input url.Values) answer {
	w.t.Helper()
	q := signed(action)
	for name, list := range input {
		q[name] = list
	}
	_, a := w.send(http.MethodGet, q, nil)
	return a
}

func (w *world) send(method string, q url.Values, body io.Reader) (status int, a answer) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.APIURL()+"?"+q.Encode(), body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(req)
}

func (w *world) do(req *http.Request) (status int, a answer) {
	w.t.Helper()
	resp, err := w.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	if err := d.Decode(&a); err != nil {
		w.t.Fatalf("%s: %v", resp.Status, err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		w.t.Errorf("Content-Type %q", got)
	}
	if id, ok := a["RequestId"].(string); !ok || strings.Trim(id, "0123456789") != "" || id == "" {
		w.t.Errorf("RequestId %v", a["RequestId"])
	}
	return resp.StatusCode, a
}

// want fails the test unless the answer has the code, and at each path the value, as JSON.
func (w *world) want(a answer, code string, fields ...string) {
	w.t.Helper()
	if a.code() != code {
		w.t.Errorf("got %v, want code %s", a, code)
		return
	}
	for i := 0; i < len(fields); i += 2 {
		b, _ := json.Marshal(a[fields[i]])
		if string(b) != fields[i+1] {
			w.t.Errorf("%s is %s, want %s", fields[i], b, fields[i+1])
		}
	}
}

func text(s string) in { return in{"Message": s} }
