package runtime

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// sample is the file that the SDK writes.
func sample(words ...uint64) []byte {
	raw := make([]byte, 8*usageWords)
	binary.LittleEndian.PutUint64(raw, usageMagic)
	for i, w := range words {
		binary.LittleEndian.PutUint64(raw[8*(i+1):], w)
	}
	binary.LittleEndian.PutUint64(raw[8*15:], words[0])
	return raw
}

func putUsage(t *testing.T, dir, node string, raw []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "iox"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(usagePath(dir, node), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUsage(t *testing.T) {
	const mib = 1 << 20
	dir := t.TempDir()
	if u := readUsage(dir, "n"); u != nil {
		t.Errorf("of nobody: %+v", u)
	}
	putUsage(t, dir, "n", sample(7, 5e9, 90*mib, 95*mib, 120*mib, 30*mib, 10*mib, 128*mib, 2e9, 1500, 200, 50, 3e9, 70*mib))
	u := readUsage(dir, "n")
	want := Usage{
		Time: time.Unix(5, 0), Memory: 90 * mib, MemoryMost: 95 * mib, MemoryPeak: 120 * mib, Frames: 20 * mib, Files: 10 * mib, Limit: 128 * mib, RSSPeak: 70 * mib,
		CPUS: 2, CPUMost: 1.5, Throttled: 0.25, ThrottledS: 3, Periods: 200, Held: 50,
	}
	if u == nil || *u != want {
		t.Errorf("got %+v\nwant %+v", u, want)
	}
	torn := sample(7, 1)
	torn[8*15]++
	for name, raw := range map[string][]byte{"torn": torn, "short": torn[:40], "empty": nil, "foreign": make([]byte, 8*usageWords)} {
		putUsage(t, dir, "n", raw)
		if u := readUsage(dir, "n"); u != nil {
			t.Errorf("%s: %+v", name, u)
		}
	}
}
