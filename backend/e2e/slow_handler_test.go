package e2e_test

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/internal/faketransport"
	"github.com/zim-go/zim/wire"
)

// A spring is a feed that never runs dry: event n is the message "n". It keeps none of them.
type spring struct {
	mu   sync.Mutex
	last uint64 // guarded by mu; the events that exist
}

func (s *spring) flow(n int) *wire.Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.last + 1
	s.last += uint64(n)
	return &wire.Push{Events: waterOf(first, s.last)}
}

func (s *spring) position() *wire.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &wire.Position{Epoch: 1, Seq: s.last}
}

func waterOf(first, last uint64) *wire.EventBatch {
	batch := &wire.EventBatch{Epoch: 1, FirstSeq: first}
	for n := first; n <= last; n++ {
		e := faketransport.Text("bob", strconv.FormatUint(n, 10))
		e.Message.MessageId, e.Message.MessageSeq, e.Message.OrderKey = int64(n), int64(n), int64(n)
		batch.Events = append(batch.Events, e)
	}
	return batch
}

// answer answers like a service whose only feed is the spring.
func (s *spring) answer(req *wire.Request) *wire.Response {
	last := s.position()
	switch b := req.Body.(type) {
	case *wire.Request_Heartbeat:
		return &wire.Response{Body: &wire.Response_Heartbeat{Heartbeat: &wire.HeartbeatResponse{Last: last}}}
	case *wire.Request_Sync:
		after := b.Sync.After.Seq
		events := waterOf(after+1, min(last.Seq, after+uint64(b.Sync.Limit)))
		return &wire.Response{Body: &wire.Response_Sync{Sync: &wire.SyncResponse{Last: last, Events: events}}}
	}
	return nil
}

// A handler that takes a second for each event, while thousands come in a second, costs neither the connection nor memory nor a message: what
// the service can repeat comes in order once there is time, and the rest is counted.
func TestHandlerSlowerThanEvents(t *testing.T) {
	report := tier.Begin(t, "slow handler")
	const maxHeap = 16 << 20
	seconds, rate := tier.Pick(5, 60), tier.Pick(2000, 5000)
	var figures map[string]any
	synctest.Test(t, func(t *testing.T) {
		ft, s := faketransport.New(t), new(spring)
		ft.OnRequest(func(_ *faketransport.Conn, req *wire.Request) *wire.Response {
			if resp := s.answer(req); resp != nil {
				return resp
			}
			return ft.Answer(req)
		})
		z := newZIM(t, ft)
		seen := states(z)
		slow := make(chan struct{}) // closed when handlers are quick
		pause := func() {
			select {
			case <-slow:
			case <-time.After(time.Second):
			}
		}
		got, broadcasts, dropped, misplaced := 0, 0, 0, 0
		zim.On(z, func(_ context.Context, e *zim.PeerMessageReceived) {
			for _, m := range e.Messages {
				if got++; m.Content.(*zim.TextMessage).Message != strconv.Itoa(got) {
					misplaced++
				}
			}
			pause()
		})
		zim.On(z, func(context.Context, *zim.BroadcastMessageReceived) { broadcasts++; pause() })
		zim.On(z, func(_ context.Context, e *zim.EventsDropped) { dropped += e.Count })
		if err := z.Login(t.Context(), "alice", &zim.LoginConfig{Token: "04"}); err != nil {
			t.Fatal(err)
		}
		text, err := proto.Marshal(&wire.TextContent{Message: "to all"})
		if err != nil {
			t.Fatal(err)
		}
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, most, sent := heap(), uint64(0), 0
		for range seconds {
			for range 100 {
				ft.PushRaw(s.flow(rate / 100))
				ft.PushRaw(&wire.Push{Transient: []*wire.Message{{Type: 1, IsBroadcast: true, Content: text}}})
				sent++
				time.Sleep(10 * time.Millisecond)
			}
			most = max(most, heap())
		}
		close(slow)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got != seconds*rate || misplaced > 0 {
			t.Errorf("got %d messages, %d of them out of place, want %d", got, misplaced, seconds*rate)
		}
		if dropped == 0 || broadcasts+dropped != sent {
			t.Errorf("got %d broadcasts, and %d are told to be dropped; %d were sent", broadcasts, dropped, sent)
		}
		wantStates(t, seen, "1,1", "2,0")
		grown := int64(most) - int64(before)
		if grown > maxHeap {
			t.Errorf("the heap has grown by %d bytes, want at most %d", grown, maxHeap)
		}
		figures = map[string]any{"events": got, "events_per_s": rate, "broadcasts": broadcasts, "dropped": dropped, "heap_bytes": grown}
	})
	report(figures)
}
