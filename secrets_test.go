package zim_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// secretName is how what must be compared in constant time is called.
var secretName = regexp.MustCompile(`(?i)secret|token|ticket|signature|hmac|digest|password|passphrase|^(mac|sum|sig|seal)$|(mac|sum)$`)

// plainName is how constants are called that are about a secret, and not secret.
var plainName = regexp.MustCompile(`(Format|Size|Length)$|^prefix`)

// comparers tell by how long they take how much of two values is the same.
var comparers = []string{
	"bytes.Equal", "bytes.Compare", "bytes.HasPrefix", "strings.Compare", "strings.EqualFold", "strings.HasPrefix", "slices.Equal", "slices.Compare",
	"cmp.Compare", "reflect.DeepEqual", "maps.Equal",
}

// isSecret reports whether the name of a value says that it is secret.
func isSecret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return secretName.MatchString(e.Name) && !plainName.MatchString(e.Name)
	case *ast.SelectorExpr:
		return secretName.MatchString(e.Sel.Name)
	case *ast.CallExpr: // hmac.Sum(nil), Reveal(), []byte(secret)
		if len(e.Args) == 1 && isSecret(e.Args[0]) {
			if f, ok := e.Fun.(*ast.Ident); !ok || f.Name != "len" {
				return true
			}
		}
		if f, ok := e.Fun.(*ast.SelectorExpr); ok {
			return f.Sel.Name == "Reveal" || f.Sel.Name == "Sum" || f.Sel.Name != "Type" && len(e.Args) == 0 && isSecret(e.Fun)
		}
		return false
	case *ast.IndexExpr:
		return isSecret(e.X)
	case *ast.SliceExpr:
		return isSecret(e.X)
	case *ast.ParenExpr:
		return isSecret(e.X)
	case *ast.StarExpr:
		return isSecret(e.X)
	default:
		return false
	}
}

// isConstant reports whether comparing with e tells nothing that is secret: whether something is there at all, or how long it is.
func isConstant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false" || plainName.MatchString(e.Name)
	default:
		return false
	}
}

// leaks returns the comparisons in a file that take longer the more of a secret was guessed.
func leaks(fset *token.FileSet, file *ast.File) (list []string) {
	found := func(n ast.Node, what string) {
		list = append(list, fmt.Sprintf("%v: %s", fset.Position(n.Pos()), what))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && (isSecret(n.X) && !isConstant(n.Y) || isSecret(n.Y) && !isConstant(n.X)) {
				found(n, n.Op.String())
			}
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				break
			}
			x, ok := f.X.(*ast.Ident)
			if ok && slices.Contains(comparers, x.Name+"."+f.Sel.Name) && slices.ContainsFunc(n.Args, isSecret) &&
				!slices.ContainsFunc(n.Args, isConstant) {
				found(n, x.Name+"."+f.Sel.Name)
			}
		case *ast.SwitchStmt:
			if n.Tag != nil && isSecret(n.Tag) {
				found(n, "switch")
			}
		}
		return true
	})
	return list
}

// public are comparisons of what has the name of a secret and is none.
var public = []string{
	"backend/room_message.go", // the hash of what its own sender sent before
}

// N95: no value that is secret is compared with == or bytes.Equal, which tell by how long they take how much of it was guessed.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	files := 0
	var got []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			return err
		}
		files++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err == nil {
			got = append(got, leaks(fset, file)...)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Fatalf("%v after %d files", err, files)
	}
	for _, leak := range got {
		if !slices.ContainsFunc(public, func(p string) bool { return strings.HasPrefix(leak, p) }) {
			t.Errorf("%s compares a secret: use hmac.Equal or subtle.ConstantTimeCompare", leak)
		}
	}
}

// The check finds what it is for.
func TestSecretsCheck(t *testing.T) {
	for code, leak := range map[string]bool{
		"secret == given": true, "given != c.AppSecret": true, "bytes.Equal(sum, want)": true, "string(mac) == given": true, "h.Sum(nil) == x": true,
		"bytes.Equal(h.Sum(nil), sum)": true, "s.Reveal() == given": true, "token[3] == b": true, "strings.EqualFold(signature, x)": true,
		"slices.Equal(x, hmac[:])": true, "reflect.DeepEqual(ticket, x)": true,
		`secret == ""`: false, "sum != nil": false, "len(secret) == n": false, "hmac.Equal(sum, want)": false, "user == given": false,
		`strings.HasPrefix(token, "04")`: false, "subtle.ConstantTimeCompare(mac, x) == 1": false, "tokens < n": false,
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "x.go", "package x\nvar _ = "+code, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := leaks(fset, file); (len(got) > 0) != leak {
			t.Errorf("%s: got %v", code, got)
		}
	}
}
