package pipeline

import (
	"slices"
	"strings"
)

func frameKinds() []string {
	return []string{KindAny, "audio", "bytes", "json", "tensor", "text", "video"}
}

func (p *parser) node(item *node, path string) *Node {
	f, ok := p.open(item, path, item.pos, []string{
		"id", "node_type", "is_streaming", "params", "inputs", "outputs",
		"timeout_ms", "start_timeout_ms", "on_crash", "docker",
	}, p.nodeMoved(item))
	if !ok {
		return nil
	}
	f.require("id", "give the node an id, such as id: asr")
	what := "name a built-in, or module:Class of docker.source"
	if d := f.get("docker"); d != nil && slices.ContainsFunc(d.pairs, func(kv pair) bool { return kv.key == "image" }) {
		what = "name module:Class of the image; for one that runs beside the others any will do, such as side:Car"
	}
	f.require("node_type", what)
	n := &Node{Pos: item.pos}
	n.ID = f.text("id", "", checkID)
	n.Type = f.text("node_type", "", oneLine)
	n.IsStreaming = f.boolean("is_streaming", true)
	n.TimeoutMS = f.integer("timeout_ms", 0, 1, maxMillis)
	n.StartTimeoutMS = f.integer("start_timeout_ms", DefaultStartTimeoutMS, 1, maxMillis)
	n.OnCrash = f.word("on_crash", "drop", onCrashes()...)
	b := p.nodeType(f, n)
	p.params(f, n, b)
	n.Inputs = p.ports(f, n, b, "inputs")
	n.Outputs = p.ports(f, n, b, "outputs")
	p.place(f, n, b)
	f.lifeTogether(n, b)
	return n
}

// nodeMoved holds what other tools have at a node; the params of a built-in are
// known when its name is.
func (p *parser) nodeMoved(item *node) moved {
	const docker = "remove it: a node with docker: runs in a container; docker medianode convert turns a whole manifest into a pipeline"
	const edge = "connections stand in a list of their own: {from: NODE, to: NODE}"
	m := moved{
		"type": "=node_type", "class": "=node_type", "name": "=id", "config": "=params", "parameters": "=params", "args": "=params",
		"kwargs": "=params", "options": "=params", "settings": "=params",
		"python_version": "docker.python_version", "python_packages": "docker.python_packages",
		"image": "docker.image", "source": "docker.source", "build": "docker.source", "docker_config": "=docker", "container": "=docker",
		"env": "docker.env", "environment": "docker.env", "volumes": "docker.volumes", "command": "docker.command",
		"restart": "docker.restart", "network": "docker.network", "gpus": "docker.gpu_devices", "gpu": "docker.gpu_devices",
		"resources": "docker.resource_limits", "resource_limits": "docker.resource_limits", "deploy": "docker.resource_limits",
		"executor": docker, "runtime": docker, "runtime_hint": docker,
		"max_frame": "write outputs: {PORT: {max_frame: SIZE}}", "kind": "write outputs: {PORT: {kind: KIND}}",
		"buffer": "buffer stands at the connection", "on_full": "on_full stands at the connection",
		"capabilities": "see docker.resource_limits and docker.gpu_devices",
		"timeout":      "write timeout_ms, in milliseconds", "timeout_s": "write timeout_ms, in milliseconds", "start_timeout": "write start_timeout_ms, in milliseconds",
		"to": edge, "from": edge, "next": edge, "input": edge, "output": edge, "depends_on": edge, "connections": edge,
	}
	for _, kv := range item.pairs {
		if (kv.key == "input" || kv.key == "output") && kv.value.kind == mapping {
			m[kv.key] = "=" + kv.key + "s"
			if of := slices.IndexFunc(kv.value.pairs, func(v pair) bool { return v.key == "kind" || v.key == "max_frame" }); of >= 0 {
				m[kv.key] = "write " + kv.key + "s: {" + kv.key + ": {" + kv.value.pairs[of].key + ": …}}"
			}
		}
		if b := p.builtins[kv.value.text]; kv.key == "node_type" && b != nil {
			for _, spec := range b.Params {
				if m[spec.Name] == "" {
					m[spec.Name] = "params." + spec.Name
				}
			}
		}
	}
	return m
}

func onCrashes() []string { return []string{"drop", "retry"} }

// nodeType sets Module and Class, or returns the built-in.
func (p *parser) nodeType(f *fields, n *Node) *Builtin {
	t := n.Type.V
	if b := p.builtins[t]; b != nil || !n.Type.Set || !isLine(t) {
		return b
	}
	if !strings.Contains(t, ":") {
		hint := typeHint(t, sortedKeys(p.builtins), f.get("docker") != nil)
		f.fail(n.Type.Pos, f.sub("node_type"), hint, "no built-in node is called %s", quote(t))
		return nil
	}
	if module, _, _ := strings.Cut(t, ":"); !classPattern().MatchString(t) || strings.HasSuffix(module, ".py") {
		f.fail(n.Type.Pos, f.sub("node_type"), fixedClass(t), "%s is not module:Class", quote(t))
		return nil
	}
	n.Module, n.Class, _ = strings.Cut(t, ":")
	return nil
}

