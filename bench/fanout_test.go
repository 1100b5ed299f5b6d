package bench_test

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zim-go/zim"
)

// One message to many who are online: what counts is a delivery, from the one call to each of the handlers.

func BenchmarkGroup100(b *testing.B) { compareFan(b, newGroup, 100) }
func BenchmarkGroup500(b *testing.B) { compareFan(b, newGroup, 500) }
func BenchmarkRoom1000(b *testing.B) { compareFan(b, newRoom, 1000) }

// compareFan measures b.N deliveries of one sender's messages, some of which are in flight together.
func compareFan(b *testing.B, start func(testing.TB, int) system, receivers int) {
	limit := measureFan(b, newRelayFan, receivers)
	f := measureFan(b, start, receivers)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(f.rate, "deliveries/s")
	b.ReportMetric(f.cpu, "cpu-us/delivery")
	b.ReportMetric(f.allocs, "allocs/delivery")
	b.ReportMetric(f.cpu/limit.cpu, "x-limit")
	b.ReportMetric(limit.cpu, "limit-cpu-us/delivery")
}

func measureFan(b *testing.B, start func(testing.TB, int) system, receivers int) figures {
	const window = 16
	s := start(b, receivers)
	defer s.close()
	payload := []byte(strings.Repeat("abcdefghijklmnop", size/16))
	sent := 0
	phase := func(n int) {
		s.drive(0, n, window, payload, func(time.Duration) {})
		sent += n * receivers
		if !s.received(0).await(sent) {
			b.Fatalf("not all of %d deliveries came", sent)
		}
	}
	n := max(b.N/receivers, 1)
	phase(n/10 + 1)
	runtime.GC()
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	c0, t0 := cpuTime(), time.Now()
	phase(n)
	wall, cpu := time.Since(t0), cpuTime()-c0
	runtime.ReadMemStats(&m1)
	total := float64(n * receivers)
	return figures{
		rate:   total / wall.Seconds(),
		cpu:    float64(cpu.Nanoseconds()) / 1e3 / total,
		allocs: float64(m1.Mallocs-m0.Mallocs) / total,
	}
}

// newGroup makes a group of a sender and receivers.
func newGroup(b testing.TB, receivers int) system {
	r, members := newFan(b, receivers, func(p []byte) zim.Content { return &zim.TextMessage{Message: string(p)} })
	ctx := context.Background()
	g, err := r.senders[0].CreateGroup(ctx, zim.GroupInfo{}, members[:min(receivers, 100)-1], nil)
	if err != nil {
		b.Fatal(err)
	}
	groupID := g.GroupInfo.BaseInfo.GroupID
	for left := members[min(receivers, 100)-1:]; len(left) > 0; left = left[min(len(left), 100):] {
		if _, err := r.senders[0].InviteUsersIntoGroup(ctx, left[:min(len(left), 100)], groupID); err != nil {
			b.Fatal(err)
		}
	}
	r.to = zim.Group(groupID)
	for _, z := range r.receivers {
		zim.On(z, func(_ context.Context, e *zim.GroupMessageReceived) { r.counters[0].add(len(e.Messages)) })
	}
	return r
}

// newRoom brings a sender and receivers into a room.
func newRoom(b testing.TB, receivers int) system {
	r, _ := newFan(b, receivers, func(p []byte) zim.Content { return &zim.BarrageMessage{Message: string(p)} })
	ctx := context.Background()
	info := zim.RoomInfo{RoomID: "room"}
	for _, z := range append(r.receivers[:receivers:receivers], r.senders[0]) {
		if _, err := z.EnterRoom(ctx, info, nil); err != nil {
			b.Fatal(err)
		}
	}
	r.to = zim.Room("room")
	for _, z := range r.receivers {
		zim.On(z, func(_ context.Context, e *zim.RoomMessageReceived) { r.counters[0].add(len(e.Messages)) })
	}
	return r
}

func newFan(b testing.TB, receivers int, content func([]byte) zim.Content) (*real, []string) {
	url, stop := startBackend(b)
	r := &real{b: b, content: content, counters: make([]counter, 1), stop: stop}
	r.senders = []*zim.ZIM{login(b, url, "sender0")}
	var members []string
	var wg sync.WaitGroup
	r.receivers = make([]*zim.ZIM, receivers)
	for i := range receivers {
		members = append(members, "receiver"+strconv.Itoa(i))
		wg.Go(func() { r.receivers[i] = login(b, url, members[i]) })
		if i%50 == 49 {
			wg.Wait()
		}
	}
	wg.Wait()
	return r, members
}
