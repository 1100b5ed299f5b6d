//go:build unix

package main

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/zim-go/zim/examples/internal/process"
)

// Three processes: zimd serve --dev, cloudbot with the line that it prints for an app's server, and say with alice's. What hands callbacks on to the bot
// is here.
func TestAcrossProcesses(t *testing.T) {
	zimd, cloudbot, say := process.Build(t, "../../backend", "./cmd/zimd"), process.Build(t, "..", "./cloudbot"), process.Build(t, "..", "./say")
	receiver := make(chan *url.URL, 1)
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		u := <-receiver
		receiver <- u
		r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host
	}})
	t.Cleanup(front.Close)

	server := exec.Command(zimd, "serve", "--dev", "--listen=127.0.0.1:0", "--callback-url="+front.URL+callbackPath)
	server.Env = []string{"TMPDIR=" + t.TempDir()}
	lines := process.Start(t, server, server.StdoutPipe)
	alice, appServer := "", ""
	for appServer == "" {
		switch line := process.Next(t, lines); {
		case strings.Contains(line, "ZIM_USER='alice'"):
			alice = line
		case strings.HasPrefix(line, "export ZIM_BASE_URL="):
			appServer = line
		}
	}

	bot := exec.Command("sh", "-c", appServer+"\nZIM_LISTEN=127.0.0.1:0 exec "+cloudbot)
	log := process.Start(t, bot, bot.StderrPipe)
	ready := regexp.MustCompile(`@RBT#helper is logged in, and takes callbacks at (http://127\.0\.0\.1:\d+/zim/callback)$`)
	var at []string
	for at == nil {
		at = ready.FindStringSubmatch(process.Next(t, log))
	}
	u, err := url.Parse(at[1])
	if err != nil {
		t.Fatal(err)
	}
	receiver <- u

	out, err := exec.Command("sh", "-c", alice+"\nexec "+say+" -to @RBT#helper hello").CombinedOutput()
	if want := "@RBT#helper: You said: hello\n"; err != nil || string(out) != want {
		t.Errorf("%v, got %q, want %q", err, out, want)
	}
	for cmd, lines := range map[*exec.Cmd]<-chan string{bot: log, server: lines} {
		process.Stop(t, cmd, lines)
	}
}
