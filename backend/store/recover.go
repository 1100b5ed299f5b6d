package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// syncFile waits until a file is on the disk. A variable because tests simulate disks.
var syncFile = (*os.File).Sync

// settle writes what is in SQLite's log once more, and syncs it. A process that was killed may have left there what is not on the disk yet;
// after a sync that failed it never comes there, although it can be read and later syncs say that all is well. SQLite takes what it reads for
// durable, and so do those who ask: a sender who tries again would be told that the message is stored.
func settle(path string) error {
	f, err := os.OpenFile(path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	if err := rewrite(f); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := syncFile(f); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil // SQLite has synced the directory before it wrote the first page to its log
}

// rewrite writes a file over with what is in it.
func rewrite(f *os.File) error {
	part := make([]byte, 1<<20)
	for at := int64(0); ; {
		n, end := f.ReadAt(part, at)
		if end != nil && end != io.EOF {
			return end
		}
		if _, err := f.WriteAt(part[:n], at); err != nil {
			return err
		}
		if at += int64(n); end == io.EOF {
			return nil
		}
	}
}
