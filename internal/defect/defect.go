// Package defect plants the mistakes that the reliability suites must find, so that somebody has seen each of them fail.
//
// A program that is built without the tag zimdefect has none of them: On is false there at compile time. With the tag, ZIM_DEFECT names the
// one that is planted.
package defect

// A Name names a mistake.
type Name string

// The mistakes. Each is what some system of this kind has really done.
const (
	AckBeforeCommit     Name = "ack-before-commit"     // the service acknowledges what is not on the disk yet
	NoSync              Name = "no-sync"               // commits don't wait for the disk
	DedupeByKey         Name = "dedupe-by-key"         // other content under the same ID counts as the same message
	DedupeInMemory      Name = "dedupe-in-memory"      // a restart forgets what was stored
	NewIDOnResend       Name = "new-id-on-resend"      // what is sent again looks like another message
	CheckBeforeDedupe   Name = "check-before-dedupe"   // a stored message is refused, because its sender may no longer send
	NumberBurnt         Name = "number-burnt"          // a transaction that is undone leaves a hole
	GapAccepted         Name = "gap-accepted"          // a push behind a hole moves the cursor
	CursorBeforeHandler Name = "cursor-before-handler" // an event counts as handled before its handler ran
	RecoveredTwice      Name = "recovered-twice"       // what was accepted comes again after a reconnect
	EpochIgnored        Name = "epoch-ignored"         // a cursor of another store is taken for one of this
	EpochAdopted        Name = "epoch-adopted"         // a new epoch is adopted, without a word
	ResetUntold         Name = "reset-untold"          // what was left out counts as handled before the handler was told so
	FlagShared          Name = "flag-shared"           // a new connection is blamed for the heartbeat that the old one missed
	NoJitter            Name = "no-jitter"             // all clients come back together
	BackoffReset        Name = "backoff-reset"         // a connection that breaks at once counts as a good one
	HandlerOnReader     Name = "handler-on-reader"     // a slow handler stops the connection
	DestroyWaits        Name = "destroy-waits"         // Destroy waits for the handler that called it
	EvictedReconnects   Name = "evicted-reconnects"    // who was evicted comes back by itself
	NotFenced           Name = "not-fenced"            // the requests of an evicted session are still obeyed
	OlderToken          Name = "older-token"           // a renewal that was overtaken replaces the newer token
	SyncRetried         Name = "sync-retried"          // a failed sync is tried again, as if it had never happened
	OutboxUnbounded     Name = "outbox-unbounded"      // durable messages may fill the disk
	DirUnnamed          Name = "dir-unnamed"           // files are on the disk, and the name of their directory is not
	DropInsteadOfPull   Name = "drop-instead-of-pull"  // a slow handler loses what can be asked for again
	FloodsQueued        Name = "floods-queued"         // who sends too fast fills the queue of the store, and everybody is refused
)
