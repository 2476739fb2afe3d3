// Package origin turns manifests of the project that this language comes from,
// YAML or JSON, into pipeline files. It changes the text's own tree, so that
// comments and what needs no change stay, and it names each change. It is pure.
package origin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Change is one thing that became another, or was dropped. Line is the
// manifest's.
type Change struct {
	Line int
	Path string // nodes[1].docker.memory_mb
	Text string
	ToDo bool // it is for a person to finish
}

// String is the change on one line, without the file's name.
func (c Change) String() string {
	text := fmt.Sprintf("%d: %s: %s", c.Line, c.Path, c.Text)
	if c.ToDo {
		return text + " (to do)"
	}
	return text
}

// maxBytes is as much as a pipeline file may hold.
const maxBytes = 1 << 20

// ErrNoManifest says that a file has no nodes.
var ErrNoManifest = errors.New("this is no manifest: there is no list of nodes in it")

// Convert gives the pipeline file and what was changed, in the order of the
// manifest. builtins are the names of nodes that need no container.
func Convert(src []byte, builtins []string) ([]byte, []Change, error) {
	if len(src) > maxBytes {
		return nil, nil, errors.New("the file is larger than 1 MiB")
	}
	isJSON := json.Valid(src)
	if isJSON {
		src = bytes.ReplaceAll(src, []byte("\t"), []byte(" ")) // between values, where YAML has none
	}
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(src))
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil, errors.New("the file is empty")
	} else if err != nil {
		return nil, nil, unreadable(err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("there is more than one document in the file")
	}
	root := deref(doc.Content[0])
	if get(root, "nodes") == nil || deref(get(root, "nodes")).Kind != yaml.SequenceNode {
		return nil, nil, ErrNoManifest
	}
	if isJSON {
		plainStyle(root)
	}
	sayNull(&doc)
	c := &converter{builtins: builtins, ids: map[string]string{}, seen: map[*yaml.Node]bool{}, ports: map[string]*sides{}}
	c.document(root)
	slices.SortStableFunc(c.changes, func(a, b Change) int { return a.Line - b.Line })
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	e.DefaultSeqIndent()
	if err := e.Encode(&doc); err != nil {
		return nil, nil, err
	}
	return out.Bytes(), c.changes, e.Close()
}

// unreadable is where the reader of YAML, and so of JSON, gave up.
func unreadable(err error) error {
	le, ok := errors.AsType[*yaml.LoadError](err)
	if !ok || le.Mark.Line < 1 {
		return err
	}
	return fmt.Errorf("line %d, column %d: neither YAML nor JSON: %s", le.Mark.Line, le.Mark.Column, le.Message)
}

type converter struct {
	builtins []string
	changes  []Change
	ids      map[string]string // of nodes, old to new
	ports    map[string]*sides // of nodes, by their new id
	seen     map[*yaml.Node]bool
}

// sides are the ports of a node that connections name.
type sides struct{ inputs, outputs []string }

func (c *converter) note(at *yaml.Node, path, format string, args ...any) {
	c.changes = append(c.changes, Change{Line: max(1, at.Line), Path: path, Text: fmt.Sprintf(format, args...)})
}

func (c *converter) toDo(at *yaml.Node, path, format string, args ...any) {
	c.note(at, path, format, args...)
	c.changes[len(c.changes)-1].ToDo = true
}

// first says that a tree has not been changed before: an alias shows one tree
// at several places.
func (c *converter) first(n *yaml.Node) bool {
	was := c.seen[n]
	c.seen[n] = true
	return !was
}

func (c *converter) document(root *yaml.Node) {
	head := root.HeadComment
	if len(root.Content) > 0 {
		head, root.Content[0].HeadComment = root.Content[0].HeadComment, ""
	}
	c.version(root)
	c.metadata(root)
	c.rename(root, "", "edges", "connections")
	for i, n := range deref(get(root, "nodes")).Content {
		c.node(deref(n), fmt.Sprintf("nodes[%d]", i))
	}
	if list := deref(get(root, "connections")); list != nil && list.Kind == yaml.SequenceNode {
		if len(list.Content) == 0 {
			list.Style = yaml.FlowStyle
		}
		for i, n := range list.Content {
			c.connection(deref(n), fmt.Sprintf("connections[%d]", i))
		}
	}
	for i, n := range deref(get(root, "nodes")).Content {
		c.declare(deref(n), fmt.Sprintf("nodes[%d]", i))
	}
	order := []string{"version", "metadata", "sessions", "nodes", "connections"}
	for _, key := range keys(root) {
		if !slices.Contains(order, key.Value) && !strings.HasPrefix(key.Value, "x-") {
			c.note(key, key.Value, "became x-%s: kept, and nothing reads it", key.Value)
			key.Value = "x-" + key.Value
		}
	}
	// What others stood before the nodes stays there: an anchor comes before its aliases.
	var before []string
	for _, key := range keys(root) {
		if key.Value == "nodes" {
			break
		}
		if strings.HasPrefix(key.Value, "x-") {
			before = append(before, key.Value)
		}
	}
	sortPairs(root, slices.Insert(order, slices.Index(order, "nodes"), before...))
	anchorsFirst(root, map[*yaml.Node]bool{})
	root.Content[0].HeadComment = head
}

