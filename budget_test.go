package zim_test

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// What a program that imports the SDK takes with it.
func TestBudgetOfModules(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	slices.Sort(direct)
	want := []string{"github.com/coder/websocket", "github.com/golang-jwt/jwt/v5", "golang.org/x/time", "google.golang.org/protobuf"}
	if !slices.Equal(direct, want) {
		t.Errorf("the direct dependencies are %q, want %q", direct, want)
	}

	minimal, modules := build(t, "minimal")
	floor, _ := build(t, "floor")
	t.Logf("%d modules, %.2f MB, %.2f MB of them for WebSocket and protobuf", modules, float64(minimal)/1e6, float64(floor)/1e6)
	if modules > 5 {
		t.Errorf("%d modules are compiled in, the budget is 5", modules)
	}
	if minimal > 9.5e6 {
		t.Errorf("a program with the SDK has %d bytes, the budget is 9.5 MB", minimal)
	}
	if own := minimal - floor; own > 1e6 {
		t.Errorf("the SDK adds %d bytes to a program, the budget is 1 MB", own)
	}
}

// build builds a program of testdata, and returns how large it is and how many modules it has.
func build(t *testing.T, program string) (size int64, modules int) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), program)
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "./testdata/"+program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size(), len(info.Deps)
}
