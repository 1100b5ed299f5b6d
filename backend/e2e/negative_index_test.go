package e2e_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/zim-go/zim/backend/internal/tier"
)

// The cases of bad input by their numbers, which are in the names or comments of their tests:
//
//	N01-N18  the wire, before and after a login     N73-N82  files
//	N19-N34  tokens and logins                      N83-N90  a hostile server against the SDK
//	N35-N49  what a user may do                     N91-N99  secrets, logs, TLS, zimd, SQL
//	N50-N57  the Server API
//	N58-N67  callbacks that come, in transport/cloud
//	N68-N72  callbacks that the backend sends
//	N100     what zimd shows to everybody
const lastCase = 100

// Every case of bad input has a test that can be found by its number.
func TestNegativeIndex(t *testing.T) {
	report := tier.Begin(t, "T19 bad input")
	number := regexp.MustCompile(`\bN([0-9]{2,3})\b`)
	span := regexp.MustCompile(`\bN[0-9]+ to N[0-9]+\b`) // says nothing of one of them
	found := map[int][]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "negative_index_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range number.FindAllStringSubmatch(span.ReplaceAllString(string(b), ""), -1) {
			n, _ := strconv.Atoi(m[1])
			found[n] = append(found[n], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for n := 1; n <= lastCase; n++ {
		if len(found[n]) > 0 {
			cases++
		}
		if len(found[n]) == 0 {
			t.Errorf("N%02d has no test", n)
		}
	}
	for n, paths := range found {
		if n == 0 || n > lastCase {
			t.Errorf("%v: there is no case N%02d", paths, n)
		}
	}
	report(map[string]any{"cases": cases, "of": lastCase})
}
