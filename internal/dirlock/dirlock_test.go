package dirlock_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/zim-go/zim/internal/dirlock"
	"github.com/zim-go/zim/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// One at a time has a lock, and who closes it lets the next one have it.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 2 {
		lock, err := dirlock.Lock(path)
		if err != nil {
			t.Fatal(err)
		}
		if other, err := dirlock.Lock(path); !errors.Is(err, dirlock.ErrInUse) {
			t.Errorf("got %v, %v, want that it is in use", other, err)
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := dirlock.Lock(filepath.Join(t.TempDir(), "none", "lock")); err == nil || errors.Is(err, dirlock.ErrInUse) {
		t.Errorf("got %v for a directory that is not there, want an error, and not that it is in use", err)
	}
}
