package pipeline

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Bounds on numbers in the language: far above any use, low enough that sums
// and products of them stay inside 64 bits.
const (
	maxNodes       = 500
	maxConnections = 1_000
	maxSessions    = 64 // each is reserved its memory at the start and shares its containers with the others
	maxPorts       = 64 // of a node, each way
	maxFrames      = 65_536
	maxAttempts    = 65_536
	// maxHealthInterval is a day, in seconds.
	maxHealthInterval = 86_400
	maxFrame          = 1 << 30
	maxMillis         = 86_400_000
)

// Parse reads the text of a pipeline file. known lists the built-in nodes. The
// error is Diagnostics, every mistake of the file, and the Spec is then nil; a
// Spec without mistakes carries its warnings.
func Parse(file string, src []byte, known []Builtin) (*Spec, error) {
	p := &parser{
		source:   &source{file: file, active: map[*yaml.Node]bool{}},
		spec:     &Spec{File: file},
		builtins: make(map[string]*Builtin, len(known)),
	}
	for i := range known {
		p.builtins[known[i].Name] = &known[i]
	}
	if root := p.load(src); root != nil {
		p.document(root)
	}
	if len(p.diags) == 0 {
		p.oneWriter()
		p.unheard()
		p.warn()
	}
	p.diags = p.diags.tidy()
	if p.diags.HasErrors() {
		return nil, p.diags
	}
	p.spec.Warnings = p.diags
	return p.spec, nil
}

type parser struct {
	*source
	spec      *Spec
	builtins  map[string]*Builtin
	nodesAt   Pos
	listedAll bool // every item of nodes has an id, so that an unknown one is a mistake
}

func (p *parser) document(root *node) {
	f, ok := p.open(root, "", Pos{1, 1}, []string{"version", "metadata", "sessions", "nodes", "connections"}, moved{
		"name": "metadata.name", "description": "metadata.description", "edges": "=connections", "pipeline": "=nodes",
		"links": "=connections", "services": "=nodes", "apiVersion": "=version",
	})
	if !ok {
		return
	}
	f.require("version", "begin with version: v1")
	p.spec.Version = f.word("version", "v1", "v1")
	p.metadata(f)
	p.spec.Sessions = f.integer("sessions", 1, 1, maxSessions)
	f.require("nodes", "list at least one node with id and node_type")
	items := f.items("nodes")
	if n := f.get("nodes"); n != nil && n.kind == sequence && len(items) == 0 {
		f.fail(n.pos, "nodes", "", "must list at least one node")
	}
	p.nodesAt = f.pairs["nodes"].at
	n := f.get("nodes")
	p.listedAll = n != nil && n.kind == sequence && len(items) <= maxNodes
	p.nodes(limit(f, "nodes", items, maxNodes))
	p.connections(limit(f, "connections", f.items("connections"), maxConnections))
}

func limit(f *fields, key string, items []*node, most int) []*node {
	if len(items) <= most {
		return items
	}
	f.fail(items[most].pos, joinIndex(key, most), "", "more than %d %s", most, key)
	return items[:most]
}

func (p *parser) metadata(top *fields) {
	p.spec.Metadata = Metadata{Name: Value[string]{Pos: top.at}, Description: Value[string]{Pos: top.at}}
	n := top.get("metadata")
	if n == nil {
		return
	}
	f, ok := p.open(n, "metadata", top.pairs["metadata"].at, []string{"name", "description"}, nil)
	if !ok {
		return
	}
	p.spec.Metadata.Name = f.text("name", "", oneLine)
	p.spec.Metadata.Description = f.text("description", "", freeText)
}

func (p *parser) nodes(items []*node) {
	first := map[string]*Node{}
	for i, item := range items {
		path := joinIndex("nodes", i)
		n := p.node(item, path)
		if n == nil || n.ID.V == "" {
			p.listedAll = false
			continue
		}
		p.spec.Nodes = append(p.spec.Nodes, n)
		low := strings.ToLower(n.ID.V)
		if before, dup := first[low]; dup {
			hint := ""
			if before.ID.V != n.ID.V {
				hint = "ids must differ in more than case"
			}
			p.fail(n.ID.Pos, path+".id", hint, "the id %s is already at %d:%d",
				quote(n.ID.V), before.ID.Pos.Line, before.ID.Pos.Col)
			continue
		}
		first[low] = n
	}
}

// warn reports what is legal but looks forgotten. It runs on a file without
// mistakes only: a mistake is often the reason.
func (p *parser) warn() {
	const hint = "connect it under connections:"
	if len(p.spec.Connections) == 0 {
		p.report(Warning, p.nodesAt, "nodes", "add connections: with from and to", "no connections: the nodes run side by side")
		return
	}
	touched := map[string]bool{}
	for _, c := range p.spec.Connections {
		touched[c.From.V], touched[c.To.V] = true, true
	}
	for i, n := range p.spec.Nodes {
		side := n.Docker != nil && n.Docker.Image.Set // runs beside the others, on purpose
		if !touched[n.ID.V] && !side {
			p.report(Warning, n.Pos, joinIndex("nodes", i), hint, "no connection touches %s", quote(n.ID.V))
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
