package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/wire"
)

// ticket asks for a ticket.
func (c *rawConn) ticket(typ int32, name string, size int64) *wire.UploadResponse {
	c.t.Helper()
	resp := c.call(&wire.UploadRequest{Type: typ, Name: name, Size: size})
	if resp.GetUpload() == nil {
		c.t.Fatalf("got %v, want a ticket", resp)
	}
	return resp.GetUpload()
}

// tus makes a request for an upload: its creation if path is empty.
func (h *host) tus(t *testing.T, method, ticket, path string, body io.Reader, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://zim.test/v1/media/upload"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Authorization", "Bearer "+ticket)
	req.Header.Set("Content-Type", "application/offset+octet-stream")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := h.srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp
}

// put uploads the first n bytes of what a ticket is for.
func (h *host) put(t *testing.T, ticket *wire.UploadResponse, size, n int) {
	t.Helper()
	if resp := h.tus(t, "POST", ticket.Ticket, "", nil, "Upload-Length", strconv.Itoa(size)); resp.StatusCode != 201 {
		t.Fatalf("got %s", resp.Status)
	}
	if resp := h.tus(t, "PATCH", ticket.Ticket, "/"+ticket.Object, bytes.NewReader(noise(size)[:n]), "Upload-Offset", "0"); resp.StatusCode != 204 {
		t.Fatalf("got %s", resp.Status)
	}
}

// fileTo is a message about a file with the local ID n.
func fileTo(userID string, n int, typ int32, f *wire.File) *wire.SendMessageRequest {
	m := textTo(userID, n, "")
	m.Type, m.Content = typ, fileContent(typ, f)
	return m
}

func fileContent(typ int32, f *wire.File) []byte {
	c := map[int32]proto.Message{
		11: &wire.ImageContent{File: f}, 12: &wire.FileContent{File: f}, 13: &wire.AudioContent{File: f, Duration: 1}, 14: &wire.VideoContent{File: f, Duration: 1},
	}[typ]
	b, err := proto.Marshal(c)
	if err != nil {
		panic(err)
	}
	return b
}

// A file is its user's: nobody else sends it, and only once it is there.
func TestNegativeObjects(t *testing.T) {
	hostile(t, zimtest.Options{App: several}, func(t *testing.T, h *host) {
		mallory, alice := h.login(t, "mallory"), h.login(t, "alice")
		whole, half, none := alice.ticket(12, "a.png", 100), alice.ticket(12, "b.png", 100), alice.ticket(12, "c.png", 100)
		h.put(t, whole, 100, 100)
		h.put(t, half, 100, 50)
		n := 0
		send := func(who *rawConn, typ int32, f *wire.File, want int32) {
			t.Helper()
			n++
			single := fileTo("bob", n, typ, f)
			if resp := who.call(single); resp.GetError().GetCode() != want || want != 0 && resp.GetSendMessage() != nil {
				t.Errorf("got %v, want code %d", resp, want)
			}
			n++
			several := textTo("bob", n, "")
			several.Type = 10
			several.Content, _ = proto.Marshal(&wire.MultipleContent{Items: []*wire.MultipleItem{{Type: typ, Content: single.Content}}})
			if resp := who.call(several); resp.GetError().GetCode() != want {
				t.Errorf("as an item: got %v, want code %d", resp, want)
			}
		}
		send(mallory, 12, &wire.File{Object: whole.Object, Name: "a.png", Size: 100}, 6000210) // N82
		for _, object := range []string{half.Object, none.Object, strings.Repeat("0", 32), "x", "../../lock", strings.ToUpper(whole.Object), whole.Object + "/", "\x00"} {
			send(alice, 12, &wire.File{Object: object}, 6000210)
		}
		for _, typ := range []int32{11, 13, 14} {
			send(alice, typ, &wire.File{Object: whole.Object, Name: "a.png"}, 6000213)
		}
		send(alice, 12, &wire.File{Object: whole.Object, Url: "https://x", Name: "x"}, 6000001)
		send(alice, 12, &wire.File{}, 6000001)
		send(alice, 12, nil, 6000001)
		send(alice, 12, &wire.File{Url: "https://x", Name: "x", Size: -1}, 6000214)
		send(alice, 12, &wire.File{Url: "https://x", Name: strings.Repeat("x", 151)}, 6000001)
		send(alice, 12, &wire.File{Url: "https://x/" + strings.Repeat("x", 491), Name: "x"}, 6000219)
		send(alice, 11, &wire.File{Url: "https://x", Name: "x.exe"}, 6000213)
		for _, seconds := range []int64{301, -1} {
			m := fileTo("bob", 1000+int(seconds), 13, nil)
			m.Content, _ = proto.Marshal(&wire.AudioContent{File: &wire.File{Url: "https://x", Name: "x.mp3"}, Duration: seconds})
			alice.wantRefused(m, 6000215)
		}

		// What she says of her own file does not count: the server knows better.
		m := fileTo("bob", 2000, 12, &wire.File{Object: whole.Object, Name: "../x", Size: 7})
		c := new(wire.FileContent)
		if err := proto.Unmarshal(alice.call(m).GetSendMessage().GetContent(), c); err != nil || c.File.GetName() != "a.png" || c.File.Size != 100 || c.File.Object != whole.Object {
			t.Errorf("got %v, %v", c, err)
		}
		h.stored = 1

		// A URL of hers that somebody else got hold of is no file of his: it stays what it is, and expires.
		link := "https://zim.test/v1/" + c.File.Url
		stolen := new(wire.FileContent)
		resp := mallory.call(fileTo("bob", 2001, 12, &wire.File{Url: link, Name: "x"}))
		if err := proto.Unmarshal(resp.GetSendMessage().GetContent(), stolen); err != nil || stolen.File.GetObject() != "" || stolen.File.GetUrl() != link {
			t.Errorf("got %v, %v", resp, err)
		}
		h.stored = 2
	})
}

