//go:build race

package store_test

// The race detector takes ten times as long, and the simulated disks have one thread to show it.
const slow = 10
