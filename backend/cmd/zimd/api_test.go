//go:build unix

package main

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/token"
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
	base := regexp.MustCompile(`(?m)^export ZIM_BASE_URL=http://(\S+)/ ZIM_APP_ID=1 ZIM_SERVER_SECRET="\$ZIM_APP_SECRET"$`)
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

// What --dev prints for an app's server is enough for one: where the Server API is, and the secrets, as a shell gets them. Those that were given are not in it.
func TestDevAppServer(t *testing.T) {
	hook := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c struct{ Timestamp, Nonce, Signature any }
		d := json.NewDecoder(r.Body)
		d.UseNumber()
		d.Decode(&c)
		hook <- fmt.Sprint(c.Timestamp, " ", c.Nonce, " ", c.Signature)
	}))
	defer receiver.Close()
	const given, givenToo = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	file := filepath.Join(t.TempDir(), "bob's secret")
	if err := os.WriteFile(file, []byte(given+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		env, args []string
		told      bool
		given     string
	}{
		"made up":              {},
		"made up, both":        {nil, []string{"--callback-url=" + receiver.URL}, true, ""},
		"given":                {[]string{"ZIM_APP_SECRET=" + given}, nil, false, given},
		"given in files, both": {nil, []string{"--app-secret-file=" + file, "--callback-url=" + receiver.URL}, true, given},
		"given, both": {
			[]string{"ZIM_APP_SECRET=" + given, "ZIM_CALLBACK_SECRET=" + givenToo}, []string{"--callback-url=" + receiver.URL}, true, given,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := start(t, test.env, append([]string{"serve", "--dev", "--listen=127.0.0.1:0"}, test.args...)...)
			var line string
			until(t, func() bool {
				line = regexp.MustCompile(`(?m)^export ZIM_BASE_URL=.*\n`).FindString(p.stdout.String())
				return line != ""
			})
			cmd := exec.Command("sh", "-c", line+`echo "$ZIM_BASE_URL $ZIM_APP_ID $ZIM_SERVER_SECRET $ZIM_CALLBACK_SECRET"`)
			cmd.Env = append(os.Environ(), test.env...)
			out, err := cmd.Output()
			vars := strings.Split(strings.TrimSuffix(string(out), "\n"), " ")
			if err != nil || len(vars) != 4 || vars[1] != "1" || len(vars[2]) != 32 || test.given != "" && vars[2] != given || (len(vars[3]) == 32) != test.told {
				t.Fatalf("%v, the shell has %q", err, vars)
			}
			q := restapi.Sign(1, token.Secret(vars[2]), "SendPeerMessage", "once", time.Now())
			body := `{"FromUserId":"alice","ToUserId":["bob"],"MessageType":1,"Priority":2,"MessageBody":{"Message":"hi"}}`
			resp, err := http.Post(vars[0]+"?"+q.Encode(), "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var a struct{ Code *int }
			if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Code == nil || *a.Code != 0 {
				t.Errorf("%v, code %v", err, a.Code)
			}
			if test.told {
				got := strings.Fields(<-hook)
				parts := []string{vars[3], got[0], got[1]}
				slices.Sort(parts)
				if sum := sha1.Sum([]byte(strings.Join(parts, ""))); got[2] != hex.EncodeToString(sum[:]) {
					t.Error("the callback is signed with another secret")
				}
			}
			for _, secret := range []string{given, givenToo} {
				if strings.Contains(p.stdout.String(), secret) {
					t.Error("a secret that was given was printed")
				}
			}
			for _, secret := range vars[2:] {
				if secret != "" && strings.Contains(p.stderr.String(), secret) {
					t.Error("the log has a secret")
				}
			}
		})
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
