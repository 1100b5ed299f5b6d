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
	"sync"
	"time"

	"github.com/zim-go/zim/internal/transfer"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A File is what a media message is about. To send one, set Path, or Reader, Name and Size, or, for a file that is hosted elsewhere,
// URL and Name: such a file is not touched. If there is a URL, it wins. In messages from the service, URL is where the file can be had,
// for a time: see [ZIM.DownloadMediaFile].
type File struct {
	// Name is the file's name, up to 150 bytes. Empty means the last element of Path. In messages of others it is whatever they
	// called it, separators of paths and all: don't make a path of it.
	Name string
	// Size is how many bytes it has. It counts for a Reader; for a Path it is found out.
	Size int64
	// Path is a file on this machine (documented as fileLocalPath).
	Path string
	// Reader is read to its end, once, while the message is sent. SendMessage does not close it. If the upload fails and Reader is an
	// [io.Seeker], it is put back to where it was, so that the message can be sent again.
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

// resolve returns the URL that a reference stands for. That of a file that is hosted elsewhere stays as the sender wrote it.
func (s *fileServer) resolve(of *wire.File, ref string) string {
	if s == nil || ref == "" || of.GetObject() == "" {
		return ref
	}
	return s.url(ref)
}

func (s *fileServer) url(ref string) string {
	u, err := s.base.Parse(ref)
	if err != nil {
		return ref
	}
	return u.String()
}

func (s *fileServer) file(w *wire.File) File {
	return File{Name: w.GetName(), Size: w.GetSize(), URL: s.resolve(w, w.GetUrl()), UID: w.GetObject()}
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
	start  int64 // where source was, if it is an io.Seeker
	size   int64
	failed *Error // it can't be uploaded, and need not be
}

// pending returns the files of content that must be uploaded, opened. The caller closes them. Those of a multiple message that can't be
// opened are no error if it may go without them, unless they are all that it has.
func (l *Limits) pending(op string, content Content, partial bool) (list []*pendingFile, err *Error) {
	items, failed := []Content{content}, 0
	multiple, ok := content.(*MultipleMessage)
	if ok {
		items = multiple.MessageInfoList
	}
	for i, item := range items {
		f := fileOf(item)
		if f == nil || f.URL != "" || f.object != "" {
			continue
		}
		p := &pendingFile{index: i, item: item, file: f, source: f.Reader, size: f.Size}
		list = append(list, p)
		if p.failed = p.check(op, l); p.failed == nil {
			continue
		}
		if err == nil {
			err = p.failed
		}
		if failed++; multiple == nil || !partial || failed == len(items) {
			return list, err
		}
	}
	return list, nil
}

func (p *pendingFile) check(op string, l *Limits) *Error {
	if p.file.Path != "" {
		if err := p.open(op); err != nil {
			return err
		}
	} else if s, ok := p.source.(io.Seeker); ok {
		p.start, _ = s.Seek(0, io.SeekCurrent)
	}
	if typ := p.item.Type(); p.size <= 0 || p.size > l.fileSize(typ) {
		return l.tooLarge(op, typ, p.size)
	}
	return nil
}

func (p *pendingFile) open(op string) *Error {
	var f *os.File
	info, err := os.Stat(p.file.Path)
	if err == nil && info.Mode().IsRegular() { // to open a pipe is to wait
		f, err = os.Open(p.file.Path)
	}
	switch {
	case err == nil && f == nil:
		return &Error{Op: op, Code: ErrMessageFileNotExist, Message: "the path is no file"}
	case errors.Is(err, fs.ErrPermission):
		return &Error{Op: op, Code: ErrMessageFilePermissionDenied, Err: err}
	case err != nil:
		return &Error{Op: op, Code: ErrMessageFileNotExist, Err: err}
	}
	p.opened, p.source = f, f
	if info, err = f.Stat(); err != nil {
		return &Error{Op: op, Code: ErrMessageFileError, Err: err}
	}
	p.size = info.Size()
	return nil
}

// rewind puts the application's readers back to where they were.
func rewind(list []*pendingFile) {
	for _, p := range list {
		if s, ok := p.source.(io.Seeker); ok && p.opened == nil {
			s.Seek(p.start, io.SeekStart) // if that fails, so does reading again
		}
	}
}

func closeFiles(list []*pendingFile) {
	for _, p := range list {
		if p.opened != nil {
			p.opened.Close()
		}
	}
}

// uploading returns the context for the uploads of a message, which CancelSendingMessage and the end of the session end, too, and what
// is to be called when they are over, which returns whether something did. It returns nil if the message has uploads under way.
func (s *session) uploading(ctx context.Context, id localID) (context.Context, func() error) {
	ctx, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[id] != nil {
		cancel(nil)
		return nil, nil
	}
	s.uploads[id] = cancel
	ended := context.AfterFunc(s.ctx, func() { cancel(s.ctx.Err()) })
	return ctx, sync.OnceValue(func() error {
		ended()
		s.mu.Lock()
		delete(s.uploads, id)
		s.mu.Unlock()
		defer cancel(nil)
		return ctx.Err()
	})
}

// upload uploads the files of o's content and returns the content with what the service calls them. ctx and done are from uploading.
func (s *session) upload(ctx context.Context, done func() error, op string, o *outgoing, list []*pendingFile, config *MessageSendConfig) (Content, *Error) {
	content, err := s.uploadAll(ctx, op, o, list, config)
	if canceled := done(); canceled != nil && err == nil {
		// Whoever canceled it was told that it will not be sent, however far it is.
		err = uploadError(ctx, op, canceled)
	}
	if over := s.over(); over != nil {
		err = &Error{Op: op, Code: over.code}
	}
	if err != nil {
		rewind(list)
	}
	return content, err
}

func (s *session) uploadAll(ctx context.Context, op string, o *outgoing, list []*pendingFile, config *MessageSendConfig) (Content, *Error) {
	content := o.message.Content
	multiple, _ := content.(*MultipleMessage)
	if multiple != nil {
		multiple = &MultipleMessage{MessageInfoList: append([]Content(nil), multiple.MessageInfoList...)}
		content = multiple
	}
	var total, before int64
	for _, p := range list {
		if p.failed == nil {
			total += p.size
		}
	}
	var failed *Error
	for _, p := range list {
		object, err := "", p.failed
		if err == nil {
			object, err = s.uploadFile(ctx, op, o, p, progressOf(o.message, config.Notification, p, before, total, multiple != nil))
			before += p.size // also of one that failed: the progress does not go back
		}
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
func (s *session) uploadFile(ctx context.Context, op string, o *outgoing, p *pendingFile, progress func(int64)) (string, *Error) {
	files := s.feed.fileServer()
	if files == nil {
		return "", &Error{Op: op, Code: ErrCommonUnsupportedRequest, Message: "the transport uploads no files", Err: errors.ErrUnsupported}
	}
	ticket, err := s.ticket(ctx, op, o, p)
	if err != nil {
		return "", uploadError(ctx, op, err)
	}
	up := transfer.Upload{
		Client: files.client, URL: files.url(ticket.GetUrl()), Ticket: ticket.GetTicket(), Size: p.size, Source: p.source, Progress: progress,
	}
	if err := up.Run(ctx); err != nil {
		return "", uploadError(ctx, op, err)
	}
	return ticket.GetObject(), nil
}

// ticket asks for the permission to upload a file. As the message would, it waits for a connection that was lost.
func (s *session) ticket(ctx context.Context, op string, o *outgoing, p *pendingFile) (*wire.UploadResponse, error) {
	req := &wire.UploadRequest{Type: int32(p.item.Type()), Name: p.file.name(), Size: p.size}
	for deadline := time.Now().Add(s.z.config.ResendWindow); ; {
		resp, err := s.call(ctx, op, &wire.Request{Body: &wire.Request_Upload{Upload: req}})
		if err == nil {
			return resp.GetUpload(), nil
		}
		lost := CodeOf(err) == ErrNetworkNetworkError || CodeOf(err) == ErrCommonIMServerDisconnect
		if !lost || !o.reliable || time.Until(deadline) <= 0 {
			return nil, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
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
// CancelSendingMessage fails with [ErrMessageCancelSendingMessageFailed] if nothing of the message is being uploaded, or not any more, as is
// always the case with durable messages.
func (z *ZIM) CancelSendingMessage(m *Message) error {
	const op = "CancelSendingMessage"
	s, err := z.active(op)
	if err != nil {
		return err
	}
	if m == nil {
		return invalid(op, "the message is nil")
	}
	id, ok := parseLocalID(m.LocalID)
	s.mu.Lock()
	defer s.mu.Unlock()
	cancel := s.uploads[id]
	if cancel == nil || !ok {
		return &Error{Op: op, Code: ErrMessageCancelSendingMessageFailed}
	}
	cancel(errCancelSending)
	return nil
}
