package e2e_test

import (
	"bytes"
	"fmt"
	"image"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
)

// What one user sends, another one gets: by path, by Reader, and where it is hosted elsewhere.
func TestMedia(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		const seconds = 7 * time.Second
		for _, test := range []struct {
			name    string
			content []byte
			message func(f zim.File) zim.Content
			check   func(c zim.Content) bool
		}{
			{"a picture.png", asPNG(t, 40, 30), func(f zim.File) zim.Content { return &zim.ImageMessage{File: f, OriginalImageSize: image.Pt(9, 9)} }, func(c zim.Content) bool {
				return c.(*zim.ImageMessage).OriginalImageSize == image.Pt(40, 30)
			}},
			{"any.thing", noise(1 << 20), func(f zim.File) zim.Content { return &zim.FileMessage{File: f} }, func(zim.Content) bool { return true }},
			{"voice.MP3", noise(5000), func(f zim.File) zim.Content { return &zim.AudioMessage{File: f, AudioDuration: seconds} }, func(c zim.Content) bool {
				return c.(*zim.AudioMessage).AudioDuration == seconds
			}},
			{"movie.mp4", noise(70_000), func(f zim.File) zim.Content {
				return &zim.VideoMessage{File: f, VideoDuration: seconds, VideoFirstFrameDownloadUrl: "https://cdn.example/f.jpg", VideoFirstFrameSize: image.Pt(64, 48)}
			}, func(c zim.Content) bool {
				v := c.(*zim.VideoMessage)
				return v.VideoDuration == seconds && v.VideoFirstFrameDownloadUrl == "https://cdn.example/f.jpg" && v.VideoFirstFrameSize == image.Pt(64, 48)
			}},
		} {
			path := onDisk(t, test.name, test.content)
			for source, f := range map[string]zim.File{
				"path":              {Path: path},
				"path, renamed":     {Path: path, Name: "日本 語." + test.name},
				"path, wrong size":  {Path: path, Size: 1},
				"reader":            fromReader(test.name, test.content),
				"path and a reader": {Path: path, Reader: strings.NewReader("something else"), Size: 14},
			} {
				g := &gauge{t: t, what: test.name + " by " + source}
				m := alice.sendMedia(test.message(f), zim.Peer("bob"), &zim.MessageSendConfig{Notification: g.upload()})
				g.wantAll(int64(len(test.content)))
				name := f.Name
				if name == "" {
					name = test.name
				}
				got := bob.message(says(m.Content))
				if fileOf(m.Content).Path != f.Path || got.ID != m.ID {
					t.Errorf("%s: alice has %+v, bob %+v", g.what, m.Content, got)
				}
				for who, m := range map[*user]*zim.Message{alice: m, bob: got} {
					if c := m.Content; !test.check(c) || fileOf(c).Name != name {
						t.Errorf("%s: got %+v", g.what, c)
					}
					who.wantFile(srv, m, 0, test.content)
				}
			}

			// Nobody touches what is hosted elsewhere: the URL stays as it is, to the byte.
			for _, u := range []string{"https://cdn.example/a/../b c?x=ü", "HTTP://CDN.example", "media/x", "oss://bucket/" + test.name, "https://cdn.example/" + strings.Repeat("x", 480)} {
				f := zim.File{URL: u, Name: test.name, Size: 99, Path: "nowhere"}
				m := alice.sendMedia(test.message(f), zim.Peer("bob"), &zim.MessageSendConfig{Notification: zim.MessageSendNotification{
					OnMediaUploadingProgress: func(*zim.Message, int64, int64) { t.Error("progress of what is not uploaded") },
				}})
				for _, c := range []zim.Content{m.Content, bob.message(says(m.Content)).Content} {
					if got := fileOf(c); got.URL != u || got.Name != test.name || got.Size != 99 || got.UID != "" {
						t.Errorf("got %+v, want the URL %s", got, u)
					}
				}
			}
		}
	})
}

