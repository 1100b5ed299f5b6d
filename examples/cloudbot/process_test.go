//go:build unix

package main

import (
	"bufio"
	"io"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Three processes: zimd serve --dev, cloudbot with the line that it prints for an app's server, and say with alice's. What hands callbacks on to the bot
// is here.
func TestAcrossProcesses(t *testing.T) {
	bin := t.TempDir()
	build := func(dir, pkg string) string {
		path := filepath.Join(bin, filepath.Base(pkg))
		if out, err := exec.Command("go", "-C", dir, "build", "-buildvcs=false", "-o", path, pkg).CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", pkg, err, out)
		}
		return path
	}
	zimd, cloudbot, say := build("../../backend", "./cmd/zimd"), build("..", "./cloudbot"), build("..", "./say")
	receiver := make(chan *url.URL, 1)
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		u := <-receiver
		receiver <- u
		r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host
	}})
	t.Cleanup(front.Close)

	server := exec.Command(zimd, "serve", "--dev", "--listen=127.0.0.1:0", "--callback-url="+front.URL+callbackPath)
	server.Env = []string{"TMPDIR=" + t.TempDir()}
	lines := start(t, server, server.StdoutPipe)
	alice, appServer := "", ""
	for appServer == "" {
		switch line := next(t, lines); {
		case strings.Contains(line, "ZIM_USER='alice'"):
			alice = line
		case strings.HasPrefix(line, "export ZIM_BASE_URL="):
			appServer = line
		}
	}

	bot := exec.Command("sh", "-c", appServer+"\nZIM_LISTEN=127.0.0.1:0 exec "+cloudbot)
	log := start(t, bot, bot.StderrPipe)
	ready := regexp.MustCompile(`@RBT#helper is logged in, and takes callbacks at (http://127\.0\.0\.1:\d+/zim/callback)$`)
	var at []string
	for at == nil {
		at = ready.FindStringSubmatch(next(t, log))
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
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		var said []string
		for line := range lines { // until it closes its end
			said = append(said, line)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v, after %q", filepath.Base(cmd.Path), err, said)
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
