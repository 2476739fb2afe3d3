package plugin

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

func logsCommand(e *env) *cobra.Command {
	var o runtime.LogOptions
	var format string
	cmd := &cobra.Command{
		Use:   "logs [NODE...]",
		Short: "Show what the nodes of a project wrote",
		Long: `Show what the nodes of a project wrote, or some of them. The engine keeps some
30 MB a node; a line longer than 16 KiB is cut, and what could steer a terminal is
shown as text.`,
		Example: `  docker medianode logs -p captions --tail 20
  docker medianode logs asr --follow
  docker medianode logs -p captions --format json | jq -r 'select(.level == "error") | .text'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			return e.logs(cmd.Context(), args, o, format)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Follow, "follow", false, "Go on until the containers end")
	flags.StringVarP(&o.Tail, "tail", "n", "all", "Number of lines to show from the end of each node's log")
	flags.StringVar(&o.Since, "since", "", "Show lines since a time (2026-01-02T15:04:05Z) or of the last, as in 10m")
	flags.StringVar(&format, "format", "table", `Output format: "table" or "json"`)
	return cmd
}

func (e *env) logs(ctx context.Context, nodes []string, o runtime.LogOptions, format string) error {
	project, engine, err := e.known(ctx)
	if err != nil {
		return err
	}
	r, err := readRunning(project)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		service, err := r.service(node)
		if err != nil {
			return err
		}
		if !slices.Contains(o.Services, service) {
			o.Services = append(o.Services, service)
		}
	}
	return runtime.Logs(ctx, engine, project, o, logSink(e.cli.Out(), e.cli.Out().IsTerminal() && e.color(), format == "json"))
}