// Of an image, the server makes a large one and a thumbnail. Where it does not, their URLs are good for the original.
func TestImageVersions(t *testing.T) {
	large, tall, middle := asPNG(t, 1400, 1050), asJPEG(t, 600, 1300), asPNG(t, 640, 480)
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		for _, test := range []struct {
			name                string
			content             []byte
			size, large, little image.Point
		}{
			{"x.png", large, image.Pt(1400, 1050), image.Pt(1280, 960), image.Pt(320, 240)},
			{"x.jpg", tall, image.Pt(600, 1300), image.Pt(590, 1280), image.Pt(147, 320)},
			{"middle.png", middle, image.Pt(640, 480), image.Pt(640, 480), image.Pt(320, 240)},
			{"small.jpeg", asJPEG(t, 32, 16), image.Pt(32, 16), image.Pt(32, 16), image.Pt(32, 16)},
			{"unknown.heic", noise(1000), image.Pt(7, 5), image.Point{}, image.Point{}},
		} {
			alice.sendMedia(&zim.ImageMessage{File: fromReader(test.name, test.content), OriginalImageSize: image.Pt(7, 5)}, zim.Peer("bob"), nil)
			m := bob.message("(Image)")
			c := m.Content.(*zim.ImageMessage)
			if c.OriginalImageSize != test.size || c.LargeImageSize != test.large || c.ThumbnailSize != test.little {
				t.Errorf("%s: got %v, %v and %v, want %v, %v and %v", test.name, c.OriginalImageSize, c.LargeImageSize, c.ThumbnailSize, test.size, test.large, test.little)
			}
			bob.wantFile(srv, m, 0, test.content)
			for _, version := range []struct {
				fileType zim.MediaFileType
				url      string
				size     image.Point
			}{{zim.MediaFileTypeLargeImage, c.LargeImageDownloadUrl, test.large}, {zim.MediaFileTypeThumbnail, c.ThumbnailDownloadUrl, test.little}} {
				got := bob.download(m, version.fileType, 0)
				if status, body := get(t, srv, version.url); status != 200 || !bytes.Equal(body, got) {
					t.Errorf("%s, %v: %d and %d bytes", test.name, version.fileType, status, len(body))
				}
				if version.size == (image.Point{}) || version.size == test.size {
					if !bytes.Equal(got, test.content) {
						t.Errorf("%s, %v: it is not the original", test.name, version.fileType)
					}
					continue
				}
				img, _, err := image.Decode(bytes.NewReader(got))
				if err != nil || img.Bounds().Size() != version.size {
					t.Fatalf("%s, %v: %v", test.name, version.fileType, err)
				}
				// Its corners are where they were.
				b := img.Bounds()
				for _, p := range []image.Point{{0, 0}, {b.Dx() - 1, 0}, {0, b.Dy() - 1}} {
					r, g, _, _ := img.At(p.X, p.Y).RGBA()
					if got, want := fmt.Sprint(r > 0x7fff, g > 0x7fff), fmt.Sprint(p.X > 0, p.Y > 0); got != want {
						t.Errorf("%s, %v: the corner %v is %s", test.name, version.fileType, p, got)
					}
				}
			}
			if err := bob.DownloadMediaFile(t.Context(), m, zim.MediaFileTypeVideoFirstFrame, new(bytes.Buffer), nil); zim.CodeOf(err) != zim.ErrMessageFileTypeUnsupported {
				t.Errorf("the first frame of an image: %v", err)
			}
		}
	})
}

// A received file is sent on without being uploaded, and is the new receiver's own: also long after the URL has expired, and however
// long its name is.
func TestForwardMedia(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := lasting(t, srv, dialer, "alice"), lasting(t, srv, dialer, "bob")
		carol := lasting(t, srv, dialer, "carol")
		content := asPNG(t, 400, 300)
		for _, name := range []string{"a.png", strings.Repeat("画", 48) + ".png"} {
			alice.sendMedia(&zim.ImageMessage{File: fromReader(name, content)}, zim.Peer("bob"), nil)
			got := bob.message("(Image)")
			for _, wait := range []time.Duration{0, 26 * time.Hour} {
				time.Sleep(wait)
				m := bob.sendMedia(got.Content, zim.Peer("carol"), nil)
				bob.sendMedia(&zim.MultipleMessage{MessageInfoList: []zim.Content{got.Content, &zim.TextMessage{Message: "look"}}}, zim.Peer("carol"), nil)
				image := carol.message("(Image)")
				c := image.Content.(*zim.ImageMessage)
				if m.ID != image.ID || c.Name != name || c.UID != fileOf(got.Content).UID || c.URL == fileOf(got.Content).URL || c.ThumbnailSize.X != 320 {
					t.Errorf("carol got %+v", c)
				}
				carol.wantFile(srv, image, 0, content)
				carol.wantFile(srv, carol.message("(Multiple)"), 0, content)
				if b := carol.download(image, zim.MediaFileTypeThumbnail, 0); len(b) == 0 || bytes.Equal(b, content) {
					t.Errorf("carol's thumbnail has %d bytes", len(b))
				}
				if status, _ := get(t, srv, fileOf(got.Content).URL); (status == 403) != (wait > 0) {
					t.Errorf("bob's URL answers %d after %v", status, wait)
				}
			}
		}
	})
}

// lasting is device for a login that outlasts days.
func lasting(t *testing.T, srv *zimtest.Server, dialer transport.Dialer, userID string) *user {
	t.Helper()
	u := newUser(t, dialer, "one")
	u.must(u.Login(t.Context(), userID, &zim.LoginConfig{Token: srv.TokenFor(userID, 20*24*time.Hour)}))
	u.since()
	return u
}

