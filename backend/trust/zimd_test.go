//go:build linux

package trust_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zim-go/zim/token"
)

const (
	appID  = 7
	secret = token.Secret("a secret for crashes, 32 bytes..")
)

// A zimd is the server as a process of its own. Only the goroutine that made it uses it.
type zimd struct {
	binary, dir, address string
	cmd                  *exec.Cmd
	exited               chan struct{} // closed once the process is gone and its log is read
	log                  []string      // of the last run, once it exited
}

// newZimd builds the server and starts it. Its database is in dir.
func newZimd(t *testing.T, dir string) *zimd {
	t.Helper()
	s := &zimd{binary: filepath.Join(t.TempDir(), "zimd"), dir: dir}
	build := exec.Command("go", "build", "-o", s.binary, "github.com/zim-go/zim/backend/cmd/zimd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	l.Close()
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

func (s *zimd) db() string { return filepath.Join(s.dir, "zim.db") }

// start starts the server, and returns when it is there.
func (s *zimd) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(s.binary, "serve", "--listen", s.address, "--db", s.db(), "--app-id", strconv.Itoa(appID), "--send-rate=-1")
	s.cmd.Env = append(os.Environ(), "ZIM_APP_SECRET="+secret.Reveal())
	log, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.exited, s.log = make(chan struct{}), nil
	serving := make(chan struct{})
	go func() { // ends with the process, which kill waits for
		defer close(s.exited)
		there := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if s.log = append(s.log, lines.Text()); !there && strings.Contains(lines.Text(), "zimd: serving") {
				there = true
				close(serving)
			}
		}
		s.cmd.Wait()
	}()
	select {
	case <-serving:
	case <-s.exited:
		t.Fatalf("the server did not start: %q", s.log)
	case <-time.After(time.Minute):
		t.Fatal("the server did not start in a minute")
	}
}

// kill ends the server as -9 does. It may be gone already.
func (s *zimd) kill() {
	s.cmd.Process.Kill()
	<-s.exited
}

// stop ends the server as an operator does.
func (s *zimd) stop(t *testing.T) {
	t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(time.Minute):
		t.Error("the server did not end within a minute of SIGTERM")
		s.kill()
	}
}

// running reports whether the server has not exited.
func (s *zimd) running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// freeze stops a process for a while, in the middle of whatever it does.
func freeze(t *testing.T, cmd *exec.Cmd, d time.Duration) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(d)
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// failWrites lets each write of the server fail that would make a file longer than limit.
func (s *zimd) failWrites(limit int64) error {
	none := unix.Rlimit{Cur: uint64(limit), Max: unix.RLIM_INFINITY}
	return unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &none, nil)
}

// A disk is a file system in memory, as large as the test wants it.
type disk struct{ dir string }

// newDisk mounts a disk, or returns nil where that is not allowed.
func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Getenv(insideVar) == "" {
		return nil // never where others would see it
	}
	d := &disk{dir: filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, "mode=0700,size=4g"); err != nil {
		t.Logf("mounting a disk: %v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.dir, 0); err != nil {
			t.Error(err)
		}
	})
	return d
}

// fill leaves room for some bytes, and empty for as much as anybody wants.
func (d *disk) fill(room int64) error {
	var used unix.Statfs_t
	if err := unix.Statfs(d.dir, &used); err != nil {
		return err
	}
	return d.resize((int64(used.Blocks)-int64(used.Bfree))*used.Bsize + room)
}

func (d *disk) empty() error { return d.resize(4 << 30) }

func (d *disk) resize(size int64) error {
	err := errors.New("it was not tried")
	for range 100 { // what is used may have grown meanwhile
		if err = syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err == nil {
			return nil
		}
		size += 64 << 10
	}
	return fmt.Errorf("resizing the disk: %w", err)
}
