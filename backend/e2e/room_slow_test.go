package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A receiver that is too slow for what the backend pushes, or whose handlers are, gets all messages nevertheless, in order and
// once, also if nothing is said afterwards.
func TestRoomSlowReceiver(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		for _, lost := range []int{1, 2, 30} {
			deaf := &deafDialer{Dialer: dialer}
			alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, deaf, "bob")
			room := fmt.Sprint("r", lost)
			alice.enter(t, room)
			bob.enter(t, room)
			var want []string
			say := func(text string) {
				t.Helper()
				alice.say(t, room, text)
				want = append(want, text)
			}
			say("first")
			synctest.Wait()
			deaf.skip(lost)
			for i := range lost {
				say(fmt.Sprint(i))
			}
			synctest.Wait()
			say("last")
			bob.heard(t, want...)
			bob.Destroy()
			alice.Destroy()
		}
	})
}

// A deafDialer can lose messages that were pushed.
type deafDialer struct {
	transport.Dialer
	mu    sync.Mutex
	count int
}

func (d *deafDialer) skip(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count = n
}

func (d *deafDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &deafConn{c.(transport.Pipeline), d}, nil
}

type deafConn struct {
	transport.Pipeline
	d *deafDialer
}

func (c *deafConn) Receive(ctx context.Context) (*wire.Push, error) {
	for {
		p, err := c.Pipeline.Receive(ctx)
		c.d.mu.Lock()
		lose := len(p.GetTransient()) > 0 && c.d.count > 0
		if lose {
			c.d.count--
		}
		c.d.mu.Unlock()
		if !lose {
			return p, err
		}
	}
}

// Handlers that are too slow for the messages of a room lose barrages, and nothing else that the room still keeps.
func TestRoomSlowHandler(t *testing.T) {
	onEach(t, &zimtest.Options{App: unlimited}, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		alice := visit(t, srv, dialer, "alice")
		z, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: dialer, EventBuffer: 16})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		bob := &visitor{ZIM: z}
		bob.watch()
		login(t, srv, z, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		synctest.Wait()
		release := make(chan struct{})
		zim.On(z, func(context.Context, *zim.RoomMemberJoined) { <-release })
		carol := visit(t, srv, dialer, "carol")
		carol.enter(t, "r")
		var want []string
		say := func(n int) {
			t.Helper()
			for range n {
				text := fmt.Sprint(len(want))
				alice.say(t, "r", text)
				want = append(want, text)
			}
		}
		say(300)
		for range 5 {
			if _, err := alice.SendMessage(ctx, &zim.BarrageMessage{Message: "lost"}, zim.Room("r"), nil); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
		say(100)
		synctest.Wait()
		close(release)
		time.Sleep(15 * time.Second) // a heartbeat finds that there is room
		bob.mu.Lock()
		if bob.dropped != 5 {
			t.Errorf("%d events were dropped, want the 5 barrages", bob.dropped)
		}
		bob.mu.Unlock()
		bob.heard(t, want...)

		// Beyond what the room keeps, the loss is told.
		release = make(chan struct{})
		zim.On(z, func(context.Context, *zim.RoomMemberLeft) { <-release })
		if err := carol.LeaveRoom(ctx, "r"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		want, bob.dropped = nil, 0
		say(1000)
		synctest.Wait()
		close(release)
		time.Sleep(15 * time.Second)
		bob.mu.Lock()
		lost := bob.dropped
		bob.mu.Unlock()
		kept := len(want) - lost
		if lost == 0 || kept < 500 {
			t.Errorf("%d of %d messages were lost", lost, len(want))
		}
		got := bob.texts()
		if len(got) != kept || !slices.Equal(got[:16-1], want[:16-1]) || !slices.Equal(got[len(got)-500:], want[500:]) {
			t.Errorf("%d messages came, %d were lost", len(got), lost)
		}
	})
}

// A client that does not read is told of the last message again, with a heartbeat, until it has it.
func TestRoomClientThatDoesNotRead(t *testing.T) {
	options := &zimtest.Options{App: freely, Config: func(c *backend.Config) { c.OfflineAfter = time.Hour }}
	onEach(t, options, func(t *testing.T, srv *zimtest.Server, dialer transport.Dialer) {
		ctx := t.Context()
		blocked := &blockedDialer{Dialer: dialer}
		alice, bob := visit(t, srv, dialer, "alice"), visit(t, srv, blocked, "bob")
		alice.enter(t, "r")
		bob.enter(t, "r")
		synctest.Wait()
		open := blocked.block()
		// More than an attachment or a socket holds.
		large := strings.Repeat("x", 2000)
		for range 5000 {
			if _, err := alice.SendMessage(ctx, &zim.CommandMessage{Message: []byte(large)}, zim.Room("r"), nil); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
			alice.say(t, "r", want[i])
		}
		synctest.Wait()
		open()
		time.Sleep(time.Minute)
		got := slices.DeleteFunc(bob.texts(), func(text string) bool { return text == large })
		if !slices.Equal(got, want) {
			t.Errorf("heard %q", got)
		}
		bob.saw(t, "r 1,6", "r 2,0")
	})
}

// A blockedDialer can keep clients from reading what is pushed, and the connection from being read.
type blockedDialer struct {
	transport.Dialer
	mu   sync.Mutex
	shut chan struct{}
}

func (d *blockedDialer) block() (open func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	shut := make(chan struct{})
	d.shut = shut
	return func() { close(shut) }
}

func (d *blockedDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &blockedConn{c.(transport.Pipeline), d}, nil
}

type blockedConn struct {
	transport.Pipeline
	d *blockedDialer
}

func (c *blockedConn) Receive(ctx context.Context) (*wire.Push, error) {
	p, err := c.Pipeline.Receive(ctx)
	c.d.mu.Lock()
	shut := c.d.shut
	c.d.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
		}
	}
	return p, err
}
