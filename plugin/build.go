package plugin

import (
	"github.com/spf13/cobra"
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
