//go:build unix

package pipeline_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// hostile texts are far below or above the size limit and each attacks another
// bound.
func hostile() map[string]string {
	const head = "version: v1\nnodes:\n"
	docker := "x-d: &d {source: ., python_packages: [" + strings.Repeat(strings.Repeat("a", 200)+"!, ", 90) + "]}\n"
	var bomb, wide, ids, chain strings.Builder
	bomb.WriteString("x-a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&bomb, "x-a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9))
	}
	for i := range 2000 {
		fmt.Fprintf(&wide, "  - {id: n%d, node_type: 'm:C', docker: *d}\n", i)
	}
	for i := range 450 {
		fmt.Fprintf(&ids, "  - {id: %s%d, node_type: X}\n", strings.Repeat("i", 50), i)
	}
	ids.WriteString("connections:\n")
	for i := range 900 {
		fmt.Fprintf(&ids, "  - {from: %s%d, to: %s%d}\n", strings.Repeat("j", 50), i, strings.Repeat("i", 50), i%450)
	}
	for i := range 490 {
		fmt.Fprintf(&chain, "  - {id: n%d, node_type: m:C, docker: {source: .}}\n", i)
	}
	chain.WriteString("connections:\n")
	for i := 489; i > 0; i-- {
		fmt.Fprintf(&chain, "  - {from: n%d, to: n%d}\n  - {from: n%d, to: n%d}\n", i-1, i, i, i-1)
	}
	// lists of a node on one line of the file, each item wrong or twice
	packages := func(n int, item string) string {
		return head + "  - {id: a, node_type: 'm:C', docker: {source: ., python_packages: [" + strings.Repeat(item+", ", n) + "]}}\n"
	}
	return map[string]string{
		"packages":         packages(4000, strings.Repeat("a.", 120)+"!"),
		"markers":          packages(4000, "'a; "+strings.Repeat("(", 60)+"\"a\" in os_name'"),
		"debian":           strings.ReplaceAll(packages(4000, strings.Repeat("a+", 120)+"_"), "python_packages", "system_dependencies"),
		"same keys":        head + "  - {id: a, node_type: 'm:C', docker: {source: .}, params: {" + strings.Repeat("k: 1, ", 11_000) + "}}\n",
		"env twice":        head + "  - {id: a, node_type: 'm:C', docker: {source: ., env: {" + names(5000, ": x") + "}, env_from: [" + names(5000, "") + names(5000, "") + "]}}\n",
		"aliases":          bomb.String(),
		"merge":            strings.ReplaceAll(bomb.String(), "[x", "[{k: v}, x") + "x: {<<: *a39}\n",
		"merge of itself":  "x-a: &a {<<: *a}\n",
		"depth flow":       strings.Repeat("[", 100_000),
		"depth block":      strings.Repeat("- ", 100_000),
		"depth keys":       strings.Repeat("? ", 100_000),
		"depth mapping":    strings.Repeat("{a: ", 20_000),
		"2 MiB":            strings.Repeat("a: 1\n", 2<<20/5),
		"one long scalar":  strings.Repeat("a", 1<<20),
		"many scalars":     "[" + strings.Repeat("a,", 500_000) + "]",
		"many quoted":      "[" + strings.Repeat("'',", 300_000) + "]",
		"many anchors":     strings.Repeat("&a ", 300_000),
		"many aliases":     "x: [&a 1, " + strings.Repeat("*a,", 300_000) + "]",
		"many tags":        strings.Repeat("!!str ", 150_000),
		"many unknown":     unknown(14_000),
		"just under":       "[" + strings.Repeat("a,", 23_900) + "]",
		"patterns":         docker + head + wide.String(),
		"near words":       head + ids.String(),
		"cycles":           head + chain.String(),
		"float by alias":   "x: &a 0." + strings.Repeat("0", 900_000) + "\n" + head + "  - {id: a, node_type: m:C, params: {" + keys(4900) + "}}\n",
		"text by alias":    "x: &a " + strings.Repeat("x", 900_000) + "\n" + head + "  - {id: a, node_type: m:C, docker: {source: ., env: {" + keys(4900) + "}}}\n",
		"digits by alias":  "x: &a '" + strings.Repeat("1", 900_000) + "'\n" + head + "  - {id: a, node_type: m:C, docker: {source: .}}\nconnections:\n" + strings.Repeat("  - {from: a, to: a, buffer: *a}\n", 200),
		"size by alias":    "x: &a " + strings.Repeat("x", 900_000) + "\n" + head + strings.Repeat("  - {id: a, node_type: m:C, outputs: {x: {max_frame: *a}}, docker: {source: .}}\n", 200),
		"keys by alias":    "x: &a {" + strings.Repeat("k", 900_000) + ": 1}\n" + head + strings.Repeat("  - {id: a, node_type: m:C, docker: {source: ., env: *a}}\n", 400),
		"digits":           head + "  - {id: a, params: {n: " + strings.Repeat("9", 1_000_000) + "}}\n",
		"long key":         strings.Repeat("k", 900) + ": 1\n",
		"ports":            head + "  - {id: a, node_type: m:C, outputs: {" + ports(5000) + "}}\n",
		"bad bytes":        strings.Repeat("\xff", 1<<20),
		"carriage returns": strings.Repeat("\r", 1<<20),
		"comments":         strings.Repeat("#", 1<<20),
		"spaces":           strings.Repeat(" ", 1<<20),
		"directives":       strings.Repeat("%TAG ! !\n", 100_000),
	}
}

