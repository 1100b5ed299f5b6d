// Package restapi answers the documented Server API of ZIM for a [backend.Server]: requests of an app's own server, signed with its secret, to
// /?Action=…. What the documentation leaves open, and where this differs from the vendor's service, is in docs/server-api.md.
package restapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/internal/apicode"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/wire"
)

const (
	maxQuery    = 32 << 10
	maxBody     = 1 << 20
	bodyTimeout = 10 * time.Second
)

// Config is what an API needs.
type Config struct {
	Server *backend.Server // required
	// Secrets are the ServerSecrets of the apps that have this API: the current one, and while it is replaced the previous one, too. Whoever
	// has a secret may do everything in the name of each user of the app.
	Secrets map[uint32][]token.Secret
	// NoLimits switches the documented limits on calls per second off.
	NoLimits bool
	// FileURL is the URL below which clients find files, with a slash at its end: what is said of messages has URLs that begin with it. Empty
	// leaves them relative.
	FileURL string
	// MaxNonces is how many requests are remembered, for 20 minutes each, so that none is made twice. More are refused. Zero means a million,
	// which take 100 MB.
	MaxNonces int
	// Audit is told of each request before it is answered, by the goroutine that answers it. It is for tests; nil tells nobody.
	Audit  func(Entry)
	Logger *slog.Logger // nil discards; never gets what was sent, signatures or secrets
}

// An Entry is a request as it was answered.
type Entry struct {
	RequestID string
	AppID     uint32 // zero if it was malformed
	Action    string // as it was asked for
	// Input is what the action was called with: parameters as []string, or JSON with its numbers as [json.Number]. It is nil if the request was
	// refused before it was read, and must not be changed.
	Input map[string]any
	Code  int
}

// An API answers requests. It implements [http.Handler], for the path / of a host.
type API struct {
	config  Config
	secrets map[uint32][]token.Secret // immutable
	log     *slog.Logger
	started int64 // Unix seconds; immutable
	nonces  nonces
	limits  limiters
}

// New returns an API.
func New(config Config) (*API, error) {
	if config.Server == nil {
		return nil, errors.New("restapi: Server is nil")
	}
	a := &API{config: config, secrets: make(map[uint32][]token.Secret), log: config.Logger, started: time.Now().Unix()}
	for app, list := range config.Secrets {
		if len(list) == 0 || slices.Contains(list, "") {
			return nil, fmt.Errorf("restapi: app %d has no secret, or an empty one", app)
		}
		a.secrets[app] = slices.Clone(list)
	}
	if config.MaxNonces < 0 {
		return nil, errors.New("restapi: MaxNonces is negative")
	}
	a.nonces.limit = cmp.Or(config.MaxNonces, 1<<20)
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a, nil
}

// ServeHTTP answers with HTTP status 200 and the code in the body, as documented, unless the HTTP request itself could not be read: then it is
// 400, 405, 408, 413 or 414, with the same body.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	entry := Entry{RequestID: strconv.FormatInt(rand.Int64N(1<<62)+1, 10)}
	out, f := a.answer(w, r, &entry)
	status := http.StatusOK
	if f != nil {
		entry.Code, status = f.code, cmp.Or(f.status, status)
		a.log.Debug("restapi: refused", "app", entry.AppID, "request", entry.RequestID, "code", f.code)
	}
	if a.config.Audit != nil {
		a.config.Audit(entry)
	}
	body, err := envelope(entry.RequestID, out, f)
	if err != nil {
		a.log.Error("restapi: an answer can't be encoded", "request", entry.RequestID, "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

// answer does what the request wants. There may be both a result and a failure: then each item has failed.
func (a *API) answer(w http.ResponseWriter, r *http.Request, entry *Entry) (any, *failure) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return nil, &failure{code: apicode.Input, message: "the method must be GET or POST", status: http.StatusMethodNotAllowed}
	}
	if len(r.URL.RawQuery) > maxQuery {
		return nil, &failure{code: apicode.Input, message: "the query is too long", status: http.StatusRequestURITooLong}
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &failure{code: apicode.Input, message: "the query is malformed", status: http.StatusBadRequest}
	}
	req, f := a.admit(q)
	if req != nil {
		entry.AppID, entry.Action = req.app, req.name
	}
	if f != nil {
		return nil, f
	}
	c := &call{api: a, ctx: r.Context(), app: req.app, action: req.name}
	if !req.action.weighed && !c.allow(req.action.limit, "", 1) {
		return nil, fail(req.action.limit.code, "too many calls of this action")
	}
	// Whichever method the action has, its input is in the query of a GET and in the body of a POST.
	if r.Method == http.MethodGet {
		entry.Input, f = parseQuery(q)
	} else {
		entry.Input, f = readBody(w, r)
	}
	if f != nil {
		return nil, f
	}
	return req.action.do(c, entry.Input)
}

