package restapi_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zim-go/zim/backend/restapi"
)

// The page has the actions that there are, and no others.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/server-api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## What there is")
	table, _, _ = strings.Cut(table, "\nAll other names")
	var listed []string
	for _, row := range regexp.MustCompile(`(?m)^\| \w+ \| (.*) \|$`).FindAllStringSubmatch(table, -1) {
		listed = append(listed, strings.Split(row[1], ", ")...)
	}
	slices.Sort(listed)
	if want := restapi.Actions(); !slices.Equal(listed, want) {
		t.Errorf("the page has %v, want %v", listed, want)
	}
}
