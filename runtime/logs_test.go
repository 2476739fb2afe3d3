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

func TestTail(t *testing.T) {
	b := &logbook{sink: &sink{}}
	for i := range 50 {
		b.line(LogLine{Text: fmt.Sprint(i)})
	}
	if got := b.last(); len(got) != tailSize || got[0] != "30" || got[19] != "49" {
		t.Errorf("got %q", got)
	}
}
