package origin

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// nodeKeys are the language's keys of a node, in the order in which they read
// best.
func nodeKeys() []string {
	return []string{
		"id", "node_type", "is_streaming", "params", "inputs", "outputs", "timeout_ms", "start_timeout_ms", "on_crash", "docker",
	}
}

// node is one of the manifest's nodes.
func (c *converter) node(n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode || !c.first(n) {
		return
	}
	c.camel(n, path, nodeKeys())
	c.id(n, path)
	c.rename(n, path, "config", "params")
	c.comment(n, path, "comment")
	c.comment(n, path, "description")
	c.fromMetadata(n, path)
	c.rename(n, path, "docker_config", "docker")
	c.dependencies(n, path)
	for _, key := range keys(n) {
		if get(n, key.Value) == nil {
			c.note(key, path+"."+key.Value, "dropped: it was null")
			remove(n, key.Value)
		} else if why, ok := droppedKeys()[key.Value]; ok {
			c.note(key, path+"."+key.Value, "dropped: %s", why)
			remove(n, key.Value)
		} else if !slices.Contains(nodeKeys(), key.Value) {
			c.note(key, path+"."+key.Value, "dropped: there is no such key of a node here")
			remove(n, key.Value)
		}
	}
	c.kind(n, path)
	sortPairs(n, nodeKeys())
}

func droppedKeys() map[string]string {
	const where = "a node with docker: runs in a container, a built-in in the runtime"
	return map[string]string{
		"executor": where, "runtime_hint": where, "runtime": where, "execution": where,
		"host":         "all nodes run on one machine",
		"capabilities": "write docker.resource_limits and docker.gpu_devices",
	}
}

// camel renames nodeType to node_type.
func (c *converter) camel(n *yaml.Node, path string, known []string) {
	for _, key := range keys(n) {
		if to := snake(key.Value); to != key.Value && slices.Contains(known, to) {
			c.rename(n, path, key.Value, to)
		}
	}
}

// comment makes a text that describes a mapping the comment above it.
func (c *converter) comment(n *yaml.Node, path, key string) {
	v := get(n, key)
	if v == nil || v.Kind != yaml.ScalarNode {
		return
	}
	c.note(keyOf(n, key), path+"."+key, "became a comment")
	remove(n, key)
	if line := strings.Join(strings.Fields(v.Value), " "); line != "" {
		n.HeadComment = strings.TrimPrefix(n.HeadComment+"\n# "+line, "\n")
	}
}

// dependencies are packages that stand beside the container, or without one.
func (c *converter) dependencies(n *yaml.Node, path string) {
	list := get(n, "python_deps")
	if list == nil {
		return
	}
	d := deref(get(n, "docker"))
	if d == nil {
		d = emptyMapping()
		d.Line = list.Line
		set(n, "docker", d)
	}
	if d.Kind != yaml.MappingNode || get(d, "python_packages") != nil {
		return // it is dropped as any other key
	}
	c.note(keyOf(n, "python_deps"), path+".python_deps", "became docker.python_packages")
	set(d, "python_packages", list)
	remove(n, "python_deps")
}

func (c *converter) id(n *yaml.Node, path string) {
	v := get(n, "id")
	if v == nil {
		return
	}
	id := identifier(v.Value)
	if id != v.Value {
		c.note(v, path+".id", "%q became %s: an id has letters, digits, - and _", v.Value, id)
	}
	c.ids[v.Value] = id
	v.Value, v.Tag = id, "!!str"
}

// fromMetadata takes a node's container and description out of its metadata.
func (c *converter) fromMetadata(n *yaml.Node, path string) {
	meta := deref(get(n, "metadata"))
	if meta == nil || meta.Kind != yaml.MappingNode {
		return
	}
	used := get(meta, "use_docker")
	if d := get(meta, "docker_config"); d != nil {
		switch {
		case used != nil && used.Value == "false":
			c.note(keyOf(meta, "docker_config"), path+".metadata.docker_config", "dropped: use_docker is false")
		case get(n, "docker") != nil:
			c.note(keyOf(meta, "docker_config"), path+".metadata.docker_config", "dropped: the node has docker too")
		default:
			c.note(keyOf(meta, "docker_config"), path+".metadata.docker_config", "became docker")
			set(n, "docker", d)
		}
	}
	if used != nil {
		c.note(keyOf(meta, "use_docker"), path+".metadata.use_docker", "dropped: a node with docker: runs in a container")
	}
	c.comment(meta, path+".metadata", "description")
	if meta.HeadComment != "" {
		n.HeadComment, meta.HeadComment = strings.TrimPrefix(n.HeadComment+"\n"+meta.HeadComment, "\n"), ""
	}
	for _, key := range keys(meta) {
		if !slices.Contains([]string{"use_docker", "docker_config"}, key.Value) {
			c.note(key, path+".metadata."+key.Value, "dropped: a node has no metadata here; write a comment")
		}
	}
	remove(n, "metadata")
}

