package plugin

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

func downCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "Stop a project and remove all that it has: containers, volumes, shared memory",
		Example: "  docker medianode down -p captions     # works without the pipeline file",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			project, engine, err := e.known(cmd.Context())
			if err != nil {
				return err
			}
			if err := runtime.Down(cmd.Context(), engine, project, user().UID); err != nil {
				return fmt.Errorf("down %s: %w", project, err)
			}
			return nil
		},
	}
}
