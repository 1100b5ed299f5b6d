package e2e_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/backend/restapi"
	"github.com/zim-go/zim/backend/zimtest"
	"github.com/zim-go/zim/transport/cloud"
)

// A thousand calls at once of one action, which the backend takes 20 of in a second: they wait for their turn, and none is refused. When somebody
// else uses the same quota, what is refused is sent again later.
func TestBurstOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_700_000_000, 0)))
		var mu sync.Mutex
		codes := make(map[int]int)
		srv := zimtest.NewServer(t, &zimtest.Options{API: func(c *restapi.Config) {
			c.Audit = func(e restapi.Entry) {
				mu.Lock()
				defer mu.Unlock()
				codes[e.Code]++
			}
		}})
		service := func() *cloud.Service {
			return &cloud.Service{AppID: zimtest.AppID, ServerSecret: zimtest.Secret, BaseURL: srv.APIURL(), HTTPClient: srv.Client()}
		}
		burst := func(s *cloud.Service, name string, n int, wg *sync.WaitGroup) {
			for i := range n {
				wg.Go(func() {
					failed, err := s.RegisterUsers(t.Context(), []cloud.User{{ID: fmt.Sprint(name, i)}})
					if err != nil || len(failed) > 0 {
						t.Errorf("%s%d: %v, %v", name, i, failed, err)
					}
				})
			}
		}
		start := time.Now()
		var wg sync.WaitGroup
		burst(service(), "user", 1000, &wg)
		wg.Wait()
		if took := time.Since(start); took < 49*time.Second || took > 60*time.Second {
			t.Errorf("1000 calls at 20 a second took %v", took)
		}
		if len(codes) != 1 || codes[0] != 1000 {
			t.Errorf("the backend answered with %v, want 1000 times 0", codes)
		}
		// Two processes that don't know of each other.
		burst(service(), "one", 100, &wg)
		burst(service(), "two", 100, &wg)
		wg.Wait()
		if len(codes) != 2 || codes[0] != 1200 {
			t.Errorf("the backend answered with %v, want 1200 times 0 and some refusals", codes)
		}
	})
}
