package media

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	tuslog "golang.org/x/exp/slog"
)

// Errors of uploads, as clients get them.
var (
	errDisk     = handler.NewError("ERR_STORAGE", "the file could not be stored", http.StatusInternalServerError)
	errFull     = handler.NewError("ERR_STORAGE_FULL", "there is no room for the file", http.StatusInsufficientStorage)
	errQuota    = handler.NewError("ERR_QUOTA", "the user's quota is used up", http.StatusInsufficientStorage)
	errLength   = handler.NewError("ERR_INVALID_UPLOAD_LENGTH", "the ticket is for another size", http.StatusBadRequest)
	errFinished = handler.NewError("ERR_UPLOAD_FINISHED", "the upload has finished", http.StatusConflict)
)

// tusGrace is for how long something of tusd may go on when a request has ended. Nothing needs to: it is the least there is.
const tusGrace = time.Nanosecond

// newTus returns what speaks tus. It keeps nothing itself, has no part in who may do what, and logs nowhere: it does not know
// what must not be in a log.
func (s *Server) newTus() (http.Handler, error) {
	composer := handler.NewStoreComposer()
	composer.UseCore(dataStore{s})
	composer.UseTerminater(dataStore{s})
	return handler.NewHandler(handler.Config{
		StoreComposer:                    composer,
		DisableDownload:                  true,
		DisableConcatenation:             true,
		Cors:                             &handler.CorsConfig{Disable: true},
		Logger:                           tuslog.New(tuslog.NewTextHandler(io.Discard, &tuslog.HandlerOptions{Level: tuslog.Level(math.MaxInt)})),
		GracefulRequestCompletionTimeout: tusGrace,
	})
}

type requestKey struct{}

// upload serves a request with a ticket.
func (s *Server) upload(q *request, w http.ResponseWriter, r *http.Request) {
	if err := q.hold(q.permit.id); err != nil {
		refuse(w, err)
		return
	}
	a := &answer{ResponseWriter: w, request: q, location: "upload/" + q.permit.id}
	if r.Method == http.MethodPost {
		if r.Header.Get("Upload-Length") != strconv.FormatInt(q.permit.upload.Size, 10) || r.Header.Get("Upload-Defer-Length") != "" {
			refuse(a, errLength)
			return
		}
		if r.Header.Get("Tus-Resumable") == "1.0.0" && s.again(q, a) {
			return
		}
	}
	// tusd waits for the end of this context. It must not see why q's ends: it would touch the body that is being read.
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), requestKey{}, q))
	defer cancel()
	t := r.Clone(ctx)
	t.Header.Del("X-HTTP-Method-Override")
	t.Header.Del("Upload-Metadata") // the ticket has it
	t.URL.Path, t.URL.RawPath = "", ""
	if r.Method != http.MethodPost {
		t.URL.Path = q.permit.id
	}
	q.body = &body{ReadCloser: r.Body, request: q, room: math.MaxInt64}
	t.Body = q.body
	s.tus.ServeHTTP(a, t)
}

// again answers a POST for an upload that is there.
func (s *Server) again(q *request, w http.ResponseWriter) bool {
	t, err := s.find(q)
	if errors.Is(err, handler.ErrNotFound) {
		return false
	}
	if err != nil {
		refuse(w, err)
		return true
	}
	h := w.Header()
	h.Set("Tus-Resumable", "1.0.0")
	h.Set("Location", "set by answer")
	h.Set("Upload-Offset", strconv.FormatInt(t.offset, 10))
	w.WriteHeader(http.StatusCreated)
	return true
}