// A URL is good for a day. DownloadMediaFile asks for another one by itself.
func TestExpiredMedia(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := lasting(t, srv, dialer, "alice"), lasting(t, srv, dialer, "bob")
		content := asPNG(t, 400, 300)
		sent := alice.sendMedia(&zim.MultipleMessage{MessageInfoList: []zim.Content{
			&zim.TextMessage{Message: "a"}, &zim.ImageMessage{File: fromReader("a.png", content)}, &zim.FileMessage{File: fromReader("b", noise(50))},
		}}, zim.Peer("bob"), nil)
		got := bob.message("(Multiple)")
		expires := func(link string) time.Duration {
			u, err := url.Parse(link)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.ParseDuration(u.Query().Get("expires") + "s")
			if err != nil {
				t.Fatal(err)
			}
			return time.Until(time.Unix(int64(at.Seconds()), 0))
		}
		if left := expires(fileOf(items(got)[2]).URL); left < 24*time.Hour || left > 25*time.Hour+time.Minute {
			t.Errorf("a new URL is good for %v", left)
		}
		time.Sleep(26 * time.Hour)
		if status, _ := get(t, srv, fileOf(items(got)[1]).URL); status != 403 {
			t.Errorf("the URL answers %d after 26 hours", status)
		}
		if b := bob.download(got, zim.MediaFileTypeOriginalFile, 1); !bytes.Equal(b, content) {
			t.Errorf("downloaded %d bytes", len(b))
		}
		if b := bob.download(got, zim.MediaFileTypeThumbnail, 1); len(b) == 0 {
			t.Error("no thumbnail")
		}
		if b := alice.download(sent, zim.MediaFileTypeOriginalFile, 2); !bytes.Equal(b, noise(50)) {
			t.Errorf("alice downloaded %d bytes", len(b))
		}

		// What came inside another message is not in its place, and another message is none of its business.
		alice.sendMedia(&zim.CombineMessage{Title: "t", Summary: "s", MessageList: []*zim.Message{sent}}, zim.Peer("bob"), nil)
		detail, err := bob.QueryCombineMessageDetail(t.Context(), bob.message("(Combine)"))
		bob.must(err)
		child := detail.Content.(*zim.CombineMessage).MessageList[0]
		bob.wantFile(srv, child, 1, content)
		time.Sleep(26 * time.Hour)
		var b bytes.Buffer
		stranger := new(*child)
		stranger.ID = "1"
		if err := bob.DownloadMediaFile(t.Context(), stranger, zim.MediaFileTypeOriginalFile, &b, &zim.MediaDownloadConfig{MessageInfoIndex: 1}); zim.CodeOf(err) != zim.ErrMessageFileDownloadUrlNotFound || b.Len() > 0 {
			t.Errorf("got %v and %d bytes of another message", err, b.Len())
		}
	})
}

// Who was away gets URLs that are good when he comes, and so does who asks for the history.
func TestMediaOffline(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		alice := lasting(t, srv, dialer, "alice")
		content := asPNG(t, 500, 100)
		m := alice.sendMedia(&zim.ImageMessage{File: fromReader("a.png", content)}, zim.Peer("bob"), nil)
		_, err := alice.ReplyMessage(t.Context(), &zim.TextMessage{Message: "look"}, m, nil)
		alice.must(err)
		time.Sleep(30 * time.Hour)
		bob := newUser(t, dialer, "one")
		bob.must(bob.Login(t.Context(), "bob", &zim.LoginConfig{Token: srv.TokenFor("bob", 20*24*time.Hour)}))
		synctest.Wait()
		bob.wantFile(srv, bob.message("(Image)"), 0, content)
		quoted := bob.message("look").RepliedInfo.MessageInfo
		if status, got := get(t, srv, fileOf(quoted).URL); status != 200 || !bytes.Equal(got, content) {
			t.Errorf("what is quoted answers %d and %d bytes", status, len(got))
		}
		time.Sleep(30 * time.Hour)
		page, err := bob.QueryHistoryMessage(t.Context(), zim.Peer("alice"), zim.MessageQueryConfig{Count: 10})
		bob.must(err)
		if len(page) != 2 {
			t.Fatalf("the history has %d messages", len(page))
		}
		bob.wantFile(srv, page[0], 0, content)
	})
}

// A reply tells who sends it what it quotes, too.
func TestReplyToMedia(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		content := asPNG(t, 500, 100)
		alice.sendMedia(&zim.ImageMessage{File: fromReader("a.png", content)}, zim.Peer("bob"), nil)
		file := noise(99)
		m, err := bob.ReplyMessage(t.Context(), &zim.FileMessage{File: fromReader("b", file)}, bob.message("(Image)"), nil)
		bob.must(err)
		bob.wantFile(srv, m, 0, file)
		alice.wantFile(srv, alice.message("(File)"), 0, file)
		for who, m := range map[*user]*zim.Message{bob: m, alice: alice.message("(File)")} {
			quoted := fileOf(m.RepliedInfo.MessageInfo)
			if quoted.URL == "" {
				t.Fatalf("%s sees %+v quoted", who.message("(File)").Sender, m.RepliedInfo.MessageInfo)
			}
			if status, got := get(t, srv, quoted.URL); status != 200 || !bytes.Equal(got, content) {
				t.Errorf("what is quoted answers %d and %d bytes", status, len(got))
			}
		}
	})
}
