package runtime

import (
	"context"
	"io"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// Engine is what the runtime asks of a container engine. Every call is given a
// deadline by its caller, except the two streams, Logs and Events.
type Engine interface {
	// Ping says whether the engine answers.
	Ping(ctx context.Context) error
	LoadProject(ctx context.Context, file, project string) (*types.Project, error)
	// Up makes and starts what is not running, and returns when all has started.
	// Between the two it calls made with the project's containers, whose error
	// keeps them from being started.
	Up(ctx context.Context, p *types.Project, made func([]Container) error) error
	// Down removes the containers, networks and volumes that carry the
	// project's label; containers that still run have grace to end.
	Down(ctx context.Context, project string, grace time.Duration) error
	// Containers are those of a project, running or not.
	Containers(ctx context.Context, project string) ([]Container, error)
	Inspect(ctx context.Context, container string) (Container, error)
	// Usage is what a running container uses, by the engine's account.
	Usage(ctx context.Context, container string) (*Usage, error)
	// Start starts a container again that has ended.
	Start(ctx context.Context, container string) error
	Kill(ctx context.Context, container, signal string) error
	// Logs writes what a container wrote, lines with an RFC 3339 time in front;
	// with Follow it returns when the container has ended.
	Logs(ctx context.Context, container string, o LogOptions, stdout, stderr io.Writer) error
	// Events calls back for starts and deaths in a project since a time, until
	// ctx ends or the engine is lost. listening is called once no later event
	// can be missed.
	Events(ctx context.Context, q EventQuery) error
	Info(ctx context.Context) (Info, error)
	// Owned is everything of a user, of all projects, that carries this tool's
	// labels, and probes of anybody.
	Owned(ctx context.Context, uid int) ([]Owned, error)
	// Remove removes one of these; a container by force.
	Remove(ctx context.Context, o Owned) error
	// Sees says whether dir exists where the engine mounts from; image is any
	// image that the engine has.
	Sees(ctx context.Context, image, dir string) (bool, error)
}

// EventQuery asks for the events of a project.
type EventQuery struct {
	Project   string
	Since     time.Time // zero: from now on
	Listening func()
	Each      func(Event)
}

// Container is one container of a project.
type Container struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Service   string    `json:"service"`
	Image     string    `json:"image"`
	ImageID   string    `json:"image_id"` // what the engine made it of, whatever is called Image by now
	State     string    `json:"state"`    // created, running, exited, …
	Status    string    `json:"status"`   // for people; of Containers only
	ExitCode  int       `json:"exit_code"`
	OOMKilled bool      `json:"oom_killed,omitempty"`
	Memory    int64     `json:"memory,omitempty"` // limit in bytes
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
}

// isUp says whether the container has a process, or will have one again.
func (c Container) isUp() bool {
	return c.State == "running" || c.State == "paused" || c.State == "restarting"
}

// LogOptions select lines.
type LogOptions struct {
	Follow bool
	Tail   string // number of lines, or "all"
	Since  string // RFC 3339, or a duration

	Services []string // of Logs of a project: whose; none: all
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
	Host     string   // the endpoint: unix:///var/run/docker.sock
	Name     string   // of the machine
	System   string   // Docker Desktop, Ubuntu 24.04
	Kernel   string   // release
	OSType   string   // linux
	Security []string // name=rootless, name=userns
}
