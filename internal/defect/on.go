//go:build zimdefect

package defect

import "os"

var planted = Name(os.Getenv("ZIM_DEFECT"))

// On reports whether the mistake is planted.
func On(name Name) bool { return name == planted }
