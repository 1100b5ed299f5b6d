//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package dirlock

import (
	"io"
	"os"
)

// Lock locks nothing: the standard library has no lock for this system. It is up to the application that only one ZIM or Service uses the
// directory.
func Lock(path string) (io.Closer, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }

// Sync does nothing: not every such system can.
func Sync(string) error { return nil }
