// Package wsstream makes a stream of messages of a WebSocket, for both ends.
package wsstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Subprotocol is what both ends agree on in the handshake.
const Subprotocol = "zim.v1"

// writeTimeout is how long the other side may take to accept a message.
const writeTimeout = 10 * time.Second

// Stream implements [github.com/zim-go/zim/internal/mux.Stream].
type Stream struct {
	conn    *websocket.Conn
	silence time.Duration // how long the other side may send nothing; zero: as long as it likes
	silent  *time.Timer   // nil without such a limit
	stuck   *time.Timer   // for a message that is being written

	wasSilent atomic.Bool
}

// ErrSilent is why a stream ended on which nothing came for too long.
var ErrSilent = errors.New("wsstream: nothing came for too long")

// New makes a Stream of conn, which it owns from now on. It reads messages of up to limit bytes. If silence isn't zero,
// the stream ends after that time without a message.
func New(conn *websocket.Conn, limit int, silence time.Duration) *Stream {
	s := &Stream{conn: conn, silence: silence}
	s.SetReadLimit(limit)
	s.stuck = time.AfterFunc(writeTimeout, func() { conn.CloseNow() })
	s.stuck.Stop()
	if silence > 0 {
		s.silent = time.AfterFunc(silence, func() {
			s.wasSilent.Store(true)
			conn.CloseNow()
		})
	}
	return s
}

// SetReadLimit sets how many bytes a message may have.
func (s *Stream) SetReadLimit(limit int) { s.conn.SetReadLimit(int64(limit)) }

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// A buffer beyond this size is left to the garbage collector.
const maxPooled = 128 << 10

// ReadMessage waits for a binary message and calls use with it.
func (s *Stream) ReadMessage(use func(msg []byte) error) error {
	// A context of the library's own would end the connection; what ends a read here is Close.
	typ, r, err := s.conn.Reader(context.Background())
	if err != nil && s.wasSilent.Load() {
		return ErrSilent
	}
	if err != nil {
		return err
	}
	if typ != websocket.MessageBinary {
		s.Close(int(websocket.StatusUnsupportedData), "binary messages only")
		return errors.New("wsstream: text message")
	}
	if s.silent != nil {
		s.silent.Reset(s.silence)
	}
	b := buffers.Get().(*[]byte)
	msg, err := readAll(r, (*b)[:0])
	if err == nil {
		err = use(msg)
	}
	if cap(msg) <= maxPooled {
		*b = msg
		buffers.Put(b)
	}
	return err
}

// readAll is io.ReadAll into a buffer that is already there.
func readAll(r io.Reader, b []byte) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// WriteMessage writes one binary message, or ends the stream if that takes too long.
func (s *Stream) WriteMessage(msg []byte) error {
	s.stuck.Reset(writeTimeout)
	err := s.conn.Write(context.Background(), websocket.MessageBinary, msg)
	if !s.stuck.Stop() && err == nil {
		err = fmt.Errorf("wsstream: the other side took longer than %v for a message", writeTimeout)
	}
	return err
}

// Close ends the stream: with a closing handshake of a few seconds at most if status isn't zero, else at once.
func (s *Stream) Close(status int, reason string) error {
	if s.silent != nil {
		s.silent.Stop()
	}
	s.stuck.Stop()
	if status == 0 {
		return s.conn.CloseNow()
	}
	return s.conn.Close(websocket.StatusCode(status), reason)
}
