package main

import (
	"bytes"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/zim-go/zim"
)

const output = `alice  create
alice  on: connectionStateChanged, peerMessageReceived, error
bob    create
bob    on: connectionStateChanged, peerMessageReceived, error
bob    login
bob    connectionStateChanged: Connecting, ActiveLogin
bob    connectionStateChanged: Connected, Success
alice  login
alice  connectionStateChanged: Connecting, ActiveLogin
alice  connectionStateChanged: Connected, Success
alice  onMessageAttached: Text "Hello, Bob!" (Sending)
alice  sendMessage: Text "Hello, Bob!" (Success, seq 1)
bob    peerMessageReceived: Text "Hello, Bob!" (Success, seq 1) from alice
alice  onMessageAttached: Command "typing" (Sending)
alice  sendMessage: Command "typing" (Success)
bob    peerMessageReceived: Command "typing" (Success) from alice
alice  onMessageAttached: Custom "e2-e4" (Sending)
alice  sendMessage: Custom "e2-e4" (Success, seq 2)
bob    peerMessageReceived: Custom "e2-e4" (Success, seq 2) from alice
alice  logout
alice  connectionStateChanged: Disconnected, Success
alice  destroy
bob    logout
bob    connectionStateChanged: Disconnected, Success
bob    destroy
`

func TestQuickstart(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	before := runtime.NumGoroutine()
	for range 3 {
		var w bytes.Buffer
		if err := run(t.Context(), &w); err != nil {
			t.Fatalf("%v, after\n%s", err, &w)
		}
		if w.String() != output {
			t.Fatalf("got\n%s\nwant\n%s", &w, output)
		}
	}
	if zim.GetInstance() != nil {
		t.Error("the instance of Create was not destroyed")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// What handlers and closed connections leave behind ends soon, but not before run returns.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
