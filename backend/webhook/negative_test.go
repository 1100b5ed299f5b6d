package webhook_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/webhook"
	"github.com/zim-go/zim/backend/zimtest"
)

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "zim.db"), store.Options{Relaxed: true})
	must(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}

// configured returns what New says of a URL.
func configured(st *store.Store, raw string, change func(*webhook.Config)) error {
	config := webhook.Config{Store: st, Apps: []webhook.App{{ID: zimtest.AppID, Secret: zimtest.CallbackSecret, URLs: webhook.To(raw)}}}
	if change != nil {
		change(&config)
	}
	s, err := webhook.New(config)
	if err == nil {
		s.Close()
	}
	return err
}

// N68, M11: addresses of this machine and its networks are refused when they are configured, in whichever way they are written, and when a
// connection is made, whatever the name was that led there.
func TestInsideAddresses(t *testing.T) {
	st := open(t)
	for _, host := range []string{
		"127.0.0.1", "127.9.9.9", "[::1]", "10.0.0.1", "10.255.255.255", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "0.1.2.3",
		"[::]", "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::8.8.8.8]", "[64:ff9b:1::1]", "64:ff9b::7f00:1",
		"[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd12:3456::1]", "[ff02::1]", "[2002:7f00:1::]", "[2001::1]", "[2001:db8::1]", "[fec0::1]",
		"224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
		"0x7f.1", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "127.0.0.1.", "017700000001", "a.0x1", "localhost", "LocalHost", "localhost.",
		"a.localhost", "a.localhost.", "printer.local", "metadata.google.internal", "intranet", "intranet.", "127%2e0.0.1", "%6cocalhost",
	} {
		for _, port := range []string{"", ":443", ":8080"} {
			if configured(st, "https://"+host+port+"/hook", nil) == nil {
				t.Errorf("https://%s%s was accepted", host, port)
			}
		}
		ip := strings.Trim(host, "[]")
		if err := webhook.Control("tcp", net.JoinHostPort(ip, "443"), nil); err == nil {
			t.Errorf("a connection to %s may be made", host)
		}
	}
	for _, host := range []string{"example.com", "example.com.", "8.8.8.8", "1.1.1.1:8443", "[2606:4700::1111]", "xn--bcher-kva.example", "b1.example.b1"} {
		if err := configured(st, "https://"+host+"/hook?key=value", nil); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, address := range []string{"8.8.8.8:443", "[2606:4700::1111]:8443"} {
		if err := webhook.Control("tcp", address, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	private := func(c *webhook.Config) { c.AllowPrivate = true }
	for _, raw := range []string{"http://127.0.0.1:9/hook", "https://localhost", "http://[::1]:9"} {
		if err := configured(st, raw, private); err != nil {
			t.Errorf("%s with AllowPrivate: %v", raw, err)
		}
	}
}

// N69: a name that stands for an address inside when the connection is made is of no use, whatever it stood for before.
func TestRebinding(t *testing.T) {
	var reached atomic.Bool
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	names := newNameServer(t, net.IPv4(127, 0, 0, 1))
	log := &lockedBuffer{wrote: make(chan struct{}, 1)}
	st := open(t)
	s, err := webhook.New(webhook.Config{
		Store: st, AllowHTTP: true, Resolver: names.resolver(), Logger: slog.New(slog.NewTextHandler(log, nil)),
		Apps: []webhook.App{{ID: 1, Secret: zimtest.CallbackSecret, URLs: webhook.To("http://rebound.example:" + port + "/")}},
	})
	must(t, err)
	defer s.Close()
	must(t, st.Update(func(tx *store.Tx) error { return s.Put(tx, 1, webhook.SendMsg, webhook.Fields{"msg_id": "1"}) }))
	s.Start()
	late := time.After(10 * time.Second)
	for !strings.Contains(log.String(), "not taken") {
		select {
		case <-log.wrote:
		case <-late:
			t.Fatal("it was not tried")
		}
	}
	if !strings.Contains(log.String(), "public internet") || reached.Load() {
		t.Errorf("reached %v, log %s", reached.Load(), log.String())
	}
	if names.asked.Load() == 0 {
		t.Error("the name was not looked up")
	}
}

// N70: a redirect is no answer, and nobody follows it.
func TestRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := &receiver{answer: func(w http.ResponseWriter, r *http.Request, _ callback) {
			if r.URL.Path == "/callbacks" {
				http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusTemporaryRedirect)
			}
		}}
		srv := start(t, rc, zimtest.Options{Webhook: messages})
		send(t, srv.Login(t, "alice"), registered(srv, "bob"), "hi")
		time.Sleep(2 * time.Minute)
		if got := len(rc.all("")); got != 6 {
			t.Errorf("%d tries, want 6: the redirect was followed, or taken for an answer", got)
		}
	})
}

