package e2e_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/media"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/websocket"
)

// Canaries are what must not get out, by what they are.
type canaries map[string]string

// wantNone looks for the canaries, as they are and in the forms in which printing or encoding hides them.
func (c canaries) wantNone(t *testing.T, where, text string) {
	t.Helper()
	for what, canary := range c {
		for form, secret := range map[string]string{
			"as it is": canary, "escaped": url.QueryEscape(canary), "as numbers": strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
			"as hexadecimal numbers": fmt.Sprintf("%x", canary),
		} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s: %s is there, %s: …%q", where, what, form, text[max(0, i-100):min(len(text), i+len(secret)+20)])
				break
			}
		}
	}
}

// N91: whatever goes well and whatever fails, what is secret and what people say is in no log, no error and nothing that is printed.
func TestCanaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := token.Secret("canary-app-secret-canary-secret!")
		said := "canary-of-what-was-said"
		sing := canaries{
			"the app's secret": secret.Reveal(), "what was said": said, "a command": "canary-command", "extended data": "canary-extended",
			"what is in a file": "canary-file", "what a group says": "canary-notice", "a custom status": "canary-status",
		}
		issue := func(userID string, s token.Secret, ttl time.Duration) string {
			tok, err := token.Issue04(zimtest.AppID, userID, s, ttl, nil)
			if err != nil {
				t.Fatal(err)
			}
			sing[fmt.Sprint("token ", len(sing))] = tok[20:]
			return tok
		}
		var logged lockedBuffer
		logger := slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		verifier, err := token.NewVerifier(token.Config{AppID: zimtest.AppID, Secrets: []token.Secret{secret}})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		files, err := media.New(media.Config{Dir: filepath.Join(dir, "media"), Key: media.Key(secret), Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		var config backend.Config
		srv := zimtest.NewServer(t, &zimtest.Options{
			App: func(a *backend.App) { several(a); a.Verifier = verifier },
			Config: func(c *backend.Config) {
				c.Logger, c.Media = logger, files
				config = *c
			},
		})
		defer srv.Stop()
		listener := memnet.Listen()
		web := &http.Server{Handler: srv, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
		served := make(chan struct{})
		go func() {
			defer close(served)
			web.Serve(listener)
		}()
		rt := &http.Transport{DialContext: listener.DialContext}
		defer func() {
			rt.CloseIdleConnections()
			web.Close()
			<-served
		}()
		client := &http.Client{Transport: rt}

		var failures atomic.Int32
		printed := new(lockedBuffer) // handlers print, too
		failed := func(err error) {
			if err != nil {
				failures.Add(1)
			}
			var e *zim.Error
			errors.As(err, &e)
			fmt.Fprintf(printed, "%v\n%+v\n%#v\n%v\n%+v\n%#v\n", err, err, err, e, e, e)
			logger.Error("the application's own", "err", err, "e", e)
		}
		newZIM := func(userID string) *zim.ZIM {
			z, err := zim.New(zim.AppConfig{
				AppID: zimtest.AppID, Transport: websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: client}, Logger: logger, DeviceID: userID,
				Limits: zim.Limits{SendRate: -1},
			})
			if err != nil {
				t.Fatal(err)
			}
			zim.On(z, func(_ context.Context, e *zim.Error) { failed(e) })
			zim.On(z, func(_ context.Context, e *zim.ConnectionStateChanged) { fmt.Fprintf(printed, "%+v\n", e) })
			return z
		}
		alice, bob := newZIM("alice"), newZIM("bob")
		defer alice.Destroy()
		defer bob.Destroy()
		ctx := t.Context()
		ok := func(what string, err error) {
			t.Helper()
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}

		// Logins that fail, and two that don't.
		failed(alice.Login(ctx, "alice", &zim.LoginConfig{Token: issue("alice", "another-canary-secret-0123456789", time.Hour)}))
		failed(alice.Login(ctx, "alice", &zim.LoginConfig{Token: issue("mallory", secret, time.Hour)}))
		failed(alice.Login(ctx, "alice", &zim.LoginConfig{Token: issue("alice", secret, 10*time.Second)}))
		failed(alice.Login(ctx, "alice", &zim.LoginConfig{Token: "canary-is-no-token"}))
		failed(alice.Login(ctx, "alice", &zim.LoginConfig{Token: strings.Repeat("canary", 5000)}))
		sing["no token"] = "canary-is-no-token"
		for z, id := range map[*zim.ZIM]string{alice: "alice", bob: "bob"} {
			ok("login", z.Login(ctx, id, &zim.LoginConfig{Token: issue(id, secret, time.Hour), CustomStatus: "canary-status"}))
		}
		failed(alice.RenewToken(ctx, issue("bob", secret, time.Hour)))
		ok("renew", alice.RenewToken(ctx, issue("alice", secret, time.Hour)))

		// What is said, and what can't be.
		config2 := &zim.MessageSendConfig{ExtendedData: "canary-extended"}
		m, err := alice.SendMessage(ctx, &zim.TextMessage{Message: said}, zim.Peer("bob"), config2)
		ok("text", err)
		_, err = alice.SendMessage(ctx, &zim.CommandMessage{Message: []byte("canary-command")}, zim.Peer("bob"), nil)
		ok("command", err)
		_, err = alice.SendMessage(ctx, &zim.CustomMessage{Message: said, SearchedContent: said}, zim.Peer("bob"), nil)
		ok("custom", err)
		for _, to := range []zim.ConversationRef{zim.Peer("nobody"), zim.Peer("no body"), zim.Group("nowhere"), zim.Room("nowhere")} {
			_, err = alice.SendMessage(ctx, &zim.TextMessage{Message: said}, to, config2)
			failed(err)
			_, err = alice.SendMessage(ctx, &zim.CommandMessage{Message: []byte("canary-command")}, to, nil)
			failed(err)
		}
		for _, content := range []zim.Content{
			&zim.TextMessage{Message: strings.Repeat(said, 1000)}, &zim.TextMessage{Message: said + "\xff"}, &zim.CustomMessage{Message: said, SubType: -1},
			&zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.BarrageMessage{Message: said}}}, &zim.BarrageMessage{Message: said},
			&zim.UnknownMessage{Kind: 77, Data: []byte(said)},
			&zim.ImageMessage{File: zim.File{Name: "canary-of-what-was-said.exe", URL: "https://x/canary-of-what-was-said"}},
		} {
			_, err = alice.SendMessage(ctx, content, zim.Peer("bob"), nil)
			failed(err)
			fmt.Fprintf(printed, "%v\n", err)
		}
		_, err = bob.EditMessage(ctx, m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: said}})
		failed(err)
		_, err = alice.EditMessage(ctx, m, zim.MessageEditConfig{Content: &zim.TextMessage{Message: strings.Repeat(said, 1000)}})
		failed(err)
		_, err = bob.RevokeMessage(ctx, m, &zim.MessageRevokeConfig{RevokeExtendedData: said})
		failed(err)
		_, err = alice.ReplyMessage(ctx, &zim.TextMessage{Message: said}, m, nil)
		ok("reply", err)
		_, err = alice.CreateGroup(ctx, zim.GroupInfo{GroupID: "g", GroupName: said}, nil, &zim.GroupAdvancedConfig{GroupNotice: "canary-notice"})
		ok("group", err)
		_, err = bob.CreateGroup(ctx, zim.GroupInfo{GroupID: "g", GroupName: said}, nil, &zim.GroupAdvancedConfig{GroupNotice: "canary-notice"})
		failed(err)

		// A file, and a URL that is not good any more.
		file := zim.File{Name: "x", Size: 11, Reader: strings.NewReader("canary-file")}
		sent, err := alice.SendMessage(ctx, &zim.FileMessage{File: file}, zim.Peer("bob"), nil)
		ok("file", err)
		link, err := url.Parse(fileOf(sent.Content).URL)
		if err != nil || link.RawQuery == "" && !strings.Contains(link.Path, "media") {
			t.Fatalf("the file is at %v, %v", link, err)
		}
		sing["where a file is"] = link.Path[strings.Index(link.Path, "media/")+20:]
		ok("download", alice.DownloadMediaFile(ctx, sent, zim.MediaFileTypeOriginalFile, io.Discard, nil))
		time.Sleep(25 * time.Hour)
		for _, address := range []string{link.String(), link.String() + "x"} {
			resp, err := client.Get(address)
			if err != nil || resp.StatusCode != http.StatusForbidden {
				t.Errorf("got %v, %v", resp, err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			fmt.Fprintf(printed, "%s %v\n", b, resp.Header)
		}
		failed(alice.DownloadMediaFile(ctx, sent, zim.MediaFileTypeOriginalFile, io.Discard, nil)) // the session is over
		failed(alice.Login(ctx, "alice", &zim.LoginConfig{Token: issue("alice", "another-canary-secret-0123456789", time.Hour)}))

		// What is printed by mistake.
		for _, purpose := range []string{"zim media ticket", "zim media url"} {
			derived := hmac.New(sha256.New, []byte(secret))
			derived.Write([]byte(purpose))
			sing["the key of the "+purpose] = string(derived.Sum(nil))
		}
		synctest.Wait()
		for _, v := range []any{verifier, config.Apps[0], files, srv.Backend(), secret, token.Config{Secrets: []token.Secret{secret}}, alice, config,
			media.Config{Key: media.Key(secret)}, &media.Config{Key: media.Key(secret)}} {
			fmt.Fprintf(printed, "%v %+v %#v\n", v, v, v)
			logger.Info("printed", "v", v)
		}
		srv.Stop()
		srv.Start()
		if failures.Load() < 25 {
			t.Errorf("only %d operations failed", failures.Load())
		}
		sing.wantNone(t, "the log", logged.String())
		sing.wantNone(t, "what was printed", printed.String())
		for _, what := range []string{"what was said", "extended data", "what is in a file", "what a group says", "a custom status", "where a file is"} {
			delete(sing, what) // these are what the database is for
		}
		err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			sing.wantNone(t, path, string(b))
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
