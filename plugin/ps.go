package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
			return e.ps(cmd.Context(), format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "table", `Output format: "table" or "json"`)
	return cmd
}

// shownContainer is a container with what the pipeline and the process that
// supervises it say of its node.
type shownContainer struct {
	runtime.Container
	Node     string `json:"node"`
	Phase    string `json:"phase,omitempty"` // of the node: loading, ready, running and so on
	Restarts int    `json:"restarts"`
	Source   string `json:"source,omitempty"` // file:line:column

	Sessions []string `json:"sessions"` // that are open, by age
}

// state is that of the node, where its process runs, else of the container.
func (c shownContainer) state() string {
	if c.State == "running" && c.Phase != "" {
		return c.Phase
	}
	return c.State
}

func (e *env) ps(ctx context.Context, format string) error {
	project, engine, err := e.known(ctx)
	if err != nil {
		return err
	}
	containers, err := runtime.Ps(ctx, engine, project)
	if err != nil {
		return err
	}
	r, err := readRunning(project)
	if err != nil {
		return err
	}
	states := runtime.NodeStates(user().UID, project)
	open, err := runtime.Sessions(user().UID, project)
	if err != nil {
		return err
	}
	names := []string{}
	for _, s := range open {
		if s.State != "lost" {
			names = append(names, s.Session)
		}
	}
	order := r.ids()
	var list []shownContainer
	for _, c := range containers {
		shown := shownContainer{Container: c, Node: c.Service, Sessions: names}
		for id, n := range r.Nodes {
			if n.Service == c.Service {
				shown.Node, shown.Source = id, n.Source
				shown.Phase, shown.Restarts = states[id].State, states[id].Restarts
			}
		}
		list = append(list, shown)
	}
	slices.SortStableFunc(list, func(a, b shownContainer) int { return slices.Index(order, a.Node) - slices.Index(order, b.Node) })
	if format == "json" {
		return json.NewEncoder(e.cli.Out()).Encode(orNone(list))
	}
	w := tabwriter.NewWriter(e.cli.Out(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NODE\tSTATE\tRESTARTS\tSESSIONS\tSTATUS\tSOURCE\tIMAGE\tCONTAINER")
	for _, c := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", c.Node, c.state(), c.Restarts, dash(strings.Join(names, ",")), c.Status, dash(c.Source), c.Image, c.Name)
	}
	return w.Flush()
}
