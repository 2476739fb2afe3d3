package pipeline

import (
	"slices"
	"strings"
)

func (p *parser) connections(items []*node) {
	first := map[[4]string]Pos{}
	g := graph{}
	for i, item := range items {
		path := joinIndex("connections", i)
		c, ok := p.connection(item, path)
		if !ok {
			continue
		}
		p.spec.Connections = append(p.spec.Connections, c)
		from, to := p.end(path+".from", c.From), p.end(path+".to", c.To)
		if p.full() {
			return
		}
		out := p.outPort(from, path, c)
		in := p.inPort(to, path, c)
		if out != nil && in != nil {
			p.sameKind(path, c, out, in)
		}
		edge := [4]string{c.From.V, c.FromOutput.V, c.To.V, c.ToInput.V}
		if before, dup := first[edge]; dup && out != nil && in != nil {
			p.fail(c.Pos, path, "remove one of the two", "the same connection is already at %d:%d", before.Line, before.Col)
			continue
		}
		first[edge] = c.Pos
		if out == nil || in == nil || c.Feedback.V {
			continue
		}
		if way := g.path(c.To.V, c.From.V); way != nil {
			p.fail(c.Pos, path, "break it, or write feedback: true on the connection that leads back",
				"closes a cycle: %s", cycleText(c.From.V, way))
			continue
		}
		g[c.From.V] = append(g[c.From.V], c.To.V)
	}
}

func (p *parser) connection(item *node, path string) (*Connection, bool) {
	pair := item.kind == mapping && len(item.pairs) == 1 && p.spec.Node(item.pairs[0].key) != nil
	if item.kind == scalar && !item.null() || item.kind == sequence {
		p.mismatch(item, path, "a mapping", edgeHint(item))
		return nil, false
	} else if pair {
		p.fail(item.pos, path, edgeHint(item), "must have from and to")
		return nil, false
	}
	f, ok := p.open(item, path, item.pos, []string{
		"from", "from_output", "to", "to_input", "buffer", "hold", "on_full", "feedback", "wait",
	}, moved{
		"source": "=from", "src": "=from", "from_node": "=from", "target": "=to", "dest": "=to", "destination": "=to", "to_node": "=to",
		"from_port": "=from_output", "output": "=from_output", "to_port": "=to_input", "input": "=to_input",
		"buffer_size": "=buffer", "queue_size": "=buffer", "size": "=buffer", "queue": "=buffer", "capacity": "=buffer",
		"drop": "write on_full: drop_oldest", "policy": "=on_full", "node": "write from or to", "port": "write from_output or to_input",
		"max_frame": "write outputs.PORT.max_frame at the node it comes from", "kind": "write outputs.PORT.kind at the node it comes from",
	})
	if !ok {
		return nil, false
	}
	f.require("from", "the id of the node that sends")
	f.require("to", "the id of the node that receives")
	c := &Connection{Pos: item.pos}
	c.From = f.endID("from")
	c.To = f.endID("to")
	c.FromOutput = f.text("from_output", DefaultOutput, oneLine)
	c.ToInput = f.text("to_input", DefaultInput, oneLine)
	c.Buffer = f.integer("buffer", DefaultBuffer, 1, maxFrames)
	c.Hold = f.integer("hold", DefaultHold, 1, maxFrames)
	c.Feedback = f.boolean("feedback", false)
	full := "block"
	if c.Feedback.V {
		full = "drop_oldest"
	}
	c.OnFull = f.word("on_full", full, onFulls()...)
	if c.Feedback.V && c.OnFull.V == "block" {
		f.fail(c.OnFull.Pos, f.sub("on_full"), "write on_full: drop_oldest or remove the key", "a feedback connection cannot block")
	}
	c.Wait = f.word("wait", DefaultWait, waits()...)
	return c, true
}

func (f *fields) endID(key string) Value[string] {
	if n := f.get(key); n != nil && n.kind == sequence {
		f.mismatch(n, f.sub(key), "text", "write one connection for each node")
		return Value[string]{Pos: f.at}
	}
	return f.text(key, "", oneLine)
}

func onFulls() []string { return []string{"block", "drop_oldest"} }

