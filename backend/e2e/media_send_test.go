package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

func TestMultipleMedia(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		content := [][]byte{1: noise(300_000), 2: asPNG(t, 400, 300), 4: noise(1), 5: noise(70_000)}
		all, each := &gauge{t: t, what: "all"}, make(map[int]*gauge)
		var order []int
		attached := false
		m := alice.sendMedia(&zim.MultipleMessage{MessageInfoList: []zim.Content{
			0: &zim.TextMessage{Message: "first"},
			1: &zim.FileMessage{File: zim.File{Path: onDisk(t, "a.bin", content[1])}},
			2: &zim.ImageMessage{File: fromReader("b.png", content[2])},
			3: &zim.FileMessage{File: zim.File{URL: "https://cdn.example/c", Name: "c"}},
			4: &zim.AudioMessage{File: fromReader("d.m4a", content[4]), AudioDuration: time.Second},
			5: &zim.VideoMessage{File: fromReader("e.mov", content[5]), VideoDuration: time.Second},
			6: &zim.CustomMessage{Message: "{}", SubType: 3},
		}}, zim.Peer("bob"), &zim.MessageSendConfig{Notification: zim.MessageSendNotification{
			OnMessageAttached:        func(*zim.Message) { attached = true },
			OnMediaUploadingProgress: func(*zim.Message, int64, int64) { t.Error("progress of a single file") },
			OnMultipleMediaUploadingProgress: func(m *zim.Message, current, total int64, index int, currentFile, totalFile int64) {
				if !attached {
					t.Error("progress before the message is attached")
				}
				all.show(current, total)
				if each[index] == nil {
					each[index] = &gauge{t: t, what: "item"}
					order = append(order, index)
				}
				each[index].show(currentFile, totalFile)
			},
		}})
		sum := 0
		for i, c := range content {
			if sum += len(c); c != nil {
				each[i].wantAll(int64(len(c)))
			}
		}
		all.wantAll(int64(sum))
		wantList(t, "the order", order, 1, 2, 4, 5)
		for who, m := range map[*user]*zim.Message{alice: m, bob: bob.message("(Multiple)")} {
			wantList(t, "names", names(m)[:6], "first", "a.bin", "b.png", "c", "d.m4a", "e.mov")
			for i, c := range content {
				if c != nil {
					who.wantFile(srv, m, i, c)
				}
			}
			if thumbnail := who.download(m, zim.MediaFileTypeThumbnail, 2); bytes.Equal(thumbnail, content[2]) {
				t.Error("the thumbnail is the original")
			}
			var b bytes.Buffer
			if err := who.DownloadMediaFile(t.Context(), m, zim.MediaFileTypeOriginalFile, &b, &zim.MediaDownloadConfig{MessageInfoIndex: 7}); zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
				t.Errorf("item 7: %v", err)
			}
			if err := who.DownloadMediaFile(t.Context(), m, zim.MediaFileTypeOriginalFile, &b, nil); zim.CodeOf(err) != zim.ErrMessageFileTypeUnsupported {
				t.Errorf("item 0, a text: %v", err)
			}
		}
	})
}

// Ten files in a message, one message after the other: tickets are within the rates.
func TestManyFiles(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		alice := device(t, srv, dialer, "alice", "one")
		for range 10 {
			var list []zim.Content
			for range 10 {
				list = append(list, &zim.FileMessage{File: fromReader("x", []byte("x"))})
			}
			alice.sendMedia(&zim.MultipleMessage{MessageInfoList: list}, zim.Peer("bob"), nil)
		}
	})
}

