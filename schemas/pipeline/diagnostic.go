package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity tells a mistake from advice.
type Severity int

// The severities: an Error keeps the pipeline from running, a Warning does not.
const (
	Error Severity = iota
	Warning
)

// String returns the word that diagnostics are printed with.
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Diagnostic is one finding. User text inside Path, Message and Hint is already
// escaped, so that all of them may go to a terminal.
type Diagnostic struct {
	File                string
	Pos                 Pos
	Path, Message, Hint string
	Severity            Severity
}

// MarshalJSON writes an object that always has the same keys: file, line and
// column (from 1, in characters), path, severity (error or warning), message
// and hint. Path and hint may be empty.
func (d *Diagnostic) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File     string `json:"file"`
		Line     int    `json:"line"`
		Column   int    `json:"column"`
		Path     string `json:"path"`
		Severity string `json:"severity"`
		Message  string `json:"message"`
		Hint     string `json:"hint"`
	}{d.File, d.Pos.Line, d.Pos.Col, d.Path, d.Severity.String(), d.Message, d.Hint})
}

// Error returns "file:line:col: path: message" on one line, without the hint.
func (d *Diagnostic) Error() string {
	return d.where() + ": " + d.what()
}

func (d *Diagnostic) where() string {
	return fmt.Sprintf("%s:%d:%d", printable(d.File), d.Pos.Line, d.Pos.Col)
}

func (d *Diagnostic) what() string {
	text := d.Message
	if d.Path != "" {
		text = d.Path + ": " + text
	}
	if d.Severity == Warning {
		text = "warning: " + text
	}
	return text
}

// Diagnostics is everything found in one file, sorted by position.
type Diagnostics []*Diagnostic

// Error joins the one-line forms.
func (ds Diagnostics) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As each *Diagnostic.
func (ds Diagnostics) Unwrap() []error {
	errs := make([]error, len(ds))
	for i, d := range ds {
		errs[i] = d
	}
	return errs
}

// HasErrors tells whether more than warnings were found.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d *Diagnostic) bool { return d.Severity == Error })
}

// AsDiagnostics returns the Diagnostics inside err, if there are any.
func AsDiagnostics(err error) (Diagnostics, bool) {
	return errors.AsType[Diagnostics](err)
}

// tidy sorts by position and keeps one of those that say the same of the same
// place: an alias brings a mistake to several paths, it is still one mistake.
func (ds Diagnostics) tidy() Diagnostics {
	slices.SortStableFunc(ds, func(a, b *Diagnostic) int {
		if a.Pos.Line != b.Pos.Line {
			return a.Pos.Line - b.Pos.Line
		}
		return a.Pos.Col - b.Pos.Col
	})
	type same struct {
		pos     Pos
		message string
	}
	seen := make(map[same]bool, len(ds))
	return slices.DeleteFunc(ds, func(d *Diagnostic) bool {
		k := same{d.Pos, d.Message}
		dup := seen[k]
		seen[k] = true
		return dup
	})
}
