package e2e_test

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
)

// noise returns bytes that are like no others.
func noise(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)}).Read(b)
	return b
}

// picture returns an image whose corners can be told from each other.
func picture(width, height int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetRGBA(x, y, color.RGBA{uint8(255 * x / width), uint8(255 * y / height), 0, 255})
		}
	}
	return img
}

func asPNG(t *testing.T, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture(width, height)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(t *testing.T, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture(width, height), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// onDisk writes a file and returns its path.
func onDisk(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fromReader is a file that is read from memory.
func fromReader(name string, content []byte) zim.File {
	return zim.File{Name: name, Reader: bytes.NewReader(content), Size: int64(len(content))}
}

// A gauge checks a progress: from 0 to all, never down.
type gauge struct {
	t           *testing.T
	what        string
	calls       int
	last, total int64
}

func (g *gauge) show(current, total int64) {
	switch {
	case g.calls == 0 && current != 0:
		g.t.Errorf("%s: the progress begins with %d", g.what, current)
	case g.calls > 0 && (current < g.last || total != g.total):
		g.t.Errorf("%s: %d of %d after %d of %d", g.what, current, total, g.last, g.total)
	}
	g.calls, g.last, g.total = g.calls+1, current, total
}

func (g *gauge) wantAll(total int64) {
	g.t.Helper()
	if g.calls < 2 || g.last != total || g.total != total {
		g.t.Errorf("%s: %d calls, the last one with %d of %d, want all of %d", g.what, g.calls, g.last, g.total, total)
	}
}

// upload is what a send tells of its upload.
func (g *gauge) upload() zim.MessageSendNotification {
	return zim.MessageSendNotification{OnMediaUploadingProgress: func(m *zim.Message, current, total int64) {
		if m.SentStatus != zim.MessageSentStatusSending {
			g.t.Errorf("%s: progress of %+v", g.what, m)
		}
		g.show(current, total)
	}}
}

// sendMedia sends content and fails the test if that fails.
func (u *user) sendMedia(content zim.Content, to zim.ConversationRef, config *zim.MessageSendConfig) *zim.Message {
	u.t.Helper()
	m, err := u.SendMessage(u.t.Context(), content, to, config)
	u.must(err)
	return m
}

// download returns a file of a message.
func (u *user) download(m *zim.Message, fileType zim.MediaFileType, item int) []byte {
	u.t.Helper()
	var b bytes.Buffer
	g := &gauge{t: u.t, what: "download"}
	u.must(u.DownloadMediaFile(u.t.Context(), m, fileType, &b, &zim.MediaDownloadConfig{
		MessageInfoIndex:           item,
		OnMediaDownloadingProgress: func(_ *zim.Message, current, total int64) { g.show(current, total) },
	}))
	g.wantAll(int64(b.Len()))
	return b.Bytes()
}

// wantFile fails the test unless a file is content, for whoever asks for its URL and for the user.
func (u *user) wantFile(srv *zimtest.Server, m *zim.Message, item int, content []byte) {
	u.t.Helper()
	c := m.Content
	if multiple, ok := c.(*zim.MultipleMessage); ok {
		c = multiple.MessageInfoList[item]
	}
	f := fileOf(c)
	if f.Size != int64(len(content)) || f.UID == "" {
		u.t.Errorf("got %+v, want %d bytes and a UID", f, len(content))
	}
	if status, got := get(u.t, srv, f.URL); status != 200 || !bytes.Equal(got, content) {
		u.t.Errorf("GET %s: %d and %d bytes, want 200 and the %d bytes that were sent", f.URL, status, len(got), len(content))
	}
	if got := u.download(m, zim.MediaFileTypeOriginalFile, item); !bytes.Equal(got, content) {
		u.t.Errorf("downloaded %d bytes, want the %d that were sent", len(got), len(content))
	}
}

// get gets a URL as a browser would.
func get(t *testing.T, srv *zimtest.Server, url string) (status int, body []byte) {
	t.Helper()
	resp, err := srv.Client().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusOK && resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s comes with %v", url, resp.Header)
	}
	return resp.StatusCode, body
}

func fileOf(c zim.Content) *zim.File {
	switch c := c.(type) {
	case *zim.ImageMessage:
		return &c.File
	case *zim.FileMessage:
		return &c.File
	case *zim.AudioMessage:
		return &c.File
	case *zim.VideoMessage:
		return &c.File
	default:
		return new(zim.File)
	}
}

// items returns the items of a message.
func items(m *zim.Message) []zim.Content { return m.Content.(*zim.MultipleMessage).MessageInfoList }

// names returns what the items of a message are called.
func names(m *zim.Message) (list []string) {
	for _, c := range items(m) {
		if text, ok := c.(*zim.TextMessage); ok {
			list = append(list, text.Message)
			continue
		}
		list = append(list, cmp.Or(fileOf(c).Name, "?"))
	}
	return list
}