// A broken reader fails after some bytes.
func broken(n int) zim.File {
	return zim.File{Name: "broken.png", Size: int64(n) + 1, Reader: io.MultiReader(bytes.NewReader(noise(n)), errReader{})}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func TestMultiplePartial(t *testing.T) {
	missing := zim.File{Path: filepath.Join(t.TempDir(), "missing.png")}
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		other := device(t, srv, dialer, "alice", "two")
		good := func(name string) zim.Content { return &zim.FileMessage{File: fromReader(name, noise(5<<20))} }
		bad := func(f zim.File) zim.Content { return &zim.ImageMessage{File: f} }
		send := func(flag bool, list ...zim.Content) (*zim.Message, error) {
			all := &gauge{t: t, what: "all"}
			return alice.SendMessage(t.Context(), &zim.MultipleMessage{MessageInfoList: list}, zim.Peer("bob"), &zim.MessageSendConfig{
				IsAllowMultipleMessagePartialFailed: flag,
				Notification: zim.MessageSendNotification{OnMultipleMediaUploadingProgress: func(_ *zim.Message, current, total int64, _ int, _, _ int64) {
					all.show(current, total)
				}},
			})
		}

		m, err := send(true, &zim.TextMessage{Message: "text"}, bad(broken(5<<20)), good("1"), bad(missing), good("2"), bad(broken(10)))
		alice.must(err)
		content := m.Content.(*zim.MultipleMessage)
		wantList(t, "failed", content.FailedIndexList, 1, 3, 5)
		wantList(t, "alice's items", names(m), "text", "broken.png", "1", "?", "2", "broken.png")
		alice.wantFile(srv, m, 2, noise(5<<20))
		for _, u := range []*user{bob, other} {
			got := u.message("(Multiple)")
			wantList(t, "items", names(got), "text", "1", "2")
			if list := got.Content.(*zim.MultipleMessage).FailedIndexList; list != nil {
				t.Errorf("the others are told of %v", list)
			}
			u.wantFile(srv, got, 2, noise(5<<20))
		}

		quiet(bob)
		for _, test := range []struct {
			name     string
			flag     bool
			list     []zim.Content
			code     zim.Code
			attached bool // it has become a message
		}{
			{"all missing", true, []zim.Content{bad(missing), bad(missing)}, zim.ErrMessageFileNotExist, false},
			{"all broken", true, []zim.Content{bad(broken(10)), bad(missing)}, zim.ErrMessageFileError, true},
			{"one missing", false, []zim.Content{good("1"), bad(missing)}, zim.ErrMessageFileNotExist, false},
			{"one broken", false, []zim.Content{good("1"), bad(broken(10)), &zim.TextMessage{Message: "text"}}, zim.ErrMessageFileError, true},
		} {
			m, err := send(test.flag, test.list...)
			if zim.CodeOf(err) != test.code || (m != nil) != test.attached {
				t.Errorf("%s: got %v, %v, want code %d", test.name, m, err, test.code)
			}
			if test.attached && m.SentStatus != zim.MessageSentStatusFailed {
				t.Errorf("%s: got %+v", test.name, m)
			}
		}
		bob.saw("bob")
	})
}

// A slowFilesDialer's requests for files take a while: long enough for each to be told of.
type slowFilesDialer struct{ transport.Dialer }

func (d slowFilesDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return slowFilesConn{c.(transport.Pipeline)}, nil
}

type slowFilesConn struct{ transport.Pipeline }

func (c slowFilesConn) Files() (*http.Client, *url.URL) {
	client, base := c.Pipeline.(transport.FileServer).Files()
	return &http.Client{Transport: slowFiles{client.Transport}}, base
}

type slowFiles struct{ http.RoundTripper }

func (s slowFiles) RoundTrip(req *http.Request) (*http.Response, error) {
	time.Sleep(200 * time.Millisecond)
	return s.RoundTripper.RoundTrip(req)
}

