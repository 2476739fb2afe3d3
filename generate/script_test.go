package generate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What uv cannot do pip tries; a package that does not compile would not for
// pip either.
func TestInstallers(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip(err)
	}
	const program = `
import sys
sys.path.insert(0, "build")
import installers
installers.CACHE = sys.argv[2]
installers.find_uv = lambda: sys.argv[1] or None
installers.with_pip = lambda arguments: print("pip", arguments)
installers.install_with_any(["six"])
`
	for name, tc := range map[string]struct {
		uv, want string
		code     int
	}{
		"well":           {"exit 0", "", 0},
		"no TLS":         {"echo error: invalid peer certificate >&2; exit 2", "medianode: uv could not install the packages (exit code 2): pip tries\npip ['six']\n", 0},
		"not compiled":   {"echo '  x Failed to build six==1' >&2; exit 1", "", 1},
		"killed":         {"kill -9 $$", "medianode: uv could not install the packages (exit code -9): pip tries\npip ['six']\n", 0},
		"not to be had ": {"", "pip ['six']\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			uv := ""
			if tc.uv != "" {
				uv = filepath.Join(t.TempDir(), "uv")
				if err := os.WriteFile(uv, []byte("#!/bin/sh\n"+tc.uv+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			c := exec.Command(python, "-B", "-c", program, uv, t.TempDir())
			var stderr strings.Builder
			c.Stderr = &stderr
			out, err := c.Output()
			if string(out) != tc.want || c.ProcessState.ExitCode() != tc.code {
				t.Errorf("%v, %q, want exit code %d, %q; stderr %s", err, out, tc.code, tc.want, stderr.String())
			}
		})
	}
}
