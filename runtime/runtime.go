// Package runtime brings a pipeline's project up, supervises it, runs a session
// of it, and takes everything away again: containers, volumes, channels, files.
// Further sessions of other processes run on the same containers: Join.
//
// It is told what to run by a Config and knows neither the pipeline language
// nor how shared memory works: the engine and the transport come in as
// interfaces.
package runtime

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// Config is what Start needs to know. Project, Domain, Dir, Nodes and Open are
// required; Engine and ComposeFile are if a node has a container.
type Config struct {
	Project string         // name of the compose project
	Session string         // stands for channel.SessionMark in channel names; default the first free of main, s2, s3, …
	Domain  channel.Domain // of the project, see channel.NewDomain
	Dir     string         // the project's directory, see Directory; made here, with shm and iox inside
	// UID and GID are those of the containers; the directory is theirs.
	UID, GID int

	ComposeFile string // what Up loads, absolute
	// Write writes ComposeFile, once the project is this session's and not
	// before: another run of the same name keeps its own. nil: it is there.
	Write    func() error
	Pipeline string // the pipeline's file; told to whoever starts the project twice
	Nodes    []Node
	Channels []channel.Spec // data channels, with channel.SessionMark in their names

	// Sessions is how many may be open at once, for which SharedMemory is
	// reserved; default 1. Digest says what the containers are made of: a session
	// joins only a project of its own digest. Params are those of this session, by
	// node, over what the containers have.
	Sessions int
	Digest   string
	Params   map[string]map[string]any

	SharedMemory int64         // bytes that the plan needs; checked before anything is made
	StopGrace    time.Duration // for draining when the session stops; default 10 s

	// Warn, Note and Supervises are called by the session's own goroutine: they must return
	// soon and not call the session.
	Logs LogSink              // lines of the containers; nil: kept for errors only
	Warn func(string)         // what is worth saying and no error; also in the report
	Note func(node, s string) // a node's new state (the State constants)
	// DeadLetters is a file that frames which were given up are noted in, a DeadLetter
	// a line; empty: nowhere. Its directory is made.
	DeadLetters string
	// Crashed is told of every death of a node's process, with its log, by the
	// process that supervises; and of an exception in its own session by each.
	Crashed func(Crash)

	// Supervises is called when this process begins to supervise the project: it
	// starts it, or takes it over.
	Supervises func()

	// Traced is told of frames that have a trace id; without it no source gives
	// them one. Any goroutine may call it.
	Traced func(node string, s channel.Span)

	// Open opens the transport of a domain; dir is the shm of the project's
	// directory, /dev/shm of its containers.
	Open   func(d channel.Domain, dir string) (channel.Transport, error)
	Engine Engine
}

// Node is one node of the session.
type Node struct {
	channel.Node
	Container    bool
	Service      string        // the container's compose service; default the node's id
	ImageID      string        // the engine's id of the image that the container must be of; empty: any of its name
	Run          node.Builtin  // the body of a node without container
	StartTimeout time.Duration // from the container's start to ready; default 60 s
	Restart      Restart
}

// Restart says when the container of a node that ended by itself is started
// again. The zero value is never.
type Restart struct {
	Policy      string        // no, on-failure, always; empty is no
	MaxAttempts int           // restarts in Window, after which the session fails; 0: 5
	Window      time.Duration // 0: the whole run, or, without MaxAttempts, a minute
}

// The states of a node, in order.
const (
	StateCreated    = "created"
	StateRestarting = "restarting" // its process has ended and will be started again
	StateStarting   = "starting"   // the container runs
	StateLoading    = "loading"    // its process runs: import and load
	StateOpening    = "opening"    // loaded; open of the session
	StateReady      = "ready"      // waits for the other nodes
	StateRunning    = "running"
	StateClosed     = "closed" // its last frame is sent
	StateExited     = "exited"
	StateFailed     = "failed"
)

// LogLine is one line that a container wrote.
type LogLine struct {
	Time time.Time `json:"time"`
	Node string    `json:"node"`
	// Session is that for which the node wrote it, where its SDK can know: not in
	// load, not what threads of the node, libraries in C and other processes print.
	Session string `json:"session,omitempty"`
	Stream  string `json:"stream"`          // stdout or stderr
	Level   string `json:"level,omitempty"` // debug, info, warning or error, if the node said so by its log
	Text    string `json:"text"`            // without newline, control characters escaped, at most 16 KiB
}

// LogSink takes log lines, one call at a time.
type LogSink func(LogLine)

// Directory is where the projects of a user keep their shared memory.
func Directory(uid int, project string) string {
	return filepath.Join("/dev/shm/medianode-"+strconv.Itoa(uid), project)
}

// NodeError is the failure of one node.
type NodeError struct {
	Node      string   `json:"node"`
	Container bool     `json:"container"`
	ExitCode  int      `json:"exit_code,omitempty"`
	Signal    string   `json:"signal,omitempty"` // that ended the process: SIGKILL
	OOM       bool     `json:"oom,omitempty"`    // killed at its memory limit
	Phase     string   `json:"phase,omitempty"`  // import, load, open, process, produce, close, start, stop
	Message   string   `json:"message,omitempty"`
	Traceback string   `json:"traceback,omitempty"`
	Port      string   `json:"port,omitempty"`     // of the frame in process
	Sequence  *uint64  `json:"sequence,omitempty"` // of that frame
	Log       []string `json:"log,omitempty"`      // the last lines of the container
	Restarts  int      `json:"restarts,omitempty"` // in this session, before this failure
	Err       error    `json:"-"`                  // of a built-in node
}

// Error is one line, without traceback and log.
func (e *NodeError) Error() string {
	text := "node " + e.Node + ": "
	if e.Phase != "" {
		text += e.Phase + ": "
	}
	text += e.Message
	if e.Sequence != nil {
		text += fmt.Sprintf(" (frame %d of %s)", *e.Sequence, e.Port)
	}
	switch {
	case e.Restarts == 1:
		text += ", after 1 restart"
	case e.Restarts > 1:
		text += fmt.Sprintf(", after %d restarts", e.Restarts)
	}
	return text
}

// Unwrap is a built-in node's own error.
func (e *NodeError) Unwrap() error { return e.Err }
