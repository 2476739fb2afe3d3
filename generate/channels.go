package generate

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// channels plans the channels of every output and the ends of every node.
func (r *resolver) channels() {
	r.ends = make(map[string]*ends, len(r.spec.Nodes))
	for _, n := range r.spec.Nodes {
		r.ends[n.ID.V] = &ends{inputs: []channel.Input{}, outputs: []channel.Output{}}
	}
	made := map[*pipeline.Connection]channel.Input{}
	for i, n := range r.spec.Nodes {
		for _, port := range sorted(n.Outputs) {
			out := r.output(fmt.Sprintf("nodes[%d].outputs.%s", i, port), n, n.Outputs[port], made)
			r.ends[n.ID.V].outputs = append(r.ends[n.ID.V].outputs, out)
		}
	}
	for _, c := range r.spec.Connections {
		to := r.ends[c.To.V]
		to.inputs = append(to.inputs, made[c])
	}
}

// output plans one port: a channel for the readers that block and one for
// those that drop. made takes the reader's end of each connection.
func (r *resolver) output(path string, n *pipeline.Node, port *pipeline.Port, made map[*pipeline.Connection]channel.Input) channel.Output {
	out := channel.Output{Port: port.Name, Kind: kind(port), MaxFrame: int(r.maxFrame(n, port)), Channels: []channel.Spec{}}
	readers := map[channel.Policy][]*pipeline.Connection{}
	for _, c := range r.spec.Connections {
		if c.From.V == n.ID.V && c.FromOutput.V == port.Name {
			readers[policy(c)] = append(readers[policy(c)], c)
		}
	}
	declared := port.Pos != n.Pos // a port that the file does not write has its node's place
	if len(readers) == 0 && declared {
		r.fail(mistake{pos: port.Pos, path: path, hint: "add a connection with from: " + n.ID.V + ", or remove the port"}, "no connection reads this output")
	}
	both := len(readers) == 2
	for _, p := range []channel.Policy{channel.Block, channel.DropOldest} {
		connections := readers[p]
		if len(connections) == 0 {
			continue
		}
		planned := Channel{From: n.ID.V, FromPort: port.Name, Kind: out.Kind, Count: r.plan.Sessions, Pos: connections[0].Pos}
		planned.Spec = channel.Spec{Name: channel.OutputName(channel.SessionMark, n.ID.V, port.Name), MaxFrame: out.MaxFrame, Policy: p, Loans: 1}
		if both && p == channel.DropOldest {
			planned.Name = channel.LossyName(channel.SessionMark, n.ID.V, port.Name)
			planned.Why = fmt.Sprintf("a copy: %s must not wait for %s", destinations(readers[channel.Block]), destinations(connections))
		}
		for _, c := range connections {
			planned.Readers = append(planned.Readers, channel.Reader{
				Node: c.To.V, Port: c.ToInput.V, Buffer: c.Buffer.V, Hold: c.Hold.V, Retry: r.retries(c),
			})
		}
		if err := planned.Validate(); err != nil {
			r.fail(mistake{pos: port.Pos, path: path}, "%v", err)
		}
		r.add(planned)
		out.Channels = append(out.Channels, planned.Spec)
		for slot, c := range connections {
			made[c] = r.input(c, planned.Spec, slot)
		}
	}
	return out
}

// input is the reader's end of a connection.
func (r *resolver) input(c *pipeline.Connection, spec channel.Spec, slot int) channel.Input {
	in := channel.Input{
		Port: c.ToInput.V, Source: c.From.V, SourcePort: c.FromOutput.V, Feedback: c.Feedback.V, Slot: slot, Channel: spec,
	}
	if n := r.spec.Node(c.To.V); n != nil && n.Inputs[in.Port] != nil {
		in.Kind = kind(n.Inputs[in.Port])
	}
	if n := r.spec.Node(c.From.V); in.Kind == "" && n != nil && n.Outputs[in.SourcePort] != nil {
		in.Kind = kind(n.Outputs[in.SourcePort])
	}
	// The default stays unsaid: it would make every container anew.
	if w := channel.Wait(c.Wait.V); w != channel.WaitAdaptive {
		in.Wait = w
	}
	return in
}

