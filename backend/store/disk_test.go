//go:build unix

package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/zim-go/zim/backend/store"
)

// A disk is a directory of which a log is kept: everything that SQLite does there to a file, in order. SQLite's own layer over the
// operating system does the work, so that what runs is what is shipped. What a power cut leaves is made of the log: see image.
type disk struct {
	dir string

	mu    sync.Mutex
	log   []record
	files map[string]int // by name, what is there now
	made  int            // files so far

	// fail, if set, is asked before each record, and told how long the log is: other than 0 is the SQLite result with which it fails. It is
	// called with mu held.
	fail func(r record, length int) int32
}

// A record is one thing that was done.
type record struct {
	what what
	name string // of the file, without directory; not for syncedDir
	file int    // tells files of one name apart
	at   int64  // where it was written, or the size to which it was cut
	data []byte
}

type what int

const (
	created what = iota
	removed
	wrote
	truncated
	synced
	syncedDir  // the creations and removals before it are on the disk
	syncFailed // what was written before it may never come to the disk, whatever later syncs say
)

// layer is put between SQLite and the operating system for all files of the test, and does nothing for those that are on no disk.
var layer struct {
	install sync.Once
	real    *sqlite3.Tsqlite3_vfs

	mu      sync.Mutex
	disks   map[string]*disk
	open    map[uintptr]*openFile
	methods map[uintptr]uintptr // by the real ones
}

type openFile struct {
	disk *disk
	name string
	file int
	real *sqlite3.Tsqlite3_io_methods
}

// mounted is when the files of a disk were last changed when it is mounted, so that one sees who writes to them.
var mounted = time.Unix(1e9, 0)

// mount makes a disk with what a log tells, and goes on with that log.
func mount(t *testing.T, dir string, log []record) *disk {
	t.Helper()
	layer.install.Do(installLayer)
	dir, err := os.MkdirTemp(dir, "disk")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{dir: dir, log: log, files: make(map[string]int)}
	for _, r := range log {
		switch r.what {
		case created:
			d.files[r.name] = r.file
			d.made = max(d.made, r.file)
		case removed:
			delete(d.files, r.name)
		}
	}
	files := everything(log)
	writeFiles(t, dir, files)
	for name := range files {
		if err := os.Chtimes(filepath.Join(dir, name), mounted, mounted); err != nil {
			t.Fatal(err)
		}
	}
	layer.mu.Lock()
	defer layer.mu.Unlock()
	layer.disks[dir] = d
	return d
}

// unmount forgets the disk, but not its log.
func (d *disk) unmount(t *testing.T) {
	t.Helper()
	layer.mu.Lock()
	delete(layer.disks, d.dir)
	for _, f := range layer.open {
		if f.disk == d {
			t.Errorf("%s is still open", f.name)
		}
	}
	layer.mu.Unlock()
	if err := os.RemoveAll(d.dir); err != nil {
		t.Fatal(err)
	}
}

func (d *disk) path() string { return filepath.Join(d.dir, "zim.db") }

// now returns how much was done so far.
func (d *disk) now() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

func (d *disk) failWith(fail func(r record, length int) int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

// do does one thing and takes it down.
func (d *disk) do(r record, do func() int32) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		if rc := d.fail(r, len(d.log)); rc != sqlite3.SQLITE_OK {
			if r.what == synced {
				r.what = syncFailed
				d.log = append(d.log, r)
			}
			return rc
		}
	}
	rc := do()
	if rc == sqlite3.SQLITE_OK {
		d.log = append(d.log, r)
	}
	return rc
}

// syncFile takes down that the store, and not SQLite, has synced a file, and first what it has written since the disk was mounted.
func syncFile(f *os.File) error {
	layer.mu.Lock()
	d, name := onDisk(f.Name())
	layer.mu.Unlock()
	if d == nil {
		return f.Sync()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.ModTime().Equal(mounted) {
		data := make([]byte, info.Size())
		if _, err := f.ReadAt(data, 0); err != nil {
			return err
		}
		d.log = append(d.log, record{what: wrote, name: name, file: d.files[name], data: data})
	}
	d.log = append(d.log, record{what: synced, name: name, file: d.files[name]})
	return nil
}

// The rest is C in Go's clothes. What the transpiled code is given to keep is allocated as it allocates.

func installLayer() {
	layer.disks, layer.open, layer.methods = make(map[string]*disk), make(map[uintptr]*openFile), make(map[uintptr]uintptr)
	tls := libc.NewTLS()
	sqlite3.Xsqlite3_initialize(tls)
	layer.real = memory[sqlite3.Tsqlite3_vfs](sqlite3.Xsqlite3_vfs_find(tls, 0))
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(*layer.real)))
	vfs := memory[sqlite3.Tsqlite3_vfs](own)
	*vfs = *layer.real
	name, err := libc.CString("recorded")
	if err != nil {
		panic(err)
	}
	vfs.FzName, vfs.FxOpen, vfs.FxDelete = name, pointer(layerOpen), pointer(layerDelete)
	sqlite3.Xsqlite3_vfs_register(tls, own, 1)
	store.SyncWith(syncFile)
}

