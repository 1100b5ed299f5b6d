package cloud

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A Sink is a Dialer for tests: its Conns have what callbacks bring, and send nothing.
type Sink struct {
	Service *Service

	mu    sync.Mutex
	conns []*sinkConn // guarded by mu
}

// Drop breaks the Conns that there are.
func (d *Sink) Drop() {
	d.mu.Lock()
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// Dial implements [transport.Dialer].
func (d *Sink) Dial(context.Context) (transport.Conn, error) {
	in, err := d.Service.openInbox()
	if err != nil {
		return nil, err
	}
	c := &sinkConn{in: in, ready: make(chan struct{}), closed: make(chan struct{})}
	d.mu.Lock()
	d.conns = append(d.conns, c)
	d.mu.Unlock()
	return c, nil
}

type sinkConn struct {
	in     *inbox
	ready  chan struct{} // closed at the login
	closed chan struct{}
	mu     sync.Mutex
	stream *stream // guarded by mu
}

func (c *sinkConn) RoundTrip(_ context.Context, req *wire.Request) (*wire.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if arrive := req.GetLogin(); arrive != nil {
		c.stream = c.in.attach(arrive.UserId)
		close(c.ready)
		at, last := c.stream.positions()
		return &wire.Response{Body: &wire.Response_Login{Login: &wire.LoginResponse{
			Position: at, Last: last, Reset_: c.stream.reset(arrive.Position), HeartbeatIntervalMs: 30_000,
		}}}, nil
	}
	if c.stream == nil {
		return nil, transport.ErrClosed
	}
	switch b := req.Body.(type) {
	case *wire.Request_Logout:
		c.stream.handled(b.Logout.Handled)
		return &wire.Response{Body: &wire.Response_Logout{Logout: &wire.LogoutResponse{}}}, nil
	case *wire.Request_Heartbeat:
		last := c.stream.handled(b.Heartbeat.Handled)
		return &wire.Response{Body: &wire.Response_Heartbeat{Heartbeat: &wire.HeartbeatResponse{Last: last}}}, nil
	case *wire.Request_Sync:
		return c.stream.sync(b.Sync), nil
	case *wire.Request_EnterRoom:
		c.stream.enterRoom(b.EnterRoom.Room.RoomId)
		return &wire.Response{Body: &wire.Response_EnterRoom{EnterRoom: &wire.EnterRoomResponse{Room: b.EnterRoom.Room}}}, nil
	case *wire.Request_LeaveRoom:
		c.stream.leaveRoom(b.LeaveRoom.RoomId)
		return &wire.Response{Body: &wire.Response_LeaveRoom{LeaveRoom: &wire.LeaveRoomResponse{RoomIds: []string{b.LeaveRoom.RoomId}}}}, nil
	case *wire.Request_Group:
		c.stream.leaveGroup(b.Group.GroupId)
		return &wire.Response{Body: &wire.Response_Group{Group: &wire.GroupResponse{}}}, nil
	case *wire.Request_QueryGroups:
		c.stream.followGroups("old")
		return &wire.Response{Body: &wire.Response_Groups{Groups: &wire.Groups{}}}, nil
	}
	return nil, errors.ErrUnsupported
}

func (c *sinkConn) Receive(ctx context.Context) (*wire.Push, error) {
	select {
	case <-c.ready:
	case <-c.closed:
		return nil, transport.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	st := c.stream
	c.mu.Unlock()
	return st.receive(ctx)
}

func (c *sinkConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	if c.stream != nil {
		c.stream.close()
	}
	return nil
}

// Waiting returns how many events wait for a user, and how many bytes for all.
func (s *Service) Waiting(userID string) (events, bytes int) {
	in := s.inbox()
	in.mu.Lock()
	defer in.mu.Unlock()
	if b := in.boxes[userID]; b != nil {
		events = len(b.events)
	}
	return events, in.bytes
}

// InRoom returns how many Conns are in a room.
func (s *Service) InRoom(roomID string) int {
	in := s.inbox()
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.rooms[roomID])
}

// Verify reports whether the callback in body is signed as it must be.
func Verify(s *Service, body string, now time.Time) bool {
	f, err := parseCallback([]byte(body))
	if err != nil {
		return false
	}
	_, ok := s.verify(f, now)
	return ok
}

// A Reader is a stream for fuzz tests.
type Reader struct{ st *stream }

// Attach returns a stream of a user who is in a group and in a room.
func (s *Service) Attach(userID, groupID, roomID string) *Reader {
	st := s.inbox().attach(userID)
	st.followGroups(groupID)
	st.enterRoom(roomID)
	return &Reader{st}
}

// Close closes the stream.
func (r *Reader) Close() { r.st.close() }

// Check fails the test unless what waits is encodable, and can be read and handled to the end.
func (r *Reader) Check(t *testing.T) {
	t.Helper()
	for {
		p, err := r.st.next()
		if err != nil {
			t.Fatal(err)
		}
		if p == nil {
			break
		}
		if _, err := proto.Marshal(p); err != nil {
			t.Errorf("%v can't be encoded: %v", p, err)
		}
	}
	_, last := r.st.positions()
	r.st.handled(last)
	if in := r.st.in; len(r.st.box.events) != 0 || in.bytes != 0 {
		t.Errorf("%d events, %d bytes are left, want none", len(r.st.box.events), in.bytes)
	}
}

// Texts returns what the messages say that wait.
func (r *Reader) Texts(t *testing.T) (texts []string) {
	t.Helper()
	for _, e := range r.st.sync(&wire.SyncRequest{}).GetSync().GetEvents().GetEvents() {
		m := e.GetMessage()
		if m == nil {
			m = e.GetEdited()
		}
		content := new(wire.TextContent)
		if err := proto.Unmarshal(m.GetContent(), content); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, content.Message)
	}
	return texts
}

// Handle handles that many events more.
func (r *Reader) Handle(n int) {
	at, last := r.st.positions()
	r.st.handled(&wire.Position{Epoch: at.Epoch, Seq: min(at.Seq+uint64(n), last.Seq)})
}
