package cloud

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/dirlock"
	"github.com/zim-go/zim/transport"
)

const (
	logName    = "callbacks.log"
	logTemp    = logName + ".tmp"
	logLock    = "lock"
	logMinimum = 4 << 20 // a smaller log is not written anew while it is in use

	// flushDelay is for how long what may be lost in a crash waits for something that may not.
	flushDelay = time.Second
	// rewriteRate is how many bytes are written anew in a millisecond, at most, while it fails.
	rewriteRate = 10 << 10
)

var (
	errUnwritten = errors.New("cloud: what callbacks told could not be written")
	errUntrusted = errors.New("cloud: a sync failed, and nobody knows what is on the disk: no callback is taken until a restart")
	errClosed    = errors.New("cloud: the Service was shut down")
)

// An inboxLog has on the disk what is in an inbox. What changes there becomes records in the open bundle, under inbox.mu, so that they are in the
// order of the changes. Whoever has to wait for a bundle takes the turn, and writes and syncs the open one for all who wait: it has what came during the
// sync before. The turn is held across I/O, and inbox.mu is not: with the turn, one may lock inbox.mu, and never the other way round.
type inboxLog struct {
	dir  string      // immutable
	lock io.Closer   // immutable
	tell func(error) // immutable; about what nobody waits for
	disk disk        // guarded by turn

	turn   chan struct{}
	file   *os.File          // guarded by turn; nil if it could not be opened again
	mark   [logMarkSize]byte // guarded by turn
	size   int64             // guarded by turn; what is behind it is nothing
	limit  int64             // guarded by turn; a larger log is written anew
	broken error             // guarded by turn; wraps errUntrusted, or is errClosed

	// These are guarded by inbox.mu.
	open     *bundle
	stale    bool      // records were lost with a bundle that failed: the log has to be written anew
	failures int       // how many bundles failed
	failure  error     // how the last one did
	again    time.Time // until then, the log is not tried to be written anew, as it is large
	closed   bool
	flusher  *time.Timer // nil unless it runs

	flushing sync.WaitGroup // flusher
}

// A disk is what may fail.
type disk struct {
	write func(f *os.File, b []byte, at int64) (int, error) // (*os.File).WriteAt
	sync  func(f *os.File) error                            // (*os.File).Sync
}

// A bundle is what is written and synced together. Its fields are guarded by inbox.mu until it is written.
type bundle struct {
	frame   []byte // room for its header, and records
	puts    []put
	taken   []digest      // callbacks
	written chan struct{} // immutable; closed when it is on the disk, or never will be
	err     error         // immutable once it is written
}

// A put is an event that is to go into a box once it is on the disk.
type put struct {
	box   *box
	seq   uint64
	event waiting
	keys  []key  // by which it is known
	left  string // the group that the user has left by it, and is in again if it is taken back
}

func newBundle() *bundle {
	return &bundle{frame: make([]byte, frameHeaderSize), written: make(chan struct{})}
}

func (b *bundle) empty() bool { return len(b.frame) == frameHeaderSize }

