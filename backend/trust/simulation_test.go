package trust_test

import (
	"bytes"
	"encoding/json"
	"fmt"
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
// users come back, and everything must be where it belongs. ZIM_SEED=n runs one seed alone, and exactly as it was.
func TestSimulation(t *testing.T) {
	if os.Getenv("ZIM_SHARD") == "" && tier.Long() {
		shards(t)
		return
	}
	first, step, seeds := uint64(1), uint64(1), uint64(tier.Pick(100, 20_000))
	if s := os.Getenv("ZIM_SHARD"); s != "" {
		if _, err := fmt.Sscanf(s, "%d/%d", &first, &step); err != nil {
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
	began := time.Now()
	total := make(totals)
	for seed := first; seed <= seeds; seed += step {
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { simulate(t, seed, total) }) {
			total["failed seeds"]++
			if total["failed seeds"] >= 10 {
				break
			}
		}
		total["seeds"]++
	}
	if os.Getenv("ZIM_SHARD") != "" {
		line, err := json.Marshal(total)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s%s\n", shardLine, line)
		return
	}
	report(t, total, began)
}

// totals are how often each thing happened.
type totals map[string]int

func report(t *testing.T, total totals, began time.Time) {
	figures := map[string]any{"seconds": time.Since(began).Seconds()}
	for name, n := range total {
		figures[name] = n
	}
	tier.Report(t, "simulation", figures)
	if total["seeds"] < 50 {
		return // one seed need not have all of it
	}
	// What is never seen was not tried.
	for _, name := range []string{
		"acknowledged", "refused", "unknown", "retried", "durable", "commands", "queries", "restart", "cut by the backend", "kicked", "crash", "away", "storm", "expired",
		"cut", "half-open", "zombie", "duplicate", "stall", "slow reader", "refused dial", "hang",
	} {
		if total[name] == 0 {
			t.Errorf("%q never happened", name)
		}
	}
}

const shardLine = "shard: "

// shards runs the seeds in a process for each processor: a bubble that is to be the same again has only one.
func shards(t *testing.T) {
	began := time.Now()
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
	report(t, total, began)
}

// A failing seed fails in the same way each time: what users do, what goes wrong, and what comes of it follow from the seed. Only timers that
// end in the same nanosecond come in any order, which synctest sees to, and a machine that takes the processor away for long makes the runtime
// switch goroutines. That rarely decides anything; and two diaries that are the same to the nanosecond are no chance.
func TestSimulationReplays(t *testing.T) {
	for seed := uint64(1); seed <= uint64(tier.Pick(3, 20)); seed++ {
		const runs, same = 9, 2
		diaries := make(map[string]int)
		most := 0
		for range runs {
			var diary []string
			synctest.Test(t, func(t *testing.T) { diary = play(t, seed, make(totals)) })
			diary = slices.DeleteFunc(diary, func(line string) bool {
				at, err := time.ParseDuration(strings.Fields(line)[0])
				return err != nil || at > 40*time.Second // what a switch has changed changes more and more
			})
			text := strings.Join(diary, "\n")
			diaries[text]++
			most = max(most, diaries[text])
		}
		if exact && most < same {
			t.Errorf("seed %d: of %d runs, only %d were the same", seed, runs, most)
		}
	}
}

func simulate(t *testing.T, seed uint64, total totals) {
	synctest.Test(t, func(t *testing.T) {
		diary := play(t, seed, total)
		if t.Failed() {
			t.Logf("seed %d:\n%s", seed, strings.Join(diary, "\n"))
		}
	})
}