func waits() []string { return []string{DefaultWait, "block", "spin"} }

// end finds the node that a connection names; nil if there is none.
func (p *parser) end(path string, id Value[string]) *Node {
	if !id.Set || id.V == "" {
		return nil
	}
	if n := p.spec.Node(id.V); n != nil {
		return n
	}
	// A node whose own id could not be read may well be the one meant.
	if p.listedAll {
		ids := make([]string, len(p.spec.Nodes))
		for i, n := range p.spec.Nodes {
			ids[i] = n.ID.V
		}
		hint := didYouMean(id.V, ids)
		if i := strings.IndexAny(id.V, ".:/"); i > 0 && slices.Contains(ids, id.V[:i]) {
			key, port := strings.TrimPrefix(path[strings.LastIndex(path, "."):], "."), printable(cut(id.V[i+1:]))
			hint = "write " + key + ": " + id.V[:i] + ", " + map[string]string{"from": "from_output: ", "to": "to_input: "}[key] + port
		}
		p.fail(id.Pos, path, hint, "no node has the id %s", quote(id.V))
	}
	return nil
}

func (p *parser) outPort(n *Node, path string, c *Connection) *Port {
	if n == nil {
		return nil
	}
	return p.endPort(n, n.Outputs, c.From, c.FromOutput, path, "from_output", "output")
}

func (p *parser) inPort(n *Node, path string, c *Connection) *Port {
	if n == nil {
		return nil
	}
	return p.endPort(n, n.Inputs, c.To, c.ToInput, path, "to_input", "input")
}

func (p *parser) endPort(n *Node, ports map[string]*Port, id, name Value[string], path, key, what string) *Port {
	port := ports[name.V]
	if port != nil || n.Module == "" && p.builtins[n.Type.V] == nil {
		return port // of a node of unknown type nothing can be said
	}
	names := sortedKeys(ports)
	at, where := name.Pos, path+"."+key
	if !name.Set {
		at, where = id.Pos, path
	}
	switch {
	case len(names) == 0:
		p.fail(at, where, "", "%s has no %ss", quote(n.ID.V), what)
	case !name.Set:
		p.fail(at, where, "add "+key+": "+printable(cut(names[0])), "%s has no %s called %s; it has %s",
			quote(n.ID.V), what, quote(name.V), portNames(names))
	default:
		hint := didYouMean(name.V, names)
		if n.Module != "" && nearest(name.V, names) == "" {
			hint = "declare it at the node: " + what + "s: {" + printable(cut(name.V)) + ": {}}"
		}
		p.fail(at, where, hint, "%s has no %s called %s", quote(n.ID.V), what, quote(name.V))
	}
	return nil
}

func portNames(names []string) string {
	out := make([]string, 0, len(names))
	for _, n := range names[:min(len(names), 8)] {
		out = append(out, quote(n))
	}
	return strings.Join(out, ", ")
}

func (p *parser) sameKind(path string, c *Connection, out, in *Port) {
	a, b := out.Kind, in.Kind
	if a.V == b.V || a.V == KindAny || b.V == KindAny {
		return
	}
	p.fail(c.Pos, path, "put a node between the two that makes "+b.V+" of "+a.V, "%s sends %s, but %s of %s takes %s",
		quote(c.From.V), a.V, quote(in.Name), quote(c.To.V), b.V)
}

// graph holds the connections read so far, without those of feedback.
type graph map[string][]string

// path returns the ids from a to b, both included; nil if there is no way.
func (g graph) path(a, b string) []string {
	parent := map[string]string{a: ""}
	for queue := []string{a}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == b {
			way := []string{b}
			for at != a {
				at = parent[at]
				way = append(way, at)
			}
			slices.Reverse(way)
			return way
		}
		for _, next := range g[at] {
			if _, seen := parent[next]; !seen {
				parent[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func cycleText(from string, way []string) string {
	all := append([]string{from}, way...)
	if len(all) > 12 {
		all = slices.Concat(all[:6], []string{"…"}, all[len(all)-5:])
	}
	for i, id := range all {
		all[i] = printable(cut(id))
	}
	return strings.Join(all, " → ")
}
