package main

import (
	"bytes"
	"os"
	"runtime"
	"testing"
	"time"
)

const output = `alice  sendMessage: Text Hello, Bob!
bob    peerMessageReceived: Text Hello, Bob!
alice  sendMessage: Command typing
bob    peerMessageReceived: Command typing
alice  sendMessage: Custom 7: e2-e4
bob    peerMessageReceived: Custom 7: e2-e4
alice  onMediaUploadingProgress: 1225 of 1225
alice  sendMessage: Image gray.png, (640,480), thumbnail (320,240)
bob    peerMessageReceived: Image gray.png, (640,480), thumbnail (320,240)
alice  onMediaUploadingProgress: 5 of 5
alice  sendMessage: File notes.txt, 5 bytes
bob    peerMessageReceived: File notes.txt, 5 bytes
alice  onMediaUploadingProgress: 5 of 5
alice  sendMessage: Audio voice.mp3, 3s
bob    peerMessageReceived: Audio voice.mp3, 3s
alice  sendMessage: Video far.mp4, 1m0s
bob    peerMessageReceived: Video far.mp4, 1m0s
alice  sendMessage: Multiple [Text two in one] [File b.txt, 1 bytes]
bob    peerMessageReceived: Multiple [Text two in one] [File b.txt, 1 bytes]
bob    downloadMediaFile: jpeg of 320 x 240
bob    peerMessageReceived: Text lunch at noon?
bob    sendMessageReceiptsRead
alice  messageReceiptChanged: Done
bob    addMessageReaction
alice  messageReactionsChanged: 👍, 1 users
bob    pinMessage
alice  messagePinStatusChanged: Pinned: Text lunch at noon?
bob    replyMessage
alice  peerMessageReceived: Text yes
alice  messageRepliedCountChanged: 1
alice  editMessage
bob    messageReactionsChanged: 👍, 1 users
bob    messagePinStatusChanged: Pinned: Text lunch at noon?
bob    messageRepliedCountChanged: 1
bob    messageEdited: Text lunch at one?
alice  revokeMessage
bob    messageRevokeReceived: Revoke was: lunch at one?
bob    messagePinStatusChanged: NotPinned: Revoke was: lunch at one?
bob    peerMessageReceived: Combine the beginning (hello and a move)
alice  queryCombineMessageDetail: Text Hello, Bob!, Custom 7: e2-e4
bob    groupStateChanged: Enter Chess, Invited
bob    groupMessageReceived: Text who plays?
bob    roomStateChanged: Connecting final, ActiveEnter
bob    roomStateChanged: Connected final, Success
bob    roomMemberJoined: alice
bob    roomMessageReceived: Text it begins
bob    roomMessageReceived: Barrage wow
alice  conversation with Chess: 0 unread, 0 mentions, pinned false, last: Text who plays?
alice  conversation with Bob: 1 unread, 0 mentions, pinned false, last: Combine the beginning (hello and a move)
bob    conversation with Alice: 8 unread, 0 mentions, pinned true, last: Combine the beginning (hello and a move)
bob    conversation with Chess: 1 unread, 1 mentions, pinned false, last: Text who plays?
alice  conversation with Chess: 0 unread, 0 mentions, pinned false, last: Text who plays?
alice  conversation with Bob: 1 unread, 0 mentions, pinned false, last: Combine the beginning (hello and a move)
bob    conversation with Alice: 0 unread, 0 mentions, pinned true, last: Combine the beginning (hello and a move)
bob    conversation with Chess: 0 unread, 0 mentions, pinned false, last: Text who plays?
bob    broadcastMessageReceived: Text maintenance tonight
`

func TestMessages(t *testing.T) {
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
