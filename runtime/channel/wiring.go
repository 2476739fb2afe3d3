package channel

import (
	"encoding/json"
	"strings"
)

// WiringVersion is the version of the JSON that a container gets.
const WiringVersion = 1

// Node is one node's ends of the graph. A container gets it as JSON in the
// environment variable EnvNode, a built-in node gets the value. Channel names
// hold SessionMark: a container serves several sessions, and nothing that
// changes from run to run may stand in its configuration.
type Node struct {
	Version   int      `json:"version"`
	Project   string   `json:"project"`
	Domain    Domain   `json:"domain"`
	ID        string   `json:"id"`
	Type      string   `json:"type"`
	Streaming bool     `json:"is_streaming"`
	Inputs    []Input  `json:"inputs"`
	Outputs   []Output `json:"outputs"`
	TimeoutMS int      `json:"timeout_ms,omitempty"` // of one call of process; 0: none
	Alive     string   `json:"alive,omitempty"`      // a file to write in when the node's thread last came by; empty: none
	Control   *Spec    `json:"control,omitempty"`    // containers only
	Status    *Spec    `json:"status,omitempty"`
}

// Input is one connection that enters the node.
type Input struct {
	Port       string `json:"port"`
	Kind       string `json:"kind,omitempty"` // empty: any
	Source     string `json:"source"`
	SourcePort string `json:"source_port"`
	Feedback   bool   `json:"feedback,omitempty"` // end of stream does not wait for it
	Wait       Wait   `json:"wait,omitempty"`
	Slot       int    `json:"slot"` // of this reader in Channel.Readers
	Channel    Spec   `json:"channel"`
}

// Wait says how a reader waits for a frame.
type Wait string

// The ways of waiting; the empty one is WaitAdaptive.
const (
	WaitAdaptive Wait = "adaptive" // look for some microseconds, then sleep
	WaitBlock    Wait = "block"    // sleep at once: least CPU
	WaitSpin     Wait = "spin"     // never sleep: least latency, a whole core
)

// Output is one port, with a channel for the readers that block and one for
// those that drop; none if nothing reads the port.
type Output struct {
	Port     string `json:"port"`
	Kind     string `json:"kind,omitempty"`
	MaxFrame int    `json:"max_frame"`
	Channels []Spec `json:"channels"`
}

// The environment of a container node.
const (
	EnvNode   = "MEDIANODE_NODE"   // Node as JSON
	EnvParams = "MEDIANODE_PARAMS" // params as JSON with Python's NaN and Infinity
)

// SessionMark stands for the session's name in the channel names of a plan.
const SessionMark = "{session}"

// For is the spec of one session's channel.
func (s Spec) For(session string) Spec {
	s.Name = strings.ReplaceAll(s.Name, SessionMark, session)
	return s
}

// ControlSpec is the channel by which the runtime commands a container node.
func ControlSpec(node string) Spec {
	return Spec{Name: ControlName(node), MaxFrame: 64 << 10, Loans: 1,
		Readers: []Reader{{Node: node, Port: "control", Buffer: 16, Hold: 1}}}
}

// StatusSpec is the channel by which a container node answers.
func StatusSpec(node string) Spec {
	return Spec{Name: StatusName(node), MaxFrame: 64 << 10, Loans: 1,
		Readers: []Reader{{Node: "runtime", Port: "status", Buffer: 16, Hold: 1}}}
}

// Command is a message on a control channel, as JSON in a Control frame.
type Command struct {
	Command string `json:"command"` // open, start, stop, close, exit
	Session string `json:"session,omitempty"`
	// Params are the node's in this session, over those of its configuration;
	// of CommandOpen.
	Params map[string]any `json:"params,omitempty"`
	// Trace asks for spans of frames that have a trace id, and a source for one
	// a second; of CommandOpen.
	Trace bool `json:"trace,omitempty"`
}

// The commands. A container node opens a session's channels and calls the
// node's open on CommandOpen; a node without inputs produces from CommandStart;
// CommandStop ends producing, what is in flight drains; CommandClose ends a
// session although its inputs go on; CommandExit ends the process.
const (
	CommandOpen  = "open"
	CommandStart = "start"
	CommandStop  = "stop"
	CommandClose = "close"
	CommandExit  = "exit"
	// CommandReport asks a node how its sessions are, for a runtime that takes
	// over from one that is gone.
	CommandReport = "report"
)

