package runtime

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestLiner(t *testing.T) {
	const stamp = "2026-01-02T03:04:05.000000006Z "
	long := strings.Repeat("x", 3*maxLine)
	tests := map[string]struct {
		parts []string
		want  []string
	}{
		"whole lines":    {[]string{stamp + "a\n" + stamp + "b\n"}, []string{"a", "b"}},
		"cut anywhere":   {[]string{stamp[:7], stamp[7:] + "a", "b\n" + stamp, "c\n"}, []string{"ab", "c"}},
		"no newline":     {[]string{stamp + "the tail"}, []string{"the tail"}},
		"empty line":     {[]string{stamp + "\n"}, []string{""}},
		"carriage":       {[]string{stamp + "a\r\n"}, []string{"a"}},
		"colour":         {[]string{stamp + "\x1b[31mred\x07\n"}, []string{`\x1b[31mred\x07`}},
		"not UTF-8":      {[]string{stamp + "a\xffb\n"}, []string{`a\xffb`}},
		"direction":      {[]string{stamp + "a\u202eb\n"}, []string{`a\u202eb`}},
		"other scripts":  {[]string{stamp + "日本語 é\ttab\n"}, []string{"日本語 é\ttab"}},
		"long":           {[]string{stamp + long + "\n" + stamp + "next\n"}, []string{long[:maxLine] + " …", "next"}},
		"long, in parts": {[]string{stamp, long, long, "\n"}, []string{long[:maxLine] + " …"}},
		"no time":        {[]string{"what\n"}, []string{"what"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			w := &liner{each: func(l LogLine) {
				if name != "no time" && !l.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)) {
					t.Errorf("time %s", l.Time)
				}
				got = append(got, l.Text)
			}}
			for _, part := range test.parts {
				fmt.Fprint(w, part)
			}
			w.flush()
			if strings.Join(got, "|") != strings.Join(test.want, "|") {
				t.Errorf("got %.80q, want %.80q", got, test.want)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	tests := []struct{ line, level, text string }{
		{`level=info msg="it works"`, "info", "it works"},
		{`level=warning msg="frame is late" by_ms=12 why="too \"slow\""`, "warning", `frame is late by_ms=12 why="too \"slow\""`},
		{`level=error msg=word n=1`, "error", "word n=1"},
		{`level=debug msg="two\nlines \u001b[31m"`, "debug", `two\x0alines \x1b[31m`},
		{`level=error msg="cut in the mid`, "error", `"cut in the mid`},
		{`level=loud msg="no such level"`, "", `level=loud msg="no such level"`},
		{`level=info`, "", "level=info"},
		{`the level=info msg="stands inside"`, "", `the level=info msg="stands inside"`},
	}
	for _, test := range tests {
		var got LogLine
		w := &liner{each: func(l LogLine) { got = l }}
		fmt.Fprintln(w, test.line)
		if got.Level != test.level || got.Text != test.text {
			t.Errorf("%s: level %q, text %q", test.line, got.Level, got.Text)
		}
	}
}

func TestSessionsOfLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	tests := []struct{ line, session, level, text string }{
		{"session=main hello", "main", "", "hello"},
		{`session=s-2_b level=info msg="it works" n=1`, "s-2_b", "info", "it works n=1"},
		{"session=main ", "main", "", ""},
		{"session=main   Traceback:", "main", "", "  Traceback:"},
		{"session=main session=other x", "main", "", "session=other x"},
		{"session= session=mine x", "", "", "session=mine x"},
		{"session=main", "", "", "session=main"},
		{"session=a.b x", "", "", "session=a.b x"},
		{"session=" + long[:64] + " x", "", "", "session=" + long[:64] + " x"},
		{"session=main \x00\xff", "main", "", `\x00\xff`},
		{"the session=main x", "", "", "the session=main x"},
		{"session=" + long[:63] + " " + long, long[:63], "", long},
		{"session=main " + long + "y", "main", "", long + " …"},
	}
	for _, test := range tests {
		var got LogLine
		w := &liner{each: func(l LogLine) { got = l }}
		fmt.Fprintln(w, "2026-01-02T03:04:05.000000006Z "+test.line)
		if got.Session != test.session || got.Level != test.level || got.Text != test.text {
			t.Errorf("%.40s: session %q, level %q, text %.40q", test.line, got.Session, got.Level, got.Text)
		}
	}
}

func TestTail(t *testing.T) {
	b := &logbook{sink: &sink{}}
	for i := range 50 {
		b.line(LogLine{Text: fmt.Sprint(i)})
	}
	if got := b.last(); len(got) != tailSize || got[0] != "30" || got[19] != "49" {
		t.Errorf("got %q", got)
	}
}

// A line of a gigabyte, with and without an end, and one of random bytes take the
// memory of a line.
func TestLinerIsBounded(t *testing.T) {
	chunk := bytes.Repeat([]byte{'x', 0x1b, 0xff, 0}, 256<<10) // a MiB
	var got LogLine
	lines := 0
	w := &liner{each: func(l LogLine) { got, lines = l, lines+1 }}
	fmt.Fprint(w, "2026-01-02T03:04:05Z ")
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	for range 1 << 10 {
		if n, err := w.Write(chunk); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	goruntime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 || cap(w.line) > 4*maxLine {
		t.Errorf("%d bytes allocated, %d kept", grown, cap(w.line))
	}
	if lines > 0 {
		t.Errorf("%d lines before the end of one", lines)
	}
	fmt.Fprint(w, "\n2026-01-02T03:04:06Z next\n")
	if lines != 2 || got.Text != "next" {
		t.Errorf("%d lines, the last is %.40q", lines, got.Text)
	}
	for seed := range 1000 {
		random := rand.New(rand.NewPCG(1, uint64(seed)))
		for range 100 {
			fmt.Fprintf(w, "%c", rune(random.IntN(1<<12)))
		}
		fmt.Fprintln(w)
		if strings.ContainsFunc(got.Text, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
			t.Fatalf("seed %d: %q", seed, got.Text)
		}
	}
}

func BenchmarkLiner(b *testing.B) {
	line := []byte("2026-01-02T03:04:05.000000006Z a line as a node writes that somebody debugs, of a usual length\n")
	flood := bytes.Repeat(line, 300)
	w := &liner{each: func(LogLine) {}}
	b.SetBytes(int64(len(flood)))
	for b.Loop() {
		_, _ = w.Write(flood)
	}
}
