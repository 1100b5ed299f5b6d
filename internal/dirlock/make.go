package dirlock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zim-go/zim/internal/defect"
)

// Make makes a directory if there is none, with those above it that are missing, and has the names of all that it made on the disk: a power cut
// that a directory's own name does not survive takes the files in it.
func Make(path string) error { return makeDir(path, Sync) }

func makeDir(path string, sync func(dir string) error) error {
	above := filepath.Dir(path)
	if _, err := os.Stat(above); errors.Is(err, fs.ErrNotExist) && above != path {
		if err := makeDir(above, sync); err != nil {
			return err
		}
	}
	err := os.Mkdir(path, 0o700)
	there := errors.Is(err, fs.ErrExist)
	if err != nil && !there {
		return err
	}
	if defect.On(defect.DirUnnamed) {
		return nil
	}
	// One that is there may be from a run that was killed before its sync. Or somebody else has made it, in a directory that this process can't read.
	if err = sync(above); there && errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