// An upload can be canceled at any time, from within its own callbacks too, and the message be sent again.
func TestCancelUpload(t *testing.T) {
	const attached, during, last = "attached", "during", "last byte"
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, slowFilesDialer{dialer}, "alice", "one"), device(t, srv, dialer, "bob", "one")
		content := noise(5 << 20)
		path := onDisk(t, "a.bin", content)
		file := func() zim.Content { return &zim.FileMessage{File: zim.File{Path: path}} }
		read := fromReader("a.bin", append(noise(10), content...))
		read.Reader.(io.Seeker).Seek(10, io.SeekStart)
		read.Size -= 10
		again := func() zim.Content { return &zim.FileMessage{File: read} }
		for _, c := range []zim.Content{file(), again(), &zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.TextMessage{Message: "x"}, file()}}} {
			for _, when := range []string{attached, during, last} {
				for _, by := range []string{"context", "call"} {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					read.Reader.(io.Seeker).Seek(10, io.SeekStart) // the message before had it
					stop := func(m *zim.Message) {
						if by == "context" {
							cancel()
						} else if err := alice.CancelSendingMessage(m); err != nil {
							t.Errorf("%s: %v", when, err)
						}
					}
					progress := func(m *zim.Message, current, total int64) {
						if when == during && current > 0 && current < total || when == last && current == total {
							stop(m)
						}
					}
					quiet(alice, bob)
					m, err := alice.SendMessage(ctx, c, zim.Peer("bob"), &zim.MessageSendConfig{
						IsAllowMultipleMessagePartialFailed: true,
						ExtendedData:                        "more",
						Notification: zim.MessageSendNotification{
							OnMessageAttached: func(m *zim.Message) {
								if when == attached {
									stop(m)
								}
							},
							OnMediaUploadingProgress: progress,
							OnMultipleMediaUploadingProgress: func(m *zim.Message, current, total int64, _ int, _, _ int64) {
								progress(m, current, total)
							},
						},
					})
					if m == nil || zim.CodeOf(err) != zim.ErrMessageSendMessageFailedForCancelled || errors.Is(err, context.Canceled) != (by == "context") || errors.Is(err, zim.ErrOutcomeUnknown) {
						t.Fatalf("%s, by %s: got %v, %v", when, by, m, err)
					}
					if err := alice.CancelSendingMessage(m); zim.CodeOf(err) != zim.ErrMessageCancelSendingMessageFailed {
						t.Errorf("canceled twice: %v", err)
					}
					if got := alice.since(); !slices.Contains(got, "status Failed "+says(c)) {
						t.Errorf("%s, by %s: alice saw %q", when, by, got)
					}
					bob.saw("bob")

					// It is sent again with the identity that it has.
					again, err := alice.SendMessage(t.Context(), nil, zim.Peer("bob"), &zim.MessageSendConfig{Retry: m})
					alice.must(err)
					if again.LocalID != m.LocalID || again.ExtendedData != "more" || again.SentStatus != zim.MessageSentStatusSuccess {
						t.Errorf("got %+v", again)
					}
					got := bob.message(says(c))
					if got.ID != again.ID {
						t.Fatalf("bob got %+v, want %+v", got, again)
					}
					bob.wantFile(srv, got, 1, content)
				}
			}
		}
		m := alice.send(zim.Peer("bob"), "text", nil)
		for _, m := range []*zim.Message{m, {LocalID: "x"}, {}} {
			if err := alice.CancelSendingMessage(m); zim.CodeOf(err) != zim.ErrMessageCancelSendingMessageFailed {
				t.Errorf("nothing to cancel: %v", err)
			}
		}
		if err := alice.CancelSendingMessage(nil); zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
			t.Errorf("nil: %v", err)
		}
	})
}

// A filesConn passes on what a dialer that tampers with sends would hide: where the files are.
type filesConn struct {
	transport.Pipeline
	transport.FileServer
}

type filesDialer struct{ *sendDialer }

func (d filesDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.sendDialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return filesConn{c.(transport.Pipeline), c.(*sendConn).Pipeline.(transport.FileServer)}, nil
}

// A message with files whose answer was lost is stored once, however often it is sent, also when its files came from Readers.
func TestRetryMediaOfUnknownOutcome(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		bob := device(t, srv, dialer, "bob", "one")
		lose, reach := 0, true
		flaky := filesDialer{&sendDialer{dialer, func(conn transport.Pipeline, req *wire.Request, done func(*wire.Response, error)) bool {
			if lose == 0 {
				return false
			}
			if lose--; reach {
				conn.RoundTrip(context.Background(), req)
			}
			return true // the answer never comes
		}}}
		alice := device(t, srv, flaky, "alice", "one")
		content := noise(100_000)
		for _, reach = range []bool{true, false} {
			for _, c := range []zim.Content{
				&zim.FileMessage{File: fromReader("a.bin", content)},
				&zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.TextMessage{Message: "x"}, &zim.FileMessage{File: fromReader("a.bin", content)}, &zim.ImageMessage{File: broken(10)}}},
			} {
				quiet(bob)
				lose = 1
				uploads := 0
				notify := zim.MessageSendNotification{
					OnMediaUploadingProgress:         func(*zim.Message, int64, int64) { uploads++ },
					OnMultipleMediaUploadingProgress: func(*zim.Message, int64, int64, int, int64, int64) { uploads++ },
				}
				m, err := alice.SendMessage(t.Context(), c, zim.Peer("bob"), &zim.MessageSendConfig{IsAllowMultipleMessagePartialFailed: true, Notification: notify})
				if m == nil || !errors.Is(err, zim.ErrOutcomeUnknown) || uploads == 0 {
					t.Fatalf("got %v, %v after %d calls", m, err, uploads)
				}
				uploads = 0
				again, err := alice.SendMessage(t.Context(), nil, zim.Peer("bob"), &zim.MessageSendConfig{Retry: m, Notification: notify})
				alice.must(err)
				if uploads > 0 {
					t.Error("it was uploaded again")
				}
				got := bob.message(says(c))
				if got.ID != again.ID || len(bob.since()) != 3 {
					t.Errorf("bob got %+v, want %+v", got, again)
				}
				alice.wantFile(srv, again, 1, content)
				bob.wantFile(srv, got, 1, content)
			}
		}
	})
}

