package runtime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Stats is one look at a running project. What has a rate is of the time since
// the look before.
type Stats struct {
	Time        time.Time         `json:"time"`
	Project     string            `json:"project"`
	Nodes       []NodeStats       `json:"nodes"`
	Connections []ConnectionStats `json:"connections"`
}

// NodeStats is one node. Cores and sizes are missing for built-in nodes, which are
// part of the runtime's process.
type NodeStats struct {
	Node      string  `json:"node"`
	Container bool    `json:"container"`
	State     string  `json:"state,omitempty"`
	Restarts  int     `json:"restarts"`
	Known     bool    `json:"known"` // what it uses
	CPU       float64 `json:"cpu"`   // cores
	Throttled float64 `json:"throttled"`
	Memory    uint64  `json:"memory"` // bytes, frames included, the cache of files not
	Frames    uint64  `json:"frames"` // bytes of Memory
	Limit     uint64  `json:"limit,omitempty"`
}

// ConnectionStats is one connection in one session.
type ConnectionStats struct {
	Session  string  `json:"session"`
	From     string  `json:"from"`
	To       string  `json:"to"`
	Frames   uint64  `json:"frames"`  // received since the session began
	Rate     float64 `json:"rate"`    // frames a second
	Bytes    float64 `json:"bytes_s"` // a second
	Depth    uint64  `json:"depth"`   // frames that wait now
	Capacity uint64  `json:"capacity"`
	Dropped  uint64  `json:"dropped"` // since the session began
	Drops    float64 `json:"drop_rate"`
	P50      uint64  `json:"latency_p50_ns"`
	P99      uint64  `json:"latency_p99_ns"`
}

// Watch looks at a running project every so often, as Look does, and gives what it
// sees to each, until that or ctx ends it, or the project does. The first look is
// only to compare with.
func Watch(ctx context.Context, e Engine, g Graph, every time.Duration, each func(Stats) error) error {
	last := Look(ctx, e, g)
	if len(last.Sessions) == 0 {
		return fmt.Errorf("project %s does not run", g.Project)
	}
	for {
		pause(ctx, every)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it is how one ends to watch
		}
		now := Look(ctx, e, g)
		if len(now.Sessions) == 0 {
			return nil
		}
		if err := each(compare(g.Project, last, now)); err != nil {
			return err
		}
		last = now
	}
}

// Of is what it says of some nodes, and of the connections from and to them; of all
// without names.
func (s Stats) Of(nodes []string) Stats {
	if len(nodes) == 0 {
		return s
	}
	other := func(port string) bool {
		node, _, _ := strings.Cut(port, ".")
		return !slices.Contains(nodes, node)
	}
	s.Nodes = slices.DeleteFunc(s.Nodes, func(n NodeStats) bool { return other(n.Node) })
	s.Connections = slices.DeleteFunc(s.Connections, func(c ConnectionStats) bool { return other(c.From) && other(c.To) })
	return s
}

// compare makes rates of two looks.
func compare(project string, last, now Totals) Stats {
	s := Stats{Time: now.Time, Project: project, Nodes: []NodeStats{}, Connections: []ConnectionStats{}}
	for _, n := range now.Nodes {
		i := slices.IndexFunc(last.Nodes, func(b NodeTotals) bool { return b.Node == n.Node })
		var before *Usage
		if i >= 0 {
			before = last.Nodes[i].Usage
		}
		s.Nodes = append(s.Nodes, n.since(before))
	}
	before := map[[3]string]ConnectionTotals{}
	for _, c := range last.Connections {
		before[[3]string{c.Session, c.From, c.To}] = c
	}
	passed := now.Time.Sub(last.Time).Seconds()
	for _, c := range now.Connections {
		s.Connections = append(s.Connections, c.since(before[[3]string{c.Session, c.From, c.To}], passed))
	}
	return s
}

func (c ConnectionTotals) since(last ConnectionTotals, passed float64) ConnectionStats {
	if c.Frames < last.Frames { // another session of the same name
		last = ConnectionTotals{}
	}
	s := ConnectionStats{
		Session: c.Session, From: c.From, To: c.To, Frames: c.Frames, Depth: c.Depth, Capacity: c.Capacity, Dropped: c.Dropped,
	}
	if passed > 0 {
		s.Rate, s.Bytes = float64(c.Frames-last.Frames)/passed, float64(c.Bytes-min(last.Bytes, c.Bytes))/passed
		s.Drops = float64(c.Dropped-min(last.Dropped, c.Dropped)) / passed
	}
	counts := c.Latencies
	for i := range counts {
		counts[i] -= min(counts[i], last.Latencies[i])
	}
	s.P50, s.P99 = channel.Quantile(counts, 0.5), channel.Quantile(counts, 0.99)
	return s
}

func (n NodeTotals) since(last *Usage) NodeStats {
	s := NodeStats{Node: n.Node, Container: n.Container, State: n.State, Restarts: n.Restarts}
	u := n.Usage
	if u == nil {
		return s
	}
	s.Known, s.Memory, s.Frames, s.Limit = true, u.Memory, u.Frames, u.Limit
	if last == nil || u.CPUS < last.CPUS || u.Periods < last.Periods { // it is there anew
		return s
	}
	if passed := u.Time.Sub(last.Time).Seconds(); passed > 0 {
		s.CPU = (u.CPUS - last.CPUS) / passed
	}
	if periods := u.Periods - last.Periods; periods > 0 {
		s.Throttled = float64(u.Held-min(last.Held, u.Held)) / float64(periods)
	}
	return s
}
