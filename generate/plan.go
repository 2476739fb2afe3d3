// Package generate decides everything about a run that can be decided without
// an engine: which images, which channels of which size, which containers with
// which limits. The decision is a Plan, which prints itself and renders itself
// as a compose project with its Dockerfiles. The package reads nothing but the
// file systems it is given, so the same pipeline gives the same bytes.
package generate

import (
	"io/fs"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// Form is where the runtime of a project runs.
type Form uint8

// The forms of a project.
const (
	// Attached: in the CLI's process; shared memory is a directory of the host.
	Attached Form = iota
	// Portable: anywhere; shared memory is in tmpfs volumes.
	Portable
)

// String names the form.
func (f Form) String() string {
	if f == Portable {
		return "portable"
	}
	return "attached"
}

// Host is what a plan must know of the machine that will run it. Zero numbers
// are unknown and not checked against.
type Host struct {
	UID, GID int     // of the caller; containers of root and of the portable form run as 1000:1000
	CPUs     float64 // of the engine
	Memory   int64   // of the engine, bytes
	Arch     string  // of the engine, as Go or Linux names it: amd64, x86_64; empty: whatever the engine has
	Form     Form
	// Dir is where shared memory lies in the attached form:
	// /dev/shm/medianode-<uid>/<project>.
	Dir string
	// Base leads from the compose file to the directory of the pipeline file:
	// absolute, or relative to the compose file. Default ".". Host paths of
	// volumes begin with it.
	Base string
	// AllowMount are real paths of this machine: a volume outside the project
	// must be one of them, or below.
	AllowMount []string
	// RealPath is an absolute path with every symbolic link resolved, and the
	// type of what is there; nil: nothing outside the project can be mounted.
	RealPath func(name string) (real string, mode fs.FileMode, err error)
	// Sockets are the engine's own, beside the usual ones; no volume may hold one.
	Sockets []string
	// MaxFrame gives the largest frame in bytes of a built-in's output, 0 if it
	// cannot tell; nil: a bound is computed from the params.
	MaxFrame func(nodeType string, params map[string]any) int64
}

// Plan is a pipeline, resolved.
type Plan struct {
	Name         string         // of the compose project
	File         string         // the pipeline's file
	Domain       channel.Domain // keeps the project's shared memory apart
	Form         Form
	UID, GID     int // of the containers
	Sessions     int // planned at once
	Nodes        []Node
	Images       []Image // to build: one a container node without a finished image, in the order of Nodes
	Channels     []Channel
	SharedMemory int64 // bytes: channels times sessions, control and status channels

	dir, base string
}

// Node is one node of a plan: its ends of the graph and where it runs.
type Node struct {
	channel.Node
	Pos            pipeline.Pos   // in the pipeline file
	Container      bool           // else built in
	Service        string         // compose service; empty for a built-in
	Image          string         // reference; empty for a built-in
	Finished       bool           // Image is used as it is: nothing is built
	Side           bool           // in a finished image, without connections: no wiring, no control channel
	Params         map[string]any // as written, defaults of built-ins filled in
	StartTimeoutMS int
	// HealthIntervalS is the time between the engine's health checks, in seconds; 0: none are made.
	HealthIntervalS int
	Restart         Restart
	Limits          Limits
	Mounts          []Mount
	Publishes       int64 // bytes of shared memory that are charged to the node when full

	key    string // of the image that is built
	docker *pipeline.Docker
	wiring string // Node as JSON
	params string // Params as JSON with Python's NaN and Infinity
}

// Restart says when a container that ended by itself is started again.
type Restart struct {
	Policy      string // no, on-failure, always
	MaxAttempts int    // restarts in WindowS, after which the session fails; 0: no limit
	WindowS     int    // 0: the whole run
}

// Limits of a container; a zero is no limit.
type Limits struct {
	Memory int64 // bytes, swap included
	CPUs   float64
	Pids   int64
}

// Image is one image to build. The bytes that are hashed are the bytes that
// are sent.
type Image struct {
	Node       string // id of the node it is for
	Ref        string // medianode/<node>:<first 12 digits of Key>
	Key        string // SHA-256 of the recipe, hex
	Base       string // image that it is built on
	Platform   string // linux/amd64; empty: the engine's own
	Recipe     Recipe
	Dockerfile []byte
	Context    []File // sorted by path
	// Left is what the code's directory holds and the image does not, sorted: a
	// directory ends with a slash.
	Left []string
}

// File is one file that a plan writes; Path is slash-separated and relative.
type File struct {
	Path string
	Mode fs.FileMode
	Data []byte
}

// Channel is one planned channel.
type Channel struct {
	channel.Spec // the name holds channel.SessionMark, except of control and status channels
	From         string
	FromPort     string
	Kind         string // empty: any
	Why          string // why it is there beside another channel, or of its size; may be empty
	Service      bool   // control or status: one a container, not one a session
	Sizes        channel.Sizes
	Count        int // sessions that have one each; 1 for control and status
	Pos          pipeline.Pos
}

// Total is the bytes of shared memory of all its copies.
func (c Channel) Total() int64 { return multiply(int64(c.Sizes.Total()), int64(c.Count)) }

// DataChannels are the channels of frames, as the runtime creates them: without
// control and status.
func (p *Plan) DataChannels() []channel.Spec {
	var specs []channel.Spec
	for _, c := range p.Channels {
		if !c.Service {
			specs = append(specs, c.Spec)
		}
	}
	return specs
}

// AnyImage is an image that the engine has once what the plan needs is built
// and pulled; empty if no node runs in a container.
func (p *Plan) AnyImage() string {
	if len(p.Images) > 0 {
		return p.Images[0].Ref
	}
	for i := range p.Nodes {
		if p.Nodes[i].Finished {
			return p.Nodes[i].Image
		}
	}
	return ""
}

// Node returns the node with this id, or nil.
func (p *Plan) Node(id string) *Node {
	for i := range p.Nodes {
		if p.Nodes[i].ID == id {
			return &p.Nodes[i]
		}
	}
	return nil
}
