package main

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/token"
)

type apiFlags struct {
	ServerAPI         bool `name:"server-api" help:"Answer the documented Server API at the path /: whoever has the app's secret may do everything in the name of each user. --dev does, too." env:"ZIM_SERVER_API" group:"App"`
	ServerAPINoLimits bool `name:"server-api-no-limits" help:"Leave out the documented limits on calls of the Server API per second." env:"ZIM_SERVER_API_NO_LIMITS" group:"App"`
}

// api returns the handler of the Server API, or nil if there is to be none.
func (c *serveCmd) api(b *backend.Server, secret token.Secret, url string, log *slog.Logger) (http.Handler, error) {
	if !c.ServerAPI && !c.Dev {
		return nil, nil
	}
	if secret == "" {
		return nil, errors.New("--server-api needs the app's secret: set $ZIM_APP_SECRET or --app-secret-file")
	}
	secrets, err := c.secrets(secret)
	if err != nil {
		return nil, err
	}
	base := c.apiURL(url)
	api, err := restapi.New(restapi.Config{
		Server: b, Secrets: map[uint32][]token.Secret{c.AppID: secrets}, NoLimits: c.ServerAPINoLimits, FileURL: base + "v1/", Logger: log,
	})
	if err != nil {
		return nil, err
	}
	if !c.Dev {
		log.Info("zimd: Server API", "url", base, "app", c.AppID, "secret", c.secretSource())
	}
	return api, nil
}

// apiURL returns the base URL of the Server API on this machine.
func (c *serveCmd) apiURL(url string) string {
	return strings.TrimSuffix("http"+strings.TrimPrefix(url, "ws"), "v1")
}
