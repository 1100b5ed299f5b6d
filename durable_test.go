package zim_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// A run is a run of a program that sends durable messages: a ZIM, and what its handlers were told.
type run struct {
	*zim.ZIM
	handled func() // is called by the handler, before it returns; nil: nothing is

	mu   sync.Mutex
	log  []string // guarded by mu; how messages ended
	list []*zim.Message
	bad  []*zim.Error
}

// told returns how messages ended, ended returns the messages, and errs what else went wrong.
func (r *run) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

func (r *run) ended() []*zim.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

func (r *run) errs() []*zim.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bad)
}

// newRun starts a program whose outbox is below dir.
func newRun(t *testing.T, ft *faketransport.Transport, dir string) *run {
	t.Helper()
	z, err := zim.New(zim.AppConfig{AppID: 1, Transport: ft, OutboxDir: dir, EventBuffer: 1, Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	r := &run{ZIM: z}
	zim.On(z, func(_ context.Context, e *zim.MessageSentStatusChanged) {
		for _, info := range e.Infos {
			s := info.Status.String() + " " + said(info.Message)
			if errors.Is(info.Err, zim.ErrOutcomeUnknown) {
				s += ", unknown"
			}
			r.mu.Lock()
			r.log, r.list = append(r.log, s), append(r.list, info.Message)
			r.mu.Unlock()
		}
		if r.handled != nil {
			r.handled()
		}
	})
	zim.On(z, func(_ context.Context, e *zim.Error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bad = append(r.bad, e)
	})
	return r
}

func said(m *zim.Message) string {
	if text, ok := m.Content.(*zim.TextMessage); ok {
		return text.Message
	}
	return fmt.Sprintf("%T", m.Content)
}

func (r *run) login(t *testing.T) {
	t.Helper()
	if err := r.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// durable sends durable text messages.
func (r *run) durable(t *testing.T, to zim.ConversationRef, texts ...string) []*zim.Message {
	t.Helper()
	var list []*zim.Message
	for _, text := range texts {
		m, err := r.SendMessage(t.Context(), &zim.TextMessage{Message: text}, to, &zim.MessageSendConfig{Durable: true})
		if err != nil || m.SentStatus != zim.MessageSentStatusSending || said(m) != text {
			t.Fatalf("got %+v, %v, want a message that is being sent", m, err)
		}
		list = append(list, m)
	}
	return list
}

// outboxFiles returns the paths of the durable messages below dir.
func outboxFiles(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*", "*.message"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// crashed returns a copy of dir as a crash would leave it now.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return left
}

// arrived returns the texts that the service has, in the order in which it got them.
func arrived(ft *faketransport.Transport) []string {
	var texts []string
	seen := map[string]bool{}
	for _, send := range ft.Sends() {
		if id := string(send.LocalMessageId); !seen[id] {
			seen[id] = true
			texts = append(texts, text(send))
		}
	}
	return texts
}

func text(send *wire.SendMessageRequest) string {
	var c wire.TextContent
	if err := proto.Unmarshal(send.Content, &c); err != nil {
		return err.Error()
	}
	return c.Message
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// losing makes the service take messages without a word.
func losing(ft *faketransport.Transport) {
	ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
		resp := ft.Answer(req)
		if req.GetSendMessage() != nil {
			return nil
		}
		return resp
	})
}

// ignoring makes the service not hear of messages.
func ignoring(ft *faketransport.Transport) {
	ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
		if req.GetSendMessage() != nil {
			return nil
		}
		return ft.Answer(req)
	})
}

