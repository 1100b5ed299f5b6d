//go:build !race

package trust_test

const exact = true