// retries tells whether the reader gets again what it had not finished when it
// died. A frame that goes round a cycle is not worth it: the next one comes.
func (r *resolver) retries(c *pipeline.Connection) bool {
	to := r.spec.Node(c.To.V)
	return to != nil && to.OnCrash.V == "retry" && !c.Feedback.V
}

func (r *resolver) add(c Channel) {
	if frames := c.frames(); frames > mostMemory {
		r.fail(mistake{pos: c.Pos, hint: "lower max_frame, buffer, hold or sessions"},
			"output %q of %q needs more shared memory than any machine has: about %s", c.FromPort, c.From, size(frames))
		return // no number after this one would be right
	}
	c.Sizes = c.Spec.Sizes()
	r.plan.SharedMemory = add(r.plan.SharedMemory, c.Total())
	r.plan.Channels = append(r.plan.Channels, c)
}

// mostMemory is more than a machine has, and less than where sums of it could
// pass 63 bits.
const mostMemory = 1 << 46

// frames is the least that the channel takes, by arithmetic that cannot
// overflow: Sizes counts on that.
func (c Channel) frames() int64 {
	most := int64(1)
	for _, r := range c.Readers {
		most = max(most, add(int64(r.Buffer), int64(r.Hold)))
	}
	kept := multiply(int64(c.MaxSubscribers()), most)
	return multiply(multiply(add(kept, int64(c.Loans)), add(int64(c.MaxFrame), frameOverhead)), int64(c.Count))
}

// frameOverhead is at least what a frame takes beside its payload.
const frameOverhead = 256

// add and multiply stay at the largest number instead of passing it.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func multiply(a, b int64) int64 {
	if b != 0 && a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}

func policy(c *pipeline.Connection) channel.Policy {
	if c.Feedback.V || c.OnFull.V == channel.DropOldest.String() {
		return channel.DropOldest
	}
	return channel.Block
}

func kind(p *pipeline.Port) string {
	if p.Kind.V == pipeline.KindAny {
		return ""
	}
	return p.Kind.V
}

func destinations(connections []*pipeline.Connection) string {
	var ids []string
	for _, c := range connections {
		if !slices.Contains(ids, c.To.V) {
			ids = append(ids, c.To.V)
		}
	}
	return strings.Join(ids, ", ")
}

// largestInto is the largest payload that a node gets which sends on what it
// gets. Feedback is left out: it would lead back here.
func (r *resolver) largestInto(n *pipeline.Node) int64 {
	e := r.ends[n.ID.V]
	if e.largest > 0 { // one question a node, however many ways lead here
		return e.largest
	}
	for _, c := range r.spec.Connections {
		from := r.spec.Node(c.From.V)
		if c.To.V == n.ID.V && !c.Feedback.V && from != nil && from.Outputs[c.FromOutput.V] != nil {
			e.largest = max(e.largest, r.maxFrame(from, from.Outputs[c.FromOutput.V]))
		}
	}
	if e.largest == 0 {
		e.largest = pipeline.DefaultMaxFrame
	}
	return e.largest
}

// maxFrame is the largest payload of an output. For a built-in that the file
// gives none, the host knows it, or the params bound it.
func (r *resolver) maxFrame(n *pipeline.Node, port *pipeline.Port) int64 {
	if port.MaxFrame.V > 0 {
		return port.MaxFrame.V
	}
	if r.host.MaxFrame != nil {
		if frame := r.host.MaxFrame(n.Type.V, n.Params.Values); frame > 0 {
			return frame
		}
	}
	number := func(name string, otherwise float64) float64 {
		switch v := n.Params.Values[name].(type) {
		case int:
			return float64(v)
		case int64:
			return float64(v)
		case uint64:
			return float64(v)
		case float64:
			return v
		}
		return otherwise
	}
	const (
		most   = 192_000 * 8 * 8 // bytes of audio a second: 192 kHz, 8 channels, f64
		common = 48_000 * 2 * 4  // 48 kHz, stereo, f32
	)
	switch n.Type.V {
	case "Passthrough", "Throttle":
		return r.largestInto(n)
	case "AudioFileSource":
		seconds := number("frame_ms", 20) / 1000
		return int64(max(min(seconds*most, pipeline.DefaultMaxFrame), seconds*common))
	case "TestPatternSource":
		return int64(number("width", 1280) * number("height", 720) * 4)
	}
	return pipeline.DefaultMaxFrame
}
