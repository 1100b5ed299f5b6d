// Package transporttest checks whether a transport keeps the contract of package [transport].
//
// The author of a transport writes one function, which connects the transport to a [Service] that the checks script:
//
//	func TestConn(t *testing.T) {
//		transporttest.TestConn(t, func(tb testing.TB, service *transporttest.Service) transport.Dialer {
//			server := serveMyProtocol(tb, service) // calls service.Attach for each connection, then Handle for each request
//			return mytransport.Dialer{Network: server}
//		})
//	}
//
// Each check runs in a bubble of its own (see [testing/synctest]): a minute of waiting costs nothing, and a goroutine that
// the transport leaves behind fails the check. So everything must happen in memory, for instance over [net.Pipe], and what
// serves must end with the test.
package transporttest

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// TestConn checks the transport that connect connects to a service. connect is called once or more for each check.
func TestConn(t *testing.T, connect Connect) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t, connect) })
		})
	}
}

// A Connect returns a Dialer whose attachments reach service.
type Connect func(tb testing.TB, service *Service) transport.Dialer

// A Service is what the transport under test reaches: it takes requests, and answers and pushes what a check wants.
type Service struct {
	script script

	mu   sync.Mutex
	last *Attachment // guarded by mu; the one that was attached last
}

// A script is how a service handles a request. It may reply later or not at all.
type script func(a *Attachment, req *wire.Request, reply func(*wire.Response))

// A Link is how a service reaches the client of an attachment. Both functions are required and may be called by any
// goroutine.
type Link struct {
	// Push sends push to the client, behind what was pushed before.
	Push func(push *wire.Push) error
	// Close ends the connection from the service's side.
	Close func()
}

// An Attachment is a connection at the service.
type Attachment struct {
	service *Service
	link    Link
}

// Attach begins an attachment. Call it once for each connection, before its first request.
func (s *Service) Attach(link Link) *Attachment {
	a := &Attachment{s, link}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = a
	return a
}

// Handle takes a request of the client. Call it in the order of the requests, by one goroutine at a time; it may block.
// reply is called at most once, then or later, by any goroutine, perhaps after the connection ended.
func (a *Attachment) Handle(req *wire.Request, reply func(*wire.Response)) {
	switch {
	case req.GetLogin() != nil:
		reply(&wire.Response{Body: &wire.Response_Login{Login: &wire.LoginResponse{
			Position: &wire.Position{Epoch: 1},
			Last:     &wire.Position{Epoch: 1},
		}}})
	case req.Body == nil:
		reply(&wire.Response{Error: &wire.Error{Code: codeUnsupported, Message: "unknown request"}})
	default:
		a.service.script(a, req, reply)
	}
}

// codeUnsupported is a documented code: the service doesn't know such requests.
const codeUnsupported = 6000013

// echo acknowledges messages at once.
func echo(_ *Attachment, req *wire.Request, reply func(*wire.Response)) { reply(ack(number(req))) }

// message returns the request to send the nth message, which is how the checks tell requests apart.
func message(n int) *wire.Request {
	id := make([]byte, 16)
	id[14], id[15] = byte(n>>8), byte(n)
	content, err := proto.Marshal(&wire.TextContent{Message: strconv.Itoa(n)})
	if err != nil {
		panic(err) // of digits
	}
	return &wire.Request{Body: &wire.Request_SendMessage{SendMessage: &wire.SendMessageRequest{
		LocalMessageId: id,
		ConversationId: "bob",
		Type:           1,
		Content:        content,
		Priority:       1,
	}}}
}

// number returns the n of message, or -1.
func number(req *wire.Request) int {
	var text wire.TextContent
	if proto.Unmarshal(req.GetSendMessage().GetContent(), &text) != nil {
		return -1
	}
	n, err := strconv.Atoi(text.Message)
	if err != nil {
		return -1
	}
	return n
}

// ack returns the answer to message(n).
func ack(n int) *wire.Response {
	return &wire.Response{Body: &wire.Response_SendMessage{SendMessage: &wire.SendMessageResponse{
		MessageId:   int64(n),
		MessageSeq:  int64(n),
		OrderKey:    int64(n),
		TimestampMs: 946_684_800_000,
	}}}
}

// event returns the push of the nth event of the user's feed: a message.
func event(n int) *wire.Push {
	content := message(n).GetSendMessage().Content
	m := &wire.Message{MessageId: int64(n), MessageSeq: int64(n), ConversationId: "bob", Type: 1, Content: content}
	return &wire.Push{Events: &wire.EventBatch{Epoch: 1, FirstSeq: uint64(n), Events: []*wire.Event{{Message: m}}}}
}

// A result is how a request ended.
type result struct {
	resp *wire.Response
	err  error
}

// is reports whether r is the answer to message(n).
func (r result) is(n int) bool {
	return r.err == nil && r.resp.GetError() == nil && r.resp.GetSendMessage().GetMessageId() == int64(n)
}

// dial makes an attachment and logs in. The Conn is closed with the test.
func dial(t testing.TB, dialer transport.Dialer) transport.Conn {
	t.Helper()
	conn, err := dialer.Dial(t.Context())
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	login := &wire.Request{Body: &wire.Request_Login{Login: &wire.LoginRequest{AppId: 1, UserId: "alice", Token: "token"}}}
	got := make(chan result, 1)
	go func() {
		resp, err := conn.RoundTrip(t.Context(), login)
		got <- result{resp, err}
	}()
	if r := await(t, got, "the answer to the login"); r.err != nil || r.resp.GetLogin() == nil {
		t.Fatalf("login: got %v, %v, want a LoginResponse", r.resp, r.err)
	}
	return conn
}

// attach makes an attachment to a service that follows script.
func attach(t testing.TB, connect Connect, script script) (transport.Conn, *Attachment) {
	t.Helper()
	service := &Service{script: script}
	conn := dial(t, connect(t, service))
	service.mu.Lock()
	defer service.mu.Unlock()
	return conn, service.last
}

// roundTrip sends the nth message.
func roundTrip(ctx context.Context, conn transport.Conn, n int) <-chan result {
	got := make(chan result, 1)
	go func() {
		resp, err := conn.RoundTrip(ctx, message(n))
		got <- result{resp, err}
	}()
	return got
}

// A received is what Receive returned.
type received struct {
	push *wire.Push
	err  error
}

func receive(ctx context.Context, conn transport.Conn) <-chan received {
	got := make(chan received, 1)
	go func() {
		push, err := conn.Receive(ctx)
		got <- received{push, err}
	}()
	return got
}

const (
	patience = time.Minute // for what a service has to do with
	promptly = time.Second // for what a Conn does by itself
)

// await returns what comes from c, or stops the test if nothing does.
func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	return awaitFor(t, patience, c, what)
}

func awaitFor[T any](t testing.TB, limit time.Duration, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		t.Fatalf("%s: got nothing for %v", what, limit)
		panic("unreachable")
	}
}
