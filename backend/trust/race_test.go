//go:build race

package trust_test

// The race detector makes the scheduler random.
const exact = false
