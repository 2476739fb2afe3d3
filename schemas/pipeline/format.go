package pipeline

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// window is how much of a long source line is shown around the caret.
const window = 100

// Format writes each diagnostic: "file:line:col: path: message", the line of
// src it is about with a caret below, and the hint. Escapes in src do not reach
// w; the only ones written are those that color asks for.
func (ds Diagnostics) Format(w io.Writer, src []byte, color bool) error {
	l := listing{lines: splitLines(src)}
	var b bytes.Buffer
	for _, d := range ds {
		d.format(&b, &l, color)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// listing is the text that diagnostics show lines of. A line may be as long as
// the file and hold a hundred mistakes, one after the other: its characters are
// told apart once.
type listing struct {
	lines []string
	last  int // the line that runes is, from 1
	runes []rune
}

// line returns a line of the text, or false where there is none.
func (l *listing) line(n int) ([]rune, bool) {
	if n < 1 || n > len(l.lines) {
		return nil, false
	}
	if n != l.last {
		l.last, l.runes = n, []rune(l.lines[n-1])
	}
	return l.runes, true
}

func (d *Diagnostic) format(b *bytes.Buffer, l *listing, color bool) {
	paint := func(code, s string) string {
		if !color {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	code := "31;1"
	if d.Severity == Warning {
		code = "33;1"
	}
	fmt.Fprintf(b, "%s: %s\n", paint("1", d.where()), paint(code, d.what()))
	if text, pad, width := l.excerpt(d.Pos); width > 0 {
		caret := "^" + strings.Repeat("~", width-1)
		fmt.Fprintf(b, "%5d | %s\n      | %s%s\n", d.Pos.Line, text, strings.Repeat(" ", pad), paint("32", caret))
	}
	if d.Hint != "" {
		fmt.Fprintf(b, "      = hint: %s\n", d.Hint)
	}
}

// excerpt returns the source line made harmless, one column for each character,
// the columns before the caret, and the caret's width: 0 if there is no line.
func (l *listing) excerpt(at Pos) (text string, pad, width int) {
	line, there := l.line(at.Line)
	if !there || at.Col < 1 {
		return "", 0, 0
	}
	pad = min(at.Col-1, len(line))
	width = tokenWidth(line[pad:min(len(line), pad+window+1)])
	start, end := 0, len(line)
	if end > window {
		start = max(0, min(pad-window/2, end-window))
		end = start + window
	}
	pad -= start
	width = max(1, min(width, end-start-pad))
	clean := make([]rune, 0, end-start)
	for _, r := range line[start:end] {
		switch {
		case r == '\t':
			r = ' '
		case !unicode.IsPrint(r):
			r = unicode.ReplacementChar
		}
		clean = append(clean, r)
	}
	return strings.TrimRight(string(clean), " "), pad, width
}

// tokenWidth guesses where the scalar or key that starts here ends.
func tokenWidth(rest []rune) int {
	if len(rest) == 0 {
		return 1
	}
	switch q := rest[0]; q {
	case '[', '{', '|', '>', '-', '&', '*':
		if len(rest) < 2 || rest[0] != '-' && rest[0] != '*' || rest[1] == ' ' {
			return 1
		}
	case '"', '\'':
		for i := 1; i < len(rest); i++ {
			if rest[i] == '\\' && q == '"' {
				i++
			} else if rest[i] == q {
				return i + 1
			}
		}
		return len(rest)
	}
	for i, r := range rest {
		next := ' '
		if i+1 < len(rest) {
			next = rest[i+1]
		}
		if r == ',' || r == ']' || r == '}' || r == ':' && next == ' ' || r == ' ' && (next == '#' || next == ' ') {
			return max(1, i)
		}
	}
	return len(rest)
}

// splitLines breaks where YAML does: LF, CR LF, and CR alone.
func splitLines(src []byte) []string {
	text := strings.TrimPrefix(string(src), "\ufeff")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
}
