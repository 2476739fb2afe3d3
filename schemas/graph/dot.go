package graph

import (
	"fmt"
	"strings"
)

// DOT is the graph for Graphviz. Containers are boxes, built-in nodes ovals,
// feedback is dotted.
func (g Graph) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR\n", dotText(g.Name))
	if g.Name != "" {
		fmt.Fprintf(&b, "  label=%s\n  labelloc=t\n", dotText(g.Name))
	}
	for i, n := range g.Nodes {
		shape := "oval"
		if n.Container {
			shape = "box"
		}
		fmt.Fprintf(&b, "  n%d [shape=%s, label=%s]\n", i, shape, dotText(n.ID, n.Type))
	}
	at := g.index()
	for _, c := range g.Connections {
		var more []string
		if c.Feedback {
			more = append(more, "style=dotted")
		}
		if label := c.label(); label != "" {
			more = append(more, "label="+dotText(label))
		}
		attributes := ""
		if len(more) > 0 {
			attributes = " [" + strings.Join(more, ", ") + "]"
		}
		fmt.Fprintf(&b, "  n%d -> n%d%s\n", at[c.From], at[c.To], attributes)
	}
	return b.String() + "}\n"
}

// dotText is lines as a quoted string. Graphviz also reads HTML entities there.
func dotText(lines ...string) string {
	clean := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;")
	quoted := make([]string, len(lines))
	for i, line := range lines {
		quoted[i] = clean.Replace(oneLine(line))
	}
	return `"` + strings.Join(quoted, `\n`) + `"`
}
