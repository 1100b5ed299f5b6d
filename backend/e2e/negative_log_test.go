package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coder "github.com/coder/websocket"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/internal/memnet"
	"github.com/zim-go/zim/internal/wsstream"
	"github.com/zim-go/zim/transport/websocket"
	"github.com/zim-go/zim/wire"
)

// forged begins a second record, in whatever form the log has, and paints it red.
const forged = "eve\r\n\n\u2028{\"level\":\"ERROR\",\"msg\":\"forged\"}\r\ntime=2026-01-01 level=ERROR msg=forged \x1b[31m\x9b\u202e"

// wantRecords checks that a log has lines that are records, and nothing in them that a terminal would obey.
func wantRecords(t *testing.T, format, logged string) {
	t.Helper()
	if !strings.Contains(logged, "forged") || strings.Count(logged, "\n") < 3 {
		t.Errorf("%s: the log has little to look at: %q", format, logged)
	}
	for line := range strings.Lines(logged) {
		var record struct{ Time, Level, Msg string }
		if format == "text" {
			if fields := strings.SplitN(line, " ", 3); len(fields) == 3 {
				record.Time, _ = strings.CutPrefix(fields[0], "time=")
				record.Level, _ = strings.CutPrefix(fields[1], "level=")
				record.Msg, _ = strings.CutPrefix(fields[2], "msg=")
			}
		} else if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("json: %v in %q", err, line)
		}
		if _, err := time.Parse(time.RFC3339, record.Time); err != nil || record.Msg == "" || strings.HasPrefix(record.Msg, "forged") {
			t.Errorf("%s: no record: %q", format, line)
		}
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\n\x1b\x00") {
			t.Errorf("%s: a terminal would obey %q", format, line)
		}
	}
}

// N92: what a user, a client or a server is called or says stays inside one record of the log.
func TestNegativeLogInjection(t *testing.T) {
	for format, handler := range map[string]func(io.Writer) slog.Handler{
		"text": func(w io.Writer) slog.Handler {
			return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
		"json": func(w io.Writer) slog.Handler {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
	} {
		t.Run(format, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logged lockedBuffer
				logger := slog.New(handler(&logged))
				srv := zimtest.NewServer(t, &zimtest.Options{
					App: several, Config: func(c *backend.Config) { c.Logger, c.AddressHeader = logger, "Test-Address" },
				})
				z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: srv.WebSocket(), Logger: logger, DeviceID: forged[:60]})
				if err != nil {
					t.Fatal(err)
				}
				defer z.Destroy()
				zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
					logger.Info("received", "messages", e.Messages[0].Content)
				})
				config := &zim.LoginConfig{Token: srv.Token("alice"), UserName: strings.ToValidUTF8(forged, "?"), CustomStatus: "a\r\nforged \x1b[31m"}
				if err := z.Login(t.Context(), "alice", config); err != nil {
					t.Fatal(err)
				}
				logger.Error("refused", "err", z.Login(t.Context(), forged, config))
				_, err = z.SendMessage(t.Context(), &zim.TextMessage{Message: "x"}, zim.Group(strings.ToValidUTF8(forged, "?")), nil)
				logger.Error("refused", "err", err)
				h := &host{srv: srv, listener: memnet.Listen()}
				h.listen(t)
				for _, from := range []string{"\x1b[31mforged", "192.0.2.1 level=ERROR msg=forged"} { // of a client that says where it comes from
					c, resp := h.open(t, from)
					logger.Info("handshake", "status", resp.Status)
					if resp.StatusCode == http.StatusSwitchingProtocols {
						c.call(&wire.LoginRequest{AppId: zimtest.AppID, UserId: "eve\r\nforged", Token: "\r\nforged", DeviceId: "\r\nforged"})
					}
				}
				hostileServer(t, logger)
				synctest.Wait()
				wantRecords(t, format, logged.String())
			})
		})
	}
}

// hostileServer lets a client meet servers that refuse it, close its connection and answer with words of their own.
func hostileServer(t *testing.T, logger *slog.Logger) {
	t.Helper()
	for _, refuses := range []bool{false, true} {
		client := memnet.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if refuses {
				http.Error(w, forged, http.StatusServiceUnavailable)
				return
			}
			conn, err := coder.Accept(w, r, &coder.AcceptOptions{Subprotocols: []string{wsstream.Subprotocol}})
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close(4000, "a\r\nlevel=ERROR msg=forged \x1b[31m")
		}))
		z, err := zim.New(zim.AppConfig{
			AppID: zimtest.AppID, Transport: websocket.Dialer{URL: "ws://localhost/v1", HTTPClient: client}, Logger: logger,
		})
		if err != nil {
			t.Fatal(err)
		}
		err = z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"})
		if err == nil {
			t.Error("a hostile server accepted the login")
		}
		logger.Error("login", "err", err, "text", fmt.Sprint(err))
		z.Destroy()
	}
}
