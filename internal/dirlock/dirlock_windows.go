package dirlock

import (
	"errors"
	"io"
	"os"
	"syscall"
)

const errSharingViolation = syscall.Errno(32)

// Lock makes the file if there is none, and opens it so that nobody else can until it is closed or the process ends. It fails at
// once if somebody has it open.
func Lock(path string) (io.Closer, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errSharingViolation) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// Sync does nothing: Windows has no such call, and its file systems keep a journal of names.
func Sync(string) error { return nil }
