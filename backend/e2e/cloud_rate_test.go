package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim"
	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport/cloud"
)

// A slowNetwork has each request there after 20 to 25 ms.
type slowNetwork struct{ http.RoundTripper }

func (n slowNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(20*time.Millisecond + rand.N(5*time.Millisecond))
	return n.RoundTripper.RoundTrip(r)
}

// codes are how often each action was answered with each code.
type codes struct {
	mu sync.Mutex
	n  map[string]int // guarded by mu
}

func (c *codes) audit(e restapi.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[fmt.Sprint(e.Action, " ", e.Code)]++
}

// forget looks away from what was answered.
func (c *codes) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = nil
}

// want fails the test unless that is all that was answered.
func (c *codes) want(t *testing.T, want map[string]int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if fmt.Sprint(c.n) != fmt.Sprint(want) {
		t.Errorf("the backend answered with %v, want %v", c.n, want)
	}
}

// overNetwork returns a backend, a service that reaches it over a slowNetwork, and how it is answered.
func overNetwork(t *testing.T) (*zimtest.Server, *cloud.Service, *codes) {
	time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
	c := new(codes)
	srv := zimtest.NewServer(t, &zimtest.Options{API: func(config *restapi.Config) { config.Audit = c.audit }})
	client := srv.Client()
	client.Transport = slowNetwork{client.Transport}
	return srv, &cloud.Service{AppID: zimtest.AppID, ServerSecret: zimtest.Secret, BaseURL: srv.APIURL(), HTTPClient: client}, c
}

// A thousand calls at once of one action, which the backend takes 20 of in a second: they wait for their turn, and none is refused, with whatever code the
// action has for that.
func TestBurstOfCalls(t *testing.T) {
	for action, call := range map[string]func(ctx context.Context, s *cloud.Service, i int) error{
		"UserRegister": func(ctx context.Context, s *cloud.Service, i int) error {
			_, err := s.RegisterUsers(ctx, []cloud.User{{ID: fmt.Sprint("user", i)}})
			return err
		},
		"QueryPeerMsg": func(ctx context.Context, s *cloud.Service, _ int) error {
			_, err := s.CheckSent(ctx, "alice", cloud.Conversation{ID: "bob"}, "00112233445566778899aabbccddeeff")
			return err
		},
	} {
		t.Run(action, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, service, codes := overNetwork(t)
				srv.Register("alice", "bob")
				start := time.Now()
				var wg sync.WaitGroup
				for i := range 1000 {
					wg.Go(func() {
						if err := call(t.Context(), service, i); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if took := time.Since(start); took < 52*time.Second || took > 55*time.Second {
					t.Errorf("1000 calls at 19 a second took %v", took)
				}
				codes.want(t, map[string]int{action + " 0": 1000})
			})
		})
	}
}

// Rates of which the backend takes no more at once than in a second are kept, too, although what is sent evenly comes unevenly.
func TestTightRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, service, codes := overNetwork(t)
		alice, err := zim.New(zim.AppConfig{AppID: zimtest.AppID, Transport: service})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(alice.Destroy)
		if err := alice.Login(t.Context(), "alice", &zim.LoginConfig{Token: "-"}); err != nil {
			t.Fatal(err)
		}
		guests := []string{"bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan"}
		srv.Register(guests...)
		if _, err := alice.CreateGroup(t.Context(), zim.GroupInfo{GroupID: "chess"}, nil, nil); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		run := func(times int, call func(i int) error) {
			for i := range times {
				wg.Go(func() {
					if err := call(i); err != nil {
						t.Error(err)
					}
				})
			}
		}
		codes.forget()
		run(150, func(int) error {
			_, err := alice.QueryMessages(t.Context(), zim.Peer("bob"), []int64{1})
			return err
		})
		run(100, func(int) error {
			_, _, err := service.Groups(t.Context(), 0)
			return err
		})
		run(8, func(i int) error {
			_, err := alice.InviteUsersIntoGroup(t.Context(), guests[i:i+1], "chess")
			return err
		})
		run(50, func(int) error { return service.SendTextToAllUsers(t.Context(), "alice", "hi") })
		wg.Wait()
		codes.want(t, map[string]int{"QueryMessagesByMsgSeq 0": 150, "QueryAppGroupList 0": 100, "InviteUsersIntoGroup 0": 8, "SendMessageToAllUsers 0": 50})
	})
}