// Whatever becomes of the connection: what is uploaded meanwhile is sent on the next one.
func TestUploadOutlivesConnection(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		content := noise(9 << 20)
		cuts := 0
		m := alice.sendMedia(&zim.MultipleMessage{MessageInfoList: []zim.Content{
			&zim.FileMessage{File: fromReader("a", content)}, &zim.FileMessage{File: fromReader("b", content)}, &zim.FileMessage{File: fromReader("c", content)},
		}}, zim.Peer("bob"), &zim.MessageSendConfig{Notification: zim.MessageSendNotification{
			// At the end of one file, so that the ticket for the next one is asked for without a connection.
			OnMultipleMediaUploadingProgress: func(m *zim.Message, _, _ int64, _ int, current, total int64) {
				if current == total {
					cuts += srv.Cut("alice")
				}
			},
		}})
		if cuts < 1 {
			t.Error("nothing was cut")
		}
		synctest.Wait()
		for i := range 3 {
			bob.wantFile(srv, bob.message("(Multiple)"), i, content)
		}
		if m.Seq != 1 {
			t.Errorf("sent %+v", m)
		}
	})
}

// Who leaves while he uploads is told that.
func TestLogoutDuringUpload(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		srv.Register("bob")
		for want, leave := range map[zim.Code]func(u *user){
			zim.ErrNetworkUserHasAlreadyLoggedOut: func(u *user) { u.must(u.Logout(t.Context(), nil)) },
			zim.ErrCommonNotInit:                  func(u *user) { u.Destroy() },
		} {
			alice := device(t, srv, dialer, "alice", "one")
			m, err := alice.SendMessage(t.Context(), &zim.FileMessage{File: fromReader("a", noise(9<<20))}, zim.Peer("bob"), &zim.MessageSendConfig{
				Notification: zim.MessageSendNotification{OnMediaUploadingProgress: func(_ *zim.Message, current, _ int64) {
					if current > 0 && leave != nil {
						leave(alice)
						leave = nil
					}
				}},
			})
			if m == nil || m.SentStatus != zim.MessageSentStatusFailed || zim.CodeOf(err) != want {
				t.Errorf("got %v, %v, want code %d", m, err, want)
			}
		}
	})
}

func TestEditMultipleMedia(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		keep, content := asPNG(t, 400, 300), noise(5<<20)
		m := alice.sendMedia(&zim.MultipleMessage{MessageInfoList: []zim.Content{
			&zim.TextMessage{Message: "text"}, &zim.ImageMessage{File: fromReader("keep.png", keep)}, &zim.FileMessage{File: fromReader("drop", noise(10))},
		}}, zim.Peer("bob"), nil)
		g := &gauge{t: t, what: "all"}
		config := zim.MessageEditConfig{
			Content: &zim.MultipleMessage{MessageInfoList: []zim.Content{items(m)[1], &zim.FileMessage{File: fromReader("new", content)}, &zim.TextMessage{Message: "end"}}},
			Notification: zim.MessageSendNotification{OnMultipleMediaUploadingProgress: func(_ *zim.Message, current, total int64, _ int, _, _ int64) {
				g.show(current, total)
			}},
		}
		edited, err := alice.EditMessage(t.Context(), m, config)
		alice.must(err)
		g.wantAll(int64(len(content)))
		for who, m := range map[*user]*zim.Message{alice: edited, bob: bob.message("(Multiple)")} {
			wantList(t, "items", names(m), "keep.png", "new", "end")
			who.wantFile(srv, m, 0, keep)
			who.wantFile(srv, m, 1, content)
		}
		quiet(bob)
		config.Notification = zim.MessageSendNotification{}
		config.Content = &zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.FileMessage{File: zim.File{Path: "nowhere", Name: "x"}}}}
		if _, err := alice.EditMessage(t.Context(), edited, config); zim.CodeOf(err) != zim.ErrMessageFileNotExist {
			t.Errorf("got %v", err)
		}
		config.Content = &zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.FileMessage{File: broken(99)}}}
		if _, err := alice.EditMessage(t.Context(), edited, config); zim.CodeOf(err) != zim.ErrMessageFileError {
			t.Errorf("got %v", err)
		}
		bob.saw("bob")
	})
}

