package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/command"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// docker is the Engine of the Docker CLI: compose as a library for what
// belongs to a project, the engine's own interface for single containers.
type docker struct {
	cli     command.Cli
	compose api.Compose
}

// NewEngine is the engine of the Docker CLI. progress takes compose's events;
// nil is quiet.
func NewEngine(cli command.Cli, progress api.EventProcessor) (Engine, error) {
	// Nothing is ever asked. The one question of Up is whether a volume may be
	// made anew, and a project's volumes hold nothing that outlives a run.
	options := []compose.Option{
		compose.WithPrompt(compose.AlwaysOkPrompt()),
		compose.WithStreams(io.Discard, io.Discard, strings.NewReader("")),
	}
	if progress != nil {
		options = append(options, compose.WithEventProcessor(progress))
	}
	service, err := compose.NewComposeService(cli, options...)
	if err != nil {
		return nil, fmt.Errorf("compose: %w", err)
	}
	return &docker{cli: cli, compose: service}, nil
}

func (d *docker) Ping(ctx context.Context) error {
	_, err := d.cli.Client().Ping(ctx, client.PingOptions{})
	return err
}

func (d *docker) LoadProject(ctx context.Context, file, project string) (*types.Project, error) {
	return d.compose.LoadProject(ctx, api.ProjectLoadOptions{
		ProjectName: project, ConfigPaths: []string{file}, WorkingDir: filepath.Dir(file), Offline: true,
	})
}

// Up is compose's up in its two parts, detached: attached, compose takes the
// process's signals.
func (d *docker) Up(ctx context.Context, p *types.Project, made func([]Container) error) error {
	if err := d.removeStaleVolumes(ctx, p); err != nil {
		return err
	}
	err := d.compose.Create(ctx, p, api.CreateOptions{
		Recreate: api.RecreateDiverged, RecreateDependencies: api.RecreateDiverged,
		RemoveOrphans: true, QuietPull: true,
	})
	if err != nil {
		return err
	}
	containers, err := d.Containers(ctx, p.Name)
	if err != nil {
		return err
	}
	if err := made(containers); err != nil {
		return err
	}
	return d.compose.Start(ctx, p.Name, api.StartOptions{Project: p})
}

// removeStaleVolumes removes volumes of an earlier run that lie elsewhere:
// compose would go on with the old place.
func (d *docker) removeStaleVolumes(ctx context.Context, p *types.Project) error {
	for _, v := range p.Volumes {
		if v.External {
			continue
		}
		got, err := d.cli.Client().VolumeInspect(ctx, v.Name, client.VolumeInspectOptions{})
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
		if got.Volume.Options["device"] == v.DriverOpts["device"] && got.Volume.Options["o"] == v.DriverOpts["o"] {
			continue
		}
		if owner := got.Volume.Labels[api.ProjectLabel]; owner != p.Name {
			return fmt.Errorf("volume %s exists and belongs to project %q", v.Name, owner)
		}
		if _, err := d.cli.Client().VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{}); err != nil {
			return fmt.Errorf("volume %s of an earlier run: %w", v.Name, err)
		}
	}
	return nil
}

func (d *docker) Down(ctx context.Context, project string, grace time.Duration) error {
	failures := 0
	for range downTries {
		empty, err := d.downOnce(ctx, project, grace)
		if empty {
			return nil
		}
		if err != nil {
			if failures++; failures == downFailures || ctx.Err() != nil {
				return err
			}
		}
		pause(ctx, downPause)
	}
	return errors.New("something of it is still in use")
}

// downOnce says whether nothing is left. To compose it is no error if a volume is
// still in use, as by a container that somebody else is removing at the same time.
func (d *docker) downOnce(ctx context.Context, project string, grace time.Duration) (bool, error) {
	// Compose warns on stderr when there is nothing to do.
	if empty, err := d.empty(ctx, project); empty || err != nil {
		return empty, err
	}
	if err := d.compose.Down(ctx, project, api.DownOptions{Volumes: true, RemoveOrphans: true, Timeout: &grace}); err != nil {
		return false, err
	}
	return d.empty(ctx, project)
}

// How often and with which pauses Down tries again; one call that fails must not
// leave everything behind.
const (
	downTries    = 20
	downFailures = 3
	downPause    = 100 * time.Millisecond
)

func (d *docker) empty(ctx context.Context, project string) (bool, error) {
	label := projectFilter(project)
	containers, err := d.cli.Client().ContainerList(ctx, client.ContainerListOptions{All: true, Filters: label})
	if err != nil || len(containers.Items) > 0 {
		return false, err
	}
	volumes, err := d.cli.Client().VolumeList(ctx, client.VolumeListOptions{Filters: label})
	if err != nil || len(volumes.Items) > 0 {
		return false, err
	}
	networks, err := d.cli.Client().NetworkList(ctx, client.NetworkListOptions{Filters: label})
	return err == nil && len(networks.Items) == 0, err
}

