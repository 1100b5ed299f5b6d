//go:build unix

package main

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/zim-go/zim/examples/internal/process"
)

// Three processes: zimd serve --dev, echobot as bob, and say as alice.
func TestAcrossProcesses(t *testing.T) {
	zimd, echobot, say := process.Build(t, "../../backend", "./cmd/zimd"), process.Build(t, "..", "./echobot"), process.Build(t, "..", "./say")

	server := exec.CommandContext(t.Context(), zimd, "serve", "--dev", "--listen=127.0.0.1:0")
	server.Env = []string{"TMPDIR=" + t.TempDir()}
	lines := process.Start(t, server, server.StdoutPipe)
	export := regexp.MustCompile(`^export (ZIM_URL=\S+) (ZIM_APP_ID=\S+) ZIM_USER='(\w+)' (ZIM_TOKEN=\S+)$`)
	env := make(map[string][]string) // of each user
	for len(env) < 2 {
		if m := export.FindStringSubmatch(process.Next(t, lines)); m != nil {
			env[m[3]] = []string{m[1], m[2], "ZIM_USER=" + m[3], m[4]}
		}
	}

	bot := exec.CommandContext(t.Context(), echobot)
	bot.Env = env["bob"]
	log := process.Start(t, bot, bot.StderrPipe)
	for !strings.Contains(process.Next(t, log), "Connected (Success)") {
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
		process.Stop(t, cmd, lines)
	}
}
