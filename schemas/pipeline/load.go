package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds on a file and on what is said about it. What they keep out is text that costs far more to read than
// to write; none is near what a pipeline needs.
const (
	maxBytes      = 1 << 20
	maxDepth      = 64
	maxDiags      = 100
	maxIndicators = 24_000 // places where YAML may begin a token
	maxExpanded   = 5_000  // values that aliases and merge keys bring in
	maxAliased    = 65_536 // bytes of text that they bring in
)

// source is the text of one file on its way to a tree.
type source struct {
	file     string
	lines    []string // of a text that may be read
	diags    Diagnostics
	expanded int                 // values, and
	aliased  int                 // bytes, that aliases brought in
	active   map[*yaml.Node]bool // anchors being expanded now
}

func (s *source) report(sev Severity, at Pos, path, hint, format string, args ...any) {
	if at.Line < 1 {
		at = Pos{1, 1}
	} else if len(s.lines) > 0 && at.Line > len(s.lines) {
		at = inside(s.lines, at) // a value left out stands where the file ends
	}
	switch {
	case s.full():
		return
	case len(s.diags) == maxDiags-1:
		path, hint, format, args = "", "mend these first", "more mistakes follow", nil
	}
	s.diags = append(s.diags, &Diagnostic{
		File: s.file, Pos: at, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint, Severity: sev,
	})
}

// full tells that nothing more is reported, so that looking for more, and for
// hints, may stop.
func (s *source) full() bool { return len(s.diags) >= maxDiags }

func (s *source) fail(at Pos, path, hint, format string, args ...any) {
	s.report(Error, at, path, hint, format, args...)
}

// load returns the root of the file's only document, or nil after a report.
func (s *source) load(src []byte) *node {
	if !s.readable(src) {
		return nil
	}
	s.lines = splitLines(src)
	loader, err := yaml.NewLoader(bytes.NewReader(bytes.TrimPrefix(src, []byte("\ufeff"))))
	if err != nil {
		s.fail(Pos{1, 1}, "", "", "%s", printable(err.Error()))
		return nil
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		s.fail(Pos{1, 1}, "", "a pipeline begins with version: v1", "the file is empty")
		return nil
	case err != nil:
		s.syntax(err)
		return nil
	}
	switch err := loader.Load(&second); {
	case err == nil:
		s.fail(place(&second), "", "put each pipeline in a file of its own", "only one document may be in a file")
		return nil
	case !errors.Is(err, io.EOF):
		s.syntax(err)
		return nil
	}
	if len(doc.Content) != 1 {
		s.fail(Pos{1, 1}, "", "", "the file is empty")
		return nil
	}
	root := s.build(doc.Content[0], 1, false)
	if s.stop() || root.kind == broken {
		return nil
	}
	return root
}

// readable refuses what the YAML reader would take too long for, or would
// refuse without a position.
func (s *source) readable(src []byte) bool {
	if len(src) > maxBytes {
		s.fail(Pos{1, 1}, "", "keep data in files of their own", "the file has %d bytes, more than 1 MiB", len(src))
		return false
	}
	at, indicators := Pos{1, 1}, 0
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			s.fail(at, "", "save the file as UTF-8", "this byte is not UTF-8")
			return false
		case i > 0 && forbidden(r):
			s.fail(at, "", `write it as an escape in double quotes, "\u`+fmt.Sprintf("%04x", r)+`"`,
				"the control character U+%04X may not stand in the file", r)
			return false
		case i == 0 && r == 0xFEFF:
			i += size
			continue
		case r < utf8.RuneSelf && strings.IndexByte(",\n\r:-?&*!|>[]{}'\"", byte(r)) >= 0:
			indicators++
		}
		i += size
		at.Col++
		if r == '\n' || r == '\r' && !bytes.HasPrefix(src[i:], []byte("\n")) {
			at = Pos{at.Line + 1, 1}
		}
	}
	if indicators > maxIndicators {
		s.fail(Pos{1, 1}, "", "keep data in files of their own", "the file holds too many values (more than about %d)", maxIndicators)
		return false
	}
	return true
}

// forbidden lists what YAML does not print and what its reader takes for a line
// break although YAML 1.2 does not, which would shift every position.
func forbidden(r rune) bool {
	switch r {
	case '\t', '\n', '\r':
		return false
	case 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF:
		return true
	}
	return unicode.IsControl(r)
}

func (s *source) syntax(err error) {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		s.fail(Pos{1, 1}, "", "", "not YAML: %s", printable(err.Error()))
		return
	}
	at := Pos{le.Mark.Line, le.Mark.Column}
	// An open quote is found at the end of the file, and a colon missed on the line
	// below; the mistake is where what was read began.
	late := strings.Contains(le.Message, "end of stream") || strings.Contains(le.Message, "expected ':'")
	if at.Line < 1 || late && le.ContextMark.Line > 0 {
		at = Pos{le.ContextMark.Line, le.ContextMark.Column}
	}
	at, opened := inside(s.lines, at), inside(s.lines, Pos{le.ContextMark.Line, le.ContextMark.Column})
	s.fail(at, "", syntaxHint(le.Message, s.lines, at, opened), "not YAML: %s", printable(le.Message))
}

// inside is the place nearest to at that the text has.
func inside(lines []string, at Pos) Pos {
	at.Line = min(max(1, at.Line), len(lines))
	at.Col = min(max(1, at.Col), utf8.RuneCountInString(lines[at.Line-1])+1)
	return at
}

func place(y *yaml.Node) Pos { return Pos{max(1, y.Line), max(1, y.Column)} }
