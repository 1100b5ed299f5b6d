package zim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/zim-go/zim/internal/transfer"
	"github.com/zim-go/zim/wire"
)

// MediaDownloadConfig refines a download.
type MediaDownloadConfig struct {
	// MessageInfoIndex is the item of a [MultipleMessage] whose file is wanted.
	MessageInfoIndex int
	// OnMediaDownloadingProgress is called by the goroutine that called DownloadMediaFile, with how many bytes of how many were
	// written, -1 if that is not known.
	OnMediaDownloadingProgress func(m *Message, currentFileSize, totalFileSize int64)
}

// DownloadMediaFile writes the file of a media message to dst, going on where it was if the connection breaks. fileType says
// which: the original, for images also the large image and the thumbnail, for videos also the first frame. If the time of a URL of the
// service's own is over, DownloadMediaFile asks for another one. A nil config means the zero MediaDownloadConfig.
//
// The URL of a file that is hosted elsewhere is whatever its sender wrote, and is fetched from wherever this program runs: look at
// File.URL first where that matters.
//
// It fails with [ErrMessageFileTypeUnsupported] if the message has no such file, with [ErrMessageFileDownloadLimit] if the file is larger than
// 200 MB (Limits.DownloadSize), with [ErrMessageFileDownloadUrlNotFound] if it is gone, with [ErrMessageFileClientError] if dst
// fails, and with [ErrMessageFileDownloadFailed] otherwise. What was written to dst until then is of no use.
func (z *ZIM) DownloadMediaFile(ctx context.Context, m *Message, fileType MediaFileType, dst io.Writer, config *MediaDownloadConfig) error {
	const op = "DownloadMediaFile"
	s, e := z.active(op)
	if e != nil {
		return e
	}
	if config == nil {
		config = new(MediaDownloadConfig)
	}
	if m == nil || dst == nil {
		return invalid(op, "the message or the destination is nil")
	}
	url, e := mediaURL(op, m.Content, fileType, config.MessageInfoIndex)
	if e != nil {
		return e
	}
	files := s.feed.fileServer()
	client, own := files.clientFor(url)
	d := transfer.Download{Client: client, URL: url, Limit: z.config.Limits.DownloadSize, Dest: dst}
	if f := config.OnMediaDownloadingProgress; f != nil {
		d.Progress = func(received, total int64) { f(m, received, total) }
	}
	if own && m.Seq != 0 {
		d.Renew = func(ctx context.Context) (string, error) {
			return s.renew(ctx, op, m, fileType, config.MessageInfoIndex)
		}
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	err := d.Run(running)
	over := s.over()
	switch {
	case err == nil:
		return nil
	case over != nil && ctx.Err() == nil:
		return &Error{Op: op, Code: over.code}
	}
	return downloadError(ctx, op, err)
}

// renew asks for a new URL of a message's file.
func (s *session) renew(ctx context.Context, op string, m *Message, fileType MediaFileType, index int) (string, error) {
	resp, err := s.call(ctx, op, &wire.Request{Body: &wire.Request_QueryMessages{
		QueryMessages: &wire.QueryMessagesRequest{Conversation: m.Conversation.wire(), Seqs: []int64{m.Seq}},
	}})
	if err != nil {
		return "", err
	}
	list := s.feed.messages(resp.GetMessages())
	// What is in that place may be another message, if this one came inside another one, or was edited since.
	if len(list) != 1 || list[0].ID != m.ID || uid(list[0].Content, index) != uid(m.Content, index) {
		return "", &Error{Op: op, Code: ErrMessageFileDownloadUrlNotFound}
	}
	url, e := mediaURL(op, list[0].Content, fileType, index)
	if e != nil {
		return "", e
	}
	return url, nil
}

// uid returns what the service calls the file of a message, or of one of its items, or "".
func uid(c Content, index int) string {
	if m, ok := c.(*MultipleMessage); ok {
		if index >= len(m.MessageInfoList) {
			return ""
		}
		c = m.MessageInfoList[index]
	}
	if f := fileOf(c); f != nil {
		return f.UID
	}
	return ""
}

// mediaURL returns where a file of a message is.
func mediaURL(op string, c Content, fileType MediaFileType, index int) (string, *Error) {
	if m, ok := c.(*MultipleMessage); ok {
		if index < 0 || index >= len(m.MessageInfoList) {
			return "", invalid(op, "the message has no item %d", index)
		}
		c = m.MessageInfoList[index]
	}
	var url string
	f := fileOf(c)
	if f != nil && fileType == MediaFileTypeOriginalFile {
		url = f.URL
	}
	switch c := c.(type) {
	case *ImageMessage:
		switch fileType {
		case MediaFileTypeLargeImage:
			url = c.LargeImageDownloadUrl
		case MediaFileTypeThumbnail:
			url = c.ThumbnailDownloadUrl
		}
	case *VideoMessage:
		if fileType == MediaFileTypeVideoFirstFrame {
			url = c.VideoFirstFrameDownloadUrl
		}
	default:
	}
	if url == "" {
		return "", &Error{Op: op, Code: ErrMessageFileTypeUnsupported, Message: "the message has no such file"}
	}
	return url, nil
}

func downloadError(ctx context.Context, op string, err error) *Error {
	status, refused := errors.AsType[*transfer.StatusError](err)
	switch {
	case ctx.Err() != nil:
		return canceled(op, ctx)
	case errors.Is(err, transfer.ErrTooLarge):
		return &Error{Op: op, Code: ErrMessageFileDownloadLimit, Err: err}
	case errors.Is(err, transfer.ErrDest):
		return &Error{Op: op, Code: ErrMessageFileClientError, Err: err}
	case refused && status.Status >= 500:
		return &Error{Op: op, Code: ErrMessageFileDownloadHttpRequestServerError, Err: err}
	case refused:
		return &Error{Op: op, Code: ErrMessageFileDownloadUrlNotFound, Err: err}
	}
	return &Error{Op: op, Code: ErrMessageFileDownloadFailed, Err: err}
}

// clientFor returns what fetches a URL: others than the service's own may be anywhere.
func (s *fileServer) clientFor(rawURL string) (client *http.Client, own bool) {
	if u, err := url.Parse(rawURL); s != nil && err == nil && u.Host == s.base.Host && u.Scheme == s.base.Scheme {
		return s.client, true
	}
	return http.DefaultClient, false
}
