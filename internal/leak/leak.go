// Package leak finds goroutines that tests leave behind. The backend has a library for that; this is for packages that must not depend on
// it.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long goroutines that are about to end may take.
const patience = 5 * time.Second

// Main runs the tests of a package, for its TestMain. They fail if goroutines are left when they are through.
func Main(m *testing.M) {
	code := m.Run()
	if left := Wait(patience); code == 0 && len(left) > 0 {
		fmt.Fprintf(os.Stderr, "leak: got %d goroutines that the tests left behind, want none\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// Wait waits until no goroutine is left but the caller's and those of the runtime and the testing package, but not longer than that. It
// returns the stacks of those that are.
func Wait(patience time.Duration) []string {
	deadline := time.Now().Add(patience)
	for {
		left := others()
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(time.Millisecond) // nothing tells when a goroutine is gone
	}
}

// harmless are functions of which one is on the stack of each goroutine that is nobody's leak.
var harmless = []string{
	"testing.(*T).Run(", "testing.(*M).", "testing.runTests(", "testing.tRunner(", "internal/fuzz.", "os/signal.signal_recv(", "runtime/pprof.profileWriter(",
	"runtime/trace.Start", "runtime.ensureSigM(",
}

func others() []string {
	buf := make([]byte, 1<<20)
	all := strings.Split(strings.TrimSpace(string(buf[:runtime.Stack(buf, true)])), "\n\n")
	return slices.DeleteFunc(all[1:], func(stack string) bool { // the first is this one
		return slices.ContainsFunc(harmless, func(f string) bool { return strings.Contains(stack, "\n"+f) })
	})
}