// N71: an answer without an end is cut at 64 KiB, and one that does not come after 10 seconds. Other endpoints notice nothing.
func TestEndlessAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written atomic.Int64
		var ends sync.Map
		rc := &receiver{answer: func(w http.ResponseWriter, r *http.Request, _ callback) {
			begun := time.Now()
			switch r.URL.Path {
			case "/endless":
				for part := make([]byte, 4096); ; {
					n, err := w.Write(part)
					if written.Add(int64(n)); err != nil {
						break
					}
				}
			case "/hang": // in the middle of its answer
				w.WriteHeader(http.StatusOK)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			case "/silent":
				<-r.Context().Done()
			default:
				return
			}
			ends.Store(r.URL.Path, time.Since(begun))
		}}
		srv := start(t, rc, zimtest.Options{Webhook: func(c *webhook.Config) {
			c.Apps[0].URLs = map[string]string{
				webhook.SendMsg: "http://localhost/endless", webhook.GroupCreate: "http://localhost/hang", webhook.RoomCreate: "http://localhost/silent",
				webhook.UserAction: zimtest.CallbackURL,
			}
		}})
		post := func(event string) { srv.Callbacks().Post(zimtest.AppID, event, webhook.Fields{}) }
		post(webhook.SendMsg)
		post(webhook.GroupCreate)
		post(webhook.RoomCreate)
		post(webhook.UserAction)
		time.Sleep(time.Second)
		if len(rc.all(webhook.UserAction)) != 1 {
			t.Error("an endpoint that answers had to wait for others")
		}
		time.Sleep(10 * time.Second)
		if n := written.Load(); n < 64<<10 || n > 80<<10 {
			t.Errorf("%d bytes of the endless answer were taken, want about 64 KiB", n)
		}
		for path, want := range map[string]time.Duration{"/endless": 0, "/hang": 10 * time.Second, "/silent": 10 * time.Second} {
			if took, ok := ends.Load(path); !ok || took.(time.Duration).Round(time.Second) != want {
				t.Errorf("%s was left after %v, want %v", path, took, want)
			}
		}
		// Its status said that it was taken, so that the first two don't come again.
		if len(rc.all(webhook.SendMsg)) != 1 || len(rc.all(webhook.GroupCreate)) != 1 {
			t.Error("what was taken came again")
		}
	})
}

// N72: URLs of another kind are refused, and so is what could change a request. The error does not have the URL.
func TestBadURLs(t *testing.T) {
	st := open(t)
	for _, raw := range []string{
		"", "/hook", "hook", "file:///etc/passwd", "gopher://example.com/1", "ftp://example.com", "javascript:alert(1)", "https:example.com", "https://",
		"https:///hook", "//example.com/hook", "https://user@example.com/", "https://user:pass@example.com/", "https://:@example.com/",
		"https://example.com/\r\nX-Evil: 1", "https://example.com\r\n", "https://exa mple.com/", "https://example.com/a b", "https://example.com/\x00",
		"https://example.com/\x7f", "https://example.com\\@127.0.0.1/", "https://bücher.example/", "https://example.com/#part", "https://example.com:0/",
		"https://example.com:70000/", "https://example.com:/", "https://example.com:x/", "https://example.com/" + strings.Repeat("a", 3000),
		"https://example%2ecom/", "http://example.com/plain", " https://example.com/", "https://example.com/%zz",
	} {
		err := configured(st, raw, nil)
		if err == nil {
			t.Errorf("%q was accepted", raw)
		} else if len(raw) > 10 && (strings.Contains(err.Error(), raw) || strings.Contains(err.Error(), "example")) {
			t.Errorf("the error has the URL: %v", err)
		}
	}
	if err := configured(st, "http://example.com/plain", func(c *webhook.Config) { c.AllowHTTP = true }); err != nil {
		t.Errorf("http with AllowHTTP: %v", err)
	}
}

