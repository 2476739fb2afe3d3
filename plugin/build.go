package plugin

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/cache"
)

// progressModes are docker build's.
func progressModes() []string { return []string{"auto", "tty", "plain", "json", "quiet"} }

func buildCommand(e *env) *cobra.Command {
	var progress string
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the images that the engine does not have",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--progress", progress, progressModes()...); err != nil {
				return err
			}
			ctx, _, done := interruptible(cmd.Context())
			defer done()
			p, err := e.prepare(ctx)
			if err != nil {
				return interrupted(ctx, err)
			}
			return interrupted(ctx, e.build(ctx, p, progress))
		},
	}
	cmd.Flags().StringVar(&progress, "progress", "auto", "Progress: auto, tty, plain, json, quiet")
	return cmd
}

// build makes the images that the engine does not have, and brings the finished
// ones.
func (e *env) build(ctx context.Context, p *prepared, mode string) (err error) {
	if err := e.pull(ctx, p); err != nil {
		return err
	}
	if len(p.plan.Images) == 0 {
		return nil
	}
	progress, err := image.NewProgress(e.terminal(), mode)
	if err != nil {
		return err
	}
	known, done, err := e.imageCache(ctx, p.engineID)
	if err != nil {
		return err
	}
	known.Wait = progress.Step
	var said remarks
	known.Say = said.add
	kit := image.BuildKit{
		Engine: e.cli.Client(), CA: certificates(), Proxy: image.ProxyFromEnv(os.Environ()),
		Credentials: e.cli.ConfigFile(), Progress: progress,
	}
	_, err = known.Ensure(ctx, p.plan.Images, kit, cache.Use{Project: p.plan.Name})
	if bad := errors.Join(progress.Close(), done()); err == nil {
		err = bad
	}
	said.print(e.cli.Err())
	if ctx.Err() != nil {
		return ctx.Err() // no node is to blame
	}
	return e.explainNode(p.source, err)
}

// terminal is stderr as a display needs it: that of the CLI hides the file that
// a terminal is drawn on.
func (e *env) terminal() io.Writer {
	if e.cli.Err().IsTerminal() {
		return os.Stderr
	}
	return e.cli.Err()
}

// certificates is the caller's own bundle, if the environment names one: where
// downloads go through a company's proxy, those of a base image do not do.
func certificates() string {
	for _, name := range []string{"SSL_CERT_FILE", "PIP_CERT"} {
		if file := os.Getenv(name); file != "" {
			return file
		}
	}
	return ""
}
