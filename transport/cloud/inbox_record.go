package cloud

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The log of an inbox is a header and frames, all numbers big-endian. The header has the magic with the version of the format in its last byte, a
// random mark, the size that the file had when it got its name, and the CRC-32C of all that. A frame is what one sync brought: the mark, the
// length of its body, the CRC-32C of length and body, and the body, which is records.
//
// A crash can spoil only the frame that was being written, which is the last one. What is damaged elsewhere has a frame behind it, or was there when the
// file got its name. Nobody knows the mark, so that no message can look like a frame.
const (
	logMagic        = "ZIMBOX\x00\x01"
	logMarkSize     = 8
	logHeaderSize   = len(logMagic) + logMarkSize + 8 + 4
	frameHeaderSize = logMarkSize + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A recordKind says what happened, and what a record's fields are.
type recordKind byte

const (
	recordUser     recordKind = 1 + iota // a user has a box: n is its epoch, m what was handled in it
	recordGone                           // the user has none any more
	recordEvent                          // id is the keys that name the event, n its number, m the time, data a wire.Event
	recordKeys                           // data is keys, each with its time
	recordDone                           // the events up to n were handled
	recordFollow                         // the user is in the group id
	recordUnfollow                       // the opposite
	recordCallback                       // id is a digest and the hash of the body, m the time, data the answer
	recordEnd                            // behind the last kind
)

// A record is a change of an inbox. Times are Unix milliseconds.
type record struct {
	kind     recordKind
	user, id string
	n, m     uint64
	data     []byte
}

func (r *record) append(b []byte) []byte {
	b = append(b, byte(r.kind))
	b = append(binary.AppendUvarint(b, uint64(len(r.user))), r.user...)
	b = append(binary.AppendUvarint(b, uint64(len(r.id))), r.id...)
	b = binary.AppendUvarint(binary.AppendUvarint(b, r.n), r.m)
	return append(binary.AppendUvarint(b, uint64(len(r.data))), r.data...)
}

var errRecord = errors.New("it has a record that this version can't read")

// cutRecord returns the first record of a body, and what is behind it. The record's data is part of b.
func cutRecord(b []byte) (r record, rest []byte, err error) {
	r.kind, b = recordKind(b[0]), b[1:]
	ok := r.kind > 0 && r.kind < recordEnd
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			ok = false
			return 0
		}
		b = b[size:]
		return n
	}
	field := func() []byte {
		n := number()
		if !ok || n > uint64(len(b)) {
			ok = false
			return nil
		}
		f := b[:n]
		b = b[n:]
		return f
	}
	r.user, r.id = string(field()), string(field())
	r.n, r.m, r.data = number(), number(), field()
	if !ok {
		return r, nil, errRecord
	}
	return r, b, nil
}

// sealHeader writes the header of a file into the room in front of what it has.
func sealHeader(file []byte, mark [logMarkSize]byte) {
	n := copy(file, logMagic)
	n += copy(file[n:], mark[:])
	binary.BigEndian.PutUint64(file[n:], uint64(len(file)))
	binary.BigEndian.PutUint32(file[n+8:], crc32.Checksum(file[:n+8], castagnoli))
}

// sealFrame writes the header of a frame into the room in front of its body.
func sealFrame(frame []byte, mark [logMarkSize]byte) {
	n := copy(frame, mark[:])
	binary.BigEndian.PutUint64(frame[n:], uint64(len(frame)-frameHeaderSize))
	binary.BigEndian.PutUint32(frame[n+8:], frameSum(frame))
}

func frameSum(frame []byte) uint32 {
	sum := crc32.Checksum(frame[logMarkSize:logMarkSize+8], castagnoli)
	return crc32.Update(sum, castagnoli, frame[frameHeaderSize:])
}

// cutFrame returns the body of the frame that b begins with, if it is whole.
func cutFrame(b, mark []byte) (body []byte, ok bool) {
	if len(b) < frameHeaderSize || !bytes.HasPrefix(b, mark) {
		return nil, false
	}
	n := binary.BigEndian.Uint64(b[logMarkSize:])
	if n > uint64(len(b)-frameHeaderSize) {
		return nil, false
	}
	b = b[:frameHeaderSize+int(n)]
	return b[frameHeaderSize:], binary.BigEndian.Uint32(b[logMarkSize+8:]) == frameSum(b)
}

// readLog calls each with the records of a log, until one fails. A last frame that is not whole was not synced, and is left out: nothing in it was
// acknowledged. It fails for what is damaged or of another version.
func readLog(log []byte, each func(*record) error) error {
	n := len(logMagic)
	switch {
	case len(log) < logHeaderSize:
		return errors.New("it is cut short")
	case string(log[:n-1]) != logMagic[:n-1]:
		return errors.New("it is no log of callbacks")
	case log[n-1] != logMagic[n-1]:
		return fmt.Errorf("its format has the version %d, this SDK knows %d", log[n-1], logMagic[n-1])
	case binary.BigEndian.Uint32(log[logHeaderSize-4:]) != crc32.Checksum(log[:logHeaderSize-4], castagnoli):
		return errors.New("its header is damaged")
	}
	mark, synced := log[n:n+logMarkSize], binary.BigEndian.Uint64(log[n+logMarkSize:])
	if synced > uint64(len(log)) {
		return errors.New("it is cut short")
	}
	for at := logHeaderSize; at < len(log); {
		body, ok := cutFrame(log[at:], mark)
		switch {
		case !ok && (uint64(at) < synced || hasFrame(log[at+1:], mark)):
			return fmt.Errorf("it is damaged at byte %d", at)
		case !ok:
			return nil
		}
		at += frameHeaderSize + len(body)
		for len(body) > 0 {
			var r record
			var err error
			if r, body, err = cutRecord(body); err == nil {
				err = each(&r)
			}
			if err != nil {
				return fmt.Errorf("before byte %d: %w", at, err)
			}
		}
	}
	return nil
}

// hasFrame reports whether there is a whole frame anywhere in b.
func hasFrame(b, mark []byte) bool {
	for {
		i := bytes.Index(b, mark)
		if i < 0 {
			return false
		}
		if _, ok := cutFrame(b[i:], mark); ok {
			return true
		}
		b = b[i+1:]
	}
}