// place reads docker: and holds it against the type: a built-in runs in the
// runtime, a class in a container.
func (p *parser) place(f *fields, n *Node, b *Builtin) {
	d := f.get("docker")
	switch {
	case d != nil && b != nil:
		f.fail(f.pairs["docker"].at, f.sub("docker"), "remove docker:, or name a module:Class",
			"%s is built in and runs in no container", b.Name)
	case d != nil:
		n.Docker = p.docker(f, d, n)
	case n.Module != "" && !f.slips["docker"] && !f.slips["docker.source"] && !f.slips["docker.image"]:
		f.fail(f.at, f.path, "add docker: {source: DIRECTORY} with "+moduleFile(n.Module)+" in it",
			"missing docker: %s runs in a container", quote(n.Type.V))
	}
}

func moduleFile(module string) string { return strings.ReplaceAll(cut(module), ".", "/") + ".py" }

// params keeps the free mapping; those of a built-in are checked.
func (p *parser) params(f *fields, n *Node, b *Builtin) {
	n.Params = Params{Values: map[string]any{}, At: map[string]Pos{}}
	v := f.get("params")
	if v != nil && v.kind != mapping {
		f.mismatch(v, f.sub("params"), "a mapping", "write params: {} or remove the key")
		return
	}
	if b != nil {
		if v == nil {
			v = &node{kind: mapping, pos: f.at}
		}
		p.builtinParams(f, v, n, b)
		return
	}
	if v == nil {
		return
	}
	for _, kv := range v.pairs {
		n.Params.Values[kv.key], n.Params.At[kv.key] = plain(kv.value), kv.at
	}
}

// plain is a tree as Go values, types kept.
func plain(n *node) any {
	switch n.kind {
	case sequence:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = plain(item)
		}
		return out
	case mapping:
		out := make(map[string]any, len(n.pairs))
		for _, kv := range n.pairs {
			out[kv.key] = plain(kv.value)
		}
		return out
	case broken:
		return nil
	}
	v, _ := n.value()
	return v
}

// ports reads inputs or outputs. What is declared is all there is; a class that
// declares nothing has the default port, a built-in its own.
func (p *parser) ports(f *fields, n *Node, b *Builtin, key string) map[string]*Port {
	ports := defaultPorts(n, b, key)
	v := f.get(key)
	if v == nil {
		return ports
	}
	if v.kind != mapping {
		f.mismatch(v, f.sub(key), "a mapping", portsHint(v))
		return ports
	}
	declared := map[string]*Port{}
	for i, kv := range v.pairs {
		if i == maxPorts {
			f.fail(kv.at, f.sub(key), "", "more than %d ports", maxPorts)
			break
		}
		port := p.port(f.sub(key), key, kv, ports[kv.key])
		if b != nil && ports[kv.key] == nil {
			f.fail(kv.at, joinPath(f.sub(key), kv.key), didYouMean(kv.key, sortedKeys(ports)),
				"%s has no %s %s", b.Name, strings.TrimSuffix(key, "s"), quote(kv.key))
			continue
		}
		declared[kv.key] = port
	}
	if b == nil {
		return declared
	}
	for name, port := range ports {
		if declared[name] == nil {
			declared[name] = port
		}
	}
	return declared
}

func defaultPorts(n *Node, b *Builtin, key string) map[string]*Port {
	list := []BuiltinPort{{Name: strings.TrimSuffix(key, "s")}}
	frame := int64(DefaultMaxFrame)
	if b != nil {
		frame = 0
		if list = b.Inputs; key == "outputs" {
			list = b.Outputs
		}
	}
	if key == "inputs" {
		frame = 0
	}
	ports := make(map[string]*Port, len(list))
	for _, bp := range list {
		k := bp.Kind
		if k == "" {
			k = KindAny
		}
		ports[bp.Name] = &Port{
			Pos: n.Pos, Name: bp.Name,
			Kind: Value[string]{V: k, Pos: n.Pos}, MaxFrame: Value[int64]{V: frame, Pos: n.Pos},
		}
	}
	return ports
}

func (p *parser) port(path, key string, kv pair, base *Port) *Port {
	path = joinPath(path, kv.key)
	port := &Port{Pos: kv.at, Name: kv.key, Kind: Value[string]{V: KindAny, Pos: kv.at}}
	known := []string{"kind"}
	if key == "outputs" {
		known = []string{"max_frame", "kind"}
		port.MaxFrame = Value[int64]{V: DefaultMaxFrame, Pos: kv.at}
	}
	if base != nil {
		port.Kind.V, port.MaxFrame.V = base.Kind.V, base.MaxFrame.V
	}
	if problem, hint := checkID(kv.key); problem != "" {
		p.fail(kv.at, path, hint, "%s %s", quote(kv.key), strings.Replace(problem, "an id", "a port name", 1))
	}
	if v := kv.value; v.kind == scalar && slices.Contains(frameKinds(), v.text) {
		p.mismatch(v, path, "a mapping", "write {kind: "+v.text+"}")
		return port
	}
	f, ok := p.open(kv.value, path, kv.at, known, moved{
		"max_frame": "max_frame stands at the output of the other node", "type": "=kind", "size": "=max_frame", "buffer": "buffer stands at the connection",
		"hold": "hold stands at the connection", "on_full": "on_full stands at the connection", "wait": "wait stands at the connection",
	})
	if !ok {
		return port
	}
	port.MaxFrame = f.size("max_frame", port.MaxFrame.V, maxFrame)
	kind := f.word("kind", port.Kind.V, frameKinds()...)
	if base != nil && base.Kind.V != KindAny && kind.Set && kind.V != base.Kind.V && slices.Contains(frameKinds(), kind.V) {
		f.fail(kind.Pos, f.sub("kind"), "", "the kind of this port is %s", base.Kind.V)
	}
	port.Kind = kind
	return port
}
