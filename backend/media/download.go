package media

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"time"
)

// Who downloads gets a minute, and a second more for so many bytes: nobody holds a file open by not reading.
const slowest = 16 << 10

// download serves one of an object's files to whoever has a URL for it.
func (s *Server) download(q *request, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	l, ok := s.verify(r.URL)
	if !ok || time.Now().Unix() >= l.expires {
		refuse(w, errForbidden)
		return
	}
	o, err := s.Object(l.id)
	if err != nil {
		if !errors.Is(err, ErrNotFound) {
			s.log.Error("media: reading an object", "id", l.id, "err", err)
		}
		refuse(w, errForbidden)
		return
	}
	file := originalFile
	switch {
	case l.variant == LargeImage && o.Large != Image{}:
		file = largeFile
	case l.variant == Thumbnail && o.Thumbnail != Image{}:
		file = thumbnailFile
	}
	f, err := s.openFile(path.Join(objectDir(l.id), file), os.O_RDONLY)
	if err != nil {
		s.log.Error("media: opening a file", "id", l.id, "err", err)
		refuse(w, errForbidden)
		return
	}
	defer f.Close()
	name := l.name
	if full := cleanName(o.Name); shortName(full) == name {
		name = full
	}
	if err := s.serve(q, w, r, f, o, name); err != nil {
		s.log.Error("media: reading a file", "id", l.id, "err", err)
		refuse(w, errDisk)
	}
}

// serve answers with a file, of which a browser runs nothing.
func (s *Server) serve(q *request, w http.ResponseWriter, r *http.Request, f *os.File, o *Object, name string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var start [512]byte
	n, err := f.ReadAt(start[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	kind, inline := contentType(http.DetectContentType(start[:n]), name)
	shown := "attachment"
	if inline {
		shown = "inline"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", disposition(shown, name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "private")
	if ranges := r.Header.Values("Range"); len(ranges) > 1 || len(ranges) == 1 && strings.Contains(ranges[0], ",") {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", info.Size()))
		http.Error(w, "one range at a time", http.StatusRequestedRangeNotSatisfiable)
		return nil
	}
	h.Set("Etag", `"`+o.ID+"-"+path.Base(f.Name())+`"`)
	q.bound(time.Minute + time.Duration(info.Size()/slowest)*time.Second)
	http.ServeContent(w, r, "", o.Created, f)
	return nil
}