func readBody(w http.ResponseWriter, r *http.Request) (tree, *failure) {
	// Beside those of the http.Server, which may end before the body does and would cut the answer off. Tests may have none.
	deadlines := http.NewResponseController(w)
	deadlines.SetReadDeadline(time.Now().Add(bodyTimeout))
	deadlines.SetWriteDeadline(time.Now().Add(2 * bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &failure{code: apicode.GatewayBody, message: "the body has more than 1 MiB", status: http.StatusRequestEntityTooLarge}
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, &failure{code: apicode.GatewayBody, message: "the body did not come in time", status: http.StatusRequestTimeout}
	case err != nil:
		return nil, &failure{code: apicode.GatewayBody, message: "the body can't be read", status: http.StatusBadRequest}
	}
	t, err := parseJSON(body)
	if err != nil {
		return nil, &failure{code: apicode.Input, message: err.Error(), status: http.StatusBadRequest}
	}
	return t, nil
}

// envelope encodes an answer: the fields that each has, and at the same level those of the action.
func envelope(id string, out any, f *failure) ([]byte, error) {
	if f == nil {
		f = fail(apicode.OK, "success")
	}
	body, err := json.Marshal(struct {
		Code      int
		Message   string
		RequestId string
	}{f.code, f.message, id})
	if err != nil || out == nil {
		return body, err
	}
	fields, err := json.Marshal(out)
	if err != nil || len(fields) <= len("{}") {
		return body, err
	}
	return append(append(body[:len(body)-1], ','), fields[1:]...), nil
}

// A call is a request that an action does.
type call struct {
	api    *API
	ctx    context.Context
	app    uint32
	action string
}

func (c *call) server() *backend.Server { return c.api.config.Server }

// allow counts n calls of the action, for the app as a whole or for what key names.
func (c *call) allow(l limit, key string, n int) bool {
	return c.api.config.NoLimits || c.api.limits.allow(c.app, c.action, key, l, n)
}

// do does a request in a user's name. special has the codes that mean something else in this place.
func (c *call) do(userID string, req *wire.Request, special map[int32]int) (*wire.Response, *failure) {
	return c.act(backend.Act{UserID: userID, Request: req}, special)
}

// act is do for what is more than a request.
func (c *call) act(act backend.Act, special map[int32]int) (*wire.Response, *failure) {
	act.App = c.app
	resp := c.server().Do(c.ctx, act)
	if resp.Error != nil {
		return nil, failed(resp.Error, special)
	}
	return resp, nil
}

// storage is the failure when the backend could not look something up or keep it.
func (c *call) storage(err error) *failure {
	c.api.log.Error("restapi: "+c.action, "app", c.app, "err", err)
	return fail(apicode.Storage, "the database request failed")
}

// actors checks that users exist in whose name something is done that is not done by [call.do].
func (c *call) actors(code int, userIDs ...string) *failure {
	list, err := c.server().Accounts(c.ctx, c.app, userIDs...)
	if err != nil {
		return c.storage(err)
	}
	for _, account := range list {
		if !account.Exists {
			return fail(code, "the user is not registered")
		}
	}
	return nil
}
