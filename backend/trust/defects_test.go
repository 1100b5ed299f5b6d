package trust_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/backend/internal/tier"
	"github.com/zim-go/zim/internal/defect"
)

// A search is a defect and the tests that must find it.
type search struct {
	defect defect.Name
	module string // the package of the tests, from the root of the repository
	tests  string
}

// Where the tests are that a search may run. Those of this package need no building of others.
const (
	root        = "."
	directories = "internal/dirlock"
	storage     = "backend/store"
	endToEnd    = "backend/e2e"
	trust       = "backend/trust"
)

var searches = []search{
	{defect.AckBeforeCommit, storage, "^(TestPowerCuts|TestAckFollowsSync)$"},
	{defect.NoSync, storage, "^(TestPowerCuts|TestAckFollowsSync)$"},
	{defect.SyncRetried, storage, "^TestDiskErrors$"},
	{defect.NumberBurnt, storage, "^TestPoison$"},
	{defect.DedupeInMemory, trust, "^TestSimulation$"},
	{defect.NewIDOnResend, trust, "^TestSimulation$"},
	{defect.GapAccepted, trust, "^TestSimulation$"},
	{defect.CursorBeforeHandler, trust, "^TestSimulation$"},
	{defect.RecoveredTwice, trust, "^TestSimulation$"},
	{defect.ResetUntold, trust, "^TestCrashBeforeSyncReset$"},
	{defect.DedupeByKey, endToEnd, "^TestNegative(StoredBefore|Objects|Values)$"},
	{defect.CheckBeforeDedupe, endToEnd, "^TestNegativeStoredBefore$"},
	{defect.EpochIgnored, endToEnd, "^TestNegativeCursor$"},
	{defect.NotFenced, endToEnd, "^TestNegativeKicked$"},
	{defect.EvictedReconnects, endToEnd, "^TestKicked(ByAnotherDevice|WhileAway)$"},
	{defect.NoJitter, endToEnd, "^TestHerd$"},
	{defect.OlderToken, endToEnd, "^TestTokenRaces$"},
	{defect.DropInsteadOfPull, endToEnd, "^Test(QueueBound|SlowHandler)$"},
	{defect.FloodsQueued, endToEnd, "^TestNegative(Send|Heartbeat)Flood$"},
	{defect.EpochAdopted, root, "^Test(ServiceLosesItsStore|ResetsAreCounted)$"},
	{defect.FlagShared, root, "^TestOneDeadConnectionAfterTheOther$"},
	{defect.BackoffReset, root, "^TestConnectionsThatBreakAtOnce$"},
	{defect.HandlerOnReader, endToEnd, "^TestSlowHandler$"},
	{defect.DestroyWaits, root, "^TestHandlersMayCallEverything$"},
	{defect.OutboxUnbounded, root, "^TestFullOutbox$"},
	{defect.DirUnnamed, directories, "^TestNewDirectoryIsOnTheDisk$"},
}

// failedSeed is the seed of the simulation that failed, and a violation what it complained of: of which message, but not under which IDs.
var (
	failedSeed = regexp.MustCompile(`--- FAIL: TestSimulation/seed=(\d+)`)
	violation  = regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: [^,\n]+`)
)

// Each mistake of package defect is made, one at a time, and the suites must find it: a suite that has never failed proves nothing.
func TestPlantedDefects(t *testing.T) {
	report := tier.Begin(t, "defects")
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	binaries := make(map[string]string)
	healthy := make(map[string]bool)
	found, tried, replayed := 0, 0, 0
	slowest := time.Duration(0)
	for _, s := range searches {
		if !exact && s.module != storage {
			continue // with the race detector, this is about whether the search itself is free of races
		}
		tried++
		t.Run(string(s.defect), func(t *testing.T) {
			if binaries[s.module] == "" {
				out := filepath.Join(bin, strings.ReplaceAll(s.module, "/", "-")+".test")
				build := exec.Command("go", "test", "-tags", "zimdefect", "-c", "-o", out, ".")
				build.Dir = filepath.Join(top, s.module)
				if output, err := build.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, output)
				}
				binaries[s.module] = out
			}
			run := func(planted defect.Name, env ...string) (output []byte, failed bool) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, binaries[s.module], "-test.run", s.tests, "-test.failfast", "-test.timeout", "4m")
				cmd.Dir = filepath.Join(top, s.module)
				cmd.Env = append(append(os.Environ(), "ZIM_DEFECT="+string(planted), "ZIM_TIER=short", "ZIM_REPORT="), env...)
				output, err := cmd.CombinedOutput()
				if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
					t.Fatal(err)
				}
				if bytes.Contains(output, []byte("no tests to run")) {
					t.Fatalf("there are no tests %s", s.tests)
				}
				return output, err != nil
			}
			if key := s.module + " " + s.tests; !healthy[key] {
				if output, failed := run(""); failed {
					t.Fatalf("%s fails without a defect:\n%s", s.tests, output)
				}
				healthy[key] = true
			}
			start := time.Now()
			output, failed := run(s.defect)
			if !failed || bytes.Contains(output, []byte("test timed out")) {
				t.Errorf("%s in %s did not find it:\n%s", s.tests, s.module, output)
				return
			}
			found++
			slowest = max(slowest, time.Since(start))
			seed := failedSeed.FindSubmatch(output)
			if seed == nil || !replays() {
				return
			}
			// The seed finds it again each time, and in the same way in most runs, as TestSimulationReplays has it.
			const runs, most = 5, 3
			ways := make(map[string]int)
			for range runs {
				output, failed := run(s.defect, "ZIM_SEED="+string(seed[1]))
				if !failed {
					t.Errorf("the seed %s did not find it again", seed[1])
				}
				ways[string(bytes.Join(violation.FindAll(output, -1), []byte("\n")))]++
			}
			if n := slices.Max(slices.Collect(maps.Values(ways))); n < most {
				t.Errorf("the seed %s found it in %d ways in %d runs", seed[1], len(ways), runs)
			}
			replayed++
		})
	}
	report(map[string]any{"tried": tried, "found": found, "replayed": replayed, "slowest_seconds": slowest.Seconds()})
}

// Each mistake that can be made is searched for.
func TestEachDefectIsSearched(t *testing.T) {
	source, err := os.ReadFile("../../internal/defect/defect.go")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`Name = "([a-z-]+)"`).FindAllSubmatch(source, -1)
	if len(names) < 20 {
		t.Errorf("got %d mistakes, want 20 at least", len(names))
	}
	for _, m := range names {
		if !slices.ContainsFunc(searches, func(s search) bool { return s.defect == defect.Name(m[1]) }) {
			t.Errorf("nobody searches for %s", m[1])
		}
	}
}

// A program that is built as programs are has no defects in it.
func TestNoDefects(t *testing.T) {
	if defect.On(defect.NoSync) || defect.On("") {
		t.Error("this test was built with defects")
	}
	binary := filepath.Join(t.TempDir(), "zimd")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/zim-go/zim/backend/cmd/zimd").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []defect.Name{defect.AckBeforeCommit, defect.NoSync, defect.DedupeByKey} {
		if bytes.Contains(data, []byte(name)) {
			t.Errorf("zimd has the defect %s in it", name)
		}
	}
	if bytes.Contains(data, []byte("ZIM_DEFECT")) {
		t.Error("zimd reads ZIM_DEFECT")
	}
}
