package plugin

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

func psCommand(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "ps",
		Short:   "List the nodes of a project that run in containers",
		Example: "  docker medianode ps -p captions\n  docker medianode ps -p captions --format json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			project, engine, err := e.known(cmd.Context())
			if err != nil {
				return err
			}
			containers, err := runtime.Ps(cmd.Context(), engine, project)
			if err != nil {
				return err
			}
			if format == "json" {
				if containers == nil {
					containers = []runtime.Container{} // not null
				}
				return json.NewEncoder(e.cli.Out()).Encode(containers)
			}
			w := tabwriter.NewWriter(e.cli.Out(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "NODE\tSTATE\tSTATUS\tIMAGE\tCONTAINER")
			for _, c := range containers {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.Service, c.State, c.Status, c.Image, c.Name)
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&format, "format", "table", `Output format: "table" or "json"`)
	return cmd
}
