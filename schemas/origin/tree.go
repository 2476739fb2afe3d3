package origin

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// deref is what an alias stands for.
func deref(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// place is the index of a key in a mapping, or -1.
func place(n *yaml.Node, key string) int {
	if n == nil || n.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// get is the value of a key, or nil; a null counts as nothing.
func get(n *yaml.Node, key string) *yaml.Node {
	i := place(n, key)
	if i < 0 || n.Content[i+1].Tag == "!!null" {
		return nil
	}
	return n.Content[i+1]
}

func keyOf(n *yaml.Node, key string) *yaml.Node {
	if i := place(n, key); i >= 0 {
		return n.Content[i]
	}
	return nil
}

func keys(n *yaml.Node) []*yaml.Node {
	var list []*yaml.Node
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		list = append(list, n.Content[i])
	}
	return list
}

func set(n *yaml.Node, key string, value *yaml.Node) {
	if i := place(n, key); i >= 0 {
		n.Content[i+1] = value
		return
	}
	n.Content = append(n.Content, text(key), value)
}

func remove(n *yaml.Node, key string) {
	if i := place(n, key); i >= 0 {
		n.Content = slices.Delete(n.Content, i, i+2)
	}
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func scalar(tag, s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: s}
}

func emptyMapping() *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
}

// sortPairs puts the pairs of a mapping in an order; keys that are not in it
// stay behind, as they were. A comment above a key goes with it.
func sortPairs(n *yaml.Node, order []string) {
	type pair struct{ key, value *yaml.Node }
	var pairs []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		pairs = append(pairs, pair{n.Content[i], n.Content[i+1]})
	}
	rank := func(key string) int {
		if i := slices.Index(order, key); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return rank(a.key.Value) - rank(b.key.Value) })
	n.Content = n.Content[:0]
	for _, p := range pairs {
		n.Content = append(n.Content, p.key, p.value)
	}
}

// plainStyle takes JSON's braces and quotes away where YAML needs none. Empty
// lists and mappings keep theirs.
func plainStyle(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	short := n.Kind == yaml.SequenceNode
	for _, child := range n.Content {
		plainStyle(child)
		short = short && child.Kind == yaml.ScalarNode && len(child.Value) < 30
	}
	if short && len(n.Content) < 5 {
		n.Style = yaml.FlowStyle
	}
}

// sayNull writes out what was left empty: the encoder would make empty texts of
// it.
func sayNull(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == "" {
		n.Value = "null"
	}
	for _, child := range n.Content {
		sayNull(child)
	}
}

// identifier makes a text an id: what cannot stand in one becomes "_".
func identifier(s string) string {
	id := strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || isAlnum(r) {
			return r
		}
		return '_'
	}, s)
	if id == "" || !isAlpha(rune(id[0])) {
		id = "n" + id
	}
	return id[:min(len(id), 63)]
}

func isAlpha(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
func isAlnum(r rune) bool { return isAlpha(r) || '0' <= r && r <= '9' }

// anchorsFirst mends what a change of order broke: an alias that comes before
// its anchor becomes the value, and the value an alias.
func anchorsFirst(n *yaml.Node, seen map[*yaml.Node]bool) {
	seen[n] = true
	for i, child := range n.Content {
		switch {
		case child.Kind == yaml.AliasNode && !seen[child.Alias]:
			n.Content[i] = child.Alias
			anchorsFirst(child.Alias, seen)
		case child.Kind == yaml.AliasNode:
		case child.Anchor != "" && seen[child]:
			n.Content[i] = &yaml.Node{Kind: yaml.AliasNode, Value: child.Anchor, Alias: child, Line: child.Line}
		default:
			anchorsFirst(child, seen)
		}
	}
}
