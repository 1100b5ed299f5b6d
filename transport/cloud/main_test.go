package cloud_test

import (
	"testing"

	"github.com/zim-go/zim/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
