package plugin

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate"
)

func validateCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "validate",
		Short:   "Show every mistake of a pipeline file, with line and column",
		Long:    "Show every mistake of a pipeline file, with line and column. Needs no engine.",
		Example: "  docker medianode validate -f captions.yaml",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := e.parse()
			if err != nil {
				return err
			}
			p, err := e.resolve(s, generate.Host{Form: generate.Attached})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.cli.Err(), "%s: %s, %s, no mistake\n", s.path, count(len(p.plan.Nodes), "node"), count(len(s.spec.Connections), "connection"))
			return err
		},
	}
}