// SendMessage returns before the service has the message, and the file stays until the handler has returned.
func TestDurableMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ft, dir := faketransport.New(t), t.TempDir()
		a := newRun(t, ft, dir)
		files := -1
		a.handled = func() { files = len(outboxFiles(t, dir)) }
		a.login(t)
		attached := ""
		ctx, cancel := context.WithCancel(t.Context())
		ignoring(ft)
		m, err := a.SendMessage(ctx, &zim.TextMessage{Message: "one"}, zim.Peer("bob"), &zim.MessageSendConfig{
			Durable: true, Notification: zim.MessageSendNotification{OnMessageAttached: func(m *zim.Message) { attached = m.LocalID }},
		})
		if err != nil || m.SentStatus != zim.MessageSentStatusSending || m.LocalID != attached {
			t.Fatalf("got %+v, %v; attached was %q", m, err, attached)
		}
		cancel() // which changes nothing
		synctest.Wait()
		if n := len(outboxFiles(t, dir)); n != 1 || len(a.told()) != 0 {
			t.Errorf("before the answer: %d files, told %q", n, a.told())
		}
		for name, try := range map[string]func() error{
			"retry": func() error {
				_, err := a.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m})
				return err
			},
			"retry of a copy": func() error {
				failed := *m
				failed.SentStatus = zim.MessageSentStatusFailed
				_, err := a.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: &failed, Durable: true})
				return err
			},
			"cancel": func() error { return a.CancelSendingMessage(m) },
		} {
			if err := try(); err == nil {
				t.Errorf("%s: got no error for a message that the outbox owns", name)
			}
		}
		ft.OnRequest(nil)
		ft.Drop()
		time.Sleep(time.Second)
		synctest.Wait()
		same(t, "told", a.told(), []string{"Success one"})
		if len(a.ended()) == 0 {
			t.FailNow()
		}
		if a.ended()[0].LocalID != m.LocalID || a.ended()[0].ID == "" || a.ended()[0].Seq != 1 {
			t.Errorf("ended as %+v", a.ended()[0])
		}
		if left := outboxFiles(t, dir); files != 1 || len(left) != 0 {
			t.Errorf("while the handler ran: %d files, want 1; after it: %q", files, left)
		}
	})
}

// Whenever the program crashes: the service has each message once, in order, and a handler is told of each.
func TestCrashesOfTheSender(t *testing.T) {
	for name, step := range map[string]struct {
		at   func(ft *faketransport.Transport, a *run)
		told []string // before the crash
		more []string // in the next run
	}{
		"written, and not sent": {at: func(ft *faketransport.Transport, _ *run) { ft.Refuse(errors.New("no network")); ft.Drop() }, more: []string{"1", "2", "3"}},
		"sent, and not stored":  {at: func(ft *faketransport.Transport, _ *run) { ignoring(ft) }, more: []string{"1", "2", "3"}},
		"stored, and no answer": {at: func(ft *faketransport.Transport, _ *run) { losing(ft) }, more: []string{"1", "2", "3"}},
		"the handler runs":      {at: func(_ *faketransport.Transport, a *run) { a.handled = func() {} }, told: []string{"1"}, more: []string{"1", "2", "3"}},
		"all is over":           {at: func(*faketransport.Transport, *run) {}, told: []string{"1", "2", "3"}},
		"half of it":            {at: halfAnswered, told: []string{"1"}, more: []string{"2", "3"}},
		"put off":               {at: func(ft *faketransport.Transport, _ *run) { ft.OnRequest(refusing(6000005)) }, more: []string{"1", "2", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ft, dir := faketransport.New(t), t.TempDir()
				a := newRun(t, ft, dir)
				forever := make(chan struct{})
				defer close(forever)
				a.login(t)
				step.at(ft, a)
				if a.handled != nil {
					a.handled = func() { <-forever }
				}
				synctest.Wait()
				a.durable(t, zim.Peer("bob"), "1", "2", "3")
				synctest.Wait()
				left := crashed(t, dir)
				same(t, "told before", a.told(), prefixed("Success ", step.told))
				ft.Accept()
				ft.OnRequest(nil)
				b := newRun(t, ft, left)
				b.login(t)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				same(t, "told after", b.told(), prefixed("Success ", step.more))
				same(t, "stored", arrived(ft), []string{"1", "2", "3"})
				for i, m := range b.ended() {
					if want := int64(4 - len(b.ended()) + i); m.Seq != want || m.Sender != "alice" || m.Conversation != zim.Peer("bob") {
						t.Errorf("got %+v, want the number %d", m, want)
					}
				}
				if files := outboxFiles(t, left); len(files) > 0 || len(b.errs()) > 0 {
					t.Errorf("left: %q, errors: %v", files, b.errs())
				}
			})
		})
	}
}

