// Package dirlock has what the standard library lacks for a directory that one program at a time keeps its files in.
package dirlock

import "errors"

// ErrInUse is for a lock that somebody has, in this process or another one.
var ErrInUse = errors.New("another process, ZIM or Service uses the directory")
