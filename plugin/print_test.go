package plugin

import (
	"strings"
	"testing"
)

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
