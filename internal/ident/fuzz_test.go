package ident_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/zim-go/zim/internal/ident"
)

// The documented characters and lengths, told in another way.
var (
	userID = regexp.MustCompile(`\A[0-9A-Za-z!#$%&()+\-:;<=.>?@\[\]^_{}|~]{1,32}\z`)
	roomID = regexp.MustCompile(`\A[0-9A-Za-z!#$%&()+\-:;<=.>?@\[\]^_{}|~]{1,128}\z`)
)

// An ID is good exactly if the documentation allows it, and none is repeated in an error.
func FuzzID(f *testing.F) {
	for _, id := range []string{
		"", "alice", "!#$%&()+-:;<=.>?@[]^_{}|~", "a b", "ä", "\xff", "a\n",
		strings.Repeat("a", 33), strings.Repeat("a", 129), "\\'\"`*,/",
	} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		const canary = "c4n4ry"
		for _, id := range []string{id, canary + id, id + canary} {
			for name, check := range map[string]struct {
				err  error
				want bool
			}{"user": {ident.CheckUserID(id), userID.MatchString(id)}, "room": {ident.CheckRoomID(id), roomID.MatchString(id)}} {
				if (check.err == nil) != check.want {
					t.Errorf("%s %q: got %v", name, id, check.err)
				}
				if check.err != nil && strings.Contains(check.err.Error(), canary) {
					t.Errorf("%s %q is in %q", name, id, check.err)
				}
			}
		}
	})
}
