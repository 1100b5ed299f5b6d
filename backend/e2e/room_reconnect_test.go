package e2e_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// While a room is being entered, nobody enters it a second time.
func TestRoomIsConnecting(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		held := &holdingDialer{Dialer: dialer}
		alice := visit(t, srv, held, "alice")
		release := held.hold()
		entered := make(chan error)
		go func() {
			_, err := alice.EnterRoom(ctx, zim.RoomInfo{RoomID: "r"}, nil)
			entered <- err
		}()
		synctest.Wait()
		_, err := alice.JoinRoom(ctx, "r")
		wantCode(t, "joining meanwhile", err, zim.ErrRoomTheRoomIsConnecting)
		wantCode(t, "leaving meanwhile", alice.LeaveRoom(ctx, "r"), zim.ErrRoomTheRoomIsConnecting)
		_, err = alice.SwitchRoom(ctx, "r", zim.RoomInfo{RoomID: "s"}, true, nil)
		wantCode(t, "switching meanwhile", err, zim.ErrRoomTheRoomIsConnecting)
		alice.saw(t, "r 1,6")
		release()
		if err := <-entered; err != nil {
			t.Error(err)
		}
		alice.saw(t, "r 2,0")
	})
}

// A holdingDialer can hold back the answers to those who enter rooms.
type holdingDialer struct {
	transport.Dialer
	mu   sync.Mutex
	held chan struct{}
}

func (d *holdingDialer) hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := make(chan struct{})
	d.held = held
	return func() { close(held) }
}

func (d *holdingDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &holdingConn{c.(transport.Pipeline), d}, nil
}

type holdingConn struct {
	transport.Pipeline
	d *holdingDialer
}

func (c *holdingConn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	resp, err := c.Pipeline.RoundTrip(ctx, req)
	c.d.mu.Lock()
	held := c.d.held
	c.d.mu.Unlock()
	if req.GetEnterRoom() != nil && held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return resp, err
}

// What happens in a room before the answer is there comes behind it.
func TestRoomEventsComeBehindTheEntry(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		held := &holdingDialer{Dialer: dialer}
		alice, bob, carol := visit(t, srv, dialer, "alice"), visit(t, srv, held, "bob"), visit(t, srv, dialer, "carol")
		alice.enter(t, "r")
		alice.say(t, "r", "before")
		release := held.hold()
		entered := make(chan error)
		go func() {
			_, err := bob.JoinRoom(ctx, "r")
			entered <- err
		}()
		synctest.Wait()
		alice.say(t, "r", "hello")
		carol.enter(t, "r")
		if _, err := alice.SendMessage(ctx, &zim.BarrageMessage{Message: "whee"}, zim.Room("r"), nil); err != nil {
			t.Error(err)
		}
		if _, err := srv.Backend().KickRoomMembers(zimtest.AppID, "r", "bob"); err != nil {
			t.Error(err)
		}
		bob.saw(t, "r 1,6")
		bob.heard(t)
		release()
		if err := <-entered; err != nil {
			t.Error(err)
		}
		bob.saw(t, "r 2,0", "r +carol", "r 0,8")
		bob.heard(t, "hello", "whee")
	})
}

// When nobody knows whether a room was entered, the user is not in it, for nobody.
func TestRoomEntryOfUnknownOutcome(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		gate := &gatedDialer{Dialer: dialer}
		held := &holdingDialer{Dialer: gate}
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, held, "bob")
		alice.enter(t, "r")
		alice.saw(t, "r 1,6", "r 2,0")
		release := held.hold()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := bob.JoinRoom(ctx, "r")
		wantCode(t, "a join that was given up", err, zim.ErrCanceled)
		bob.saw(t, "r 1,6", "r 0,7")
		alice.saw(t, "r +bob", "r -bob")

		// The connection breaks before the answer comes.
		failed := make(chan error)
		go func() {
			_, err := bob.JoinRoom(t.Context(), "r")
			failed <- err
		}()
		synctest.Wait()
		gate.shut(true)
		srv.Cut("bob")
		wantCode(t, "a join without an answer", <-failed, zim.ErrNetworkRequestTimeout)
		alice.saw(t, "r +bob")
		bob.saw(t, "r 1,6", "connection 3,3", "r 0,7")
		gate.shut(false)
		time.Sleep(5 * time.Second) // he comes back, and not into the room
		alice.saw(t, "r -bob")
		bob.saw(t)

		// Trying again at once is right.
		release()
		bob.enter(t, "r")
		time.Sleep(time.Minute)
		alice.saw(t, "r +bob")
		bob.saw(t, "r 1,6", "r 2,0")
	})
}

