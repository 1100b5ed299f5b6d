package mux

import (
	"errors"
	"runtime"
	"sync"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// ErrSlow is what adding a frame reports when the other side takes so little that too much waits for it.
var ErrSlow = errors.New("mux: the other side reads too slowly")

// A batch collects frames while the stream is busy and writes them together. Its goroutine exists only while there is
// something to write.
type batch struct {
	stream  Stream
	message int         // most bytes in one message, immutable
	failed  func(error) // called once, by the writing goroutine; must call stop; immutable
	writers sync.WaitGroup

	mu      sync.Mutex
	buf     []byte // guarded by mu; frames that wait
	writing bool   // guarded by mu
	err     error  // guarded by mu; why nothing can be added any more
	last    func() // guarded by mu; runs when all is written
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// A buffer beyond this size is left to the garbage collector.
const maxPooled = 128 << 10

func getBuffer() []byte { return (*buffers.Get().(*[]byte))[:0] }

func putBuffer(b []byte) {
	if b != nil && cap(b) <= maxPooled {
		buffers.Put(&b)
	}
}

// add encodes f and leaves it to the next write, unless more than limit bytes wait for that. f may be changed afterwards.
func (b *batch) add(f *wire.Frame, limit int) error {
	b.mu.Lock()
	if b.err != nil {
		b.mu.Unlock()
		return b.err
	}
	if len(b.buf) > limit {
		b.mu.Unlock()
		return ErrSlow
	}
	if b.buf == nil {
		b.buf = getBuffer()
	}
	mark := len(b.buf)
	buf, err := appendFrame(b.buf, f)
	if err != nil {
		b.buf = b.buf[:mark]
		b.mu.Unlock()
		return err
	}
	b.buf = buf
	start := !b.writing
	if start {
		b.writing = true
		b.writers.Add(1)
	}
	b.mu.Unlock()
	if start {
		go b.write()
	}
	return nil
}

// write writes until nothing waits.
func (b *batch) write() {
	defer b.writers.Done()
	var spare []byte
	for {
		// Everyone who is ready to add a frame does so before this goroutine's next turn: that makes batches.
		runtime.Gosched()
		b.mu.Lock()
		if len(b.buf) == 0 {
			b.writing = false
			idle, last := b.buf, b.last
			b.buf, b.last = nil, nil
			b.mu.Unlock()
			putBuffer(idle)
			putBuffer(spare)
			if last != nil {
				last()
			}
			return
		}
		out := b.buf
		b.buf = spare
		b.mu.Unlock()
		err := b.writeMessages(out)
		spare = out[:0]
		if err != nil {
			b.failed(err)
		}
	}
}

// writeMessages writes out in messages that the other side accepts.
func (b *batch) writeMessages(out []byte) error {
	for len(out) > b.message {
		n := 0
		for {
			_, rest, err := nextFrame(out[n:])
			if err != nil {
				return err
			}
			end := len(out) - len(rest)
			if n > 0 && end > b.message {
				break
			}
			if n = end; n == len(out) {
				break
			}
		}
		if err := b.stream.WriteMessage(out[:n]); err != nil {
			return err
		}
		out = out[n:]
	}
	if len(out) == 0 {
		return nil
	}
	return b.stream.WriteMessage(out)
}

// stop makes add fail with err from now on, and drops what waits.
func (b *batch) stop(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = nil
	if b.err == nil {
		b.err = err
	}
}

// finish makes add fail from now on, and calls last once what waits is written or dropped.
func (b *batch) finish(last func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = transport.ErrClosed
	}
	b.last = last
	if !b.writing {
		b.writing = true
		b.writers.Add(1)
		go b.write()
	}
}
