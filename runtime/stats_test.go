package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/medianode/docker-medianode/runtime/channel"
)

func TestCompare(t *testing.T) {
	at := time.Unix(100, 0)
	before := ConnectionTotals{Session: "main", From: "src.output", To: "mid.input", Frames: 100, Bytes: 1000, Dropped: 1}
	before.Latencies[0] = 100
	after := ConnectionTotals{Session: "main", From: "src.output", To: "mid.input", Frames: 300, Bytes: 9000, Dropped: 5, Depth: 3, Capacity: 8}
	after.Latencies[0], after.Latencies[20] = 100, 200
	last := Totals{Time: at, Connections: []ConnectionTotals{before}, Nodes: []NodeTotals{
		{Node: "mid", Usage: &Usage{Time: at, CPUS: 1, Periods: 100, Held: 10}}, {Node: "side", Usage: &Usage{Time: at, CPUS: 9}},
	}}
	now := Totals{Time: at.Add(2 * time.Second), Connections: []ConnectionTotals{after}, Nodes: []NodeTotals{
		{Node: "src"},
		{
			Node: "mid", Container: true, NodeState: NodeState{StateRunning, 2},
			Usage: &Usage{Time: at.Add(2 * time.Second), CPUS: 1.5, Memory: 90, Frames: 30, Limit: 100, Periods: 110, Held: 15},
		},
		{Node: "side", Container: true, Usage: &Usage{CPUS: 1}},
	}}
	s := compare("p", last, now)
	if want := (NodeStats{Node: "mid", Container: true, State: StateRunning, Restarts: 2, Known: true, CPU: 0.25, Throttled: 0.5, Memory: 90, Frames: 30, Limit: 100}); s.Nodes[1] != want {
		t.Errorf("got %+v, want %+v", s.Nodes[1], want)
	}
	if s.Nodes[0].Known || s.Nodes[2].CPU != 0 || !s.Nodes[2].Known {
		t.Errorf("got %+v", s.Nodes)
	}
	c := s.Connections[0]
	if c.Rate != 100 || c.Bytes != 4000 || c.Drops != 2 || c.Depth != 3 || c.Capacity != 8 || c.Frames != 300 || c.P50 != c.P99 || c.P50 < 1000 {
		t.Errorf("got %+v", c)
	}
	// Another session of the same name counts from 0.
	last.Connections[0] = ConnectionTotals{Session: "main", From: "src.output", To: "mid.input", Frames: 1 << 40}
	if c := compare("p", last, now).Connections[0]; c.Rate != 150 || math.IsNaN(c.Bytes) {
		t.Errorf("got %+v", c)
	}
}

func TestUsageOfTheEngine(t *testing.T) {
	r := container.StatsResponse{Read: time.Unix(5, 0)}
	r.MemoryStats = container.MemoryStats{Usage: 100, MaxUsage: 120, Limit: 200, Stats: map[string]uint64{"shmem": 30, "inactive_file": 8, "active_file": 2}}
	r.CPUStats.CPUUsage.TotalUsage = 2e9
	r.CPUStats.ThrottlingData = container.ThrottlingData{Periods: 200, ThrottledPeriods: 50, ThrottledTime: 3e9}
	want := Usage{Time: r.Read, Memory: 90, MemoryPeak: 120, Frames: 30, Limit: 200, CPUS: 2, Throttled: 0.25, ThrottledS: 3, Periods: 200, Held: 50}
	if got := *usageFrom(r); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.MemoryStats.Stats = map[string]uint64{"total_shmem": 30, "shmem": 1, "total_inactive_file": 8, "total_active_file": 2}
	if got := *usageFrom(r); got != want {
		t.Errorf("version 1: got %+v, want %+v", got, want)
	}
}

