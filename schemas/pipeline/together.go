package pipeline

import (
	"path"
	"strings"
)

// Keys that are each right and say nothing together: whoever wrote both expects
// something that will not happen.

// imageTogether holds what builds an image against one that is finished.
func (f *fields) imageTogether(d *Docker) {
	command := f.get("command")
	if f.get("image") == nil {
		if command != nil && !f.slips["image"] {
			f.fail(f.pairs["command"].at, f.sub("command"), "remove the key; a node with source is started by the SDK",
				"command is for image only")
		}
		return
	}
	if command != nil && command.kind == sequence && len(command.items) == 0 {
		f.fail(command.pos, f.sub("command"), "remove the key to use the image's own", "must list at least one word")
	}
	hint := "remove it; or, to build on the image, write base_image instead of image"
	for _, key := range []string{
		"python_version", "python_packages", "wheels", "system_dependencies", "build_dependencies", "source", "base_image",
		"health_interval_s",
	} {
		if kv, set := f.pairs[key]; set {
			f.fail(kv.at, f.sub(key), hint, "has no effect with image at %d:%d, which is used as it is",
				d.Image.Pos.Line, d.Image.Pos.Col)
		}
	}
}

// lifeTogether holds what is said about a node's life against where it lives.
func (f *fields) lifeTogether(n *Node, b *Builtin) {
	if b != nil {
		for _, key := range []string{"timeout_ms", "start_timeout_ms", "on_crash"} {
			if kv, set := f.pairs[key]; set {
				f.fail(kv.at, f.sub(key), "remove the key", "has no effect: %s is built in and runs in no container", b.Name)
			}
		}
		return
	}
	if n.TimeoutMS.Set && f.get("inputs") != nil && len(n.Inputs) == 0 {
		f.noInput(n.TimeoutMS.Pos, f.sub("timeout_ms"))
	}
	if n.OnCrash.V == "retry" && n.Docker != nil && !n.Docker.Restart.meant {
		f.fail(n.OnCrash.Pos, f.sub("on_crash"), "add docker.restart: {policy: on-failure}, or write on_crash: drop",
			"retry has no effect without a restart policy")
	}
}

func (s *source) noInput(at Pos, path string) {
	s.fail(at, path, "remove the key", "has no effect: it bounds one call of process, and the node has no input")
}

// unheard reports what is said about frames at nodes that none reaches. It runs
// on a file without mistakes only: a mistake is often the reason.
func (p *parser) unheard() {
	heard, touched := map[string]bool{}, map[string]bool{}
	for _, c := range p.spec.Connections {
		heard[c.To.V], touched[c.To.V], touched[c.From.V] = true, true, true
	}
	for i, n := range p.spec.Nodes {
		path := joinIndex("nodes", i)
		switch side := n.Docker != nil && n.Docker.Image.Set && !touched[n.ID.V]; {
		case side:
			p.sideContainer(n, path)
		case n.TimeoutMS.Set && !heard[n.ID.V]:
			p.noInput(n.TimeoutMS.Pos, path+".timeout_ms")
		}
	}
}

// sideContainer holds what reaches a node through the SDK against an image that
// runs beside the others and needs none.
func (p *parser) sideContainer(n *Node, path string) {
	said := map[string]Pos{}
	for key, v := range map[string]Value[int]{"timeout_ms": n.TimeoutMS, "start_timeout_ms": n.StartTimeoutMS} {
		if v.Set {
			said[key] = v.Pos
		}
	}
	if n.IsStreaming.Set {
		said["is_streaming"] = n.IsStreaming.Pos
	}
	if n.OnCrash.Set {
		said["on_crash"] = n.OnCrash.Pos
	}
	for key, at := range n.Params.At {
		said["params."+key] = at
	}
	for _, key := range sortedKeys(said) {
		at := path + "." + key
		if name, isParam := strings.CutPrefix(key, "params."); isParam {
			at = joinPath(path+".params", name)
		}
		p.fail(said[key], at, "connect the node, or remove the key; env and command reach any image",
			"has no effect: no connection touches this node, so its image runs as it is")
	}
}

// oneWriter holds the files of built-in nodes against each other: a file that
// two write has one of the two in the end, and one that a node reads is gone
// once another has written it.
func (p *parser) oneWriter() {
	type use struct {
		node   *Node
		path   string
		at     Pos
		writes bool
	}
	files := map[string]use{}
	for i, n := range p.spec.Nodes {
		b := p.builtins[n.Type.V]
		if b == nil || n.Module != "" {
			continue
		}
		for _, spec := range b.Params {
			name, _ := n.Params.Values[spec.Name].(string)
			if spec.Type != ParamPath || name == "" {
				continue
			}
			now := use{n, joinPath(joinIndex("nodes", i)+".params", spec.Name), n.Params.At[spec.Name], len(b.Outputs) == 0}
			before, used := files[path.Clean(name)]
			switch {
			case used && before.writes && now.writes:
				p.fail(now.at, now.path, "write to another file", "%s is already written by %s at %d:%d", quote(name), quote(before.node.ID.V), before.at.Line, before.at.Col)
			case used && before.writes != now.writes:
				if before.writes {
					before, now = now, before
				}
				p.fail(now.at, now.path, "write to another file", "%s is what %s reads at %d:%d, which this would replace", quote(name), quote(before.node.ID.V), before.at.Line, before.at.Col)
			}
			if !used || now.writes {
				files[path.Clean(name)] = now
			}
		}
	}
}

func (f *fields) restartTogether(r Restart) {
	policy := f.get("policy")
	if r.Policy.V == "no" {
		for _, key := range []string{"max_attempts", "window_s"} {
			if kv, set := f.pairs[key]; set && (policy == nil || policy.text == "no") {
				f.fail(kv.at, f.sub(key), "remove the key, or write policy: on-failure", "has no effect with policy no")
			}
		}
		return
	}
	if kv, set := f.pairs["window_s"]; set && f.get("max_attempts") == nil && !f.slips["max_attempts"] {
		f.fail(kv.at, f.sub("window_s"), "add max_attempts, such as max_attempts: 5",
			"has no effect without max_attempts: it is the time in which they count")
	}
}
