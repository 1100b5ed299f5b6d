package wsstream_test

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/internal/wsstream"
)

// Whatever bytes a client sends after the handshake: the server reads messages within the limit, nothing of one that is beyond it, and is
// rid of the client once that hangs up.
func FuzzMessages(f *testing.F) {
	for _, b := range [][]byte{
		nil, {binaryFrame}, frame(binaryFrame, 2, "hi"), frame(binaryFrame, 101, "x"), frame(textFrame, 2, "{}"), frame(0x02, 1, "a"), frame(0x80, 1, "b"),
		append(frame(0x02, 60, string(make([]byte, 60))), frame(0x80, 60, string(make([]byte, 60)))...), frame(0x88, 1, "x"), frame(0x88, 0, ""),
		frame(0x89, 126, "x"), frame(0x83, 0, ""), frame(binaryFrame|0x40, 1, "x"), {binaryFrame, 1, 'x'}, {binaryFrame, 0xff, 0x7f, 0xff, 0xff, 0xff},
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			var got [][]byte
			l := serve(t, func(s *wsstream.Stream) {
				for s.ReadMessage(func(msg []byte) error {
					got = append(got, bytes.Clone(msg))
					return nil
				}) == nil {
				}
			})
			conn, r, _ := upgrade(t, l, subprotocol)
			go io.Copy(io.Discard, r)
			conn.SetWriteDeadline(time.Now().Add(time.Minute))
			conn.Write(b)
			conn.Close()
			l.Close()
			synctest.Wait()
			total := 0
			for _, msg := range got {
				if total += len(msg); len(msg) > limit {
					t.Errorf("got a message of %d bytes, the limit is %d", len(msg), limit)
				}
			}
			if total > len(b) {
				t.Errorf("got %d bytes of %d", total, len(b))
			}
		})
	})
}
