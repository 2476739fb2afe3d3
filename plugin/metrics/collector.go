// Package metrics shows what has been counted of a running project in the form that
// Prometheus reads. It counts nothing itself: each scrape is one look at the
// counters that are there anyway, and without a scrape nothing happens.
package metrics

import (
	"math/bits"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// Collector is a prometheus.Collector of one project. Labels are nodes and
// connections of the pipeline and the sessions that are open: a hundred sessions one
// after the other have as many series at a time as one.
type Collector struct {
	look func() runtime.Totals

	sessions, sessionStart, nodeUp, nodeState, restarts, cpu, periods, held, heldFor,
	memory, memoryFrames, memoryLimit, frames, bytes, dropped, givenUp, unfinished, blocked, waiting, room, latency *prometheus.Desc
}

// NewCollector makes one for a project; look is called at each scrape, by any
// goroutine.
func NewCollector(project string, look func() runtime.Totals) *Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("medianode_"+name, help, labels, prometheus.Labels{"project": project})
	}
	node := func(name, help string, more ...string) *prometheus.Desc {
		return desc("node_"+name, help, append([]string{"node"}, more...)...)
	}
	connection := func(name, help string) *prometheus.Desc {
		return desc("connection_"+name, help, "session", "from", "to")
	}
	return &Collector{
		look:         look,
		sessions:     desc("sessions", "Open sessions; 0 while the project is being built or started."),
		sessionStart: desc("session_start_time_seconds", "When the session was opened, in seconds since the epoch.", "session"),

		nodeUp:       node("up", "1 if the node's process is there, 0 if it has not started, has ended, or is being started again."),
		nodeState:    node("state", "1 for the state that the node is in, 0 for the others.", "state"),
		restarts:     node("restarts_total", "How often the node was started again after its process had ended."),
		cpu:          node("cpu_seconds_total", "Processor time of the node's container since that started."),
		periods:      node("cpu_periods_total", "Periods of the CPU limit in which the container ran, since it started."),
		held:         node("cpu_throttled_periods_total", "Periods of the CPU limit in which the limit held the container back."),
		heldFor:      node("cpu_throttled_seconds_total", "How long the CPU limit held the container back."),
		memory:       node("memory_bytes", "Memory of the node's container, without the cache of files."),
		memoryFrames: node("memory_frames_bytes", "How much of the memory is frames that the node publishes."),
		memoryLimit:  node("memory_limit_bytes", "The container's memory limit; missing if it has none."),

		frames:     connection("frames_total", "Frames received."),
		bytes:      connection("bytes_total", "Payload of the frames received."),
		dropped:    connection("dropped_frames_total", "Frames that were sent and not received."),
		givenUp:    connection("given_up_frames_total", "Of the frames dropped: those that were given up, because a process had died with them too often."),
		unfinished: connection("unfinished_frames_total", "Of the frames received: those in process when the node died, which did not come again."),
		blocked:    connection("blocked_seconds_total", "How long the producer waited for room; readers that block share it with the others of that output."),
		waiting:    connection("queue_frames", "Frames that wait for the reader."),
		room:       connection("queue_capacity_frames", "Frames that may wait for the reader."),
		latency:    connection("latency_seconds", "From the send of a frame to its receipt. The sum is estimated from the counts, to 12.5 %."),
	}
}

// Describe is for prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.sessions, c.sessionStart, c.nodeUp, c.nodeState, c.restarts, c.cpu, c.periods, c.held, c.heldFor,
		c.memory, c.memoryFrames, c.memoryLimit, c.frames, c.bytes, c.dropped, c.givenUp, c.unfinished, c.blocked, c.waiting, c.room, c.latency,
	} {
		to <- d
	}
}

// Collect is one look.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	t := c.look()
	s := series{to}
	s.gauge(c.sessions, float64(len(t.Sessions)))
	for _, open := range t.Sessions {
		if open.Started.IsZero() { // it is just being opened
			continue
		}
		s.gauge(c.sessionStart, float64(open.Started.UnixMilli())/1000, open.Session)
	}
	for _, n := range t.Nodes {
		c.node(s, n)
	}
	for _, k := range t.Connections {
		c.connection(s, k)
	}
}

func (c *Collector) node(s series, n runtime.NodeTotals) {
	if n.State != "" { // else nobody supervises the project in this moment
		gone := []string{runtime.StateCreated, runtime.StateRestarting, runtime.StateExited, runtime.StateFailed}
		s.gauge(c.nodeUp, truth(!slices.Contains(gone, n.State)), n.Node)
		for _, state := range states() {
			s.gauge(c.nodeState, truth(state == n.State), n.Node, state)
		}
		s.counter(c.restarts, float64(n.Restarts), n.Node)
	}
	u := n.Usage
	if u == nil {
		return
	}
	s.counter(c.cpu, u.CPUS, n.Node)
	s.counter(c.periods, float64(u.Periods), n.Node)
	s.counter(c.held, float64(u.Held), n.Node)
	s.counter(c.heldFor, u.ThrottledS, n.Node)
	s.gauge(c.memory, float64(u.Memory), n.Node)
	s.gauge(c.memoryFrames, float64(u.Frames), n.Node)
	if u.Limit > 0 {
		s.gauge(c.memoryLimit, float64(u.Limit), n.Node)
	}
}

func (c *Collector) connection(s series, k runtime.ConnectionTotals) {
	labels := []string{k.Session, k.From, k.To}
	s.counter(c.frames, float64(k.Frames), labels...)
	s.counter(c.bytes, float64(k.Bytes), labels...)
	s.counter(c.dropped, float64(k.Dropped), labels...)
	s.counter(c.givenUp, float64(k.GivenUp), labels...)
	s.counter(c.unfinished, float64(k.Unfinished), labels...)
	s.counter(c.blocked, k.Blocked.Seconds(), labels...)
	s.gauge(c.waiting, float64(k.Depth), labels...)
	s.gauge(c.room, float64(k.Capacity), labels...)
	count, sum, buckets := histogram(k.Latencies)
	s.to <- prometheus.MustNewConstHistogram(c.latency, count, sum, buckets, labels...)
}

// series are what one scrape gets.
type series struct{ to chan<- prometheus.Metric }

func (s series) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s series) counter(d *prometheus.Desc, v float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// states are all that a node can be in.
func states() []string {
	return []string{
		runtime.StateCreated, runtime.StateRestarting, runtime.StateStarting, runtime.StateLoading, runtime.StateOpening,
		runtime.StateReady, runtime.StateRunning, runtime.StateClosed, runtime.StateExited, runtime.StateFailed,
	}
}

// Of the histogram's counters, four an octave, every fourth bound is shown.
const (
	firstBound = 1 << 10 // ns: 1 µs
	lastBound  = 1 << 34 // ns: 17 s
)

// histogram is what has been counted with a bucket an octave, in seconds.
func histogram(counts [channel.LatencyBuckets]uint64) (count uint64, sum float64, buckets map[float64]uint64) {
	buckets = map[float64]uint64{}
	var before uint64
	for i, n := range counts {
		bound := channel.LatencyBound(i)
		count += n
		sum += float64(n) * float64(before+bound) / 2 / 1e9
		if bits.OnesCount64(bound) == 1 && bound >= firstBound && bound <= lastBound {
			buckets[float64(bound)/1e9] = count
		}
		before = bound
	}
	return count, sum, buckets
}