// openLog fills a new inbox with what the log in dir has, from which it keeps others until it is closed. It writes the log anew: what an earlier
// program could not sync may be readable, and not be on the disk. If it fails, the log is as it was.
func openLog(in *inbox, dir string, tell func(error)) (err error) {
	if err := dirlock.Make(dir); err != nil {
		return err
	}
	l := &inboxLog{dir: dir, tell: tell, disk: disk{(*os.File).WriteAt, (*os.File).Sync}, turn: make(chan struct{}, 1), open: newBundle()}
	if l.lock, err = dirlock.Lock(filepath.Join(dir, logLock)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if l.file != nil {
				l.file.Close()
			}
			l.lock.Close()
		}
	}()
	// It is not much larger than what it makes: see limit.
	log, err := os.ReadFile(filepath.Join(dir, logName))
	switch {
	case err == nil:
		now := time.Now()
		if err = readLog(log, func(r *record) error { return in.restore(r, now) }); err != nil {
			return fmt.Errorf("%s: %w", logName, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := l.rewrite(in.state(l.open)); err != nil {
		return fmt.Errorf("%w: %w", errUnwritten, err)
	}
	in.log = l
	return nil
}

// openInbox returns the Service's inbox, which the first call makes. If Dir can't be used, the next call tries again, unless it comes within a second.
func (s *Service) openInbox() (*inbox, error) {
	e := &s.events
	e.opening.Lock() // while the log is read: nobody could do anything before it is
	defer e.opening.Unlock()
	switch {
	case e.inbox != nil:
		return e.inbox, nil
	case time.Now().Before(e.retryAt):
		return nil, e.unusable
	}
	in := newInbox(&e.counts)
	if s.Dir != "" && !e.isClosed() {
		if err := openLog(in, s.Dir, s.unwritten); err != nil {
			if !errors.Is(err, errUnwritten) && !errors.Is(err, errUntrusted) { // a full disk may have room the next time
				err = fmt.Errorf("%w: %w", err, transport.ErrMisconfigured)
			}
			e.retryAt, e.unusable = time.Now().Add(time.Second), fmt.Errorf("cloud: Dir can't be used: %w", err)
			return nil, e.unusable
		}
	}
	e.inbox = in
	return in, nil
}

// closeInbox closes the log, and keeps it from being opened.
func (s *Service) closeInbox() error {
	e := &s.events
	e.opening.Lock()
	if e.inbox == nil {
		e.inbox = newInbox(&e.counts)
	}
	in := e.inbox
	e.opening.Unlock()
	return in.close()
}

// note adds a record of a box that may be lost in a crash of the next moment. The caller holds mu.
func (in *inbox) note(b *box, r record) {
	l := in.log
	if l == nil || l.closed || in.boxes[b.userID] != b { // a Conn may know a box that was forgotten
		return
	}
	r.user = b.userID
	l.open.frame = r.append(l.open.frame)
	in.flushLater()
}

// The caller holds mu.
func (in *inbox) flushLater() {
	l := in.log
	if l.flusher != nil || l.closed {
		return
	}
	l.flushing.Add(1)
	l.flusher = time.AfterFunc(max(flushDelay, time.Until(l.again)), func() {
		defer l.flushing.Done()
		in.mu.Lock()
		l.flusher = nil
		in.mu.Unlock()
		l.turn <- struct{}{}
		err := in.flush()
		<-l.turn
		if err != nil {
			l.tell(err)
		}
	})
}

// put adds an event to the open bundle, unless the log is closed. The caller holds inbox.mu.
func (l *inboxLog) put(b *box, keys []key, w waiting, now time.Time) bool {
	data, err := proto.Marshal(w.event)
	if err != nil || l.closed { // it can always be encoded: what is no UTF-8 was refused
		return false
	}
	b.pending++
	p := put{box: b, seq: b.last + uint64(b.pending), event: w, keys: keys}
	r := record{kind: recordEvent, user: b.userID, n: p.seq, m: uint64(now.UnixMilli()), data: data}
	for _, k := range keys {
		r.id += string(k[:])
	}
	l.open.frame = r.append(l.open.frame)
	l.open.puts = append(l.open.puts, p)
	return true
}

// keep takes note that a callback was taken, and returns when that, and what it told, is on the disk. If it can't be, the callback was not taken. err is what
// became of it so far: if it was full for some, what it told others is written, too.
func (c *callback) keep(d digest, body [32]byte, answer []byte, err error) error {
	in := c.in
	if err != nil && !errors.Is(err, errFull) {
		return err
	}
	in.mu.Lock()
	l, verdict := in.log, c.name == beforeSend
	switch {
	case l == nil || verdict:
	case l.closed:
		in.mu.Unlock()
		return errClosed
	case c.failures != l.failures: // what it told was taken back
		defer in.mu.Unlock()
		return l.failure
	}
	if err == nil && len(answer) <= maxKeptAnswer {
		in.replays.mark(d, answer)
		if l != nil && !l.closed {
			r := callbackRecord(d, body, answer, c.now)
			l.open.frame = r.append(l.open.frame)
		}
	}
	if l != nil && verdict {
		// A sender waits for it, and must not be refused because a disk is full. After a crash, it may be asked for again.
		in.flushLater()
	}
	if l == nil || verdict || l.open.empty() {
		in.mu.Unlock()
		return err
	}
	b := l.open
	if err == nil {
		b.taken = append(b.taken, d)
	}
	in.mu.Unlock()
	return cmp.Or(in.commit(b), err)
}

// commit waits until a bundle that is not empty is on the disk. If it can't be, all that was to come with it, or behind it, was taken back.
func (in *inbox) commit(b *bundle) error {
	select {
	case <-b.written:
		return b.err
	case in.log.turn <- struct{}{}:
	}
	in.flush() // which is about b, unless b was written in time
	<-in.log.turn
	<-b.written
	return b.err
}

// flush writes the open bundle. The caller has the turn.
func (in *inbox) flush() error {
	l := in.log
	in.mu.Lock()
	b, stale := l.open, l.stale
	if b.empty() && (!stale || l.broken != nil) {
		in.mu.Unlock()
		return nil
	}
	l.open = newBundle()
	if stale && l.broken == nil && time.Now().Before(l.again) {
		defer in.mu.Unlock()
		err := l.failure
		in.takeBack(b, err)
		return err
	}
	var anew []byte
	if l.broken == nil && (stale || l.size > l.limit) {
		anew = in.state(b)
	}
	in.mu.Unlock()

	err := l.write(b, anew, stale)
	in.mu.Lock()
	defer in.mu.Unlock()
	if err == nil {
		l.stale = false
		in.deliver(b)
		return nil
	}
	if l.broken == nil {
		err = fmt.Errorf("%w: %w", errUnwritten, err)
	}
	l.again = time.Now().Add(time.Duration(len(anew)/rewriteRate) * time.Millisecond)
	in.takeBack(b, err)
	if l.broken == nil {
		in.flushLater()
	}
	return err
}

// deliver puts what a bundle has into the boxes. The caller holds mu.
func (in *inbox) deliver(b *bundle) {
	for _, p := range b.puts {
		p.box.pending--
		p.box.deliver(p.event)
	}
	close(b.written)
}

// takeBack undoes a bundle that failed, and the open one, whose events have numbers behind those of the first. The caller holds mu.
func (in *inbox) takeBack(b *bundle, err error) {
	l := in.log
	for _, b := range []*bundle{b, l.open} {
		for _, p := range b.puts {
			p.box.pending--
			p.box.bytes -= p.event.bytes
			in.bytes -= p.event.bytes
			for _, k := range p.keys {
				p.box.keys.remove(k)
			}
			if p.left != "" && in.boxes[p.box.userID] == p.box {
				in.join(p.box, p.left)
			}
		}
		for _, d := range b.taken {
			in.replays.unmark(d)
		}
		b.err = err
		close(b.written)
	}
	l.open, l.stale, l.failure = newBundle(), true, err
	l.failures++
}

// write writes a bundle: the log anew if there is such a one, which has the bundle. The caller has the turn.
func (l *inboxLog) write(b *bundle, anew []byte, stale bool) error {
	if l.broken != nil {
		return l.broken
	}
	if anew != nil {
		if err := l.rewrite(anew); err == nil || l.broken != nil || stale {
			return err
		}
		// There may be room for the bundle, if not for all.
	}
	return l.append(b.frame)
}

// append writes a frame behind the others. The caller has the turn.
func (l *inboxLog) append(frame []byte) error {
	sealFrame(frame, l.mark)
	if _, err := l.disk.write(l.file, frame, l.size); err != nil {
		return errors.Join(err, l.file.Truncate(l.size)) // to make room: what is behind size is no frame, and will be written over
	}
	if err := l.disk.sync(l.file); err != nil {
		return l.distrust(err)
	}
	l.size += int64(len(frame))
	return nil
}

// rewrite puts another log in place of the one that there is. If it fails, that one stays, or l is broken. The caller has the turn.
func (l *inboxLog) rewrite(log []byte) error {
	var mark [logMarkSize]byte
	rand.Read(mark[:])
	if frame := log[logHeaderSize:]; len(frame) > frameHeaderSize {
		sealFrame(frame, mark)
	} else {
		log = log[:logHeaderSize]
	}
	sealHeader(log, mark)
	path, temp := filepath.Join(l.dir, logName), filepath.Join(l.dir, logTemp)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = l.disk.write(f, log, 0); err == nil {
		if err = l.disk.sync(f); err != nil {
			err = l.distrust(err)
		}
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		if l.file != nil {
			l.file.Close() // not every system renames over a file that is open
		}
		err = os.Rename(temp, path)
		renamed := err == nil
		if renamed {
			err = dirlock.Sync(l.dir)
		}
		var reopened error
		l.file, reopened = os.OpenFile(path, os.O_WRONLY, 0)
		switch {
		case renamed && err != nil:
			return l.distrust(err)
		case reopened != nil:
			return l.distrust(errors.Join(err, reopened))
		case renamed:
			l.mark, l.size = mark, int64(len(log))
			l.limit = max(logMinimum, 2*l.size)
			return nil
		}
	}
	l.limit = max(l.limit, 2*l.size) // no other try soon
	return errors.Join(err, os.Remove(temp))
}

// distrust takes note that a sync failed. Another one might say that all is well, and it is not.
func (l *inboxLog) distrust(err error) error {
	l.broken = fmt.Errorf("%w: %w", errUntrusted, err)
	return l.broken
}

// close writes what is left, and lets others have the directory. From then on, nothing is taken, and what is there goes on in memory. It may be called again.
func (in *inbox) close() error {
	l := in.log
	if l == nil {
		return nil
	}
	in.mu.Lock()
	l.closed = true
	if l.flusher != nil && l.flusher.Stop() {
		l.flushing.Done()
	}
	l.flusher = nil
	in.mu.Unlock()
	l.flushing.Wait()
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if errors.Is(l.broken, errClosed) {
		return nil
	}
	err := in.flush()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	l.broken = errClosed
	return errors.Join(err, l.lock.Close())
}
