package pipeline

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

const unknownTag = "remove the tag: nothing is read from other files or from the environment"

type kind int

const (
	scalar kind = iota
	sequence
	mapping
	broken // reported already: whoever reads it stays silent
)

// node is a YAML value with aliases and merge keys resolved.
type node struct {
	kind  kind
	pos   Pos
	text  string // of a scalar, as written, without quotes
	typ   string // of a scalar: "plain" by the core schema, or "str", "int", "float", "bool", "null"
	items []*node
	pairs []pair
}

type pair struct {
	key   string
	at    Pos
	value *node
}

func (n *node) null() bool {
	if n.kind != scalar {
		return false
	}
	v, ok := n.value()
	return ok && v == nil
}

// value reads a scalar. ok is false if the text is not of its type.
func (n *node) value() (v any, ok bool) {
	if n.typ == "str" {
		return n.text, true
	}
	v, ok = core(n.text)
	if !ok || n.typ == "plain" {
		return v, ok
	}
	if n.typ == "null" {
		return v, v == nil
	}
	switch v := v.(type) {
	case bool:
		return v, n.typ == "bool"
	case float64:
		return v, n.typ == "float"
	case int64:
		if n.typ == "float" {
			return float64(v), true
		}
		return v, n.typ == "int"
	case string, nil:
		return nil, false
	}
	return v, n.typ == "int"
}

// build turns the library's tree into ours; nil after a report. Depth and the
// number of values that came by an alias are bounded while they are made, so a
// bomb never exists in memory.
func (s *source) build(y *yaml.Node, depth int, aliased bool) *node {
	if depth > maxDepth {
		s.fail(place(y), "", "", "nested deeper than %d levels", maxDepth)
		return &node{kind: broken, pos: place(y)}
	}
	if aliased {
		if s.expanded++; s.expanded > maxExpanded {
			s.fail(place(y), "", "", "aliases bring in more than %d values", maxExpanded)
			return &node{kind: broken, pos: place(y)}
		}
		if s.aliased += len(y.Value); s.aliased > maxAliased { // an alias's own name counts too
			s.expanded = maxExpanded + 1
			s.fail(place(y), "", "", "aliases bring in more than %d bytes of text", maxAliased)
			return &node{kind: broken, pos: place(y)}
		}
	}
	switch y.Kind {
	case yaml.AliasNode:
		if s.active[y.Alias] {
			s.fail(place(y), "", "", "the alias *%s stands inside its own anchor", printable(y.Value))
			return &node{kind: broken, pos: place(y)}
		}
		return s.build(y.Alias, depth, true)
	case yaml.ScalarNode:
		return s.buildScalar(y)
	case yaml.SequenceNode, yaml.MappingNode:
		s.active[y] = true
		defer delete(s.active, y)
		if tag := y.ShortTag(); tag != "!!seq" && tag != "!!map" {
			s.fail(place(y), "", unknownTag, "the tag %s is not known", quote(tag))
			return &node{kind: broken, pos: place(y)}
		}
		if y.Kind == yaml.MappingNode {
			return s.buildMapping(y, depth, aliased)
		}
		n := &node{kind: sequence, pos: place(y)}
		for _, c := range y.Content {
			if s.stop() {
				break
			}
			n.items = append(n.items, s.build(c, depth+1, aliased))
		}
		return n
	}
	s.fail(place(y), "", "", "a value of an unknown kind")
	return &node{kind: broken, pos: place(y)}
}

// stop ends the walk when a bound was passed: what follows would say it again.
func (s *source) stop() bool { return s.expanded > maxExpanded || s.full() }

func (s *source) buildScalar(y *yaml.Node) *node {
	n := &node{kind: scalar, pos: place(y), text: y.Value, typ: "str"}
	tag := y.ShortTag()
	switch {
	case y.Style&yaml.TaggedStyle != 0:
		n.typ = strings.TrimPrefix(tag, "!!")
		switch n.typ {
		case "str", "int", "float", "bool", "null":
		default:
			s.fail(n.pos, "", unknownTag, "the tag %s is not known", quote(tag))
			return &node{kind: broken, pos: place(y)}
		}
		if _, ok := n.value(); !ok {
			s.fail(n.pos, "", "remove the tag", "%s is not what the tag %s says", quote(n.text), quote(tag))
			return &node{kind: broken, pos: place(y)}
		}
	case y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0:
		n.typ = "plain"
		if _, ok := n.value(); !ok {
			s.fail(n.pos, "", "quote it to keep it as text", "the number %s is too large", quote(n.text))
			return &node{kind: broken, pos: place(y)}
		}
	}
	return n
}

func (s *source) buildMapping(y *yaml.Node, depth int, aliased bool) *node {
	n := &node{kind: mapping, pos: place(y)}
	first := map[string]Pos{}
	var merged []pair
	for i := 0; i+1 < len(y.Content); i += 2 {
		if s.stop() {
			break
		}
		key, merge, ok := s.key(y.Content[i])
		if !ok {
			n.kind = broken
			continue
		}
		if aliased {
			s.aliased += len(key)
		}
		at := place(y.Content[i])
		if before, dup := first[key]; dup {
			s.fail(at, "", "keep one of the two", "the key %s is already at %d:%d", quote(key), before.Line, before.Col)
			continue
		}
		first[key] = at
		value := s.build(y.Content[i+1], depth+1, aliased || merge)
		if merge {
			more, ok := s.mergeable(value)
			if !ok {
				n.kind = broken
			}
			merged = append(merged, more...)
		} else {
			n.pairs = append(n.pairs, pair{key, at, value})
		}
	}
	for _, p := range merged {
		if _, set := first[p.key]; !set {
			first[p.key] = p.at
			n.pairs = append(n.pairs, p)
		}
	}
	return n
}

// key returns the text of a mapping's key and whether it is the merge key.
func (s *source) key(y *yaml.Node) (text string, merge, ok bool) {
	at := place(y)
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if y.Kind != yaml.ScalarNode {
		s.fail(at, "", "quote a value that begins with {", "a key must be text")
		return "", false, false
	}
	if y.Value == "<<" && y.Style == 0 {
		return y.Value, true, true
	}
	n := s.buildScalar(y)
	if n.kind == broken {
		return "", false, false
	}
	if v, _ := n.value(); v != any(n.text) {
		s.fail(at, "", "quote the key", "a key must be text, %s is not", quote(n.text))
		return "", false, false
	}
	return n.text, false, true
}

// mergeable returns what a merge key brings in; ok is false after a report.
func (s *source) mergeable(n *node) (pairs []pair, ok bool) {
	switch n.kind {
	case mapping:
		return n.pairs, true
	case sequence:
		ok = true
		for _, item := range n.items {
			if item.kind == mapping {
				pairs = append(pairs, item.pairs...)
				continue
			}
			if ok = false; item.kind != broken {
				s.fail(item.pos, "", "", "<< takes mappings only")
				return nil, false
			}
		}
		return pairs, ok
	case scalar:
		hint := "name the anchor of a mapping: <<: *anchor"
		if isWord(n.text) && len(n.text) <= shown {
			hint = "write <<: *" + n.text
		}
		s.fail(n.pos, "", hint, "<< takes a mapping or a list of mappings")
	case broken:
	}
	return nil, false
}
