//go:build !race

package store_test

const slow = 1
