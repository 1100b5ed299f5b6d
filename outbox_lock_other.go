//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package zim

import (
	"io"
	"os"
)

// lockFile locks nothing: the standard library has no lock for this system. It is up to the application that only one ZIM uses the
// directory.
func lockFile(path string) (io.Closer, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }

// syncDir does nothing: not every such system can.
func syncDir(string) error { return nil }
