package plugin

import (
	"fmt"

	"github.com/spf13/cobra"
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
			_, err = fmt.Fprint(e.cli.Out(), p.plan.String())
			return err
		},
	}
}
