package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/wire"
)

// The tests of bad input have the numbers of the cases in their names: N01 to N18 are about frames, N19 to N34 about logins, and the
// others about what a user may do. The case has to come back as it says; and whatever it is, hostile sees to it that the backend
// goes on, that nobody else notices and that nothing is stored that should not be.

// A host is a backend under attack.
type host struct {
	srv      *zimtest.Server
	store    *store.Store
	listener *memnet.Listener
	log      lockedBuffer // of the backend and of net/http
	stored   uint32       // how many messages to bob the attack stores lawfully
}

// A lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// hostile runs an attack on a backend in a bubble, and checks what it has done.
func hostile(t *testing.T, options zimtest.Options, attack func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &host{listener: memnet.Listen()}
		config := options.Config
		options.Config = func(c *backend.Config) {
			h.store = c.Store
			c.Logger = slog.New(slog.NewTextHandler(&h.log, nil))
			if config != nil {
				config(c)
			}
		}
		h.srv = zimtest.NewServer(t, &options)
		h.listen(t)
		carol, dave := newZIM(t, h.srv.WebSocket()), newZIM(t, h.srv.InProcess())
		seen, in := states(carol), newInbox(dave)
		login(t, h.srv, carol, "carol")
		login(t, h.srv, dave, "dave")
		h.srv.Register("bob")

		attack(t, h)

		synctest.Wait()
		if got := h.last(t, "bob"); got != h.stored {
			t.Errorf("bob has %d messages, want %d", got, h.stored)
		}
		if _, err := carol.SendMessage(t.Context(), &zim.TextMessage{Message: "still there?"}, zim.Peer("dave"), nil); err != nil {
			t.Errorf("carol can't send: %v", err)
		}
		wantStates(t, seen, "1,1", "2,0")
		if got := in.texts(); !slices.Equal(got, []string{"still there?"}) {
			t.Errorf("dave got %q", got)
		}
		time.Sleep(2 * time.Second) // until an address may fail again
		login(t, h.srv, newZIM(t, h.srv.WebSocket()), "newcomer")
		if got := h.log.String(); strings.Contains(got, "panic") {
			t.Errorf("the server logged %s", got)
		}
	})
}

// listen serves connections that come from the address that they name themselves.
func (h *host) listen(t *testing.T) {
	web := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RemoteAddr = r.Header.Get("Test-Address")
			h.srv.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          log.New(&h.log, "", 0),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		web.Serve(h.listener)
	}()
	t.Cleanup(func() {
		web.Close()
		<-served
	})
}

