//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

const testSecret token.Secret = "0123456789abcdef0123456789abcdef"

// binary is zimd. What a process is told and how it ends is a part of what is tested, so that tests run the real one.
var binary string

func TestMain(m *testing.M) {
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "zimd-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "zimd")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// A process is a zimd that runs, or did.
type process struct {
	*exec.Cmd
	stdout, stderr buffer
	ended          chan struct{} // closed when it has ended
}

// start runs zimd with the arguments and nothing of this process's environment. It is killed when the test ends.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.Dir = t.TempDir()
	p.Env = append([]string{"TMPDIR=" + p.Dir}, env...)
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("zimd's stderr:\n%s", p.stderr.String())
		}
	})
	return p
}

// address waits until zimd serves, and returns where. Its log format must be JSON.
func (p *process) address(t *testing.T) string {
	t.Helper()
	var address string
	until(t, func() bool {
		var line struct{ Msg, Address string }
		first, _, _ := strings.Cut(p.stderr.String(), "\n")
		if json.Unmarshal([]byte(first), &line) == nil {
			address = line.Address
		}
		return address != ""
	})
	return address
}

// exit waits until the process has ended, and returns its status.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("zimd does not end")
	}
	return p.ProcessState.ExitCode()
}

// until waits for something that another process does.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited for 30 seconds in vain")
		}
	}
}

// connect returns a ZIM and the texts that it receives.
func connect(t *testing.T, appID uint32, dialer websocket.Dialer) (*zim.ZIM, <-chan string) {
	t.Helper()
	z, err := zim.New(zim.AppConfig{AppID: appID, Transport: dialer, MaxReconnectDelay: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Destroy)
	texts := make(chan string, 100)
	zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
		for _, m := range e.Messages {
			texts <- m.Content.(*zim.TextMessage).Message
		}
	})
	return z, texts
}

// say sends a text, and waits until it was received.
func say(t *testing.T, from *zim.ZIM, to string, texts <-chan string, text string) {
	t.Helper()
	if _, err := from.SendMessage(t.Context(), &zim.TextMessage{Message: text}, zim.Peer(to), nil); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-texts:
		if got != text {
			t.Fatalf("%s got %q, want %q", to, got, text)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("%s did not get %q", to, text)
	}
}

// A buffer can be read while a process writes to it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
