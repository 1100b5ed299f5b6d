package ident_test

import (
	"strings"
	"testing"

	"github.com/zim-go/zim/internal/ident"
)

func TestCheckUserID(t *testing.T) {
	tests := []struct {
		name, id string
		ok       bool
	}{
		{"letters and digits", "Alice42", true},
		{"one character", "a", true},
		{"32 bytes", strings.Repeat("a", 32), true},
		{"all punctuation", "!#$%&()+-:;<=.>?@[]^_{}|~", true},
		{"looks like a path", "..", true},
		{"empty", "", false},
		{"33 bytes", strings.Repeat("a", 33), false},
		{"17 letters of two bytes", strings.Repeat("ä", 17), false},
		{"space", "al ice", false},
		{"trailing space", "alice ", false},
		{"NUL", "alice\x00", false},
		{"line feed", "ali\nce", false},
		{"escape", "\x1b[31m", false},
		{"delete", "alice\x7f", false},
		{"asterisk", "a*", false},
		{"comma", "a,b", false},
		{"slash", "a/b", false},
		{"backslash", `a\b`, false},
		{"backquote", "a`b", false},
		{"apostrophe", "a'b", false},
		{"quote", `a"b`, false},
		{"Cyrillic a", "аlice", false},
		{"right-to-left override", "alice\u202e", false},
		{"zero width space", "ali\u200bce", false},
		{"no UTF-8", "ali\xffce", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := ident.CheckUserID(test.id); (err == nil) != test.ok {
				t.Errorf("%q: got %v, want ok: %v", test.id, err, test.ok)
			}
		})
	}
}

// Each byte by itself: exactly the documented ones are allowed.
func TestUserIDCharacters(t *testing.T) {
	const allowed = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()+-:;<=.>?@[]^_{}|~"
	for c := range 256 {
		id := string([]byte{byte(c)})
		if err := ident.CheckUserID(id); (err == nil) != strings.Contains(allowed, id) {
			t.Errorf("%q: got %v", id, err)
		}
	}
}

// An ID is not repeated in the error: it may be anything, and ends in logs.
func TestErrorsAreText(t *testing.T) {
	for _, id := range []string{"\x1b[31mlook\n", strings.Repeat("look", 1000)} {
		if err := ident.CheckUserID(id); err == nil || strings.Contains(err.Error(), "look") {
			t.Errorf("%q: got %v, want an error without it", id, err)
		}
	}
}
