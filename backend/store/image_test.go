//go:build unix

package store_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// An image is what is on a disk: what was synced, and, in the order in which it was done, what was not.
type image struct {
	rng   *rand.Rand
	files map[int]*content
	names map[string]int // those that are sure
	moves []record       // creations and removals that are not
}

type content struct {
	sure    []byte
	pending []pending
}

type pending struct {
	record
	lost bool // a sync failed: no later one is to be trusted for this
}

// afterCut returns files as a power cut at the end of the log may leave them. Of what was not synced, each write is there or not, or it is
// there in part, in sectors; a file may have grown by a write that is not there. Creations, removals and truncations are as unsure.
func afterCut(rng *rand.Rand, log []record) map[string][]byte {
	im := &image{rng: rng, files: make(map[int]*content), names: make(map[string]int)}
	for _, r := range log {
		im.add(r)
	}
	for _, r := range im.moves {
		if rng.IntN(2) == 0 {
			im.move(r)
		}
	}
	files := make(map[string][]byte)
	for name, id := range im.names {
		f := im.files[id]
		for _, p := range f.pending {
			im.leave(f, p.record)
		}
		files[name] = f.sure
	}
	return files
}

func (im *image) add(r record) {
	switch r.what {
	case created:
		im.files[r.file] = new(content)
		im.moves = append(im.moves, r)
	case removed:
		im.moves = append(im.moves, r)
	case syncedDir:
		for _, r := range im.moves {
			im.move(r)
		}
		im.moves = nil
	case wrote, truncated:
		f := im.files[r.file]
		f.pending = append(f.pending, pending{record: r})
	case synced:
		f := im.files[r.file]
		for _, p := range f.pending {
			if p.lost {
				im.leave(f, p.record)
			} else {
				f.apply(p.record)
			}
		}
		f.pending = nil
	case syncFailed:
		f := im.files[r.file]
		for i := range f.pending {
			f.pending[i].lost = true
		}
	}
}

func (im *image) move(r record) {
	switch {
	case r.what == created:
		im.names[r.name] = r.file
	case im.names[r.name] == r.file:
		delete(im.names, r.name)
	}
}

const sector = 512

// leave decides what becomes of something that was not synced.
func (im *image) leave(f *content, r record) {
	kept := im.rng.IntN(2) == 0
	switch end := r.at + int64(len(r.data)); {
	case r.what == wrote && im.rng.IntN(3) == 0:
		for at := r.at; at < end; {
			next := min(end, at/sector*sector+sector)
			if im.rng.IntN(2) == 0 {
				f.apply(record{what: wrote, at: at, data: r.data[at-r.at : next-r.at]})
			}
			at = next
		}
	case kept:
		f.apply(r)
	case r.what == wrote && end > int64(len(f.sure)) && im.rng.IntN(2) == 0:
		before := len(f.sure)
		f.apply(record{what: truncated, at: end})
		if im.rng.IntN(2) == 0 { // what the disk had there before
			for i := range f.sure[before:] {
				f.sure[before+i] = byte(im.rng.Uint32())
			}
		}
	}
}

// apply does what r tells.
func (f *content) apply(r record) {
	size := r.at
	if r.what == wrote {
		size = max(int64(len(f.sure)), r.at+int64(len(r.data)))
	}
	if grow := size - int64(len(f.sure)); grow > 0 {
		f.sure = append(f.sure, make([]byte, grow)...)
	}
	f.sure = f.sure[:size]
	copy(f.sure[r.at:], r.data)
}

// everything returns the files as those see them who use the disk: all that was done, synced or not.
func everything(log []record) map[string][]byte {
	byID := make(map[int]*content)
	names := make(map[string]int)
	for _, r := range log {
		switch r.what {
		case created:
			byID[r.file], names[r.name] = new(content), r.file
		case removed:
			delete(names, r.name)
		case wrote, truncated:
			byID[r.file].apply(r)
		}
	}
	files := make(map[string][]byte)
	for name, id := range names {
		files[name] = byID[id].sure
	}
	return files
}

// logOf is the log of a disk that has these files for sure.
func logOf(files map[string][]byte) (log []record) {
	for i, name := range slices.Sorted(maps.Keys(files)) {
		log = append(log,
			record{what: created, name: name, file: i + 1},
			record{what: wrote, name: name, file: i + 1, data: files[name]},
			record{what: synced, name: name, file: i + 1})
	}
	return append(log, record{what: syncedDir})
}

func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
