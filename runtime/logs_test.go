package runtime

import (
	"fmt"
	"strings"
	"testing"
	"time"
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

func TestTail(t *testing.T) {
	b := &logbook{sink: &sink{}}
	for i := range 50 {
		b.line(LogLine{Text: fmt.Sprint(i)})
	}
	if got := b.last(); len(got) != tailSize || got[0] != "30" || got[19] != "49" {
		t.Errorf("got %q", got)
	}
}
