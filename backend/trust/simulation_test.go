package trust_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zim-go/zim/backend/internal/tier"
)

// The real SDK and the real backend in one bubble, where a seed decides what users do and what goes wrong. Then the network is healed, the
// users come back, and everything must be where it belongs. ZIM_SEED=n runs one seed alone, as it was: see TestSimulationReplays. ZIM_SHARD=i/n
// runs each n-th seed from the i-th on, without a report: the long tier has a process for each processor do that.
func TestSimulation(t *testing.T) {
	began, shard := time.Now(), os.Getenv("ZIM_SHARD")
	var tell func(figures map[string]any)
	if shard == "" {
		tell = tier.Begin(t, "simulation")
		if tier.Long() {
			report(t, tell, shards(t), began)
			return
		}
	}
	first, step, seeds := uint64(1), uint64(1), uint64(tier.Pick(100, 20_000))
	if shard != "" {
		if _, err := fmt.Sscanf(shard, "%d/%d", &first, &step); err != nil {
			t.Fatalf("ZIM_SHARD: %v", err)
		}
	}
	if s := os.Getenv("ZIM_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("ZIM_SEED: %v", err)
		}
		first, seeds = seed, seed
	}
	total := make(totals)
	for seed := first; seed <= seeds && total["failed seeds"] < 10; seed += step {
		total["seeds"]++
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { simulate(t, seed, total) }) {
			total["failed seeds"]++
		}
	}
	if shard == "" {
		report(t, tell, total, began)
		return
	}
	line, err := json.Marshal(total)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s%s\n", shardLine, line)
}

// totals are how often each thing happened.
type totals map[string]int

// report tells the figures, and fails if they show too little.
func report(t *testing.T, tell func(map[string]any), total totals, began time.Time) {
	figures := map[string]any{"seconds": time.Since(began).Seconds()}
	for name, n := range total {
		figures[name] = n
	}
	tell(figures)
	if total["seeds"] < 50 {
		return // one seed need not have all of it
	}
	// What is never seen was not tried.
	for _, name := range []string{
		"acknowledged", "refused", "unknown", "retried", "durable", "commands", "queries", "restart", "cut by the backend", "kicked", "crash", "away", "storm", "expired",
		"edited", "revoked", "reacted", "reacted no more", "changes failed", "told of an edit", "told of a revocation", "told of a reaction",
		"sent to the room", "told in the room", "forgotten", "sync reset", "renewal", "bad renewal failed", "late renewal", "late renewal failed", "older token",
		"cut", "half-open", "zombie", "duplicate", "stall", "slow reader", "refused dial", "hang",
	} {
		if total[name] == 0 {
			t.Errorf("%q never happened", name)
		}
	}
}

const shardLine = "shard: "

// shards runs the seeds in a process for each processor: a bubble that is to be the same again has only one.
func shards(t *testing.T) totals {
	n := runtime.NumCPU()
	outputs := make([]bytes.Buffer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestSimulation$", "-test.timeout=0")
			cmd.Env = append(os.Environ(), fmt.Sprintf("ZIM_SHARD=%d/%d", i+1, n), "ZIM_REPORT=")
			cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
			if err := cmd.Run(); err != nil {
				t.Errorf("shard %d: %v", i+1, err)
			}
		})
	}
	wg.Wait()
	total := make(totals)
	for i := range n {
		text := outputs[i].String()
		at := strings.LastIndex(text, shardLine)
		if at < 0 {
			t.Errorf("shard %d ended without a result:\n%s", i+1, text)
			continue
		}
		line, _, _ := strings.Cut(text[at+len(shardLine):], "\n")
		part := make(totals)
		if err := json.Unmarshal([]byte(line), &part); err != nil {
			t.Errorf("shard %d: %v", i+1, err)
		}
		for name, n := range part {
			total[name] += n
		}
		if part["failed seeds"] > 0 {
			t.Logf("shard %d:\n%s", i+1, text)
		}
	}
	return total
}

// A seed that is played again is the same again, from beginning to end and to the nanosecond: what users do, what goes wrong, and what comes
// of it. That holds for nearly all runs, and for most runs of each seed. The others differ from where the Go runtime decided something: see
// zimtest.Deterministic. A seed that fails may so need to be played a few times: TestPlantedDefects does that.
func TestSimulationReplays(t *testing.T) {
	const runs, most, nearlyAll = 5, 3, 0.9
	same, all := 0, 0
	for seed := uint64(1); seed <= uint64(tier.Pick(8, 100)); seed++ {
		diaries := make(map[string]int)
		for range runs {
			t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { diaries[strings.Join(play(t, seed, make(totals)), "\n")]++ })
			})
		}
		n := slices.Max(slices.Collect(maps.Values(diaries)))
		if replays() && n < most {
			t.Errorf("seed %d: of %d runs, only %d were the same", seed, runs, n)
		}
		same, all = same+n, all+runs
	}
	t.Logf("%d of %d runs were as most of their seed", same, all)
	if replays() && float64(same) < nearlyAll*float64(all) {
		t.Errorf("of %d runs, only %d were as most of their seed", all, same)
	}
}

// replays reports whether a seed can be the same again on this machine: see zimtest.Deterministic.
func replays() bool {
	_, err := os.Stat("/dev/shm")
	return exact && err == nil
}

func simulate(t *testing.T, seed uint64, total totals) {
	synctest.Test(t, func(t *testing.T) {
		diary := play(t, seed, total)
		if t.Failed() {
			t.Logf("seed %d:\n%s", seed, strings.Join(diary, "\n"))
		}
	})
}
