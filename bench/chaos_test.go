//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestChaos is the short form of make chaos. Where no engine of its own can be
// started it says what it does not kill.
func TestChaos(t *testing.T) {
	needPlugin(t)
	var out strings.Builder
	err := chaos(t.Context(), &out, 45*time.Second, uint64(time.Now().UnixNano())%1e6, testing.Verbose())
	t.Log("\n" + out.String())
	if err != nil {
		t.Error(err)
	}
}

// needPlugin skips what runs containers.
func needPlugin(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped: runs containers, which -short leaves out")
	}
	for _, args := range [][]string{{"version"}, {"medianode", "version"}} {
		if _, err := docker(t.Context(), "", args...); err != nil {
			t.Skipf("skipped: no engine or no plugin: %v", err)
		}
	}
}

// TestAccounts: a frame that nobody has counted is found, whoever lost it.
func TestAccounts(t *testing.T) {
	dir := t.TempDir()
	line := `{"sequence":%,"value":{"session":"s1","mid":%,"last":%}}` + "\n"
	lines := func(numbers ...string) string {
		var b strings.Builder
		for _, n := range numbers {
			b.WriteString(strings.ReplaceAll(line, "%", n))
		}
		return b.String()
	}
	report := `{"state":"ended","connections":[{"from":"src.output","to":"mid.input","frames":3},{"from":"mid.output","to":"last.input","frames":3},{"from":"last.output","to":"out.input","frames":3}]}`
	all := tally{sent: 3, received: 3, there: true}
	tests := map[string]struct {
		lines, report string
		first         tally
		want          string
	}{
		"all came":             {lines("0", "1", "2"), report, all, ""},
		"one is nowhere":       {lines("0", "1", "2"), report, tally{sent: 4, received: 3, there: true}, "1 are not accounted for"},
		"the report differs":   {lines("0", "1", "2"), strings.Replace(report, `"frames":3`, `"frames":4`, 1), all, "the report has 4 frames"},
		"received and away":    {lines("0", "1", "2"), strings.Replace(report, `"frames":3`, `"frames":4`, 1), tally{sent: 4, received: 4, there: true}, "1 of the frames that mid.input received did not come out"},
		"out of order":         {lines("0", "2", "1"), report, all, "out of order"},
		"twice":                {lines("0", "1", "1"), report, all, "out of order"},
		"of another":           {strings.Replace(lines("0", "1", "2"), "s1", "s2", 1), report, all, "is a frame of session s2"},
		"killed on the way":    {lines("0", "1"), "", tally{sent: 3, received: 2, there: true}, ""},
		"more than on the way": {lines("0", "1"), "", tally{sent: 99, received: 2, there: true}, "97 are not accounted for"},
	}
	wires := chaosConnections()[:3]
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &life{name: "s1", file: filepath.Join(dir, "s1.jsonl"), gone: make(chan struct{}), counts: newCounts(dir, "s1", wires)}
			close(s.gone)
			if err := os.WriteFile(s.file, []byte(test.lines), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _ = s.stdout.Write([]byte(test.report))
			s.counts.last = []tally{test.first, all, all}
			_, err := s.accounts(wires)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
