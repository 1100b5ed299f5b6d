package bench_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// NATS is what a program would take that needs messages and nothing of a messenger. Its server runs in this process, as ours does, with the options that
// it has by itself; each sender and each receiver has a connection over loopback.
type natsServer struct {
	b        testing.TB
	server   *server.Server
	senders  []*nats.Conn
	counters []counter
	closing  []func() // before the server is shut down
}

func startNATS(b testing.TB, pairs int, stored bool) *natsServer {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: stored, StoreDir: b.TempDir(),
	})
	if err != nil {
		b.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		b.Fatal("the NATS server is not ready")
	}
	s := &natsServer{b: b, server: srv, counters: make([]counter, pairs)}
	for range pairs {
		s.senders = append(s.senders, s.connect())
	}
	return s
}

func (s *natsServer) connect() *nats.Conn {
	c, err := nats.Connect(s.server.ClientURL())
	if err != nil {
		s.b.Fatal(err)
	}
	s.closing = append(s.closing, c.Close)
	return c
}

func (s *natsServer) received(pair int) *counter { return &s.counters[pair] }

func (s *natsServer) close() {
	for _, f := range s.closing {
		f()
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

func subject(pair int) string { return "peer." + strconv.Itoa(pair) }

// Requests go to the receiver, which answers them itself. Nothing is stored.
type requests struct{ *natsServer }

func newRequests(b testing.TB, pairs int) system {
	s := startNATS(b, pairs, false)
	for i := range pairs {
		receiver := s.connect()
		_, err := receiver.Subscribe(subject(i), func(m *nats.Msg) {
			s.counters[i].add(1)
			if err := m.Respond(nil); err != nil {
				b.Error(err)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := receiver.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	return requests{s}
}

func (s requests) drive(pair, n, window int, payload []byte, acked func(time.Duration)) {
	call(s.b, n, window, acked, func() error {
		_, err := s.senders[pair].Request(subject(pair), payload, time.Minute)
		return err
	})
}

// A stream keeps messages in files, which it writes before it acknowledges and syncs every two minutes, and pushes them to an ordered consumer of each
// receiver.
type stream struct {
	*natsServer
	publishers []jetstream.JetStream
}

func newStream(b testing.TB, pairs int) system {
	s := &stream{natsServer: startNATS(b, pairs, true)}
	ctx := context.Background()
	for i := range pairs {
		js, err := jetstream.New(s.senders[i])
		if err != nil {
			b.Fatal(err)
		}
		s.publishers = append(s.publishers, js)
	}
	_, err := s.publishers[0].CreateStream(ctx, jetstream.StreamConfig{Name: "PEER", Subjects: []string{"peer.>"}, Storage: jetstream.FileStorage})
	if err != nil {
		b.Fatal(err)
	}
	var consumers []func()
	for i := range pairs {
		js, err := jetstream.New(s.connect())
		if err != nil {
			b.Fatal(err)
		}
		c, err := js.OrderedConsumer(ctx, "PEER", jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject(i)}})
		if err != nil {
			b.Fatal(err)
		}
		running, err := c.Consume(func(jetstream.Msg) { s.counters[i].add(1) })
		if err != nil {
			b.Fatal(err)
		}
		consumers = append(consumers, func() {
			running.Stop()
			<-running.Closed()
		})
	}
	s.closing = append(consumers, s.closing...)
	return s
}

// drive publishes without waiting; a goroutine for each message waits for its acknowledgment.
func (s *stream) drive(pair, n, window int, payload []byte, acked func(time.Duration)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, window)
	for range n {
		slots <- struct{}{}
		start := time.Now()
		f, err := s.publishers[pair].PublishAsync(subject(pair), payload)
		if err != nil {
			s.b.Error(err)
			break
		}
		wg.Go(func() {
			select {
			case <-f.Ok():
				acked(time.Since(start))
			case err := <-f.Err():
				s.b.Error(err)
			}
			<-slots
		})
	}
	wg.Wait()
}
