package media_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zim-go/zim/backend/media"
)

var key = []byte("a key of the tests, 32 bytes long")

// A site is a server and its clients.
type site struct {
	t      testing.TB
	config media.Config
	*media.Server
	http *httptest.Server
}

func newSite(t testing.TB, config media.Config) *site {
	t.Helper()
	if config.Dir == "" {
		config.Dir = filepath.Join(t.TempDir(), "media")
	}
	if config.Key == nil {
		config.Key = key
	}
	s := &site{t: t, config: config}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) start() {
	s.t.Helper()
	srv, err := media.New(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Server = srv
	s.http = httptest.NewServer(srv)
}

func (s *site) stop() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
	s.http.Close()
}

func (s *site) restart() {
	s.t.Helper()
	s.stop()
	s.start()
}

// ticket returns an ID and a ticket for alice.
func (s *site) ticket(kind media.Kind, name string, size int) (id, ticket string) {
	s.t.Helper()
	id, ticket, err := s.Ticket(media.Upload{App: 1, User: "alice", Kind: kind, Name: name, Size: int64(size)})
	if err != nil {
		s.t.Fatal(err)
	}
	return id, ticket
}

// A response is one that was read.
type response struct {
	status int
	header http.Header
	body   string
}

// do sends a request to a path below /v1/, with headers as alternating names and values.
func (s *site) do(method, path string, body io.Reader, headers ...string) response {
	s.t.Helper()
	resp, err := s.try(method, path, body, headers...)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp
}

func (s *site) try(method, path string, body io.Reader, headers ...string) (response, error) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.http.URL+"/v1/"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := s.http.Client().Do(r)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(b)}, err
}

func tus(ticket string, headers ...string) []string {
	return append([]string{"Authorization", "Bearer " + ticket, "Tus-Resumable", "1.0.0"}, headers...)
}

func (s *site) post(ticket string, size int) response {
	s.t.Helper()
	return s.do("POST", "media/upload", nil, tus(ticket, "Upload-Length", strconv.Itoa(size))...)
}

func (s *site) patch(id, ticket string, offset int, body io.Reader) response {
	s.t.Helper()
	return s.do("PATCH", "media/upload/"+id, body, patchHeaders(ticket, offset)...)
}

func patchHeaders(ticket string, offset int) []string {
	return tus(ticket, "Upload-Offset", strconv.Itoa(offset), "Content-Type", "application/offset+octet-stream")
}

// offset asks for the offset of an upload.
func (s *site) offset(id, ticket string) int {
	s.t.Helper()
	r := s.do("HEAD", "media/upload/"+id, nil, tus(ticket)...)
	want(s.t, "status of HEAD", r.status, 200)
	n, err := strconv.Atoi(r.header.Get("Upload-Offset"))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// put uploads a file of alice in one go.
func (s *site) put(kind media.Kind, name string, content []byte) *media.Object {
	s.t.Helper()
	id, ticket := s.ticket(kind, name, len(content))
	want(s.t, "status of POST", s.post(ticket, len(content)).status, 201)
	if len(content) > 0 {
		want(s.t, "status of PATCH", s.patch(id, ticket, 0, bytes.NewReader(content)).status, 204)
	}
	return s.object(id)
}

func (s *site) object(id string) *media.Object {
	s.t.Helper()
	o, err := s.Object(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// get downloads by a URL of bob.
func (s *site) get(o *media.Object, v media.Variant, headers ...string) response {
	s.t.Helper()
	return s.do("GET", s.URL(o.ID, v, o.Name, 1, "bob"), nil, headers...)
}

// arrivals tells how many bytes were written to originals, each time. Somebody has to want to know.
func (s *site) arrivals() <-chan int {
	arrived := make(chan int)
	s.SetFaults(func(name string, w io.Writer) io.Writer {
		if !strings.HasSuffix(name, "/original") {
			return w
		}
		return writerFunc(func(p []byte) (int, error) {
			n, err := w.Write(p)
			arrived <- n
			return n, err
		})
	}, nil)
	return arrived
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// files returns what regular files there are below a directory, beside the lock.
func (s *site) files() []string {
	s.t.Helper()
	var files []string
	err := filepath.WalkDir(s.config.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			path, err = filepath.Rel(s.config.Dir, path)
			files = append(files, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return files
}

// gone checks that nothing of an upload is left.
func (s *site) gone(id string) {
	s.t.Helper()
	if _, err := s.Object(id); err != media.ErrNotFound {
		s.t.Errorf("Object returns %v", err)
	}
	for _, f := range s.files() {
		if strings.Contains(f, id) {
			s.t.Errorf("%s is left", f)
		}
	}
	for _, dir := range []string{"uploads/" + id, "objects/" + id[:2] + "/" + id} {
		if _, err := os.Lstat(filepath.Join(s.config.Dir, dir)); !errors.Is(err, fs.ErrNotExist) {
			s.t.Errorf("%s is left", dir)
		}
	}
	want(s.t, "bytes that count", s.Used(1, "alice"), 0)
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// picture returns an image that is red above and blue below, opaque or not.
func picture(width, height int, alpha uint8) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		c := color.NRGBA{R: 255, A: alpha}
		if y >= height/2 {
			c = color.NRGBA{B: 255, A: alpha}
		}
		for x := range width {
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

func pngOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