// The server has limits of its own for what may be uploaded.
func TestNegativeUploads(t *testing.T) {
	hostile(t, zimtest.Options{}, func(t *testing.T, h *host) {
		alice := h.login(t, "alice")
		const mb = 1 << 20
		for _, test := range []struct {
			typ  int32
			name string
			size int64
			code int32
		}{
			{11, "x.png", 10 * mb, 0}, {11, "x.png", 10*mb + 1, 6000214}, {12, "x", 100 * mb, 0}, {12, "x", 100*mb + 1, 6000214}, // N76
			{13, "x.mp3", 6 * mb, 0}, {13, "x.mp3", 6*mb + 1, 6000214}, {14, "x.mp4", 100 * mb, 0}, {14, "x.mp4", 100*mb + 1, 6000214},
			{12, "x", 0, 6000214}, {12, "x", -1, 6000214}, {12, "x", -1 << 63, 6000214}, {12, "x", 1<<63 - 1, 6000214},
			{1, "x", 1, 6000001}, {10, "x", 1, 6000001}, {0, "x", 1, 6000001}, {-1, "x", 1, 6000001}, {1 << 30, "x", 1, 6000001},
			{12, "", 1, 6000001}, {12, strings.Repeat("x", 151), 1, 6000001}, {11, "x.exe", 1, 6000213}, {11, "png", 1, 6000213}, {13, "x.wav", 1, 6000213},
		} {
			if resp := alice.call(&wire.UploadRequest{Type: test.typ, Name: test.name, Size: test.size}); resp.GetError().GetCode() != test.code || (resp.GetUpload() != nil) != (test.code == 0) {
				t.Errorf("%+v: got %v", test, resp)
			}
		}
		h.dial(t).wantRefused(&wire.UploadRequest{Type: 12, Name: "x", Size: 1}, 6000121)

		small := alice.ticket(12, "x", 1<<10)
		for name, resp := range map[string]*http.Response{
			"N75/larger than the ticket": h.tus(t, "POST", small.Ticket, "", nil, "Upload-Length", "1073741824"),
			"N75/of any length":          h.tus(t, "POST", small.Ticket, "", nil, "Upload-Defer-Length", "1"),
			"without a length":           h.tus(t, "POST", small.Ticket, "", nil),
		} {
			if resp.StatusCode != 400 {
				t.Errorf("%s: %s", name, resp.Status)
			}
		}
		h.put(t, small, 1<<10, 512)
		for name, test := range map[string]struct{ ticket, path, offset string }{
			"no ticket":          {"", "/" + small.Object, "512"},
			"another ticket":     {alice.ticket(12, "x", 1<<10).Ticket, "/" + small.Object, "512"},
			"N82/another user's": {h.login(t, "mallory").ticket(12, "x", 1<<10).Ticket, "/" + small.Object, "512"},
			"tampered":           {small.Ticket[:20] + "A" + small.Ticket[21:], "/" + small.Object, "512"},
			"another path":       {small.Ticket, "/../upload/" + small.Object, "512"},
			"N82/overlapping":    {small.Ticket, "/" + small.Object, "511"},
			"N82/with a hole":    {small.Ticket, "/" + small.Object, "513"},
		} {
			want := map[bool]int{true: 409, false: 403}[test.ticket == small.Ticket && test.path == "/"+small.Object]
			if resp := h.tus(t, "PATCH", test.ticket, test.path, strings.NewReader("x"), "Upload-Offset", test.offset); resp.StatusCode != want {
				t.Errorf("%s: %s, want %d", name, resp.Status, want)
			}
		}
		// N75: who sends more than there is room for is cut off, and nothing stays.
		resp := h.tus(t, "PATCH", small.Ticket, "/"+small.Object, io.LimitReader(zeros{}, 1<<30), "Upload-Offset", "512")
		if resp.StatusCode != 413 {
			t.Errorf("too much: %s, want 413", resp.Status)
		}
		if resp := h.tus(t, "HEAD", small.Ticket, "/"+small.Object, nil); resp.StatusCode != 404 {
			t.Errorf("what is left of it: %s, want 404", resp.Status)
		}
		alice.wantRefused(fileTo("bob", 1, 12, &wire.File{Object: small.Object}), 6000210)
	})
}

