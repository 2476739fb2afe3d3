package runtime

import (
	"context"
	"io"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/cli/cli/command"
	"github.com/docker/compose/v5/pkg/api"
)

// Engine is what the runtime asks of a container engine. Every call is given a
// deadline by its caller, except the two streams, Logs and Events.
type Engine interface {
	LoadProject(ctx context.Context, file, project string) (*types.Project, error)
	// Up makes and starts what is not running, and returns when all has started.
	Up(ctx context.Context, p *types.Project) error
	// Down removes the containers, networks and volumes that carry the
	// project's label; containers that still run have grace to end.
	Down(ctx context.Context, project string, grace time.Duration) error
	// Containers are those of a project, running or not.
	Containers(ctx context.Context, project string) ([]Container, error)
	Inspect(ctx context.Context, container string) (Container, error)
	Kill(ctx context.Context, container, signal string) error
	// Logs writes what a container wrote, lines with an RFC 3339 time in front;
	// with Follow it returns when the container has ended.
	Logs(ctx context.Context, container string, o LogOptions, stdout, stderr io.Writer) error
	// Events calls back for starts and deaths in a project, until ctx ends or
	// the engine is lost. listening is called once no later event is missed.
	Events(ctx context.Context, project string, listening func(), each func(Event)) error
	// Probe says what can be told of the engine without running anything.
	Probe(ctx context.Context) (Info, error)
	// Cat runs a container of an image that binds dir and answers with the
	// content of a file in it.
	Cat(ctx context.Context, image, dir, file string) (string, error)
}

// Container is one container of a project.
type Container struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Service   string    `json:"service"`
	Image     string    `json:"image"`
	State     string    `json:"state"`  // created, running, exited, …
	Status    string    `json:"status"` // for people; of Containers only
	ExitCode  int       `json:"exit_code"`
	OOMKilled bool      `json:"oom_killed,omitempty"`
	Memory    int64     `json:"memory,omitempty"` // limit in bytes
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
}

// LogOptions select lines.
type LogOptions struct {
	Follow bool
	Tail   string // number of lines, or "all"
	Since  string // RFC 3339, or a duration
}

// Event is the start or the death of a container.
type Event struct {
	Time      time.Time
	Container string
	Service   string
	Action    string // start, die, oom
	ExitCode  int
}

// Info describes an engine.
type Info struct {
	Host     string // the endpoint: unix:///var/run/docker.sock
	Name     string
	OS       string // Docker Desktop, Ubuntu 24.04
	OSType   string // linux
	Security []string
}

// NewEngine is the engine of the Docker CLI. progress takes compose's events;
// nil is quiet.
func NewEngine(cli command.Cli, progress api.EventProcessor) (Engine, error) { return nil, nil }

// Attached proves that containers of the engine see this host's shared memory,
// by means of an image that exists already; an error says why not and what to
// do.
func Attached(ctx context.Context, e Engine, uid int, image string) error { return nil }

// Down removes what a project has left: containers, volumes, directory. A
// session that runs is asked to stop first.
func Down(ctx context.Context, e Engine, project string, uid int) error { return nil }

// Ps lists the containers of a project.
func Ps(ctx context.Context, e Engine, project string) ([]Container, error) { return nil, nil }

// Logs gives the lines of a project's containers to sink, in order of time
// unless it follows.
func Logs(ctx context.Context, e Engine, project string, o LogOptions, sink LogSink) error {
	return nil
}
