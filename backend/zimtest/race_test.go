//go:build race

package zimtest_test

// The race detector makes the scheduler random.
const exact = false
