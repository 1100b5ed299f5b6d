package media

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"
)

// Sweep removes the uploads whose tickets have expired, except those that have a request, and the objects that are older than
// the retention. It goes on after an error, and returns all. Call it now and then.
func (s *Server) Sweep(now time.Time) error {
	q, err := s.begin(context.Background(), nil, false)
	if err != nil {
		return ErrClosed
	}
	defer q.end()
	var expired []string
	s.mu.Lock()
	for id, m := range s.live {
		if !now.Before(m.Expires) {
			expired = append(expired, id)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, id := range expired {
		if q.ctx.Err() != nil {
			return ErrClosed
		}
		errs = append(errs, s.sweepUpload(id))
	}
	if s.config.Retention > 0 {
		err := s.eachObject(func(id string) error {
			if q.ctx.Err() != nil {
				return ErrClosed
			}
			errs = append(errs, s.sweepObject(id, now.Add(-s.config.Retention)))
			return nil
		})
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("media: sweeping: %w", err)
	}
	return nil
}

func (s *Server) sweepUpload(id string) error {
	q, err := s.begin(context.Background(), nil, false)
	if err != nil {
		return ErrClosed
	}
	defer q.end()
	if q.tryHold(id, nil) != nil {
		return nil
	}
	return s.discard(id)
}

// sweepObject removes an object that was made before a time.
func (s *Server) sweepObject(id string, before time.Time) error {
	dir := objectDir(id)
	name := path.Join(dir, metaFile)
	// Most are younger, which the file system knows without a look into the file.
	if info, err := s.root.Lstat(name); err != nil || !info.ModTime().Before(before) {
		return ignore(err, fs.ErrNotExist)
	}
	m, err := s.readMeta(dir)
	if err != nil || !m.Object.Created.Before(before) {
		return err
	}
	// Without it there is no object, whatever of the rest a crash leaves.
	if err := s.root.Remove(name); err != nil {
		return ignore(err, fs.ErrNotExist) // another Sweep was faster
	}
	s.mu.Lock()
	s.count(m.Object.App, m.Object.User, -m.Object.Size)
	s.mu.Unlock()
	return s.root.RemoveAll(dir)
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}