// kind gives a node a type and a container: what is not built in here is a
// class in a file.
func (c *converter) kind(n *yaml.Node, path string) {
	t := get(n, "node_type")
	if t == nil || t.Kind != yaml.ScalarNode {
		return
	}
	if slices.Contains(c.builtins, t.Value) && get(n, "docker") == nil {
		return
	}
	module, class := split(t.Value)
	if m, k := c.pythonNode(n, path, t.Value); k != "" {
		module, class = m, k
	}
	name := module + ":" + class
	if name != t.Value {
		c.note(t, path+".node_type", "%s became %s", t.Value, name)
	}
	c.toDo(t, path+".node_type", "write class %s(medianode.Node) in nodes/%s.py, or take a built-in: docker medianode nodes",
		class, strings.ReplaceAll(module, ".", "/"))
	t.Value, t.Tag, t.Style = name, "!!str", 0
	t.LineComment = "# to do: class " + class + " in nodes/" + strings.ReplaceAll(module, ".", "/") + ".py"
	if get(n, "docker") == nil {
		c.note(t, path, "runs in a container now: docker was added")
		d := emptyMapping()
		d.Line = t.Line
		set(n, "docker", d)
	}
	c.docker(deref(get(n, "docker")), path+".docker")
}

// pythonNode is the class that the params of a PythonNode name.
func (c *converter) pythonNode(n *yaml.Node, path, kind string) (module, class string) {
	params := deref(get(n, "params"))
	m, k := get(params, "module"), get(params, "class")
	if kind != "PythonNode" || m == nil || k == nil {
		return "", ""
	}
	c.note(keyOf(params, "module"), path+".params", "module and class became node_type")
	remove(params, "module")
	remove(params, "class")
	if inner := deref(get(params, "config")); len(params.Content) == 2 && inner != nil && inner.Kind == yaml.MappingNode {
		c.note(keyOf(params, "config"), path+".params.config", "became params")
		params.Content = inner.Content
	}
	return pythonName(m.Value, true), pythonName(k.Value, false)
}

// split makes module and class of a type: ml.WhisperASR is class WhisperASR of
// ml, and WhisperSTT class WhisperSTT of whisper_stt.
func split(kind string) (module, class string) {
	if m, k, ok := strings.Cut(kind, ":"); ok {
		return pythonName(m, true), pythonName(k, false)
	}
	if i := strings.LastIndexByte(kind, '.'); i > 0 {
		return pythonName(kind[:i], true), pythonName(kind[i+1:], false)
	}
	return pythonName(snake(kind), true), pythonName(kind, false)
}

// snake is a_name for aName and WhisperSTT whisper_stt.
func snake(s string) string {
	var b strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			after := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if !unicode.IsUpper(runes[i-1]) && runes[i-1] != '_' || after && unicode.IsUpper(runes[i-1]) {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// pythonName makes a text a name of Python's, or a dotted one.
func pythonName(s string, dotted bool) string {
	var parts []string
	for part := range strings.SplitSeq(s, ".") {
		part = strings.ReplaceAll(identifier(part), "-", "_")
		parts = append(parts, part)
	}
	if !dotted {
		return strings.Join(parts, "_")
	}
	return strings.Join(parts, ".")
}

// declare writes the ports that connections name, where they are not the usual.
func (c *converter) declare(n *yaml.Node, path string) {
	id, t := get(n, "id"), get(n, "node_type")
	if id == nil || t == nil || slices.Contains(c.builtins, t.Value) || c.ports[id.Value] == nil {
		return
	}
	for _, key := range []string{"inputs", "outputs"} {
		names := c.ports[id.Value].inputs
		if key == "outputs" {
			names = c.ports[id.Value].outputs
		}
		usual := strings.TrimSuffix(key, "s")
		if get(n, key) != nil || len(names) == 0 || slices.Equal(names, []string{usual}) {
			continue
		}
		declared := emptyMapping()
		declared.Style = yaml.FlowStyle
		for _, name := range names {
			empty := emptyMapping()
			empty.Style = yaml.FlowStyle
			declared.Content = append(declared.Content, text(name), empty)
		}
		c.note(t, path+"."+key, "added: connections name %s", strings.Join(names, ", "))
		set(n, key, declared)
	}
	sortPairs(n, nodeKeys())
}

// number is the value of a scalar, or 0.
func number(n *yaml.Node) float64 {
	x, err := strconv.ParseFloat(n.Value, 64)
	if err != nil {
		return 0
	}
	return x
}
