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

// A thousand calls at once of one action, which the backend takes 20 of in a second: they wait for their turn, and none is refused.
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
		service := &cloud.Service{AppID: zimtest.AppID, ServerSecret: zimtest.Secret, BaseURL: srv.APIURL(), HTTPClient: srv.Client()}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				failed, err := service.RegisterUsers(t.Context(), []cloud.User{{ID: fmt.Sprint("user", i)}})
				if err != nil || len(failed) > 0 {
					t.Errorf("user%d: %v, %v", i, failed, err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took < 49*time.Second || took > 60*time.Second {
			t.Errorf("1000 calls at 20 a second took %v", took)
		}
		if len(codes) != 1 || codes[0] != 1000 {
			t.Errorf("the backend answered with %v, want 1000 times 0", codes)
		}
	})
}
