package e2e_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/media"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// stores has a backend store files in a directory of the test's, below root. closes closes the latest one.
func stores(t *testing.T, config media.Config) (root string, options *zimtest.Options, closes func()) {
	root = t.TempDir()
	options = &zimtest.Options{App: several}
	options.Config = func(c *backend.Config) {
		config.Dir, config.Key = filepath.Join(root, "a", "media"), []byte(zimtest.Secret)
		server, err := media.New(config)
		if err != nil {
			t.Fatal(err)
		}
		c.Media = server
		closes = func() { server.Close() }
	}
	return root, options, func() { closes() }
}

// What a file is called leads nowhere, and a browser is not told what it could mistake.
func TestNegativeFileNames(t *testing.T) {
	for _, name := range []string{
		"../../etc/passwd", `..\..\boot.ini`, "/etc/passwd", `C:\x`, "CON", "nul.txt", "a\x00b", "\u202egpj.exe", ".", "..", "...", "~", "a\r\nSet-Cookie: x=y",
		`"; filename="x.html`, "%2e%2e%2fx", "<script>", strings.Repeat("x", 150), strings.Repeat("語", 50), " ", "lock", "meta.json", "original",
	} {
		t.Run(fmt.Sprintf("N73/%q", name), func(t *testing.T) {
			root, options, closes := stores(t, media.Config{})
			onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
				t.Cleanup(closes)
				alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
				alice.sendMedia(&zim.FileMessage{File: fromReader(name, []byte("hello"))}, zim.Peer("bob"), nil)
				m := bob.message("(File)")
				if got := fileOf(m.Content).Name; got != name {
					t.Errorf("bob got the name %q", got)
				}
				bob.wantFile(srv, m, 0, []byte("hello"))
				resp, err := srv.Client().Get(fileOf(m.Content).URL)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				d := resp.Header.Get("Content-Disposition")
				if strings.ContainsAny(d, "/\\\x00\r\n") || strings.Count(d, "filename=") != 1 && !strings.Contains(name, "filename") || resp.Header.Get("Set-Cookie") != "" {
					t.Errorf("got %v", resp.Header)
				}
			})
			known := regexp.MustCompile(`^(|a|a/media|a/media/(lock|uploads|objects|objects/[0-9a-f]{2}(/[0-9a-f]{32}(/(original|meta\.json))?)?))$`)
			err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
				if rest := strings.Trim(filepath.ToSlash(strings.TrimPrefix(path, root)), "/"); !known.MatchString(rest) {
					t.Errorf("there is %q", rest)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// What is wrong with a file is found before anything is sent, or as soon as it can be.
func TestNegativeMedia(t *testing.T) {
	dir := t.TempDir()
	sized := func(name string, size int64) zim.File {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err == nil {
			err = f.Truncate(size)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		return zim.File{Path: path}
	}
	pipe, secret := filepath.Join(dir, "pipe.png"), sized("secret.png", 9)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(secret.Path, 0); err != nil {
		t.Fatal(err)
	}
	img := func(f zim.File) zim.Content { return &zim.ImageMessage{File: f} }
	file := func(f zim.File) zim.Content { return &zim.FileMessage{File: f} }
	audio := func(f zim.File, d time.Duration) zim.Content { return &zim.AudioMessage{File: f, AudioDuration: d} }
	video := func(f zim.File, d time.Duration) zim.Content { return &zim.VideoMessage{File: f, VideoDuration: d} }
	named := func(name string) zim.File { return fromReader(name, []byte("hello")) }
	hosted := func(n int) zim.File {
		return zim.File{URL: "https://cdn.example/" + strings.Repeat("x", n-20), Name: "x.png"}
	}
	list := func(c zim.Content, n int) zim.Content {
		m := new(zim.MultipleMessage)
		for range n {
			m.MessageInfoList = append(m.MessageInfoList, c)
		}
		return m
	}
	const mb = 1 << 20
	tests := map[string]struct {
		content zim.Content
		code    zim.Code
	}{
		"N73/name of 151 bytes":                {file(named(strings.Repeat("x", 151))), zim.ErrCommonParamsInvalid},
		"N73/name of 10 KiB":                   {file(named(strings.Repeat("x", 10<<10))), zim.ErrCommonParamsInvalid},
		"N73/name that is no text":             {file(named("\xff")), zim.ErrCommonParamsInvalid},
		"N73/no name":                          {file(named("")), zim.ErrCommonParamsInvalid},
		"N76/image of 10 MB and 1":             {img(sized("large.png", 10*mb+1)), zim.ErrMessageFileSizeInvalid},
		"N76/image of 10 MB and 1, by Reader":  {img(zim.File{Reader: zeros{}, Size: 10*mb + 1, Name: "x.png"}), zim.ErrMessageFileSizeInvalid},
		"N76/file of 100 MB and 1":             {file(sized("large", 100*mb+1)), zim.ErrMessageFileSizeInvalid},
		"N76/audio of 6 MB and 1":              {audio(sized("large.mp3", 6*mb+1), time.Second), zim.ErrMessageFileSizeInvalid},
		"N76/video of 100 MB and 1":            {video(sized("large.mp4", 100*mb+1), time.Second), zim.ErrMessageFileSizeInvalid},
		"N76/audio of 301 seconds":             {audio(named("x.mp3"), 301*time.Second), zim.ErrMessageFileDurationInvalid},
		"N76/hosted audio of 301 seconds":      {audio(zim.File{URL: "https://x", Name: "x.mp3"}, 301*time.Second), zim.ErrMessageFileDurationInvalid},
		"audio of less than no time":           {audio(named("x.mp3"), -time.Second), zim.ErrMessageFileDurationInvalid},
		"audio without a duration":             {audio(named("x.mp3"), 0), zim.ErrCommonParamsInvalid},
		"video without a duration":             {video(named("x.mp4"), 0), zim.ErrCommonParamsInvalid},
		"image of a wrong format":              {img(named("x.exe")), zim.ErrMessageFileTypeUnsupported},
		"image that only seems of a format":    {img(named("x.png\x00")), zim.ErrMessageFileTypeUnsupported},
		"image of no format":                   {img(named("png")), zim.ErrMessageFileTypeUnsupported},
		"audio of a wrong format":              {audio(named("x.wav"), time.Second), zim.ErrMessageFileTypeUnsupported},
		"video of a wrong format":              {video(named("x.avi"), time.Second), zim.ErrMessageFileTypeUnsupported},
		"hosted image of a wrong format":       {img(zim.File{URL: "https://x/x.png", Name: "x.svg"}), zim.ErrMessageFileTypeUnsupported},
		"hosted image without a name":          {img(zim.File{URL: "https://x/x.png"}), zim.ErrCommonParamsInvalid},
		"neither path nor Reader nor URL":      {img(zim.File{Name: "x.png", Size: 9, UID: strings.Repeat("0", 32)}), zim.ErrCommonParamsInvalid},
		"no such file":                         {img(zim.File{Path: filepath.Join(dir, "nowhere.png")}), zim.ErrMessageFileNotExist},
		"a directory":                          {file(zim.File{Path: dir}), zim.ErrMessageFileNotExist},
		"a directory, called an image":         {img(zim.File{Path: dir, Name: "x.png"}), zim.ErrMessageFileNotExist},
		"a pipe":                               {img(zim.File{Path: pipe}), zim.ErrMessageFileNotExist},
		"a device":                             {file(zim.File{Path: "/dev/zero"}), zim.ErrMessageFileNotExist},
		"a path with NUL":                      {file(zim.File{Path: "a\x00b"}), zim.ErrMessageFileNotExist},
		"a file that may not be read":          {img(secret), zim.ErrMessageFilePermissionDenied},
		"an empty file":                        {img(sized("empty.png", 0)), zim.ErrMessageFileSizeInvalid},
		"an empty Reader":                      {file(fromReader("x", nil)), zim.ErrMessageFileSizeInvalid},
		"a Reader that lasts longer":           {file(zim.File{Reader: zeros{}, Size: 99, Name: "x"}), zim.ErrMessageFileError},
		"a Reader that lasts a chunk longer":   {file(zim.File{Reader: zeros{}, Size: 8 * mb, Name: "x"}), zim.ErrMessageFileError},
		"a Reader that ends early":             {file(zim.File{Reader: strings.NewReader("x"), Size: 2, Name: "x"}), zim.ErrMessageFileError},
		"a Reader that ends after a chunk":     {file(zim.File{Reader: bytes.NewReader(noise(5 * mb)), Size: 6 * mb, Name: "x"}), zim.ErrMessageFileError},
		"a Reader that fails":                  {file(broken(5 * mb)), zim.ErrMessageFileError},
		"a negative size":                      {file(zim.File{Reader: zeros{}, Size: -1, Name: "x"}), zim.ErrMessageFileSizeInvalid},
		"a URL of 501 bytes":                   {img(hosted(501)), zim.ErrMessageFileDownloadUrlNotFound},
		"a thumbnail of 501 bytes":             {&zim.ImageMessage{File: hosted(30), ThumbnailDownloadUrl: hosted(501).URL}, zim.ErrMessageFileDownloadUrlNotFound},
		"11 images":                            {list(img(hosted(30)), 11), zim.ErrCommonParamsInvalid},
		"21 texts":                             {list(&zim.TextMessage{Message: "x"}, 21), zim.ErrCommonParamsInvalid},
		"nothing":                              {list(nil, 0), zim.ErrCommonParamsInvalid},
		"N76/an item of 10 MB and 1":           {list(img(sized("large item.png", 10*mb+1)), 1), zim.ErrMessageFileSizeInvalid},
		"an item in an item":                   {list(list(img(hosted(30)), 1), 1), zim.ErrCommonParamsInvalid},
		"an item without a duration":           {list(audio(named("x.mp3"), 0), 1), zim.ErrCommonParamsInvalid},
		"an item that is another one's Reader": {list(file(named("x")), 2), zim.ErrMessageFileError},
	}
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		for name, test := range tests {
			if test.code == zim.ErrMessageFilePermissionDenied && os.Geteuid() == 0 {
				continue // root may
			}
			attached := false
			m, err := alice.SendMessage(t.Context(), test.content, zim.Peer("bob"), &zim.MessageSendConfig{
				Notification: zim.MessageSendNotification{OnMessageAttached: func(*zim.Message) { attached = true }},
			})
			// Only what is seen while the file is read becomes a message, one that failed.
			if zim.CodeOf(err) != test.code || (m != nil) != (test.code == zim.ErrMessageFileError) || attached != (m != nil) {
				t.Errorf("%s: got %v, %v, attached=%v, want code %d", name, m, err, attached, test.code)
			}
		}
		bob.saw("bob")
		// The limits are right to the byte.
		for _, c := range []zim.Content{
			img(sized("largest.png", 10*mb)), audio(sized("largest.m4a", 6*mb), 300*time.Second), img(hosted(500)), list(img(hosted(500)), 10), list(&zim.TextMessage{Message: "x"}, 20),
			file(named(strings.Repeat("x", 150))),
		} {
			alice.sendMedia(c, zim.Peer("bob"), nil)
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// An image that would be huge when decoded isn't.
func TestNegativeImageBomb(t *testing.T) {
	t.Run("N80", func(t *testing.T) {
		onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
			alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
			b := asPNG(t, 1, 1)
			binary.BigEndian.PutUint32(b[16:], 30_000)
			binary.BigEndian.PutUint32(b[20:], 30_000)
			binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
			used := allocated(func() {
				alice.sendMedia(&zim.ImageMessage{File: fromReader("bomb.png", b)}, zim.Peer("bob"), nil)
			})
			if used > 2<<20 {
				t.Errorf("%d bytes were allocated", used)
			}
			m := bob.message("(Image)")
			if c := m.Content.(*zim.ImageMessage); c.OriginalImageSize.X != 30_000 || c.ThumbnailSize.X != 30_000 {
				t.Errorf("got %+v", c)
			}
			if got := bob.download(m, zim.MediaFileTypeThumbnail, 0); !bytes.Equal(got, b) {
				t.Errorf("the thumbnail has %d bytes", len(got))
			}
		})
	})
}

// Who has no room left is told so, and nothing of the file stays.
func TestNegativeQuota(t *testing.T) {
	t.Run("N81", func(t *testing.T) {
		root, options, closes := stores(t, media.Config{Quota: 1 << 20})
		onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
			t.Cleanup(closes)
			t.Cleanup(func() { os.RemoveAll(filepath.Join(root, "a", "media", "objects")) })
			alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
			send := func(u *user, to string, size int) error {
				_, err := u.SendMessage(t.Context(), &zim.FileMessage{File: fromReader("x", noise(size))}, zim.Peer(to), nil)
				return err
			}
			alice.must(send(alice, "bob", 1<<20))
			quiet(bob)
			if err := send(alice, "bob", 1); zim.CodeOf(err) != zim.ErrMessageFileServerError {
				t.Errorf("got %v", err)
			}
			bob.saw("bob")
			bob.must(send(bob, "alice", 1<<20)) // it is alice's quota
			alice.send(zim.Peer("bob"), "still there", nil)
			if left, err := os.ReadDir(filepath.Join(root, "a", "media", "uploads")); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	})
}