// A backend that stores no files: those that are hosted elsewhere can be sent.
func TestNoMedia(t *testing.T) {
	without := func(c *backend.Config) { c.Media = nil }
	onEach(t, &zimtest.Options{Config: without}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice, bob := device(t, srv, dialer, "alice", "one"), device(t, srv, dialer, "bob", "one")
		const link = "https://cdn.example/a.png"
		alice.sendMedia(&zim.ImageMessage{File: zim.File{URL: link, Name: "a.png"}, ThumbnailDownloadUrl: link + "?t"}, zim.Peer("bob"), nil)
		if c := bob.message("(Image)").Content.(*zim.ImageMessage); c.URL != link || c.ThumbnailDownloadUrl != link+"?t" {
			t.Errorf("bob got %+v", c)
		}
		quiet(bob)
		m, err := alice.SendMessage(t.Context(), &zim.ImageMessage{File: fromReader("a.png", asPNG(t, 2, 2))}, zim.Peer("bob"), nil)
		if m == nil || zim.CodeOf(err) != zim.ErrCommonUnsupportedRequest {
			t.Errorf("got %v, %v", m, err)
		}
		if e, ok := errors.AsType[*zim.Error](err); !ok || e.Message != "the server stores no files" {
			t.Errorf("the error says %v", err)
		}
		bob.saw("bob")
	})
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// A download ends with the session and with its context, and tells when the destination fails.
func TestDownloadEnds(t *testing.T) {
	onEach(t, &zimtest.Options{App: several}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice := device(t, srv, dialer, "alice", "one")
		srv.Register("bob")
		m := alice.sendMedia(&zim.FileMessage{File: fromReader("a", noise(9<<20))}, zim.Peer("bob"), nil)
		for want, during := range map[zim.Code]func(u *user) error{
			zim.ErrNetworkUserHasAlreadyLoggedOut: func(u *user) error { return u.Logout(t.Context(), nil) },
			zim.ErrCommonNotInit:                  func(u *user) error { u.Destroy(); return nil },
			zim.ErrMessageFileClientError:         func(u *user) error { return errors.New("the disk is full") },
		} {
			u := device(t, srv, dialer, "alice", "two")
			writes := 0
			err := u.DownloadMediaFile(t.Context(), m, zim.MediaFileTypeOriginalFile, writer(func(b []byte) (int, error) {
				if writes++; writes == 2 {
					if err := during(u); err != nil {
						return 0, err
					}
				}
				return len(b), nil
			}), nil)
			if code := zim.CodeOf(err); err == nil || code != want || writes > 100 {
				t.Errorf("got %v after %d writes, want code %d", err, writes, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := alice.DownloadMediaFile(ctx, m, zim.MediaFileTypeOriginalFile, writer(func(b []byte) (int, error) { cancel(); return len(b), nil }), nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		for _, dst := range []io.Writer{nil, io.Discard} {
			if err := alice.DownloadMediaFile(t.Context(), nil, zim.MediaFileTypeOriginalFile, dst, nil); zim.CodeOf(err) != zim.ErrCommonParamsInvalid {
				t.Errorf("got %v", err)
			}
		}
		text := alice.send(zim.Peer("bob"), "text", nil)
		for _, m := range []*zim.Message{text, {}} {
			if err := alice.DownloadMediaFile(t.Context(), m, zim.MediaFileTypeOriginalFile, io.Discard, nil); zim.CodeOf(err) != zim.ErrMessageFileTypeUnsupported {
				t.Errorf("got %v", err)
			}
		}
	})
}
