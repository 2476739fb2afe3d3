package generate

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// RootUID is who containers run as when the caller is root or unknown.
const RootUID = 1000

// ownMemory is what iceoryx2 itself keeps in shared memory, a domain: one page.
const ownMemory = 4096

// Resolve makes the plan of a pipeline that runs as the given compose project.
// source is the directory of the pipeline file, sdk the directory of the Python
// package medianode. The error is pipeline.Diagnostics, every mistake at once.
func Resolve(spec *pipeline.Spec, project string, host Host, source, sdk fs.FS) (*Plan, error) {
	if !isProjectName(project) {
		return nil, fmt.Errorf("project name %q: want lower-case letters, digits, - and _, and a letter or digit first", project)
	}
	r := &resolver{spec: spec, host: host, source: source, sources: map[string]*contents{}, plan: &Plan{
		Name: project, File: spec.File, Form: host.Form, Sessions: max(1, spec.Sessions.V),
		UID: host.UID, GID: host.GID, dir: host.Dir, base: host.Base,
	}}
	if host.Form == Portable || host.UID == 0 {
		r.plan.UID, r.plan.GID = RootUID, RootUID
	}
	uid := host.UID
	if host.Form == Portable {
		uid = RootUID
	}
	r.plan.Domain = channel.NewDomain(uid, project)
	if r.plan.base == "" {
		r.plan.base = "."
	}
	var err error
	if r.sdk, err = sdkFiles(sdk); err != nil {
		return nil, err
	}
	r.plan.SharedMemory = ownMemory
	r.channels()
	for i, n := range spec.Nodes {
		r.node(i, n)
	}
	r.distinct()
	r.fits()
	if len(r.diags) > 0 {
		slices.SortStableFunc(r.diags, byPosition)
		return nil, r.diags
	}
	return r.plan, nil
}

// isProjectName tells what compose takes, of at most 63 characters.
func isProjectName(s string) bool {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"
	return s != "" && len(s) <= 63 && strings.Contains(alphanumeric, s[:1]) && strings.Trim(s, alphanumeric+"_-") == ""
}

func byPosition(a, b *pipeline.Diagnostic) int {
	if a.Pos.Line != b.Pos.Line {
		return a.Pos.Line - b.Pos.Line
	}
	return a.Pos.Col - b.Pos.Col
}

// resolver is a plan in the making.
type resolver struct {
	spec    *pipeline.Spec
	host    Host
	source  fs.FS
	sources map[string]*contents // of the nodes, by directory
	sdk     []File
	plan    *Plan
	diags   pipeline.Diagnostics
	ends    map[string]*ends // of each node, by id
}

// ends are one node's sides of its connections.
type ends struct {
	inputs  []channel.Input
	outputs []channel.Output
	largest int64 // payload that enters a node which sends it on; 0: not asked yet
}

// mistake is a finding without its text.
type mistake struct {
	pos  pipeline.Pos
	path string // in the pipeline file
	hint string
}

func (r *resolver) fail(m mistake, format string, args ...any) {
	r.diags = append(r.diags, &pipeline.Diagnostic{
		File: r.spec.File, Pos: m.pos, Path: m.path, Hint: m.hint, Message: fmt.Sprintf(format, args...),
	})
}

// node plans one node; its channels are known already.
func (r *resolver) node(index int, n *pipeline.Node) {
	e := r.ends[n.ID.V]
	out := Node{
		Node: channel.Node{
			Version: channel.WiringVersion, Project: r.plan.Name, Domain: r.plan.Domain,
			ID: n.ID.V, Type: n.Type.V, Streaming: n.IsStreaming.V, Inputs: e.inputs, Outputs: e.outputs, TimeoutMS: n.TimeoutMS.V,
		},
		Pos: n.Pos, Container: n.Docker != nil, Params: n.Params.Values, StartTimeoutMS: n.StartTimeoutMS.V, docker: n.Docker,
	}
	for _, c := range r.plan.Channels {
		if !c.Service && c.From == n.ID.V {
			out.Publishes = add(out.Publishes, multiply(int64(c.Sizes.Data), int64(c.Count)))
		}
	}
	if out.Container {
		r.container(fmt.Sprintf("nodes[%d]", index), n, &out)
	}
	r.plan.Nodes = append(r.plan.Nodes, out)
}

