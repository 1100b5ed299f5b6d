//go:build !race

package zimtest_test

const exact = true
