package plugin

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// TestFailureOfNode: where, what, the last lines, and what to write.
func TestFailureOfNode(t *testing.T) {
	text := "version: v1\nnodes:\n  - {id: mic, node_type: 'm:M', docker: {source: src}}\n"
	spec, err := pipeline.Parse("p.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{path: "p.yaml", text: []byte(text), spec: spec}
	const lib = "ImportError: libportaudio.so.2: cannot open shared object file"
	for want, err := range map[string]error{
		"p.yaml:3:10: build mic: RUN x: exit code: 1\n    a\n    b\n      = hint: write c": &image.BuildError{
			Node: "mic", Step: "RUN x", Log: []string{"a", "b"}, Hint: "write c", Err: errors.New("exit code: 1"),
		},
		"p.yaml:3:10: build mic: exit code: 1": fmt.Errorf("all: %w", &image.BuildError{Node: "mic", Err: errors.New("exit code: 1")}),
		"p.yaml:3:10: node mic: import: " + lib + "\n      = hint: add system_dependencies: [libportaudio2] to its docker": &runtime.NodeError{
			Node: "mic", Phase: "import", Message: lib, Traceback: lib + "\n",
		},
	} {
		if got := (&env{}).explainNode(s, err).Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestDetails: what the log has just shown is not shown again as a whole.
func TestDetails(t *testing.T) {
	const end = "  File \"/app/b.py\", line 1\n    class N(Node) pass\n                  ^^^^\nSyntaxError: invalid syntax"
	const trace = "Traceback (most recent call last):\n  File \"/app/a.py\", line 1, in <module>\n    import b\n" + end + "\n"
	const plain = "Traceback (most recent call last):\nValueError: no"
	tests := map[string]struct{ trace, log, want string }{
		"in the log":       {trace, "loading\n" + trace + "leaving", end},
		"its end":          {trace, end, end},
		"not in the log":   {trace, "loading", trace},
		"cut in the log":   {trace, strings.TrimSuffix(end, "syntax"), trace},
		"no log":           {trace, "", trace},
		"without frames":   {plain, plain, plain},
		"log only":         {"", "loading\nleaving", "loading\nleaving"},
		"said already":     {"", "it broke", ""},
		"nothing is known": {"", "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var log []string
			if test.log != "" {
				log = strings.Split(test.log, "\n")
			}
			var b strings.Builder
			b.WriteString("node n: it broke")
			details(&b, test.trace, log)
			want := "node n: it broke"
			if test.want != "" {
				want += "\n    " + strings.ReplaceAll(strings.TrimRight(test.want, "\n"), "\n", "\n    ")
			}
			if got := b.String(); got != want {
				t.Errorf("got %s\nwant %s", got, want)
			}
		})
	}
}

// A line of another session than the usual one says of which it is.
func TestLogSink(t *testing.T) {
	var b strings.Builder
	show := logSink(&b, false, false)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)
	for _, session := range []string{"", "main", "s2"} {
		show(runtime.LogLine{Time: at, Node: "asr", Session: session, Text: "hi", Level: "error"})
	}
	if want := "03:04:05.006 asr | ERROR hi\n03:04:05.006 asr | ERROR hi\n03:04:05.006 asr (s2) | ERROR hi\n"; b.String() != want {
		t.Errorf("got %s", b.String())
	}
}

func TestMiddleOut(t *testing.T) {
	for line, want := range map[string]string{
		"":                       "",
		strings.Repeat("é", 400): strings.Repeat("é", 400),
		strings.Repeat("a", 200) + "bc" + strings.Repeat("d", 200): strings.Repeat("a", 200) + " … " + strings.Repeat("d", 200),
	} {
		if got := middleOut(line); got != want {
			t.Errorf("%q: got %q", line, got)
		}
	}
}
