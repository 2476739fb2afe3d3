package generate

import (
	"fmt"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

const (
	mib = 1 << 20
	// memoryReserve is what a process needs beside the frames it publishes:
	// interpreter, code, the queues' bookkeeping.
	memoryReserve = 64 * mib
	defaultPids   = 256
	// maxEnv is the longest "NAME=value" with its final zero that Linux hands to
	// a program (MAX_ARG_STRLEN).
	maxEnv = 128 << 10
)

// limits plans what a container may use, and holds it against what it needs
// and what the host has.
// answers are the bytes of its status channel.
func (r *resolver) limits(path string, n *pipeline.Node, out *Node, answers int64) {
	l := n.Docker.Limits
	out.Limits = Limits{Memory: int64(l.MemoryMB.V) * mib, CPUs: l.CPUCores.V, Pids: int64(l.Pids.V)}
	if out.Limits.Pids == 0 {
		out.Limits.Pids = defaultPids
	}
	need := add(out.Publishes, memoryReserve)
	where := mistake{pos: l.MemoryMB.Pos, path: path + ".memory_mb"}
	switch {
	case out.Limits.Memory > 0 && out.Limits.Memory < need:
		where.hint = fmt.Sprintf("write memory_mb: %d or more, or lower max_frame or buffer", (need+mib-1)/mib)
		r.fail(where, "%d MiB cannot hold what %q publishes: %s + %s reserve = %s",
			l.MemoryMB.V, n.ID.V, r.published(out.Publishes, answers), size(memoryReserve), size(need))
	case r.host.Memory > 0 && max(out.Limits.Memory, need) > r.host.Memory:
		where.hint = "lower memory_mb, max_frame or buffer"
		r.fail(where, "%q needs %s, more than the engine has: %s", n.ID.V, size(max(out.Limits.Memory, need)), size(r.host.Memory))
	case out.Limits.Memory == 0 && r.plan.Form == Attached:
		// Without a limit of its own a node may take most of the machine, not all.
		out.Limits.Memory = max(r.host.Memory/4*3, min(need, r.host.Memory)) / mib * mib
	}
	if r.host.CPUs > 0 && out.Limits.CPUs > r.host.CPUs {
		r.fail(mistake{pos: l.CPUCores.Pos, path: path + ".cpu_cores"}, "%g cores are more than the engine has: %g", out.Limits.CPUs, r.host.CPUs)
	}
}

// published is the sum of what a node publishes, as its parts.
func (r *resolver) published(all, answers int64) string {
	if r.plan.Sessions == 1 {
		return size(all) + " of frames and answers"
	}
	return fmt.Sprintf("%d sessions x %s of frames + %s of answers", r.plan.Sessions, size((all-answers)/int64(r.plan.Sessions)), size(answers))
}

// environment writes wiring and params, and checks the variables of the file.
func (r *resolver) environment(at string, n *pipeline.Node, out *Node) {
	var err error
	if out.wiring, err = encode(out.Node); err == nil {
		out.params, err = encodeParams(n.Params.Values)
	}
	if err != nil {
		r.fail(mistake{pos: n.Pos, path: at + ".params"}, "%v", err)
		return
	}
	check := func(m mistake, name, value string) {
		if length := len(name) + len(value) + 2; length > maxEnv {
			r.fail(m, "%s is too long: %s of %s", name, size(int64(length)), size(maxEnv))
		}
	}
	check(mistake{pos: n.Pos, path: at, hint: "the node has too many connections"}, channel.EnvNode, out.wiring)
	check(mistake{pos: n.Pos, path: at + ".params", hint: "keep data in a file of docker.source"}, channel.EnvParams, out.params)
	own := func(v pipeline.Value[string], where string) {
		if v.V == channel.EnvNode || v.V == channel.EnvParams {
			r.fail(mistake{pos: v.Pos, path: where, hint: "choose another name"}, "%s is set by medianode", v.V)
		}
	}
	for _, e := range n.Docker.Env {
		where := at + ".docker.env." + e.Name.V
		own(e.Name, where)
		check(mistake{pos: e.Value.Pos, path: where}, e.Name.V, e.Value.V)
	}
	for i, from := range n.Docker.EnvFrom {
		own(from, fmt.Sprintf("%s.docker.env_from[%d]", at, i))
	}
}
