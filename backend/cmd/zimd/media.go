package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/zim-go/zim/backend/media"
)

type mediaFlags struct {
	MediaDir   string `help:"Directory for the files of messages; it is made if there is none. Default media beside the database. The URLs of files are signed with a key that is made once and kept beside the database, in a file with its name and .key: without it, URLs that were given out and uploads that were begun are void." placeholder:"PATH" env:"ZIM_MEDIA_DIR" group:"Media"`
	MediaQuota int64  `help:"Bytes of files that a user may store. Negative means no limit. Default 10 GiB." default:"10737418240" placeholder:"BYTES" env:"ZIM_MEDIA_QUOTA" group:"Media"`
}

func (f *mediaFlags) checkQuota() error {
	if f.MediaQuota == 0 {
		return errors.New("--media-quota is 0: for no limit, use -1")
	}
	return nil
}

// files opens the files that belong to a database, which is open.
func (f *mediaFlags) files(db string, log *slog.Logger) (*media.Server, error) {
	key, err := mediaKey(db + ".key")
	if err != nil {
		return nil, err
	}
	dir := f.MediaDir
	if dir == "" {
		dir = filepath.Join(filepath.Dir(db), "media")
	}
	return media.New(media.Config{Dir: dir, Key: key, Quota: f.MediaQuota, Logger: log})
}

// mediaKey returns the key in a file, which it makes if there is none.
func mediaKey(path string) ([]byte, error) {
	const size = 32
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newKey(path, size)
	}
	if err != nil {
		return nil, fmt.Errorf("the key of the media: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("others may use the key %s (mode %v): chmod 600 it, or remove it, which voids the URLs of files", path, mode)
	}
	key, err := os.ReadFile(path)
	if err == nil && len(key) != size {
		err = fmt.Errorf("%s has %d bytes, it must have %d: to remove it voids the URLs of files", path, len(key), size)
	}
	if err != nil {
		return nil, fmt.Errorf("the key of the media: %w", err)
	}
	return key, nil
}

// newKey makes a key that is in its file, all of it, before it is used. The database is locked: nobody else does the same.
func newKey(path string, size int) ([]byte, error) {
	key := make([]byte, size)
	rand.Read(key)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = f.Write(key)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if dir, e := os.Open(filepath.Dir(path)); err == nil && e == nil {
		dir.Sync() // if it fails, a crash may cost the URLs
		dir.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("the key of the media: %w", err)
	}
	return key, nil
}