// The file is what an engine said of a node under Linux 6.1, with 22 MB in frames and /tmp.
func TestUsageOfTheEngineOnVersion2(t *testing.T) {
	raw, err := os.ReadFile("testdata/stats-v2.json")
	if err != nil {
		t.Fatal(err)
	}
	var r container.StatsResponse
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	want := Usage{
		Time: r.Read, Memory: 38469632, Frames: 22204416, Limit: 160 << 20, CPUS: 70.008684,
		Throttled: 1151.0 / 1686, ThrottledS: 116.290434, Periods: 1686, Held: 1151,
	}
	if got := *usageFrom(r); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// hung would answer nothing, and notes for how long it is asked.
type hung struct {
	Engine
	asked time.Duration
}

func (e *hung) Containers(ctx context.Context, _ string) ([]Container, error) {
	end, _ := ctx.Deadline()
	e.asked = time.Until(end)
	return nil, context.DeadlineExceeded
}

// A look by another process than the one that runs the project changes nothing.
func TestWatch(t *testing.T) {
	const uid = 987659
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skip("no /dev/shm")
	}
	g := Graph{Project: "p", UID: uid, Nodes: []GraphNode{{ID: "mid", Service: "mid"}}, Channels: []GraphChannel{{"{session}_src_output", "src.output", []string{"mid.input"}}}}
	if err := Watch(t.Context(), nil, g, time.Millisecond, nil); err == nil {
		t.Error("a project that does not run was watched")
	}
	p := litter(t, uid, "p")
	sits, err := takeSeat(p.dir, "main", seatText{PID: os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	mem := make([]byte, channel.LedgerSize(1))
	l, err := channel.NewLedger(mem, 1)
	if err != nil {
		t.Fatal(err)
	}
	l.Next().Store(7)
	l.Slot(0).Next().Store(5)
	l.Slot(0).Received().Store(5)
	if err := os.WriteFile(filepath.Join(p.dir, "shm", channel.LedgerName("main_src_output")), mem, 0o400); err != nil {
		t.Fatal(err)
	}
	f := newFake(nil)
	f.launch("mid", &script{hang: "start"})
	defer f.clear()
	stop, n := errors.New("enough"), 0
	err = Watch(t.Context(), f, g, time.Millisecond, func(s Stats) error {
		if len(s.Connections) != 1 || s.Connections[0].Depth != 2 || s.Connections[0].Frames != 5 || s.Connections[0].Session != "main" {
			t.Errorf("connections: %+v", s.Connections)
		}
		if !s.Nodes[0].Known || s.Nodes[0].Memory != 1<<20 {
			t.Errorf("nodes: %+v", s.Nodes)
		}
		if n++; n == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Errorf("Watch: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := Watch(ctx, f, g, time.Millisecond, func(Stats) error { cancel(); return nil }); err != nil {
		t.Errorf("Watch: %v", err)
	}
	away := &hung{Engine: f}
	if now := Look(t.Context(), away, g); len(now.Connections) != 1 || away.asked > 6*time.Second {
		t.Errorf("an engine that hangs is asked for %s, and then there is %+v", away.asked, now)
	}
	if err := Watch(t.Context(), f, g, time.Millisecond, func(Stats) error { return sits.leave() }); err != nil {
		t.Errorf("the end of the project: %v", err)
	}
}

func TestStatsOf(t *testing.T) {
	s := Stats{
		Nodes:       []NodeStats{{Node: "a"}, {Node: "ab"}, {Node: "c"}},
		Connections: []ConnectionStats{{From: "a.output", To: "ab.input"}, {From: "ab.output", To: "c.input"}},
	}
	if got := s.Of(nil); len(got.Nodes) != 3 || len(got.Connections) != 2 {
		t.Errorf("all: %+v", got)
	}
	if got := s.Of([]string{"a"}); len(got.Nodes) != 1 || got.Nodes[0].Node != "a" || len(got.Connections) != 1 || got.Connections[0].To != "ab.input" {
		t.Errorf("a: %+v", got)
	}
}
