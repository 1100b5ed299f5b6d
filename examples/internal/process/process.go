// Package process runs the programs of this repository as processes, for tests of several that talk to each other.
package process

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Build builds a program, seen from a directory, and returns the path of the executable.
func Build(tb testing.TB, dir, pkg string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), filepath.Base(pkg))
	if out, err := exec.Command("go", "-C", dir, "build", "-buildvcs=false", "-o", path, pkg).CombinedOutput(); err != nil {
		tb.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	return path
}

// Start starts cmd and returns the lines that it prints to pipe, until it closes that. The process ends with the test.
func Start(tb testing.TB, cmd *exec.Cmd, pipe func() (io.ReadCloser, error)) <-chan string {
	tb.Helper()
	r, err := pipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

// Next returns the next line that a process prints.
func Next(tb testing.TB, lines <-chan string) string {
	tb.Helper()
	select {
	case line, ok := <-lines:
		if !ok {
			tb.Fatal("the process ended")
		}
		return line
	case <-time.After(30 * time.Second):
		tb.Fatal("nothing more is printed")
		return ""
	}
}

// Stop interrupts a process, and waits until it has ended, which must be well.
func Stop(tb testing.TB, cmd *exec.Cmd, lines <-chan string) {
	tb.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		tb.Fatal(err)
	}
	var said []string
	for line := range lines {
		said = append(said, line)
	}
	if err := cmd.Wait(); err != nil {
		tb.Errorf("%s: %v, after %q", filepath.Base(cmd.Path), err, said)
	}
}
