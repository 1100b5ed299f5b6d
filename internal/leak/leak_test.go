package leak_test

import (
	"strings"
	"testing"
	"time"

	"github.com/zim-go/zim/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func forgotten(started, end chan struct{}) {
	close(started)
	<-end
}

func TestWait(t *testing.T) {
	started, end := make(chan struct{}), make(chan struct{})
	go forgotten(started, end)
	<-started
	if left := leak.Wait(0); len(left) != 1 || !strings.Contains(left[0], "leak_test.forgotten(") {
		t.Errorf("got %q, want the goroutine that waits", left)
	}
	close(end)
	if left := leak.Wait(time.Minute); len(left) != 0 {
		t.Errorf("got %q, want none", left)
	}
}