func projectFilter(project string) client.Filters {
	return make(client.Filters).Add("label", api.ProjectLabel+"="+project)
}

func (d *docker) Containers(ctx context.Context, project string) ([]Container, error) {
	list, err := d.cli.Client().ContainerList(ctx, client.ContainerListOptions{All: true, Filters: projectFilter(project)})
	if err != nil {
		return nil, err
	}
	var containers []Container
	for _, item := range list.Items {
		c, err := d.Inspect(ctx, item.ID)
		if errdefs.IsNotFound(err) {
			continue // removed in between
		}
		if err != nil {
			return nil, err
		}
		c.Status = item.Status
		containers = append(containers, c)
	}
	return containers, nil
}

func (d *docker) Inspect(ctx context.Context, id string) (Container, error) {
	got, err := d.cli.Client().ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return Container{}, err
	}
	from := got.Container
	c := Container{ID: from.ID, Name: strings.TrimPrefix(from.Name, "/"), ImageID: from.Image}
	if from.Config != nil {
		c.Service, c.Image = from.Config.Labels[api.ServiceLabel], from.Config.Image
	}
	if from.HostConfig != nil {
		c.Memory = from.HostConfig.Memory
	}
	if s := from.State; s != nil {
		c.State, c.ExitCode, c.OOMKilled = string(s.Status), s.ExitCode, s.OOMKilled
		c.Started, c.Finished = engineTime(s.StartedAt), engineTime(s.FinishedAt)
	}
	return c, nil
}

// engineTime is the zero time for the engine's year 1.
func engineTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

func (d *docker) Start(ctx context.Context, id string) error {
	_, err := d.cli.Client().ContainerStart(ctx, id, client.ContainerStartOptions{})
	return err
}

// Kill is no error for a container that does not run.
func (d *docker) Kill(ctx context.Context, id, signal string) error {
	_, err := d.cli.Client().ContainerKill(ctx, id, client.ContainerKillOptions{Signal: signal})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return err
}

// Logs follows one container on its own stream, which the engine ends when
// all the container wrote has been sent: the tail cannot be lost.
func (d *docker) Logs(ctx context.Context, id string, o LogOptions, stdout, stderr io.Writer) error {
	stream, err := d.cli.Client().ContainerLogs(ctx, id, client.ContainerLogsOptions{
		ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: o.Follow, Tail: o.Tail, Since: o.Since,
	})
	if err != nil {
		return err
	}
	_, err = stdcopy.StdCopy(stdout, stderr, stream)
	if bad := stream.Close(); err == nil {
		err = bad
	}
	return err
}

func (d *docker) Events(ctx context.Context, q EventQuery) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	options := client.EventsListOptions{Filters: projectFilter(q.Project).
		Add("type", "container").Add("event", "start", "die", "oom")}
	if !q.Since.IsZero() {
		options.Since = fmt.Sprintf("%d.%09d", q.Since.Unix(), q.Since.Nanosecond())
	}
	stream := d.cli.Client().Events(ctx, options)
	q.Listening()
	for {
		select {
		case err := <-stream.Err:
			return err
		case m := <-stream.Messages:
			code, _ := strconv.Atoi(m.Actor.Attributes["exitCode"]) // of die only
			q.Each(Event{
				Time: time.Unix(0, m.TimeNano), Container: m.Actor.ID,
				Service: m.Actor.Attributes[api.ServiceLabel], Action: string(m.Action), ExitCode: code,
			})
		}
	}
}

func (d *docker) Info(ctx context.Context) (Info, error) {
	got, err := d.cli.Client().Info(ctx, client.InfoOptions{})
	if err != nil {
		return Info{}, err
	}
	i := got.Info
	return Info{
		Host: d.cli.Client().DaemonHost(), Name: i.Name, System: i.OperatingSystem,
		Kernel: i.KernelVersion, OSType: i.OSType, Security: i.SecurityOptions,
	}, nil
}

// Sees makes a container that is never started: the engine looks for the
// source of a bind mount when it makes the container. Two calls, no process.
// They are never cut short: an engine finishes a request that was cancelled,
// and the container would stay.
func (d *docker) Sees(ctx context.Context, image, dir string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	made, err := d.cli.Client().ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{
			Image: image, Cmd: []string{"true"}, NetworkDisabled: true,
			Labels: map[string]string{channel.ProbeLabel: dir},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "none",
			Mounts:      []mount.Mount{{Type: mount.TypeBind, Source: dir, Target: "/probe", ReadOnly: true}},
		},
	})
	if err != nil {
		if errdefs.IsInvalidArgument(err) && strings.Contains(err.Error(), "bind source path does not exist") {
			return false, nil
		}
		return false, err
	}
	// It has proved what it was made for: an engine that is slow to remove it, or
	// fails once, is no reason to stop. What stays is down's and gc's.
	for range 2 {
		if d.Remove(ctx, Owned{Kind: kindContainer, ID: made.ID}) == nil {
			break
		}
	}
	return true, nil
}
