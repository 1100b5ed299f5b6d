package zim_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A doubtful transport is a faketransport whose service knows no message again: it never learns what became of a send.
type doubtful struct {
	*faketransport.Transport
	sends atomic.Int32
}

func (d *doubtful) Dial(ctx context.Context) (transport.Conn, error) {
	conn, err := d.Transport.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return doubtfulConn{conn, d}, nil
}

type doubtfulConn struct {
	transport.Conn
	d *doubtful
}

func (c doubtfulConn) RoundTrip(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	if req.GetSendMessage() == nil {
		return c.Conn.RoundTrip(ctx, req)
	}
	c.d.sends.Add(1)
	return nil, fmt.Errorf("timed out: %w", transport.ErrOutcomeUnknown)
}

// A message whose transport says that its outcome is unknown ends so at once, and is not sent again: neither when the connection is lost, nor
// from the outbox of durable messages.
func TestOutcomeUnknownToTheTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &doubtful{Transport: faketransport.New(t)}
		z, err := zim.New(zim.AppConfig{AppID: 1, Transport: d, OutboxDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Destroy)
		var told []error
		zim.On(z, func(_ context.Context, e *zim.MessageSentStatusChanged) {
			for _, info := range e.Infos {
				told = append(told, info.Err)
			}
		})
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = z.SendMessage(t.Context(), &zim.TextMessage{Message: "a"}, zim.Peer("bob"), nil)
		if !errors.Is(err, zim.ErrOutcomeUnknown) || zim.CodeOf(err) != zim.ErrCommonIMServerDisconnect || time.Since(start) != 0 {
			t.Errorf("after %v: %v, want an unknown outcome at once", time.Since(start), err)
		}
		if _, err = z.SendMessage(t.Context(), &zim.TextMessage{Message: "b"}, zim.Peer("bob"), &zim.MessageSendConfig{Durable: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		d.Drop()
		time.Sleep(time.Minute)
		if n := d.sends.Load(); n != 2 {
			t.Errorf("2 messages were sent %d times", n)
		}
		if len(told) != 2 || !errors.Is(told[0], zim.ErrOutcomeUnknown) || !errors.Is(told[1], zim.ErrOutcomeUnknown) {
			t.Errorf("told %v, want two unknown outcomes", told)
		}
	})
}
