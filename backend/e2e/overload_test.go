package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport"
	"github.com/zim-go/zim/wire"
)

// A try is one request of the overload: when it was made, and what came of it.
type try struct {
	at, took time.Duration // since the beginning
	what     string
	id       string // of a message that was acknowledged
	err      error
}

// A storm is a crowd that asks for more than there is time for.
type storm struct {
	t     *testing.T
	srv   *zimtest.Server
	start time.Time
	crowd []*zim.ZIM
	calls sync.WaitGroup

	mu    sync.Mutex
	tries []try // guarded by mu
	beats []time.Duration
}

// do makes a request, and does not wait for it.
func (s *storm) do(what string, f func() (id string, err error)) {
	s.calls.Go(func() {
		at := time.Since(s.start)
		id, err := f()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tries = append(s.tries, try{at, time.Since(s.start) - at, what, id, err})
	})
}

// send sends a message of the i-th member of the crowd.
func (s *storm) send(i, n int) {
	z := s.crowd[i%len(s.crowd)]
	s.do("message", func() (string, error) {
		m, err := z.SendMessage(s.t.Context(), &zim.TextMessage{Message: fmt.Sprint(n)}, zim.Peer(fmt.Sprint("receiver", n%10)), nil)
		if err != nil {
			return "", err
		}
		return m.ID, nil
	})
}

// probe tries what else there is to be refused.
func (s *storm) probe(n int) {
	z := s.crowd[n%len(s.crowd)]
	s.do("barrage", func() (string, error) {
		_, err := z.SendMessage(s.t.Context(), &zim.BarrageMessage{Message: "x"}, zim.Room("r"), nil)
		return "", err
	})
	s.do("command", func() (string, error) {
		_, err := z.SendMessage(s.t.Context(), &zim.CommandMessage{Message: []byte("x")}, zim.Peer("receiver0"), nil)
		return "", err
	})
	s.do("query", func() (string, error) {
		_, err := z.QueryConversationTotalUnreadMessageCount(s.t.Context(), zim.ConversationTotalUnreadMessageCountQueryConfig{})
		return "", err
	})
	s.do("login", func() (string, error) {
		z := newZIM(s.t, s.srv.InProcess())
		defer z.Destroy()
		return "", z.Login(s.t.Context(), fmt.Sprint("newcomer", n), &zim.LoginConfig{Token: s.srv.Token(fmt.Sprint("newcomer", n))})
	})
}

// during returns the tries of a kind that began in a time, and how many of them were refused.
func (s *storm) during(what string, from, to time.Duration) (list []try, refused int) {
	for _, try := range s.tries {
		if try.what != what || try.at < from || try.at >= to {
			continue
		}
		if list = append(list, try); try.err != nil {
			refused++
		}
	}
	return list, refused
}

// A beatingDialer notes how long heartbeats take.
type beatingDialer struct {
	transport.Dialer
	storm *storm
}

func (d *beatingDialer) Dial(ctx context.Context) (transport.Conn, error) {
	c, err := d.Dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &beatingConn{c.(transport.Pipeline), d.storm}, nil
}

type beatingConn struct {
	transport.Pipeline
	storm *storm
}

func (c *beatingConn) Start(req *wire.Request, done func(*wire.Response, error)) {
	if req.GetHeartbeat() == nil {
		c.Pipeline.Start(req, done)
		return
	}
	start := time.Now()
	c.Pipeline.Start(req, func(resp *wire.Response, err error) {
		if err == nil && resp.Error == nil {
			c.storm.mu.Lock()
			c.storm.beats = append(c.storm.beats, time.Since(start))
			c.storm.mu.Unlock()
		}
		done(resp, err)
	})
}

