package zim

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/zim-go/zim/internal/transfer"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A File is what a media message is about. To send one, set Path, or Reader, Name and Size, or, for a file that is hosted elsewhere,
// URL and Name: such a file is not touched. If there is a URL, it wins. In messages from the service, URL is where the file can be had,
// for a time: see [ZIM.DownloadMediaFile].
type File struct {
	// Name is the file's name, up to 150 bytes. Empty means the last element of Path.
	Name string
	// Size is how many bytes it has. It counts for a Reader; for a Path it is found out.
	Size int64
	// Path is a file on this machine (documented as fileLocalPath).
	Path string
	// Reader is read to its end, once, while the message is sent. SendMessage does not close it.
	Reader io.Reader
	// URL is documented as fileDownloadUrl.
	URL string
	// UID names the file at the service (documented as fileUID).
	UID string

	object string // what an upload gave it
}

func (f *File) name() string {
	if f.Name == "" && f.Path != "" {
		return filepath.Base(f.Path)
	}
	return f.Name
}

func (f *File) wire() *wire.File {
	w := &wire.File{Object: f.object, Url: f.URL, Name: f.name(), Size: f.Size}
	if w.Url != "" {
		w.Object = ""
	}
	return w
}

// A fileServer is where a service has its files. Nil is one that has none.
type fileServer struct {
	client *http.Client
	base   *url.URL
}

func fileServerOf(conn transport.Conn) *fileServer {
	if f, ok := conn.(transport.FileServer); ok {
		if client, base := f.Files(); base != nil {
			return &fileServer{client, base}
		}
	}
	return nil
}

// resolve returns the URL that a reference stands for.
func (s *fileServer) resolve(ref string) string {
	if s == nil || ref == "" {
		return ref
	}
	u, err := s.base.Parse(ref)
	if err != nil {
		return ref
	}
	return u.String()
}

func (s *fileServer) file(w *wire.File) File {
	return File{Name: w.GetName(), Size: w.GetSize(), URL: s.resolve(w.GetUrl()), UID: w.GetObject()}
}

// clientFor returns what fetches a URL: others than the service's own may be anywhere.
func (s *fileServer) clientFor(rawURL string) (client *http.Client, own bool) {
	if u, err := url.Parse(rawURL); s != nil && err == nil && u.Host == s.base.Host && u.Scheme == s.base.Scheme {
		return s.client, true
	}
	return http.DefaultClient, false
}

// fileOf returns the file of a media message, or nil.
func fileOf(c Content) *File {
	switch c := c.(type) {
	case *ImageMessage:
		return &c.File
	case *FileMessage:
		return &c.File
	case *AudioMessage:
		return &c.File
	case *VideoMessage:
		return &c.File
	default:
		return nil
	}
}

// withFile returns a copy of a media message with another file.
func withFile(c Content, f File) Content {
	switch c := c.(type) {
	case *ImageMessage:
		m := new(*c)
		m.File = f
		return m
	case *FileMessage:
		return &FileMessage{File: f}
	case *AudioMessage:
		m := new(*c)
		m.File = f
		return m
	case *VideoMessage:
		m := new(*c)
		m.File = f
		return m
	default:
		return c
	}
}

func (l *Limits) tooLarge(op string, typ MessageType, size int64) *Error {
	err := invalid(op, "the file has %d bytes, it may have 1 to %d", size, l.fileSize(typ))
	err.Code = ErrMessageFileSizeInvalid
	return err
}

// A pendingFile is a file that must be uploaded before its message can be sent.
type pendingFile struct {
	index  int // among the items of a multiple message
	item   Content
	file   *File
	source io.Reader
	opened *os.File
	size   int64
}

// pending returns the files of content that must be uploaded, opened. The caller closes them.
func (l *Limits) pending(op string, content Content) (list []*pendingFile, err *Error) {
	items := []Content{content}
	if m, ok := content.(*MultipleMessage); ok {
		items = m.MessageInfoList
	}
	for i, item := range items {
		f := fileOf(item)
		if f == nil || f.URL != "" || f.object != "" {
			continue
		}
		p := &pendingFile{index: i, item: item, file: f, source: f.Reader, size: f.Size}
		list = append(list, p)
		if f.Path != "" {
			if err := p.open(op); err != nil {
				return list, err
			}
		}
		if p.size <= 0 || p.size > l.fileSize(item.Type()) {
			return list, l.tooLarge(op, item.Type(), p.size)
		}
	}
	return list, nil
}

func (p *pendingFile) open(op string) *Error {
	f, err := os.Open(p.file.Path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &Error{Op: op, Code: ErrMessageFilePermissionDenied, Err: err}
	case err != nil:
		return &Error{Op: op, Code: ErrMessageFileNotExist, Err: err}
	}
	p.opened, p.source = f, f
	info, err := f.Stat()
	if err != nil {
		return &Error{Op: op, Code: ErrMessageFileError, Err: err}
	}
	if !info.Mode().IsRegular() {
		return &Error{Op: op, Code: ErrMessageFileNotExist, Message: "the path is no file"}
	}
	p.size = info.Size()
	return nil
}

func closeFiles(list []*pendingFile) {
	for _, p := range list {
		if p.opened != nil {
			p.opened.Close()
		}
	}
}

