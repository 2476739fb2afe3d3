package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// allowMount gives a verb the flag --allow-mount.
func (e *env) allowMount(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringArrayVar(&e.mounts, "allow-mount", nil, "Let volumes mount this path of the machine, or what is below it (repeatable)")
	return cmd
}

// allow tells a plan what of this machine, outside the project, may be mounted.
func (e *env) allow(host *generate.Host) error {
	host.RealPath = realPath
	for _, name := range e.mounts {
		if name == "" { // of a variable that is not set; it would be the working directory
			return exit(exitUsage, "--allow-mount: give a path")
		}
		abs, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		real, _, err := realPath(abs)
		if err != nil {
			return exit(exitUsage, "--allow-mount "+name+": "+reason(err))
		}
		host.AllowMount = append(host.AllowMount, real)
	}
	// The engine may listen elsewhere, and so may a way to it.
	if u, err := url.Parse(e.cli.DockerEndpoint().Host); err == nil && u.Scheme == "unix" {
		host.Sockets = append(host.Sockets, u.Path)
	}
	for _, name := range append([]string{"/var/run/docker.sock"}, host.Sockets...) {
		if real, _, err := realPath(name); err == nil {
			host.Sockets = append(host.Sockets, real)
		}
	}
	return nil
}

// realPath is a path without symbolic links, and what is there.
func realPath(name string) (string, fs.FileMode, error) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", 0, err
	}
	info, err := os.Lstat(real)
	if err != nil {
		return "", 0, err
	}
	return real, info.Mode(), nil
}

// reason is an error of a file without the path, which was said.
func reason(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err.Error()
	}
	return err.Error()
}

// pull brings the finished images that the engine does not have.
func (e *env) pull(ctx context.Context, p *prepared) error {
	for _, n := range p.plan.Nodes {
		if !n.Finished {
			continue
		}
		has, err := image.Has(ctx, e.cli.Client(), n.Image)
		if err != nil {
			return err
		}
		if has {
			continue
		}
		auth, err := command.RetrieveAuthTokenFromImage(e.cli.ConfigFile(), n.Image)
		if err != nil {
			return fmt.Errorf("credentials for %s: %w", n.Image, err)
		}
		fmt.Fprintf(e.cli.Err(), "%s: pulling %s\n", n.ID, n.Image)
		if err := image.Pull(ctx, e.cli.Client(), n.Image, auth); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			at := p.source.spec.Node(n.ID).Docker.Image.Pos
			return e.explain(p.source, pipeline.Diagnostics{{File: p.source.path, Pos: at, Message: "node " + n.ID + ": " + err.Error()}})
		}
	}
	return nil
}
