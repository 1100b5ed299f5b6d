package zim

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/internal/dirlock"
	"github.com/zim-go/zim/wire"
)

// An outboxDir is the directory of a user's durable messages. Each is a file whose name begins with a number that grows. Its methods do
// I/O and, but for claim and release, may be called concurrently.
type outboxDir struct {
	path string
	lock io.Closer // guarded by the turn of durables; nil unless the directory is claimed
}

const (
	outboxFileSuffix    = ".message"
	outboxDamagedSuffix = ".damaged"
	outboxTempSuffix    = ".tmp"

	// A file is a header and a SendMessageRequest. The header has, all big-endian: the magic with the version of the format in its last
	// byte, the Unix milliseconds of the SendMessage call, the length of the request, and the CRC-32C of all that and of the request.
	outboxMagic      = "ZIMOUT\x00\x01"
	outboxHeaderSize = len(outboxMagic) + 8 + 4 + 4
	// outboxFileLimit is more than any message has: see maxRequest.
	outboxFileLimit = 128 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newOutboxDir(base string, app uint32, userID string) *outboxDir {
	// In hex, for file systems to which some user IDs are the same, or no names.
	return &outboxDir{path: filepath.Join(base, fmt.Sprintf("%d-%x", app, userID))}
}

// claim makes the directory if there is none, and keeps others from it: it fails if another process or ZIM has it. What a crash left
// half-written is removed. If it is claimed already, claim does nothing.
func (d *outboxDir) claim() error {
	if d.lock != nil {
		return nil
	}
	err := dirlock.Make(d.path)
	if err != nil {
		return err
	}
	if d.lock, err = dirlock.Lock(filepath.Join(d.path, "lock")); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.path)
	if err == nil {
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), outboxTempSuffix) {
				err = errors.Join(err, os.Remove(filepath.Join(d.path, e.Name())))
			}
		}
	}
	if err != nil {
		d.release()
	}
	return err
}

// release lets others have the directory.
func (d *outboxDir) release() {
	if d.lock != nil {
		d.lock.Close()
		d.lock = nil
	}
}

// outboxFileName returns the name of the file of a message.
func outboxFileName(number uint64, id localID) string {
	return fmt.Sprintf("%020d-%x%s", number, id[:], outboxFileSuffix)
}

// parseOutboxFileName is the inverse of outboxFileName.
func parseOutboxFileName(name string) (number uint64, id localID, ok bool) {
	digits, hexID, ok := strings.Cut(strings.TrimSuffix(name, outboxFileSuffix), "-")
	if !ok || len(hexID) != hex.EncodedLen(len(id)) {
		return 0, id, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	if _, e := hex.Decode(id[:], []byte(hexID)); e != nil || err != nil {
		return 0, id, false
	}
	return number, id, outboxFileName(number, id) == name
}

// names returns the names of the files, in the order of their numbers.
func (d *outboxDir) names() ([]string, error) {
	entries, err := os.ReadDir(d.path) // sorted, and the numbers have 20 digits
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, _, ok := parseOutboxFileName(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// read returns what a file holds. It is longer than outboxFileLimit if the file is.
func (d *outboxDir) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(d.path, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, outboxFileLimit+1))
}

// write makes a file that is on the disk when write returns. If it fails, there is no such file.
func (d *outboxDir) write(name string, data []byte) error {
	path := filepath.Join(d.path, name)
	temp := path + outboxTempSuffix
	err := writeSynced(temp, data)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		if err = dirlock.Sync(d.path); err != nil {
			temp = path
		}
	}
	if err != nil {
		if e := os.Remove(temp); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// remove removes the file of a message that has ended. If the removal is not on the disk before a power cut, the message comes again,
// and ends again as it did.
func (d *outboxDir) remove(name string) error {
	err := os.Remove(filepath.Join(d.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// setAside renames a file that is damaged, and returns its new path.
func (d *outboxDir) setAside(name string) (string, error) {
	path := filepath.Join(d.path, name)
	return path + outboxDamagedSuffix, os.Rename(path, path+outboxDamagedSuffix)
}

// encodeOutboxFile returns the content of the file of a message.
func encodeOutboxFile(created time.Time, send *wire.SendMessageRequest) ([]byte, error) {
	data := make([]byte, outboxHeaderSize, outboxHeaderSize+proto.Size(send))
	data, err := proto.MarshalOptions{}.MarshalAppend(data, send)
	if err != nil {
		return nil, err
	}
	n := copy(data, outboxMagic)
	binary.BigEndian.PutUint64(data[n:], uint64(created.UnixMilli()))
	binary.BigEndian.PutUint32(data[n+8:], uint32(len(data)-outboxHeaderSize))
	binary.BigEndian.PutUint32(data[n+12:], outboxSum(data))
	return data, nil
}

// outboxSum returns the checksum of a file, without the one that it has.
func outboxSum(data []byte) uint32 {
	sum := crc32.Checksum(data[:outboxHeaderSize-4], castagnoli)
	return crc32.Update(sum, castagnoli, data[outboxHeaderSize:])
}

// decodeOutboxFile is the inverse of encodeOutboxFile. It fails for what is damaged, cut short, or of another version.
func decodeOutboxFile(data []byte, send *wire.SendMessageRequest) (created time.Time, err error) {
	n := len(outboxMagic)
	switch {
	case len(data) < outboxHeaderSize:
		return created, errors.New("it is cut short")
	case string(data[:n-1]) != outboxMagic[:n-1]:
		return created, errors.New("it is no durable message")
	case data[n-1] != outboxMagic[n-1]:
		return created, fmt.Errorf("its format has the version %d, this SDK knows %d", data[n-1], outboxMagic[n-1])
	case binary.BigEndian.Uint32(data[n+8:]) != uint32(len(data)-outboxHeaderSize):
		return created, errors.New("its length is wrong")
	case binary.BigEndian.Uint32(data[n+12:]) != outboxSum(data):
		return created, errors.New("its checksum is wrong")
	}
	ms := binary.BigEndian.Uint64(data[n:])
	return time.UnixMilli(int64(ms)), proto.Unmarshal(data[outboxHeaderSize:], send)
}
