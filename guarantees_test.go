package zim_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each test that docs/guarantees.md and docs/performance.md name is there.
func TestGuaranteesNameTheirTests(t *testing.T) {
	there := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (?:\(h \*(History)\) )?((?:Test|Fuzz|Benchmark)?[A-Z]\w*)\(`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		data, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(data, -1) {
			name := string(m[2])
			if len(m[1]) > 0 {
				name = "History." + name
			}
			there[name] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*|History\\.[A-Z]\\w*)`")
	for _, page := range []string{"docs/guarantees.md", "docs/performance.md"} {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		all := named.FindAllSubmatch(data, -1)
		if len(all) == 0 {
			t.Errorf("%s names no test", page)
		}
		for _, m := range all {
			if !there[string(m[1])] {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
}
