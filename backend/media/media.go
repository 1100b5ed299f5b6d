// Package media is the backend's file server.
//
// Users upload files over the tus 1.0 protocol of resumable uploads, with a ticket that the backend signed for one file, and
// download them by URLs that it signed for one user. Files lie under random IDs in a directory that no name, path or symbolic
// link leads out of; what a user calls a file is never part of a path.
//
// A directory has the files of an upload:
//
//	uploads/<id>/             while it is received
//	objects/<id[:2]>/<id>/    since the last byte came
//	             original     what was uploaded
//	             large        of an image: at most 1280 pixels wide and high
//	             thumbnail    of an image: at most 320
//	             meta.json    the rest
//
// It moves from one place to the other in one rename, when everything in it is on disk.
package media

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gofrs/flock"
)

// Config is what a Server needs.
type Config struct {
	Dir string // required; made if missing. No two Servers may have the same
	Key Key    // required, at least 32 bytes; signs tickets and URLs

	// URLLifetime is how long a URL is good for, at least. Zero means 24 hours.
	URLLifetime time.Duration
	// TicketLifetime is how long an upload may take, from the ticket on. Zero means 24 hours.
	TicketLifetime time.Duration
	// Retention is how long objects are kept. Zero means for ever.
	Retention time.Duration
	// Quota is how many bytes one user may store. Uploads in progress count with their declared size, smaller images that
	// the server makes do not count. Zero means 10 GiB, less than zero that there is no bound.
	Quota int64
	// MaxPixels is how large an image is decoded, which takes up to 16 bytes a pixel; one image is decoded at a time. There
	// are no smaller versions of a larger one. Zero means 40 million.
	MaxPixels int
	Logger    *slog.Logger // nil discards; never gets names, signatures or tickets
}

// A Kind is the type of the message that a file is sent with.
type Kind int

// The documented types.
const (
	KindImage Kind = 11
	KindFile  Kind = 12
	KindAudio Kind = 13
	KindVideo Kind = 14
)

// A Variant is one of the files that an object has.
type Variant int

// The documented types.
const (
	Original   Variant = 1
	LargeImage Variant = 2 // the original, if that is not larger than a large image would be
	Thumbnail  Variant = 3 // the original, if that is not larger than a thumbnail would be
)

// An Upload is what a ticket allows.
type Upload struct {
	App  uint32
	User string // 1 to 256 bytes of UTF-8
	Kind Kind
	Name string // at most 150 bytes of UTF-8
	Size int64  // of exactly so many bytes
}

// An Object is a file that was received.
type Object struct {
	ID   string
	App  uint32
	User string
	Kind Kind
	Name string // as the user gave it: not to be used as a path
	Size int64
	// Width and Height are those of the original as it is shown, zero unless it is an image of a format that is known.
	Width, Height int
	// Large and Thumbnail are the smaller versions of an image.
	Large, Thumbnail Image
	Created          time.Time // when the last byte came
}

// An Image has a size in pixels, zero if there is none.
type Image struct{ Width, Height int }

// Errors of a Server.
var (
	ErrClosed   = errors.New("media: closed")
	ErrQuota    = errors.New("media: the user's quota does not have room for that")
	ErrNotFound = errors.New("media: there is no such object")
	ErrName     = errors.New("media: a name has at most 150 bytes of UTF-8")
)

const (
	maxName = 150
	maxUser = 256
	maxSize = 1 << 50 // sums of sizes do not overflow
)

// A Server stores and serves files. It is an [http.Handler] of all paths that contain "/media/". Its methods may be called
// concurrently.
type Server struct {
	config    Config // immutable; defaults filled in
	log       *slog.Logger
	ticketKey []byte
	urlKey    []byte
	root      *os.Root
	lock      *flock.Flock // held while the server is open
	tus       http.Handler
	buffers   sync.Pool      // of *[bufferSize]byte
	decoding  chan struct{}  // has room for who decodes an image
	work      sync.WaitGroup // requests, and Sweep
	faults    faults         // of tests

	mu         sync.Mutex
	closed     bool                  // guarded by mu
	running    map[*request]struct{} // guarded by mu
	busy       map[string]*request   // guarded by mu; who has an upload to itself
	live       map[string]*meta      // guarded by mu; uploads in progress; what it points to is immutable
	used       map[account]int64     // guarded by mu; bytes that count
	publishing map[string]bool       // guarded by mu; objects that a crash could undo
}

// An account is whose quota counts.
type account struct {
	app  uint32
	user string
}

