//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Three processes: zimd serve --dev, echobot as bob, and say as alice.
func TestAcrossProcesses(t *testing.T) {
	bin := t.TempDir()
	build := func(dir, pkg string) string {
		path := filepath.Join(bin, filepath.Base(pkg))
		if out, err := exec.Command("go", "-C", dir, "build", "-buildvcs=false", "-o", path, pkg).CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", pkg, err, out)
		}
		return path
	}
	zimd, echobot, say := build("../../backend", "./cmd/zimd"), build("..", "./echobot"), build("..", "./say")

	server := exec.CommandContext(t.Context(), zimd, "serve", "--dev", "--listen=127.0.0.1:0")
	server.Env = []string{"TMPDIR=" + t.TempDir()}
	lines := start(t, server, server.StdoutPipe)
	export := regexp.MustCompile(`^export (ZIM_URL=\S+) (ZIM_APP_ID=\S+) ZIM_USER='(\w+)' (ZIM_TOKEN=\S+)$`)
	env := make(map[string][]string) // of each user
	for len(env) < 2 {
		if m := export.FindStringSubmatch(next(t, lines)); m != nil {
			env[m[3]] = []string{m[1], m[2], "ZIM_USER=" + m[3], m[4]}
		}
	}

	bot := exec.CommandContext(t.Context(), echobot)
	bot.Env = env["bob"]
	log := start(t, bot, bot.StderrPipe)
	for !strings.Contains(next(t, log), "Connected (Success)") {
	}

	for _, text := range []string{"hello", "is there anybody?", strings.Repeat("¿", 1024)} {
		cmd := exec.CommandContext(t.Context(), say, "-to", "bob", text)
		cmd.Env = env["alice"]
		out, err := cmd.CombinedOutput()
		if want := "bob: " + text + "\n"; err != nil || string(out) != want {
			t.Errorf("%v, got %q, want %q", err, out, want)
		}
	}
	for user, want := range map[string]string{"nobody": "the receiver does not exist", "alice": "the receiver is the sender"} {
		cmd := exec.CommandContext(t.Context(), say, "-to", user, "hello")
		cmd.Env = env["alice"]
		if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte(want)) {
			t.Errorf("to %s: %v, got %q, want %q", user, err, out, want)
		}
	}

	for cmd, lines := range map[*exec.Cmd]<-chan string{bot: log, server: lines} {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		for range lines { // until it closes its end
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", filepath.Base(cmd.Path), err)
		}
	}
}

// start starts cmd and returns the lines that it prints.
func start(t *testing.T, cmd *exec.Cmd, pipe func() (io.ReadCloser, error)) <-chan string {
	t.Helper()
	r, err := pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

func next(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case line, ok := <-lines:
		if !ok {
			t.Fatal("the process ended")
		}
		return line
	case <-time.After(30 * time.Second):
		t.Fatal("nothing more is printed")
		return ""
	}
}
