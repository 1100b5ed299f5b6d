package bench_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/wire"
)

const messages = 100_000 // in the conversation whose history is read

// BenchmarkHistoryPage reads pages of 100 messages out of 100 000: at the end of the conversation, in the middle, and at its beginning. The limit is an
// HTTP request for as many bytes.
func BenchmarkHistoryPage(b *testing.B) {
	url, stop := startBackend(b, fill)
	defer stop()
	z := login(b, url, "alice")
	defer z.Destroy()
	ctx := context.Background()
	for _, at := range []struct {
		name string
		next *zim.Message
	}{{"end", nil}, {"middle", &zim.Message{Seq: messages / 2, OrderKey: 1}}, {"beginning", &zim.Message{Seq: 101, OrderKey: 1}}} {
		b.Run(at.name, func(b *testing.B) {
			compareQuery(b, 100*(size+60), func() {
				list, err := z.QueryHistoryMessage(ctx, zim.Peer("bob"), zim.MessageQueryConfig{NextMessage: at.next, Count: 100, Reverse: true})
				if err != nil || len(list) != 100 {
					b.Fatal(len(list), err)
				}
			})
		})
	}
}

// BenchmarkConversationList reads all of a list of 1 000 conversations, in pages of 100. The limit is HTTP requests for as many bytes.
func BenchmarkConversationList(b *testing.B) {
	url, stop := startBackend(b, fill)
	defer stop()
	z := login(b, url, "carol")
	defer z.Destroy()
	compareQuery(b, 1000*(size+100), func() {
		n := 0
		for _, err := range z.Conversations(context.Background(), zim.ConversationFilterOption{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 1000 {
			b.Fatalf("got %d conversations", n)
		}
	})
}

// fill stores the messages of alice and bob, and carol's conversations with a thousand users.
func fill(st *store.Store) error {
	text, err := proto.Marshal(&wire.TextContent{Message: strings.Repeat("abcdefghijklmnop", size/16)})
	if err != nil {
		return err
	}
	send := func(tx *store.Tx, from, to string, n int) error {
		a, err := tx.Register(appID, from, "")
		if err != nil {
			return err
		}
		b, err := tx.Register(appID, to, "")
		if err != nil {
			return err
		}
		c, err := tx.PeerConversation(a, b)
		if err != nil {
			return err
		}
		id := fmt.Appendf(nil, "%016d", n)
		_, _, err = tx.AppendMessage(c, &store.Message{
			Sender: a, ClientID: id, Hash: id, Type: 1, Priority: 1, Content: text, Flags: store.FlagCounts,
		})
		return err
	}
	for done := 0; done < messages; done += 10_000 {
		err := st.Update(func(tx *store.Tx) error {
			for n := range 10_000 {
				if err := send(tx, "alice", "bob", done+n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return st.Update(func(tx *store.Tx) error {
		for n := range 3000 {
			if err := send(tx, fmt.Sprint("user", n%1000), "carol", n); err != nil {
				return err
			}
		}
		return nil
	})
}

// compareQuery holds the time of a query against that of an HTTP request for n bytes.
func compareQuery(b *testing.B, n int, query func()) {
	body := []byte(strings.Repeat("x", n))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	defer web.Close()
	limit := timed(b.N, func() {
		resp, err := web.Client().Get(web.URL)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	})
	query()
	took := timed(b.N, query)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took, "us/query")
	b.ReportMetric(limit, "limit-us")
	b.ReportMetric(took/limit, "x-limit")
}

// timed returns how many microseconds f takes on average.
func timed(n int, f func()) float64 {
	start := time.Now()
	for range n {
		f()
	}
	return float64(time.Since(start).Nanoseconds()) / 1e3 / float64(n)
}