// container plans what only a node in a container has.
func (r *resolver) container(path string, n *pipeline.Node, out *Node) {
	out.Service, out.Side = n.ID.V, r.isSide(n)
	if out.HealthIntervalS = n.Docker.HealthIntervalS.V; out.HealthIntervalS > 0 {
		out.Alive = aliveFile
	}
	out.Restart = Restart{Policy: n.Docker.Restart.Policy.V, MaxAttempts: n.Docker.Restart.MaxAttempts.V, WindowS: n.Docker.Restart.WindowS.V}
	answers := int64(0)
	if out.Side {
		out.Inputs, out.Outputs = []channel.Input{}, []channel.Output{}
	} else {
		answers = r.service(n, out)
	}
	r.limits(path+".docker.resource_limits", n, out, answers)
	r.environment(path, n, out)
	r.volumes(path+".docker.volumes", n, out)
	if out.Finished = n.Docker.Image.V != ""; out.Finished {
		out.Image = n.Docker.Image.V
		return
	}
	img, ok := r.image(path+".docker", n)
	if !ok {
		return
	}
	out.Image, out.key = img.Ref, img.Key
	r.plan.Images = append(r.plan.Images, img)
}

// service plans the channels by which the runtime and the node talk, and gives
// the bytes that the node publishes on them.
func (r *resolver) service(n *pipeline.Node, out *Node) int64 {
	control, status := channel.ControlSpec(n.ID.V), channel.StatusSpec(n.ID.V)
	out.Control, out.Status = &control, &status
	r.add(Channel{Spec: control, From: "runtime", FromPort: "control", Kind: "control", Service: true, Why: "commands", Count: 1, Pos: n.Pos})
	r.add(Channel{Spec: status, From: n.ID.V, FromPort: "status", Kind: "control", Service: true, Why: "answers", Count: 1, Pos: n.Pos})
	answers := int64(status.Sizes().Data)
	out.Publishes = add(out.Publishes, answers)
	return answers
}

// isSide tells a finished image that no connection touches: it need not know
// what a frame is.
func (r *resolver) isSide(n *pipeline.Node) bool {
	return n.Docker.Image.V != "" && !slices.ContainsFunc(r.spec.Connections, func(c *pipeline.Connection) bool {
		return c.From.V == n.ID.V || c.To.V == n.ID.V
	})
}

// fits holds the plan's shared memory against the host's.
func (r *resolver) fits() {
	if r.host.Memory == 0 || r.plan.SharedMemory <= r.host.Memory {
		return
	}
	largest := slices.MaxFunc(r.plan.Channels, func(a, b Channel) int { return cmp.Compare(a.Total(), b.Total()) })
	r.fail(mistake{pos: largest.Pos, hint: "lower max_frame, buffer or hold"}, "the pipeline needs %s of shared memory, more than the engine has: %s; %s of it for %q of %q",
		size(r.plan.SharedMemory), size(r.host.Memory), size(largest.Total()), largest.FromPort, largest.From)
}

// name is one derived name, and what it is the name of.
type name struct {
	space, text, owner string
	pos                pipeline.Pos
}

// distinct proves that no two things of the plan have one name. Ids and ports
// may hold _, so a channel of one node can be called like that of another.
func (r *resolver) distinct() {
	type key struct{ space, text string }
	seen := map[key]name{}
	for _, n := range r.names() {
		k := key{n.space, n.text}
		before, clash := seen[k]
		if !clash {
			seen[k] = n
			continue
		}
		r.fail(mistake{pos: n.pos, hint: "rename a node or a port"}, "%s and %s would both have the %s %q", before.owner, n.owner, n.space, n.text)
	}
}

func (r *resolver) names() []name {
	var all []name
	for _, c := range r.plan.Channels {
		owner := fmt.Sprintf("output %q of %q", c.FromPort, c.From)
		if c.Service {
			owner = fmt.Sprintf("the %s channel of %q", c.Why, c.From)
		}
		all = append(all, name{"channel", c.Name, owner, c.Pos}, name{"channel", channel.CreditName(c.Name), "the credits of " + owner, c.Pos})
	}
	for _, n := range r.spec.Nodes {
		if len(n.Inputs) > 0 {
			all = append(all, name{"channel", channel.InputName(channel.SessionMark, n.ID.V), fmt.Sprintf("the injected input of %q", n.ID.V), n.Pos})
		}
	}
	if r.plan.Form == Portable {
		all = append(all, name{"service", runtimeService, "the runtime", pipeline.Pos{}})
	}
	for _, n := range r.plan.Nodes {
		if n.Container {
			owner := fmt.Sprintf("node %q", n.ID)
			all = append(all, name{"service", n.Service, owner, n.Pos}, name{"container", containerName(r.plan.Name, n.Service), owner, n.Pos})
		}
	}
	for _, v := range []string{shmVolume, rootVolume} {
		all = append(all, name{"volume", volumeName(r.plan.Name, v), "volume " + v, pipeline.Pos{}})
	}
	return all
}

func containerName(project, service string) string { return project + "-" + service + "-1" }
func volumeName(project, volume string) string     { return project + "_" + volume }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
