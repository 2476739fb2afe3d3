// Package base looks at an image that somebody wants nodes to be built on, and
// says what would keep them from being built or from running, before a build
// takes minutes to fail. Probe asks the engine and one locked-down container of
// the image for facts; Judge is pure.
package base

import "github.com/medianode/docker-medianode/schemas/pipeline"

// Facts are what is known of a base image. They depend on the image and on the
// user of the probe, not on the node; they hold no value of a variable that
// could be a secret.
type Facts struct {
	ID     string `json:"id"` // the engine's
	Config Config `json:"config"`
	// Python is the python3 that steps of a build run; nil: none could be run.
	Python *Python `json:"python,omitempty"`
	// Why says why there is no Python.
	Why Reason `json:"why,omitempty"`
	// Detail is what the engine, or python3 itself, said to that.
	Detail string `json:"detail,omitempty"`
	// Elsewhere are paths of a python3 that is there and could not be run: on the
	// PATH but closed to the user, or not on the PATH.
	Elsewhere []string `json:"elsewhere,omitempty"`
}

// Reason is why python3 gave no answer.
type Reason string

// The reasons.
const (
	Missing Reason = "missing" // not on the PATH
	Closed  Reason = "closed"  // the user may not run it
	Foreign Reason = "foreign" // for another kind of processor
	Hung    Reason = "hung"    // did not end in time
	Flooded Reason = "flooded" // printed without end
	Failed  Reason = "failed"  // ended without an answer
)

// Config is what the image says of itself.
type Config struct {
	OS         string            `json:"os"`
	Arch       string            `json:"arch"`
	User       string            `json:"user,omitempty"`
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	OnBuild    []string          `json:"onbuild,omitempty"`
	Volumes    []string          `json:"volumes,omitempty"` // sorted
	Health     bool              `json:"health,omitempty"`  // has a health check
	Env        map[string]string `json:"env,omitempty"`     // those that change what Python or pip does
	Path       string            `json:"path,omitempty"`
}

// Python is what python3 said of itself and of the image around it.
type Python struct {
	Version        string   `json:"version"` // 3.11.7
	Path           string   `json:"path"`
	Implementation string   `json:"implementation"` // CPython
	Bits           int      `json:"bits"`
	FreeThreaded   bool     `json:"free_threaded,omitempty"`
	Machine        string   `json:"machine"`         // x86_64
	Glibc          string   `json:"glibc,omitempty"` // 2.36; empty: another libc
	Musl           bool     `json:"musl,omitempty"`
	Lacks          []string `json:"lacks,omitempty"`    // modules of the standard library
	Programs       []string `json:"programs,omitempty"` // of those that a build may run
	Iceoryx2       string   `json:"iceoryx2,omitempty"` // its version; empty: not there
	Venv           string   `json:"venv,omitempty"`     // version of Python of the virtual environment at /opt/venv
	Hides          []string `json:"hides,omitempty"`    // files that would hide the SDK
}

// Minor is 3.11 of 3.11.7, as docker.python_version has it.
func (p *Python) Minor() string { return minor(p.Version) }

// Need is what a node asks of its base.
type Need struct {
	Python   string   // 3.12
	Arch     string   // as Go names it; empty: whatever the engine has
	Debian   []string // packages that apt-get is to install
	Iceoryx2 string   // the version that nodes use
	UID      int      // who runs the node
}

// Finding is one thing that is wrong with a base, or that one should know.
type Finding struct {
	Severity pipeline.Severity
	Message  string // follows the name of the image
	Hint     string // what to write or do instead; may be empty
}
