package main

import (
	"os"
	"strings"
	"testing"
)

// The bot answers the user of its own backend, and leaves nothing behind.
func TestCloudbot(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	if err := demo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Without what it needs, a bot in production says what is missing.
func TestProductionNeedsAnApp(t *testing.T) {
	for name, test := range map[string]struct{ app, callbackSecret, listen, want string }{
		"an app that is none":    {"many", "x", "", `ZIM_APP_ID must be the app's ID, a number, and is "many"`},
		"no app":                 {"", "x", "", `ZIM_APP_ID must be the app's ID, a number, and is ""`},
		"no callback secret":     {"1", "", "", "ZIM_CALLBACK_SECRET is not set: without it, the bot hears nothing"},
		"no address":             {"1", "x", "nowhere", "ZIM_LISTEN: "},
		"no secret for requests": {"1", "x", "127.0.0.1:0", "ServerSecret is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ZIM_APP_ID", test.app)
			t.Setenv("ZIM_SERVER_SECRET", "")
			t.Setenv("ZIM_CALLBACK_SECRET", test.callbackSecret)
			t.Setenv("ZIM_LISTEN", test.listen)
			if err := production(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