// Of URLs, any change makes a stranger's. What is missing, forbidden looks the same.
func TestNegativeDownloads(t *testing.T) {
	hostile(t, zimtest.Options{App: several}, func(t *testing.T, h *host) {
		alice := h.login(t, "alice")
		ticket := alice.ticket(11, "x.png", 100)
		h.put(t, ticket, 100, 100)
		c := new(wire.ImageContent)
		if err := proto.Unmarshal(alice.call(fileTo("bob", 1, 11, &wire.File{Object: ticket.Object})).GetSendMessage().GetContent(), c); err != nil {
			t.Fatal(err)
		}
		h.stored = 1
		good := "http://zim.test/v1/" + c.File.Url
		ask := func(link string, headers ...string) string {
			req, err := http.NewRequestWithContext(t.Context(), "GET", link, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(headers); i += 2 {
				req.Header.Add(headers[i], headers[i+1])
			}
			resp, err := h.srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return fmt.Sprintf("%d %d", resp.StatusCode, len(b))
		}
		if got := ask(good); got != "200 100" {
			t.Errorf("got %s", got)
		}
		refused := ask(good + "x")
		if !strings.HasPrefix(refused, "403 ") {
			t.Errorf("got %s", refused)
		}
		for _, swap := range [][2]string{ // N78
			{ticket.Object, strings.Repeat("0", 32)}, {"/1/", "/2/"}, {"/1/", "/4/"}, {"x.png", "y.png"}, {"app=1234567890", "app=1234567891"}, {"user=alice", "user=bob"},
			{"user=alice", "user="}, {"expires=", "expires=9"}, {"expires=", "expires=-"}, {"sig=", "sig=A"}, {"sig=", "sig=&sig="}, {"user=", "user=alice&user="}, {"?", "?x=%zz&"},
		} {
			link := strings.Replace(good, swap[0], swap[1], 1)
			if got := ask(link); got != refused || link == good {
				t.Errorf("%s: got %s, want %s", link, got, refused)
			}
		}
		for header, want := range map[string]string{ // N79
			"bytes=0-,0-": "416", "bytes=" + strings.Repeat("0-,", 999) + "0-": "416", "bytes=5-1": "416", "bytes=100-": "416", "bytes=99999999999999999999-": "416",
			"bytes=-18446744073709551616": "416", "bytes=--1": "416", "bytes=1-1": "206", "nonsense": "416",
		} {
			if got := ask(good, "Range", header); !strings.HasPrefix(got, want) {
				t.Errorf("%.40s: got %s, want %s", header, got, want)
			}
		}
	})
}

// What a browser would run is not shown by it, whatever it is called.
func TestNegativeScripts(t *testing.T) {
	t.Run("N77", func(t *testing.T) {
		hostile(t, zimtest.Options{App: several}, func(t *testing.T, h *host) {
			mallory, carol := newZIM(t, h.srv.WebSocket()), newZIM(t, h.srv.WebSocket())
			login(t, h.srv, mallory, "mallory")
			login(t, h.srv, carol, "carol2")
			for name, content := range map[string]string{
				"x.png": "<html><script>alert(1)</script>", "y.gif": `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, "z.jpg": "alert(1)", "w.webp": "%PDF-1.7",
			} {
				m, err := mallory.SendMessage(t.Context(), &zim.ImageMessage{File: fromReader(name, []byte(content))}, zim.Peer("carol2"), nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, link := range []string{fileOf(m.Content).URL, m.Content.(*zim.ImageMessage).ThumbnailDownloadUrl} {
					resp, err := h.srv.Client().Get(link)
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					got := resp.Header
					if got.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(got.Get("Content-Disposition"), "attachment;") ||
						got.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.Get("Content-Security-Policy"), "sandbox") {
						t.Errorf("%s: %s, %v", name, resp.Status, got)
					}
				}
			}
		})
	})
}

// The server fetches no URL that a user gives it. The receiver does, when asked to.
func TestServerFetchesNothing(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.WriteString(w, "hello")
	}))
	defer elsewhere.Close()
	srv := zimtest.NewServer(t, &zimtest.Options{Config: func(c *backend.Config) { c.OfflinePush = func(backend.OfflinePush) {} }})
	for name, dialer := range srv.Transports() {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			alice, bob := newZIM(t, dialer), newZIM(t, dialer)
			got := make(chan *zim.Message, 10)
			zim.On(bob, func(_ context.Context, e *zim.PeerMessageReceived) {
				for _, m := range e.Messages {
					got <- m
				}
			})
			login(t, srv, alice, "alice")
			login(t, srv, bob, "bob")
			u := elsewhere.URL
			for _, c := range []zim.Content{
				&zim.FileMessage{File: zim.File{URL: u, Name: "x"}},
				&zim.ImageMessage{File: zim.File{URL: u + "/a.png", Name: "x.png"}, LargeImageDownloadUrl: u, ThumbnailDownloadUrl: u},
				&zim.VideoMessage{File: zim.File{URL: u, Name: "x.mp4"}, VideoFirstFrameDownloadUrl: u},
				&zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.AudioMessage{File: zim.File{URL: u, Name: "x.mp3"}}}},
			} {
				if _, err := alice.SendMessage(t.Context(), c, zim.Peer("bob"), &zim.MessageSendConfig{PushConfig: &zim.PushConfig{Title: "t"}}); err != nil {
					t.Fatal(err)
				}
			}
			first := <-got
			if n := asked.Load(); n != 0 {
				t.Errorf("the server fetched %d times", n)
			}
			var b bytes.Buffer
			if err := bob.DownloadMediaFile(t.Context(), first, zim.MediaFileTypeOriginalFile, &b, nil); err != nil || b.String() != "hello" || asked.Load() != 1 {
				t.Errorf("bob got %q, %v in %d requests", b.String(), err, asked.Load())
			}
		})
	}
}
