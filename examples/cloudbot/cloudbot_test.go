package main

import (
	"os"
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
	t.Setenv("ZIM_APP_ID", "many")
	if err := production(t.Context()); err == nil {
		t.Error("it ran without an app")
	}
}
