package media

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The names in a Server's directory.
const (
	lockFile      = "lock"
	uploadsDir    = "uploads"
	objectsDir    = "objects"
	originalFile  = "original"
	largeFile     = "large"
	thumbnailFile = "thumbnail"
	metaFile      = "meta.json"
)

const (
	bufferSize = 128 << 10
	metaLimit  = 64 << 10 // bytes of a meta.json
)

// faults are what a test lets the disk do. The zero value is a disk that works.
type faults struct {
	writer func(name string, w io.Writer) io.Writer // wraps all that is written to files
	sync   func(name string) error                  // fails instead of a sync
}

// A meta is the content of a meta.json.
type meta struct {
	Object  Object    // of an upload without what is known only of an object
	Expires time.Time // of an upload
}

func uploadDir(id string) string { return path.Join(uploadsDir, id) }
func objectDir(id string) string { return path.Join(objectsDir, id[:2], id) }

// load makes the directories, and reads what an earlier Server has left in them.
func (s *Server) load() error {
	for _, dir := range []string{uploadsDir, objectsDir} {
		if err := s.mkdir(dir); err != nil {
			return err
		}
	}
	if err := s.each(uploadsDir, s.loadUpload); err != nil {
		return err
	}
	return s.eachObject(s.loadObject)
}

func (s *Server) loadUpload(id string) error {
	dir := uploadDir(id)
	m, err := s.readMeta(dir)
	if err == nil && m.Object.ID == id {
		if _, err = s.size(path.Join(dir, originalFile)); err == nil {
			s.mu.Lock()
			s.live[id] = m
			s.count(m.Object.App, m.Object.User, m.Object.Size)
			s.mu.Unlock()
			return nil
		}
	}
	// The process ended before the client had an answer.
	s.log.Warn("media: removing an upload that was not begun", "id", id, "err", err)
	return s.root.RemoveAll(dir)
}

func (s *Server) loadObject(id string) error {
	dir := objectDir(id)
	m, err := s.readMeta(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.log.Warn("media: removing the rest of an object", "id", id)
		return s.root.RemoveAll(dir)
	case err != nil:
		// What can't be read today may be read again some day.
		s.log.Error("media: reading an object", "id", id, "err", err)
		return nil
	}
	s.mu.Lock()
	s.count(m.Object.App, m.Object.User, m.Object.Size)
	s.mu.Unlock()
	return nil
}

// each calls f for the IDs that have a directory in dir, until it returns an error.
func (s *Server) each(dir string, f func(id string) error) error {
	names, err := s.dirs(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if isID(name) {
			if err := f(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachObject calls f for the IDs of all objects, until it returns an error.
func (s *Server) eachObject(f func(id string) error) error {
	names, err := s.dirs(objectsDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := s.each(path.Join(objectsDir, name), func(id string) error {
			if id[:2] != name {
				return nil
			}
			return f(id)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dirs returns the names of the directories in dir. Links are none.
func (s *Server) dirs(dir string) ([]string, error) {
	f, err := s.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// mkdir makes a directory, if there is none.
func (s *Server) mkdir(dir string) error {
	err := s.root.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return s.noLinks(dir)
	}
	if err != nil {
		return err
	}
	return s.sync(path.Dir(dir))
}

// noLinks returns an error unless name and what leads to it are directories, or name a file: a root follows links that do
// not leave it.
func (s *Server) noLinks(name string) error {
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		info, err := s.root.Lstat(name[:i])
		if err != nil {
			return err
		}
		if !info.IsDir() && (i < len(name) || !info.Mode().IsRegular()) {
			return fmt.Errorf("%s: neither file nor directory", name[:i])
		}
	}
	return nil
}

// openFile opens a file that is there.
func (s *Server) openFile(name string, flag int) (*os.File, error) {
	if err := s.noLinks(name); err != nil {
		return nil, err
	}
	f, err := s.root.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%s: no file: %w", name, err)
	}
	return f, nil
}

// size returns how many bytes a file has.
func (s *Server) size(name string) (int64, error) {
	if err := s.noLinks(name); err != nil {
		return 0, err
	}
	info, err := s.root.Lstat(name)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: no file", name)
	}
	return info.Size(), nil
}

// writeFile makes a new file and returns when it is on disk. There is none if it fails.
func (s *Server) writeFile(name string, write func(io.Writer) error) (err error) {
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.root.Remove(name)
		}
	}()
	if err = write(s.writer(name, f)); err == nil {
		err = s.syncFile(name, f)
	}
	return errors.Join(err, f.Close())
}

func (s *Server) writer(name string, f *os.File) io.Writer {
	// Without File's ReadFrom, which takes a buffer of its own.
	w := io.Writer(struct{ io.Writer }{f})
	if s.faults.writer != nil {
		w = s.faults.writer(name, w)
	}
	return w
}

func (s *Server) syncFile(name string, f *os.File) error {
	if s.faults.sync != nil {
		if err := s.faults.sync(name); err != nil {
			return err
		}
	}
	return f.Sync()
}

// sync makes the names in a directory durable.
func (s *Server) sync(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // which does it by itself
	}
	f, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.syncFile(dir, f)
}

// readMeta reads the meta.json of a directory.
func (s *Server) readMeta(dir string) (*meta, error) {
	f, err := s.openFile(path.Join(dir, metaFile), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var m meta
	if err := json.NewDecoder(io.LimitReader(f, metaLimit)).Decode(&m); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return &m, nil
}

// writeMeta writes the meta.json of a directory, all of it or nothing.
func (s *Server) writeMeta(dir string, m *meta) error {
	name := path.Join(dir, metaFile)
	err := s.writeFile(name+".new", func(w io.Writer) error { return json.NewEncoder(w).Encode(m) })
	if err != nil {
		return err
	}
	return s.root.Rename(name+".new", name)
}

// full reports whether an error means that there is no room.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		err != nil && runtime.GOOS == "windows" && strings.Contains(err.Error(), "not enough space")
}
