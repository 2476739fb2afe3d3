package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Graph is what Watch must know of a running project. Names of channels hold
// channel.SessionMark.
type Graph struct {
	Project  string
	UID      int
	Nodes    []GraphNode
	Channels []GraphChannel
}

// GraphNode is a node; Service is empty for a built-in one.
type GraphNode struct{ ID, Service string }

// GraphChannel is a channel: node.port of the writer and of each reader, in the
// order of their slots.
type GraphChannel struct {
	Name, From string
	To         []string
}

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

// Watch looks at a running project every so often, read-only and from any process,
// and gives what it sees to each, until that or ctx ends it, or the project does.
// The first look is only to compare with. The engine is asked for containers that
// take no samples of themselves; nil, or one that does not answer: they stay unknown.
func Watch(ctx context.Context, e Engine, g Graph, every time.Duration, each func(Stats) error) error {
	last := look(ctx, e, g)
	if last.sessions == 0 {
		return fmt.Errorf("project %s does not run", g.Project)
	}
	for {
		pause(ctx, every)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it is how one ends to watch
		}
		now := look(ctx, e, g)
		if now.sessions == 0 {
			return nil
		}
		if err := each(compare(g, last, now)); err != nil {
			return err
		}
		last = now
	}
}

// sight is what one look sees.
type sight struct {
	at       time.Time
	sessions int
	nodes    map[string]NodeState
	usage    map[string]*Usage
	slots    map[slotKey]slotSight
	order    []slotKey
}

type slotKey struct{ session, from, to string }

type slotSight struct {
	frames, bytes, dropped, depth, capacity uint64
	latencies                               [channel.LatencyBuckets]uint64
}

// fresh is how old a sample may be: a node that hangs in C code takes none.
const fresh = 3 * time.Second

func look(ctx context.Context, e Engine, g Graph) sight {
	dir := Directory(g.UID, g.Project)
	s := sight{at: time.Now(), nodes: NodeStates(g.UID, g.Project), usage: map[string]*Usage{}, slots: map[slotKey]slotSight{}}
	for name, lives := range owned(dir) {
		if !lives {
			continue
		}
		s.sessions++
		for _, c := range g.Channels {
			s.readLedger(dir, name, c)
		}
	}
	missing := map[string]string{} // service to node
	for _, n := range g.Nodes {
		if n.Service == "" {
			continue
		}
		if u := readUsage(dir, n.ID); u != nil && s.at.Sub(u.Time) < fresh {
			s.usage[n.ID] = u
		} else {
			missing[n.Service] = n.ID
		}
	}
	if e != nil && len(missing) > 0 {
		s.ask(ctx, e, g.Project, missing)
	}
	return s
}

// readLedger copies a channel's counters, which does not disturb who counts.
func (s *sight) readLedger(dir, session string, c GraphChannel) {
	name := channel.Spec{Name: c.Name}.For(session).Name
	mem, err := os.ReadFile(filepath.Join(dir, "shm", channel.LedgerName(name)))
	if err != nil {
		return // it has just ended, or is just beginning
	}
	l, err := channel.NewLedger(mem, len(c.To))
	if err != nil {
		return
	}
	for i, to := range c.To[:min(len(c.To), l.Slots())] {
		slot := l.Slot(i)
		v := slotSight{
			frames: slot.Received().Load(), bytes: slot.Bytes().Load(), dropped: slot.Dropped().Load(),
			capacity: slot.Capacity().Load(), latencies: slot.Latencies(),
		}
		if sent, next := l.Frames(), slot.Next().Load(); sent > next {
			v.depth = sent - next
		}
		key := slotKey{session, c.From, to}
		s.slots[key] = v
		s.order = append(s.order, key)
	}
}

// ask asks the engine for what containers use.
func (s *sight) ask(ctx context.Context, e Engine, project string, missing map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	containers, err := e.Containers(ctx, project)
	if err != nil {
		return
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, c := range containers {
		node, wanted := missing[c.Service]
		if !wanted || !c.isUp() {
			continue
		}
		wait.Go(func() {
			u, err := e.Usage(ctx, c.ID)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				s.usage[node] = u
			}
		})
	}
	wait.Wait()
}

// compare makes rates of two looks.
func compare(g Graph, last, now sight) Stats {
	s := Stats{Time: now.at, Project: g.Project, Nodes: []NodeStats{}, Connections: []ConnectionStats{}}
	for _, n := range g.Nodes {
		s.Nodes = append(s.Nodes, compareNode(n, last, now))
	}
	passed := now.at.Sub(last.at).Seconds()
	for _, key := range now.order {
		a, b := last.slots[key], now.slots[key]
		if b.frames < a.frames { // another session of the same name
			a = slotSight{}
		}
		c := ConnectionStats{
			Session: key.session, From: key.from, To: key.to, Frames: b.frames, Depth: b.depth, Capacity: b.capacity, Dropped: b.dropped,
		}
		if passed > 0 {
			c.Rate, c.Bytes = float64(b.frames-a.frames)/passed, float64(b.bytes-a.bytes)/passed
			c.Drops = float64(b.dropped-min(a.dropped, b.dropped)) / passed
		}
		counts := b.latencies
		for i := range counts {
			counts[i] -= min(counts[i], a.latencies[i])
		}
		c.P50, c.P99 = channel.Quantile(counts, 0.5), channel.Quantile(counts, 0.99)
		s.Connections = append(s.Connections, c)
	}
	return s
}

func compareNode(n GraphNode, last, now sight) NodeStats {
	state := now.nodes[n.ID]
	s := NodeStats{Node: n.ID, Container: n.Service != "", State: state.State, Restarts: state.Restarts}
	u := now.usage[n.ID]
	if u == nil {
		return s
	}
	s.Known, s.Memory, s.Frames, s.Limit = true, u.Memory, u.Frames, u.Limit
	b := last.usage[n.ID]
	if b == nil || u.CPUS < b.CPUS || u.periods < b.periods { // it is there anew
		return s
	}
	if passed := u.Time.Sub(b.Time).Seconds(); passed > 0 {
		s.CPU = (u.CPUS - b.CPUS) / passed
	}
	if periods := u.periods - b.periods; periods > 0 {
		s.Throttled = float64(u.held-min(b.held, u.held)) / float64(periods)
	}
	return s
}
