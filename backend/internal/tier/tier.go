// Package tier says how much the reliability suites do, and takes down what they found.
//
// The short tier is part of every test run. The long tier (ZIM_TIER=long) does the same for longer. With ZIM_REPORT, each suite appends
// its figures to that file as a line of JSON.
package tier

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// Long reports whether this is the long tier.
func Long() bool { return os.Getenv("ZIM_TIER") == "long" }

// Pick returns how many of something a suite does.
func Pick(short, long int) int {
	if Long() {
		return long
	}
	return short
}

// Report logs the figures of a suite, and writes them to the report if there is one. It is called once the suite has ended, whether or not
// it failed.
func Report(tb testing.TB, suite string, figures map[string]any) {
	tb.Helper()
	line, err := json.Marshal(struct {
		Suite   string         `json:"suite"`
		Test    string         `json:"test"`
		Tier    string         `json:"tier"`
		OK      bool           `json:"ok"`
		At      time.Time      `json:"at"`
		Figures map[string]any `json:"figures"`
	}{suite, tb.Name(), name(), !tb.Failed(), time.Now().UTC(), figures})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%s", line)
	path := os.Getenv("ZIM_REPORT")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
		if closing := f.Close(); err == nil {
			err = closing
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func name() string {
	if Long() {
		return "long"
	}
	return "short"
}
