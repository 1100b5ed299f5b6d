package bench_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/store"
	"github.com/zim-go/zim/token"
	"github.com/zim-go/zim/transport/cloud"
)

const callbackSecret = token.Secret("callbacks of the benchmarks, 32 b")

// startCloud starts a backend with the Server API, and a bot on it, whose callbacks are kept in dir.
func startCloud(b *testing.B, dir string) (service *cloud.Service, bot *zim.ZIM, url string) {
	st, err := store.Open(filepath.Join(b.TempDir(), "zim.db"), store.Options{Relaxed: true})
	if err != nil {
		b.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.Config{AppID: appID, Secrets: []token.Secret{secret}})
	if err != nil {
		b.Fatal(err)
	}
	srv, err := backend.New(backend.Config{Store: st, Apps: []backend.App{{ID: appID, Verifier: verifier}}})
	if err != nil {
		b.Fatal(err)
	}
	if err := srv.Register(appID, "alice"); err != nil {
		b.Fatal(err)
	}
	api, err := restapi.New(restapi.Config{Server: srv, Secrets: map[uint32][]token.Secret{appID: {secret}}, NoLimits: true, MaxNonces: 10_000_000})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(api)
	service = &cloud.Service{AppID: appID, ServerSecret: secret, CallbackSecret: callbackSecret, BaseURL: web.URL, NoLimits: true, Dir: dir}
	bot, err = zim.New(zim.AppConfig{AppID: appID, Transport: service, Limits: zim.Limits{SendRate: -1}})
	if err != nil {
		b.Fatal(err)
	}
	if err := bot.Login(b.Context(), "@RBT#bench", &zim.LoginConfig{Token: "-"}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		bot.Destroy()
		service.Shutdown(context.Background())
		srv.Shutdown(context.Background())
		web.Close()
		st.Close()
	})
	return service, bot, web.URL
}

// BenchmarkCloudSend sends messages through the Server API, one after the other. The limit is a bare signed POST of the same, whose answer is decoded.
func BenchmarkCloudSend(b *testing.B) {
	_, bot, url := startCloud(b, "")
	text := strings.Repeat("abcdefghijklmnop", size/16)
	nonce := 0
	post := func() {
		nonce++
		body, err := json.Marshal(map[string]any{
			"FromUserId": "@RBT#bench", "ToUserId": []string{"alice"}, "MessageType": 1, "Priority": 1, "MessageBody": map[string]any{"Message": text},
		})
		if err != nil {
			b.Fatal(err)
		}
		query := restapi.Sign(appID, secret, "SendPeerMessage", strconv.Itoa(nonce), time.Now()).Encode()
		resp, err := http.Post(url+"/?"+query, "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct {
			Code    int
			Message string
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Code != 0 {
			b.Fatal(answer, err)
		}
	}
	send := func() {
		if _, err := bot.SendMessage(b.Context(), &zim.TextMessage{Message: text}, zim.Peer("alice"), nil); err != nil {
			b.Fatal(err)
		}
	}
	post()
	send()
	var plain, through time.Duration
	for range b.N {
		start := time.Now()
		post()
		middle := time.Now()
		send()
		plain, through = plain+middle.Sub(start), through+time.Since(middle)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(through.Microseconds())/float64(b.N), "us/send")
	b.ReportMetric(float64(plain.Microseconds())/float64(b.N), "limit-us/send")
	b.ReportMetric(float64(through)/float64(plain), "x-limit")
}

// BenchmarkCallbacks takes signed callbacks of messages to a bot. The limit is a handler that decodes the same JSON.
func BenchmarkCallbacks(b *testing.B) { benchmarkCallbacks(b, "") }

// BenchmarkCallbacksKept is the same with a Service.Dir. The limit also writes and syncs each body.
func BenchmarkCallbacksKept(b *testing.B) { benchmarkCallbacks(b, b.TempDir()) }

func benchmarkCallbacks(b *testing.B, dir string) {
	service, bot, _ := startCloud(b, dir)
	bodies := make([][]byte, 1000+b.N)
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for i := range bodies {
		nonce := strconv.Itoa(i)
		parts := []string{callbackSecret.Reveal(), now, nonce}
		slices.Sort(parts)
		sum := sha1.Sum([]byte(strings.Join(parts, "")))
		bodies[i] = fmt.Appendf(nil, `{"appid":"%d","event":"bot_msg","nonce":"%s","timestamp":%s,"signature":"%s","from_user_id":"alice","conv_type":0,"conv_id":"@RBT#bench",`+
			`"msg_type":1,"msg_body":"hello","msg_id":"%d","msg_seq":%d,"payload":"","msg_time":%s000,"send_result":0}`,
			appID, nonce, now, hex.EncodeToString(sum[:]), 992670963100286976+i, i+1, now)
	}
	var file *os.File
	if dir != "" {
		var err error
		if file, err = os.Create(filepath.Join(dir, "bodies")); err != nil {
			b.Fatal(err)
		}
		defer file.Close()
	}
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 256<<10))
		var fields map[string]any
		if err == nil {
			err = json.Unmarshal(body, &fields)
		}
		if err == nil && file != nil {
			_, err = file.Write(body)
			err = errors.Join(err, file.Sync())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	const chunk = 500 // which the bot's queue has room for
	got := new(counter)
	zim.On(bot, func(_ context.Context, e *zim.PeerMessageReceived) { got.add(len(e.Messages)) })
	run := func(h http.Handler, counted bool) (perSecond, allocs float64) {
		var took time.Duration
		var mallocs uint64
		for done := 0; done < len(bodies); {
			part := bodies[done:min(done+chunk, len(bodies))]
			done += len(part)
			var m0, m1 runtime.MemStats
			runtime.ReadMemStats(&m0)
			start := time.Now()
			for _, body := range part {
				r := httptest.NewRequest(http.MethodPost, "/zim/callback", bytes.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
			took += time.Since(start)
			runtime.ReadMemStats(&m1)
			mallocs += m1.Mallocs - m0.Mallocs
			if counted {
				if !got.await(done) {
					b.Fatal("the bot did not get all messages")
				}
				time.Sleep(300 * time.Millisecond) // the queue keeps them until it is told that they were handled
			}
		}
		n := float64(len(bodies))
		return n / took.Seconds(), float64(mallocs) / n
	}
	limit, limitAllocs := run(bare, false)
	rate, allocs := run(service, true)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rate, "callbacks/s")
	b.ReportMetric(limit, "limit-callbacks/s")
	b.ReportMetric(limit/rate, "x-limit")
	b.ReportMetric(allocs, "allocs/callback")
	b.ReportMetric(limitAllocs, "limit-allocs/callback")
	b.ReportMetric(allocs/limitAllocs, "x-limit-allocs")
}
