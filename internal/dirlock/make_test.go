package dirlock_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zim-go/zim/internal/dirlock"
)

// A new directory is on the disk with all above it that are new, each before there is something in it.
func TestNewDirectoryIsOnTheDisk(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "var", "app", "outbox")
	var synced []string
	sync := func(dir string) error {
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		synced = append(synced, fmt.Sprint(filepath.ToSlash(strings.TrimPrefix(dir, base)), " with ", len(names)))
		return err
	}
	if err := dirlock.MakeWith(path, sync); err != nil {
		t.Fatal(err)
	}
	if want := []string{" with 1", "/var with 1", "/var/app with 1"}; !slices.Equal(synced, want) {
		t.Errorf("synced: got %q, want %q", synced, want)
	}
	if names, err := os.ReadDir(path); err != nil || len(names) > 0 {
		t.Errorf("got %v, %v, want an empty directory", names, err)
	}
	synced = nil
	if err := dirlock.MakeWith(path, sync); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/var/app with 1"}; !slices.Equal(synced, want) {
		t.Errorf("synced once more: got %q, want %q", synced, want)
	}

	broken := errors.New("the disk is broken")
	if err := dirlock.MakeWith(filepath.Join(base, "other", "outbox"), func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("with a sync that fails: got %v, want %v", err, broken)
	}
	if names, err := os.ReadDir(filepath.Join(base, "other")); err != nil || len(names) > 0 {
		t.Errorf("with a sync that fails: got %v, %v, want that nothing more is made", names, err)
	}
	if err := dirlock.Make(filepath.Join(base, "really", "outbox")); err != nil {
		t.Error(err)
	}
}

// Where a directory is to be, there is a file.
func TestNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dirlock.Make(filepath.Join(file, "outbox")); err == nil {
		t.Error("a directory was made in a file")
	}
}