func TestBadConfig(t *testing.T) {
	st := open(t)
	app := webhook.App{ID: 1, Secret: "secret", URLs: webhook.To("https://example.com")}
	for name, config := range map[string]webhook.Config{
		"no store":        {Apps: []webhook.App{app}},
		"no secret":       {Store: st, Apps: []webhook.App{{ID: 1, URLs: app.URLs}}},
		"no app ID":       {Store: st, Apps: []webhook.App{{Secret: "secret", URLs: app.URLs}}},
		"twice":           {Store: st, Apps: []webhook.App{app, app}},
		"no such event":   {Store: st, Apps: []webhook.App{{ID: 1, Secret: "secret", URLs: webhook.To("https://example.com", "call_create")}}},
		"a dial function": {Store: st, Apps: []webhook.App{app}, DialContext: new(net.Dialer).DialContext},
		"a negative time": {Store: st, Apps: []webhook.App{app}, Timeout: -1},
	} {
		if s, err := webhook.New(config); err == nil {
			s.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}

// The documented example of a signature, and more.
func TestSign(t *testing.T) {
	for _, test := range []struct{ secret, timestamp, nonce, want string }{
		{"secret", "1470820198", "123412", "5bd59fd62953a8059fb7eaba95720f66d19e4517"},
		{"0123456789abcdef0123456789abcdef", "1700000000", "350176", "8c88e944cbbfd435a2ab7700b11b0a7320087407"},
		{"1aaa", "1700000000", "9", "f228d6da5b89fefc316af3b78c86dba796e52526"},
		{"Zsecret", "1700000000", "17", "2f50f7fba86e204c0b82f242e0b842d252848575"},
	} {
		if got := webhook.Sign(test.secret, test.timestamp, test.nonce); got != test.want {
			t.Errorf("%v: %s", test, got)
		}
	}
}

// A fuzzed URL that is accepted leads to where the rules allow, as net/http reads it.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://example.com/", "https://127.1/", "https://[::1]/", "https://a@b/", "https://example.com:443/?a=b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if webhook.CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || strings.ContainsAny(raw, "\r\n\\ #") {
			t.Fatalf("%q was accepted", raw)
		}
		if ip := net.ParseIP(u.Hostname()); ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()) {
			t.Fatalf("%q was accepted", raw)
		}
	})
}

// A nameServer is one that says the same of each name.
type nameServer struct {
	conn  net.PacketConn
	asked atomic.Int64
}

func newNameServer(t *testing.T, ip net.IP) *nameServer {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	n := &nameServer{conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 512); ; {
			size, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			n.asked.Add(1)
			conn.WriteTo(answer(b[:size], ip.To4()), from)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return n
}

// answer is what a name server says to a question.
func answer(question []byte, ip net.IP) []byte {
	const header = 12
	end := header + bytes.IndexByte(question[header:], 0) + 1 // of the name
	typ := binary.BigEndian.Uint16(question[end:])
	b := append([]byte(nil), question[:end+4]...)
	b[2], b[3] = 0x84, 0
	copy(b[4:], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	if typ == 1 {
		b[7] = 1
		b = append(b, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		b = append(b, ip...)
	}
	return b
}

func (n *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", n.conn.LocalAddr().String())
	}}
}

// A lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu    sync.Mutex
	b     bytes.Buffer // guarded by mu
	wrote chan struct{}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.wrote <- struct{}{}:
	default:
	}
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
