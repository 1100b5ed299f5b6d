package zim_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zim-go/zim"
)

// A source is what the package's files declare. Tests read it from them, so that they need not list names again and see what
// is there in spite of the documentation.
type source struct {
	scope    *types.Scope
	comments map[string]string // what stands at the end of a line, by file and line
	fset     *token.FileSet
}

func readSource(t *testing.T) *source {
	t.Helper()
	src := &source{comments: map[string]string{}, fset: token.NewFileSet()}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(src.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.Comments {
			src.comments[src.line(c.Pos())] = strings.TrimSpace(c.Text())
		}
		files = append(files, f)
	}
	// Imports are not followed: what the package declares is known without them, and the errors don't matter.
	conf := types.Config{Error: func(error) {}, IgnoreFuncBodies: true}
	pkg, _ := conf.Check("zim", src.fset, files, nil)
	src.scope = pkg.Scope()
	return src
}

func (src *source) line(pos token.Pos) string {
	p := src.fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// lookup returns what an exported name like Create or ZIM.Login stands for, or nil.
func (src *source) lookup(name string) types.Object {
	name, method, isMethod := strings.Cut(name, ".")
	obj := src.scope.Lookup(name)
	if obj == nil || !obj.Exported() {
		return nil
	}
	if isMethod {
		m, _, _ := types.LookupFieldOrMethod(obj.Type(), true, nil, method)
		if f, ok := m.(*types.Func); ok {
			return f
		}
		return nil
	}
	return obj
}

// consts returns the constants by the name of their type.
func (src *source) consts() map[string][]*types.Const {
	consts := map[string][]*types.Const{}
	for _, name := range src.scope.Names() {
		c, ok := src.scope.Lookup(name).(*types.Const)
		if !ok {
			continue
		}
		if typ, ok := c.Type().(*types.Named); ok {
			consts[typ.Obj().Name()] = append(consts[typ.Obj().Name()], c)
		}
	}
	return consts
}

// readTSV returns the rows of a table of documented names, without its header.
func readTSV(t *testing.T, name string) (rows [][]string) {
	t.Helper()
	table, err := os.ReadFile(filepath.Join("testdata", "api", name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		rows = append(rows, strings.Split(strings.TrimRight(line, "\r\n"), "\t"))
	}
	if len(rows) < 2 {
		t.Fatalf("%s has no rows", name)
	}
	return rows[1:]
}

// documentedConsts returns the numbers that the package must have, by Go type and name.
func documentedConsts(t *testing.T) map[string]map[string]int64 {
	t.Helper()
	want := map[string]map[string]int64{}
	add := func(typ, name, number string) {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if want[typ] == nil {
			want[typ] = map[string]int64{}
		}
		want[typ][name] = n
	}
	for _, row := range readTSV(t, "enums.tsv") {
		typ := strings.TrimPrefix(row[0], "ZIM")
		add(typ, typ+row[1], row[2])
	}
	for _, row := range readTSV(t, "errors.tsv") {
		add("Code", goCode(row[0]), row[1])
	}
	return want
}

// goCode returns the Go name of a documented error code.
func goCode(documented string) string { return "Err" + strings.Replace(documented, "Module", "", 1) }

// bannedCode is documented as a number without a constant.
const (
	bannedCode   = "ErrMessageSendMessageFailedBanned"
	bannedNumber = 6000231
)

// TestDocumentedConsts holds every documented enum value and error code against the package, both ways.
func TestDocumentedConsts(t *testing.T) {
	want := documentedConsts(t)
	if len(want) != 59 || len(want["Code"]) != 169 { // the documentation's ZIMErrorCode is one of the 59 enums
		t.Fatalf("the tables have %d enums and %d codes, want 59 and 169", len(want), len(want["Code"]))
	}
	want["Code"][bannedCode] = bannedNumber
	got := readSource(t).consts()
	for typ, numbers := range want {
		missing := len(numbers)
		for _, c := range got[typ] {
			n, _ := constant.Int64Val(c.Val())
			documented, ok := numbers[c.Name()]
			switch {
			case ok:
				missing--
				if n != documented {
					t.Errorf("%s: got %d, want %d", c.Name(), n, documented)
				}
			case typ != "Code" || n >= 0: // negative codes are the package's own
				t.Errorf("%s = %d of type %s is not documented", c.Name(), n, typ)
			}
			delete(numbers, c.Name())
		}
		if missing > 0 {
			t.Errorf("%s: missing, or of another type: %v", typ, numbers)
		}
	}
}

// TestConstTexts holds the texts that String returns, which are generated from line comments, to their form.
func TestConstTexts(t *testing.T) {
	src := readSource(t)
	consts := src.consts()
	seen := map[string]string{}
	for typ := range documentedConsts(t) {
		if src.lookup(typ+".String") == nil {
			t.Errorf("%s has no String method", typ)
		}
		for _, c := range consts[typ] {
			text := src.comments[src.line(c.Pos())]
			if typ != "Code" {
				if want := strings.TrimPrefix(c.Name(), typ); text != want {
					t.Errorf("%s: got text %q, want %q", c.Name(), text, want)
				}
				continue
			}
			words := len(strings.Fields(text))
			if words < 3 || words > 12 || strings.HasSuffix(text, ".") || text[:1] != strings.ToLower(text[:1]) {
				t.Errorf("%s: the text %q is not 3 to 12 words in lower case without a dot", c.Name(), text)
			}
			if n, _ := constant.Int64Val(c.Val()); zim.Code(n).String() != text {
				t.Errorf("%s: got text %q, want %q", c.Name(), zim.Code(n), text)
			}
			if seen[text] != "" {
				t.Errorf("%s and %s have the same text %q", c.Name(), seen[text], text)
			}
			seen[text] = c.Name()
		}
	}
}

func TestStrings(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{zim.ErrNetworkTokenExpired.Error(), "the token has expired (6000106)"},
		{zim.ErrCanceled.Error(), "the context ended before the operation did (-2)"},
		{zim.Code(6000999).Error(), "unknown code 6000999"},
		{zim.Code(-99).Error(), "unknown code -99"},
		{zim.MessagePriorityHigh.String(), "High"},
		{zim.ConversationTypeUnknown.String(), "Unknown"},
		{zim.PlatformTypeUnknown.String(), "Unknown"},
		{zim.MessagePriority(42).String(), "MessagePriority(42)"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	var err error = zim.ErrNetworkTokenExpired
	if !errors.Is(err, zim.ErrNetworkTokenExpired) || errors.Is(err, zim.ErrNetworkTokenInvalid) {
		t.Error("errors.Is does not tell codes apart")
	}
}