// An answer is the response to a request that uploads.
type answer struct {
	http.ResponseWriter
	request  *request
	location string // relative: only the client knows by which URL it came
	wrote    bool
}

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.wrote = true
		q := a.request
		tooMuch := status == http.StatusRequestEntityTooLarge
		if q.spoiled || tooMuch {
			q.server.discard(q.permit.id)
		}
		if a.Header().Get("Location") != "" {
			a.Header().Set("Location", a.location)
		}
		if tooMuch || q.ctx.Err() != nil {
			a.Header().Set("Connection", "close") // nobody reads the rest
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// A dataStore is where tusd has its uploads from.
type dataStore struct{ server *Server }

// A transfer is an upload during a request that has it to itself.
type transfer struct {
	request  *request
	meta     *meta
	offset   int64
	finished bool // it is an object
}

func (d dataStore) NewUpload(ctx context.Context, _ handler.FileInfo) (handler.Upload, error) {
	q := ctx.Value(requestKey{}).(*request)
	s, id, u := d.server, q.permit.id, q.permit.upload
	m := &meta{
		Object:  Object{ID: id, App: u.App, User: u.User, Kind: u.Kind, Name: u.Name, Size: u.Size},
		Expires: time.Unix(q.permit.expires, 0).UTC(),
	}
	s.mu.Lock()
	fits := s.fits(u)
	if fits {
		s.live[id] = m
		s.count(u.App, u.User, u.Size)
	}
	s.mu.Unlock()
	if !fits {
		return nil, errQuota
	}
	if err := s.create(m); err != nil {
		q.spoiled = true
		return nil, s.failed("beginning an upload", id, err)
	}
	return &transfer{request: q, meta: m}, nil
}

// create makes the directory of an upload.
func (s *Server) create(m *meta) error {
	dir := uploadDir(m.Object.ID)
	if err := s.root.RemoveAll(dir); err != nil {
		return err
	}
	if err := s.root.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := s.writeMeta(dir, m); err != nil {
		return err
	}
	f, err := s.root.OpenFile(path.Join(dir, originalFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (d dataStore) GetUpload(ctx context.Context, _ string) (handler.Upload, error) {
	// It has the ID of the ticket.
	return d.server.find(ctx.Value(requestKey{}).(*request))
}

// find returns the upload that the request has. It finishes one of which every byte came, but that was broken off there.
func (s *Server) find(q *request) (*transfer, error) {
	id := q.permit.id
	s.mu.Lock()
	m := s.live[id]
	s.mu.Unlock()
	if m == nil {
		o, err := s.Object(id)
		if errors.Is(err, ErrNotFound) {
			return nil, handler.ErrNotFound
		}
		if err != nil {
			return nil, s.failed("reading an object", id, err)
		}
		return &transfer{request: q, meta: &meta{Object: *o}, offset: o.Size, finished: true}, nil
	}
	offset, err := s.size(path.Join(uploadDir(id), originalFile))
	if err != nil {
		return nil, s.failed("finding an upload", id, err)
	}
	t := &transfer{request: q, meta: m, offset: offset}
	if offset >= m.Object.Size && q.method != http.MethodDelete {
		if err := t.FinishUpload(q.ctx); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *transfer) GetInfo(context.Context) (handler.FileInfo, error) {
	return handler.FileInfo{ID: t.meta.Object.ID, Size: t.meta.Object.Size, Offset: t.offset}, nil
}

func (t *transfer) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.ErrNotImplemented
}

func (t *transfer) WriteChunk(_ context.Context, offset int64, src io.Reader) (int64, error) {
	q, s, id := t.request, t.request.server, t.meta.Object.ID
	n, err := t.write(offset, src)
	if err != nil {
		q.spoiled = true
		return n, s.failed("writing", id, err)
	}
	return n, nil
}

func (t *transfer) write(offset int64, src io.Reader) (int64, error) {
	s := t.request.server
	t.request.body.room = t.meta.Object.Size - offset
	name := path.Join(uploadDir(t.meta.Object.ID), originalFile)
	f, err := s.openFile(name, os.O_WRONLY)
	if err != nil {
		return 0, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	buffer := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buffer)
	n, err := io.CopyBuffer(s.writer(name, f), src, buffer[:])
	return n, errors.Join(err, f.Close())
}

// FinishUpload makes an object of an upload. tusd also calls it when the client sent too much.
func (t *transfer) FinishUpload(context.Context) error {
	q, s, id := t.request, t.request.server, t.meta.Object.ID
	if q.spoiled {
		return errDisk // tusd answers with what came before
	}
	if q.body != nil && q.body.over() {
		return handler.ErrSizeExceeded
	}
	if t.finished {
		return nil
	}
	m := &meta{Object: t.meta.Object}
	if err := s.complete(q.ctx, m); err != nil {
		// Who waited in vain for another image to be decoded may come again.
		if cause := context.Cause(q.ctx); cause != nil && errors.Is(err, cause) {
			return cause
		}
		q.spoiled = true
		return s.failed("finishing an upload", id, err)
	}
	t.meta, t.finished = m, true
	return nil
}

// complete brings all that an object has to the disk, and publishes it then.
func (s *Server) complete(ctx context.Context, m *meta) error {
	o := &m.Object
	from, to := uploadDir(o.ID), objectDir(o.ID)
	name := path.Join(from, originalFile)
	f, err := s.openFile(name, os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != o.Size {
		return errors.Join(errors.New("the file has another size"), err)
	}
	if err := s.syncFile(name, f); err != nil {
		return err
	}
	if o.Kind == KindImage {
		if err := s.shrink(ctx, from, f, o); err != nil {
			return err
		}
	}
	o.Created = time.Now().UTC()
	if err := s.writeMeta(from, m); err != nil {
		return err
	}
	if err := s.sync(from); err != nil {
		return err
	}
	if err := s.mkdir(path.Dir(to)); err != nil {
		return err
	}
	s.mu.Lock()
	s.publishing[o.ID] = true
	s.mu.Unlock()
	if err := s.publish(from, to); err != nil {
		// It stays hidden even if it can't be removed.
		s.root.RemoveAll(to)
		return err
	}
	s.mu.Lock()
	delete(s.publishing, o.ID)
	delete(s.live, o.ID) // the bytes count on
	s.mu.Unlock()
	return nil
}

func (s *Server) publish(from, to string) error {
	if err := s.root.Rename(from, to); err != nil {
		return err
	}
	if err := s.sync(path.Dir(to)); err != nil {
		return err
	}
	return s.sync(uploadsDir)
}

func (d dataStore) AsTerminatableUpload(u handler.Upload) handler.TerminatableUpload {
	return u.(*transfer)
}

func (t *transfer) Terminate(context.Context) error {
	if t.finished {
		return errFinished
	}
	if err := t.request.server.discard(t.meta.Object.ID); err != nil {
		return errDisk
	}
	return nil
}

// discard removes what there is of an upload. Somebody has it to himself.
func (s *Server) discard(id string) error {
	s.mu.Lock()
	m := s.live[id]
	s.mu.Unlock()
	if m == nil {
		return nil
	}
	if err := s.root.RemoveAll(uploadDir(id)); err != nil {
		// Sweep tries again.
		return s.failed("removing an upload", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, id)
	s.count(m.Object.App, m.Object.User, -m.Object.Size)
	return nil
}

// failed logs an error of the disk and returns what the client gets.
func (s *Server) failed(doing, id string, err error) error {
	s.log.Error("media: "+doing, "id", id, "err", err)
	if full(err) {
		return errFull
	}
	return errDisk
}
