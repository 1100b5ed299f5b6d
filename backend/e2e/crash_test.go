package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

// Real processes and real sockets: ten thousand messages, while connections are cut two hundred times and the backend is
// killed with -9 and started again five times. What was acknowledged arrives exactly once and in order, and each send ends
// as acknowledged, refused or unknown.
func TestCrashes(t *testing.T) {
	const (
		senders  = 4
		each     = 2500
		inFlight = 8
		cuts     = 200
		kills    = 5
	)
	srv := startZimd(t)
	proxy := newProxy(t, srv.address)
	receiver := srv.login(t, proxy, "receiver")
	var mu sync.Mutex
	var got []*zim.Message
	var resets atomic.Int64
	arrived := make(chan struct{}, 1)
	zim.On(receiver, func(_ context.Context, e *zim.PeerMessageReceived) {
		mu.Lock()
		got = append(got, e.Messages...)
		mu.Unlock()
		select {
		case arrived <- struct{}{}:
		default:
		}
	})
	zim.On(receiver, func(context.Context, *zim.SyncReset) { resets.Add(1) })

	type sent struct {
		text    string
		message *zim.Message
		err     error
	}
	results := make([][]sent, senders)
	var wg sync.WaitGroup
	ended := make(chan struct{}, senders*each)
	for i := range senders {
		z := srv.login(t, proxy, "sender"+strconv.Itoa(i))
		var next atomic.Int64
		for range inFlight {
			wg.Go(func() {
				for n := next.Add(1); n <= each; n = next.Add(1) {
					text := fmt.Sprintf("%d/%d", i, n)
					m, err := z.SendMessage(context.Background(), &zim.TextMessage{Message: text}, zim.Peer("receiver"), nil)
					mu.Lock()
					results[i] = append(results[i], sent{text, m, err})
					mu.Unlock()
					ended <- struct{}{}
				}
			})
		}
	}
	// Faults are spread over the messages, not over the time.
	cut, killed := 0, 0
	for n := range senders * each {
		if killed < kills && n >= senders*each*(killed+1)/(kills+1) {
			killed++
			srv.kill()
			srv.start(t)
		}
		if cut < cuts && n >= senders*each*cut/cuts {
			cut++
			proxy.cut()
		}
		<-ended
	}
	wg.Wait()

	acked := make(map[string]*zim.Message)
	outcomes := map[string]int{}
	for _, list := range results {
		for _, s := range list {
			switch {
			case s.err == nil:
				outcomes["acknowledged"]++
				acked[s.text] = s.message
			case errors.Is(s.err, zim.ErrOutcomeUnknown):
				outcomes["unknown"]++
			default:
				outcomes["refused"]++
			}
		}
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(got)
	}
	for timeout := time.After(30 * time.Second); count() < len(acked); {
		select {
		case <-arrived:
		case <-timeout:
			t.Fatalf("%d messages arrived, %d were acknowledged", count(), len(acked))
		}
	}
	receiver.Destroy()
	mu.Lock()
	defer mu.Unlock()
	total := senders * each
	t.Logf("%d messages, %d cuts, %d kills: %v, %d received", total, cut, killed, outcomes, len(got))
	if n := outcomes["acknowledged"] + outcomes["unknown"] + outcomes["refused"]; n != total {
		t.Errorf("%d sends ended, want %d", n, total)
	}
	if outcomes["refused"] > 0 || resets.Load() > 0 {
		t.Errorf("%d refused, %d resets, want none", outcomes["refused"], resets.Load())
	}
	seen := make(map[string]bool)
	last := make(map[string]int64)
	for _, m := range got {
		text := m.Content.(*zim.TextMessage).Message
		if seen[text] {
			t.Errorf("%s was received twice", text)
		}
		seen[text] = true
		if m.Seq != last[m.Sender]+1 {
			t.Errorf("%s has number %d after %d", text, m.Seq, last[m.Sender])
		}
		last[m.Sender] = m.Seq
		if a := acked[text]; a != nil && (a.Seq != m.Seq || a.ID != m.ID) {
			t.Errorf("%s was acknowledged as %s (%d) and received as %s (%d)", text, a.ID, a.Seq, m.ID, m.Seq)
		}
	}
	for text := range acked {
		if !seen[text] {
			t.Errorf("%s was acknowledged and not received", text)
		}
	}
}

const (
	crashAppID  = 7
	crashSecret = token.Secret("a secret for crashes, 32 bytes..")
)

// A zimd is the server as a process of its own.
type zimd struct {
	binary, db, address string
	cmd                 *exec.Cmd
}

func startZimd(t *testing.T) *zimd {
	t.Helper()
	dir := t.TempDir()
	s := &zimd{binary: filepath.Join(dir, "zimd"), db: filepath.Join(dir, "zim.db")}
	build := exec.Command("go", "build", "-o", s.binary, "github.com/zim-go/zim/backend/cmd/zimd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	l.Close()
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// start starts the server, and returns when it is there.
func (s *zimd) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(s.binary, "serve", "--listen", s.address, "--db", s.db, "--app-id", strconv.Itoa(crashAppID), "--send-rate=-1")
	s.cmd.Env = append(os.Environ(), "ZIM_APP_SECRET="+crashSecret.Reveal())
	log, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "serving") {
			go io.Copy(io.Discard, log) // ends with the process
			return
		}
		t.Log(lines.Text())
	}
	t.Fatal("the server did not start")
}

// kill ends the server as -9 does.
func (s *zimd) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *zimd) login(t *testing.T, p *proxy, user string) *zim.ZIM {
	t.Helper()
	z, err := zim.New(zim.AppConfig{
		AppID:             crashAppID,
		Transport:         websocket.Dialer{URL: "ws://" + p.listener.Addr().String() + "/v1"},
		Limits:            zim.Limits{SendRate: -1},
		MaxReconnectDelay: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	tok, err := token.Issue04(crashAppID, user, crashSecret, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Login(t.Context(), user, &zim.LoginConfig{Token: tok}); err != nil {
		t.Fatal(err)
	}
	return z
}

// A proxy passes bytes on, until it cuts a connection, wherever in a frame that may be.
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: make(map[net.Conn]bool)}
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

func (p *proxy) pass(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer s.Close()
	p.mu.Lock()
	p.conns[c] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	back := make(chan struct{})
	go func() {
		io.Copy(c, s)
		c.Close()
		close(back)
	}()
	io.Copy(s, c)
	s.Close()
	<-back
}

// cut breaks one connection, whichever.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := rand.IntN(max(len(p.conns), 1))
	for c := range p.conns {
		if n--; n < 0 {
			c.Close()
			return
		}
	}
}