// Status is a message on a status channel, as JSON in a Control frame.
type Status struct {
	Event   string `json:"event"`
	Session string `json:"session,omitempty"`

	// EventHello: versions of what runs in the container.
	SDK      string `json:"sdk,omitempty"`
	Iceoryx2 string `json:"iceoryx2,omitempty"`
	Python   string `json:"python,omitempty"`

	// EventError.
	Phase     string  `json:"phase,omitempty"` // import, load, open, process, produce, close
	Message   string  `json:"message,omitempty"`
	Traceback string  `json:"traceback,omitempty"`
	Port      string  `json:"port,omitempty"`
	Sequence  *uint64 `json:"sequence,omitempty"` // of the frame in process
	// EventGivenUp: whose frame it was, and its header as JSON, if it came again.
	// Port and Sequence are set too.
	Source     string          `json:"source,omitempty"`
	SourcePort string          `json:"source_port,omitempty"`
	Header     json.RawMessage `json:"header,omitempty"`
	// GoesOn says that the error ends its session only: the process has others.
	GoesOn bool `json:"goes_on,omitempty"`

	// EventMetrics: every metric of the node in this session, as it stands.
	Metrics []Metric `json:"metrics,omitempty"`

	// EventSpans: what became of sampled frames.
	// Of those that have Failed, Message and Traceback say by what.
	Spans []Span `json:"spans,omitempty"`

	// EventReport: how every session is, by name, also of those that have ended.
	Sessions map[string]string `json:"sessions,omitempty"`

	// EventClosed: frames sent to ports that nothing reads.
	Unread map[string]uint64 `json:"unread,omitempty"`

	// EventBye: what the process used.
	CPU        float64 `json:"cpu_s,omitempty"`       // seconds, user and system
	MemoryPeak uint64  `json:"memory_peak,omitempty"` // bytes, of the container's memory cgroup: the kernel's, else the most that was seen
	RSSPeak    uint64  `json:"rss_peak,omitempty"`    // bytes, of the process
}

// The states of a session in an EventReport.
const (
	SessionOpening = "opening" // EventReady is to come
	SessionReady   = "ready"
	SessionRunning = "running"
	SessionClosed  = "closed"
	SessionFailed  = "failed"
)

// Metric is one number that a node keeps of itself. A counter and a gauge have
// Value; a histogram has the others.
type Metric struct {
	Name  string  `json:"name"`
	Kind  string  `json:"kind"` // counter, gauge, histogram
	Value float64 `json:"value,omitempty"`
	Count uint64  `json:"count,omitempty"`
	Sum   float64 `json:"sum,omitempty"`
	Min   float64 `json:"min,omitempty"`
	Max   float64 `json:"max,omitempty"`
	P50   float64 `json:"p50,omitempty"`
	P99   float64 `json:"p99,omitempty"`
}

// Span is what a node did with one frame that has a trace id. Times are
// CLOCK_MONOTONIC in ns.
type Span struct {
	Trace    string `json:"trace"` // 32 hex digits
	Port     string `json:"port"`
	Source   string `json:"source,omitempty"` // node.port of the producer; empty: this node is the frame's source
	Sequence uint64 `json:"sequence,omitempty"`
	Sent     uint64 `json:"sent,omitempty"` // when the frame was sent to the node
	Start    uint64 `json:"start"`          // the node takes it
	End      uint64 `json:"end"`            // and is done with it

	Failed    bool   `json:"failed,omitempty"` // the node failed with it
	Message   string `json:"-"`                // of the Status that told of it
	Traceback string `json:"-"`
}

// The events, in the order in which a node that fares well sends them.
const (
	EventHello    = "hello"    // the process runs, its module is not imported yet
	EventImported = "imported" // the module is imported, and load is called
	EventLoaded   = "loaded"   // load has returned
	EventReady    = "ready"    // the session's channels are open and open has returned
	EventError    = "error"
	// EventMetrics may come at any time while the session is open.
	EventMetrics = "metrics"
	// EventGivenUp tells of a frame that the node has died with often enough.
	EventGivenUp = "given_up"
	EventSpans   = "spans"  // likewise
	EventClosed  = "closed" // the session's last frame is sent
	EventReport  = "report"
	EventBye     = "bye"
)