// A crowd asks for four times as much as there is time for. What is taken is done soon, the rest is refused at once, and when the crowd
// calms down all is well again.
func TestOverload(t *testing.T) {
	report := tier.Begin(t, "overload")
	const (
		cost     = 4 * time.Millisecond
		capacity = int(time.Second / cost) // messages in a second
		clients  = 20
		calm     = 2 * time.Second
		after    = 12 * time.Second
	)
	long := time.Duration(tier.Pick(5, 60)) * time.Second
	synctest.Test(t, func(t *testing.T) {
		var st *store.Store
		srv := zimtest.NewServer(t, &zimtest.Options{App: boundless, StoreCost: cost, Config: func(c *backend.Config) {
			st = c.Store
			c.HeartbeatInterval, c.MaxDelay = time.Second, 500*time.Millisecond
		}})
		for i := range 10 {
			srv.Register(fmt.Sprint("receiver", i))
		}
		s := &storm{t: t, srv: srv}
		var seen []*[]string
		for i := range clients {
			dialer := []transport.Dialer{srv.InProcess(), srv.WebSocket()}[i%2]
			z := newFastZIM(t, &beatingDialer{dialer, s})
			seen = append(seen, states(z))
			login(t, srv, z, fmt.Sprint("sender", i))
			if _, err := z.EnterRoom(t.Context(), zim.RoomInfo{RoomID: "r"}, nil); err != nil {
				t.Fatal(err)
			}
			s.crowd = append(s.crowd, z)
		}
		s.start = time.Now()
		n := 0
		// Open loop: nobody waits for what came of the request before.
		load := func(length time.Duration, perSecond int) {
			const tick = 20 * time.Millisecond
			for i := range int(length / tick) {
				for range perSecond * int(tick) / int(time.Second) {
					s.send(n, n)
					n++
				}
				if i%10 == 0 {
					s.probe(i)
				}
				time.Sleep(tick)
			}
		}
		load(calm, capacity*6/10)
		load(long, capacity*4)
		load(after, capacity*6/10)
		s.calls.Wait()
		synctest.Wait()

		var acked, took []string
		var latencies []time.Duration
		goodput := 0
		steady, end := calm+time.Second, calm+long
		for _, try := range s.tries {
			var e *zim.Error
			switch {
			case try.err != nil && (!errors.As(try.err, &e) || e.Code != zim.ErrCommonTriggerServerFrequencyLimit || e.RetryAfter < time.Second ||
				errors.Is(try.err, zim.ErrOutcomeUnknown)):
				t.Errorf("a %s was refused with %v", try.what, try.err)
			case try.err != nil && try.took > 50*time.Millisecond:
				took = append(took, fmt.Sprint(try.what, " ", try.took))
			case try.what == "message" && try.err == nil:
				acked = append(acked, try.id)
				if try.at >= calm && try.at < end {
					latencies = append(latencies, try.took)
				}
				if done := try.at + try.took; done >= calm && done < end {
					goodput++
				}
			}
		}
		if len(took) > 0 {
			t.Errorf("refusals took long: %v", took[:min(len(took), 10)])
		}
		slices.Sort(latencies)
		p99 := latencies[len(latencies)*99/100]
		share := float64(goodput) / (float64(capacity) * long.Seconds())
		if share < 0.8 {
			t.Errorf("%.2f of the capacity did something good, want 0.8", share)
		}
		if p99 > time.Second {
			t.Errorf("of the messages that were taken, 99 %% were acknowledged within %v, want a second", p99)
		}
		refused := map[string]float64{}
		last := 0.0
		for _, what := range []string{"message", "login", "query", "command", "barrage"} {
			list, n := s.during(what, steady, end)
			refused[what] = float64(n) / float64(len(list))
			if refused[what] < last {
				t.Errorf("of %q, %.2f were refused, fewer than of what matters more: %v", what, refused[what], refused)
			}
			last = refused[what]
			if _, n := s.during(what, 0, calm); n > 0 {
				t.Errorf("%d of %q were refused before there was too much to do", n, what)
			}
		}
		if refused["barrage"] < 1 || refused["message"] > 0.8 {
			t.Errorf("refused were %v, want all barrages and no more messages than there is no time for", refused)
		}
		normal := time.Duration(0) // when all was as before
		for _, try := range s.tries {
			if try.at >= end && (try.err != nil || try.took > 100*time.Millisecond) {
				normal = max(normal, try.at+try.took-end)
			}
		}
		if normal > 10*time.Second {
			t.Errorf("it was as before only %v after the overload", normal)
		}
		for i, list := range seen {
			if !slices.Equal(*list, []string{"1,1", "2,0"}) {
				t.Errorf("client %d lost its connection: %v", i, *list)
			}
		}
		if want := int((long + calm + after).Seconds()) * clients * 9 / 10; len(s.beats) < want || slices.Max(s.beats) > 100*time.Millisecond {
			t.Errorf("%d heartbeats were answered, within %v; want %d within 100ms", len(s.beats), slices.Max(s.beats), want)
		}
		kept := storedIDs(t, st, 10)
		lost := 0
		for _, id := range acked {
			if !kept[id] {
				lost++
			}
		}
		if lost > 0 || len(kept) != len(acked) {
			t.Errorf("of %d messages that were acknowledged, %d are lost; %d are stored", len(acked), lost, len(kept))
		}
		report(map[string]any{
			"seconds": long.Seconds(), "offered": 4, "messages": n, "acked": len(acked), "goodput": share, "accepted_p99_ms": p99.Milliseconds(),
			"refused": refused, "normal_after_ms": normal.Milliseconds(), "heartbeat_max_ms": slices.Max(s.beats).Milliseconds(),
			"lost": lost, "heartbeats": len(s.beats),
		})
	})
}

// storedIDs returns the IDs of the messages in the feeds of the receivers.
func storedIDs(t *testing.T, st *store.Store, receivers int) map[string]bool {
	t.Helper()
	list := make(map[string]bool)
	err := st.View(t.Context(), func(tx *store.Tx) error {
		for i := range receivers {
			u, err := tx.User(zimtest.AppID, fmt.Sprint("receiver", i))
			if err != nil {
				return err
			}
			for at := uint32(0); ; {
				events, err := tx.Events(u, at, 1000, 1<<20)
				if err != nil {
					return err
				}
				if len(events) == 0 {
					break
				}
				for _, e := range events {
					list[fmt.Sprint(e.Message.ID)] = true
					at = e.Seq
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
