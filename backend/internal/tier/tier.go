// Package tier says how much the reliability suites do, and takes down what they found.
//
// The short tier is part of every test run. The long tier (ZIM_TIER=long) does the same for longer. With ZIM_REPORT, each suite appends
// to that file whether all was well, and its figures, as a line of JSON.
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

// Begin begins a suite, at the start of its test. When the test has ended, with all that it leaves to Cleanup from here on, the suite's line is
// logged, and written to the report if there is one. The line is ok if nothing has failed and the figures were told: a suite that stops
// halfway is not. They are told by calling what Begin returns. Only the end of the whole process, as by a test that takes too long, leaves
// no line.
func Begin(tb testing.TB, suite string) (report func(figures map[string]any)) {
	tb.Helper()
	var told map[string]any
	tb.Cleanup(func() {
		if !tb.Skipped() {
			write(tb, suite, told)
		}
	})
	return func(figures map[string]any) { told = figures }
}

// write appends a suite's line to the report.
func write(tb testing.TB, suite string, figures map[string]any) {
	tb.Helper()
	line, err := json.Marshal(struct {
		Suite   string         `json:"suite"`
		Test    string         `json:"test"`
		Tier    string         `json:"tier"`
		OK      bool           `json:"ok"`
		At      time.Time      `json:"at"`
		Figures map[string]any `json:"figures"`
	}{suite, tb.Name(), name(), !tb.Failed() && figures != nil, time.Now().UTC(), figures})
	if err != nil {
		tb.Errorf("tier: %v", err)
		return
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
		tb.Errorf("tier: %v", err)
	}
}

func name() string {
	if Long() {
		return "long"
	}
	return "short"
}
