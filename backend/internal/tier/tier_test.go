package tier_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zim-go/zim/backend/internal/tier"
)

// A suite is a test that can fail without failing this one.
type suite struct {
	testing.TB
	failed, skipped bool
	cleanups        []func()
}

func (s *suite) Helper()               {}
func (s *suite) Name() string          { return "TestSuite" }
func (s *suite) Errorf(string, ...any) { s.failed = true }
func (s *suite) Failed() bool          { return s.failed }
func (s *suite) Skipped() bool         { return s.skipped }
func (s *suite) Cleanup(f func())      { s.cleanups = append(s.cleanups, f) }
func (s *suite) Logf(string, ...any)   {}

// However a suite ends, there is one line about it, and only one that came to its end without a failure is ok.
func TestReport(t *testing.T) {
	figures := map[string]any{"seeds": 1}
	for name, test := range map[string]struct {
		run  func(s *suite, report func(map[string]any))
		want []bool
	}{
		"all well":          {func(_ *suite, report func(map[string]any)) { report(figures) }, []bool{true}},
		"failed before":     {func(s *suite, report func(map[string]any)) { s.Errorf(""); report(figures) }, []bool{false}},
		"failed after":      {func(s *suite, report func(map[string]any)) { report(figures); s.Errorf("") }, []bool{false}},
		"failed at the end": {func(s *suite, report func(map[string]any)) { report(figures); s.Cleanup(func() { s.Errorf("") }) }, []bool{false}},
		"stopped halfway":   {func(*suite, func(map[string]any)) {}, []bool{false}},
		"skipped":           {func(s *suite, _ func(map[string]any)) { s.skipped = true }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "report")
			t.Setenv("ZIM_REPORT", path)
			s := &suite{TB: t}
			test.run(s, tier.Begin(s, "suite"))
			for _, f := range slices.Backward(s.cleanups) {
				f()
			}
			var got []bool
			data, _ := os.ReadFile(path) // there is none if nothing was written
			for line := range strings.Lines(string(data)) {
				var entry struct{ OK bool }
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Fatal(err)
				}
				got = append(got, entry.OK)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got lines with ok %v, want %v", got, test.want)
			}
		})
	}
}

// A report that can't be written fails the suite.
func TestReportNowhere(t *testing.T) {
	t.Setenv("ZIM_REPORT", filepath.Join(t.TempDir(), "none", "report"))
	s := &suite{TB: t}
	tier.Begin(s, "suite")(map[string]any{})
	s.cleanups[0]()
	if !s.failed {
		t.Error("nobody was told")
	}
}
