package store_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		appendForEver(path)
	}
	goleak.VerifyTestMain(m)
}