// last returns the number of the last event in a user's feed.
func (h *host) last(t *testing.T, userID string) (last uint32) {
	t.Helper()
	err := h.store.View(t.Context(), func(tx *store.Tx) error {
		u, err := tx.User(zimtest.AppID, userID)
		if u != nil {
			_, last, err = tx.Feed(u)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// registered reports whether there is a user of that name.
func (h *host) registered(t *testing.T, userID string) (found bool) {
	t.Helper()
	err := h.store.View(t.Context(), func(tx *store.Tx) error {
		u, err := tx.User(zimtest.AppID, userID)
		found = u != nil
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A rawConn is a WebSocket made by hand: it sends what no library would.
type rawConn struct {
	t      *testing.T
	conn   net.Conn
	in     *bufio.Reader
	out    chan []byte // a goroutine writes it: the server may stop reading at any time
	id     uint64
	frames []*wire.Frame // received, and not looked at yet
	pushes []*wire.Push
	pongs  int
	closed bool
	status int // of the close frame; zero if none came

	mu      sync.Mutex
	written int // guarded by mu; bytes that the server has read
}

// open connects and asks for a WebSocket, from an address, with more lines in the request's header.
func (h *host) open(t *testing.T, address string, lines ...string) (*rawConn, *http.Response) {
	t.Helper()
	conn, err := h.listener.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	c := &rawConn{t: t, conn: conn, in: bufio.NewReader(conn), out: make(chan []byte, 1<<10)}
	var writing sync.WaitGroup
	writing.Go(c.write)
	t.Cleanup(func() {
		conn.Close()
		close(c.out)
		writing.Wait()
	})
	request := append([]string{
		"GET /v1 HTTP/1.1", "Host: zim.test", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: zim.v1", "Test-Address: " + address + ":1",
	}, lines...)
	c.out <- []byte(strings.Join(request, "\r\n") + "\r\n\r\n")
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, resp
}

func (c *rawConn) write() {
	var err error
	for b := range c.out {
		var n int
		if err == nil {
			n, err = c.conn.Write(b)
		}
		c.mu.Lock()
		c.written += n
		c.mu.Unlock()
	}
}

// accepted returns how many bytes the server has read.
func (c *rawConn) accepted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written
}

// dial returns a WebSocket on which nothing was sent.
func (h *host) dial(t *testing.T) *rawConn {
	t.Helper()
	c, resp := h.open(t, "192.0.2.1")
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %s, want 101", resp.Status)
	}
	return c
}

// login returns a WebSocket on which userID has logged in.
func (h *host) login(t *testing.T, userID string) *rawConn {
	t.Helper()
	c := h.dial(t)
	if resp := c.call(loginRequest(h.srv, userID)); resp.GetLogin() == nil {
		t.Fatalf("got %v, want a login", resp)
	}
	return c
}

// The opcodes of RFC 6455, with the bit that says that the message ends here.
const (
	opText, opBinary, opClose, opPing, opPong = 0x81, 0x82, 0x88, 0x89, 0x8A
	noFin                                     = 0x80 // to be taken off
)

// wsFrame returns a masked frame.
func wsFrame(head byte, payload []byte) []byte {
	b := []byte{head}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := [4]byte{1, 2, 3, 4}
	b = append(b, key[:]...)
	for i, x := range payload {
		b = append(b, x^key[i%4])
	}
	return b
}

// delimited returns frames as they are in a message: each behind its length.
func delimited(frames ...*wire.Frame) (b []byte) {
	for _, f := range frames {
		data, err := proto.Marshal(f)
		if err != nil {
			panic(err)
		}
		b = protowire.AppendBytes(b, data)
	}
	return b
}

// send sends a binary message.
func (c *rawConn) send(payload []byte) { c.out <- wsFrame(opBinary, payload) }

// next returns the next frame, or nil once the connection is closed.
func (c *rawConn) next() *wire.Frame {
	c.t.Helper()
	for len(c.frames) == 0 {
		if c.closed {
			return nil
		}
		head, payload, err := c.read()
		switch {
		case err != nil:
			c.closed = true
		case head == opClose:
			c.closed = true
			c.status = int(binary.BigEndian.Uint16(payload))
			c.out <- wsFrame(opClose, payload)
		case head == opPong:
			c.pongs++
		case head == opBinary:
			for len(payload) > 0 {
				data, n := protowire.ConsumeBytes(payload)
				f := new(wire.Frame)
				if n < 0 || proto.Unmarshal(data, f) != nil {
					c.t.Fatalf("the server sent %x", payload)
				}
				payload = payload[n:]
				c.frames = append(c.frames, f)
			}
		default:
			c.t.Fatalf("the server sent a frame that begins with %#x", head)
		}
	}
	f := c.frames[0]
	c.frames = c.frames[1:]
	return f
}

func (c *rawConn) read() (head byte, payload []byte, err error) {
	var b [8]byte
	if _, err := io.ReadFull(c.in, b[:2]); err != nil {
		return 0, nil, err
	}
	head, n := b[0], uint64(b[1])
	if n >= 126 {
		size := b[:2]
		if n == 127 {
			size = b[:8]
		}
		if _, err := io.ReadFull(c.in, size); err != nil {
			return 0, nil, err
		}
		n = 0
		for _, x := range size {
			n = n<<8 | uint64(x)
		}
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.in, payload)
	return head, payload, err
}

// request returns the next frame with a request of the given kind.
func (c *rawConn) request(body any) *wire.Frame {
	c.id++
	f := &wire.Frame{Id: c.id, Request: &wire.Request{}}
	switch b := body.(type) {
	case *wire.LoginRequest:
		f.Request.Body = &wire.Request_Login{Login: b}
	case *wire.LogoutRequest:
		f.Request.Body = &wire.Request_Logout{Logout: b}
	case *wire.RenewTokenRequest:
		f.Request.Body = &wire.Request_RenewToken{RenewToken: b}
	case *wire.HeartbeatRequest:
		f.Request.Body = &wire.Request_Heartbeat{Heartbeat: b}
	case *wire.SyncRequest:
		f.Request.Body = &wire.Request_Sync{Sync: b}
	case *wire.UploadRequest:
		f.Request.Body = &wire.Request_Upload{Upload: b}
	case *wire.SendMessageRequest:
		f.Request.Body = &wire.Request_SendMessage{SendMessage: b}
	case proto.Message:
		fields := f.Request.ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
		for i := range fields.Len() {
			if field := fields.Get(i); field.Message() == b.ProtoReflect().Descriptor() {
				f.Request.ProtoReflect().Set(field, protoreflect.ValueOfMessage(b.ProtoReflect()))
			}
		}
	}
	return f
}

// answer returns the response to the request with that id, or nil if the connection is closed before.
func (c *rawConn) answer(id uint64) *wire.Response {
	c.t.Helper()
	for f := c.next(); f != nil; f = c.next() {
		if f.Push != nil {
			c.pushes = append(c.pushes, f.Push)
		}
		if f.Response != nil && f.Id == id {
			return f.Response
		}
	}
	return nil
}

// call sends a request and waits for the answer.
func (c *rawConn) call(body any) *wire.Response {
	c.t.Helper()
	f := c.request(body)
	c.send(delimited(f))
	return c.answer(f.Id)
}

// wantStatus waits until the connection is closed.
func (c *rawConn) wantStatus(want int) {
	c.t.Helper()
	for f := c.next(); f != nil; f = c.next() {
		if f.Push != nil {
			c.pushes = append(c.pushes, f.Push)
		}
	}
	if c.status != want {
		c.t.Errorf("closed with status %d, want %d", c.status, want)
	}
}

// wantRefused sends a request, which must fail with a code.
func (c *rawConn) wantRefused(body any, want int32) {
	c.t.Helper()
	if resp := c.call(body); resp.GetError().GetCode() != want {
		c.t.Errorf("got %v, want the error %d", resp, want)
	}
}

// instanceOf makes an instance ID of a name.
func instanceOf(name string) []byte { return append([]byte(name), make([]byte, 16)...)[:16] }

// loginRequest is how userID logs in.
func loginRequest(srv *zimtest.Server, userID string) *wire.LoginRequest {
	return &wire.LoginRequest{
		AppId:      zimtest.AppID,
		UserId:     userID,
		Token:      srv.Token(userID),
		InstanceId: instanceOf(userID),
		DeviceId:   "raw",
		Platform:   5,
	}
}

// textTo is a text message with the local ID n.
func textTo(userID string, n int, text string) *wire.SendMessageRequest {
	content, err := proto.Marshal(&wire.TextContent{Message: text})
	if err != nil {
		panic(err)
	}
	return &wire.SendMessageRequest{
		LocalMessageId: binary.BigEndian.AppendUint64(make([]byte, 8), uint64(n)),
		ConversationId: userID,
		Type:           1,
		Content:        content,
	}
}
