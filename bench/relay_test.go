package bench_test

import (
	"context"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A relay is the limit: it passes frames on between WebSockets and acknowledges them, and does nothing else. It batches what
// waits, as the real thing does.
type relay struct {
	ctx        context.Context
	cancel     context.CancelFunc
	server     *httptest.Server
	links      []*relayLink
	registered sync.WaitGroup // all clients
}

// A frame of the relay: kind (0 message, 1 acknowledgment), length, ID, destination, payload.
const relayHead = 17

func relayFrame(kind byte, id uint64, dest uint32, payload []byte) []byte {
	b := make([]byte, relayHead, relayHead+len(payload))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(payload)))
	binary.BigEndian.PutUint64(b[5:], id)
	binary.BigEndian.PutUint32(b[13:], dest)
	return append(b, payload...)
}

func eachRelayFrame(msg []byte, f func(kind byte, id uint64, dest uint32, frame []byte)) {
	for len(msg) >= relayHead {
		n := relayHead + int(binary.BigEndian.Uint32(msg[1:]))
		f(msg[0], binary.BigEndian.Uint64(msg[5:]), binary.BigEndian.Uint32(msg[13:]), msg[:n])
		msg = msg[n:]
	}
}

type relayConn struct {
	conn *websocket.Conn
	out  chan []byte
}

func newRelayConn(ctx context.Context, conn *websocket.Conn) *relayConn {
	conn.SetReadLimit(1 << 20)
	c := &relayConn{conn, make(chan []byte, 1024)}
	go c.write(ctx)
	return c
}

func (c *relayConn) write(ctx context.Context) {
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-c.out:
			buf = append(buf[:0], f...)
		more:
			for len(buf) < 32<<10 {
				select {
				case f := <-c.out:
					buf = append(buf, f...)
				default:
					break more
				}
			}
			if c.conn.Write(ctx, websocket.MessageBinary, buf) != nil {
				return
			}
		}
	}
}

func (c *relayConn) read(ctx context.Context, f func(kind byte, id uint64, dest uint32, frame []byte)) {
	for {
		_, msg, err := c.conn.Read(ctx)
		if err != nil {
			return
		}
		eachRelayFrame(msg, f)
	}
}

// everybody is the destination of what goes to all receivers.
const everybody = 1<<32 - 1

// newRelay starts a relay with pairs of clients.
func newRelay(b testing.TB, pairs int) system {
	r, dial := startRelay(b, 2*pairs)
	for i := range pairs {
		l := &relayLink{sender: dial(2 * i), dest: uint32(2*i + 1), pending: map[uint64]func(){}}
		receiver := dial(2*i + 1)
		go l.sender.read(r.ctx, func(_ byte, id uint64, _ uint32, _ []byte) { l.acked(id) })
		go receiver.read(r.ctx, func(byte, uint64, uint32, []byte) { l.counter.add(1) })
		r.links = append(r.links, l)
	}
	r.registered.Wait()
	return r
}

// newRelayFan starts a relay with one sender and several receivers.
func newRelayFan(b testing.TB, receivers int) system {
	r, dial := startRelay(b, receivers+1)
	l := &relayLink{sender: dial(0), dest: everybody, pending: map[uint64]func(){}}
	go l.sender.read(r.ctx, func(_ byte, id uint64, _ uint32, _ []byte) { l.acked(id) })
	for i := range receivers {
		receiver := dial(i + 1)
		go receiver.read(r.ctx, func(byte, uint64, uint32, []byte) { l.counter.add(1) })
	}
	r.links = []*relayLink{l}
	r.registered.Wait()
	return r
}

// startRelay starts a relay, and returns what makes a client of it.
func startRelay(b testing.TB, clients int) (r *relay, dial func(id int) *relayConn) {
	ctx, cancel := context.WithCancel(context.Background())
	r = &relay{ctx: ctx, cancel: cancel}
	var mu sync.Mutex
	conns := make([]*relayConn, clients)
	r.registered.Add(clients)
	r.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		conn, err := websocket.Accept(rw, req, nil)
		if err != nil {
			return
		}
		id, _ := strconv.Atoi(req.URL.Query().Get("id"))
		c := newRelayConn(ctx, conn)
		mu.Lock()
		conns[id] = c
		mu.Unlock()
		r.registered.Done()
		c.read(ctx, func(_ byte, id uint64, dest uint32, f []byte) {
			if dest == everybody {
				for _, d := range conns[1:] {
					d.out <- f
				}
			} else {
				conns[dest].out <- f
			}
			c.out <- relayFrame(1, id, 0, nil)
		})
	}))
	return r, func(id int) *relayConn {
		conn, _, err := websocket.Dial(ctx, r.server.URL+"/?id="+strconv.Itoa(id), nil)
		if err != nil {
			b.Fatal(err)
		}
		return newRelayConn(ctx, conn)
	}
}

func (r *relay) close() {
	r.cancel()
	r.server.CloseClientConnections()
	r.server.Listener.Close()
}

type relayLink struct {
	sender  *relayConn
	dest    uint32
	counter counter

	mu      sync.Mutex
	last    uint64
	pending map[uint64]func()
}

func (l *relayLink) acked(id uint64) {
	l.mu.Lock()
	done := l.pending[id]
	delete(l.pending, id)
	l.mu.Unlock()
	done()
}

func (r *relay) received(pair int) *counter { return &r.links[pair].counter }

func (r *relay) drive(pair, n, window int, payload []byte, acked func(time.Duration)) {
	l := r.links[pair]
	slots := make(chan struct{}, window)
	for range n {
		slots <- struct{}{}
		start := time.Now()
		l.mu.Lock()
		l.last++
		id := l.last
		l.pending[id] = func() {
			acked(time.Since(start))
			<-slots
		}
		l.mu.Unlock()
		l.sender.out <- relayFrame(0, id, l.dest, payload)
	}
	for range window {
		slots <- struct{}{}
	}
}
