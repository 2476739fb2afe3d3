package plugin

import (
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

func logsCommand(e *env) *cobra.Command {
	var o runtime.LogOptions
	var format string
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show what the nodes of a project wrote",
		Example: `  docker medianode logs -p captions --tail 20
  docker medianode logs -p captions --follow --format json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			project, engine, err := e.known(cmd.Context())
			if err != nil {
				return err
			}
			return runtime.Logs(cmd.Context(), engine, project, o, logSink(e.cli.Out(), e.cli.Out().IsTerminal() && e.color(), format == "json"))
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Follow, "follow", false, "Go on until the containers end")
	flags.StringVarP(&o.Tail, "tail", "n", "all", "Number of lines to show from the end of each node's log")
	flags.StringVar(&o.Since, "since", "", "Show lines since a time (2026-01-02T15:04:05Z) or of the last, as in 10m")
	flags.StringVar(&format, "format", "table", `Output format: "table" or "json"`)
	return cmd
}
