//go:build linux

// Package trust_test holds what is promised (docs/guarantees.md) against what happens when much goes wrong: in a simulation, and with real
// processes. That these can have a full disk, the tests run with mounts of their own.
package trust_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

const (
	clientVar = "ZIM_TRUST_CLIENT" // what a client process is to do: the test binary is one if this is set
	insideVar = "ZIM_TRUST_INSIDE" // set where disks can be mounted that nobody else sees
)

func TestMain(m *testing.M) {
	if job := os.Getenv(clientVar); job != "" {
		os.Exit(runClient(job))
	}
	if os.Getenv(insideVar) == "" {
		if status, ok := runInside(); ok {
			os.Exit(status)
		}
	}
	goleak.VerifyTestMain(m)
}

// runInside runs the tests in a process with mounts of its own, for which it takes no privileges where the system lets users be root among
// themselves. Otherwise ok is false.
func runInside() (status int, ok bool) {
	runtime.LockOSThread() // the inner process ends with this thread
	inner := exec.Command(os.Args[0], os.Args[1:]...)
	inner.Env = append(os.Environ(), insideVar+"=1")
	inner.Stdin, inner.Stdout, inner.Stderr = os.Stdin, os.Stdout, os.Stderr
	inner.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		inner.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		inner.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		inner.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if inner.Start() != nil {
		return 0, false
	}
	err := inner.Wait()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return 1, true
	}
	return inner.ProcessState.ExitCode(), true
}
