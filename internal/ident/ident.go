// Package ident checks identifiers, the same way at both ends.
package ident

import (
	"errors"
	"fmt"
	"strings"
)

// MaxUserID is how many bytes a user ID may have.
const MaxUserID = 32

// CheckUserID reports what is wrong with a user ID, or nil. The documentation allows 1 to 32 bytes of ASCII letters, digits
// and some punctuation.
func CheckUserID(id string) error { return check(id, MaxUserID) }

// MaxRoomID is how many bytes a room ID may have.
const MaxRoomID = 128

// CheckRoomID reports what is wrong with a room ID, or nil: it is like a user ID, but longer.
func CheckRoomID(id string) error { return check(id, MaxRoomID) }

func check(id string, limit int) error {
	if id == "" {
		return errors.New("is empty")
	}
	if len(id) > limit {
		return fmt.Errorf("has %d bytes, the limit is %d", len(id), limit)
	}
	for i := range len(id) {
		c := id[i]
		if c < '0' || c > '9' && c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
			if strings.IndexByte("!#$%&()+-:;<=.>?@[]^_{}|~", c) < 0 {
				return fmt.Errorf("has a character that is not allowed at byte %d", i)
			}
		}
	}
	return nil
}