// halfAnswered has the service take the first message, and no others.
func halfAnswered(ft *faketransport.Transport, _ *run) {
	n := 0
	ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
		if req.GetSendMessage() != nil {
			if n++; n > 1 {
				return nil
			}
		}
		return ft.Answer(req)
	})
}

func prefixed(prefix string, list []string) []string {
	var all []string
	for _, s := range list {
		all = append(all, prefix+s)
	}
	return all
}

// The end of a session ends no durable message: the next session of the user sends it, in this ZIM or another.
func TestSessionsEnd(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, ft *faketransport.Transport, a *run){
		"logout": func(t *testing.T, _ *faketransport.Transport, a *run) {
			a.Logout(t.Context(), &zim.LogoutConfig{IsClearDB: true})
		},
		"kick": func(_ *testing.T, ft *faketransport.Transport, _ *run) {
			ft.PushRaw(&wire.Push{SessionEnd: &wire.SessionEnd{Reason: wire.SessionEndReason_SESSION_END_REASON_KICKED_OUT}})
		},
		"refusal with the end of the session": func(_ *testing.T, ft *faketransport.Transport, _ *run) {
			ft.OnRequest(func(*faketransport.Conn, *wire.Request) *wire.Response {
				return &wire.Response{Error: &wire.Error{Code: 6000121, SessionEnd: new(wire.SessionEnd)}}
			})
			ft.Drop()
			time.Sleep(5 * time.Second)
			synctest.Wait()
		},
		"token expired": func(*testing.T, *faketransport.Transport, *run) { time.Sleep(61 * time.Minute) },
		"destroy":       func(_ *testing.T, _ *faketransport.Transport, a *run) { a.Destroy() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ft, dir := faketransport.New(t), t.TempDir()
				a := newRun(t, ft, dir)
				a.login(t)
				ignoring(ft)
				a.durable(t, zim.Peer("bob"), "1", "2")
				a.durable(t, zim.Group("chess"), "3")
				end(t, ft, a)
				synctest.Wait()
				same(t, "told", a.told(), nil)
				ft.OnRequest(nil)
				b := a
				if name == "destroy" {
					b = newRun(t, ft, dir)
				}
				b.login(t)
				same(t, "told in the next session", slices.Sorted(slices.Values(b.told())), []string{"Success 1", "Success 2", "Success 3"})
				same(t, "files", outboxFiles(t, dir), nil)
			})
		})
	}
}

// A handler that is told of a failure sends the message again at once. If the program crashes then, the message is in two files, but it is one
// message, and the next run tells once how it ended.
func TestRetryFromTheHandler(t *testing.T) {
	withRun(t, func(t *testing.T, ft *faketransport.Transport, dir string, a *run) {
		forever := make(chan struct{})
		defer close(forever)
		a.handled = func() {
			m := a.ended()[0]
			ignoring(ft)
			if _, err := a.SendMessage(t.Context(), nil, m.Conversation, &zim.MessageSendConfig{Retry: m, Durable: true}); err != nil {
				t.Error(err)
			}
			<-forever
		}
		ft.OnRequest(refusing(int32(zim.ErrMessageTargetDoesNotExist)))
		a.durable(t, zim.Peer("bob"), "1")
		synctest.Wait()
		left := crashed(t, dir)
		if n := len(outboxFiles(t, left)); n != 2 {
			t.Errorf("the crash left %d files, want 2", n)
		}
		ft.OnRequest(nil)
		b := newRun(t, ft, left)
		b.login(t)
		same(t, "told", b.told(), []string{"Success 1"})
		same(t, "files", outboxFiles(t, left), nil)
	})
}
