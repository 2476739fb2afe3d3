// Package pipeline is the language of a pipeline file: it turns YAML into a
// Spec whose every value knows where it was written, or into all mistakes of
// the file at once. It reads no file, no clock and no environment, so that any
// text, also a stranger's, is safe to parse.
package pipeline

// Bounds and defaults of the language.
const (
	DefaultOutput         = "output"
	DefaultInput          = "input"
	DefaultMaxFrame       = 1 << 20
	DefaultBuffer         = 8
	DefaultHold           = 1
	DefaultStartTimeoutMS = 60_000
	DefaultPythonVersion  = "3.11"
	DefaultWait           = "adaptive"
	KindAny               = "any"
)

// Pos is a place in the file. Lines and columns count from 1, columns in
// characters; the zero value is no place.
type Pos struct{ Line, Col int }

// Value is one scalar with its place. Set is true when the file wrote it, false
// when V is the default; a default has the place of its parent.
type Value[T any] struct {
	V   T
	Pos Pos
	Set bool
}

// Spec is a pipeline that Parse found no mistake in.
type Spec struct {
	File        string
	Version     Value[string]
	Metadata    Metadata
	Sessions    Value[int]
	Nodes       []*Node
	Connections []*Connection
	Warnings    Diagnostics
}

// Metadata names the pipeline; both values may be empty.
type Metadata struct {
	Name, Description Value[string]
}

// Node is one processing step.
type Node struct {
	Pos           Pos           // of the list item
	ID            Value[string] //
	Type          Value[string] // as written
	Module, Class string        // set when Type is module:Class
	IsStreaming   Value[bool]
	Params        Params
	// Inputs and Outputs hold every port the node has, by name: the declared
	// ones, those of a built-in, or else the single default port.
	Inputs, Outputs           map[string]*Port
	TimeoutMS, StartTimeoutMS Value[int]    // TimeoutMS 0: none
	OnCrash                   Value[string] // drop or retry: retry only with a restart policy
	Docker                    *Docker       // nil: built in
}

// Params is the free mapping handed to a node as it is. Values are bool, int64,
// uint64, *big.Int (integers beyond both), float64, string, nil, []any and
// map[string]any; for a built-in, defaults of parameters not written are filled
// in. At has the place of each top-level key that was written; of a built-in,
// of its value, which is what a mistake is about.
type Params struct {
	Values map[string]any
	At     map[string]Pos
}

// Port is one input or output of a node. MaxFrame counts payload bytes; it is 0
// and not Set where a built-in computes it, and always 0 for an input.
type Port struct {
	Pos      Pos
	Name     string
	MaxFrame Value[int64]
	Kind     Value[string]
}

// Docker is the container of a node.
type Docker struct {
	Pos                                   Pos
	PythonVersion                         Value[string]
	PythonPackages, Wheels                []Value[string] // wheels: files inside the project
	SystemDependencies, BuildDependencies []Value[string]
	Source, BaseImage                     Value[string]
	Image                                 Value[string]   // used as it is: Set, nothing above is
	Command                               []Value[string] // of Image; empty: its own
	Env                                   []EnvVar        // in the order of the file
	EnvFrom                               []Value[string] // names only
	Volumes                               []Volume
	Limits                                Limits
	GPUDevices                            []Value[string] // ids, or "all" alone
	Network                               Value[string]
	Restart                               Restart
	HealthIntervalS                       Value[int] // seconds between health checks; 0: none
}

// EnvVar is one literal environment variable.
type EnvVar struct{ Name, Value Value[string] }

// Volume is one bind mount. HostPath is slash-separated and relative to the
// directory of the pipeline file, or absolute; whether it exists, whether a
// symbolic link leads out of the project and whether an absolute one may be
// mounted is for the caller to check.
type Volume struct {
	Pos                     Pos
	HostPath, ContainerPath Value[string]
	ReadOnly                Value[bool]
}

// Limits bounds a container; zero means none given.
type Limits struct {
	Pos      Pos
	MemoryMB Value[int]
	CPUCores Value[float64]
	Pids     Value[int]
}

// Restart says when a container that ended by itself is started again. Policy
// is no, on-failure or always. MaxAttempts 0 is without end; WindowS, in
// seconds, is how far back attempts count, 0 for ever.
type Restart struct {
	Pos                  Pos
	Policy               Value[string]
	MaxAttempts, WindowS Value[int]

	meant bool // a policy other than no was written, if perhaps not well
}

// Connection is an edge from an output port to an input port.
type Connection struct {
	Pos                           Pos // of the list item
	From, FromOutput, To, ToInput Value[string]
	Buffer, Hold                  Value[int]
	OnFull                        Value[string]
	Feedback                      Value[bool]
	Wait                          Value[string]
}

// Node returns the node with this id, or nil.
func (s *Spec) Node(id string) *Node {
	for _, n := range s.Nodes {
		if n.ID.V == id {
			return n
		}
	}
	return nil
}
