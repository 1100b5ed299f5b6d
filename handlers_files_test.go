package zim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A filesTransport is a service that takes files, and has one.
type filesTransport struct {
	*faketransport.Transport
	store *fileStore
}

func (t *filesTransport) Dial(ctx context.Context) (transport.Conn, error) {
	conn, err := t.Transport.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &filesConn{conn.(transport.Pipeline), t.store}, nil
}

type filesConn struct {
	transport.Pipeline
	store *fileStore
}

func (c *filesConn) Files() (*http.Client, *url.URL) {
	return &http.Client{Transport: c.store}, &url.URL{Scheme: "http", Host: "files.example", Path: "/"}
}

// A fileStore answers uploads, one for each place, and every download with the same file. It implements [http.RoundTripper].
type fileStore struct {
	mu      sync.Mutex
	created int            // guarded by mu
	size    map[string]int // guarded by mu; by path
}

const fileContent = "some bytes"

func (s *fileStore) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header), Body: http.NoBody, Request: req,
	}
	switch req.Method {
	case http.MethodPost:
		s.created++
		resp.StatusCode = http.StatusCreated
		resp.Header.Set("Location", fmt.Sprint("/uploads/", s.created))
	case http.MethodPatch:
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		s.size[req.URL.Path] += len(b)
		fallthrough
	case http.MethodHead:
		resp.Header.Set("Upload-Offset", fmt.Sprint(s.size[req.URL.Path]))
	case http.MethodGet:
		resp.ContentLength = int64(len(fileContent))
		resp.Body = io.NopCloser(strings.NewReader(fileContent))
	}
	return resp, nil
}

// ticket answers the request to upload a file.
func ticket() *wire.Response {
	return &wire.Response{Body: &wire.Response_Upload{Upload: &wire.UploadResponse{Object: "o", Ticket: "t", Url: "uploads"}}}
}

func newFile() zim.File {
	return zim.File{Name: "a.bin", Reader: strings.NewReader(fileContent), Size: int64(len(fileContent))}
}

// sends is a place that a message calls while it is sent.
func sends(name string, content func() zim.Content, set func(n *zim.MessageSendNotification, f func())) place {
	return place{
		name: name,
		set:  func(*zim.ZIM, func(context.Context)) {},
		reach: func(c *caller) {
			c.running.Go(func() {
				config := new(zim.MessageSendConfig)
				set(&config.Notification, func() { c.called(c.t.Context()) })
				c.SendMessage(c.t.Context(), content(), zim.Peer("carol"), config)
			})
		},
	}
}

// callbacks returns the places that are no handlers.
func callbacks() []place {
	text := func() zim.Content { return &zim.TextMessage{Message: "x"} }
	file := func() zim.Content { return &zim.FileMessage{File: newFile()} }
	files := func() zim.Content {
		return &zim.MultipleMessage{MessageInfoList: []zim.Content{&zim.TextMessage{Message: "x"}, &zim.FileMessage{File: newFile()}}}
	}
	return []place{
		sends("OnMessageAttached", text, func(n *zim.MessageSendNotification, f func()) {
			n.OnMessageAttached = func(*zim.Message) { f() }
		}),
		sends("OnMediaUploadingProgress", file, func(n *zim.MessageSendNotification, f func()) {
			n.OnMediaUploadingProgress = func(*zim.Message, int64, int64) { f() }
		}),
		sends("OnMultipleMediaUploadingProgress", files, func(n *zim.MessageSendNotification, f func()) {
			n.OnMultipleMediaUploadingProgress = func(*zim.Message, int64, int64, int, int64, int64) { f() }
		}),
		{
			name: "OnMediaDownloadingProgress",
			set:  func(*zim.ZIM, func(context.Context)) {},
			reach: func(c *caller) {
				c.running.Go(func() {
					m := hello()
					m.Content = &zim.FileMessage{File: zim.File{URL: "http://files.example/a.bin"}}
					c.DownloadMediaFile(c.t.Context(), m, zim.MediaFileTypeOriginalFile, io.Discard, &zim.MediaDownloadConfig{
						OnMediaDownloadingProgress: func(*zim.Message, int64, int64) { c.called(c.t.Context()) },
					})
				})
			},
		},
	}
}
