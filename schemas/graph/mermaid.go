package graph

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// Mermaid is a flowchart for Mermaid, as GitHub shows it in a block marked
// mermaid. Containers are boxes, built-in nodes are rounded, feedback is dotted.
func (g Graph) Mermaid() string {
	var b strings.Builder
	if g.Name != "" {
		// A JSON string is one of YAML too; "<" and ">" are escaped in it.
		title, _ := json.Marshal(oneLine(g.Name)) // a string is always one of JSON
		fmt.Fprintf(&b, "---\ntitle: %s\n---\n", title)
	}
	b.WriteString("flowchart LR\n")
	for i, n := range g.Nodes {
		left, right := "([", "])"
		if n.Container {
			left, right = "[", "]"
		}
		fmt.Fprintf(&b, "  n%d%s\"%s<br/>%s\"%s\n", i, left, mermaidText(n.ID), mermaidText(n.Type), right)
	}
	at := g.index()
	for _, c := range g.Connections {
		arrow := "-->"
		if c.Feedback {
			arrow = "-.->"
		}
		if label := c.label(); label != "" {
			arrow += `|"` + mermaidText(label) + `"|`
		}
		fmt.Fprintf(&b, "  n%d %s n%d\n", at[c.From], arrow, at[c.To])
	}
	return b.String()
}

// mermaidText is text between quotes. Mermaid looks for some of its words and
// signs before it looks for quotes, so everything but what is known to be
// harmless is written as a number.
func mermaidText(s string) string {
	s = oneLine(s)
	strange := strings.IndexFunc(s, func(r rune) bool { return !plain(r) && r != ':' }) >= 0
	var b strings.Builder
	for _, r := range s {
		// A colon before a number, on a line with "style", loses the number's end.
		if plain(r) || r == ':' && !strange {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}

func plain(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" ._-,→/", r)
}

// oneLine has spaces for what would not be seen or would break the line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
