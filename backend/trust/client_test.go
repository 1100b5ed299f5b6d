//go:build linux

package trust_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

// newClient returns a ZIM that goes through a proxy, and is not logged in. Its durable messages are below outbox, if that is not empty.
func newClient(url, user, outbox string) (*zim.ZIM, error) {
	return zim.New(zim.AppConfig{
		AppID:             appID,
		Transport:         websocket.Dialer{URL: url},
		Limits:            zim.Limits{SendRate: -1},
		MaxReconnectDelay: 50 * time.Millisecond,
		ResendWindow:      time.Minute,
		DeviceID:          "the one of " + user,
		OutboxDir:         outbox,
	})
}

func logIn(ctx context.Context, z *zim.ZIM, user string) error {
	tok, err := token.Issue04(appID, user, secret, 6*time.Hour, nil)
	if err != nil {
		return err
	}
	return z.Login(ctx, user, &zim.LoginConfig{Token: tok})
}

// A job is what a client process does.
type job struct {
	URL, User string
	Outbox    string // where its durable messages are; with those of runs before, it goes on
	To        string // whom it sends to; empty if it only receives
	From      int    // the first message that it sends
	Count     int    // the first that it does not send any more
}

// A line is what a client process says of what it does: a line of JSON on its output.
type line struct {
	Do      string // ready, send, attached, end, got or done; the end of a durable message may be told by several runs
	N       int    `json:",omitempty"`
	Message *said  `json:",omitempty"`
	Outcome string `json:",omitempty"` // of a send that ended, if it was not acknowledged: outcomeUnknown, or why it was refused
}

type said struct {
	ID, LocalID, Sender, Conversation, Text string
	Seq                                     int64
}

func say(m *zim.Message) *said {
	if m == nil {
		return nil
	}
	return &said{m.ID, m.LocalID, m.Sender, m.Conversation.ID, m.Content.(*zim.TextMessage).Message, m.Seq}
}

func (s *said) message() *zim.Message {
	if s == nil {
		return nil
	}
	return &zim.Message{
		ID: s.ID, LocalID: s.LocalID, Seq: s.Seq, Sender: s.Sender, Conversation: zim.Peer(s.Conversation), Content: &zim.TextMessage{Message: s.Text},
	}
}

// Outcomes of a send.
const (
	outcomeUnknown = "unknown"
	outcomeRefused = "refused"
)

func (l *line) err() error {
	switch l.Outcome {
	case "":
		return nil
	case outcomeUnknown:
		return zim.ErrOutcomeUnknown
	}
	return errors.New(l.Outcome)
}

// ended is the line that tells how a send ended.
func ended(n int, m *zim.Message, err error) line {
	l := line{Do: "end", N: n, Message: say(m)}
	switch {
	case errors.Is(err, zim.ErrOutcomeUnknown):
		l.Outcome = outcomeUnknown
	case err != nil:
		l.Outcome = err.Error()
	}
	return l
}

// runClient is the main function of a client process, which ends with its standard input if it is not killed before.
func runClient(doing string) int {
	var j job
	if err := json.Unmarshal([]byte(doing), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var mu sync.Mutex
	tell := func(l line) {
		b, err := json.Marshal(l)
		if err != nil {
			panic(err)
		}
		mu.Lock()
		defer mu.Unlock()
		os.Stdout.Write(append(b, '\n'))
	}
	z, err := newClient(j.URL, j.User, j.Outbox)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer z.Destroy()
	// What this handler has returned from does not come again but for the last moment.
	zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
		for _, m := range e.Messages {
			tell(line{Do: "got", Message: say(m)})
		}
	})
	zim.On(z, func(_ context.Context, e *zim.MessageSentStatusChanged) {
		for _, info := range e.Infos {
			if n, ok := j.number(info.Message); ok && durable(n) {
				tell(ended(n, info.Message, info.Err))
			}
		}
	})
	for {
		err := logIn(ctx, z, j.User)
		if err == nil {
			break
		}
		select { // the connection was cut, or the server is not there
		case <-ctx.Done():
			fmt.Fprintln(os.Stderr, err)
			return 2
		case <-time.After(50 * time.Millisecond):
		}
	}
	tell(line{Do: "ready"})
	if j.To != "" {
		j.send(ctx, z, tell)
		tell(line{Do: "done"})
	}
	<-ctx.Done()
	return 0
}

func (j *job) send(ctx context.Context, z *zim.ZIM, tell func(line)) {
	var workers sync.WaitGroup
	var mu sync.Mutex
	next := j.From
	begin := func() (n int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next >= j.Count {
			return 0, false
		}
		next++
		// The numbers are told in order, so that whoever kills this process knows with which one to go on.
		tell(line{Do: "send", N: next - 1})
		return next - 1, true
	}
	for range 4 {
		workers.Go(func() {
			for n, ok := begin(); ok; n, ok = begin() {
				m, err := z.SendMessage(ctx, j.content(n), zim.Peer(j.To), &zim.MessageSendConfig{
					Durable: durable(n),
					Notification: zim.MessageSendNotification{
						OnMessageAttached: func(m *zim.Message) { tell(line{Do: "attached", N: n, Message: say(m)}) },
					},
				})
				if err != nil || !durable(n) { // else the outbox has it
					tell(ended(n, m, err))
				}
			}
		})
	}
	workers.Wait()
}

func (j *job) content(n int) *zim.TextMessage {
	return &zim.TextMessage{Message: fmt.Sprint(j.User, "/", n)}
}

// number is the inverse of content.
func (j *job) number(m *zim.Message) (n int, ok bool) {
	text, ok := m.Content.(*zim.TextMessage)
	if !ok {
		return 0, false
	}
	_, err := fmt.Sscanf(text.Message, j.User+"/%d", &n)
	return n, err == nil
}

// durable reports whether a message of a job is one that survives the process.
func durable(n int) bool { return n%4 != 0 }

// A process is a client process as its parent sees it. Only the goroutine that made it uses it.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	gone  chan struct{} // closed once it is gone and all that it said was heard
}

// startClient starts a process that does a job, and hears what it says, line by line, in a goroutine of its own.
func startClient(t *testing.T, j job, hear func(line)) *process {
	t.Helper()
	doing, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0]), gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), clientVar+"="+string(doing))
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	go func() { // ends with the process, which kill and end wait for
		defer close(p.gone)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var l line
			// The last line of a process that was killed may be cut off: then its handler had not returned.
			if json.Unmarshal(lines.Bytes(), &l) == nil {
				hear(l)
			}
		}
		p.cmd.Wait()
	}()
	return p
}

// kill ends the process as -9 does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.gone
}

// end lets the process end by itself.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.stdin.Close()
	select {
	case <-p.gone:
	case <-time.After(time.Minute):
		t.Error("a client did not end within a minute")
		p.kill()
	}
}
