//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/backend/restapi"
)

// The lines of docs/server-api.md work as they are typed.
func TestServerAPIPage(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("what the page uses is not here: ", tool)
		}
	}
	page, err := os.ReadFile("../../../docs/server-api.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	secret := regexp.MustCompile(`export ZIM_APP_SECRET=(\w+)`).FindStringSubmatch(string(page))
	if len(blocks) < 3 || secret == nil {
		t.Fatalf("the page has %d blocks of shell, and the secret %q", len(blocks), secret)
	}
	p := start(t, []string{"ZIM_APP_SECRET=" + secret[1]}, "serve", "--dev", "--listen=127.0.0.1:0")
	base := regexp.MustCompile(`(?m)^# The Server API is at http://(\S+)/\?Action=\.\.\., for AppId 1, signed with the secret in \$ZIM_APP_SECRET\.$`)
	var address []string
	until(t, func() bool {
		address = base.FindStringSubmatch(p.stdout.String())
		return address != nil
	})
	script := "set -e\n"
	for _, b := range blocks[1:] { // the first one starts zimd
		script += strings.ReplaceAll(b[1], "127.0.0.1:8080", address[1])
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append(os.Environ(), "ZIM_APP_SECRET="+secret[1])
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range answers {
		var a struct{ Code *int }
		if json.Unmarshal([]byte(line), &a) != nil || a.Code == nil || *a.Code != 0 {
			t.Errorf("got %s", line)
		}
	}
	if want := strings.Count(script, "\nzim "); len(answers) != want {
		t.Errorf("%d answers, want %d", len(answers), want)
	}
	if strings.Contains(p.stdout.String()+p.stderr.String(), secret[1]) {
		t.Error("the secret was printed")
	}
}

// Without --dev the Server API is there if it is asked for, and the log says where the secret is.
func TestServerAPIFlag(t *testing.T) {
	env := []string{"ZIM_APP_SECRET=" + testSecret.Reveal(), "ZIM_APP_ID=7", "ZIM_LOG_FORMAT=json"}
	p := start(t, env, "serve", "--listen=127.0.0.1:0", "--server-api")
	until(t, func() bool { return strings.Contains(p.stderr.String(), `"zimd: serving"`) })
	var line struct{ Msg, URL, Secret string }
	for text := range strings.Lines(p.stderr.String()) {
		if json.Unmarshal([]byte(text), &line) == nil && line.Msg == "zimd: Server API" {
			break
		}
	}
	if line.Secret != "$ZIM_APP_SECRET" {
		t.Fatalf("the log has %+v", line)
	}
	ask := func(q url.Values) int {
		resp, err := http.Post(line.URL+"?"+q.Encode(), "application/json", strings.NewReader(`{"UserInfo":[{"UserId":"alice"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var a struct{ Code int }
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a.Code
	}
	if code := ask(restapi.Sign(7, testSecret, "UserRegister", "a", time.Now())); code != 0 {
		t.Errorf("code %d", code)
	}
	if code := ask(restapi.Sign(7, "another secret, of as many bytes", "UserRegister", "b", time.Now())); code != 100000005 {
		t.Errorf("with a wrong secret: code %d", code)
	}
	if strings.Contains(p.stdout.String()+p.stderr.String(), testSecret.Reveal()) {
		t.Error("the secret was printed")
	}
}
