package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

func logsCommand(e *env) *cobra.Command {
	var o runtime.LogOptions
	var format string
	cmd := &cobra.Command{
		Use:   "logs [NODE...]",
		Short: "Show what the nodes of a project wrote",
		Long: `Show what the nodes of a project wrote, or some of them: the time, the node, the
session unless it is "main", the line. The engine keeps some 30 MB a node; a line
longer than 16 KiB is cut, and what could steer a terminal is shown as text.`,
		Example: `  docker medianode logs -p captions --tail 20
  docker medianode logs asr --follow
  docker medianode logs -p captions --format json | jq -r 'select(.level == "error") | .text'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			if err := checkLogOptions(o); err != nil {
				return err
			}
			if _, err := os.Stat(e.file); e.file != "" && errors.Is(err, fs.ErrNotExist) {
				return exit(exitUsage, fmt.Sprintf("-f %s: no such file; %s\nsee '%s --help'", e.file, toFollow, cmd.CommandPath()))
			}
			return e.logs(cmd.Context(), args, o, format)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Follow, "follow", false, "Go on until the containers end")
	flags.StringVarP(&o.Tail, "tail", "n", "all", "Number of lines to show from the end of each node's log")
	flags.StringVar(&o.Since, "since", "", "Show lines since a time (2026-01-02T15:04:05Z) or of the last, as in 10m")
	flags.StringVar(&format, "format", "table", `Output format: "table" or "json"`)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if strings.HasSuffix(err.Error(), "'f' in -f") { // as docker logs has it
			err = fmt.Errorf("%w: %s", err, toFollow)
		}
		return cmd.Parent().FlagErrorFunc()(cmd, err)
	})
	return cmd
}

// toFollow is for who has docker logs -f in the fingers.
const toFollow = "-f names the pipeline file, to follow write --follow"

// checkLogOptions refuses what an engine would, for each node, or would take for
// something else.
func checkLogOptions(o runtime.LogOptions) error {
	if n, err := strconv.Atoi(o.Tail); o.Tail != "all" && (err != nil || n < 0) {
		return exit(exitUsage, fmt.Sprintf("--tail %q: want a number of lines, or all", o.Tail))
	}
	if o.Since == "" {
		return nil
	}
	if _, err := time.ParseDuration(o.Since); err == nil {
		return nil
	}
	if _, err := strconv.ParseFloat(o.Since, 64); err == nil { // seconds since the epoch
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if _, err := time.Parse(layout, o.Since); err == nil {
			return nil
		}
	}
	return exit(exitUsage, fmt.Sprintf("--since %q: want a time as in 2026-01-02T15:04:05Z, or how long ago as in 10m", o.Since))
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
	ids := map[string]string{}
	for id, n := range r.Nodes {
		ids[n.Service] = id
	}
	show := logSink(e.cli.Out(), e.cli.Out().IsTerminal() && e.color(), format == "json")
	err = runtime.Logs(ctx, engine, project, o, func(l runtime.LogLine) {
		l.Node = cmp.Or(ids[l.Node], l.Node)
		show(l)
	})
	if errors.Is(err, runtime.ErrNoContainers) {
		fmt.Fprintf(e.cli.Err(), "project %s has no containers, and so no logs\n", project)
		return nil
	}
	return err
}
