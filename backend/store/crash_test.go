package store_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zim-go/zim/backend/store"
)

// crashFile names the environment variable that makes the test binary append to a file until it is killed.
const crashFile = "ZIM_STORE_CRASH_FILE"

// appendForEver appends messages to the store at path and prints the number of each once that was acknowledged.
func appendForEver(path string) {
	s, err := store.Open(path, store.Options{}) // as a backend would
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var next atomic.Int64
	next.Store(s.NextID()) // larger than in the last run
	var mu sync.Mutex
	var writers sync.WaitGroup
	for range 16 {
		writers.Go(func() {
			for {
				n := int(next.Add(1))
				var m *store.Message
				err := s.Update(func(tx *store.Tx) (err error) {
					m, _, _, err = send(tx, "alice", "bob", n, fmt.Sprint(n))
					return err
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Println(n, m.Seq())
				mu.Unlock()
			}
		})
	}
	writers.Wait()
}

// A process that is killed loses nothing that it acknowledged, and leaves no hole.
func TestKill(t *testing.T) {
	path := file(t)
	acked := make(map[string]int64) // the text of a message, and its number
	for round := range 6 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashFile+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		read := func() bool {
			var text string
			var seq int64
			if !lines.Scan() {
				return false
			}
			if n, _ := fmt.Sscan(lines.Text(), &text, &seq); n == 2 {
				acked[text] = seq
			}
			return true
		}
		for range 50 + 37*round {
			if !read() {
				t.Fatal("the process ended by itself")
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for read() { // what it had still said
		}
		child.Wait()

		s := open(t, path)
		list := events(t, s, "bob", 0)
		wantGapless(t, list, len(list))
		found := make(map[string]int64)
		for _, e := range list {
			found[string(e.Message.Content)] = e.Message.Seq()
		}
		if len(found) != len(list) {
			t.Errorf("round %d: %d messages are there more than once", round, len(list)-len(found))
		}
		for text, seq := range acked {
			if found[text] != seq {
				t.Errorf("round %d: message %s was acknowledged as %d, and is %d", round, text, seq, found[text])
			}
		}
		s.Close()
	}
}