// A lost connection that comes back in time keeps the seat, and what was said meanwhile comes, in order and once.
func TestRoomReconnect(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		gate := &gatedDialer{Dialer: dialer}
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, gate, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		alice.saw(t, "r 1,6", "r 2,0", "r +bob")
		bob.saw(t, "r 1,6", "r 2,0")
		alice.say(t, "r", "hello")
		bob.say(t, "r", "hi")
		alice.say(t, "r", "still there?")
		bob.heard(t, "hello", "still there?")
		gate.shut(true)
		srv.Cut("bob")
		bob.saw(t, "connection 3,3", "r 1,1")
		_, err := bob.JoinRoom(t.Context(), "r")
		wantCode(t, "joining meanwhile", err, zim.ErrRoomTheRoomIsConnecting)
		if n, err := alice.QueryRoomOnlineMemberCount(t.Context(), "r"); n != 1 || err != nil {
			t.Errorf("%d members online, %v", n, err)
		}
		var want []string
		for i := range 250 { // more than one answer holds
			alice.say(t, "r", fmt.Sprint(i))
			want = append(want, fmt.Sprintf("(%d)", i))
		}
		if _, err := alice.SendMessage(t.Context(), &zim.BarrageMessage{Message: "lost"}, zim.Room("r"), nil); err != nil {
			t.Error(err)
		}
		time.Sleep(25 * time.Second)
		gate.shut(false)
		time.Sleep(2 * time.Second)
		bob.saw(t, "r 1,1", "r 2,0")
		bob.heard(t, want...)
		alice.saw(t)
		alice.say(t, "r", "welcome back")
		bob.heard(t, "welcome back")
		time.Sleep(time.Hour / 2)
		bob.heard(t)
		bob.saw(t)
		alice.saw(t)
		if n, err := alice.QueryRoomOnlineMemberCount(t.Context(), "r"); n != 2 || err != nil {
			t.Errorf("%d members online, %v", n, err)
		}
	})
}

// A seat is kept for 30 seconds.
func TestRoomSeatLost(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		gate := &gatedDialer{Dialer: dialer}
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, gate, "bob")
		bob.enter(t, "own")
		alice.enter(t, "r")
		bob.enter(t, "r")
		alice.saw(t, "r 1,6", "r 2,0", "r +bob")
		bob.saw(t, "own 1,6", "own 2,0", "r 1,6", "r 2,0")
		gate.shut(true)
		srv.Cut("bob")
		time.Sleep(29 * time.Second)
		alice.saw(t)
		// A room whose members are away lives on.
		_, err := alice.CreateRoom(t.Context(), zim.RoomInfo{RoomID: "own"}, nil)
		wantCode(t, "creating a room whose member is away", err, zim.ErrRoomTheRoomAlreadyExists)
		time.Sleep(2 * time.Second)
		alice.saw(t, "own 1,4", "own 0,5", "r -bob")
		gate.shut(false)
		time.Sleep(time.Minute)
		bob.saw(t, "connection 3,3", "own 1,1", "r 1,1", "own 1,1", "r 1,1", "own 0,3", "r 0,9")
		time.Sleep(time.Hour / 2)
		bob.saw(t) // nobody re-enters by itself
		bob.enter(t, "r")
		alice.saw(t, "r +bob")
	})
}

// A restart of the backend ends all rooms.
func TestRoomsAfterARestart(t *testing.T) {
	onEach(t, nil, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		alice := visit(t, srv, dialer, "alice")
		alice.enter(t, "r")
		srv.Restart()
		time.Sleep(time.Minute)
		alice.saw(t, "r 1,6", "r 2,0", "connection 3,3", "r 1,1", "r 1,1", "r 0,3")
		alice.enter(t, "r")
	})
}
