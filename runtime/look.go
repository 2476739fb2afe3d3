package runtime

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Graph is what Look must know of a running project. Names of channels hold
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

// Totals is one look at a project: what has been counted since each session, and
// each node's container, began.
type Totals struct {
	Time        time.Time
	Sessions    []SessionTotals // none: it does not run
	Nodes       []NodeTotals    // of the graph, in its order
	Connections []ConnectionTotals
}

// SessionTotals is one open session.
type SessionTotals struct {
	Session string
	Started time.Time
}

// NodeTotals is one node. Usage is nil for built-in nodes, which are part of the
// runtime's process, and where nothing is known of the container.
type NodeTotals struct {
	Node      string
	Container bool
	NodeState
	Usage *Usage
}

// ConnectionTotals is one connection in one session.
type ConnectionTotals struct {
	Session, From, To string // From and To are node.port

	Frames, Bytes, Dropped uint64 // received, of payload, sent and not received
	GivenUp, Unfinished    uint64 // of Dropped; of Frames: see ConnectionReport
	Depth, Capacity        uint64 // frames that wait now, and may
	Blocked                time.Duration
	Latencies              [channel.LatencyBuckets]uint64 // see channel.LatencyBound
}

// fresh is how old a sample may be: a node that hangs in C code takes none.
const fresh = 3 * time.Second

// Look looks at a project once, read-only and from any process; it does not
// disturb who counts. The engine is asked for containers that take no samples of
// themselves; nil, or one that does not answer: they stay unknown.
func Look(ctx context.Context, e Engine, g Graph) Totals {
	dir := Directory(g.UID, g.Project)
	t := Totals{Time: time.Now()}
	for name, lives := range owned(dir) {
		if lives {
			t.Sessions = append(t.Sessions, SessionTotals{Session: name, Started: readSeat(filepath.Join(seatDir(dir), name)).Started})
		}
	}
	if len(t.Sessions) == 0 {
		return t
	}
	slices.SortFunc(t.Sessions, func(a, b SessionTotals) int { return a.Started.Compare(b.Started) })
	for _, s := range t.Sessions {
		for _, c := range g.Channels {
			t.readLedger(dir, s.Session, c)
		}
	}
	states := NodeStates(g.UID, g.Project)
	missing := map[string]int{} // service to index
	for i, n := range g.Nodes {
		sight := NodeTotals{Node: n.ID, Container: n.Service != "", NodeState: states[n.ID]}
		if sight.Container {
			if u := readUsage(dir, n.ID); u != nil && t.Time.Sub(u.Time) < fresh {
				sight.Usage = u
			} else {
				missing[n.Service] = i
			}
		}
		t.Nodes = append(t.Nodes, sight)
	}
	if e != nil && len(missing) > 0 {
		t.ask(ctx, e, g.Project, missing)
	}
	return t
}

// readLedger copies a channel's counters.
func (t *Totals) readLedger(dir, session string, c GraphChannel) {
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
		v := ConnectionTotals{
			Session: session, From: c.From, To: to,
			Frames: slot.Received().Load(), Bytes: slot.Bytes().Load(), Dropped: slot.Dropped().Load(),
			GivenUp: slot.GivenUp().Load(), Unfinished: slot.Unfinished().Load(),
			Capacity: slot.Capacity().Load(), Blocked: time.Duration(l.Blocked().Load()), Latencies: slot.Latencies(),
		}
		if sent, next := l.Frames(), slot.Next().Load(); sent > next {
			v.Depth = sent - next
		}
		t.Connections = append(t.Connections, v)
	}
}

// ask asks the engine for what containers use.
func (t *Totals) ask(ctx context.Context, e Engine, project string, missing map[string]int) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout) // who scrapes gives up after ten
	defer cancel()
	containers, err := e.Containers(ctx, project)
	if err != nil {
		return
	}
	var wait sync.WaitGroup
	for _, c := range containers {
		node, wanted := missing[c.Service]
		if !wanted || !c.isUp() {
			continue
		}
		delete(missing, c.Service) // each is written by one goroutine
		wait.Go(func() {
			if u, err := e.Usage(ctx, c.ID); err == nil {
				t.Nodes[node].Usage = u
			}
		})
	}
	wait.Wait()
}