// New returns a Server. Close must be called. Uploads that an earlier Server did not finish can be resumed. It reads what
// the directory has: a second or so for 50000 objects.
func New(config Config) (*Server, error) {
	if config.Dir == "" {
		return nil, errors.New("media: Dir is empty")
	}
	if len(config.Key) < 32 {
		return nil, errors.New("media: Key has less than 32 bytes")
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.URLLifetime = cmp.Or(config.URLLifetime, 24*time.Hour)
	config.TicketLifetime = cmp.Or(config.TicketLifetime, 24*time.Hour)
	config.Quota = cmp.Or(config.Quota, 10<<30)
	config.MaxPixels = cmp.Or(config.MaxPixels, 40_000_000)
	s := &Server{
		config:     config,
		log:        config.Logger,
		ticketKey:  subkey(config.Key, "zim media ticket"),
		urlKey:     subkey(config.Key, "zim media url"),
		buffers:    sync.Pool{New: func() any { return new([bufferSize]byte) }},
		decoding:   make(chan struct{}, 1),
		running:    make(map[*request]struct{}),
		busy:       make(map[string]*request),
		live:       make(map[string]*meta),
		used:       make(map[account]int64),
		publishing: make(map[string]bool),
	}
	s.config.Key = nil
	var err error
	if s.tus, err = s.newTus(); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	info, err := os.Stat(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o002 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("media: everybody may write to the directory %s (mode %v): chmod o-w it, or take another one", config.Dir, mode)
	}
	if s.root, err = os.OpenRoot(config.Dir); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	if err := s.open(); err != nil {
		s.root.Close()
		return nil, err
	}
	return s, nil
}

func subkey(key []byte, label string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(label))
	return h.Sum(nil)
}

// open claims the directory for this process, whose count of bytes would be wrong otherwise, and reads it.
func (s *Server) open() error {
	if info, err := s.root.Lstat(lockFile); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("media: %s is no file", lockFile)
	}
	s.lock = flock.New(filepath.Join(s.config.Dir, lockFile), flock.SetPermissions(0o600))
	ok, err := s.lock.TryLock()
	if err != nil {
		return fmt.Errorf("media: %w", err)
	}
	if !ok {
		return fmt.Errorf("media: another server has %s open", s.config.Dir)
	}
	if err := s.load(); err != nil {
		s.lock.Unlock()
		return fmt.Errorf("media: %w", err)
	}
	return nil
}

// Close breaks off what is uploaded and downloaded, and returns when that has ended. Uploads can be resumed when there is a
// Server again.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.work.Wait()
		return nil
	}
	s.closed = true
	for q := range s.running {
		q.interrupt(errClosing)
	}
	s.mu.Unlock()
	s.work.Wait()
	// Each request leaves a goroutine of tusd that ends a nanosecond later.
	time.Sleep(2 * tusGrace)
	return errors.Join(s.root.Close(), s.lock.Unlock())
}

// Ticket returns a new ID and the ticket with which its file may be uploaded. It returns ErrQuota if the user can't store so
// much more, which counts only when the upload begins, ErrName, and ErrClosed. That the app allows such a file is for the
// caller to know.
func (s *Server) Ticket(u Upload) (id, ticket string, err error) {
	switch {
	case u.User == "" || len(u.User) > maxUser || !utf8.ValidString(u.User):
		return "", "", errors.New("media: a user has 1 to 256 bytes of UTF-8")
	case u.Kind < KindImage || u.Kind > KindVideo:
		return "", "", fmt.Errorf("media: there is no kind %d", u.Kind)
	case u.Size < 0 || u.Size > maxSize:
		return "", "", fmt.Errorf("media: no file has %d bytes", u.Size)
	case len(u.Name) > maxName || !utf8.ValidString(u.Name):
		return "", "", ErrName
	}
	s.mu.Lock()
	closed, fits := s.closed, s.fits(u)
	s.mu.Unlock()
	if closed {
		return "", "", ErrClosed
	}
	if !fits {
		return "", "", ErrQuota
	}
	id = newID()
	expires := time.Now().Add(s.config.TicketLifetime + time.Second - 1).Unix()
	return id, s.seal(permit{id, u, expires}), nil
}

// fits reports whether a user may store a file. s.mu is held.
func (s *Server) fits(u Upload) bool {
	return s.config.Quota < 0 || u.Size <= s.config.Quota-s.used[account{u.App, u.User}]
}

// count adds bytes to what a user stores. s.mu is held.
func (s *Server) count(app uint32, user string, bytes int64) {
	a := account{app, user}
	if s.used[a] += bytes; s.used[a] == 0 {
		delete(s.used, a)
	}
}

// Object returns the object with an ID. It returns ErrNotFound if there is none, or not all of it came yet. An object that
// was returned once is there after a crash, too.
func (s *Server) Object(id string) (*Object, error) {
	if !isID(id) {
		return nil, ErrNotFound
	}
	m, err := s.readMeta(objectDir(id))
	s.mu.Lock()
	publishing := s.publishing[id]
	s.mu.Unlock()
	switch {
	case publishing || errors.Is(err, os.ErrNotExist):
		return nil, ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("media: %w", err)
	}
	return &m.Object, nil
}
