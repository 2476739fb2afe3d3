package plugin

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
)

func planCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "Show what up would build, start and reserve",
		Long: `Show what up would build, start and reserve: images, channels with the bytes of
shared memory each takes, containers with their limits. Changes nothing.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.parse()
			if err != nil {
				return err
			}
			p, err := e.resolve(s, e.hostOrNone(cmd.Context()))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(e.cli.Out(), p.plan.String(), "\n", e.imageStates(cmd.Context(), p.plan))
			return err
		},
	}
}

// imageStates says of each image whether up would build or pull it.
func (e *env) imageStates(ctx context.Context, plan *generate.Plan) string {
	var b strings.Builder
	present := image.NewPresent(e.cli.Client(), nil)
	for _, img := range plan.Images {
		state := "reuse"
		if _, ok, err := present.Lookup(ctx, img); err != nil {
			state = "unknown: no engine answers"
		} else if !ok {
			state = "build"
		}
		fmt.Fprintf(&b, "%s  %s\n", img.Ref, state)
	}
	for _, n := range plan.Nodes {
		if !n.Finished {
			continue
		}
		state := "as it is"
		if has, err := image.Has(ctx, e.cli.Client(), n.Image); err != nil {
			state = "unknown: no engine answers"
		} else if !has {
			state = "pull"
		}
		fmt.Fprintf(&b, "%s  %s\n", n.Image, state)
	}
	return b.String()
}
