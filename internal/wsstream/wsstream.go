// Package wsstream makes a stream of messages of a WebSocket, for both ends.
package wsstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/zim-go/zim/internal/mux"
)

// Subprotocol is what both ends agree on in the handshake.
const Subprotocol = "zim.v1"

const (
	// writeTimeout is how long the other side may take to accept a message.
	writeTimeout = 10 * time.Second
	// closeTimeout is how long the other side may take to answer that the stream is closed.
	closeTimeout = 5 * time.Second
)

// Stream implements [mux.Stream].
type Stream struct {
	conn    *websocket.Conn
	raw     net.Conn      // under conn; nil at the client's end
	silence time.Duration // how long the other side may send nothing; zero: as long as it likes
	silent  *time.Timer   // nil without such a limit
	stuck   *time.Timer   // for a message that is being written

	wasSilent atomic.Bool
}

// ErrSilent is why a stream ended on which nothing came for too long.
var ErrSilent = errors.New("wsstream: nothing came for too long")

// Accept makes a Stream of a request for a WebSocket, or answers w and returns why not. The stream reads messages of up to
// limit bytes. If silence isn't zero, it ends after that time without a message. The options' subprotocol and compression
// are set by Accept.
func Accept(w http.ResponseWriter, r *http.Request, options websocket.AcceptOptions, limit int, silence time.Duration) (*Stream, error) {
	options.Subprotocols = []string{Subprotocol}
	options.CompressionMode = websocket.CompressionDisabled
	h := &hijacker{ResponseWriter: w}
	conn, err := websocket.Accept(h, r, &options)
	if err != nil {
		return nil, fmt.Errorf("wsstream: %w", err)
	}
	s := New(conn, limit, silence)
	s.raw = h.conn
	if conn.Subprotocol() != Subprotocol {
		s.Close(int(websocket.StatusPolicyViolation), "the subprotocol must be "+Subprotocol)
		return nil, errors.New("wsstream: the client does not speak " + Subprotocol)
	}
	return s, nil
}

// A hijacker gets to know the connection that a handler takes over.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}

// New makes a Stream of the client's end of conn, which it owns from now on. limit and silence are those of [Accept].
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
	if err != nil {
		return s.readError(err)
	}
	if typ != websocket.MessageBinary {
		return mux.ErrText
	}
	if s.silent != nil {
		s.silent.Reset(s.silence)
	}
	b := buffers.Get().(*[]byte)
	msg, err := readAll(r, (*b)[:0])
	if err != nil {
		err = s.readError(err)
	} else {
		err = use(msg)
	}
	if cap(msg) <= maxPooled {
		*b = msg
		buffers.Put(b)
	}
	return err
}

func (s *Stream) readError(err error) error {
	if s.wasSilent.Load() {
		return ErrSilent
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
	if s.raw != nil {
		// The library waits a few seconds for the other side's close frame, but for good for the rest of a message that comes
		// instead, and it can't be interrupted then.
		s.raw.SetReadDeadline(time.Now().Add(closeTimeout))
	}
	return s.conn.Close(websocket.StatusCode(status), reason)
}