// upload uploads the files of o's content and returns the content with what the service calls them.
func (s *session) upload(ctx context.Context, op string, o *outgoing, list []*pendingFile, config *MessageSendConfig) (Content, *Error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	s.uploads[o.id] = cancel
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.uploads, o.id)
		s.mu.Unlock()
	}()
	defer context.AfterFunc(s.ctx, func() { cancel(s.ctx.Err()) })()

	content := o.message.Content
	multiple, _ := content.(*MultipleMessage)
	if multiple != nil {
		multiple = &MultipleMessage{MessageInfoList: append([]Content(nil), multiple.MessageInfoList...)}
		content = multiple
	}
	var total, before int64
	for _, p := range list {
		total += p.size
	}
	var failed *Error
	for _, p := range list {
		object, err := s.uploadFile(ctx, op, p, progressOf(o.message, config.Notification, p, before, total, multiple != nil))
		if err != nil {
			if multiple == nil || !config.IsAllowMultipleMessagePartialFailed || ctx.Err() != nil {
				return nil, err
			}
			multiple.FailedIndexList = append(multiple.FailedIndexList, p.index)
			if failed == nil {
				failed = err
			}
			continue
		}
		before += p.size
		done := withFile(p.item, File{Name: p.file.name(), Size: p.size, Path: p.file.Path, object: object})
		if multiple == nil {
			content = done
		} else {
			multiple.MessageInfoList[p.index] = done
		}
	}
	if multiple != nil && len(multiple.FailedIndexList) == len(multiple.MessageInfoList) {
		return nil, failed
	}
	return content, nil
}

// progressOf returns what tells the progress of one file.
func progressOf(m *Message, n MessageSendNotification, p *pendingFile, before, total int64, multiple bool) func(int64) {
	switch {
	case multiple && n.OnMultipleMediaUploadingProgress != nil:
		return func(sent int64) { n.OnMultipleMediaUploadingProgress(m, before+sent, total, p.index, sent, p.size) }
	case !multiple && n.OnMediaUploadingProgress != nil:
		return func(sent int64) { n.OnMediaUploadingProgress(m, sent, p.size) }
	}
	return nil
}

// uploadFile uploads one file and returns what the service calls it.
func (s *session) uploadFile(ctx context.Context, op string, p *pendingFile, progress func(int64)) (string, *Error) {
	files := s.feed.fileServer()
	if files == nil {
		return "", &Error{Op: op, Code: ErrCommonUnsupportedRequest, Message: "the transport uploads no files", Err: errors.ErrUnsupported}
	}
	resp, err := s.z.call(ctx, op, &wire.Request{Body: &wire.Request_Upload{
		Upload: &wire.UploadRequest{Type: int32(p.item.Type()), Name: p.file.name(), Size: p.size},
	}})
	if err != nil {
		return "", uploadError(ctx, op, err)
	}
	ticket := resp.GetUpload()
	up := transfer.Upload{
		Client: files.client, URL: files.resolve(ticket.GetUrl()), Ticket: ticket.GetTicket(), Size: p.size, Source: p.source, Progress: progress,
	}
	if err := up.Run(ctx); err != nil {
		return "", uploadError(ctx, op, err)
	}
	return ticket.GetObject(), nil
}

func uploadError(ctx context.Context, op string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && ctx.Err() == nil {
		return e
	}
	status, refused := errors.AsType[*transfer.StatusError](err)
	switch {
	case ctx.Err() != nil:
		return &Error{Op: op, Code: ErrMessageSendMessageFailedForCancelled, Err: context.Cause(ctx)}
	case errors.Is(err, transfer.ErrSource):
		return &Error{Op: op, Code: ErrMessageFileError, Err: err}
	case refused && status.Status == http.StatusRequestEntityTooLarge:
		return &Error{Op: op, Code: ErrMessageFileSizeInvalid, Err: err}
	case refused:
		return &Error{Op: op, Code: ErrMessageFileServerError, Err: err}
	}
	return &Error{Op: op, Code: ErrMessageFileConnectError, Err: err}
}

// errCancelSending is why an upload ends that CancelSendingMessage canceled.
var errCancelSending = errors.New("CancelSendingMessage was called")

// CancelSendingMessage stops the upload of the files of a message that is being sent, as canceling the context of its SendMessage
// does. That fails with [ErrMessageSendMessageFailedForCancelled], and the message can be sent again as MessageSendConfig.Retry.
// CancelSendingMessage fails with [ErrMessageCancelSendingMessageFailed] if nothing of the message is being uploaded, or not any more.
func (z *ZIM) CancelSendingMessage(m *Message) error {
	const op = "CancelSendingMessage"
	s, err := z.active(op)
	if err != nil {
		return err
	}
	if m == nil {
		return invalid(op, "the message is nil")
	}
	id, _ := parseLocalID(m.LocalID)
	s.mu.Lock()
	cancel := s.uploads[id]
	s.mu.Unlock()
	if cancel == nil {
		return &Error{Op: op, Code: ErrMessageCancelSendingMessageFailed}
	}
	cancel(errCancelSending)
	return nil
}

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
	err := d.Run(ctx)
	if status, ok := errors.AsType[*transfer.StatusError](err); ok && own && status.Status == http.StatusForbidden && m.Seq != 0 {
		// Nothing was written: the first answer was the refusal.
		fresh, again := z.QueryMessages(ctx, m.Conversation, []int64{m.Seq})
		if again == nil && len(fresh) == 1 {
			if d.URL, e = mediaURL(op, fresh[0].Content, fileType, config.MessageInfoIndex); e == nil {
				err = d.Run(ctx)
			}
		}
	}
	if err != nil {
		return downloadError(ctx, op, err)
	}
	return nil
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
			url = c.LargeImageDownloadURL
		case MediaFileTypeThumbnail:
			url = c.ThumbnailDownloadURL
		}
	case *VideoMessage:
		if fileType == MediaFileTypeVideoFirstFrame {
			url = c.VideoFirstFrameDownloadURL
		}
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
