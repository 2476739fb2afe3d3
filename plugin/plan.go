package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
			m, unanswered := e.machine(cmd.Context())
			if unanswered != nil {
				m = machine{Host: generate.Host{Form: generate.Attached}} // of which nothing is known
			}
			p, err := e.resolve(s, m.Host)
			if err != nil {
				return err
			}
			p.engineID = m.engineID
			states, err := e.imageStates(cmd.Context(), p)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(e.cli.Out(), p.plan.String(), "\n", states)
			return err
		},
	}
}

const unknownImage = "unknown: no engine answers"

// imageStates says of each image whether up would build or pull it, and why.
func (e *env) imageStates(ctx context.Context, p *prepared) (string, error) {
	var b strings.Builder
	built, err := e.builtStates(ctx, p)
	if err != nil {
		return "", err
	}
	for i, img := range p.plan.Images {
		fmt.Fprintf(&b, "%s  %s\n", img.Ref, built[i])
	}
	for _, n := range p.plan.Nodes {
		if !n.Finished {
			continue
		}
		state := "as it is"
		if has, err := image.Has(ctx, e.cli.Client(), n.Image); err != nil {
			state = unknownImage
		} else if !has {
			state = "pull"
		}
		fmt.Fprintf(&b, "%s  %s\n", n.Image, state)
	}
	return b.String(), nil
}

// builtStates are the states of the images that are built, in their order.
func (e *env) builtStates(ctx context.Context, p *prepared) (out []string, err error) {
	out = slices.Repeat([]string{unknownImage}, len(p.plan.Images))
	if p.engineID == "" || len(out) == 0 {
		return out, nil
	}
	c, done, err := e.imageCache(ctx, p.engineID)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	states, err := c.Look(ctx, p.plan.Images)
	if err != nil {
		return nil, err
	}
	changes, err := c.Changes(ctx, p.plan.Name, states)
	if err != nil {
		return nil, err
	}
	for i, s := range states {
		switch {
		case s.ID != "":
			out[i] = "reuse"
		case len(changes[i]) > 0:
			out[i] = "build: " + strings.Join(changes[i], "; ")
		default:
			out[i] = "build: " + s.Why
		}
	}
	return out, nil
}
