//go:build unix

package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/token"
)

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keyed := func(name, key string, mode os.FileMode) string {
		if err := os.Chmod(write(name+".key", key), mode); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	// An address that is taken shows that zimd would listen, and yet nothing is reachable.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())

	const usage = 80 // kong's status for wrong usage
	env := []string{"ZIM_APP_SECRET=" + testSecret.Reveal(), "ZIM_APP_ID=7", "ZIM_LISTEN=127.0.0.1:0"}
	for _, c := range []struct {
		name   string
		env    []string
		args   string // split at blanks
		status int
		want   string
	}{
		{"callbacks to a private address", append(env, "ZIM_CALLBACK_SECRET="+strings.Repeat("c", 32)), "serve --callback-url=https://127.0.0.1/",
			1, "not one of the public internet"},
		{"callbacks without TLS", append(env, "ZIM_CALLBACK_SECRET="+strings.Repeat("c", 32)), "serve --callback-url=http://example.com/", 1, "http URL"},
		{"callbacks without a secret", env, "serve --callback-url=https://example.com/", 1, "set $ZIM_CALLBACK_SECRET"},
		{"callbacks with the app's secret", append(env, "ZIM_CALLBACK_SECRET="+testSecret.Reveal()), "serve --callback-url=https://example.com/",
			1, "is the app's secret"},
		{"callbacks to nobody", env, "serve --callback-events=send_msg", 1, "needs --callback-url"},
		{"replay without a database", nil, "callbacks replay --db=missing.db", 1, "missing.db"},
		{"no command", nil, "", usage, `expected one of "serve", "token"`},
		{"wrong command", nil, "server", usage, `did you mean "serve"?`},
		{"no app", []string{"ZIM_APP_ID=0"}, "serve", 1, "Set --app-id"},
		{"large app", nil, "serve --app-id=4294967296", usage, "32 bit"},
		{"N96/no secret", []string{"ZIM_APP_SECRET="}, "serve", 1, "set $ZIM_APP_SECRET"},
		{"N96/short secret", []string{"ZIM_APP_SECRET=shortsecret"}, "serve", 1, "$ZIM_APP_SECRET has 11 bytes, it must have 32"},
		{"N96/short previous secret", []string{"ZIM_APP_SECRET_PREVIOUS=shortsecret"}, "serve", 1, "$ZIM_APP_SECRET_PREVIOUS has 11 bytes"},
		{"two secrets", nil, "serve --app-secret-file=" + write("two", testSecret.Reveal()), 1, "both set"},
		{"no secret file", []string{"ZIM_APP_SECRET="}, "serve --app-secret-file=nowhere", 1, "nowhere: no such file"},
		{"N96/empty secret file", []string{"ZIM_APP_SECRET="}, "serve --app-secret-file=" + write("empty", "\n"), 1, "is empty"},
		{"secret as an argument", nil, "serve --app-secret=" + testSecret.Reveal(), usage, "unknown flag"},
		{"N97/public", nil, "serve --listen=0.0.0.0:" + port, 1, "set --tls-cert and --tls-key"},
		{"N97/public on purpose", nil, "serve --insecure-plaintext --listen=0.0.0.0:" + port, 1, "address already in use"},
		{"N97/public without a host", nil, "serve --listen=:" + port, 1, "set --tls-cert and --tls-key"},
		{"N97/public dev", nil, "serve --dev --insecure-plaintext --listen=0.0.0.0:" + port, 1, "--dev is for this machine only"},
		{"no port", nil, "serve --listen=8080", 1, "--listen must be a host and a port"},
		{"large port", nil, "serve --listen=127.0.0.1:65536", 1, "--listen must be a host and a port"},
		{"taken address", nil, "serve --listen=127.0.0.1:" + port, 1, "address already in use"},
		{"certificate alone", nil, "serve --tls-cert=cert.pem", 1, "belong together"},
		{"key alone", nil, "serve --tls-key=key.pem", 1, "belong together"},
		{"no certificate", nil, "serve --tls-cert=cert.pem --tls-key=key.pem", 1, "cert.pem: no such file"},
		{"N98/open directory", nil, "serve --db=" + filepath.Join(open, "zim.db"), 1, "everybody may write to the directory"},
		{"no directory", nil, "serve --db=nowhere/zim.db", 1, "nowhere: no such file"},
		{"no database", nil, "serve --db=" + write("text", strings.Repeat("no database ", 100)), 1, "file is not a database"},
		{"no JWT key", nil, "serve --jwt-key-file=" + write("text.pem", "text"), 1, "is not PEM"},
		{"devices", nil, "serve --devices=three", usage, `"single","dual","multi"`},
		{"no rate", nil, "serve --send-rate=0", 1, "for no limit, use -1"},
		{"rate", nil, "serve --send-rate=NaN", 1, "for no limit, use -1"},
		{"burst", nil, "serve --send-burst=-1", 1, "--send-rate=-1"},
		{"dev user", nil, "serve --dev --dev-user=alice,bob/2", 1, `"bob/2": the ID has a character that is not allowed`},
		{"log level", nil, "serve --log-level=loud", usage, "loud"},
		{"no quota", nil, "serve --media-quota=0 --listen=127.0.0.1:0 --db=zim.db", 1, "for no limit, use -1"},
		{"N98/open media directory", nil, "serve --db=zim.db --media-dir=" + open, 1, "everybody may write to the directory"},
		{"media directory that is a file", nil, "serve --db=zim.db --media-dir=" + write("file", ""), 1, "file: not a directory"},
		{"N96/short key", nil, "serve --db=" + keyed("short", "shortsecret", 0o600), 1, "short.key has 11 bytes, it must have 32"},
		{"N98/open key", nil, "serve --db=" + keyed("opened", testSecret.Reveal(), 0o644), 1, "opened.key (mode -rw-r--r--): chmod 600 it"},
		{"log format", nil, "serve --log-format=xml", usage, `"text","json"`},
		{"token for nobody", nil, "token", usage, "--user"},
		{"token for a wrong user", nil, "token --user=bob/2", 1, "the ID has a character that is not allowed"},
		{"token without a secret", []string{"ZIM_APP_SECRET="}, "token --user=bob", 1, "set $ZIM_APP_SECRET"},
		{"token for a year", nil, "token --user=bob --ttl=8760h", 1, "it may be 1s to 576h"},
		{"token without an app", []string{"ZIM_APP_ID=0"}, "token --user=bob", 1, "Set --app-id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, append(env, c.env...), strings.Fields(c.args)...)
			if status := p.exit(t); status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			got := p.stderr.String()
			if !strings.HasPrefix(got, "zimd: error: ") || !strings.Contains(got, c.want) || strings.Count(got, "\n") != 1 {
				t.Errorf("got %q, want one line with %q", got, c.want)
			}
			if p.stdout.String() != "" {
				t.Errorf("printed %q", p.stdout.String())
			}
			for _, secret := range []string{testSecret.Reveal(), "shortsecret"} {
				if strings.Contains(got, secret) {
					t.Errorf("the secret is in %q", got)
				}
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, c := range []struct{ arg, want string }{{"--help", "Usage: zimd"}, {"--version", zim.Version}} {
		var stdout, stderr buffer
		if status := run(context.Background(), []string{c.arg}, &stdout, &stderr); status != 0 {
			t.Errorf("%s: exit status %d", c.arg, status)
		}
		if !strings.HasPrefix(stdout.String(), c.want) || stderr.String() != "" {
			t.Errorf("%s: %q and %q", c.arg, stdout.String(), stderr.String())
		}
	}
}

func TestUnhealthy(t *testing.T) {
	st, err := store.Open(filepath.Join(t.TempDir(), "zim.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	verifier, err := token.NewVerifier(token.Config{AppID: 7, Secrets: []token.Secret{testSecret}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := backend.New(backend.Config{Apps: []backend.App{{ID: 7, Verifier: verifier}}, Store: st})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	newWeb(b, nil, new(serveCmd).logger(w)).Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != http.StatusServiceUnavailable || w.Body.String() != backend.ErrDraining.Error()+"\n" {
		t.Errorf("%d, %q", w.Code, w.Body)
	}
}
