package media_test

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/zim-go/zim/backend/media"
)

// A disk that is full indeed.
func TestSmallDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		t.Skip("mounting needs privileges: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := newSite(t, media.Config{Dir: dir})
	content := make([]byte, 3<<20)
	id, ticket := s.ticket(media.KindVideo, "", len(content))
	want(t, "status of POST", s.post(ticket, len(content)).status, 201)
	r, err := s.try("PATCH", "media/upload/"+id, bytes.NewReader(content), patchHeaders(ticket, 0)...)
	if err == nil {
		want(t, "status of PATCH", r.status, 507)
	}
	s.gone(id)
	o := s.put(media.KindFile, "", content[:1<<20])
	want(t, "length", len(s.get(o, media.Original).body), 1<<20)
}