func (c *converter) version(root *yaml.Node) {
	v := get(root, "version")
	switch {
	case v == nil:
		set(root, "version", text("v1"))
		c.note(root, "version", "was missing: v1")
	case v.Value != "v1":
		c.note(v, "version", "%q became v1", v.Value)
		*v = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "v1", Line: v.Line, LineComment: v.LineComment}
	}
}

// metadata keeps the name and the description; all else moves to x-metadata.
func (c *converter) metadata(root *yaml.Node) {
	meta := deref(get(root, "metadata"))
	if meta == nil || meta.Kind != yaml.MappingNode {
		meta = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	for _, key := range []string{"description", "name"} {
		v := get(root, key)
		if v == nil {
			continue
		}
		c.note(keyOf(root, key), key, "became metadata.%s", key)
		remove(root, key)
		if old := get(meta, key); old != nil {
			c.note(old, "metadata."+key, "dropped: the manifest has a %s beside it", key)
			remove(meta, key)
		}
		meta.Content = append([]*yaml.Node{text(key), v}, meta.Content...)
	}
	other := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, key := range keys(meta) {
		if key.Value == "name" || key.Value == "description" {
			continue
		}
		c.note(key, "metadata."+key.Value, "became x-metadata.%s: kept, and nothing reads it", key.Value)
		other.Content = append(other.Content, key, meta.Content[place(meta, key.Value)+1])
		remove(meta, key.Value)
	}
	if len(meta.Content) > 0 {
		set(root, "metadata", meta)
	} else {
		remove(root, "metadata")
	}
	if len(other.Content) > 0 {
		set(root, "x-metadata", other)
	}
}

// connection has its own names for ends and ports.
func (c *converter) connection(n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode || !c.first(n) {
		return
	}
	c.camel(n, path, []string{"from_output", "to_input"})
	c.rename(n, path, "source", "from")
	c.rename(n, path, "target", "to")
	c.comment(n, path, "comment")
	if m := deref(get(n, "field_mapping")); m != nil {
		c.note(keyOf(n, "field_mapping"), path+".field_mapping", "became from_output and to_input")
		remove(n, "field_mapping")
		for from, to := range map[string]string{"source_field": "from_output", "target_field": "to_input"} {
			if v := get(m, from); v != nil && v.Kind == yaml.ScalarNode {
				set(n, to, text(identifier(v.Value)))
			}
		}
	}
	for _, end := range []string{"from", "to"} {
		if v := get(n, end); v != nil && c.ids[v.Value] != "" {
			v.Value = c.ids[v.Value]
		}
	}
	known := []string{"from", "from_output", "to", "to_input", "buffer", "hold", "on_full", "feedback", "wait"}
	for _, key := range keys(n) {
		if !slices.Contains(known, key.Value) {
			c.note(key, path+"."+key.Value, "dropped: a connection has buffer, hold and on_full here, in frames")
			remove(n, key.Value)
		}
	}
	c.port(n, "from", "from_output", func(s *sides) *[]string { return &s.outputs })
	c.port(n, "to", "to_input", func(s *sides) *[]string { return &s.inputs })
	sortPairs(n, known)
}

// port keeps that a connection names a port of a node.
func (c *converter) port(n *yaml.Node, end, key string, side func(*sides) *[]string) {
	node := get(n, end)
	if node == nil {
		return
	}
	port := strings.TrimPrefix(strings.TrimPrefix(key, "from_"), "to_")
	if v := get(n, key); v != nil {
		port = v.Value
	}
	s := c.ports[node.Value]
	if s == nil {
		s = &sides{}
		c.ports[node.Value] = s
	}
	if list := side(s); !slices.Contains(*list, port) {
		*list = append(*list, port)
	}
}

func (c *converter) rename(n *yaml.Node, path, from, to string) {
	key := keyOf(n, from)
	if key == nil {
		return
	}
	where := from
	if path != "" {
		where = path + "." + from
	}
	if get(n, to) != nil {
		c.note(key, where, "dropped: there is %s too", to)
		remove(n, from)
		return
	}
	c.note(key, where, "became %s", to)
	key.Value = to
}
