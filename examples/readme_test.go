package examples_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme runs the pipeline that the README has its reader write, on two
// tenths of a second of silence.
func TestReadme(t *testing.T) {
	text := read(t, "..", "README.md")
	dir := t.TempDir()
	for name, fence := range map[string]string{"pipeline.yaml": "```yaml\n", filepath.Join("nodes", "meter.py"): "```python\n"} {
		_, rest, _ := strings.Cut(text, fence)
		block, _, ok := strings.Cut(rest, "```")
		if !ok {
			t.Fatalf("no %q in the README", strings.TrimSpace(fence))
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "speech.wav"), silence(3200), 0o600); err != nil {
		t.Fatal(err)
	}
	// Containers run as another user than root.
	for _, name := range []string{"nodes", filepath.Join("nodes", "meter.py")} {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := startIn(t, "readme", dir).up(t)
	if got := strings.Count(r.stdout, `"rms":0`); got != 10 {
		t.Errorf("%d lines for 10 frames of 20 ms: %s", got, r)
	}
}

// silence is a WAV file of 16 kHz mono with 16 bits a sample.
func silence(samples int) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00")
	for _, v := range []any{uint16(1), uint16(1), uint32(16000), uint32(32000), uint16(2), uint16(16)} {
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(2*samples))
	b = append(b, make([]byte, 2*samples)...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}