// memory is what a pointer of the transpiled code points to.
func memory[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// pointer is the transpiled code's pointer to a function, and function the other way round.
func pointer[F any](f F) uintptr        { return *(*uintptr)(unsafe.Pointer(&f)) }
func function[F any](pointer uintptr) F { return *(*F)(unsafe.Pointer(&pointer)) }

// onDisk returns the disk that a file is on, or nil, and the file's name there. layer.mu is held.
func onDisk(path string) (*disk, string) { return layer.disks[filepath.Dir(path)], filepath.Base(path) }

// recorded returns the open file that SQLite means.
func recorded(p uintptr) *openFile {
	layer.mu.Lock()
	defer layer.mu.Unlock()
	return layer.open[p]
}

type (
	openFunc     = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	deleteFunc   = func(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32
	closeFunc    = func(tls *libc.TLS, file uintptr) int32
	writeFunc    = func(tls *libc.TLS, file, data uintptr, n int32, at int64) int32
	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32
)

func layerOpen(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32 {
	open := function[openFunc](layer.real.FxOpen)
	if name == 0 {
		return open(tls, vfs, name, file, flags, outFlags)
	}
	layer.mu.Lock()
	defer layer.mu.Unlock()
	d, base := onDisk(libc.GoString(name))
	rc := open(tls, vfs, name, file, flags, outFlags)
	if d == nil || rc != sqlite3.SQLITE_OK {
		return rc
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.files[base]
	if id == 0 {
		d.made++
		id = d.made
		d.files[base] = id
		d.log = append(d.log, record{what: created, name: base, file: id})
	}
	f := memory[sqlite3.Tsqlite3_file](file)
	layer.open[file] = &openFile{disk: d, name: base, file: id, real: memory[sqlite3.Tsqlite3_io_methods](f.FpMethods)}
	own, ok := layer.methods[f.FpMethods]
	if !ok {
		own = libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
		m := memory[sqlite3.Tsqlite3_io_methods](own)
		*m = *memory[sqlite3.Tsqlite3_io_methods](f.FpMethods)
		m.FxClose, m.FxWrite, m.FxTruncate, m.FxSync = pointer(layerClose), pointer(layerWrite), pointer(layerTruncate), pointer(layerSync)
		layer.methods[f.FpMethods] = own
	}
	f.FpMethods = own
	return rc
}

func layerDelete(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32 {
	path := strings.Clone(libc.GoString(name))
	layer.mu.Lock()
	d, base := onDisk(path)
	layer.mu.Unlock()
	remove := func() int32 { return function[deleteFunc](layer.real.FxDelete)(tls, vfs, name, syncDir) }
	if d == nil {
		return remove()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rc := remove()
	if rc == sqlite3.SQLITE_OK {
		d.log = append(d.log, record{what: removed, name: base, file: d.files[base]})
		delete(d.files, base)
		if syncDir != 0 {
			d.log = append(d.log, record{what: syncedDir})
		}
	}
	return rc
}

func layerClose(tls *libc.TLS, file uintptr) int32 {
	layer.mu.Lock()
	defer layer.mu.Unlock()
	f := layer.open[file]
	delete(layer.open, file)
	return function[closeFunc](f.real.FxClose)(tls, file)
}

func layerWrite(tls *libc.TLS, file, data uintptr, n int32, at int64) int32 {
	f := recorded(file)
	write := func(n int32) func() int32 {
		return func() int32 { return function[writeFunc](f.real.FxWrite)(tls, file, data, n, at) }
	}
	r := record{what: wrote, name: f.name, file: f.file, at: at, data: bytes.Clone(unsafe.Slice(memory[byte](data), n))}
	rc := f.disk.do(r, write(n))
	if rc == sqlite3.SQLITE_FULL && n > 1 {
		// A full disk takes what it has room for.
		r.data = r.data[:n/2]
		f.disk.mu.Lock()
		defer f.disk.mu.Unlock()
		if write(n/2)() == sqlite3.SQLITE_OK {
			f.disk.log = append(f.disk.log, r)
		}
	}
	return rc
}

func layerTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	f := recorded(file)
	return f.disk.do(record{what: truncated, name: f.name, file: f.file, at: size}, func() int32 {
		return function[truncateFunc](f.real.FxTruncate)(tls, file, size)
	})
}

func layerSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	// Nobody cuts the power: that a sync was asked for is all that counts.
	f := recorded(file)
	rc := f.disk.do(record{what: synced, name: f.name, file: f.file}, func() int32 { return sqlite3.SQLITE_OK })
	if flags := &memory[sqlite3.TunixFile](file).FctrlFlags; rc == sqlite3.SQLITE_OK && *flags&sqlite3.UNIXFILE_DIRSYNC != 0 {
		// SQLite syncs the directory with the first sync of a log or journal.
		*flags &^= sqlite3.UNIXFILE_DIRSYNC
		f.disk.mu.Lock()
		defer f.disk.mu.Unlock()
		f.disk.log = append(f.disk.log, record{what: syncedDir})
	}
	return rc
}
