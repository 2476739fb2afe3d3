package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// oneOf refuses a flag's value with exit code 2.
func oneOf(flag, value string, values ...string) error {
	if slices.Contains(values, value) {
		return nil
	}
	return exit(exitUsage, fmt.Sprintf("%s %q: want %s", flag, value, strings.Join(values, ", ")))
}

// logSink prints log lines: the time, the node, the session unless it is main, the
// line; or as JSON lines.
func logSink(w io.Writer, color, asJSON bool) runtime.LogSink {
	var mu sync.Mutex
	paint := painter(color)
	return func(l runtime.LogLine) {
		mu.Lock()
		defer mu.Unlock()
		if asJSON {
			_ = json.NewEncoder(w).Encode(l)
			return
		}
		who := l.Node
		if l.Session != "" && l.Session != "main" {
			who += " (" + l.Session + ")"
		}
		at, from := paint("2", l.Time.Local().Format("15:04:05.000")), paint("36", who+" |")
		fmt.Fprintf(w, "%s %s %s%s\n", at, from, levelMark(paint, l.Level), l.Text)
	}
}

// levelMark stands before the text of a line; the usual level needs none.
func levelMark(paint func(code, text string) string, level string) string {
	switch level {
	case "error":
		return paint("31", "ERROR") + " "
	case "warning":
		return paint("33", "WARNING") + " "
	case "debug":
		return paint("2", "DEBUG") + " "
	}
	return ""
}

// painter puts text into an ANSI colour, or leaves it.
func painter(color bool) func(code, text string) string {
	return func(code, text string) string {
		if !color {
			return text
		}
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
}

// explainNode joins the failure of a node to the node's line in the pipeline
// file: what failed, its traceback or last log lines, where it is written, and
// what may mend it.
func (e *env) explainNode(s *source, err error) error {
	var b strings.Builder
	var node, hint string
	if failed, ok := errors.AsType[*runtime.NodeError](err); ok {
		node, hint = failed.Node, image.ImportHint(append(strings.Split(failed.Traceback, "\n"), failed.Log...))
		fmt.Fprintf(&b, "%s", failed)
		details(&b, failed.Traceback, failed.Log)
	} else if failed, ok := errors.AsType[*image.BuildError](err); ok {
		node, hint = failed.Node, failed.Hint
		fmt.Fprintf(&b, "%s", failed)
		details(&b, "", failed.Log)
	} else {
		return e.explainGPU(s, err)
	}
	if hint != "" {
		b.WriteString("\n      = hint: " + hint)
	}
	n := s.spec.Node(node)
	if n == nil {
		return exit(exitFailed, b.String())
	}
	at := pipeline.Diagnostic{File: s.path, Pos: n.ID.Pos, Message: b.String()}
	return exit(exitFailed, at.Error())
}

// details are the lines below an error: the traceback, or where it ends if the
// log has all that; else the last lines of the log.
func details(b *strings.Builder, traceback string, log []string) {
	if traceback != "" {
		lines := strings.Split(strings.TrimRight(traceback, "\n"), "\n")
		end := lastFrame(lines)
		if contains(log, end) {
			lines = end // whoever reads this has just read the rest
		}
		log = lines
	}
	if len(log) == 1 && strings.Contains(b.String(), log[0]) {
		return // said already
	}
	for _, line := range log {
		b.WriteString("\n    " + middleOut(line))
	}
}

// longLine is how many characters of a line are shown below an error: pip names
// every version there is when it does not find the one that was asked for.
const longLine = 400

// middleOut is a line without its middle if it is long.
func middleOut(line string) string {
	r := []rune(line)
	if len(r) <= longLine {
		return line
	}
	return string(r[:longLine/2]) + " … " + string(r[len(r)-longLine/2:])
}

// lastFrame are the lines of a Python traceback from the innermost frame on, or
// all if it has none: in which line it was, and what was raised.
func lastFrame(lines []string) []string {
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], `  File "`) {
			return lines[i:]
		}
	}
	return lines
}

// contains tells whether the lines of part stand in all, one after the other.
func contains(all, part []string) bool {
	for i := 0; i+len(part) <= len(all); i++ {
		if slices.Equal(all[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

// count is a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