func unknown(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func names(n int, after string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "A%d%s, ", i, after)
	}
	return b.String()
}

func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: *a, ", i)
	}
	return b.String()
}

func ports(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "p%d: {}, ", i)
	}
	return b.String()
}

// cost is what the process used while f ran: processor time, not the clock's,
// which counts what else the machine does, and all bytes allocated, which is the
// same in every run and never less than what was held at once.
func cost(t *testing.T, f func()) (cpu time.Duration, memory uint64) {
	t.Helper()
	var before, after syscall.Rusage
	var heap, now runtime.MemStats
	runtime.ReadMemStats(&heap)
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		t.Fatal(err)
	}
	f()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&now)
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	return time.Duration(used), now.TotalAlloc - heap.TotalAlloc
}

func TestThreatT1HostileFiles(t *testing.T) {
	const maxTime, maxMemory = 100 * time.Millisecond * slowdown, 50 << 20
	for name, text := range hostile() {
		cpu, memory := time.Hour, uint64(0)
		for range 5 { // a shared core's caches and clock are not the parser's
			var all pipeline.Diagnostics
			var b bytes.Buffer
			used, allocated := cost(t, func() { // up to what the user reads
				_, err := pipeline.Parse("p.yaml", []byte(text), builtins())
				all, _ = pipeline.AsDiagnostics(err)
				if err := all.Format(&b, []byte(text), false); err != nil {
					t.Error(err)
				}
			})
			cpu, memory = min(cpu, used), allocated
			if len(all) == 0 || len(all) > 100 {
				t.Errorf("%s: %d diagnostics", name, len(all))
			}
			if b.Len() > 100_000 {
				t.Errorf("%s: %d bytes of text", name, b.Len())
			}
			if cpu < maxTime {
				break
			}
		}
		t.Logf("%-16s %v, %.1f MB", name, cpu.Round(time.Millisecond/10), float64(memory)/1e6)
		if cpu > maxTime || memory > maxMemory {
			t.Errorf("%s took %v and %d bytes", name, cpu, memory)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, dir := range []string{"ok", "err"} {
		for _, src := range cases(f, dir) {
			f.Add(src)
		}
	}
	known := builtins()
	f.Fuzz(func(t *testing.T, src []byte) {
		spec, err := pipeline.Parse("p.yaml", src, known)
		all, _ := pipeline.AsDiagnostics(err)
		if (spec == nil) == (err == nil) || err != nil && !all.HasErrors() || len(all) > 100 {
			t.Fatalf("spec %v, error %v", spec, err)
		}
		if spec != nil {
			all = spec.Warnings
		}
		lines := textLines(src)
		for _, d := range all {
			if d.Message == "" || d.Pos.Line < 1 || d.Pos.Line > len(lines) || d.Pos.Col < 1 ||
				d.Pos.Col > utf8.RuneCountInString(lines[d.Pos.Line-1])+1 {
				t.Errorf("%+v of %d lines", d, len(lines))
			}
		}
		var b bytes.Buffer
		if err := errors.Join(all.Format(&b, src, false), all.GitHub(&b)); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(b.String(), unprintable); i >= 0 {
			t.Errorf("raw character in %q", b.String()[i:])
		}
		if _, err := json.Marshal(all); err != nil {
			t.Error(err)
		}
		again, err := pipeline.Parse("p.yaml", src, known)
		other, _ := pipeline.AsDiagnostics(err)
		nan := bytes.Contains(bytes.ToLower(src), []byte(".nan")) // is equal to nothing
		if spec != nil && !nan && !reflect.DeepEqual(spec, again) || spec == nil && !reflect.DeepEqual(all, other) {
			t.Errorf("two readings: %v, %v", all, other)
		}
	})
}

// textLines breaks where YAML does.
func textLines(src []byte) []string {
	text := strings.TrimPrefix(string(src), "\ufeff")
	return strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
}
